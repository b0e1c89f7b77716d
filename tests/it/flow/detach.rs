//! Runs that are left to the daemon: they go on without their terminal, through crashes of the daemon, as whoever left
//! them and no longer than those are known; and what is refused.

use std::path::Path;

use serde_json::{Value, json};

use super::{example, file, happened, ticket};
use crate::support::daemon::UNHURRIED;
use crate::support::{Daemon, Story, until};

const SUPPORT: [&str; 4] = ["--input", "customer=acme", "--input", "problem=Login is broken"];

/// Leaves the support example to the daemon.
fn support(daemon: &Daemon) -> Story {
    let file = example("support.toml");
    daemon.cli(&[&["run", &file, "--run", "s1", "--detach", "-o", "json"], &SUPPORT[..]].concat())
}

fn shown(daemon: &Daemon, run: &str) -> Value {
    daemon.cli(&["runs", "show", run, "-o", "json"]).json()
}

/// Waits until a run has this state.
#[track_caller]
fn until_run(daemon: &Daemon, run: &str, state: &str) -> Value {
    until(|| {
        Some(shown(daemon, run)).filter(|shown| shown["run"]["state"] == state && shown["run"]["runner"] == Value::Null)
    })
}

/// Waits until what drives a run has this state.
#[track_caller]
fn until_driver(daemon: &Daemon, run: &str, state: &str) -> Value {
    until(|| Some(shown(daemon, run)["run"].clone()).filter(|run| run["runner"]["state"] == state))
}

/// Processes that drive runs of this daemon.
fn drivers(daemon: &Daemon) -> Vec<String> {
    let socket = daemon.socket().display().to_string();
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let line = |folder: &Path| String::from_utf8(std::fs::read(folder.join("cmdline")).ok()?).ok();
    let lines = processes.filter_map(|entry| Some((entry.file_name().into_string().ok()?, line(&entry.path())?)));
    let drives =
        |line: &str| line.starts_with("toolctl\0run\0") && line.contains("\0--owned\0") && line.contains(&socket);
    lines.filter(|(_, line)| drives(line)).map(|(pid, _)| pid).collect()
}

fn attempts(shown: &Value) -> Vec<Value> {
    shown["calls"].as_array().expect("calls").iter().map(|call| call["attempts"].clone()).collect()
}

fn approve(daemon: &Daemon, number: &str) {
    daemon.cli(&["approve", number, "--yes", "-o", "json"]).exits(0);
}

#[test]
fn a_run_that_is_left_to_the_daemon_waits_for_people_and_goes_on() {
    let daemon = Daemon::unhurried();
    let left = support(&daemon).json();
    assert_eq!((&left["run"], &left["state"], &left["changed"]), (&json!("s1"), &json!("open"), &json!(true)));
    let waits = until_driver(&daemon, "s1", "waiting");
    assert!(waits["runner"]["credential"].as_str().expect("a credential").starts_with("uid:"), "{waits}");
    assert_eq!(daemon.cli(&["status", "-o", "json"]).json()["detached"], 1);
    let table = daemon.cli(&["runs", "list"]).succeeds();
    assert!(table.starts_with("s1\tsupport\topen\t") && table.ends_with("\twaiting\n"), "{table}");
    assert_eq!(drivers(&daemon).len(), 1);
    assert_eq!(happened(&daemon, "create_ticket"), 1);

    approve(&daemon, "#1");
    let over = until_run(&daemon, "s1", "succeeded");
    assert_eq!(attempts(&over), [1, 1, 1, 1]);
    assert_eq!((happened(&daemon, "create_ticket"), happened(&daemon, "send_message")), (1, 1));
    until(|| (daemon.cli(&["status", "-o", "json"]).json()["detached"] == 0).then_some(()));
    assert_eq!(drivers(&daemon), Vec::<String>::new());
    let kinds: Vec<Value> = daemon.audit("kind=run.*").iter().map(|record| record["type"].clone()).collect();
    assert_eq!(kinds, ["run.begun", "run.detached", "run.ended"]);
    daemon.cli(&["audit", "verify"]).exits(0);

    let again = support(&daemon).exits(0);
    assert_eq!(again.json()["state"], "succeeded", "again is harmless: {}", again.stderr);
}

#[test]
fn people_get_the_id_and_what_to_type_and_scripts_the_id_alone() {
    let daemon = Daemon::unhurried();
    let path = file(&daemon, "w.toml", &format!("name = \"w\"\n{}", ticket("a", "A ticket", "")));
    let ending = daemon.cli(&["run", &path, "--detach"]).env("TOOLCTL_WAIT", "5m").exits(0);
    let id = ending.stdout.trim().to_owned();
    assert!(id.starts_with("w-") && !id.contains('\n'), "{id}");
    assert_eq!(ending.stderr, format!("run {id} goes on in the daemon: toolctl runs show {id}\n"));
    until_run(&daemon, &id, "succeeded");
    let people = daemon.cli(&["runs", "show", &id, "-o", "table"]).succeeds();
    assert!(people.contains("succeeded") && !people.contains("daemon"), "{people}");
}

#[test]
fn kill_9_of_the_daemon_at_any_moment_and_the_next_one_goes_on() {
    for moment in ["left", "asked", "decided"] {
        let mut daemon = Daemon::unhurried();
        support(&daemon).exits(0);
        if moment != "left" {
            until_driver(&daemon, "s1", "waiting");
        }
        if moment == "decided" {
            approve(&daemon, "#1");
        }
        daemon.kill();
        until(|| drivers(&daemon).is_empty().then_some(()));
        let said = daemon.restart();
        if moment == "asked" {
            assert!(said.iter().any(|line| line.contains("1 left to an earlier daemon; this one goes on")), "{said:?}");
        }
        if moment != "decided" {
            until_driver(&daemon, "s1", "waiting");
            approve(&daemon, "#1");
        }
        let over = until_run(&daemon, "s1", "succeeded");
        assert_eq!(attempts(&over), [1, 1, 1, 1], "{moment}");
        assert_eq!((happened(&daemon, "create_ticket"), happened(&daemon, "send_message")), (1, 1), "{moment}");
    }
}

#[test]
fn a_daemon_that_stops_ends_its_drivers_and_the_next_one_starts_them_again() {
    let mut daemon = Daemon::unhurried();
    support(&daemon).exits(0);
    until_driver(&daemon, "s1", "waiting");
    assert_eq!(daemon.terminate(), Some(0));
    assert_eq!(drivers(&daemon), Vec::<String>::new());
    daemon.restart();
    until_driver(&daemon, "s1", "waiting");
    approve(&daemon, "#1");
    until_run(&daemon, "s1", "succeeded");
    assert_eq!(happened(&daemon, "create_ticket"), 1);
}

#[test]
fn a_driver_that_is_killed_is_started_again() {
    let daemon = Daemon::unhurried();
    support(&daemon).exits(0);
    until_driver(&daemon, "s1", "waiting");
    let first = drivers(&daemon);
    let killed = std::process::Command::new("kill").args(["-9", &first[0]]).status().expect("kill runs");
    assert!(killed.success());
    let rests = until_driver(&daemon, "s1", "resting");
    assert_eq!(rests["runner"]["why"], "it was killed");
    until_driver(&daemon, "s1", "waiting");
    assert_ne!(drivers(&daemon), first);
    approve(&daemon, "#1");
    let over = until_run(&daemon, "s1", "succeeded");
    assert_eq!(attempts(&over), [1, 1, 1, 1]);
}

#[test]
fn a_terminal_looks_on_and_leaves_without_stopping_anything() {
    let daemon = Daemon::unhurried();
    support(&daemon).exits(0);
    until_driver(&daemon, "s1", "waiting");
    let mut watching = daemon.cli(&["run", "--run", "s1", "--wait", "50s", "-o", "jsonl"]).start();
    while !watching.line().contains("\"call_waits\"") {}
    watching.catches_interrupts().signal("INT");
    let ending = watching.ends();
    assert_eq!((ending.code, &ending.error()["try"]), (Some(130), &json!(["toolctl runs show s1"])));
    let watching = daemon.cli(&["run", "--run", "s1", "--wait", "50s", "-o", "json"]).start();
    approve(&daemon, "#1");
    let ending = watching.ends();
    assert_eq!((ending.code, &ending.json()["state"]), (Some(0), &json!("succeeded")), "{}", ending.stderr);
    let over = until_run(&daemon, "s1", "succeeded");
    assert_eq!(attempts(&over), [1, 1, 1, 1]);
}

#[test]
fn a_run_acts_as_the_key_it_was_left_with_and_dies_with_it() {
    let mut daemon = Daemon::unhurried();
    daemon.approver("anna");
    let made = daemon.make_key(&json!({"name": "bot", "kind": "agent"}));
    let (key, handle) = (made["key"].as_str().expect("a key"), made["info"]["id"].as_str().expect("a handle"));
    support(&daemon).key(key).exits(0);
    let mine = |daemon: &Daemon, key: &str| daemon.cli(&["runs", "show", "s1", "-o", "json"]).key(key).json();
    let wait_for = |daemon: &Daemon, key: &str, state: &str| {
        until(|| Some(mine(daemon, key)).filter(|shown| shown["run"]["runner"]["state"] == state))
    };
    let waits = wait_for(&daemon, key, "waiting");
    assert_eq!(waits["run"]["runner"]["credential"], handle);
    assert!(waits["calls"].as_array().expect("calls").iter().all(|call| call["principal"] == "agent:bot"), "{waits}");
    assert_eq!(secrets_on_disk(&daemon.state()), 0, "what drives it is lent a token that is nowhere on disk");
    for pid in drivers(&daemon) {
        for file in ["environ", "cmdline"] {
            let bytes = std::fs::read(Path::new("/proc").join(&pid).join(file)).expect("a driver's own");
            assert!(!bytes.windows(5).any(|window| window == b"tctl_"), "nor in its {file}");
        }
    }

    // The key is gone, and with it everything it asked for: also in the next daemon.
    let second = daemon.agent("bot");
    daemon.cli(&["-y", "keys", "revoke", handle]).exits(0);
    daemon.kill();
    daemon.restart();
    let stopped = wait_for(&daemon, &second, "stopped");
    let why = stopped["run"]["runner"]["why"].as_str().expect("why");
    assert_eq!(why, format!("what it was left with ({handle}) is no longer good"));
    assert_eq!(drivers(&daemon), Vec::<String>::new());
    let approved = daemon.cli(&["approve", "#1", "--yes"]).ends();
    assert_eq!(approved.code, Some(12), "{}", approved.stderr);

    // Whoever has another key of the same name can leave the run again; what was asked with the old one is void.
    daemon.cli(&["run", "--run", "s1", "--detach"]).key(&second).exits(0);
    let over = until(|| Some(mine(&daemon, &second)).filter(|shown| shown["run"]["state"] == "failed"));
    let states: Vec<_> = over["calls"].as_array().expect("calls").iter().map(|call| call["state"].clone()).collect();
    assert_eq!(states, ["succeeded", "succeeded", "stale"]);
    assert_eq!(happened(&daemon, "update_customer_status"), 0);
}

#[test]
fn a_key_that_is_revoked_while_its_run_waits_stops_the_run() {
    let daemon = Daemon::unhurried();
    daemon.approver("anna");
    let made = daemon.make_key(&json!({"name": "bot", "kind": "agent"}));
    let (key, handle) = (made["key"].as_str().expect("a key"), made["info"]["id"].as_str().expect("a handle"));
    let second = daemon.agent("bot");
    support(&daemon).key(key).exits(0);
    let state = |wanted: &str| {
        until(|| {
            let shown = daemon.cli(&["runs", "show", "s1", "-o", "json"]).key(&second).json();
            (shown["run"]["runner"]["state"] == wanted).then_some(())
        });
    };
    state("waiting");
    daemon.cli(&["-y", "keys", "revoke", handle]).exits(0);
    // It learns of that when it asks next.
    daemon.cli(&["deny", "#1", "--reason", "no"]).exits(0);
    state("stopped");
    assert_eq!(happened(&daemon, "update_customer_status"), 0);
}

fn secrets_on_disk(folder: &Path) -> usize {
    let found = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        usize::from(bytes.windows(11).any(|window| window == b"tctl_token_"))
    };
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { secrets_on_disk(&path) } else { found(&path) }).sum()
}

#[test]
fn a_run_that_is_taken_back_is_driven_no_more() {
    let mut daemon = Daemon::unhurried();
    support(&daemon).exits(0);
    until_driver(&daemon, "s1", "waiting");
    let taken = daemon.cli(&["runs", "cancel", "s1", "-o", "json"]).json();
    assert_eq!(taken["run"]["state"], "cancelled");
    until(|| drivers(&daemon).is_empty().then_some(()));
    let over = until_run(&daemon, "s1", "cancelled");
    let states: Vec<_> = over["calls"].as_array().expect("calls").iter().map(|call| call["state"].clone()).collect();
    assert_eq!(states, ["succeeded", "succeeded", "cancelled"]);
    daemon.kill();
    daemon.restart();
    assert_eq!(daemon.cli(&["status", "-o", "json"]).json()["detached"], 0);
    assert_eq!(support(&daemon).exits(12).error()["code"], "cancelled");
}

#[test]
fn a_run_that_fails_is_rolled_back_through_crashes_and_ends_as_failed() {
    let mut daemon = Daemon::unhurried();
    let fails =
        "[[step]]\nid = \"bad\"\ntool = \"create_ticket\"\nwith = { customer_id = 999, title = \"Nobody's\" }\n";
    let undo = "[[on_failure]]\nid = \"undo\"\ntool = \"update_customer_status\"\n\
                with = { customer_id = 1, new_status = \"Undone\" }\n";
    let end = ticket("end", "At the end", "").replace("[[step]]", "[[finally]]");
    let path = file(&daemon, "w.toml", &format!("name = \"w\"\n{fails}{undo}{end}"));
    daemon.cli(&["run", &path, "--run", "r", "--detach"]).exits(0);
    let waits = until_driver(&daemon, "r", "waiting");
    assert_eq!(waits["state"], "failed", "the failure is recorded before anything is done about it");
    daemon.kill();
    daemon.restart();
    until_driver(&daemon, "r", "waiting");
    approve(&daemon, "#1");
    until_run(&daemon, "r", "failed");
    assert_eq!((happened(&daemon, "update_customer_status"), happened(&daemon, "create_ticket")), (1, 2));
    let people = daemon.cli(&["runs", "show", "r", "-o", "table"]).succeeds();
    assert!(people.contains("bad: ") && people.contains("999"), "why it failed is told: {people}");
    let kinds: Vec<Value> = daemon.audit("kind=run.*").iter().map(|record| record["type"].clone()).collect();
    assert_eq!(kinds, ["run.begun", "run.detached", "run.ended", "run.released"]);
    daemon.kill();
    daemon.restart();
    assert_eq!(daemon.cli(&["status", "-o", "json"]).json()["detached"], 0);
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn a_no_of_policy_ends_a_run_that_nobody_looks_at() {
    let daemon = Daemon::unhurried();
    let denies = "@id(\"reads\")\npermit (principal, action in Toolctl::Action::\"readonly\", resource);\n";
    daemon.configure("policies/main.cedar", denies);
    daemon.cli(&["reload"]).exits(0);
    let path = file(&daemon, "w.toml", &format!("name = \"w\"\n{}", ticket("a", "Denied", "")));
    daemon.cli(&["run", &path, "--run", "r", "--detach"]).exits(0);
    until_run(&daemon, "r", "failed");
    let again = daemon.cli(&["run", "--run", "r", "--detach"]).exits(0);
    assert_eq!(again.stderr, "run r has failed: nothing is left to do\n");
    // Somebody who has changed the policy can do it again, in a run of its own.
    daemon.configure("policies/main.cedar", "@id(\"all\")\npermit (principal, action, resource);\n");
    daemon.cli(&["reload"]).exits(0);
    let again = daemon.cli(&["run", "--run", "r", "--from", "a", "--detach"]).exits(0);
    assert_eq!(again.stdout, "r+2\n");
    until_run(&daemon, "r+2", "succeeded");
}

#[test]
fn what_is_in_the_way_is_told_and_the_run_goes_on_once_it_is_gone() {
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[]);
    let set = |daemon: &Daemon, tools: &str| {
        std::fs::write(daemon.dir().join(".env"), format!("{UNHURRIED}ALLOWED_TOOLS={tools}\n")).expect("the env file");
    };
    set(&daemon, "search_customer,create_ticket,send_message,update_customer_status");
    daemon.restart();
    support(&daemon).exits(0);
    until_driver(&daemon, "s1", "waiting");
    daemon.kill();
    set(&daemon, "search_customer,create_ticket,update_customer_status");
    daemon.restart();
    let rests = until_driver(&daemon, "s1", "resting");
    let why = rests["runner"]["why"].as_str().expect("why");
    assert!(why.contains("`send_message`"), "{why}");
    let people = daemon.cli(&["runs", "show", "s1", "-o", "table"]).succeeds();
    assert!(people.contains("could not go on, and tries again in ") && people.contains("`send_message`"), "{people}");
    assert_eq!(daemon.terminate(), Some(0));
    set(&daemon, "search_customer,create_ticket,send_message,update_customer_status");
    daemon.restart();
    until_driver(&daemon, "s1", "waiting");
    approve(&daemon, "#1");
    until_run(&daemon, "s1", "succeeded");
    assert_eq!(happened(&daemon, "create_ticket"), 1);
}

#[test]
fn what_cannot_be_left_to_the_daemon_is_refused_in_words() {
    let daemon = Daemon::unhurried();
    let (one, two) = (daemon.agent("one"), daemon.agent("two"));
    let path = file(&daemon, "w.toml", &format!("name = \"w\"\n{}", ticket("a", "Mine", "")));
    let detach =
        |run: &str, key: &str| daemon.http("POST", &format!("/v1/runs/{run}/detach")).key(key).json(&json!({})).send();
    detach("never-begun", &one).is(404);
    detach("a%2Fb", &one).is(422);
    detach("r", "tctl_token_guessed").is(401);
    daemon.cli(&["run", &path, "--run", "r"]).key(&one).exits(0);
    detach("r", &two).is(404);
    let over = detach("r", &one);
    over.is(409);
    assert_eq!(over.json()["code"], "run-ended");
    daemon.cli(&["run", &path, "--run", "r", "--detach"]).key(&one).exits(0);

    daemon.cli(&["run", "--detach"]).exits(2);
    daemon.cli(&["run", "--run", "never-begun", "--detach"]).exits(2);
    daemon.cli(&["run", "missing.toml", "--detach"]).exits(1);
    for other in ["--plan", "--dry-run"] {
        daemon.cli(&["run", &path, "--detach", other]).exits(2);
    }
    let bad = file(&daemon, "bad.toml", "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"create_tiket\"\n");
    daemon.cli(&["run", &bad, "--detach"]).exits(2);
    assert_eq!(daemon.cli(&["runs", "list", "-o", "json"]).json()["runs"], json!([]), "nothing was begun");
    Daemon::prepared(&[], &[]).cli(&["run", &path, "--detach"]).exits(7);

    // Twice is once.
    support(&daemon).exits(0);
    until_driver(&daemon, "s1", "waiting");
    let before = drivers(&daemon);
    assert_eq!(support(&daemon).json()["changed"], false);
    assert_eq!(drivers(&daemon), before);
    assert_eq!(daemon.audit("kind=run.detached").len(), 1);
}

/// Builds without debug assertions have no fail points.
#[cfg(debug_assertions)]
#[test]
fn kill_9_around_the_write_by_which_a_run_is_left_and_it_is_left_once() {
    for side in ["before", "after"] {
        // The first write of its kind begins the run.
        let point = format!("run:{side}:kill:2");
        let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[("TOOLCTL_FAILPOINT", &point)]);
        std::fs::write(daemon.dir().join(".env"), UNHURRIED).expect("the env file");
        daemon.restart();
        let client = support(&daemon).start();
        daemon.ended();
        daemon.unarm();
        daemon.restart();
        let ending = client.ends();
        assert_eq!(ending.code, Some(0), "{side}: {}", ending.stderr);
        until_driver(&daemon, "s1", "waiting");
        assert_eq!(drivers(&daemon).len(), 1);
        approve(&daemon, "#1");
        let over = until_run(&daemon, "s1", "succeeded");
        assert_eq!(attempts(&over), [1, 1, 1, 1], "{side}");
        assert_eq!(daemon.audit("kind=run.detached").len(), 1, "{side}");
    }
}

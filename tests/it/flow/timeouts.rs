//! Tools that hang: what is tried again and what must not be, what is done about a time-out, and runs that wait longer
//! than a step may take.

use serde_json::{Value, json};

use super::{file, happened, run, step, ticket};
use crate::support::daemon::UNHURRIED;
use crate::support::{Daemon, until};
use crate::tools;

/// A daemon with the tool `slow`: it hangs as long as there is no file `go`, and notes each start. After `timeout` it
/// is ended.
fn daemon(effect: &str, timeout: &str) -> Daemon {
    let manifest = format!(
        "[tool]\nname = \"slow\"\ndescription = \"A test.\"\neffect = \"{effect}\"\ndestructive = false\nrisk = \"low\"\n\
         timeout = \"{timeout}\"\n[tool.command]\nprogram = \"./slow.sh\"\nlimits = {{ grace = \"200ms\" }}\noutput = \"json\"\n"
    );
    // A test asks again and again how far a run is.
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[]);
    std::fs::write(daemon.dir().join(".env"), UNHURRIED).expect("the env file");
    let dir = daemon.dir().display();
    let script =
        format!("#!/bin/sh\necho >> {dir}/starts\nuntil [ -e {dir}/go ]; do sleep 0.02; done\necho '{{\"n\": 1}}'\n");
    tools::put(&daemon, &[("slow.toml", &manifest), ("slow.sh", &script)]);
    daemon.restart();
    daemon
}

fn go(daemon: &Daemon) {
    std::fs::write(daemon.dir().join("go"), "").expect("a file");
}

fn starts(daemon: &Daemon) -> usize {
    std::fs::read_to_string(daemon.dir().join("starts")).unwrap_or_default().len()
}

fn keys(daemon: &Daemon) -> Vec<Value> {
    let shown = daemon.cli(&["runs", "show", "r", "-o", "json"]).json();
    shown["calls"].as_array().expect("calls").iter().map(|call| call["idempotency_key"].clone()).collect()
}

/// The slow step with these lines, what needs it, and what is done about a failure and at the end.
fn workflow(daemon: &Daemon, more: &str) -> String {
    let said = |list: &str, id: &str, text: &str| {
        format!(
            "[[{list}]]\nid = \"{id}\"\ntool = \"send_message\"\nwith = {{ channel = \"c\", message = \"{text}\" }}\n"
        )
    };
    let text = format!(
        "name = \"w\"\n[[step]]\nid = \"slow\"\ntool = \"slow\"\n{more}\n{}{}{}",
        ticket("after", "After {{ steps.slow.output.n }}", ""),
        said("on_failure", "undo", "{{ failure.step }} {{ failure.code }}"),
        said("finally", "end", "{{ steps.slow.state }} {{ steps.after.state }}"),
    );
    file(daemon, "w.toml", &text)
}

fn messages(daemon: &Daemon) -> Vec<Value> {
    let shown = daemon.cli(&["runs", "show", "r", "-o", "json"]).json();
    let calls = shown["calls"].as_array().expect("calls").iter().filter(|call| call["tool"] == "send_message");
    calls.map(|call| call["arguments"]["message"].clone()).collect()
}

#[test]
fn a_tool_that_hangs_is_tried_again_where_that_is_harmless() {
    let daemon = daemon("idempotent", "400ms");
    let path = workflow(&daemon, "retry = { attempts = 10, backoff = \"1ms\" }");
    let running = run(&daemon, &path, &[], &["--run", "r"]).start();
    until(|| (starts(&daemon) == 2).then_some(()));
    go(&daemon);
    let ending = running.ends();
    assert_eq!(ending.code, Some(0), "{}", ending.stderr);
    let keys = keys(&daemon);
    assert_eq!(keys[..2], [json!("r/slow"), json!("r/slow~2")], "each attempt is a call of its own: {keys:?}");
    assert_eq!((happened(&daemon, "create_ticket"), messages(&daemon)), (1, vec![json!("succeeded succeeded")]));
    let before = starts(&daemon);
    run(&daemon, &path, &[], &["--run", "r"]).exits(0);
    assert_eq!(starts(&daemon), before, "what was tried is replayed");
}

#[test]
fn attempts_end_and_then_something_is_done_about_it() {
    let daemon = daemon("readonly", "200ms");
    let path = workflow(&daemon, "retry = { attempts = 3, backoff = \"1ms\" }");
    for _ in 0..2 {
        let ending = run(&daemon, &path, &[], &["--run", "r"]).exits(3);
        assert_eq!(ending.error()["code"], "tool-timeout");
        let report = ending.json();
        let states: Vec<_> = report["steps"].as_array().expect("steps").iter().map(|step| &step["state"]).collect();
        assert_eq!(states, ["failed", "stopped", "succeeded", "succeeded"]);
        assert_eq!((starts(&daemon), happened(&daemon, "create_ticket")), (3, 0));
        assert_eq!(messages(&daemon), [json!("slow tool-timeout"), json!("failed stopped")]);
    }
}

#[test]
fn what_may_have_happened_is_never_tried_again_and_waits_for_whoever_knows() {
    for (effect, said, code) in [("once", "failed", 3), ("keyed", "succeeded", 0)] {
        let daemon = daemon(effect, "200ms");
        let path = workflow(&daemon, "retry = { attempts = 3, backoff = \"1ms\" }");
        for _ in 0..2 {
            let ending = run(&daemon, &path, &[], &["--run", "r"]).exits(10);
            assert_eq!(ending.error()["code"], "outcome-unknown");
            assert_eq!(step(&ending.json(), "after")["state"], "stopped");
            assert_eq!((starts(&daemon), messages(&daemon)), (1, vec![]), "neither again nor rolled back");
        }
        let call = daemon.cli(&["calls", "list", "--state", "in_doubt", "-o", "json"]).json()["calls"][0]["id"].clone();
        let call = call.as_str().expect("an id");
        go(&daemon);
        daemon.cli(&["calls", "resolve", call, "--as", said]).exits(0);
        let ending = run(&daemon, &path, &[], &["--run", "r"]).ends();
        match code {
            // That nothing happened is known now, so the next attempt is allowed.
            3 => {
                assert_eq!(ending.code, Some(0), "{}", ending.stderr);
                assert_eq!((starts(&daemon), keys(&daemon)[1].clone()), (2, json!("r/slow~2")));
            }
            // It happened, but what it gave is lost: what looks at that says so.
            _ => {
                assert_eq!(ending.error()["code"], "expression-failed", "{}", ending.stderr);
                assert_eq!(starts(&daemon), 1);
            }
        }
    }
}

#[test]
fn a_step_that_waits_no_longer_leaves_the_call_and_the_run_as_they_are() {
    let daemon = daemon("once", "60s");
    let path = workflow(&daemon, "timeout = \"300ms\"");
    for _ in 0..2 {
        let ending = run(&daemon, &path, &[], &["--run", "r"]).exits(124);
        let (error, report) = (ending.error(), ending.json());
        assert_eq!((&error["code"], &report["state"]), (&json!("timeout"), &json!("open")), "{error}");
        assert!(error["try"].as_array().expect("commands").contains(&json!("toolctl run --run r")), "{error}");
        assert_eq!((starts(&daemon), messages(&daemon)), (1, vec![]), "the call goes on, and nothing else was begun");
    }
    go(&daemon);
    until(|| (run(&daemon, &path, &[], &["--run", "r"]).ends().code == Some(0)).then_some(()));
    assert_eq!((starts(&daemon), happened(&daemon, "create_ticket")), (1, 1));
}

#[test]
fn a_run_that_is_left_to_the_daemon_outwaits_its_steps() {
    let daemon = daemon("once", "60s");
    let path = workflow(&daemon, "timeout = \"300ms\"");
    daemon.cli(&["run", &path, "--run", "r", "--detach"]).exits(0);
    let shown = || daemon.cli(&["runs", "show", "r", "-o", "json"]).json()["run"].clone();
    let rests = until(|| Some(shown()).filter(|run| run["runner"]["state"] == "resting"));
    assert!(rests["runner"]["why"].as_str().expect("why").contains("still runs"), "{rests}");
    go(&daemon);
    until(|| (shown()["state"] == "succeeded").then_some(()));
    assert_eq!((starts(&daemon), happened(&daemon, "create_ticket")), (1, 1));
}

#[test]
fn what_surely_did_nothing_is_tried_again_whatever_the_tool() {
    // Status 75 means: not now, and nothing happened. Status 1 means nothing of the kind.
    for (status, starts_wanted, code) in [(75, 3, 0), (1, 1, 3)] {
        let mut daemon = Daemon::prepared(&[], &[]);
        let dir = daemon.dir().display();
        let manifest = "[tool]\nname = \"slow\"\ndescription = \"A test.\"\neffect = \"once\"\ndestructive = false\nrisk = \"low\"\n\
                        [tool.command]\nprogram = \"./slow.sh\"\noutput = \"json\"\ntempfail_exit = [75]\n";
        let script = format!(
            "#!/bin/sh\necho >> {dir}/starts\n[ $(wc -l < {dir}/starts) -gt 2 ] || exit {status}\necho '{{\"n\": 1}}'\n"
        );
        tools::put(&daemon, &[("slow.toml", manifest), ("slow.sh", &script)]);
        daemon.restart();
        let path = workflow(&daemon, "retry = { attempts = 3, backoff = \"1ms\" }");
        for _ in 0..2 {
            run(&daemon, &path, &[], &["--run", "r"]).exits(code);
            assert_eq!(starts(&daemon), starts_wanted, "status {status}");
        }
    }
}

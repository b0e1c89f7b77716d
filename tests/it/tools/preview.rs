//! What an approver is shown beside the arguments: what exactly would run, and what the tool's preview says. The
//! latter is part of what is agreed to, so a call whose preview says something else when it starts does not run.

use serde_json::{Value, json};

use super::{path, put};
use crate::support::Daemon;

const TOOLS: &str = r#"
[[tool]]
name = "clean"
description = "Removes old files."
effect = "once"
risk = "high"
preview = "old_files"
timeout = "2s"
[tool.arguments]
days = { type = "integer", required = true }
[tool.command]
program = "./clean.sh"
arguments = ["--older-than={days}"]
environment = { TOKEN = { secret = "env:THE_TOKEN" } }
limits = { grace = "50ms" }

[[tool]]
name = "old_files"
description = "Lists old files."
effect = "readonly"
[tool.arguments]
days = { type = "integer", required = true }
[tool.command]
program = "./old.sh"
arguments = ["{days}"]
"#;

/// A daemon with a list of old files, and with what removes them.
fn cleaner(old: &str, clean: &str) -> Daemon {
    let mut daemon = Daemon::prepared(&[], &[("THE_TOKEN", "hunter2-hunter2")]);
    put(
        &daemon,
        &[
            ("clean.toml", TOOLS),
            ("clean.sh", &format!("#!/bin/sh\n{clean}\n")),
            ("old.sh", &format!("#!/bin/sh\n{old}\n")),
        ],
    );
    std::fs::write(path(&daemon, "list"), "/var/old\n").expect("written");
    daemon.restart();
    daemon
}

const OLD: &str = "echo x >> \"${0%/*}/asked\"; cat \"${0%/*}/list\"";
const CLEAN: &str = "echo x >> \"${0%/*}/ran\"";

fn lines(daemon: &Daemon, name: &str) -> usize {
    std::fs::read_to_string(path(daemon, name)).unwrap_or_default().lines().count()
}

fn ask(daemon: &Daemon, key: &str) -> Value {
    let body = json!({"tool": "clean", "arguments": {"days": 30}, "idempotency_key": key});
    daemon.http("POST", "/v1/calls").json(&body).send().json()
}

/// The approver's look at a call, and its yes to that.
fn approve(daemon: &Daemon, asked: &Value) -> Value {
    let approval = &asked["approval"];
    let body = json!({"decision": "approve", "digest": approval["digest"]});
    let url = format!("/v1/approvals/{}/decisions", approval["id"].as_str().expect("an id"));
    daemon.http("POST", &url).json(&body).send();
    let url = format!("/v1/calls/{}?wait=30s", asked["id"].as_str().expect("an id"));
    daemon.http("GET", &url).send().json()
}

fn preview(daemon: &Daemon, asked: &Value) -> Value {
    let url = format!("/v1/approvals/{}", asked["approval"]["id"].as_str().expect("an id"));
    daemon.http("GET", &url).send().json()["preview"].clone()
}

/// What each record of a call says of its preview, by name.
fn recorded(daemon: &Daemon, call: &Value) -> Vec<(String, Value)> {
    let records = daemon.audit(&format!("call={}", call["id"].as_str().expect("an id")));
    let named = |record: &Value| {
        let details = record["detail"].as_object().cloned().unwrap_or_default();
        let kind = record["type"].as_str().unwrap_or_default().to_owned();
        details
            .into_iter()
            .find(|(name, _)| name.starts_with("preview"))
            .map(|(name, said)| (format!("{kind} {name}"), said))
    };
    records.iter().filter_map(named).collect()
}

#[test]
fn an_approver_sees_what_would_run_and_what_it_would_do() {
    let daemon = cleaner("printf 'older than %s:\\n\\033[31m/var/old\\n' \"$1\"", "exit 0");
    let agent = daemon.agent("bot");
    daemon.cli(&["call", "clean", "--days", "30", "--no-wait"]).key(&agent).exits(8);
    let dossier = daemon.http("GET", "/v1/approvals/1").send().json();
    let program = path(&daemon, "clean.sh").display().to_string();
    assert_eq!(dossier["runs"], json!(["TOKEN=‹secret:env:THE_TOKEN›", program, "--older-than=30"]), "{dossier}");
    assert_eq!(dossier["preview"]["output"]["text"], "older than 30:\n\u{1b}[31m/var/old\n");
    assert_eq!(dossier["preview"]["compared"], true);
    let shown = daemon.cli(&["-o", "table", "approvals", "show", "1"]).succeeds();
    for expected in [
        "\"--older-than=30\"",
        "preview, as `old_files` gave it when this was asked",
        "/var/old",
        "it must say the same when the call starts; if not, nothing runs",
    ] {
        assert!(shown.contains(expected), "`{expected}` is not in:\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown}");
    // It is nobody's call, and the requester may see less than it does.
    assert_eq!(daemon.audit("tool=old_files&kind=call.*"), Vec::<Value>::new());
    let theirs = daemon.http("GET", "/v1/approvals/1").key(&agent).send().json();
    assert_eq!(theirs["preview"], json!(null));
    daemon.cli(&["approve", "1", "--yes"]).exits(0);
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn what_people_saw_is_what_they_agree_to() {
    let daemon = cleaner(OLD, CLEAN);
    let first = ask(&daemon, "k1");
    assert_eq!(lines(&daemon, "asked"), 1);
    let again = ask(&daemon, "k1");
    assert_eq!((&again["id"], &again["approval"]["digest"]), (&first["id"], &first["approval"]["digest"]));
    assert_eq!(preview(&daemon, &first)["output"]["text"], "/var/old\n");
    assert_eq!(lines(&daemon, "asked"), 1, "neither a repeat nor a look asks again");
    let ended = approve(&daemon, &first);
    assert_eq!(
        (&ended["state"], lines(&daemon, "ran"), lines(&daemon, "asked")),
        (&json!("succeeded"), 1, 2),
        "{ended}"
    );
    let said = recorded(&daemon, &ended);
    assert_eq!(
        said.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["approval.requested preview", "call.dispatched preview"]
    );
    assert_eq!(said[0].1, said[1].1);

    let asked = ask(&daemon, "k2");
    std::fs::write(path(&daemon, "list"), "/var/old\n/home\n").expect("written");
    let ended = approve(&daemon, &asked);
    assert_eq!((&ended["state"], &ended["effect"]), (&json!("stale"), &json!("none")), "{ended}");
    assert!(ended.to_string().contains("what it would do has changed, as `old_files` says"), "{ended}");
    assert_eq!(lines(&daemon, "ran"), 1, "the second did not run");

    let asked = ask(&daemon, "k3");
    std::fs::remove_file(path(&daemon, "list")).expect("removed");
    let ended = approve(&daemon, &asked);
    assert_eq!(ended["state"], "stale", "{ended}");
    assert!(ended.to_string().contains("gives nothing any more"), "{ended}");
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn a_preview_that_fails_is_shown_as_that_and_agreed_to_as_that() {
    let daemon = cleaner("echo 'no such disk' >&2; exit 1", CLEAN);
    let asked = ask(&daemon, "k");
    let shown = preview(&daemon, &asked);
    assert!(shown["error"].as_str().is_some_and(|why| why.contains("no such disk")), "{shown}");
    let text = daemon.cli(&["-o", "table", "approvals", "show", "1"]).succeeds();
    assert!(text.contains("none: `old_files` ended with status 1: no such disk"), "{text}");
    put(&daemon, &[("old.sh", "#!/bin/sh\necho fine\n")]);
    daemon.cli(&["reload"]).exits(0);
    let ended = approve(&daemon, &asked);
    assert_eq!((&ended["state"], lines(&daemon, "ran")), (&json!("succeeded"), 1), "nobody was shown anything else");
    assert_eq!(recorded(&daemon, &ended)[0].0, "approval.requested preview_failed");
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn a_preview_that_is_too_long_is_one_that_failed() {
    let daemon = cleaner("yes | head -c 70000", CLEAN);
    let shown = preview(&daemon, &ask(&daemon, "k"));
    assert!(shown["error"].as_str().is_some_and(|why| why.contains("at most 65536 are shown")), "{shown}");
}

#[test]
fn a_preview_that_changes_by_itself_is_shown_and_not_compared() {
    let daemon = cleaner(&format!("{OLD}; echo $$"), CLEAN);
    put(
        &daemon,
        &[("clean.toml", &TOOLS.replace("preview = \"old_files\"", "preview = \"old_files\"\npreview_varies = true"))],
    );
    daemon.cli(&["reload"]).exits(0);
    let asked = ask(&daemon, "k");
    assert_eq!(preview(&daemon, &asked)["compared"], false);
    let ended = approve(&daemon, &asked);
    assert_eq!((&ended["state"], lines(&daemon, "asked")), (&json!("succeeded"), 1), "{ended}");
    assert_eq!(recorded(&daemon, &ended)[0].0, "approval.requested preview_not_compared");
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn whoever_is_asked_about_a_rerun_sees_what_it_would_do_now() {
    let daemon =
        cleaner(OLD, &format!("{CLEAN}; echo left > \"${{0%/*}}/list\"; [ -e \"${{0%/*}}/go\" ] || exec sleep 600"));
    let asked = ask(&daemon, "k");
    let doubt = approve(&daemon, &asked);
    assert_eq!(doubt["state"], "in_doubt", "{doubt}");
    std::fs::write(path(&daemon, "go"), "").expect("written");
    daemon.cli(&["calls", "resolve", doubt["id"].as_str().expect("an id"), "--as", "rerun"]).exits(0);
    assert_eq!(preview(&daemon, &asked)["output"]["text"], "left\n");
    let url = format!("/v1/calls/{}", doubt["id"].as_str().expect("an id"));
    let again = daemon.http("GET", &url).send().json();
    assert_ne!(again["approval"]["digest"], asked["approval"]["digest"]);
    assert_eq!(approve(&daemon, &again)["state"], "succeeded");
    daemon.cli(&["audit", "verify"]).exits(0);
}

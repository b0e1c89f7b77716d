//! Calls in doubt: a probe is asked before people are, and only what it says for certain counts.

use serde_json::{Value, json};

use super::{call, daemon, path};
use crate::support::{Daemon, until};

const TOOLS: &str = r#"
[[tool]]
name = "pay"
description = "Pays, and never says so."
effect = "once"
destructive = false
risk = "low"
timeout = "300ms"
probe = "paid"
[tool.arguments]
order = { type = "integer", required = true }
[tool.command]
program = "./pay.sh"
arguments = ["{order}"]
limits = { grace = "50ms" }

[[tool]]
name = "paid"
description = "Says whether an order is paid."
effect = "readonly"
[tool.arguments]
order = { type = "integer", required = true }
call_id = { type = "string", required = true }
[tool.command]
program = "./paid.sh"
arguments = ["{order}", "{call_id}"]
output = "json"
"#;

fn shop(paid: &str) -> Daemon {
    daemon(&[("shop.toml", TOOLS), ("pay.sh", "#!/bin/sh\nsleep 600\n"), ("paid.sh", &format!("#!/bin/sh\n{paid}\n"))])
}

fn state(answer: &Value) -> (&str, &str) {
    (answer["state"].as_str().unwrap_or_default(), answer["effect"].as_str().unwrap_or_default())
}

#[test]
fn what_the_probe_knows_nobody_is_asked() {
    let daemon = shop("echo \"$@\" > \"$0.asked\"; echo '{\"happened\": true}'");
    let answer = call(&daemon, "pay", &json!({"order": 7}));
    assert_eq!(state(&answer), ("succeeded", "done"), "{answer}");
    let id = answer["id"].as_str().expect("an id").to_owned();
    let asked = std::fs::read_to_string(path(&daemon, "paid.sh.asked")).expect("what it was asked");
    assert_eq!(asked, format!("7 {id}\n"));
    let records = daemon.audit(&format!("call={id}"));
    let kinds: Vec<_> = records.iter().map(|record| record["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds, ["call.dispatched", "call.in_doubt", "call.resolved"]);
    assert_eq!((&records[2]["actor"], &records[2]["detail"]["probe"]), (&json!("tool:paid"), &json!("paid")));
    daemon.cli(&["audit", "verify"]).exits(0);

    let daemon = shop("echo '{\"happened\": false}'");
    let answer = call(&daemon, "pay", &json!({"order": 7}));
    assert_eq!(state(&answer), ("failed", "none"), "{answer}");
}

#[test]
fn a_probe_that_cannot_say_decides_nothing() {
    for paid in ["echo '{\"happened\": \"perhaps\"}'", "exit 1", "echo nonsense"] {
        let daemon = shop(&format!("echo x >> \"$0.asked\"; {paid}"));
        assert_eq!(state(&call(&daemon, "pay", &json!({"order": 7}))), ("in_doubt", "unknown"), "{paid}");
        let asked = std::fs::read_to_string(path(&daemon, "paid.sh.asked")).expect("questions");
        assert_eq!(asked, "x\nx\nx\n", "three times and no more");
    }
}

#[test]
fn the_next_daemon_asks_again() {
    let mut daemon = shop("[ -e \"$0.open\" ] && echo '{\"happened\": true}'");
    let doubt = call(&daemon, "pay", &json!({"order": 7}));
    assert_eq!(state(&doubt), ("in_doubt", "unknown"));
    std::fs::write(path(&daemon, "paid.sh.open"), "").expect("written");
    daemon.kill();
    daemon.restart();
    let url = format!("/v1/calls/{}", doubt["id"].as_str().expect("an id"));
    until(|| (state(&daemon.http("GET", &url).send().json()) == ("succeeded", "done")).then_some(()));
}

#[test]
fn whoever_runs_the_daemon_is_told_how_to_settle_a_doubt() {
    let daemon = shop("exit 1");
    let ending = daemon.cli(&["-o", "json", "call", "pay", "--order", "7"]).exits(10);
    let error = ending.error();
    assert_eq!(
        (&error["code"], &error["effect"], &error["exit"]),
        (&json!("outcome-unknown"), &json!("unknown"), &json!(10))
    );
    let id = error["call_id"].as_str().expect("the call").to_owned();
    let hint = error["hint"].as_str().unwrap_or_default().to_owned();
    assert!(hint.starts_with("an administrator or one of its approvers looks at what it did"), "{hint}");
    assert_eq!(error["try"], json!([format!("toolctl calls show {id}")]), "an agent may not resolve");
    let status = daemon.cli(&["-o", "table", "status"]).succeeds();
    let command = format!("toolctl calls resolve {id} --as succeeded|failed|rerun");
    assert!(status.contains("1 in doubt") && status.contains("pay by os:") && status.contains(&command), "{status}");
    let report = daemon.cli(&["-o", "json", "status"]).json();
    assert_eq!((&report["in_doubt"], &report["doubts"][0]["call"]), (&json!(1), &json!(id)));
    // Another caller sees how many there are, and not whose.
    let agent = daemon.agent("bot");
    let theirs = daemon.cli(&["-o", "json", "status"]).key(&agent).json();
    assert_eq!((&theirs["in_doubt"], &theirs["doubts"]), (&json!(1), &json!(null)));
    daemon.cli(&["calls", "resolve", &id, "--as", "succeeded", "--note", "the bank says so"]).exits(0);
    assert!(daemon.cli(&["-o", "table", "status"]).succeeds().contains("0 in doubt"));
    let twice = daemon.cli(&["-o", "json", "calls", "resolve", &id, "--as", "failed"]).exits(12).error();
    assert_eq!((&twice["code"], &twice["effect"]), (&json!("call-not-in-doubt"), &json!("done")));
    let told = twice["message"].as_str().unwrap_or_default();
    assert!(told.contains("is not in doubt: `os:") && told.ends_with("said that it succeeded"), "{told}");
    let ended = daemon.http("GET", &format!("/v1/calls/{id}")).send().json();
    assert_eq!(state(&ended), ("succeeded", "done"));
}

/// What a lost end means, class by class, when there is no probe: the table of the promises.
#[test]
fn without_a_probe_the_declared_effect_decides() {
    for (effect, expected) in [
        ("readonly", ("failed", "none")),
        ("idempotent", ("failed", "unknown")),
        ("keyed", ("in_doubt", "unknown")),
        ("once", ("in_doubt", "unknown")),
    ] {
        let text = TOOLS.replacen("effect = \"once\"", &format!("effect = \"{effect}\""), 1).replacen(
            "probe = \"paid\"\n",
            "",
            1,
        );
        let daemon = daemon(&[("shop.toml", &text), ("pay.sh", "#!/bin/sh\nsleep 600\n"), ("paid.sh", "#!/bin/sh\n")]);
        assert_eq!(state(&call(&daemon, "pay", &json!({"order": 7}))), expected, "{effect}");
    }
}

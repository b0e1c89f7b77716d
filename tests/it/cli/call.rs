//! `toolctl call`: from flags to an output, and how to go on when there is none yet.

use serde_json::json;

use super::{CHANGE, TICKET, asked, fails, with};
use crate::support::Daemon;

#[test]
fn a_call_prints_the_tools_output_and_nothing_else() {
    let daemon = Daemon::start();
    let output = daemon.cli(&with(&["-o", "json"], &TICKET)).exits(0);
    assert_eq!(output.stderr, "");
    let ticket = output.json()["ticket"].clone();
    assert_eq!(
        (&ticket["id"], &ticket["title"], &ticket["priority"]),
        (&json!(1), &json!("Login broken"), &json!("medium"))
    );
    let found: serde_json::Value =
        serde_json::from_str(&daemon.cli(&["call", "search_customer", "--query", "ACME"]).succeeds()).expect("JSON");
    assert_eq!(found, json!({"results": [{"id": 1, "name": "ACME AB", "status": "Active"}]}));
}

#[test]
fn a_receipt_is_the_whole_call() {
    let daemon = Daemon::start();
    let call = daemon.cli(&with(&["-o", "json"], &with(&TICKET, &["--receipt", "--idempotency-key", "k"]))).json();
    assert_eq!(
        (&call["tool"], &call["state"], &call["effect"]),
        (&json!("create_ticket"), &json!("succeeded"), &json!("done"))
    );
    assert_eq!((&call["idempotency_key"], &call["replayed"]), (&json!("k"), &json!(false)));
    assert_eq!(call["arguments"]["title"], "Login broken");
}

#[test]
fn a_repeat_with_the_same_key_is_a_replay_and_exit_0() {
    let daemon = Daemon::start();
    let keyed = with(&["-o", "json"], &with(&TICKET, &["--idempotency-key", "order 1".trim_end_matches(" 1")]));
    let first = daemon.cli(&keyed).exits(0);
    let second = daemon.cli(&keyed).exits(0);
    assert_eq!(first.stdout, second.stdout, "the same bytes");
    assert!(second.stderr.contains("replayed"), "{}", second.stderr);
    assert_eq!(daemon.audit("kind=call.completed").len(), 1);
}

#[test]
fn without_a_key_every_call_is_a_new_one() {
    let daemon = Daemon::start();
    daemon.cli(&TICKET).exits(0);
    daemon.cli(&TICKET).exits(0);
    assert_eq!(daemon.audit("kind=call.completed&tool=create_ticket").len(), 2);
}

#[test]
fn what_waits_for_people_is_exit_8_and_says_how_to_go_on() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let plain = daemon.cli(&CHANGE).key(&agent).exits(8);
    assert_eq!(plain.stdout, "");
    for part in ["call_", "toolctl wait call_", "approvers decide, with keys of their own; tell them of #1"] {
        assert!(plain.stderr.contains(part), "`{part}` in {}", plain.stderr);
    }
    assert!(!plain.stderr.contains("toolctl approve"), "an agent is told no command that it must not use");
    // Who runs the daemon may decide, and asks where nobody can be asked.
    let own = ["call", "update_customer_status", "--customer-id", "1", "--new-status", "Closed"];
    let own = fails(daemon.cli(&with(&["-o", "json"], &own)), 8);
    assert_eq!(own["try"][0], "toolctl approve '#2' --yes");
    let other =
        ["call", "update_customer_status", "--customer-id", "3", "--new-status", "Closed", "--idempotency-key", "k"];
    let error = fails(daemon.cli(&with(&["-o", "json"], &other)).key(&agent), 8);
    assert_eq!(
        (&error["code"], &error["effect"], &error["idempotency_key"]),
        (&json!("approval-pending"), &json!("none"), &json!("k"))
    );
    assert!(error["call_id"].as_str().is_some_and(|id| id.starts_with("call_")), "{error}");
}

#[test]
fn a_call_that_waits_for_its_people_ends_with_their_answer() {
    let daemon = Daemon::start();
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    for (verdict, code) in [("approve", 0), ("reject", 6)] {
        let key = format!("k-{verdict}");
        let waiting = daemon.cli(&with(&["-o", "json"], &with(&CHANGE, &["--wait", "60s", "--idempotency-key", &key])));
        let waiting = waiting.key(&agent).start();
        let call = crate::support::until(|| {
            let listed = daemon.http("GET", "/v1/approvals").send().json();
            listed["approvals"].get(0).map(|dossier| dossier["call"].clone())
        });
        crate::http::decision(&daemon, &call, verdict).key(&anna).send().is(200);
        let ending = waiting.ends();
        assert_eq!(ending.code, Some(code), "{ending:?}");
        if code == 0 {
            assert_eq!(ending.json()["customer"]["status"], "Suspended");
        } else {
            assert_eq!(ending.error()["code"], "approval-rejected");
        }
    }
}

#[test]
fn no_wait_beats_the_terminal_and_the_environment() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let ending = daemon.cli(&with(&CHANGE, &["--no-wait"])).key(&agent).env("TOOLCTL_WAIT", "60s").exits(8);
    assert!(ending.stderr.contains("call_"));
}

#[test]
fn a_reason_reaches_the_people_who_decide() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    daemon.cli(&with(&CHANGE, &["--reason", "the invoice is overdue"])).key(&agent).exits(8);
    let dossier = daemon.cli(&["-o", "json", "approvals", "show", "1"]).json();
    assert_eq!(dossier["call"]["reason"], "the invoice is overdue");
}

#[test]
fn a_dry_run_is_a_cheap_gate() {
    let daemon = Daemon::start();
    let reader = daemon.person("rita", &[]);
    daemon.cli(&with(&TICKET, &["--dry-run"])).exits(0);
    daemon.cli(&with(&CHANGE, &["--dry-run"])).exits(8);
    daemon.cli(&with(&TICKET, &["--dry-run"])).key(&reader).exits(5);
    daemon.cli(&["call", "create_ticket", "--customer-id", "1", "--dry-run"]).exits(2);
    daemon.cli(&["call", "nothing", "--dry-run"]).exits(2);
    assert_eq!(daemon.http("GET", "/v1/calls").send().json()["calls"], json!([]));
}

#[test]
fn the_help_of_a_tool_is_made_from_its_schema() {
    let daemon = Daemon::start();
    let help = daemon.cli(&["call", "update_customer_status", "--help"]).exits(0).stdout;
    for part in
        ["--customer-id", "--new-status", "--confirm", "high", "approvers", "toolctl call update_customer_status"]
    {
        assert!(help.contains(part), "`{part}` in {help}");
    }
}

#[test]
fn calls_are_listed_shown_and_taken_back() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    daemon.cli(&TICKET).exits(0);
    let call = asked(&daemon, &agent);
    let id = call["id"].as_str().expect("an id");
    let listed = daemon.cli(&["-o", "json", "calls", "list"]).json();
    assert_eq!(listed["calls"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed["calls"][0]["id"], id, "newest first");
    let lines = daemon.cli(&["-o", "jsonl", "calls", "list", "--state", "awaiting_approval"]).succeeds();
    assert_eq!(lines.lines().count(), 1);
    assert_eq!(daemon.cli(&["-o", "json", "calls", "show", id]).json()["state"], "awaiting_approval");
    assert_eq!(daemon.cli(&["-o", "json", "calls", "cancel", id]).key(&agent).ends().json()["state"], "cancelled");
    let error = fails(daemon.cli(&["-o", "json", "wait", id]).key(&agent), 12);
    assert_eq!(error["code"], "cancelled");
    fails(daemon.cli(&["-o", "json", "calls", "resolve", id, "--as", "succeeded"]), 12);
    fails(daemon.cli(&["-o", "json", "calls", "show", "call_01m84nsgrtfqka7av5h1rfcqxs"]), 2);
}

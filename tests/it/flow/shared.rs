//! The same request from two runs, or from a run and by hand, while it waits for people: it is asked for once, done once,
//! and each of them learns what came of it. Taking one back does not take it from the other.

use serde_json::{Value, json};

use super::{file, happened, ticket};
use crate::support::{Daemon, until};

/// A workflow whose only step asks people about a ticket.
fn workflow(daemon: &Daemon) -> String {
    file(daemon, "w.toml", &format!("name = \"w\"\n{}", ticket("a", "Asked for twice", "approval = \"required\"")))
}

fn shown(daemon: &Daemon, run: &str) -> Value {
    daemon.cli(&["runs", "show", run, "-o", "json"]).json()
}

/// Two runs that wait with one call.
fn two(daemon: &Daemon) -> String {
    let path = workflow(daemon);
    for run in ["r1", "r2"] {
        daemon.cli(&["run", &path, "--run", run]).exits(8);
    }
    let call = shown(daemon, "r1")["calls"][0]["id"].as_str().expect("a call").to_owned();
    let waiting = daemon.cli(&["approvals", "list", "-o", "json"]).json();
    assert_eq!(waiting["approvals"].as_array().expect("approvals").len(), 1, "people are asked once: {waiting}");
    call
}

#[test]
fn one_yes_is_for_both_and_each_shows_the_call() {
    let mut daemon = Daemon::start();
    let call = two(&daemon);
    // What is attached to what is on disk.
    daemon.kill();
    daemon.restart();
    let second = shown(&daemon, "r2");
    let attached = &second["attached"][0];
    assert_eq!(
        (&second["calls"], &attached["key"], &attached["opened_by"]),
        (&json!([]), &json!("r2/a"), &json!("r1/a"))
    );
    assert_eq!((&attached["call"]["id"], &attached["call"]["state"]), (&json!(call), &json!("awaiting_approval")));
    assert_eq!(shown(&daemon, "r1")["attached"], json!([]), "it made the call itself");
    let people = |run: &str| daemon.cli(&["runs", "show", run, "-o", "table"]).succeeds();
    let (first, second) = (people("r1"), people("r2"));
    assert!(first.contains(&format!("{call} is waited for by `r2/a` too")), "{first}");
    assert!(second.contains("for people (#1, 1 of approvers), as `r1/a` asked: toolctl approve '#1'"), "{second}");
    let lines = daemon.cli(&["runs", "show", "r2"]).succeeds();
    let fields: Vec<&str> = lines.lines().nth(1).expect("a call").split('\t').collect();
    assert_eq!((fields[0], fields[1], fields[5]), (call.as_str(), "a", "r1/a"), "{lines}");

    daemon.cli(&["approve", "1", "--yes"]).exits(0);
    let outputs = ["r1", "r2"].map(|run| {
        let report = daemon.cli(&["run", "--run", run, "-o", "json"]).exits(0).json();
        report["steps"][0]["output"].clone()
    });
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(happened(&daemon, "create_ticket"), 1);
    assert_eq!(shown(&daemon, "r2")["attached"][0]["call"]["state"], "succeeded");
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn one_no_is_for_both() {
    let daemon = Daemon::start();
    two(&daemon);
    daemon.cli(&["deny", "1", "--reason", "no"]).exits(0);
    for run in ["r1", "r2"] {
        daemon.cli(&["run", "--run", run]).exits(6);
    }
    assert_eq!(happened(&daemon, "create_ticket"), 0);
}

#[test]
fn taking_one_run_back_leaves_the_call_to_the_other() {
    for (taken, left) in [("r1", "r2"), ("r2", "r1")] {
        let daemon = Daemon::start();
        let call = two(&daemon);
        let ending = daemon.cli(&["runs", "cancel", taken, "-o", "json"]).exits(0);
        assert_eq!(ending.json()["run"]["state"], "cancelled");
        let said = if taken == "r1" {
            format!(
                "{call} is left as it is: `r2/a` waits for it too; toolctl calls cancel {call} takes it back for all\n"
            )
        } else {
            format!("{call} is left as it is: `r1/a` asked for it\n")
        };
        assert_eq!(ending.stderr, said);
        daemon.cli(&["run", "--run", taken]).exits(12);
        daemon.cli(&["approve", "1", "--yes"]).exits(0);
        daemon.cli(&["run", "--run", left]).exits(0);
        assert_eq!(happened(&daemon, "create_ticket"), 1, "{taken} was taken back");
    }
}

#[test]
fn a_call_by_hand_is_no_other_than_a_run() {
    let daemon = Daemon::start();
    let text = "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"update_customer_status\"\nwith = { customer_id = 1, new_status = \"Gone\" }\n\
                [[step]]\nid = \"b\"\ntool = \"update_customer_status\"\nwith = { customer_id = 1, new_status = \"Gone\" }\n";
    let path = file(&daemon, "w.toml", text);
    let by_hand =
        ["call", "update_customer_status", "--customer-id", "1", "--new-status", "Gone", "--idempotency-key", "k"];
    daemon.cli(&by_hand).exits(8);
    daemon.cli(&["run", &path, "--run", "r"]).exits(8);
    let attached = shown(&daemon, "r")["attached"].clone();
    let keys: Vec<_> = attached.as_array().expect("calls").iter().map(|it| (&it["key"], &it["opened_by"])).collect();
    assert_eq!(keys, [(&json!("r/a"), &json!("k")), (&json!("r/b"), &json!("k"))]);
    daemon.cli(&["runs", "cancel", "r"]).exits(0);
    let call = attached[0]["call"]["id"].as_str().expect("an id");
    assert_eq!(daemon.cli(&["calls", "show", call, "-o", "json"]).json()["state"], "awaiting_approval");
    // Whoever names the call itself takes it back for all.
    daemon.cli(&["calls", "cancel", call]).exits(0);
    daemon.cli(&by_hand).exits(12);

    // Two steps of one run that ask the same are nobody else's.
    daemon.cli(&["run", &path, "--run", "alone"]).exits(8);
    let ending = daemon.cli(&["runs", "cancel", "alone", "-o", "json"]).exits(0);
    assert_eq!((ending.json()["calls"][0]["state"].as_str(), ending.stderr.as_str()), (Some("cancelled"), ""));
}

#[test]
fn a_run_of_the_daemon_waits_with_the_call_of_another() {
    let daemon = Daemon::unhurried();
    let path = workflow(&daemon);
    daemon.cli(&["run", &path, "--run", "r1"]).exits(8);
    daemon.cli(&["run", &path, "--run", "r2", "--detach"]).exits(0);
    until(|| (shown(&daemon, "r2")["run"]["runner"]["state"] == "waiting").then_some(()));
    daemon.cli(&["approve", "1", "--yes"]).exits(0);
    until(|| (shown(&daemon, "r2")["run"]["state"] == "succeeded").then_some(()));
    daemon.cli(&["run", "--run", "r1"]).exits(0);
    assert_eq!(happened(&daemon, "create_ticket"), 1);
}

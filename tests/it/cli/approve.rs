//! `approve`, `deny`, `approvals`, `wait`: people decide, by number or by id, and everybody hears how it ended.

use serde_json::{Value, json};

use super::{asked, asked_for, fails};
use crate::support::{Daemon, until};

#[test]
fn a_call_is_approved_by_any_of_its_names() {
    let daemon = Daemon::start();
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    let names: [fn(&Value) -> String; 4] = [
        |call| call["approval"]["number"].to_string(),
        |call| format!("#{}", call["approval"]["number"]),
        |call| call["approval"]["id"].as_str().expect("apr_…").to_owned(),
        |call| call["id"].as_str().expect("call_…").to_owned(),
    ];
    for name in names {
        let call = asked(&daemon, &agent);
        let ending = daemon.cli(&["-o", "json", "approve", &name(&call), "--yes"]).key(&anna).exits(0);
        let end = ending.json();
        assert_eq!((&end["state"], &end["id"]), (&json!("succeeded"), &call["id"]), "{}", name(&call));
    }
}

#[test]
fn several_are_decided_in_one_command() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    asked(&daemon, &agent);
    asked_for(&daemon, &agent, "Closed");
    daemon.cli(&["approve", "1", "#2", "--yes", "--reason", "both are fine"]).exits(0);
    assert_eq!(daemon.http("GET", "/v1/approvals").send().json()["approvals"], json!([]));
    assert_eq!(daemon.audit("kind=approval.decided").len(), 2);
}

#[test]
fn a_denial_needs_a_reason_and_reaches_the_requester() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let call = asked(&daemon, &agent);
    daemon.cli(&["deny", "1"]).exits(2);
    daemon.cli(&["deny", "1", "--reason", "the customer has paid"]).exits(0);
    let error = fails(daemon.cli(&["-o", "json", "wait", call["id"].as_str().expect("an id")]).key(&agent), 6);
    assert_eq!(error["code"], "approval-rejected");
    let shown = daemon.http("GET", &format!("/v1/calls/{}", call["id"].as_str().expect("an id"))).send().json();
    assert_eq!(shown["approval"]["decisions"][0]["reason"], "the customer has paid");
}

#[test]
fn confirmations_are_not_approvals() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    asked(&daemon, &agent);
    let nobody = daemon.cli(&["-y", "approve", "#1", "17"]).exits(2).stderr;
    assert!(nobody.contains("try:  toolctl approve '#1' 17 --yes"), "{nobody}");
    assert_eq!(daemon.audit("kind=approval.decided").len(), 0);
}

#[test]
fn who_may_not_approve_is_told_so_and_nothing_runs() {
    let daemon = Daemon::start();
    let (agent, rita) = (daemon.agent("bot"), daemon.person("rita", &["operators"]));
    asked(&daemon, &agent);
    let decide = |key: &str| daemon.cli(&["-o", "json", "approve", "1", "--yes"]).key(key);
    assert_eq!(fails(decide(&agent), 5)["code"], "not-allowed");
    // Who has no part in a call does not even see it.
    assert_eq!(fails(decide(&rita), 2)["code"], "not-found");
    assert_eq!(daemon.audit("kind=call.completed").len(), 0);
}

#[test]
fn what_is_decided_or_unknown_cannot_be_decided() {
    let daemon = Daemon::start();
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    asked(&daemon, &agent);
    let first = daemon.cli(&["approve", "1", "--yes"]).key(&anna).exits(0);
    assert_eq!(first.stderr, "");
    let again = daemon.cli(&["approve", "1", "--yes"]).key(&anna).exits(0);
    assert!(again.stderr.contains("#1 was decided before: nothing was done now"), "{}", again.stderr);
    let why = daemon.cli(&["deny", "#1"]).key(&anna).exits(2).stderr;
    assert!(why.contains("toolctl deny '#1' --reason TEXT"), "{why}");
    // The decision is `reject` everywhere else, so the command may be typed as that, too.
    let error = fails(daemon.cli(&["-o", "json", "reject", "1", "--reason", "late"]).key(&anna), 12);
    assert_eq!(error["code"], "approval-already-decided");
    let error = fails(daemon.cli(&["-o", "json", "approve", "99", "--yes"]), 2);
    assert_eq!(error["code"], "not-found");
}

#[test]
fn approvals_are_listed_and_shown_for_people_and_programs() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    asked(&daemon, &agent);
    let listed = daemon.cli(&["-o", "json", "approvals", "list"]).json();
    assert_eq!(listed["approvals"][0]["call"]["approval"]["number"], 1);
    let plain = daemon.cli(&["approvals", "list"]).succeeds();
    assert!(plain.contains("update_customer_status") && plain.contains("agent:bot"), "{plain}");
    let shown = daemon.cli(&["-o", "table", "approvals", "show", "#1"]).succeeds();
    for part in ["update_customer_status", "agent:bot", "Suspended", "people-approve-what-can-harm", "approvers"] {
        assert!(shown.contains(part), "`{part}` in {shown}");
    }
}

#[test]
fn deceptive_text_reaches_the_approver_escaped() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let status = "Fine\u{1b}[2J\u{202e}\u{200b}dednepsuS";
    let arguments = json!({"customer_id": 2, "new_status": status});
    let reason = "approved\u{1b}[8m by\u{7} the boss";
    let body = json!({"tool": "update_customer_status", "arguments": arguments, "reason": reason});
    daemon.http("POST", "/v1/calls").key(&agent).json(&body).send();
    let shown = daemon.cli(&["-o", "table", "approvals", "show", "1"]).succeeds();
    for raw in ['\u{1b}', '\u{202e}', '\u{200b}', '\u{7}'] {
        assert!(!shown.contains(raw), "{:?} in {shown}", raw);
    }
    assert!(shown.contains("dednepsuS") && shown.contains("202e"), "{shown}");
}

#[test]
fn watching_shows_each_as_it_comes() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let mut watching = daemon.cli(&["-o", "jsonl", "approvals", "watch"]).start();
    watching.catches_interrupts();
    // Nobody can tell from outside when the watch is in place, so questions come until one is shown.
    let line = std::thread::scope(|scope| {
        let line = scope.spawn(|| watching.line());
        let mut count = 0;
        until(|| {
            if !line.is_finished() {
                count += 1;
                asked_for(&daemon, &agent, &format!("Status {count}"));
            }
            line.is_finished().then_some(())
        });
        line.join().expect("a line")
    });
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        (&line["call"]["tool"], &line["call"]["state"]),
        (&json!("update_customer_status"), &json!("awaiting_approval"))
    );
    watching.signal("INT");
    assert_eq!(watching.ends().code, Some(130));
}

#[test]
fn wait_ends_when_all_calls_have() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let (one, two) = (asked(&daemon, &agent), asked_for(&daemon, &agent, "Closed"));
    let id = |call: &Value| call["id"].as_str().expect("an id").to_owned();
    let waiting = daemon.cli(&["-o", "json", "wait", &id(&one)]).key(&agent).start();
    daemon.cli(&["approve", "1", "--yes"]).exits(0);
    let ending = waiting.ends();
    assert_eq!((ending.code, ending.json()["customer"]["status"].clone()), (Some(0), json!("Suspended")));
    daemon.cli(&["deny", "2", "--reason", "no"]).exits(0);
    // Of several, the worst ends it.
    daemon.cli(&["-o", "jsonl", "wait", &id(&one), &id(&two)]).key(&agent).exits(6);
}

#[test]
fn a_self_approval_is_marked() {
    let daemon = Daemon::start();
    daemon.cli(&super::CHANGE).exits(8);
    daemon.cli(&["approve", "1", "--yes"]).exits(0);
    let decided = until(|| daemon.audit("kind=approval.decided").pop());
    assert_eq!(
        (&decided["approval"]["self_approved"], &decided["approval"]["assurance"]),
        (&json!(true), &json!("A0"))
    );
}

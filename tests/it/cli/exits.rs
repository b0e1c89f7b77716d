//! Each exit status of the contract that a script can meet, at least once.

use serde_json::json;

use super::{CHANGE, TICKET, asked, fails, with};
use crate::support::{Daemon, until};

fn json<'a>(command: &[&'a str]) -> Vec<&'a str> {
    with(&["-o", "json"], command)
}

#[test]
fn success_is_0() {
    let daemon = Daemon::start();
    daemon.cli(&TICKET).exits(0);
}

#[test]
fn what_this_machine_refuses_is_1() {
    let daemon = Daemon::start();
    let error = fails(daemon.cli(&json(&["audit", "export", "--out", "no/such/folder/log.jsonl"])), 1);
    assert_eq!(error["code"], "io");
}

/// The daemon dies after the request was sent and before anybody was told: it may have run, and it has.
#[cfg(debug_assertions)]
#[test]
fn an_outcome_nobody_knows_is_10() {
    let mut daemon = Daemon::prepared(&[], &[("TOOLCTL_FAILPOINT", "open_settled:after:kill")]);
    daemon.restart();
    let error = fails(daemon.cli(&json(&with(&TICKET, &["--idempotency-key", "k"]))), 10);
    assert_eq!((&error["effect"], &error["idempotency_key"]), (&json!("unknown"), &json!("k")), "{error}");
    daemon.kill();
    daemon.unarm();
    daemon.restart();
    let receipt = daemon.cli(&json(&with(&TICKET, &["--idempotency-key", "k", "--receipt"]))).json();
    assert_eq!((&receipt["replayed"], &receipt["output"]["ticket"]["id"]), (&json!(true), &json!(1)));
}

#[test]
fn usage_is_2() {
    let daemon = Daemon::start();
    for command in [&["nonsense"][..], &["call"], &["--nonsense"], &["-o", "xml", "status"], &["wait"], &["deny"]] {
        let ending = daemon.cli(command).exits(2);
        assert_eq!(ending.stdout, "", "{command:?}");
        assert!(!ending.stderr.is_empty(), "{command:?}");
    }
    assert_eq!(fails(daemon.cli(&json(&["call", "nothing"])), 2)["code"], "tool-not-found");
}

#[test]
fn a_tool_that_ran_and_failed_is_3() {
    let daemon = Daemon::start();
    let missing = ["call", "create_ticket", "--customer-id", "99", "--title", "Nobody's"];
    let error = fails(daemon.cli(&json(&missing)), 3);
    assert_eq!((&error["code"], &error["effect"]), (&json!("object-not-found"), &json!("none")));
}

#[test]
fn no_wrong_and_expired_keys_are_4() {
    let daemon = Daemon::start();
    let error = fails(daemon.cli(&json(&["whoami"])).key("tctl_agent_wrong"), 4);
    assert!(error["message"].as_str().is_some_and(|text| !text.contains("tctl_agent_wrong")), "{error}");
    let agent = daemon.agent("bot");
    daemon.cli(&["whoami"]).key(&agent).exits(0);
    let id = daemon.http("GET", "/v1/keys").send().text("/keys/0/id");
    daemon.http("DELETE", &format!("/v1/keys/{id}")).send().is(200);
    fails(daemon.cli(&json(&["whoami"])).key(&agent), 4);
}

#[test]
fn denied_by_policy_is_5() {
    let daemon = Daemon::start();
    let reader = daemon.person("rita", &[]);
    let error = fails(daemon.cli(&json(&TICKET)).key(&reader), 5);
    assert_eq!((&error["code"], &error["effect"]), (&json!("policy-denied"), &json!("none")));
}

#[test]
fn rejected_by_a_person_is_6() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let call = asked(&daemon, &agent);
    daemon.cli(&["deny", "1", "--reason", "not today"]).exits(0);
    let error = fails(daemon.cli(&json(&["wait", call["id"].as_str().expect("an id")])).key(&agent), 6);
    assert_eq!(error["code"], "approval-rejected");
}

#[test]
fn no_daemon_is_7_and_says_how_to_start_it() {
    let daemon = Daemon::prepared(&[], &[]);
    let error = fails(daemon.cli(&json(&["status"])), 7);
    assert!(error.to_string().contains("toolctl serve"), "{error}");
    fails(daemon.cli(&json(&TICKET)), 7);
}

#[test]
fn waiting_for_people_is_8() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    assert_eq!(fails(daemon.cli(&json(&CHANGE)).key(&agent), 8)["code"], "approval-pending");
}

#[test]
fn expired_is_9() {
    let mut daemon = Daemon::prepared(&[], &[]);
    daemon.configure(
        "policies/main.cedar",
        r#"@id("all") permit (principal, action, resource);
        @id("people") @approval_group("approvers") @approval_ttl("200ms")
        forbid (principal, action in [Toolctl::Action::"high_risk"], resource) unless { context.session.attended };"#,
    );
    daemon.restart();
    let agent = daemon.agent("bot");
    let call = asked(&daemon, &agent);
    let error = fails(daemon.cli(&json(&["wait", call["id"].as_str().expect("an id")])).key(&agent), 9);
    assert_eq!((&error["code"], &error["effect"]), (&json!("approval-expired"), &json!("none")));
}

#[test]
fn a_rate_limit_is_11_and_says_when() {
    let daemon = Daemon::with_env_file("RATE_LIMIT_PER_MIN=6\n", &[]);
    let agent = daemon.agent("bot");
    let error = until(|| {
        let ending = daemon.cli(&json(&["call", "search_customer", "--query", "a"])).key(&agent).ends();
        (ending.code == Some(11)).then(|| ending.error())
    });
    assert_eq!(error["code"], "rate-limited");
    assert!(error["retry_after"].as_u64().is_some_and(|wait| wait >= 1), "{error}");
}

#[test]
fn a_conflict_is_12() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    daemon.cli(&with(&TICKET, &["--idempotency-key", "k"])).exits(0);
    let other = ["call", "create_ticket", "--customer-id", "2", "--title", "Other", "--idempotency-key", "k"];
    assert_eq!(fails(daemon.cli(&json(&other)), 12)["code"], "idempotency-key-reused");
    asked(&daemon, &agent);
    let wrong = format!("sha256:{}", "0".repeat(64));
    let stale = ["approve", "1", "--yes", "--expect-digest", &wrong];
    assert_eq!(fails(daemon.cli(&json(&stale)), 12)["code"], "approval-stale");
}

#[test]
fn our_own_deadline_is_124() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let call = asked(&daemon, &agent);
    let command = ["-o", "json", "--timeout", "100ms", "wait", call["id"].as_str().expect("an id")];
    let error = fails(daemon.cli(&command).key(&agent), 124);
    assert_eq!((&error["effect"], &error["call_id"]), (&json!("none"), &call["id"]));
}

#[test]
fn interrupted_is_130_and_the_call_goes_on() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let call = asked(&daemon, &agent);
    let id = call["id"].as_str().expect("an id");
    let records = daemon.audit("").len();
    let waiting = daemon.cli(&["-o", "json", "wait", id]).key(&agent).start();
    waiting.catches_interrupts().signal("INT");
    let ending = waiting.ends();
    assert_eq!(ending.code, Some(130), "{ending:?}");
    assert_eq!(daemon.audit("").len(), records, "waiting changes nothing");
    assert_eq!(daemon.cli(&["-o", "json", "calls", "show", id]).json()["state"], "awaiting_approval");
}

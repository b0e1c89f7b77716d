//! Races and changes between the question and the answer: exactly one end each, and nothing that people did
//! not agree to ever runs.

use std::sync::{Arc, Barrier};

use serde_json::{Value, json};

use crate::http::{ask, customer, decision};
use crate::support::{Daemon, until};

const RULES: &str = r#"
@id("all")
permit (principal, action, resource);

@id("people")
@approval_group("approvers")
@approval_ttl("TTL")
forbid (principal, action in [Toolctl::Action::"high_risk"], resource) unless { context.session.attended };
"#;

/// A daemon whose approvals must be decided within this time.
fn daemon_with_ttl(ttl: &str) -> Daemon {
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[]);
    std::fs::write(daemon.dir().join(".env"), crate::support::daemon::UNHURRIED).expect("the env file");
    daemon.configure("policies/main.cedar", &RULES.replace("TTL", ttl));
    daemon.restart();
    daemon
}

fn shown(daemon: &Daemon, call: &Value) -> Value {
    daemon.http("GET", &format!("/v1/calls/{}?wait=30s", call["id"].as_str().expect("an id"))).send().json()
}

fn records(daemon: &Daemon, call: &Value, kind: &str) -> usize {
    daemon.audit(&format!("call={}&kind={kind}", call["id"].as_str().expect("an id"))).len()
}

#[test]
fn of_sixteen_who_decide_at_once_exactly_one_side_wins() {
    let daemon = Daemon::unhurried();
    let people: Vec<String> = (0..16).map(|number| daemon.approver(&format!("person{number}"))).collect();
    // Two questions an agent: three rejections of one would open a circuit.
    let agents: Vec<String> = (0..25).map(|number| daemon.agent(&format!("bot{number}"))).collect();
    let mut approved = 0;
    for round in 0..50 {
        let call = ask(&daemon, &agents[round % 25], &format!("k{round}"), &format!("Status {round}"));
        let barrier = Arc::new(Barrier::new(people.len()));
        let deciders: Vec<_> = people
            .iter()
            .enumerate()
            .map(|(number, key)| {
                let verdict = if (number + round) % 2 == 0 { "approve" } else { "reject" };
                let (request, barrier) = (decision(&daemon, &call, verdict).key(key), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    (verdict, request.send())
                })
            })
            .collect();
        let answers: Vec<_> = deciders.into_iter().map(|decider| decider.join().expect("a decider")).collect();
        let won: Vec<_> = answers.iter().filter(|(_, answer)| answer.status == 200).collect();
        assert_eq!(won.len(), 1, "round {round}: {answers:?}");
        for (_, answer) in answers.iter().filter(|(_, answer)| answer.status != 200) {
            answer.is_problem(409, "approval-already-decided");
        }
        let end = shown(&daemon, &call);
        let expected = if won[0].0 == "approve" { "succeeded" } else { "rejected" };
        assert_eq!(end["state"], expected, "round {round}");
        assert_eq!(records(&daemon, &call, "approval.decided"), 1, "round {round}");
        assert_eq!(records(&daemon, &call, "call.completed"), usize::from(won[0].0 == "approve"), "round {round}");
        let status = &customer(&daemon, 2)["status"];
        assert_eq!(*status == format!("Status {round}"), won[0].0 == "approve", "round {round}");
        approved += usize::from(won[0].0 == "approve");
    }
    println!("{approved} of 50 were approved");
}

#[test]
fn an_approval_against_its_expiry_has_one_end() {
    let daemon = daemon_with_ttl("1s");
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    for round in 0..4_u64 {
        let call = ask(&daemon, &agent, &format!("k{round}"), &format!("Status {round}"));
        // Decide closer and closer to the deadline; whoever is first, the end is one.
        let decide_by: toolctl::domain::time::Timestamp =
            call["approval"]["decide_by"].as_str().expect("a time").parse().expect("a time");
        let asked_at = call["approval"]["asked_at"].as_str().expect("a time").parse().expect("a time");
        assert_eq!(decide_by.since(asked_at).as_millis(), 1_000, "the rule's own ttl");
        std::thread::sleep(std::time::Duration::from_millis(940 + 20 * round));
        let answer = decision(&daemon, &call, "approve").key(&anna).send();
        let end = shown(&daemon, &call);
        match answer.status {
            200 => assert_eq!(end["state"], "succeeded", "round {round}"),
            409 => {
                assert!(["approval-expired", "approval-already-decided"].contains(&answer.text("/code").as_str()));
                assert_eq!((&end["state"], &end["effect"]), (&json!("expired"), &json!("none")), "round {round}");
            }
            other => panic!("round {round}: {other} {}", String::from_utf8_lossy(&answer.body)),
        }
        let changed = customer(&daemon, 2)["status"] == format!("Status {round}");
        assert_eq!(changed, answer.status == 200, "round {round}: only what was approved in time ran");
    }
}

#[test]
fn nobody_in_time_is_a_no_without_anybody_asking() {
    let daemon = daemon_with_ttl("200ms");
    let agent = daemon.agent("bot");
    let call = ask(&daemon, &agent, "k", "Suspended");
    until(|| (records(&daemon, &call, "call.closed") == 1).then_some(()));
    let end = shown(&daemon, &call);
    assert_eq!((&end["state"], &end["effect"]), (&json!("expired"), &json!("none")));
    assert_eq!(end["error"]["code"], "approval-expired");
    decision(&daemon, &call, "approve").send().is_problem(409, "approval-expired");
    // The key stays used: a repeat is the same no, never a new question.
    let change = json!({"customer_id": 2, "new_status": "Suspended"});
    let again = daemon.http("POST", "/tools/update_customer_status").key(&agent).once("k").json(&change).send();
    again.is_problem(409, "approval-expired");
}

#[test]
fn what_policy_no_longer_allows_does_not_run() {
    let daemon = daemon_with_ttl("1h");
    let agent = daemon.agent("bot");
    let call = ask(&daemon, &agent, "k", "Suspended");
    let stricter = format!(
        "{}\n@id(\"frozen\")\nforbid (principal, action == Toolctl::Action::\"update_customer_status\", resource);",
        RULES.replace("TTL", "1h")
    );
    daemon.configure("policies/main.cedar", &stricter);
    daemon.http("POST", "/v1/reload").json(&json!({})).send().is(200);
    is_stale(&daemon, &call);
}

#[test]
fn what_needs_more_people_by_now_does_not_run() {
    let daemon = daemon_with_ttl("1h");
    let agent = daemon.agent("bot");
    let call = ask(&daemon, &agent, "k", "Suspended");
    let stricter = RULES.replace("@approval_ttl(\"TTL\")", "@approval_quorum(\"2\")");
    daemon.configure("policies/main.cedar", &stricter);
    daemon.approver("anna");
    daemon.http("POST", "/v1/reload").json(&json!({})).send().is(200);
    is_stale(&daemon, &call);
}

#[test]
fn what_policy_allows_as_before_runs_after_a_reload() {
    let daemon = daemon_with_ttl("1h");
    let agent = daemon.agent("bot");
    let call = ask(&daemon, &agent, "k", "Suspended");
    daemon.configure("policies/main.cedar", &format!("// the same\n{}", RULES.replace("TTL", "1h")));
    daemon.http("POST", "/v1/reload").json(&json!({})).send().is(200);
    decision(&daemon, &call, "approve").send().is(200);
    assert_eq!(shown(&daemon, &call)["state"], "succeeded");
}

fn is_stale(daemon: &Daemon, call: &Value) {
    decision(daemon, call, "approve").send();
    let end = shown(daemon, call);
    assert_eq!((&end["state"], &end["effect"]), (&json!("stale"), &json!("none")), "{end}");
    assert_eq!(end["error"]["code"], "approval-stale");
    assert_eq!(customer(daemon, 2)["status"], "Active");
    assert_eq!(records(daemon, call, "call.dispatched") + records(daemon, call, "call.completed"), 0);
}

#[test]
fn a_revoked_approvers_yes_does_not_count() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let made = daemon.make_key(&json!({"name": "anna", "kind": "user", "groups": ["approvers"]}));
    let call = ask(&daemon, &agent, "k", "Suspended");
    let id = made["info"]["id"].as_str().expect("an id");
    daemon.http("DELETE", &format!("/v1/keys/{id}")).send().is(200);
    let key = made["key"].as_str().expect("a key");
    decision(&daemon, &call, "approve").key(key).send().is_problem(401, "unauthenticated");
    assert_eq!(customer(&daemon, 2)["status"], "Active");
    assert_eq!(shown_now(&daemon, &call), "awaiting_approval");
}

#[test]
fn the_first_of_two_revoked_before_the_second_agrees_stops_the_call() {
    let mut daemon = Daemon::prepared(&[], &[]);
    daemon.configure("policies/main.cedar", &RULES.replace("@approval_ttl(\"TTL\")", "@approval_quorum(\"2\")"));
    daemon.restart();
    let (agent, otto) = (daemon.agent("bot"), daemon.approver("otto"));
    let made = daemon.make_key(&json!({"name": "anna", "kind": "user", "groups": ["approvers"]}));
    let call = ask(&daemon, &agent, "k", "Suspended");
    let first = decision(&daemon, &call, "approve").key(made["key"].as_str().expect("a key")).send();
    assert_eq!(first.json()["state"], "awaiting_approval", "one of two: {}", first.json());
    let id = made["info"]["id"].as_str().expect("an id");
    daemon.http("DELETE", &format!("/v1/keys/{id}")).send().is(200);
    decision(&daemon, &call, "approve").key(&otto).send();
    let end = shown(&daemon, &call);
    assert_ne!(end["state"], "succeeded", "{end}");
    assert_eq!(customer(&daemon, 2)["status"], "Active");
    assert_eq!(end["effect"], "none");
}

#[test]
fn a_revoked_requesters_call_does_not_run() {
    let daemon = Daemon::start();
    let made = daemon.make_key(&json!({"name": "bot", "kind": "agent"}));
    let call = ask(&daemon, made["key"].as_str().expect("a key"), "k", "Suspended");
    let id = made["info"]["id"].as_str().expect("an id");
    daemon.http("DELETE", &format!("/v1/keys/{id}")).send().is(200);
    is_stale(&daemon, &call);
}

#[test]
fn three_rejections_open_a_circuit_for_one_agent_and_tool() {
    let daemon = Daemon::start();
    let (agent, other) = (daemon.agent("bot"), daemon.agent("other"));
    for round in 0..3 {
        let call = ask(&daemon, &agent, &format!("k{round}"), "Suspended");
        decision(&daemon, &call, "reject").send().is(200);
    }
    let change = json!({"customer_id": 2, "new_status": "Suspended"});
    let again = daemon.http("POST", "/tools/update_customer_status").key(&agent).once("k9").json(&change).send();
    again.is_problem(429, "circuit-open");
    let wait: u64 = again.header("retry-after").parse().expect("whole seconds");
    assert!((1..=900).contains(&wait), "{wait}");
    ask(&daemon, &other, "k", "Suspended");
}

#[test]
fn an_agent_has_at_most_twenty_requests_before_people() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    for round in 0..20 {
        ask(&daemon, &agent, &format!("k{round}"), &format!("Status {round}"));
    }
    let change = json!({"customer_id": 2, "new_status": "One more"});
    let more = daemon.http("POST", "/tools/update_customer_status").key(&agent).once("k20").json(&change).send();
    more.is_problem(429, "circuit-open");
}

#[test]
fn what_nobody_could_approve_is_refused_at_once() {
    let mut daemon = Daemon::prepared(&[], &[]);
    let rules = RULES.replace("@approval_ttl(\"TTL\")", "@approval_quorum(\"5\")");
    daemon.configure("policies/main.cedar", &rules);
    daemon.restart();
    let agent = daemon.agent("bot");
    let change = json!({"customer_id": 2, "new_status": "Suspended"});
    let refused = daemon.http("POST", "/tools/update_customer_status").key(&agent).json(&change).send();
    refused.is_problem(409, "approval-unsatisfiable");
}

#[test]
fn what_waits_outlives_the_daemon() {
    let mut daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let call = ask(&daemon, &agent, "k", "Suspended");
    daemon.kill();
    daemon.restart();
    assert_eq!(shown_now(&daemon, &call), "awaiting_approval");
    decision(&daemon, &call, "approve").send().is(200);
    assert_eq!(customer(&daemon, 2)["status"], "Suspended");
}

fn shown_now(daemon: &Daemon, call: &Value) -> String {
    daemon.http("GET", &format!("/v1/calls/{}", call["id"].as_str().expect("an id"))).send().text("/state")
}

//! Calls, approvals and the log through `/v1`.

use serde_json::{Value, json};

use super::{ask, call, customer, decision};
use crate::support::Daemon;

fn ticket(title: &str) -> Value {
    json!({"customer_id": 1, "title": title})
}

#[test]
fn a_call_has_its_whole_story() {
    let daemon = Daemon::start();
    let made = call(&daemon, "create_ticket", &ticket("Login broken")).once("k").send().is(200).json();
    for (member, expected) in [
        ("tool", json!("create_ticket")),
        ("state", json!("succeeded")),
        ("effect", json!("done")),
        ("replayed", json!(false)),
        ("idempotency_key", json!("k")),
        ("attempts", json!(1)),
        ("arguments", json!({"customer_id": 1, "title": "Login broken", "description": "", "priority": "medium"})),
    ] {
        assert_eq!(made[member], expected, "`{member}` in {made}");
    }
    assert_eq!(made["output"]["ticket"]["title"], "Login broken");
    let id = made["id"].as_str().expect("an id");
    let shown = daemon.http("GET", &format!("/v1/calls/{id}")).send().is(200).json();
    assert_eq!((&shown["output"], &shown["state"]), (&made["output"], &made["state"]));
    let again = call(&daemon, "create_ticket", &ticket("Login broken")).once("k").send().is(200).json();
    assert_eq!((&again["id"], &again["replayed"], &again["output"]), (&made["id"], &json!(true), &made["output"]));
}

#[test]
fn a_dry_run_passes_every_guard_and_runs_nothing() {
    let daemon = Daemon::start();
    let dry = |tool: &str, arguments: Value| {
        let body = json!({"tool": tool, "arguments": arguments, "dry_run": true});
        daemon.http("POST", "/v1/calls").json(&body).once("dry").send()
    };
    assert_eq!(dry("create_ticket", ticket("Never made")).is(200).json()["state"], "would_run");
    let change = json!({"customer_id": 1, "new_status": "Closed"});
    assert_eq!(dry("update_customer_status", change).is(200).json()["state"], "would_wait");
    dry("create_ticket", json!({})).is_problem(422, "arguments-invalid");
    dry("nothing", json!({})).is_problem(404, "tool-not-found");
    let calls = daemon.http("GET", "/v1/calls").send().json();
    assert_eq!(calls["calls"], json!([]), "nothing was opened, so no key was burned");
    let approvals = daemon.http("GET", "/v1/approvals").send().json();
    assert_eq!(approvals["approvals"], json!([]));
}

#[test]
fn calls_are_paged_newest_first_without_gap_or_repeat() {
    let daemon = Daemon::start();
    let mut made = Vec::new();
    for number in 0..7 {
        let title = format!("Ticket {number}");
        made.push(call(&daemon, "create_ticket", &ticket(&title)).send().text("/id"));
    }
    made.reverse();
    let mut listed = Vec::new();
    let mut cursor = String::new();
    for _ in 0..10 {
        let page = daemon.http("GET", &format!("/v1/calls?limit=3{cursor}")).send().is(200).json();
        let calls = page["calls"].as_array().expect("calls");
        assert!(calls.len() <= 3);
        listed.extend(calls.iter().map(|call| call["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(listed, made);
    daemon.http("GET", "/v1/calls?limit=0").send().is_problem(422, "request-malformed");
    daemon.http("GET", "/v1/calls?limit=many").send().is_problem(422, "request-malformed");
    daemon.http("GET", "/v1/calls?cursor=nonsense").send().is(422);
}

#[test]
fn calls_are_filtered_and_each_caller_sees_its_own() {
    let daemon = Daemon::start();
    let (one, two) = (daemon.agent("one"), daemon.agent("two"));
    let mine = call(&daemon, "create_ticket", &ticket("Of one")).key(&one).send().text("/id");
    call(&daemon, "create_ticket", &ticket("Of two")).key(&two).send().is(200);
    ask(&daemon, &one, "k", "Closed");
    let count = |query: &str, key: Option<&str>| {
        let request = daemon.http("GET", &format!("/v1/calls?{query}"));
        let listed = key.map_or(request.clone(), |key| request.key(key)).send().is(200).json();
        listed["calls"].as_array().expect("calls").len()
    };
    assert_eq!((count("", None), count("", Some(&one)), count("", Some(&two))), (3, 2, 1));
    assert_eq!(count("principal=agent:one", None), 2);
    assert_eq!(count("tool=create_ticket&principal=agent:one", None), 1);
    assert_eq!(count("state=awaiting_approval", None), 1);
    assert_eq!(count("since=2999-01-01T00:00:00Z", None), 0);
    daemon.http("GET", &format!("/v1/calls/{mine}")).key(&two).send().is_problem(404, "not-found");
}

#[test]
fn a_waiting_reader_sees_the_end() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let call = ask(&daemon, &agent, "k", "Suspended");
    let path = format!("/v1/calls/{}?wait=60s", call["id"].as_str().expect("an id"));
    let waiting = daemon.http("GET", &path).key(&agent);
    let waiter = std::thread::spawn(move || waiting.send().json());
    decision(&daemon, &call, "approve").send().is(200);
    let end = waiter.join().expect("the waiter ends");
    assert_eq!((&end["state"], &end["output"]["customer"]["status"]), (&json!("succeeded"), &json!("Suspended")));
}

#[test]
fn a_wait_that_is_over_tells_where_the_call_stands() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let call = ask(&daemon, &agent, "k", "Suspended");
    let path = format!("/v1/calls/{}?wait=20ms", call["id"].as_str().expect("an id"));
    let shown = daemon.http("GET", &path).key(&agent).send();
    assert_eq!(shown.json()["state"], "awaiting_approval");
    daemon.http("GET", &path.replace("20ms", "soon")).key(&agent).send().is_problem(422, "request-malformed");
}

#[test]
fn a_call_can_be_taken_back_before_it_starts() {
    let daemon = Daemon::start();
    let (agent, other) = (daemon.agent("bot"), daemon.agent("other"));
    let call = ask(&daemon, &agent, "k", "Suspended");
    let path = format!("/v1/calls/{}/cancel", call["id"].as_str().expect("an id"));
    daemon.http("POST", &path).key(&other).send().is_problem(404, "not-found");
    let shown = format!("/v1/calls/{}", call["id"].as_str().expect("an id"));
    daemon.http("POST", &path).key(&agent).send();
    let taken = daemon.http("GET", &shown).key(&agent).send().json();
    assert_eq!((&taken["state"], &taken["effect"]), (&json!("cancelled"), &json!("none")));
    decision(&daemon, &call, "approve").send().is(409);
    assert_eq!(customer(&daemon, 2)["status"], "Active");
}

#[test]
fn approvals_wait_in_order_and_show_what_would_run() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let first = ask(&daemon, &agent, "k1", "Suspended");
    ask(&daemon, &agent, "k2", "Closed");
    let listed = daemon.http("GET", "/v1/approvals").send().is(200).json();
    let numbers: Vec<_> = listed["approvals"].as_array().expect("approvals").iter().map(number).collect();
    assert_eq!(numbers, [1, 2], "oldest first");
    for id in ["1", "%231", first["approval"]["id"].as_str().expect("apr_…"), first["id"].as_str().expect("call_…")]
    {
        let dossier = daemon.http("GET", &format!("/v1/approvals/{id}")).send().is(200).json();
        assert_eq!(dossier["call"]["id"], first["id"], "{id}");
        assert_eq!(dossier["call"]["approval"]["digest"], first["approval"]["digest"]);
        assert_eq!((&dossier["risk"], &dossier["effect_class"]), (&json!("high"), &json!("once")));
        assert_eq!(dossier["call"]["approval"]["requirements"][0]["group"], "approvers");
    }
    daemon.http("GET", "/v1/approvals/99").send().is_problem(404, "not-found");
}

fn number(dossier: &Value) -> u64 {
    dossier["call"]["approval"]["number"].as_u64().expect("a number")
}

#[test]
fn a_person_decides_once_and_the_same_again_is_no_error() {
    let daemon = Daemon::start();
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    let call = ask(&daemon, &agent, "k", "Suspended");
    let first = decision(&daemon, &call, "approve").key(&anna).send().is(200).json();
    assert_eq!((&first["state"], &first["effect"]), (&json!("succeeded"), &json!("done")));
    assert_eq!(first["approval"]["decisions"][0]["by"], "user:anna");
    let again = decision(&daemon, &call, "approve").key(&anna).send();
    assert_eq!(again.status, 200, "the same again: {}", String::from_utf8_lossy(&again.body));
    decision(&daemon, &call, "reject").key(&anna).send().is_problem(409, "approval-already-decided");
    assert_eq!(customer(&daemon, 2)["status"], "Suspended");
    let records = daemon.audit("kind=call.completed&tool=update_customer_status");
    assert!(records.len() <= 1, "it ran once: {records:?}");
}

#[test]
fn who_may_not_decide_is_told_why() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let helper = daemon.make_key(&json!({"name": "clerk", "kind": "agent", "groups": ["approvers"]}));
    let helper = helper["key"].as_str().expect("a key");
    let (operator, reader) = (daemon.person("otto", &["operators"]), daemon.person("rita", &[]));
    let anna = daemon.person("anna", &["operators", "approvers"]);
    let call = ask(&daemon, &agent, "k", "Suspended");
    for key in [agent.as_str(), helper, &operator, &reader] {
        decision(&daemon, &call, "approve").key(key).send().is_problem(403, "not-allowed");
    }
    let hers = ask(&daemon, &anna, "k", "Closed");
    let refused = decision(&daemon, &hers, "approve").key(&anna).send();
    refused.is_problem(403, "not-allowed");
    assert!(refused.text("/detail").contains("own"), "{}", refused.json());
    assert_eq!(customer(&daemon, 2)["status"], "Active");
    decision(&daemon, &hers, "approve").send().is(200);
    assert_eq!(customer(&daemon, 2)["status"], "Closed");
}

#[test]
fn the_log_is_read_filtered_and_counted_from_its_end() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let made = call(&daemon, "create_ticket", &ticket("One")).key(&agent).send().text("/id");
    call(&daemon, "create_ticket", &ticket("Two")).send().is(200);
    let types = |query: &str| -> Vec<String> {
        daemon.audit(query).iter().map(|record| record["type"].as_str().expect("a type").to_owned()).collect()
    };
    assert_eq!(types(&format!("call={made}")), ["call.completed"]);
    assert_eq!(types("actor=agent:bot"), ["call.completed"]);
    assert_eq!(types("kind=key.created"), ["key.created"]);
    assert_eq!(types("kind=call.*&tool=create_ticket"), ["call.completed", "call.completed"]);
    assert_eq!(types("kind=call.*&last=1").len(), 1);
    assert_eq!(types("from=0&limit=1").len(), 1);
    assert_eq!(types("until=2000-01-01T00:00:00Z"), Vec::<String>::new());
    let head = daemon.http("GET", "/v1/audit/checkpoint").send().is(200).json();
    let all = daemon.http("GET", "/v1/audit").send().lines();
    assert_eq!(head["size"], all.len());
    let indexes: Vec<_> = all.iter().map(|line| line["index"].as_u64().expect("an index")).collect();
    assert_eq!(indexes, (0..all.len() as u64).collect::<Vec<_>>());
    let secret = String::from_utf8(daemon.http("GET", "/v1/audit").send().body).expect("UTF-8");
    assert!(!secret.contains(&agent) && !secret.contains("One"), "neither keys nor arguments stand in the log");
}

#[test]
fn a_follower_misses_nothing_and_repeats_nothing() {
    let daemon = Daemon::start();
    let mut lines = daemon.http("GET", "/v1/audit?follow=true&kind=call.completed").stream();
    let mut made = Vec::new();
    for round in 0..5 {
        made.push(call(&daemon, "create_ticket", &ticket(&format!("Ticket {round}"))).send().text("/id"));
    }
    let mut seen = Vec::new();
    while seen.len() < made.len() {
        let line = lines.next().expect("a line");
        // A heartbeat is an empty object or line: it has no record.
        let Some(leaf) = line["leaf"].as_str() else { continue };
        let record: Value = serde_json::from_str(leaf).expect("a record");
        seen.push(record["call"].as_str().expect("a call").to_owned());
    }
    assert_eq!(seen, made);
}

#[test]
fn watchers_of_approvals_see_them_come() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let mut seen = daemon.http("GET", "/v1/approvals/watch").stream();
    let call = ask(&daemon, &agent, "k", "Suspended");
    let dossier = seen.find(|line| line["call"]["id"] == call["id"]).expect("the approval");
    assert_eq!(dossier["call"]["state"], "awaiting_approval");
}

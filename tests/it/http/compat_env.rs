//! What the environment of the original demo server means: `API_KEY`, `ALLOWED_TOOLS`, `RATE_LIMIT_PER_MIN`,
//! and who may confirm its own calls.

use serde_json::json;

use super::{customer, tool};
use crate::support::Daemon;

const KEY: &str = "demo-key";
const CHANGE: &str = "update_customer_status";

#[test]
fn the_env_principal_confirms_its_own_call_and_the_log_says_so() {
    let daemon = Daemon::with_env_file(&format!("API_KEY={KEY}\n"), &[]);
    let change = json!({"customer_id": 2, "new_status": "Suspended", "confirm": true});
    let done = tool(&daemon, CHANGE, &change).key(KEY).send();
    let output = done.is(200).json();
    assert_eq!((&output["requires_confirmation"], &output["pending_action_id"]), (&json!(false), &json!(null)));
    assert_eq!(output["customer"]["status"], "Suspended");

    let records = daemon.audit(&format!("call={}", done.header("toolctl-call")));
    let marked: Vec<_> = records.iter().filter(|record| record["approval"]["self_approved"] == true).collect();
    assert_eq!(marked.len(), 1, "{records:?}");
    assert_eq!((&marked[0]["actor"], &marked[0]["approval"]["assurance"]), (&json!("env"), &json!("A0")));
}

#[test]
fn an_agent_may_not_wave_itself_through() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let change = json!({"customer_id": 2, "new_status": "Suspended", "confirm": true});
    let asked = tool(&daemon, CHANGE, &change).key(&agent).send();
    assert_eq!(asked.is(202).json()["requires_confirmation"], true);
    assert_eq!(customer(&daemon, 2)["status"], "Active");
    let path = format!("/confirm/{}", asked.text("/pending_action_id"));
    daemon.http("POST", &path).key(&agent).json(&json!({"approve": true})).send().is_problem(403, "not-allowed");
    assert_eq!(customer(&daemon, 2)["status"], "Active");
}

#[test]
fn the_allowlist_denies_and_hides() {
    let text = format!("API_KEY={KEY}\nALLOWED_TOOLS=search_customer,create_ticket\n");
    let daemon = Daemon::with_env_file(&text, &[]);
    let denied = tool(&daemon, "send_message", &json!({"channel": "x", "message": "y"})).key(KEY).send();
    denied.is_problem(403, "policy-denied");
    assert_eq!(denied.text("/effect"), "none");
    for path in ["/mcp/tools", "/v1/tools"] {
        let listed = daemon.http("GET", path).key(KEY).send().json();
        let names: Vec<_> = listed["tools"].as_array().expect("tools").iter().map(|tool| &tool["name"]).collect();
        assert_eq!(names, [&json!("create_ticket"), &json!("search_customer")], "{path}");
    }
    tool(&daemon, "search_customer", &json!({"query": "a"})).key(KEY).send().is(200);
    // The daemon's own user is held to the list too.
    tool(&daemon, "send_message", &json!({"channel": "x", "message": "y"})).send().is_problem(403, "policy-denied");
}

#[test]
fn the_rate_limit_is_kept_told_and_counted_by_caller() {
    let daemon = Daemon::with_env_file(&format!("API_KEY={KEY}\nRATE_LIMIT_PER_MIN=5\n"), &[]);
    let search = |key: &str| tool(&daemon, "search_customer", &json!({"query": "a"})).key(key).send();
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(search(KEY));
    }
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    for (used, answer) in answers.iter().enumerate() {
        assert!(answer.header("ratelimit-policy").contains("q=5;w=60"), "{:?}", answer.headers);
        let left = 4_usize.saturating_sub(used);
        assert!(answer.header("ratelimit").contains(&format!("r={left};t=")), "{used}: {:?}", answer.headers);
    }
    let refused = answers.last().expect("an answer");
    refused.is_problem(429, "rate-limited");
    let wait: u64 = refused.header("retry-after").parse().expect("whole seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(refused.json()["retry_after"], wait);
    // Another caller has an allowance of its own.
    let agent = daemon.agent("bot");
    search(&agent).is(200);
}

#[test]
fn without_its_key_the_original_client_is_refused_on_tcp() {
    let daemon = Daemon::with_env_file(&format!("API_KEY={KEY}\n"), &["--listen", "127.0.0.1:0"]);
    let door = daemon.tcp();
    for path in ["/mcp/tools", "/v1/tools", "/v1/status", "/v1/calls"] {
        door.http("GET", path).send().is_problem(401, "unauthenticated");
        door.http("GET", path).header("X-API-Key", "wrong").send().is_problem(401, "unauthenticated");
    }
    door.http("GET", "/health").send().is(200);
}

#[test]
fn tcp_lets_only_its_own_names_in() {
    let daemon = Daemon::with_env_file(&format!("API_KEY={KEY}\n"), &["--listen", "127.0.0.1:0"]);
    let door = daemon.tcp();
    let foreign = door.speak(
        format!("GET /mcp/tools HTTP/1.1\r\nHost: evil.example\r\nX-API-Key: {KEY}\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    );
    foreign.expect("an answer").is_problem(403, "not-allowed");
    let page = door.http("GET", "/mcp/tools").key(KEY).header("Origin", "http://evil.example").send();
    page.is_problem(403, "not-allowed");
    door.http("GET", "/mcp/tools").key(KEY).send().is(200);
}

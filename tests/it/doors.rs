//! One table of scenarios through every door: REST, MCP of both eras over HTTP, and MCP over lines through the
//! stdio bridge. Each door has a daemon of its own, and what they answer and what they leave in the log must be
//! the same, but for what only a door can know.

mod way;

use serde_json::{Value, json};

use crate::support::Daemon;

use way::{Asked, Said, Way};

/// No call is held, so that a pending one is answered at once.
const CONFIG: &str = "[mcp]\nhold = \"0s\"\n";

/// One request of a scenario: whose key, what is asked.
struct Step {
    who: Who,
    asked: Asked,
}

#[derive(Clone, Copy)]
enum Who {
    /// An agent that may act.
    Agent,
    /// An agent in no group.
    Nobody,
    /// Somebody whose key is wrong.
    Stranger,
}

fn step(tool: &str, arguments: &str, key: &str) -> Step {
    let key = (!key.is_empty()).then(|| key.to_owned());
    Step { who: Who::Agent, asked: Asked { tool: tool.to_owned(), arguments: arguments.to_owned(), key } }
}

fn by(who: Who, step: Step) -> Step {
    Step { who, ..step }
}

/// What one door says to everything, and what the log keeps of it.
#[derive(Debug, PartialEq)]
struct Story {
    said: Vec<Said>,
    records: Vec<Value>,
}

fn scenario() -> Vec<Step> {
    let ticket = r#"{"customer_id":1,"title":"Login broken"}"#;
    let status = r#"{"customer_id":2,"new_status":"Paused"}"#;
    vec![
        step("search_customer", r#"{"query":"acme"}"#, ""),
        step("create_ticket", ticket, "t-1"),
        step("create_ticket", ticket, "t-1"),
        step("create_ticket", r#"{"title":"Login broken","customer_id":1}"#, "t-1"),
        step("create_ticket", r#"{"customer_id":1,"title":"Something else"}"#, "t-1"),
        step("search_customer", r#"{"query":"acme"}"#, "t-1"),
        step("create_ticket", r#"{"customer_id":"1","titel":"x"}"#, "t-2"),
        step("create_ticket", r#"{"customer_id":1,"title":"abc","title":"abd"}"#, "t-2"),
        step("create_ticket", r#"{"customer_id":9007199254740993,"title":"abc"}"#, "t-2"),
        step("create_ticket", r#"{"customer_id":999,"title":"Login broken"}"#, "t-3"),
        step("create_ticket", r#"{"customer_id":999,"title":"Login broken"}"#, "t-3"),
        step("no_such_tool", "{}", ""),
        by(Who::Nobody, step("create_ticket", ticket, "t-4")),
        by(Who::Stranger, step("search_customer", r#"{"query":"acme"}"#, "")),
        step("update_customer_status", status, "s-1"),
        step("update_customer_status", status, "s-1"),
        step("update_customer_status", r#"{"customer_id":3,"new_status":"Paused","confirm":true}"#, "s-2"),
    ]
}

/// After the scenario: the first waiting call is approved, the second rejected, and both are asked for again.
fn run<W: Way>(open: impl Fn(&Daemon, &str) -> W) -> Story {
    let mut daemon = Daemon::prepared(&["--listen", "127.0.0.1:0"], &[]);
    daemon.configure("toolctl.toml", CONFIG);
    daemon.restart_as({
        let mut command = daemon.command();
        command.arg("--config").arg(daemon.dir().join("config").join("toolctl.toml"));
        command
    });
    let agent = daemon.agent("bot");
    let nobody = daemon.make_key(&json!({"name": "nobody", "kind": "agent", "groups": []}));
    let nobody = nobody["key"].as_str().expect("a key").to_owned();
    let anna = daemon.approver("anna");
    let (rest, last) = agent.split_at(agent.len() - 1);
    let stranger = format!("{rest}{}", if last == "x" { "y" } else { "x" });
    let first = daemon.audit("").len();

    let (mut bots, mut nobodys, mut strangers) =
        (open(&daemon, &agent), open(&daemon, &nobody), open(&daemon, &stranger));
    let mut said = Vec::new();
    for Step { who, asked } in scenario() {
        let way = match who {
            Who::Agent => &mut bots,
            Who::Nobody => &mut nobodys,
            Who::Stranger => &mut strangers,
        };
        said.push(way.call(&asked));
    }
    let waiting = daemon.http("GET", "/v1/approvals").key(&anna).send().json();
    for (place, verdict) in ["approve", "reject"].into_iter().enumerate() {
        let approval = &waiting["approvals"][place]["call"]["approval"];
        let path = format!("/v1/approvals/{}/decisions", approval["id"].as_str().expect("an approval"));
        let body = json!({"decision": verdict, "digest": approval["digest"], "wait": "30s"});
        daemon.http("POST", &path).key(&anna).json(&body).send().is(200);
    }
    for asked in scenario().into_iter().map(|step| step.asked).filter(|asked| asked.tool == "update_customer_status") {
        said.push(bots.call(&asked));
    }
    let records = daemon.audit("").split_off(first).into_iter().filter(|record| record["type"] != "auth.failed");
    Story { said, records: records.map(without_chance).collect() }
}

/// A record without what differs from one daemon or door to the next: times, ids, salted digests, and how the
/// request came.
fn without_chance(mut record: Value) -> Value {
    let members = record.as_object_mut().expect("an object");
    for name in ["at", "call", "commit", "credential", "key"] {
        members.remove(name);
    }
    if let Some(detail) = members.get_mut("detail").and_then(Value::as_object_mut) {
        for name in ["client", "key_from", "trace"] {
            detail.remove(name);
        }
    }
    if members.get("detail").is_some_and(|detail| detail.as_object().is_some_and(serde_json::Map::is_empty)) {
        members.remove("detail");
    }
    if let Some(approval) = members.get_mut("approval").and_then(Value::as_object_mut) {
        approval.remove("binding");
    }
    record
}

#[test]
fn every_door_leads_to_the_same_path() {
    let rest = run(way::Rest::open);
    let said: Vec<_> = rest.said.iter().map(|said| said.code.as_deref().unwrap_or("done")).collect();
    assert_eq!(
        said,
        [
            "done",
            "done",
            "done",
            "done",
            "idempotency-key-reused",
            "idempotency-key-reused",
            "arguments-invalid",
            "args-not-canonical",
            "args-not-canonical",
            "object-not-found",
            "object-not-found",
            "tool-not-found",
            "policy-denied",
            "unauthenticated",
            "approval-pending",
            "approval-pending",
            "approval-pending",
            "done",
            "done",
            "approval-rejected",
        ]
    );
    for (door, story) in [
        ("MCP 2026-07-28", run(way::Modern::open)),
        ("MCP 2025-11-25", run(way::Legacy::open)),
        ("MCP over stdio, 2026-07-28", run(way::Bridge::modern)),
        ("MCP over stdio, 2025-06-18", run(way::Bridge::legacy)),
    ] {
        for (place, (theirs, ours)) in rest.said.iter().zip(&story.said).enumerate() {
            assert_eq!(theirs, ours, "{door}, step {place}");
        }
        for (place, (theirs, ours)) in rest.records.iter().zip(&story.records).enumerate() {
            assert_eq!(theirs, ours, "{door}, record {place}");
        }
        assert_eq!(rest.records.len(), story.records.len(), "{door}");
    }
}

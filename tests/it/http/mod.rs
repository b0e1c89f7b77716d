//! The HTTP doors of the contract, spoken by hand.

mod compat;
mod compat_env;
mod framing;
mod native;
mod openapi;
mod operator;
mod statuses;

use serde_json::{Value, json};

use crate::support::{Daemon, Exchange};

/// A call of a tool through the compatible door.
pub fn tool(daemon: &Daemon, name: &str, arguments: &Value) -> Exchange {
    daemon.http("POST", &format!("/tools/{name}")).json(arguments)
}

/// A call through the native door.
pub fn call(daemon: &Daemon, name: &str, arguments: &Value) -> Exchange {
    daemon.http("POST", "/v1/calls").json(&json!({"tool": name, "arguments": arguments}))
}

/// Asks for the status change that people must approve, as this caller; gives the call.
pub fn ask(daemon: &Daemon, key: &str, idempotency_key: &str, status: &str) -> Value {
    let asked = call(daemon, "update_customer_status", &json!({"customer_id": 2, "new_status": status}));
    let asked = asked.key(key).once(idempotency_key).send();
    let call = asked.json();
    assert_eq!(call["state"], "awaiting_approval", "{call}");
    call
}

/// A decision about a call's approval, with the digest that was asked about.
pub fn decision(daemon: &Daemon, call: &Value, verdict: &str) -> Exchange {
    let id = call["approval"]["id"].as_str().expect("an approval");
    let body = json!({"decision": verdict, "digest": call["approval"]["digest"], "wait": "30s"});
    daemon.http("POST", &format!("/v1/approvals/{id}/decisions")).json(&body)
}

/// The customer of this number, as the search shows it.
pub fn customer(daemon: &Daemon, id: u64) -> Value {
    let found = tool(daemon, "search_customer", &json!({"query": "e"})).send().json();
    let results = found["results"].as_array().expect("results");
    results.iter().find(|customer| customer["id"] == id).expect("the customer").clone()
}

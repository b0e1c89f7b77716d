//! The published description is true: every operation has a name of its own, every path is there, and every
//! answer seen here is documented.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ask, call, decision, tool};
use crate::support::{Daemon, Response};

fn description(daemon: &Daemon) -> Value {
    daemon.http("GET", "/openapi.json").send().is(200).json()
}

#[test]
fn every_operation_has_a_name_of_its_own_and_no_reference_dangles() {
    let daemon = Daemon::start();
    let document = description(&daemon);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{}", document["openapi"]);
    let mut names = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            if method == "parameters" {
                continue;
            }
            let name = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no name"));
            assert!(names.insert(name.to_owned()), "`{name}` twice");
            assert!(operation["responses"].as_object().is_some_and(|all| !all.is_empty()), "{method} {path}");
        }
    }
    for name in
        ["createCall", "listCalls", "showCall", "cancelCall", "decideApproval", "readAudit", "createKey", "status"]
    {
        assert!(names.contains(name), "`{name}` in {names:?}");
    }
    for name in ["create_ticket", "search_customer", "update_customer_status", "send_message", "get_incident_impact"] {
        assert!(names.contains(&format!("call_{name}")), "one operation a tool: `{name}` in {names:?}");
    }
    references(&document, &document);
}

fn references(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(pointer) = members.get("$ref").and_then(Value::as_str) {
                let pointer = pointer.strip_prefix('#').unwrap_or_else(|| panic!("`{pointer}` leads elsewhere"));
                assert!(document.pointer(pointer).is_some(), "`{pointer}` leads nowhere");
            }
            members.values().for_each(|member| references(document, member));
        }
        Value::Array(items) => items.iter().for_each(|item| references(document, item)),
        _ => {}
    }
}

#[test]
fn every_path_of_the_contract_is_documented() {
    let daemon = Daemon::start();
    let document = description(&daemon);
    for (method, path) in [
        ("get", "/health"),
        ("get", "/mcp/tools"),
        ("post", "/tools/create_ticket"),
        ("post", "/confirm/{id}"),
        ("post", "/v1/calls"),
        ("get", "/v1/calls"),
        ("get", "/v1/calls/{id}"),
        ("post", "/v1/calls/{id}/cancel"),
        ("post", "/v1/calls/{id}/resolve"),
        ("get", "/v1/approvals"),
        ("get", "/v1/approvals/{id}"),
        ("post", "/v1/approvals/{id}/decisions"),
        ("get", "/v1/approvals/watch"),
        ("get", "/v1/audit"),
        ("get", "/v1/audit/checkpoint"),
        ("get", "/v1/tools"),
        ("get", "/v1/tools/{name}"),
        ("get", "/v1/keys"),
        ("post", "/v1/keys"),
        ("post", "/v1/keys/{id}/rotate"),
        ("delete", "/v1/keys/{id}"),
        ("post", "/v1/policy/check"),
        ("get", "/v1/policy"),
        ("get", "/v1/status"),
        ("get", "/v1/whoami"),
        ("post", "/v1/reload"),
        ("post", "/v1/stop"),
    ] {
        assert!(document["paths"][path][method].is_object(), "{method} {path} is not documented");
    }
}

#[test]
fn every_answer_is_documented() {
    let daemon = Daemon::start();
    let document = description(&daemon);
    let agent = daemon.agent("bot");
    let documented = |method: &str, path: &str, answer: &Response| {
        let responses = &document["paths"][path][method]["responses"];
        let status = answer.status.to_string();
        let class = format!("{}XX", &status[..1]);
        let known = responses[&status].is_object() || responses[&class].is_object() || responses["default"].is_object();
        assert!(known, "{method} {path} answered {status}, and documents {responses}");
    };
    let ticket = json!({"customer_id": 1, "title": "abc"});
    let path = "/tools/create_ticket";
    for answer in [
        tool(&daemon, "create_ticket", &ticket).once("k").send(),
        tool(&daemon, "create_ticket", &json!({})).send(),
        tool(&daemon, "create_ticket", &ticket).key("wrong").send(),
        tool(&daemon, "create_ticket", &json!({"customer_id": 9, "title": "abc"})).send(),
        tool(&daemon, "create_ticket", &json!({"customer_id": 1, "title": "x".repeat(2 << 20)})).send(),
        daemon.http("POST", path).header("Content-Type", "text/plain").raw(b"x").send(),
    ] {
        documented("post", path, &answer);
    }
    let change = json!({"customer_id": 1, "new_status": "Closed"});
    documented("post", "/tools/update_customer_status", &tool(&daemon, "update_customer_status", &change).send());
    documented("post", "/v1/calls", &call(&daemon, "create_ticket", &ticket).send());
    documented("post", "/v1/calls", &call(&daemon, "nothing", &ticket).send());
    let asked = ask(&daemon, &agent, "k", "Suspended");
    let path = "/v1/approvals/{id}/decisions";
    documented("post", path, &decision(&daemon, &asked, "approve").key(&agent).send());
    documented("post", path, &decision(&daemon, &asked, "reject").send());
    documented("post", path, &decision(&daemon, &asked, "approve").send());
    documented("get", "/v1/calls/{id}", &daemon.http("GET", "/v1/calls/nonsense").send());
    documented("get", "/v1/audit", &daemon.http("GET", "/v1/audit").send());
}

//! What an operator does over HTTP: keys, policy, tools, status.

use serde_json::{Value, json};

use super::{ask, tool};
use crate::support::Daemon;

#[test]
fn a_key_is_shown_once_and_listed_without_its_secret() {
    let daemon = Daemon::start();
    let made = daemon.make_key(&json!({"name": "anna", "kind": "user", "groups": ["approvers"], "expires_in": "1d"}));
    let key = made["key"].as_str().expect("a key");
    assert!(key.starts_with("tctl_u_"), "{key}");
    let listed = daemon.http("GET", "/v1/keys").send();
    listed.is(200);
    assert!(!String::from_utf8_lossy(&listed.body).contains(key));
    let info = &listed.json()["keys"][0];
    assert_eq!((&info["principal"], &info["groups"]), (&json!("user:anna"), &json!(["approvers"])));
    assert!(info["expires_at"].is_string());
    let me = daemon.http("GET", "/v1/whoami").key(key).send().json();
    assert_eq!((&me["principal"], &me["kind"]), (&json!("user:anna"), &json!("user")));
    assert_eq!((&me["groups"], &me["may_self_approve"]), (&json!(["approvers"]), &json!(false)));
}

#[test]
fn the_daemons_own_user_is_operator_administrator_and_approver() {
    let daemon = Daemon::start();
    let me = daemon.http("GET", "/v1/whoami").send().is(200).json();
    assert!(me["principal"].as_str().is_some_and(|name| name.starts_with("os:")), "{me}");
    let groups: Vec<_> = me["groups"].as_array().expect("groups").iter().filter_map(Value::as_str).collect();
    for group in ["administrators", "approvers", "operators"] {
        assert!(groups.contains(&group), "`{group}` in {groups:?}");
    }
    assert_eq!(me["may_self_approve"], true);
}

#[test]
fn rotating_leaves_the_old_key_good_for_its_overlap_only() {
    let daemon = Daemon::start();
    let made = daemon.make_key(&json!({"name": "bot", "kind": "agent"}));
    let (old, id) = (made["key"].as_str().expect("a key"), made["info"]["id"].as_str().expect("an id"));
    let rotated = daemon.http("POST", &format!("/v1/keys/{id}/rotate")).json(&json!({"overlap": "50ms"})).send();
    let new = rotated.is(200).text("/key");
    assert_ne!(new, old);
    daemon.http("GET", "/v1/whoami").key(&new).send().is(200);
    let refused = crate::support::until(|| {
        let answer = daemon.http("GET", "/v1/whoami").key(old).send();
        (answer.status == 401).then_some(answer)
    });
    refused.is_problem(401, "unauthenticated");
    daemon.http("GET", "/v1/whoami").key(&new).send().is(200);
}

#[test]
fn at_most_two_keys_of_a_principal_are_good_at_once() {
    let daemon = Daemon::start();
    let wanted = json!({"name": "bot", "kind": "agent"});
    let first = daemon.make_key(&wanted);
    daemon.make_key(&wanted);
    let third = daemon.http("POST", "/v1/keys").json(&wanted).send();
    assert!((400..500).contains(&third.status), "{}", third.status);
    let id = first["info"]["id"].as_str().expect("an id");
    daemon.http("DELETE", &format!("/v1/keys/{id}")).send().is(200);
    daemon.make_key(&wanted);
}

#[test]
fn a_child_key_is_never_more_than_its_parent_and_dies_with_it() {
    let daemon = Daemon::start();
    let parent =
        daemon.make_key(&json!({"name": "bot", "kind": "agent", "scope": {"tools": ["search_*", "create_ticket"]}}));
    let parent_key = parent["key"].as_str().expect("a key");
    let child = |wanted: Value| daemon.http("POST", "/v1/keys").key(parent_key).json(&wanted).send();
    let narrow = child(json!({"name": "sub", "from_current": true, "scope": {"tools": ["search_customer"]}}));
    let narrow = narrow.is(200).text("/key");
    tool(&daemon, "search_customer", &json!({"query": "a"})).key(&narrow).send().is(200);
    let outside = tool(&daemon, "create_ticket", &json!({"customer_id": 1, "title": "abc"})).key(&narrow).send();
    outside.is_problem(404, "tool-not-found");
    let wide = child(json!({"name": "wide", "from_current": true, "scope": {"tools": ["send_message"]}}));
    assert!((400..500).contains(&wide.status), "wider than its parent: {}", wide.status);
    let approver = child(json!({"name": "boss", "from_current": true, "kind": "user", "groups": ["approvers"]}));
    assert!((400..500).contains(&approver.status), "approver rights cannot be passed on: {}", approver.status);
    child(json!({"name": "free", "kind": "agent"})).is_problem(403, "not-allowed");

    let id = parent["info"]["id"].as_str().expect("an id");
    daemon.http("DELETE", &format!("/v1/keys/{id}")).send().is(200);
    tool(&daemon, "search_customer", &json!({"query": "a"})).key(&narrow).send().is_problem(401, "unauthenticated");
}

#[test]
fn a_scope_hides_what_it_does_not_cover() {
    let daemon = Daemon::start();
    let made = daemon.make_key(&json!({"name": "bot", "kind": "agent", "scope": {"greatest_effect": "readonly"}}));
    let key = made["key"].as_str().expect("a key");
    let listed = daemon.http("GET", "/mcp/tools").key(key).send().json();
    let names: Vec<_> = listed["tools"].as_array().expect("tools").iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["get_incident_impact", "search_customer"]);
    tool(&daemon, "create_ticket", &json!({"customer_id": 1, "title": "abc"}))
        .key(key)
        .send()
        .is_problem(404, "tool-not-found");
}

#[test]
fn only_administrators_manage_keys_and_the_daemon() {
    let daemon = Daemon::start();
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    let first = daemon.http("GET", "/v1/keys").send().json();
    let annas = first["keys"].as_array().expect("keys").iter().find(|key| key["principal"] == "user:anna");
    let id = annas.expect("Anna's key")["id"].as_str().expect("an id").to_owned();
    for key in [&agent, &anna] {
        daemon.http("POST", "/v1/keys").key(key).json(&json!({"name": "x"})).send().is_problem(403, "not-allowed");
        daemon.http("POST", "/v1/stop").key(key).json(&json!({})).send().is_problem(403, "not-allowed");
        daemon.http("POST", "/v1/reload").key(key).json(&json!({})).send().is_problem(403, "not-allowed");
    }
    let foreign = daemon.http("DELETE", &format!("/v1/keys/{id}")).key(&agent).send();
    assert!(matches!(foreign.status, 403 | 404), "{}", foreign.status);
    daemon.http("GET", "/v1/whoami").key(&anna).send().is(200);
}

#[test]
fn policy_says_what_it_would_decide_and_runs_nothing() {
    let daemon = Daemon::start();
    let reader = daemon.person("rita", &[]);
    let check = |tool: &str, arguments: Value, who: Option<&str>| {
        let request = daemon.http("POST", "/v1/policy/check").json(&json!({"tool": tool, "arguments": arguments}));
        who.map_or(request.clone(), |key| request.key(key)).send().is(200).json()
    };
    let ticket = json!({"customer_id": 1, "title": "abc"});
    let allowed = check("create_ticket", ticket.clone(), None);
    assert_eq!((&allowed["answer"], &allowed["rules"]), (&json!("allow"), &json!(["operators-may-act"])));
    let change = json!({"customer_id": 1, "new_status": "Closed"});
    let asks = check("update_customer_status", change, None);
    assert_eq!(asks["answer"], "needs_approval");
    assert_eq!(asks["requirements"][0]["rule"], "people-approve-what-can-harm");
    let denied = check("create_ticket", ticket.clone(), Some(&reader));
    assert_eq!((&denied["answer"], &denied["principal"]), (&json!("deny"), &json!("user:rita")));
    assert!(denied["explanation"].as_str().is_some_and(|text| !text.is_empty()));
    let body = json!({"tool": "create_ticket", "arguments": ticket, "as": "user:rita"});
    let for_her = daemon.http("POST", "/v1/policy/check").json(&body).send().is(200).json();
    assert_eq!(for_her["answer"], "deny");
    let agent = daemon.agent("bot");
    daemon.http("POST", "/v1/policy/check").key(&agent).json(&body).send().is_problem(403, "not-allowed");
    let shown = daemon.http("GET", "/v1/policy").send().is(200).json();
    assert_eq!((&shown["files"][0]["name"], &shown["digest"]), (&json!("shipped"), &allowed["policy"]));
}

#[test]
fn tools_say_what_policy_says_to_the_caller() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let listed = daemon.http("GET", "/v1/tools").key(&agent).send().is(200).json();
    let rows: Vec<_> = listed["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .map(|tool| format!("{} {} {}", tool["name"], tool["effect"], tool["standing"]).replace('"', ""))
        .collect();
    assert_eq!(
        rows,
        [
            "create_ticket once allowed",
            "get_incident_impact readonly allowed",
            "search_customer readonly allowed",
            "send_message once allowed",
            "update_customer_status once needs_approval",
        ]
    );
    let shown = daemon.http("GET", "/v1/tools/update_customer_status").key(&agent).send().is(200).json();
    assert_eq!(shown["approvers"], json!(["approvers"]));
    daemon.http("GET", "/v1/tools/nothing").key(&agent).send().is_problem(404, "tool-not-found");
}

#[test]
fn status_counts_what_waits_and_names_the_daemon() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let before = daemon.http("GET", "/v1/status").send().is(200).json();
    assert_eq!((&before["pid"], &before["tools"]), (&json!(daemon.pid()), &json!(5)));
    assert_eq!((&before["pending"], &before["in_doubt"], &before["store"]), (&json!(0), &json!(0), &json!("ok")));
    assert!(!before["notes"].as_array().expect("notes").is_empty(), "it says what the default set-up means");
    ask(&daemon, &agent, "k", "Suspended");
    let after = daemon.http("GET", "/v1/status").send().json();
    assert_eq!(after["pending"], 1);
    assert!(after["records"].as_u64() > before["records"].as_u64());
    assert_ne!(after["root"], before["root"]);
    let head = daemon.http("GET", "/v1/audit/checkpoint").send().json();
    assert_eq!((&head["size"], &head["root"]), (&after["records"], &after["root"]));
}

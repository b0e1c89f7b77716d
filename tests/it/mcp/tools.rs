//! The governed tools over MCP, end to end: the same guards, keys, records and approvals as through every other
//! door.

use serde_json::{Value, json};

use super::{Events, MODERN, message_of, modern, post, request, said, session};
use crate::support::{Daemon, Exchange, until};

const RAISE: &str = "update_customer_status";
const CALL: &str = "dev.toolctl/call";
const REPLAYED: &str = "dev.toolctl/replayed";

/// A daemon that says at once that a call waits for people.
fn impatient() -> Daemon {
    let mut daemon = Daemon::prepared(&[], &[]);
    daemon.configure("toolctl.toml", "[mcp]\nhold = \"50ms\"\n");
    daemon.restart();
    daemon
}

/// A modern `tools/call` with these members beside the arguments, the metadata among them.
fn call(daemon: &Daemon, key: &str, tool: &str, arguments: &Value, more: &Value) -> Exchange {
    let mut params = json!({"name": tool, "arguments": arguments});
    let mut meta = said(MODERN);
    for (name, value) in more.as_object().into_iter().flatten() {
        if name.starts_with("params.") {
            params[name.trim_start_matches("params.")] = value.clone();
        } else {
            meta[name] = value.clone();
        }
    }
    params["_meta"] = meta;
    let sent = post(&daemon.door(), &request("tools/call", params)).key(key);
    sent.header("MCP-Protocol-Version", MODERN).header("Mcp-Method", "tools/call").header("Mcp-Name", tool)
}

/// The result of a call.
#[track_caller]
fn result(sent: &Exchange) -> Value {
    let answer = sent.send();
    let mut body = message_of(answer.is(200));
    assert!(body.get("error").is_none(), "{body}");
    body["result"].take()
}

/// What a result says, which is the same as text and structured.
#[track_caller]
fn facts(result: &Value) -> Value {
    let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {result}"));
    let text: Value = serde_json::from_str(text).expect("JSON in the text");
    // Errors of tools with an output schema are text alone.
    if let Some(structured) = result.get("structuredContent") {
        assert_eq!(*structured, text, "the same facts in both");
    }
    text
}

fn names(daemon: &Daemon, key: &str) -> Vec<String> {
    let listed = modern(&daemon.door(), "tools/list", json!({})).key(key).send();
    let listed = listed.is(200).json();
    let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("no tools: {listed}"));
    tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

/// From where the key of this call came, as its record says.
fn key_from(daemon: &Daemon, result: &Value) -> Value {
    let call = result["_meta"][CALL].as_str().expect("a call");
    daemon.audit(&format!("call={call}")).first().expect("a record")["detail"]["key_from"].clone()
}

fn message(text: &str) -> Value {
    json!({"channel": "#ops", "message": text})
}

#[test]
fn everybody_is_shown_what_it_may_call() {
    let daemon = Daemon::start();
    let scoped = daemon.make_key(&json!({"name": "bot", "kind": "agent", "scope": {"tools": ["search_*"]}}));
    assert_eq!(names(&daemon, scoped["key"].as_str().expect("a key")), ["search_customer"]);
    assert_eq!(
        names(&daemon, &daemon.agent("triage")),
        ["create_ticket", "get_incident_impact", "search_customer", "send_message", "toolctl_wait", RAISE]
    );
    assert_eq!(
        names(&daemon, &daemon.approver("anna")),
        ["get_incident_impact", "search_customer", "toolctl_approvals_decide", "toolctl_approvals_list"]
    );
    let legacy = post(&daemon.door(), &request("tools/list", json!({})));
    let legacy = legacy.header("Mcp-Session-Id", &session(&daemon, "2025-11-25")).send().is(200).json();
    let tools = legacy["result"]["tools"].as_array().expect("tools");
    let raise = tools.iter().find(|tool| tool["name"] == RAISE).expect("the tool");
    assert_eq!(raise["execution"]["taskSupport"], "optional");
    assert_eq!(legacy["result"].get("ttlMs"), None);
}

#[test]
fn a_key_is_looked_for_in_order_and_the_record_says_where_it_was() {
    let daemon = Daemon::unhurried();
    let key = daemon.agent("triage");
    let mut number = 0;
    let mut fresh = || {
        number += 1;
        message(&format!("message {number}"))
    };
    let send = |arguments: &Value, more: Value| call(&daemon, &key, "send_message", arguments, &more);
    for (more, from) in [
        (
            json!({"dev.toolctl/idempotency-key": "a", "params.idempotencyKey": "a", "dev.toolctl/bridge-key": "x"}),
            "_meta",
        ),
        (json!({"params.idempotencyKey": "b", "claudecode/toolUseId": "toolu_1"}), "params"),
        (json!({"claudecode/toolUseId": "toolu_2", "dev.toolctl/bridge-key": "x"}), "claudecode"),
        (json!({"callId": "call_1", "threadId": "t", "dev.toolctl/bridge-key": "x"}), "codex"),
        (json!({"dev.toolctl/bridge-key": "x"}), "bridge"),
    ] {
        let arguments = fresh();
        let first = result(&send(&arguments, more.clone()));
        assert_eq!(key_from(&daemon, &first), from);
        let again = result(&send(&arguments, more));
        assert_eq!((&again["_meta"][REPLAYED], &again["_meta"][CALL]), (&json!(true), &first["_meta"][CALL]), "{from}");
        assert_eq!(again["content"], first["content"]);
    }
    let by_header = result(&send(&fresh(), json!({})).once("c"));
    assert_eq!(key_from(&daemon, &by_header), "header");
    let mut by_model = fresh();
    by_model["idempotency_key"] = json!("d");
    let by_model = result(&send(&by_model, json!({"claudecode/toolUseId": "toolu_3"})));
    assert_eq!(key_from(&daemon, &by_model), "argument");
    let differ = result(&send(&fresh(), json!({"params.idempotencyKey": "e"})).once("f"));
    assert_eq!(facts(&differ)["code"], "idempotency-key-invalid");
}

#[test]
fn a_key_is_one_call_through_every_door() {
    let daemon = Daemon::start();
    let key = daemon.agent("triage");
    let ticket = json!({"customer_id": 1, "title": "Login broken"});
    let rest = daemon.http("POST", "/v1/calls").key(&key).once("k");
    let rest = rest.json(&json!({"tool": "create_ticket", "arguments": ticket})).send().is(200).json();
    let more = json!({"dev.toolctl/idempotency-key": "k"});
    let replayed = result(&call(&daemon, &key, "create_ticket", &ticket, &more));
    assert_eq!((&replayed["_meta"][CALL], &replayed["_meta"][REPLAYED]), (&rest["id"], &json!(true)));
    assert_eq!(facts(&replayed), rest["output"]);
    let other = json!({"customer_id": 2, "title": "Login broken"});
    let conflict = facts(&result(&call(&daemon, &key, "create_ticket", &other, &more)));
    assert_eq!(
        (&conflict["status"], &conflict["code"], &conflict["executed"]),
        (&json!("idempotency_conflict"), &json!("idempotency-key-reused"), &json!(false))
    );
    let mut keyed = ticket;
    keyed["idempotency_key"] = json!("k");
    let params = json!({"name": "create_ticket", "arguments": keyed});
    let legacy = post(&daemon.door(), &request("tools/call", params)).key(&key);
    let legacy = legacy.header("MCP-Protocol-Version", "2025-06-18").send().is(200).json();
    assert_eq!(legacy["result"]["structuredContent"], rest["output"]);
    assert_eq!(legacy["result"]["_meta"][CALL], rest["id"]);
}

#[test]
fn a_no_is_a_result_with_its_reason_and_a_record() {
    let daemon = Daemon::start();
    let person = daemon.person("otto", &[]);
    let denied = result(&call(&daemon, &person, "send_message", &message("x"), &json!({})));
    assert_eq!(denied["isError"], true);
    let said = facts(&denied);
    assert_eq!(
        (&said["status"], &said["code"], &said["executed"], &said["effect"]),
        (&json!("denied"), &json!("policy-denied"), &json!(false), &json!("none"))
    );
    assert!(said["help"].as_str().is_some_and(|help| !help.is_empty()), "{said}");
    let record = daemon.audit("kind=call.denied").pop().expect("a record");
    assert_eq!((&record["actor"], &record["tool"]), (&json!("user:otto"), &json!("send_message")));

    let agent = daemon.agent("triage");
    let missing =
        result(&call(&daemon, &agent, "create_ticket", &json!({"customer_id": 99, "title": "abc"}), &json!({})));
    let said = facts(&missing);
    assert_eq!((&said["status"], &said["code"]), (&json!("failed"), &json!("object-not-found")));
    let wrong = facts(&result(&call(&daemon, &agent, "create_ticket", &json!({"title": 7}), &json!({}))));
    assert_eq!(wrong["errors"].as_array().map(Vec::len), Some(2), "{wrong}");

    let unknown = call(&daemon, &agent, "create_tickets", &json!({}), &json!({})).send();
    assert_eq!((unknown.status, super::error(&unknown)), (200, (-32_602, json!(1))));
    let nobody = call(&daemon, "tctl_a_wrong", "send_message", &message("x"), &json!({})).send();
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, "Bearer"));
}

#[test]
fn an_approver_in_a_chat_decides_and_the_waiting_agent_gets_the_result() {
    let daemon = impatient();
    let (agent, anna) = (daemon.agent("triage"), daemon.approver("anna"));
    let arguments = json!({"customer_id": 2, "new_status": "Suspended"});
    let more = json!({"dev.toolctl/reason": "they asked for it", "dev.toolctl/idempotency-key": "k"});
    let pending = facts(&result(&call(&daemon, &agent, RAISE, &arguments, &more)));
    assert_eq!((&pending["status"], &pending["executed"]), (&json!("approval_pending"), &json!(false)));

    let waiting = std::thread::spawn({
        let wait = call(&daemon, &agent, "toolctl_wait", &json!({"approval_id": pending["approval_id"]}), &json!({}));
        move || result(&wait)
    });
    let listed = facts(&result(&call(&daemon, &anna, "toolctl_approvals_list", &json!({}), &json!({}))));
    let shown = &listed["approvals"][0];
    assert_eq!((&shown["approval_id"], &shown["requester"]), (&pending["approval_id"], &json!("agent:triage")));
    assert_eq!(shown["arguments"], r#"{"confirm":false,"customer_id":2,"new_status":"Suspended"}"#);
    assert_eq!(shown["requesters_words"]["text"], "they asked for it");
    let decision = json!({"approval_id": shown["approval_id"], "digest": shown["digest"], "decision": "approve"});
    let refused = call(&daemon, &agent, "toolctl_approvals_decide", &decision, &json!({})).send();
    assert_eq!(super::error(&refused), (-32_602, json!(1)), "an agent has no such tool");
    let decided = facts(&result(&call(&daemon, &anna, "toolctl_approvals_decide", &decision, &json!({}))));
    assert_eq!((&decided["status"], &decided["call_state"]), (&json!("approved"), &json!("succeeded")));
    assert_eq!(decided["output"]["customer"]["status"], "Suspended");

    let waited = waiting.join().expect("an answer");
    assert_eq!((&facts(&waited), &waited["isError"]), (&decided["output"], &json!(false)));
    let replayed = result(&call(&daemon, &agent, RAISE, &arguments, &more));
    assert_eq!((&facts(&replayed), &replayed["_meta"][REPLAYED]), (&decided["output"], &json!(true)));
    let kinds = daemon.audit(&format!("call={}", pending["call_id"].as_str().expect("a call")));
    let kinds: Vec<_> = kinds.iter().map(|record| record["type"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(kinds.iter().any(|kind| kind == "approval.decided"), "{kinds:?}");
}

#[test]
fn the_daemons_own_user_does_not_approve_itself_in_a_chat() {
    let daemon = impatient();
    let arguments = json!({"customer_id": 2, "new_status": "Suspended", "confirm": true});
    let ask = |tool: &str, arguments: &Value| {
        message_of(modern(&daemon.door(), "tools/call", json!({"name": tool, "arguments": arguments})).send().is(200))
    };
    let pending = facts(&ask(RAISE, &arguments)["result"]);
    assert_eq!(pending["status"], "approval_pending", "a model wrote `confirm`");
    let listed = facts(&ask("toolctl_approvals_list", &json!({}))["result"]);
    assert_eq!(listed["approvals"], json!([]));
    let id = pending["approval_id"].as_str().expect("an approval");
    let digest = daemon.http("GET", &format!("/v1/approvals/{id}")).send().text("/call/approval/digest");
    let decision = json!({"approval_id": id, "digest": digest, "decision": "approve"});
    let refused = facts(&ask("toolctl_approvals_decide", &decision)["result"]);
    assert_eq!((&refused["status"], &refused["code"]), (&json!("denied"), &json!("not-allowed")));
}

#[test]
fn a_listener_hears_only_of_changes_to_what_it_sees() {
    let mut daemon = Daemon::prepared(&[], &[]);
    let everything = "@id(\"all\")\npermit (principal, action, resource);";
    daemon.configure("policies/main.cedar", everything);
    daemon.restart();
    let reader = daemon.make_key(&json!({"name": "bot", "kind": "agent", "scope": {"tools": ["search_*"]}}));
    let reader = reader["key"].as_str().expect("a key").to_owned();
    let listen = modern(&daemon.door(), "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let (mut reader, mut all) = (Events::open(&listen.clone().key(&reader)), Events::open(&listen));
    let mut legacy = Events::open(
        &daemon
            .http("GET", "/mcp")
            .header("Accept", "text/event-stream")
            .header("Mcp-Session-Id", &session(&daemon, "2025-11-25")),
    );
    for events in [&mut reader, &mut all] {
        events.message().expect("an acknowledgement");
    }
    let reload = |text: &str| {
        daemon.configure("policies/main.cedar", text);
        daemon.http("POST", "/v1/reload").json(&json!({})).send().is(200);
    };
    reload(&format!("{everything}\n// in other words"));
    let frozen = "@id(\"frozen\")\nforbid (principal, action == Toolctl::Action::\"create_ticket\", resource);";
    reload(&format!("{everything}\n{frozen}"));
    for events in [&mut all, &mut legacy] {
        assert_eq!(events.message().expect("a change")["method"], "notifications/tools/list_changed");
    }
    until(|| (!names_of_all(&daemon).contains(&"create_ticket".to_owned())).then_some(()));
    let unseen = "@id(\"unseen\")\nforbid (principal, action == Toolctl::Action::\"search_customer\", resource);";
    reload(&format!("{everything}\n{frozen}\n{unseen}"));
    let told = reader.message().expect("a change");
    assert_eq!(told["method"], "notifications/tools/list_changed", "the first that it hears is about its own tool");
}

fn names_of_all(daemon: &Daemon) -> Vec<String> {
    let listed = modern(&daemon.door(), "tools/list", json!({})).send().json();
    let tools = listed["result"]["tools"].as_array().expect("tools").iter();
    tools.filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_trace_goes_in_and_comes_out() {
    let daemon = Daemon::start();
    let key = daemon.agent("triage");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = result(&call(&daemon, &key, "send_message", &message("x"), &json!({"traceparent": trace})));
    assert_eq!(answer["_meta"]["traceparent"], trace);
    let id = answer["_meta"][CALL].as_str().expect("a call");
    let record = daemon.audit(&format!("call={id}")).remove(0);
    assert_eq!((&record["detail"]["trace"], &record["detail"]["client"]), (&json!(trace), &json!("test 1")));
}

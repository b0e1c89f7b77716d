//! Every status of the contract at least once, each with the whole of its problem.

use serde_json::{Value, json};

use super::{ask, call, decision, tool};
use crate::support::Daemon;

fn ticket() -> Value {
    json!({"customer_id": 1, "title": "Login broken"})
}

#[test]
fn done_waiting_and_unknown_paths() {
    let daemon = Daemon::start();
    let done = tool(&daemon, "create_ticket", &ticket()).once("a").send();
    done.is(200);
    assert!(done.header("toolctl-call").starts_with("call_"));
    assert!(done.header("toolctl-audit").parse::<u64>().is_ok());
    assert_eq!(done.header("cache-control"), "no-store");
    let asked = tool(&daemon, "update_customer_status", &json!({"customer_id": 1, "new_status": "Closed"})).send();
    asked.is(202);
    daemon.http("GET", "/nowhere").send().is_problem(404, "not-found");
    daemon.http("GET", "/v1/calls/call_01m84nsgrtfqka7av5h1rfcqxs").send().is_problem(404, "not-found");
    let put = daemon.http("PUT", "/v1/calls").send();
    put.is_problem(405, "method-not-allowed");
    assert!(put.header("allow").contains("POST"), "RFC 9110 section 15.5.6: {:?}", put.headers);
    daemon.http("GET", "/tools/create_ticket").send().is_problem(405, "method-not-allowed");
}

#[test]
fn no_wrong_garbled_and_doubled_keys_get_one_answer() {
    let daemon = Daemon::with_env_file("", &["--listen", "127.0.0.1:0"]);
    let door = daemon.tcp();
    let good = daemon.agent("bot");
    let mut forged = good.clone();
    let last = forged.pop().expect("a character");
    forged.push(if last == '0' { '1' } else { '0' });
    let stranger = good.replacen("tctl_a_", "tctl_u_", 1);
    let path = "/mcp/tools";
    let mut bodies = Vec::new();
    for key in ["wrong", "tctl_a_x", &forged, &stranger, &"x".repeat(2_000)] {
        let refused = door.http("GET", path).key(key).send();
        refused.is_problem(401, "unauthenticated");
        assert!(refused.header("www-authenticate").starts_with("Bearer"));
        bodies.push(refused.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "one constant body tells nothing of what was wrong");
    door.http("GET", path).send().is_problem(401, "unauthenticated");
    door.http("GET", path).header("Authorization", "Basic azprCg==").send().is_problem(401, "unauthenticated");
    door.http("GET", path).key(&good).header("X-API-Key", "other").send().is_problem(401, "unauthenticated");
    door.http("GET", path).key(&good).send().is(200);
    // On the socket a wrong key never falls through to the user at the other end.
    daemon.http("GET", path).key("wrong").send().is_problem(401, "unauthenticated");
}

#[test]
fn revoked_and_expired_keys_are_refused() {
    let daemon = Daemon::start();
    let made = daemon.make_key(&json!({"name": "bot", "kind": "agent"}));
    let key = made["key"].as_str().expect("a key");
    daemon.http("GET", "/v1/whoami").key(key).send().is(200);
    let id = made["info"]["id"].as_str().expect("an id");
    daemon.http("DELETE", &format!("/v1/keys/{id}")).send().is(200);
    daemon.http("GET", "/v1/whoami").key(key).send().is_problem(401, "unauthenticated");

    let made = daemon.make_key(&json!({"name": "brief", "kind": "agent", "expires_in": "50ms"}));
    let key = made["key"].as_str().expect("a key");
    let refused = crate::support::until(|| {
        let answer = daemon.http("GET", "/v1/whoami").key(key).send();
        (answer.status != 200).then_some(answer)
    });
    refused.is_problem(401, "unauthenticated");
}

#[test]
fn policy_denies_who_is_in_no_group_that_acts() {
    let daemon = Daemon::start();
    let reader = daemon.person("reader", &[]);
    tool(&daemon, "search_customer", &json!({"query": "a"})).key(&reader).send().is(200);
    let denied = tool(&daemon, "create_ticket", &ticket()).key(&reader).once("k").send();
    denied.is_problem(403, "policy-denied");
    assert_eq!((denied.text("/stage"), denied.text("/effect")), ("policy".into(), "none".into()));
    let records = daemon.audit("kind=call.denied&last=1");
    assert_eq!((&records[0]["actor"], &records[0]["error"]), (&json!("user:reader"), &json!("policy-denied")));
}

#[test]
fn an_unknown_tool_suggests_the_nearest() {
    let daemon = Daemon::start();
    let missing = tool(&daemon, "create_tiket", &ticket()).send();
    missing.is_problem(404, "tool-not-found");
    assert!(missing.text("/hint").contains("create_ticket"), "{}", missing.json());
    call(&daemon, "drop_database", &json!({})).send().is_problem(404, "tool-not-found");
}

#[test]
fn every_violation_of_the_schema_is_told_at_once() {
    let daemon = Daemon::start();
    let wrong = json!({"customer_id": "1", "title": "ab", "priority": "soon", "colour": "red"});
    for answer in [tool(&daemon, "create_ticket", &wrong).send(), call(&daemon, "create_ticket", &wrong).send()] {
        answer.is_problem(422, "arguments-invalid");
        assert_eq!(answer.text("/stage"), "arguments");
        let errors = answer.json()["errors"].as_array().expect("errors").clone();
        let mut paths: Vec<_> = errors.iter().map(|error| error["path"].as_str().expect("a path")).collect();
        paths.sort_unstable();
        assert_eq!(paths.len(), 4, "{errors:?}");
        for path in ["/customer_id", "/priority", "/title"] {
            assert!(paths.contains(&path), "`{path}` in {paths:?}");
        }
        assert!(errors.iter().any(|error| error.to_string().contains("colour")), "{errors:?}");
    }
    let missing = tool(&daemon, "create_ticket", &json!({})).send();
    missing.is_problem(422, "arguments-invalid");
    assert_eq!(missing.json()["errors"].as_array().map(Vec::len), Some(2), "both required members: {}", missing.json());
}

#[test]
fn arguments_with_two_meanings_are_refused_with_their_path() {
    let daemon = Daemon::start();
    let deep = format!("{{\"customer_id\":1,\"title\":\"abc\",\"x\":{}1{}}}", "[".repeat(65), "]".repeat(65));
    let cases: [(&[u8], &str); 7] = [
        (br#"{"customer_id":1,"title":"abc","title":"abd"}"#, "title"),
        (br#"{"customer_id":9007199254740993,"title":"abc"}"#, "customer_id"),
        (br#"{"customer_id":1.0000000000000001,"title":"abc"}"#, "customer_id"),
        (br#"{"customer_id":1,"title":"\ud800"}"#, ""),
        (b"{\"customer_id\":1,\"title\":\"\xff\xfe\"}", ""),
        (deep.as_bytes(), ""),
        (br#"{"customer_id":1,"title":"abc"} x"#, ""),
    ];
    for (body, place) in cases {
        let shown = String::from_utf8_lossy(body).chars().take(60).collect::<String>();
        let request = daemon.http("POST", "/tools/create_ticket").header("Content-Type", "application/json").raw(body);
        let answer = request.once("k").send();
        assert_eq!(answer.status, 422, "{shown}: {}", String::from_utf8_lossy(&answer.body));
        answer.is_problem(422, "args-not-canonical");
        assert!(
            answer.body.windows(place.len().max(1)).any(|part| part == place.as_bytes()) || place.is_empty(),
            "{shown}"
        );
        assert_eq!(answer.text("/effect"), "none");
    }
    // None of it burned the key.
    tool(&daemon, "create_ticket", &ticket()).once("k").send().is(200);
}

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    let daemon = Daemon::start();
    for body in ["[]", "\"x\"", "null", "{"] {
        let request = daemon.http("POST", "/tools/create_ticket").header("Content-Type", "application/json");
        request.raw(body.as_bytes()).send().is(422);
        let request = daemon.http("POST", "/v1/calls").header("Content-Type", "application/json");
        request.raw(body.as_bytes()).send().is_problem(422, "request-malformed");
    }
    let unknown = json!({"tool": "create_ticket", "arguments": {}, "dryrun": true});
    let answer = daemon.http("POST", "/v1/calls").json(&unknown).send();
    answer.is_problem(422, "request-malformed");
    assert!(answer.text("/detail").contains("dryrun"), "{}", answer.json());
}

#[test]
fn only_json_is_read_and_at_most_a_mebibyte_of_it() {
    let daemon = Daemon::start();
    let body = ticket().to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let request = daemon.http("POST", "/tools/create_ticket").header("Content-Type", kind);
        request.raw(body.as_bytes()).send().is_problem(415, "unsupported-media-type");
    }
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        let request = daemon.http("POST", "/tools/create_ticket").header("Content-Type", kind);
        request.raw(body.as_bytes()).send().is(200);
    }
    let large = json!({"customer_id": 1, "title": "abc", "description": "x".repeat(2 << 20)});
    tool(&daemon, "create_ticket", &large).send().is_problem(413, "payload-too-large");
    call(&daemon, "create_ticket", &large).send().is_problem(413, "payload-too-large");
}

#[test]
fn idempotency_keys_are_bare_or_quoted_and_otherwise_refused() {
    let daemon = Daemon::start();
    let first = tool(&daemon, "create_ticket", &ticket()).once("order-1").send();
    let again = tool(&daemon, "create_ticket", &ticket()).once("\"order-1\"").send();
    assert_eq!(again.is(200).text("/ticket/id"), first.is(200).text("/ticket/id"));
    assert_eq!(again.header("idempotent-replayed"), "true");
    for key in ["", "two words", "\"open", "sm\u{f6}rg\u{e5}s", &"x".repeat(256)] {
        let refused = tool(&daemon, "create_ticket", &ticket()).once(key).send();
        refused.is_problem(422, "idempotency-key-invalid");
    }
    tool(&daemon, "create_ticket", &ticket()).once(&"x".repeat(255)).send().is(200);
    let two = daemon
        .http("POST", "/v1/calls")
        .once("a")
        .json(&json!({"tool": "create_ticket", "arguments": ticket(), "idempotency_key": "b"}));
    two.send().is_problem(422, "idempotency-key-invalid");
}

#[test]
fn a_key_used_for_something_else_tells_nothing_of_it() {
    let daemon = Daemon::start();
    let secret = json!({"customer_id": 1, "title": "The merger with Initech"});
    let first = tool(&daemon, "create_ticket", &secret).once("k").send();
    let number = first.header("toolctl-call").to_owned();
    let other_arguments = tool(&daemon, "create_ticket", &ticket()).once("k").send();
    let other_tool = tool(&daemon, "send_message", &json!({"channel": "x", "message": "y"})).once("k").send();
    for reused in [other_arguments, other_tool] {
        reused.is_problem(422, "idempotency-key-reused");
        assert_eq!(reused.text("/retryable"), "new_key");
        let whole = format!("{:?} {}", reused.headers, String::from_utf8_lossy(&reused.body));
        for told in ["Initech", "create_ticket", number.as_str()] {
            assert!(!whole.contains(told), "`{told}` in {whole}");
        }
    }
    // The key belongs to its caller: another may use the same.
    let agent = daemon.agent("bot");
    tool(&daemon, "create_ticket", &ticket()).key(&agent).once("k").send().is(200);
}

#[test]
fn what_is_at_odds_with_the_record_is_409() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let call = ask(&daemon, &agent, "k", "Suspended");
    let id = call["approval"]["id"].as_str().expect("an id");
    let path = format!("/v1/approvals/{id}/decisions");
    let wrong = format!("sha256:{}", "0".repeat(64));
    let blind = daemon.http("POST", &path).json(&json!({"decision": "approve"})).send();
    blind.is_problem(409, "approval-stale");
    let other = daemon.http("POST", &path).json(&json!({"decision": "approve", "digest": wrong})).send();
    other.is_problem(409, "approval-stale");
    decision(&daemon, &call, "reject").send().is(200);
    decision(&daemon, &call, "approve").send().is_problem(409, "approval-already-decided");
    let cancel = format!("/v1/calls/{}/cancel", call["id"].as_str().expect("an id"));
    daemon.http("POST", &cancel).key(&agent).send().is(409);
}

#[test]
fn the_trace_is_carried_through() {
    let daemon = Daemon::start();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = tool(&daemon, "search_customer", &json!({"query": "a"})).header("traceparent", parent).send();
    assert_eq!(answer.header("traceparent"), parent);
}

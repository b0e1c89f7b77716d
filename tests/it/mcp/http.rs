//! Streamable HTTP, request by request: who gets in, in which era a message is, and every row of the error
//! table.

use serde_json::{Value, json};

use super::{BOTH, MODERN, error, initialize, modern, post, request, said};
use crate::support::{Daemon, Door, Response};

#[test]
fn both_eras_are_served_on_both_doors() {
    let daemon = Daemon::start_with(&["--listen", "127.0.0.1:0"], &[]);
    let key = daemon.agent("bot");
    for door in [daemon.door(), daemon.tcp()] {
        let discovered = modern(&door, "server/discover", json!({})).key(&key).send();
        let result = discovered.is(200).json()["result"].clone();
        assert_eq!(result["supportedVersions"][0], MODERN);
        assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("private")));
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "toolctl");
        assert!(!discovered.headers.contains_key("mcp-session-id"));

        let begun = initialize(&door, "2025-06-18").key(&key).send();
        assert_eq!(begun.is(200).text("/result/protocolVersion"), "2025-06-18");
        assert!(begun.header("mcp-session-id").bytes().all(|byte| byte.is_ascii_graphic()));

        let arguments = json!({"customer_id": 1, "title": "Through the door", "idempotency_key": "door"});
        let call = json!({"name": "create_ticket", "arguments": arguments});
        let first = modern(&door, "tools/call", call.clone()).key(&key).send();
        let second = post(&door, &request("tools/call", call)).header("MCP-Protocol-Version", "2025-11-25");
        let second = second.key(&key).send();
        let ticket = |answer: &Response| answer.is(200).json()["result"]["structuredContent"].clone();
        assert_eq!(ticket(&first)["ticket"], ticket(&second)["ticket"], "one pipeline behind both");
    }
    assert_eq!(daemon.audit("tool=create_ticket&kind=call.completed").len(), 1);
}

/// What is wrong, the revision and the method in the headers, the body; then the status and the code.
type Row = (&'static str, Option<&'static str>, Option<&'static str>, Value, u16, i64);

#[test]
fn every_row_of_the_error_table() {
    let daemon = Daemon::start();
    let door = daemon.door();
    let with = |meta: Value| request("tools/list", json!({"_meta": meta}));
    let without = |member: &str| {
        let mut meta = said(MODERN);
        meta.as_object_mut().expect("an object").remove(&format!("io.modelcontextprotocol/{member}"));
        with(meta)
    };
    let malformed = |member: &str, value: Value| {
        let mut meta = said(MODERN);
        meta[format!("io.modelcontextprotocol/{member}")] = value;
        with(meta)
    };
    let version = Some(MODERN);
    let list = Some("tools/list");
    let rows: [Row; 19] = [
        ("no request", version, list, json!({"jsonrpc": "2.0", "id": 1}), 400, -32_600),
        ("no JSON-RPC", version, list, json!({"id": 1, "method": "tools/list"}), 400, -32_600),
        ("a batch", version, list, json!([with(said(MODERN))]), 400, -32_600),
        ("no metadata", version, list, request("tools/list", json!({})), 400, -32_602),
        ("no metadata, nor headers", None, None, request("server/discover", json!({})), 400, -32_602),
        ("no revision in the body", version, list, without("protocolVersion"), 400, -32_602),
        ("no capabilities", version, list, without("clientCapabilities"), 400, -32_602),
        ("capabilities of a strange kind", version, list, malformed("clientCapabilities", json!([])), 400, -32_602),
        ("a revision of a strange kind", version, list, malformed("protocolVersion", json!(7)), 400, -32_602),
        ("missing before different", Some("v999"), None, without("clientCapabilities"), 400, -32_602),
        ("no revision in the header", None, list, with(said(MODERN)), 400, -32_020),
        ("another revision in the header", Some("2025-11-25"), list, with(said(MODERN)), 400, -32_020),
        ("another revision in the body", version, list, with(said("v999")), 400, -32_020),
        ("no method in the header", version, None, with(said(MODERN)), 400, -32_020),
        ("another method in the header", version, Some("tools/call"), with(said(MODERN)), 400, -32_020),
        ("an unknown revision", Some("v999"), list, with(said("v999")), 400, -32_022),
        ("a legacy revision in modern dress", Some("2025-11-25"), list, with(said("2025-11-25")), 400, -32_022),
        ("an old revision", Some("2023-01-01"), None, request("tools/list", json!({})), 400, -32_022),
        (
            "an unknown revision without metadata",
            Some("2031-01-01"),
            list,
            request("tools/list", json!({})),
            400,
            -32_602,
        ),
    ];
    for (row, version, method, body, status, code) in rows {
        let mut sent = post(&door, &body);
        for (name, value) in [("mcp-protocol-version", version), ("MCP-METHOD", method)] {
            sent = value.into_iter().fold(sent, |sent, value| sent.header(name, value));
        }
        let answer = sent.send();
        let answered = (answer.status, error(&answer));
        let id = if body.is_array() { Value::Null } else { json!(1) };
        assert_eq!(answered, (status, (code, id)), "{row}: {}", answer.json());
        if code == -32_022 {
            let data = &answer.json()["error"]["data"];
            assert_eq!(data["supported"][0], MODERN, "{row}");
            assert!(data["requested"].is_string(), "{row}");
        }
    }
}

#[test]
fn methods_that_are_not_or_no_longer_there_are_404_in_the_modern_era() {
    let daemon = Daemon::start();
    for method in ["nope", "ping", "initialize", "logging/setLevel", "resources/subscribe", "prompts/list"] {
        let answer = modern(&daemon.door(), method, json!({})).send();
        assert_eq!((answer.status, error(&answer)), (404, (-32_601, json!(1))), "{method}");
    }
    let legacy = post(&daemon.door(), &request("nope", json!({}))).send();
    assert_eq!((legacy.status, error(&legacy)), (200, (-32_601, json!(1))), "there a 404 means a dead session");
    let unknown = modern(&daemon.door(), "tools/call", json!({"name": "nope", "arguments": {}})).send();
    assert_eq!((unknown.status, error(&unknown).0), (200, -32_602));
}

#[test]
fn the_name_in_the_header_is_the_one_in_the_body() {
    let daemon = Daemon::start();
    let params = json!({"name": "search_customer", "arguments": {"query": "acme"}, "_meta": said(MODERN)});
    let call = |name: Option<&str>| {
        let sent = post(&daemon.door(), &request("tools/call", params.clone()));
        let sent = sent.header("MCP-Protocol-Version", MODERN).header("Mcp-Method", "tools/call");
        name.into_iter().fold(sent, |sent, name| sent.header("Mcp-Name", name)).send()
    };
    for name in ["search_customer", "  search_customer\t", "=?base64?c2VhcmNoX2N1c3RvbWVy?="] {
        call(Some(name)).is(200);
    }
    for name in [None, Some("create_ticket"), Some("SEARCH_CUSTOMER"), Some("=?base64?c2VhcmNo!?="), Some("größe")] {
        let refused = call(name);
        assert_eq!((refused.status, error(&refused)), (400, (-32_020, json!(1))), "{name:?}");
    }
}

#[test]
fn what_is_no_message_is_refused_where_it_breaks() {
    let daemon = Daemon::start();
    let raw = |body: &[u8]| {
        let sent = daemon.http("POST", "/mcp").header("Accept", BOTH).header("Content-Type", "application/json");
        sent.raw(body).send()
    };
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{}1{}}}}}"#,
        "[".repeat(9_000),
        "]".repeat(9_000)
    );
    let cases: [(&[u8], i64, Value); 8] = [
        (b"", -32_700, Value::Null),
        (b"{", -32_700, Value::Null),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", -32_700, Value::Null),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} x", -32_700, Value::Null),
        (b"null", -32_600, Value::Null),
        (b"[]", -32_600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, -32_600, json!(1)),
        (deep.as_bytes(), -32_602, json!(1)),
    ];
    for (body, code, id) in cases {
        let answer = raw(body);
        let shown = String::from_utf8_lossy(body).chars().take(60).collect::<String>();
        assert_eq!((answer.status, error(&answer)), (400, (code, id)), "{shown}: {}", answer.json());
    }
    let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(9_000), "]".repeat(9_000));
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"search_customer","arguments":{deep}}}}}"#
    );
    let refused = raw(call.as_bytes()).is(200).json();
    assert_eq!(refused["result"]["isError"], true, "for the model to read: {refused}");
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#, "x".repeat(2 << 20));
    raw(large.as_bytes()).is_problem(413, "payload-too-large");
    let plain = daemon.http("POST", "/mcp").header("Content-Type", "text/plain").raw(b"{}").send();
    plain.is_problem(415, "unsupported-media-type");
    post(&daemon.door(), &request("ping", json!({}))).send().is(200);
}

#[test]
fn nobody_gets_in_over_tcp_without_a_key_or_from_a_foreign_page() {
    let daemon = Daemon::start_with(&["--listen", "127.0.0.1:0"], &[]);
    let (door, key) = (daemon.tcp(), daemon.agent("bot"));
    for sent in [
        modern(&door, "server/discover", json!({})),
        initialize(&door, "2025-06-18"),
        door.http("GET", "/mcp").header("Accept", "text/event-stream"),
        door.http("DELETE", "/mcp").header("Mcp-Session-Id", "x"),
        modern(&door, "tools/list", json!({})).key("wrong"),
    ] {
        let refused = sent.send();
        refused.is_problem(401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate"), "Bearer", "no metadata: no client shall begin an OAuth dance");
    }
    let foreign = modern(&door, "server/discover", json!({})).key(&key).header("Origin", "https://evil.example").send();
    foreign.is_problem(403, "not-allowed");
    let rebound = door.http("POST", "/mcp").key(&key).json(&request("ping", json!({})));
    let bytes = String::from_utf8(rebound.bytes()).expect("ASCII").replacen(&door.host(), "evil.example", 1);
    door.speak(bytes.as_bytes()).expect("an answer").is_problem(403, "not-allowed");
    let own = modern(&door, "server/discover", json!({})).key(&key).header("Origin", "http://localhost:6274").send();
    own.is(200);
}

#[test]
fn only_messages_are_posted_and_modern_clients_do_nothing_else() {
    let daemon = Daemon::start();
    let session = super::session(&daemon, "2025-11-25");
    for method in ["GET", "DELETE"] {
        let bare = daemon.http(method, "/mcp").header("Accept", "text/event-stream").send();
        assert_eq!((bare.status, bare.header("allow")), (405, "POST"), "{method} without a session");
        assert!(bare.json().get("id").is_none(), "no id can be named: {}", bare.json());
        assert!(bare.text("/error/message").contains("need `Mcp-Session-Id`"), "{}", bare.json());
        let sent = daemon.http(method, "/mcp").header("Accept", "text/event-stream").header("Mcp-Session-Id", &session);
        let refused = sent.header("MCP-Protocol-Version", MODERN).send();
        assert_eq!((refused.status, refused.header("allow")), (405, "POST"), "{method} of a modern client");
        assert!(refused.text("/error/message").contains("no sessions"), "{}", refused.json());
    }
    let plain = daemon.http("GET", "/mcp").header("Accept", "application/json").header("Mcp-Session-Id", &session);
    let plain = plain.send();
    assert_eq!(plain.status, 405);
    assert!(plain.text("/error/message").contains("text/event-stream"), "{}", plain.json());
    let put = daemon.http("PUT", "/mcp").json(&json!({})).send();
    put.is_problem(405, "method-not-allowed");
    assert_eq!(put.header("allow"), "POST, GET, DELETE");
    let ignored = modern(&daemon.door(), "tools/list", json!({})).header("Mcp-Session-Id", "stale").send();
    assert!(!ignored.is(200).headers.contains_key("mcp-session-id"), "modern clients have no sessions");
}

#[test]
fn a_notification_is_taken_and_an_answer_only_where_something_was_asked() {
    let daemon = Daemon::start();
    let door = daemon.door();
    let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let answered = json!({"jsonrpc": "2.0", "id": "x", "result": {}});
    let session = super::session(&daemon, "2025-06-18");
    let taken = post(&door, &told).header("Mcp-Session-Id", &session).send();
    assert_eq!((taken.status, taken.body.len()), (202, 0));
    post(&door, &told).send().is(202);
    post(&door, &told).header("MCP-Protocol-Version", MODERN).send().is(202);
    post(&door, &answered).header("Mcp-Session-Id", &session).send().is(202);
    for sent in [post(&door, &answered), post(&door, &answered).header("MCP-Protocol-Version", MODERN)] {
        let refused = sent.send();
        assert_eq!(refused.is(400).json()["error"]["code"], -32_600);
    }
    post(&door, &told).header("Mcp-Session-Id", "forged").send().is(404);
}

#[test]
fn sloppy_clients_are_understood() {
    let daemon = Daemon::start();
    let bare = |body: &Value| daemon.http("POST", "/mcp").json(body);
    let ping = bare(&request("ping", json!({}))).send();
    assert_eq!(ping.is(200).json(), json!({"jsonrpc": "2.0", "id": 1, "result": {}}), "no session, no revision");
    for accept in ["*/*", "application/json", "text/event-stream, */*;q=0.1"] {
        bare(&request("tools/list", json!({}))).header("Accept", accept).send().is(200);
    }
    let only = bare(&request("ping", json!({}))).header("Accept", "text/event-stream").send();
    assert_eq!(only.is(200).header("content-type"), "text/event-stream");
    let empty = bare(&json!({"jsonrpc": "2.0", "id": "é\"", "method": "initialize"})).send();
    assert_eq!(empty.is(200).json()["id"], "é\"");
    assert_eq!(empty.text("/result/protocolVersion"), "2025-11-25");
    let newer = initialize(&daemon.door(), "2027-01-01").send();
    assert_eq!(newer.is(200).text("/result/protocolVersion"), "2025-11-25");
}

#[test]
fn batches_are_of_the_oldest_revision_only() {
    let daemon = Daemon::start();
    let door = daemon.door();
    let call = |id: u8, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method});
    let batch = json!([call(1, "ping"), {"jsonrpc": "2.0", "method": "notifications/x"}, call(2, "initialize"), call(3, "nope"), 4]);
    let session = super::session(&daemon, "2025-03-26");
    let oldest = [
        post(&door, &batch),
        post(&door, &batch).header("MCP-Protocol-Version", "2025-03-26"),
        post(&door, &batch).header("Mcp-Session-Id", &session),
    ];
    for sent in oldest {
        let answers = sent.send().is(200).json();
        let answers = answers.as_array().expect("an array");
        let ids: Vec<_> = answers.iter().map(|answer| (&answer["id"], &answer["error"]["code"])).collect();
        let (null, codes) = (json!(null), [json!(-32_600), json!(-32_601), json!(-32_600)]);
        assert_eq!(ids, [(&json!(1), &null), (&json!(2), &codes[0]), (&json!(3), &codes[1]), (&null, &codes[2])]);
    }
    let session = super::session(&daemon, "2025-06-18");
    let later = [
        post(&door, &batch).header("MCP-Protocol-Version", "2025-06-18"),
        post(&door, &batch).header("MCP-Protocol-Version", MODERN),
        post(&door, &batch).header("Mcp-Session-Id", &session),
        post(&door, &json!([])),
        post(&door, &Value::Array(vec![call(1, "ping"); 101])),
    ];
    for sent in later {
        let refused = sent.send();
        assert_eq!((refused.status, error(&refused)), (400, (-32_600, Value::Null)));
    }
    let told = json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]);
    assert_eq!(post(&door, &told).send().status, 202);
}

#[test]
fn a_key_and_a_trace_come_by_header_too() {
    let daemon = Daemon::start();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let call = json!({"name": "create_ticket", "arguments": {"customer_id": 1, "title": "Once by header"}});
    let send = || modern(&daemon.door(), "tools/call", call.clone()).once("h").header("traceparent", trace).send();
    let first = send();
    assert_eq!(first.is(200).header("traceparent"), trace);
    assert_eq!(first.text("/result/_meta/traceparent"), trace);
    assert_eq!(send().json()["result"]["_meta"]["dev.toolctl/replayed"], true);
    let twice = modern(&daemon.door(), "tools/call", call.clone()).once("h").once("i").send();
    assert_eq!(twice.status, 400, "two keys for one call: {}", twice.json());
}

#[test]
fn a_caller_that_hangs_up_at_once_does_not_stop_its_call() {
    let daemon = Daemon::start();
    for (door, key) in [(daemon.door(), "legacy"), (daemon.door(), "modern")] {
        let arguments = json!({"customer_id": 1, "title": "Nobody waits for this", "idempotency_key": key});
        let params = json!({"name": "create_ticket", "arguments": arguments});
        drop(match key {
            "legacy" => post(&door, &request("tools/call", params)).begin(),
            _ => modern(&door, "tools/call", params).begin(),
        });
    }
    crate::support::until(|| (daemon.audit("tool=create_ticket&kind=call.completed").len() == 2).then_some(()));
}

#[test]
fn the_door_itself_is_no_page_of_the_old_face() {
    let daemon = Daemon::start();
    let Door::Socket(_) = daemon.door() else { panic!("the socket") };
    daemon.http("GET", "/mcp/tools").send().is(200);
    daemon.http("POST", "/mcp/").json(&json!({})).send().is_problem(404, "not-found");
}

//! Calls: results per revision, keys, traces, and every kind of no.

use super::*;

#[tokio::test]
async fn a_success_is_its_output_as_text_and_structured() {
    let house = house().await;
    let answer = house.call("agent:x", "send_message", message()).await;
    let output = r#"{"run":1,"tool":"send_message"}"#;
    assert_eq!(
        without(answer.clone(), &["_meta"]),
        json!({
            "resultType": "complete",
            "content": [{ "type": "text", "text": output }],
            "structuredContent": { "run": 1, "tool": "send_message" },
            "isError": false,
        })
    );
    let call = answer["_meta"][meta::CALL].as_str().unwrap();
    assert!(call.starts_with("call_") && answer["_meta"][meta::AUDIT].is_u64(), "{answer}");
    for (version, structured) in
        [(Version::V2025_11_25, true), (Version::V2025_06_18, true), (Version::V2025_03_26, false)]
    {
        let params = json!({ "name": "send_message", "arguments": message() }).to_string();
        let answer = house.ask("agent:x", version, "tools/call", &params, Extra::default()).await;
        let mut members: Vec<&String> = answer["result"].as_object().unwrap().keys().collect();
        members.sort();
        let mut expected = vec!["_meta", "content", "isError"];
        if structured {
            expected.push("structuredContent");
        }
        assert_eq!(members, expected, "{version}");
    }
}

#[tokio::test]
async fn a_key_is_found_in_five_places_and_the_record_says_where() {
    let house = house().await;
    let params = |name: &str, key: &str| json!({ "name": name, "arguments": message(), "idempotencyKey": key });
    let with_meta = |value: Value| Extra { meta: value, ..Extra::default() };
    let send = "send_message";

    let all = Extra { meta: json!({ (meta::IDEMPOTENCY_KEY): "k1" }), header_key: Some("\"k1\""), header_trace: None };
    let sent = params(send, "k1").to_string();
    house.ask("agent:x", MODERN, "tools/call", &sent, all).await;
    assert_eq!(house.key_from().await, "_meta");
    house.ask("agent:x", MODERN, "tools/call", &params(send, "k2").to_string(), Extra::default()).await;
    assert_eq!(house.key_from().await, "params");
    house.call_with("agent:x", send, message(), Extra { header_key: Some("k3"), ..Extra::default() }).await;
    assert_eq!(house.key_from().await, "header");
    let mut keyed = message();
    keyed["idempotency_key"] = json!("k4");
    house.call("agent:x", send, keyed.clone()).await;
    assert_eq!(house.key_from().await, "argument");
    for (said, from) in [
        (json!({ "claudecode/toolUseId": "toolu_1", (meta::BRIDGE_KEY): "b" }), "claudecode"),
        (json!({ "callId": "call_1", "threadId": "t" }), "codex"),
        (json!({ "callId": "call_1", (meta::BRIDGE_KEY): "b1" }), "bridge"),
    ] {
        house.call_with("agent:x", send, message(), with_meta(said.clone())).await;
        assert_eq!(house.key_from().await, from);
        let again = house.call_with("agent:x", send, message(), with_meta(said)).await;
        assert_eq!(again["_meta"][meta::REPLAYED], true, "{from}");
    }
    assert_eq!(house.world.runs(), 7);

    house.call_with("agent:x", send, keyed, with_meta(json!({ (meta::IDEMPOTENCY_KEY): "k1" }))).await;
    assert_eq!(house.world.runs(), 7, "the first place counts: `k1` was used for this very call");
    house
        .call_with("agent:x", "search_customer", json!({"query": "a"}), with_meta(json!({ (meta::BRIDGE_KEY): "b" })))
        .await;
    assert_eq!(house.key_from().await, Value::Null, "what only reads needs no made-up key");
}

#[tokio::test]
async fn two_different_keys_and_malformed_ones_are_refused() {
    let house = house().await;
    let meta_key = |value: Value| Extra { meta: json!({ (meta::IDEMPOTENCY_KEY): value }), ..Extra::default() };
    for (extra, detail) in [
        (Extra { header_key: Some("other"), ..meta_key(json!("k")) }, "the request has two different idempotency keys"),
        (meta_key(json!(7)), "`_meta[\"dev.toolctl/idempotency-key\"]` is not a string"),
        (Extra { header_key: Some("\"open"), ..Extra::default() }, "closing quote"),
    ] {
        let answer = house.call_with("agent:x", "send_message", message(), extra).await;
        let said = text(&answer);
        assert_eq!((&said["status"], &said["code"]), (&json!("invalid"), &json!("idempotency-key-invalid")));
        assert!(said["detail"].as_str().unwrap().contains(detail), "{said}");
    }
    let answer = house.call("agent:x", "search_customer", json!({"query": "a", "idempotency_key": "k"})).await;
    assert_eq!(text(&answer)["code"], "arguments-invalid", "it is not offered for what only reads");
    assert_eq!(house.world.runs(), 0);
}

#[tokio::test]
async fn one_key_is_one_call() {
    let house = house().await;
    let mut keyed = message();
    keyed["idempotency_key"] = json!("same");
    let first = house.call("agent:x", "send_message", keyed.clone()).await;
    let again = house.call("agent:x", "send_message", keyed.clone()).await;
    assert_eq!(again["content"], first["content"]);
    assert_eq!((&first["_meta"][meta::REPLAYED], &again["_meta"][meta::REPLAYED]), (&Value::Null, &json!(true)));
    keyed["message"] = json!("something else");
    let conflict = house.call("agent:x", "send_message", keyed).await;
    assert_eq!(
        text(&conflict),
        json!({
            "status": "idempotency_conflict",
            "executed": false,
            "effect": "none",
            "code": "idempotency-key-reused",
            "detail": "this idempotency key was used for a request with another tool or other arguments",
            "help": "use a new key for a new request",
            "retryable": "new_key",
        })
    );
    assert_eq!(house.world.runs(), 1);
}

#[tokio::test]
async fn a_model_reads_why_not() {
    let house = house().await;
    let denied = house.call("user:anna", "send_message", message()).await;
    assert_eq!(denied["isError"], true);
    assert_eq!(
        without(text(&denied), &["help"]),
        json!({
            "status": "denied",
            "executed": false,
            "effect": "none",
            "code": "policy-denied",
            "detail": "no policy permits `user:anna` to call `send_message`",
            "retryable": "after_change",
        })
    );
    let wrong = house.call("agent:x", "create_ticket", json!({"customer_id": "1", "title": "ab"})).await;
    let said = text(&wrong);
    let paths: Vec<&Value> = said["errors"].as_array().unwrap().iter().map(|error| &error["path"]).collect();
    assert_eq!((&said["status"], paths), (&json!("invalid"), vec![&json!("/customer_id"), &json!("/title")]));
    let twice = r#"{"name":"send_message","arguments":{"channel":"a","channel":"b","message":"x"}}"#;
    let twice = house.ask("agent:x", MODERN, "tools/call", twice, Extra::default()).await;
    assert_eq!(text(&twice["result"])["code"], "args-not-canonical");
    let long = Extra { meta: json!({ (meta::REASON): "x".repeat(2_049) }), ..Extra::default() };
    let long = house.call_with("agent:x", "send_message", message(), long).await;
    assert_eq!(text(&long)["code"], "request-malformed");
    assert_eq!(house.world.runs(), 0);
}

#[tokio::test]
async fn what_no_model_can_act_on_is_an_error_of_the_protocol() {
    let house = house().await;
    for (name, params, code) in [
        ("agent:x", r#"{"name":"no_such_tool"}"#, -32_602),
        ("agent:x", r#"{"name":"toolctl_no_such"}"#, -32_602),
        ("agent:x", r#"{"name":"toolctl_approvals_list"}"#, -32_602),
        ("agent:x", r#"{"name":7}"#, -32_602),
        ("agent:x", r#"{}"#, -32_602),
        ("agent:x", r#"{"name":"send_message","arguments":[]}"#, -32_602),
        ("nobody", r#"{"name":"send_message","arguments":{"channel":"a","message":"b"}}"#, 401),
        ("nobody", r#"{"name":"toolctl_wait","arguments":{"approval_id":"1"}}"#, 401),
    ] {
        let answer = house.ask(name, MODERN, "tools/call", params, Extra::default()).await;
        assert_eq!(answer["error"]["code"], code, "{params}: {answer}");
    }
    let unknown = house.ask("agent:x", MODERN, "tools/call", r#"{"name":"send_mesage"}"#, Extra::default()).await;
    let message = unknown["error"]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "there is no tool `send_mesage`; did you mean `send_message`? tools/list has the tools you may call"
    );
    let far = house.ask("agent:x", MODERN, "tools/call", r#"{"name":"no_such_tool"}"#, Extra::default()).await;
    assert_eq!(far["error"]["message"], "there is no tool `no_such_tool`; tools/list has the tools you may call");
    let own = house.ask("agent:x", MODERN, "tools/call", r#"{"name":"toolctl_no_such"}"#, Extra::default()).await;
    assert_eq!(own["error"]["message"], "there is no tool `toolctl_no_such`; tools/list has the tools you may call");
    let wrong = r#"{"name":"send_message","arguments":{"channel":7}}"#;
    let wrong = house.ask("agent:x", MODERN, "tools/call", wrong, Extra::default()).await;
    let said: Value = serde_json::from_str(wrong["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(said["help"], "correct the arguments; the tool's inputSchema in tools/list says what it takes");
    let method = house.ask("agent:x", MODERN, "prompts/list", "{}", Extra::default()).await;
    assert_eq!(method["error"]["code"], -32_601);
}

#[tokio::test]
async fn a_trace_is_kept_and_echoed_when_it_is_valid() {
    let house = house().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let other = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let extra = |said: Value, header| Extra { meta: said, header_trace: header, ..Extra::default() };
    for (extra, kept) in [
        (extra(json!({ "traceparent": trace }), Some(other)), json!(trace)),
        (extra(json!({}), Some(other)), json!(other)),
        (extra(json!({ "traceparent": "00-zz" }), Some(other)), Value::Null),
        (extra(json!({}), None), Value::Null),
    ] {
        let answer = house.call_with("agent:x", "send_message", message(), extra).await;
        let detail = house.labels().await;
        assert_eq!(answer["_meta"].get(meta::TRACEPARENT).cloned().unwrap_or_default(), kept);
        assert_eq!(detail["trace"], kept);
        assert_eq!(detail["client"], "claude-code 2.1.330");
    }
}

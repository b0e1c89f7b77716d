//! The pump between a client and daemons that come and go.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::client::Target;
use crate::transport::lines::Line;

/// A pump, the time, and what was said meanwhile.
struct Story {
    pump: Pump,
    now: Instant,
}

fn story() -> Story {
    let mut keys = 0;
    let new_key = move || {
        keys += 1;
        format!("key-{keys}")
    };
    Story { pump: Pump::new(Patience::new(false), Box::new(new_key)), now: Instant::now() }
}

fn nobody() -> Trouble {
    Trouble::not_running(&Target::parse("/s"))
}

fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    let id: Value = id.into();
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

fn initialize() -> Value {
    request("i", "initialize", json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {} }))
}

fn result(id: impl Into<Value>) -> Value {
    let id: Value = id.into();
    json!({ "jsonrpc": "2.0", "id": id, "result": {} })
}

fn line(message: &Value) -> Line {
    Line::Whole(message.to_string().into())
}

impl Story {
    fn client(&mut self, message: Value) -> &mut Self {
        self.pump.client_said(line(&message), self.now);
        self
    }

    fn daemon(&mut self, message: Value) -> &mut Self {
        assert_eq!(self.pump.daemon_said(line(&message), self.now), Verdict::Fine);
        self
    }

    /// Connects to a daemon that is alive.
    fn up(&mut self) -> &mut Self {
        self.up_as("hello").lets_in()
    }

    /// The daemon answers our first question.
    fn lets_in(&mut self) -> &mut Self {
        let answer = line(&result("toolctl-bridge-ping"));
        assert_eq!(self.pump.daemon_said(answer, self.now), Verdict::Welcome);
        self
    }

    /// Connects to a daemon that has said nothing yet.
    fn up_as(&mut self, hello: &str) -> &mut Self {
        self.pump.link_up(Some(json!(hello).to_string().into()), self.now);
        self
    }

    fn down(&mut self) -> &mut Self {
        self.pump.link_down(nobody(), self.now);
        self
    }

    fn later(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self.pump.tick(self.now);
        self
    }

    /// What the client and the daemon were sent since the last time; without our own question to the daemon.
    fn heard(&mut self) -> (Vec<Value>, Vec<Value>) {
        let read = |lines: Vec<Bytes>| lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        let (client, mut daemon) = self.pump.take_output();
        daemon.retain(|line| line.as_ref() != PING.as_bytes());
        (read(client), read(daemon))
    }

    fn client_heard(&mut self) -> Vec<Value> {
        self.heard().0
    }
}

fn said(result: &Value) -> Value {
    let text = result["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {result}"));
    serde_json::from_str(text).unwrap()
}

fn methods(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["method"].as_str().unwrap_or("-")).collect()
}

#[test]
fn with_a_daemon_it_is_a_pump_that_names_calls() {
    let mut story = story();
    story.up().client(request(1, "tools/call", json!({ "name": "t", "arguments": { "a": 1 } })));
    let (client, daemon) = story.heard();
    assert_eq!(client, Vec::<Value>::new());
    assert_eq!(daemon[0], json!("hello"));
    let named = json!({ "_meta": { "dev.toolctl/bridge-key": "key-1" }, "name": "t", "arguments": { "a": 1 } });
    assert_eq!(daemon[1]["params"], named);
    // A state names a call in one era only.
    story.client(request(2, "tools/call", json!({ "name": "t", "requestState": "s" })));
    assert_eq!(story.heard().1[0]["params"]["_meta"]["dev.toolctl/bridge-key"], "key-2");
    story.daemon(result(1)).daemon(result(2)).daemon(result(3));
    assert_eq!(story.client_heard(), [result(1), result(2)], "nobody asked for a third");
}

#[test]
fn a_conversation_opens_without_a_daemon() {
    let mut story = story();
    story.client(initialize());
    assert_eq!(story.client_heard(), Vec::<Value>::new(), "there may be one");
    let heard = story.down().client_heard();
    assert_eq!(heard[0]["result"]["protocolVersion"], "2025-06-18");
    story.client(request(2, "server/discover", modern(json!({})))).client(request(3, "ping", json!({})));
    let heard = story.client_heard();
    assert_eq!(heard[0]["result"]["supportedVersions"][0], "2026-07-28");
    assert_eq!(heard[1], result(3));
    let mut other = modern(json!({}));
    other["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2031-01-01");
    story.client(request(4, "server/discover", other)).client(request(5, "initialize", json!({})));
    let codes: Vec<_> = story.client_heard().iter().map(|heard| heard["error"]["code"].clone()).collect();
    assert_eq!(codes, [-32_022, -32_602]);
}

#[test]
fn a_daemon_that_hangs_does_not_keep_a_conversation_from_opening() {
    let mut story = story();
    story.up().client(initialize());
    assert_eq!(methods(&story.heard().1), ["-", "initialize"]);
    let heard = story.later(Duration::from_millis(300)).client_heard();
    assert_eq!(heard[0]["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(story.daemon(result("i")).client_heard(), Vec::<Value>::new(), "it has its answer");
}

#[test]
fn without_a_daemon_there_is_one_tool_that_says_why() {
    let mut story = story();
    story.down().client(request(1, "tools/list", modern(json!({})))).client(request(2, "tools/list", json!({})));
    assert_eq!(story.client_heard(), Vec::<Value>::new(), "one may come");
    let heard = story.later(Duration::from_secs(2)).client_heard();
    for (heard, modern) in heard.iter().zip([true, false]) {
        let tool = &heard["result"]["tools"][0];
        assert_eq!((&tool["name"], &tool["annotations"]["readOnlyHint"]), (&json!("toolctl_status"), &json!(true)));
        let description = tool["description"].as_str().unwrap();
        assert!(
            description.contains("nobody listens at /s") && description.contains("`toolctl serve`"),
            "{description}"
        );
        assert_eq!(heard["result"].get("ttlMs").is_some(), modern);
    }
    story.client(request(3, "tools/call", modern(json!({ "name": "toolctl_status" }))));
    let heard = story.later(Duration::from_secs(2)).client_heard();
    assert_eq!(
        (&said(&heard[0])["status"], &heard[0]["result"]["isError"]),
        (&json!("daemon_unreachable"), &json!(false))
    );
    // Once there is a daemon, both eras are told.
    story.client(initialize());
    let listen = modern(json!({ "notifications": { "toolsListChanged": true } }));
    story.client(request("l", "subscriptions/listen", listen)).heard();
    let (client, daemon) = story.up().heard();
    assert_eq!(methods(&client), ["notifications/tools/list_changed"; 2]);
    assert_eq!(client[1]["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "l");
    assert_eq!(methods(&daemon), ["-", "initialize", "subscriptions/listen"]);
    assert_eq!(story.daemon(result("i")).client_heard(), Vec::<Value>::new());
    story.client(request(4, "tools/call", json!({ "name": "toolctl_status" })));
    let heard = story.client_heard();
    assert_eq!((said(&heard[0])["status"].clone(), heard.len()), (json!("running"), 1), "nothing changed");
}

#[test]
fn the_status_waits_for_the_first_word_of_a_daemon() {
    let mut story = story();
    let status = || request(1, "tools/call", json!({ "name": "toolctl_status" }));
    story.client(status());
    assert_eq!(story.client_heard(), Vec::<Value>::new(), "there may be one");
    assert_eq!(said(&story.up().client_heard()[0])["status"], "running");
    // A connection alone does not say that the daemon will have us.
    story.down().client(status());
    story.up_as("hello");
    assert_eq!(story.client_heard(), Vec::<Value>::new());
    story.pump.link_down(Trouble::refused("no such key"), story.now);
    let heard = story.client_heard();
    assert_eq!((said(&heard[0])["status"].clone(), heard.len()), (json!("denied"), 1));
}

#[test]
fn a_call_without_a_daemon_is_answered_with_the_truth() {
    let mut story = story();
    story.down().client(request(1, "tools/call", modern(json!({ "name": "t" }))));
    let heard = story.later(Duration::from_secs(2)).client_heard();
    let told = said(&heard[0]);
    assert_eq!(heard[0]["result"]["structuredContent"], told, "the same in both");
    assert_eq!(heard[0]["result"]["isError"], true);
    assert_eq!(
        (&told["status"], &told["effect"], &told["executed"]),
        (&json!("daemon_unreachable"), &json!("none"), &json!(false))
    );

    // One that a daemon may have carried out waits longer, and says how to find out.
    story.up().client(request(2, "tools/call", json!({ "name": "t" })));
    story.client(request(3, "tools/call", json!({ "name": "t", "arguments": { "idempotency_key": "mine" } })));
    story.client(request(4, "prompts/list", json!({})));
    story.down().heard();
    assert_eq!(story.later(Duration::from_secs(29)).client_heard(), Vec::<Value>::new());
    let heard = story.later(Duration::from_secs(1)).client_heard();
    assert_eq!(heard[0]["result"].get("structuredContent"), None, "old clients hold it against the tool's schema");
    let told = said(&heard[0]);
    assert_eq!(
        (&told["effect"], &told["executed"], &told["idempotency_key"]),
        (&json!("unknown"), &json!(null), &json!("key-2"))
    );
    assert_eq!(said(&heard[1]).get("idempotency_key"), None, "it is known by another");
    assert_eq!((&heard[2]["error"]["code"], &heard[2]["error"]["data"]["effect"]), (&json!(503), &json!("unknown")));
}

#[test]
fn the_next_daemon_is_sent_what_the_last_one_left() {
    let mut story = story();
    story.up().client(initialize()).daemon(result("i"));
    story.client(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    story.client(request(1, "tools/call", json!({ "name": "t" }))).client(request(2, "tools/list", json!({})));
    let first = story.daemon(result(2)).heard().1;
    let (client, daemon) = story.down().up().heard();
    assert_eq!(methods(&client), ["notifications/tools/list_changed"]);
    assert_eq!(methods(&daemon), ["-", "initialize", "notifications/initialized", "tools/call"]);
    assert_eq!(daemon[3], first[3], "with the same key");
    story.daemon(result("i")).daemon(result(1));
    assert_eq!(story.client_heard(), [result(1)]);
}

#[test]
fn a_subscription_outlives_daemons() {
    let mut story = story();
    let listen = modern(json!({ "notifications": { "toolsListChanged": true } }));
    let acknowledged = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": { "_meta": { "io.modelcontextprotocol/subscriptionId": 7 } } });
    story.up().client(request(7, "subscriptions/listen", listen)).daemon(acknowledged.clone());
    assert_eq!(story.client_heard(), std::slice::from_ref(&acknowledged));
    assert!(!story.pump.has_work(), "nothing to wait for at the end");
    story.daemon(result(7)).down();
    assert_eq!(story.client_heard(), Vec::<Value>::new(), "it goes on");
    let (client, daemon) = story.up().heard();
    assert_eq!(
        (methods(&client), methods(&daemon)),
        (vec!["notifications/tools/list_changed"], vec!["-", "subscriptions/listen"])
    );
    assert_eq!(story.daemon(acknowledged).client_heard(), Vec::<Value>::new());
    story.client(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } }));
    assert_eq!(methods(&story.down().up().heard().1), ["notifications/cancelled", "-"]);
}

#[test]
fn a_late_answer_does_not_reach_the_question_of_another_daemon() {
    let mut story = story();
    let ask = || request("toolctl-0", "elicitation/create", json!({}));
    story.up().daemon(ask());
    let first = story.client_heard()[0]["id"].clone();
    story.client(result(first.clone()));
    assert_eq!(story.heard().1, [result("toolctl-0")]);

    story.daemon(ask());
    let second = story.client_heard()[0]["id"].clone();
    let heard = story.down().client_heard();
    assert_eq!((&heard[0]["method"], &heard[0]["params"]["requestId"]), (&json!("notifications/cancelled"), &second));
    story.up().daemon(ask()).heard();
    assert_eq!(story.client(result(second)).heard().1, Vec::<Value>::new());
}

#[test]
fn a_key_that_is_refused_is_told_at_once() {
    let mut story = story();
    story.up_as("hello").client(request(1, "tools/list", json!({})));
    story.client(request(2, "tools/call", json!({ "name": "t" })));
    let refusal = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": 401, "message": "no such key" } });
    assert_eq!(story.pump.daemon_said(line(&refusal), story.now), Verdict::Refused("no such key".to_owned()));
    story.pump.nothing_ran();
    story.pump.link_down(Trouble::refused("no such key"), story.now);
    let heard = story.client_heard();
    assert!(heard[0]["result"]["tools"][0]["description"].as_str().unwrap().contains("does not accept the key"));
    assert_eq!(said(&heard[1])["effect"], "none");
    assert_eq!(said(&heard[1])["status"], "denied");
    assert_eq!(story.pump.daemon_said(Line::Whole("HTTP/1.1 400 Bad Request".into()), story.now), Verdict::Foreign);
}

#[test]
fn what_is_no_message_is_answered_here() {
    let mut story = story();
    story.up().heard();
    let now = story.now;
    story.pump.client_said(Line::Whole("nonsense".into()), now);
    story.pump.client_said(Line::Whole("[7]".into()), now);
    let tail = "}},\"id\":9}".into();
    story.pump.client_said(Line::TooLong { head: "{".into(), tail }, now);
    story.client(request(1, "x", json!({}))).client(request(1, "x", json!({})));
    let (client, daemon) = story.heard();
    let told: Vec<_> = client.iter().map(|heard| (heard["id"].clone(), heard["error"]["code"].clone())).collect();
    assert_eq!(
        told,
        [
            (json!(null), json!(-32_700)),
            (json!(null), json!(-32_600)),
            (json!(9), json!(413)),
            (json!(1), json!(-32_600))
        ]
    );
    assert_eq!(daemon.len(), 1);
}

#[test]
fn a_batch_is_taken_apart_where_it_is_known() {
    let mut story = story();
    story.up().client(request("i", "initialize", json!({ "protocolVersion": "2025-03-26" }))).heard();
    story.client(json!([request(1, "tools/list", json!({})), request(2, "ping", json!({}))]));
    let (client, daemon) = story.heard();
    assert_eq!((client, methods(&daemon)), (vec![result(2)], vec!["tools/list"]));
}

#[test]
fn a_daemon_that_breaks_off_may_have_carried_out_what_it_was_sent() {
    let mut story = story();
    story.up().client(request(1, "tools/call", json!({ "name": "t" }))).heard();
    let half = Line::Whole("{\"jsonrpc\":\"2.0\",\"id\":1,\"res".into());
    assert_eq!(story.pump.daemon_said(half, story.now), Verdict::Broken);
    let heard = story.down().later(Duration::from_secs(30)).client_heard();
    assert_eq!(said(&heard[0])["effect"], "unknown");
}

#[test]
fn the_next_daemon_is_told_what_was_cancelled_meanwhile() {
    let mut story = story();
    story.up().client(request(1, "tools/call", json!({ "name": "t" })));
    story.down().client(request(2, "tools/call", json!({ "name": "t" })));
    for id in [1, 2] {
        let params = json!({ "requestId": id });
        story.client(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }));
    }
    assert!(!story.pump.has_work());
    story.heard();
    let daemon = story.up().heard().1;
    assert_eq!(methods(&daemon), ["-", "tools/call", "notifications/cancelled"], "no daemon knows the second");
    assert_eq!((&daemon[1]["id"], &daemon[2]["params"]["requestId"]), (&json!(1), &json!(1)));
    assert_eq!(story.daemon(result(1)).client_heard(), Vec::<Value>::new());
}

#[test]
fn any_answer_to_the_hello_is_a_refusal_and_too_many_of_them_pass() {
    let fault = |code: i64| line(&json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": "m" } }));
    for (code, verdict) in [(429, Verdict::Limited("m".into())), (403, Verdict::Refused("m".into()))] {
        let mut story = story();
        story.up_as("hello");
        assert_eq!(story.pump.daemon_said(fault(code), story.now), verdict);
        story.up().heard();
        assert_eq!(story.pump.daemon_said(fault(code), story.now), Verdict::Fine, "it is about something else");
        assert_eq!(story.client_heard().len(), 1);
    }
}

#[test]
fn a_call_is_not_sent_again_in_the_name_of_another() {
    let mut story = story();
    story.up().client(request(1, "tools/call", json!({ "name": "t" })));
    story.down().heard();
    let (client, daemon) = story.up_as("another").heard();
    assert_eq!(methods(&daemon), ["-"]);
    let told = said(&client[0]);
    assert_eq!((&told["effect"], told.get("idempotency_key")), (&json!("unknown"), None));
}

#[test]
fn a_daemon_that_is_stopped_is_given_up_and_one_that_works_is_not() {
    let five = Duration::from_secs(5);
    let mut story = story();
    story.up().later(five * 20).client(request(1, "tools/call", json!({ "name": "t" }))).heard();
    // A call that takes a minute.
    for _ in 0..12 {
        story.now += five;
        assert_eq!(story.pump.tick(story.now), Verdict::Fine);
        assert_eq!(story.pump.take_output().1, [PING], "it is asked");
        story.daemon(result("toolctl-bridge-ping"));
    }
    // Then it is stopped, and so is every connection to it.
    for _ in 0..3 {
        story.now += five;
        assert_eq!(story.pump.tick(story.now), Verdict::Fine);
        story.now += five;
        let verdict = story.pump.tick(story.now);
        if verdict == Verdict::Silent {
            story.down().up_as("hello");
        }
    }
    let heard = story.later(five * 4).client_heard();
    let told: Vec<_> = heard.iter().filter(|heard| heard["id"] == 1).collect();
    assert_eq!((told.len(), &said(told[0])["effect"]), (1, &json!("unknown")));
}

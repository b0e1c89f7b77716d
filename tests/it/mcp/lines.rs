//! One message a line, on the listeners that speak HTTP too.

use std::io::Write as _;

use serde_json::{Value, json};

use super::talk::{Talk, names, text};
use super::{MODERN, said};
use crate::support::{Daemon, Door, http};

/// A conversation over this door.
fn talk(door: &Door) -> Talk {
    match door.connect().expect("a listening daemon") {
        http::Stream::Socket(stream) => Talk::new(stream.try_clone().expect("a second handle"), stream),
        http::Stream::Tcp(stream) => Talk::new(stream.try_clone().expect("a second handle"), stream),
    }
}

fn hello(key: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "dev.toolctl/hello", "params": {"key": key}})
}

#[test]
fn both_eras_call_tools_over_one_connection() {
    let daemon = Daemon::start();
    let mut talk = talk(&daemon.door());
    let opened = talk.initialize("2025-06-18");
    assert_eq!(opened["protocolVersion"], "2025-06-18");
    talk.request(1, "tools/list", json!({}));
    assert!(names(&talk.answer(1)).contains(&"search_customer"));
    let call = json!({"name": "search_customer", "arguments": {"query": "acme"}});
    talk.request(2, "tools/call", call.clone()).modern("2", "tools/call", call);
    let modern = talk.answer("2");
    assert_eq!(modern["result"]["resultType"], "complete");
    let legacy = if let Some(place) = talk.aside.iter().position(|message| message["id"] == 2) {
        talk.aside.remove(place)
    } else {
        talk.answer(2)
    };
    assert_eq!((text(&legacy), legacy["result"].get("resultType")), (text(&modern), None));
    // HTTP goes on beside it.
    daemon.http("GET", "/health").send().is(200);
}

#[test]
fn changes_are_told_in_both_eras() {
    let daemon = Daemon::start();
    let mut talk = talk(&daemon.door());
    talk.initialize("2025-11-25");
    talk.modern("l", "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    talk.notified("notifications/subscriptions/acknowledged");
    daemon.configure("policies/main.cedar", "@id(\"none\") forbid (principal, action, resource);");
    daemon.cli(&["reload"]).exits(0);
    let told = [(); 2].map(|()| talk.notified("notifications/tools/list_changed"));
    let mut tags: Vec<_> =
        told.iter().map(|told| &told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]).collect();
    tags.sort_by_key(|tag| tag.is_null());
    assert_eq!(tags, [&json!("l"), &Value::Null]);
}

#[test]
fn bad_lines_are_answered_and_the_rest_is_served() {
    let daemon = Daemon::start();
    let mut talk = talk(&daemon.door());
    let told = |heard: Option<Value>| heard.map(|heard| (heard["id"].clone(), heard["error"]["code"].clone()));
    talk.raw(b"  \r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}\n");
    assert_eq!(told(talk.next()), Some((Value::Null, json!(-32_700))));
    talk.raw(b"[}\n");
    assert_eq!(told(talk.next()), Some((Value::Null, json!(-32_700))));
    talk.raw(b"{\"method\":\"tools/call\",\"params\":{\"x\":\"")
        .raw(&vec![b'x'; (1 << 20) + 1])
        .raw(b"\"},\"jsonrpc\":\"2.0\",\"id\":2}\n");
    assert_eq!(told(talk.next()), Some((json!(2), json!(413))));
    // Half lines of two requests, and the end of the last one is missing.
    talk.raw(b"{\"jsonrpc\":\"2.0\",\"id\":3,").raw(b"\"method\":\"ping\"}\n{\"jsonrpc\":\"2.0\",\"i");
    assert_eq!(talk.next(), Some(json!({"jsonrpc": "2.0", "id": 3, "result": {}})));
    talk.raw(b"d\":4,\"method\":\"ping\"}\r\n");
    assert_eq!(talk.next(), Some(json!({"jsonrpc": "2.0", "id": 4, "result": {}})));
}

#[test]
fn over_tcp_a_key_is_needed() {
    let daemon = Daemon::start_with(&["--listen", "127.0.0.1:0"], &[]);
    let agent = daemon.agent("bot");
    let mut with_key = talk(&daemon.tcp());
    with_key.say(&hello(&agent)).modern(1, "tools/list", json!({}));
    assert!(names(&with_key.answer(1)).contains(&"create_ticket"));

    let mut nobody = talk(&daemon.tcp());
    nobody.modern(1, "server/discover", json!({}));
    assert_eq!(nobody.answer(1)["error"]["code"], 401);

    for door in [daemon.door(), daemon.tcp()] {
        let mut stranger = talk(&door);
        stranger.say(&hello("tctl_agent_nobody")).modern(1, "tools/list", json!({}));
        assert_eq!(stranger.answer(Value::Null)["error"]["code"], 401);
        assert_eq!(stranger.answer(1)["error"]["code"], 401);
    }
}

#[test]
fn a_call_goes_on_when_its_client_is_gone() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let mut stream = daemon.door().connect().expect("a listening daemon");
    let params =
        json!({"name": "create_ticket", "arguments": {"customer_id": 1, "title": "gone"}, "_meta": said(MODERN)});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    stream.write_all(format!("{}\n{call}\n", hello(&agent)).as_bytes()).expect("it is read");
    drop(stream);
    let called = crate::support::until(|| {
        daemon.audit("kind=call.*").into_iter().find(|record| record["tool"] == "create_ticket")
    });
    assert_eq!(called["actor"], "agent:bot", "{called}");
}

#[test]
fn a_stop_ends_quiet_conversations() {
    let mut daemon = Daemon::start();
    let (mut quiet, mut listening) = (talk(&daemon.door()), talk(&daemon.door()));
    quiet.initialize("2025-11-25");
    listening.modern(1, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    listening.notified("notifications/subscriptions/acknowledged");
    assert_eq!(daemon.terminate(), Some(0));
    assert_eq!(quiet.next(), None);
    assert_eq!(listening.answer(1)["result"]["resultType"], "complete");
    assert_eq!(listening.next(), None);
}

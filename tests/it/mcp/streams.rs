//! Event streams: what changes is told on them, they show that they are alive, and they end well.

use serde_json::{Value, json};

use super::{Events, MODERN, modern, session};
use crate::support::{Daemon, Exchange, until};

const EVERYTHING: &str = "@id(\"all\")\npermit (principal, action, resource);";
const LESS: &str = "@id(\"all\")\npermit (principal, action, resource);\n\
    @id(\"frozen\")\nforbid (principal, action == Toolctl::Action::\"create_ticket\", resource);";
const CHANGED: &str = "notifications/tools/list_changed";

fn daemon() -> Daemon {
    let mut daemon = Daemon::prepared(&[], &[]);
    daemon.configure("policies/main.cedar", EVERYTHING);
    daemon.restart();
    daemon
}

/// Takes a tool away from everybody.
fn freeze(daemon: &Daemon) {
    daemon.configure("policies/main.cedar", LESS);
    daemon.http("POST", "/v1/reload").json(&json!({})).send().is(200);
}

fn listen(daemon: &Daemon, wanted: &Value) -> Exchange {
    modern(&daemon.door(), "subscriptions/listen", json!({"notifications": wanted}))
}

fn get(daemon: &Daemon, session: &str) -> Exchange {
    daemon.http("GET", "/mcp").header("Accept", "text/event-stream").header("Mcp-Session-Id", session)
}

#[test]
fn a_modern_listener_hears_of_changes_it_asked_for() {
    let daemon = daemon();
    let mut all = Events::open(&listen(&daemon, &json!({"toolsListChanged": true, "promptsListChanged": true})));
    let mut none = Events::open(&listen(&daemon, &json!({})));
    let subscription = |message: &Value| message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    let first = all.message().expect("an acknowledgement");
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], json!({"toolsListChanged": true}), "what this server can keep");
    assert_eq!(subscription(&first), 1, "a number, as it was sent");
    assert_eq!(none.message().expect("an acknowledgement")["params"]["notifications"], json!({}));
    freeze(&daemon);
    let told = all.message().expect("a change");
    assert_eq!((&told["method"], subscription(&told)), (&json!(CHANGED), json!(1)));
    let line = none.line().expect("a sign of life");
    assert_eq!(line, ":", "who asked for nothing is told nothing");
}

#[test]
fn a_session_hears_of_changes_on_its_newest_stream() {
    let daemon = daemon();
    let session = session(&daemon, "2025-06-18");
    let mut older = Events::open(&get(&daemon, &session));
    assert_eq!(older.line().as_deref(), Some(":"), "it is alive");
    let mut newer = Events::open(&get(&daemon, &session));
    assert_eq!(older.message(), None, "the older one ends");
    freeze(&daemon);
    let told = newer.message().expect("a change");
    assert_eq!((told["method"].as_str(), told.get("id")), (Some(CHANGED), None));
    daemon.http("DELETE", "/mcp").header("Mcp-Session-Id", &session).send().is(204);
    assert_eq!(newer.message(), None, "it ends with its session");
}

#[test]
fn streams_end_well_when_the_daemon_stops() {
    let mut daemon = daemon();
    let session = session(&daemon, "2025-11-25");
    let mut legacy = Events::open(&get(&daemon, &session));
    let mut modern = Events::open(&listen(&daemon, &json!({"toolsListChanged": true})));
    modern.message().expect("an acknowledgement");
    daemon.signal("TERM");
    let last = modern.message().expect("the answer to the request itself");
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(1), &json!("complete")));
    assert_eq!(last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert_eq!((modern.message(), legacy.message()), (None, None));
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn a_caller_whose_key_is_revoked_hears_nothing_more() {
    let daemon = daemon();
    let made = daemon.make_key(&json!({"name": "bot", "kind": "agent"}));
    let key = made["key"].as_str().expect("a key");
    let mut events = Events::open(&listen(&daemon, &json!({"toolsListChanged": true})).key(key));
    events.message().expect("an acknowledgement");
    let id = made["info"]["id"].as_str().expect("an id");
    daemon.http("DELETE", &format!("/v1/keys/{id}")).send().is(200);
    freeze(&daemon);
    let last = events.message().expect("the end");
    assert_eq!(last["id"], 1, "{last}");
    assert_eq!(events.message(), None);
}

#[test]
fn listeners_that_hang_up_are_forgotten() {
    let daemon = Daemon::start();
    let sockets = || {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("a process");
        descriptors.flatten().filter_map(|file| std::fs::read_link(file.path()).ok()).count()
    };
    let before = sockets();
    let mut open: Vec<_> =
        (0..20).map(|_| Events::open(&listen(&daemon, &json!({"toolsListChanged": true})))).collect();
    for events in &mut open {
        events.message().expect("an acknowledgement");
    }
    assert!(sockets() >= before + 20);
    drop(open);
    until(|| (sockets() <= before).then_some(()));
}

#[test]
fn a_listener_that_reads_no_streams_is_told_so() {
    let daemon = Daemon::start();
    let sent = daemon.http("POST", "/mcp").header("Accept", "application/json");
    let sent = sent.header("MCP-Protocol-Version", MODERN).header("Mcp-Method", "subscriptions/listen");
    let body = super::request("subscriptions/listen", json!({"notifications": {}, "_meta": super::said(MODERN)}));
    let refused = sent.json(&body).send();
    assert_eq!((refused.status, super::error(&refused)), (406, (406, json!(1))));
    let malformed = modern(&daemon.door(), "subscriptions/listen", json!({})).send();
    assert_eq!(super::error(&malformed), (-32_602, json!(1)));
}

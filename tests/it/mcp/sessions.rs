//! Sessions of legacy clients: kept by their ids alone, so that a restart ends none, and good for their caller
//! only.

use serde_json::{Value, json};

use super::{error, initialize, post, request, session};
use crate::support::{Daemon, Response};

fn list(daemon: &Daemon, session: &str) -> Response {
    post(&daemon.door(), &request("tools/list", json!({}))).header("Mcp-Session-Id", session).send()
}

fn delete(daemon: &Daemon, session: &str) -> Response {
    daemon.http("DELETE", "/mcp").header("Mcp-Session-Id", session).send()
}

#[test]
fn a_session_outlives_the_daemon() {
    let mut daemon = Daemon::start();
    let session = session(&daemon, "2025-06-18");
    let before = list(&daemon, &session).is(200).json();
    daemon.kill();
    daemon.restart();
    let after = list(&daemon, &session).is(200).json();
    assert!(before["result"]["tools"].as_array().is_some_and(|tools| tools.len() >= 5), "{before}");
    assert_eq!(before, after);
    let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    post(&daemon.door(), &told).header("Mcp-Session-Id", &session).send().is(202);
    assert_eq!(delete(&daemon, &session).status, 204);
}

#[test]
fn the_revision_of_a_session_holds_whatever_its_header_says() {
    let daemon = Daemon::start();
    let tool = |session: &str, version: &str| {
        let sent = post(&daemon.door(), &request("tools/list", json!({})));
        let answer = sent.header("Mcp-Session-Id", session).header("MCP-Protocol-Version", version).send();
        answer.is(200).json()["result"]["tools"][0].clone()
    };
    let oldest = session(&daemon, "2025-03-26");
    assert!(tool(&oldest, "2025-11-25").get("title").is_none(), "titles came later");
    let later = session(&daemon, "2025-11-25");
    assert!(tool(&later, "2025-03-26").get("title").is_some());
    let unknown = post(&daemon.door(), &request("ping", json!({})));
    let refused = unknown.header("Mcp-Session-Id", &later).header("MCP-Protocol-Version", "1999-01-01").send();
    assert_eq!((refused.status, error(&refused).0), (400, -32_022));
}

#[test]
fn forged_foreign_and_ended_sessions_are_unknown() {
    let daemon = Daemon::start();
    let mine = session(&daemon, "2025-11-25");
    let bot = daemon.agent("bot");
    let foreign = initialize(&daemon.door(), "2025-11-25").key(&bot).send();
    let foreign = foreign.header("mcp-session-id").to_owned();
    let mut forged = mine.clone();
    let last = forged.pop().expect("a character");
    forged.push(if last == 'A' { 'B' } else { 'A' });
    let other = Daemon::start();
    let elsewhere = session(&other, "2025-11-25");
    for (what, id) in
        [("forged", &forged), ("foreign", &foreign), ("another daemon's", &elsewhere), ("none", &"x".to_owned())]
    {
        let refused = list(&daemon, id);
        assert_eq!((refused.status, error(&refused)), (404, (404, json!(1))), "{what}");
        assert_eq!(delete(&daemon, id).status, 404, "{what}");
        let stream =
            daemon.http("GET", "/mcp").header("Accept", "text/event-stream").header("Mcp-Session-Id", id).send();
        assert_eq!(stream.status, 404, "{what}");
    }
    list(&daemon, &mine).is(200);
    assert_eq!(delete(&daemon, &mine).status, 204);
    let ended = list(&daemon, &mine);
    assert_eq!((ended.status, error(&ended)), (404, (404, json!(1))));
    assert_eq!(delete(&daemon, &mine).status, 404);
    let again = post(&daemon.door(), &request("ping", json!({}))).send();
    assert_eq!(again.is(200).json()["error"], Value::Null, "a request without a session stands for itself");
}

#[test]
fn each_initialize_begins_a_session_of_its_own() {
    let daemon = Daemon::start();
    let first = session(&daemon, "2025-11-25");
    let again = initialize(&daemon.door(), "2025-06-18").header("Mcp-Session-Id", &first).send();
    let second = again.is(200).header("mcp-session-id").to_owned();
    assert_ne!(first, second);
    assert_eq!(delete(&daemon, &second).status, 204);
    list(&daemon, &first).is(200);
}

#[test]
fn a_session_is_no_credential() {
    let daemon = Daemon::start_with(&["--listen", "127.0.0.1:0"], &[]);
    let bot = daemon.make_key(&json!({"name": "bot", "kind": "agent"}));
    let key = bot["key"].as_str().expect("a key");
    let begun = initialize(&daemon.tcp(), "2025-11-25").key(key).send();
    let session = begun.is(200).header("mcp-session-id").to_owned();
    let list = || post(&daemon.tcp(), &request("tools/list", json!({}))).header("Mcp-Session-Id", &session);
    list().key(key).send().is(200);
    list().send().is_problem(401, "unauthenticated");
    let id = bot["info"]["id"].as_str().expect("an id");
    daemon.http("DELETE", &format!("/v1/keys/{id}")).send().is(200);
    list().key(key).send().is_problem(401, "unauthenticated");
}

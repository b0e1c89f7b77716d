//! `/mcp`, spoken by hand: what a test sends is exactly what it says, good or bad.

mod approvals;
mod bridge;
mod fixtures;
mod http;
mod lines;
mod sessions;
mod streams;
mod talk;
mod tools;

use std::io::{BufRead as _, BufReader, Read};

use serde_json::{Value, json};

use crate::support::{Daemon, Door, Exchange, Response};

/// What every client should accept.
const BOTH: &str = "application/json, text/event-stream";
/// The modern revision.
const MODERN: &str = "2026-07-28";

/// A POST of this body.
fn post(door: &Door, body: &Value) -> Exchange {
    door.http("POST", "/mcp").header("Accept", BOTH).json(body)
}

/// A request of the legacy era.
fn request(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// What a modern request says of itself.
fn said(version: &str) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A request of the modern era, with its headers.
fn modern(door: &Door, method: &str, mut params: Value) -> Exchange {
    params["_meta"] = said(MODERN);
    let name = params.get("name").and_then(Value::as_str).map(str::to_owned);
    let sent = post(door, &request(method, params)).header("MCP-Protocol-Version", MODERN).header("Mcp-Method", method);
    match name {
        Some(name) => sent.header("Mcp-Name", &name),
        None => sent,
    }
}

/// `initialize` of a client that speaks `version`.
fn initialize(door: &Door, version: &str) -> Exchange {
    let client = json!({"name": "test", "version": "1"});
    post(door, &request("initialize", json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client})))
}

/// The id of a new session of whoever is at the other end of the daemon's socket.
fn session(daemon: &Daemon, version: &str) -> String {
    initialize(&daemon.door(), version).send().is(200).header("mcp-session-id").to_owned()
}

/// The message of an answer: the document, or the last event of a stream.
#[track_caller]
fn message_of(answer: &Response) -> Value {
    if answer.header("content-type") != "text/event-stream" {
        return answer.json();
    }
    let text = String::from_utf8_lossy(&answer.body);
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
    serde_json::from_str(last.unwrap_or_else(|| panic!("no event: {text}"))).expect("JSON")
}

/// The JSON-RPC error code of an answer, and the id it is about.
#[track_caller]
fn error(answer: &Response) -> (i64, Value) {
    let body = answer.json();
    assert_eq!(body["jsonrpc"], "2.0", "{body}");
    (body["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {body}")), body["id"].clone())
}

/// An event stream.
struct Events(BufReader<Box<dyn Read>>);

impl Events {
    /// Opens it.
    #[track_caller]
    fn open(sent: &Exchange) -> Self {
        let (status, headers, body) = sent.open();
        assert_eq!((status, headers["content-type"].as_str()), (200, "text/event-stream"));
        assert_eq!((headers["cache-control"].as_str(), headers["x-accel-buffering"].as_str()), ("no-store", "no"));
        Self(BufReader::new(body))
    }

    /// The next line that is not empty; none at the end.
    fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).expect("a stream that ends well") == 0 {
                return None;
            }
            let line = line.trim_end_matches('\n');
            if !line.is_empty() {
                return Some(line.to_owned());
            }
        }
    }

    /// The next message; none at the end.
    fn message(&mut self) -> Option<Value> {
        loop {
            let line = self.line()?;
            if let Some(message) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(message).expect("JSON"));
            }
            assert!(line.starts_with(':'), "neither a message nor a comment: {line}");
        }
    }
}

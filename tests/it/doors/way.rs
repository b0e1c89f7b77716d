//! The doors, each as a way to ask for one call and to hear what became of it in the same few words.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::support::story::program;
use crate::support::{Daemon, Door};

/// One request.
pub struct Asked {
    pub tool: String,
    /// JSON text, good or bad.
    pub arguments: String,
    pub key: Option<String>,
}

/// What a door said.
#[derive(Debug, PartialEq)]
pub struct Said {
    /// The contract's code; none when the call succeeded.
    pub code: Option<String>,
    /// What happened to the world, where something went wrong.
    pub effect: Option<String>,
    pub output: Value,
    pub replayed: bool,
    /// Which arguments are wrong.
    pub errors: Value,
}

pub trait Way {
    fn call(&mut self, asked: &Asked) -> Said;
}

/// `POST /v1/calls`.
pub struct Rest {
    door: Door,
    key: String,
}

impl Rest {
    pub fn open(daemon: &Daemon, key: &str) -> Self {
        Self { door: daemon.door(), key: key.to_owned() }
    }
}

impl Way for Rest {
    fn call(&mut self, asked: &Asked) -> Said {
        let body = format!(r#"{{"tool":"{}","arguments":{}}}"#, asked.tool, asked.arguments);
        let mut request = self.door.http("POST", "/v1/calls").key(&self.key);
        if let Some(key) = &asked.key {
            request = request.once(key);
        }
        let answer = request.header("Content-Type", "application/json").raw(body.as_bytes()).send();
        let said = answer.json();
        if answer.status >= 400 {
            return problem(&said);
        }
        let replayed = said["replayed"] == true;
        let mut ended = match &said["error"] {
            Value::Null => {
                Said { code: None, effect: None, output: tame(said["output"].clone()), replayed, errors: Value::Null }
            }
            error => Said { replayed, ..problem(error) },
        };
        if said["state"] == "awaiting_approval" {
            ended.code = Some("approval-pending".to_owned());
            ended.effect = Some("none".to_owned());
            ended.replayed = false;
        }
        ended
    }
}

fn problem(problem: &Value) -> Said {
    Said {
        code: problem["code"].as_str().map(str::to_owned),
        effect: problem["effect"].as_str().map(str::to_owned),
        output: Value::Null,
        replayed: false,
        errors: problem.get("errors").cloned().unwrap_or(Value::Null),
    }
}

/// An output without its time.
fn tame(mut output: Value) -> Value {
    if let Some(ticket) = output.get_mut("ticket").and_then(Value::as_object_mut) {
        ticket.remove("created_at");
    }
    output
}

/// What the answer to `tools/call` says.
fn said(answer: &Value) -> Said {
    if let Some(error) = answer.get("error") {
        let code = match error["code"].as_i64().expect("a code") {
            -32_602 => "tool-not-found",
            401 => "unauthenticated",
            other => panic!("an error that no scenario asks for: {other}: {error}"),
        };
        let errors = Value::Null;
        return Said {
            code: Some(code.to_owned()),
            effect: Some("none".to_owned()),
            output: Value::Null,
            replayed: false,
            errors,
        };
    }
    let result = &answer["result"];
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().expect("text")).expect("JSON text");
    if let Some(structured) = result.get("structuredContent") {
        assert_eq!(*structured, text, "the same facts in both");
    }
    let replayed = result["_meta"]["dev.toolctl/replayed"] == true;
    if result["isError"] == true {
        return Said { replayed, ..problem(&text) };
    }
    Said { code: None, effect: None, output: tame(text), replayed, errors: Value::Null }
}

fn call(asked: &Asked, id: u64, meta: &Value) -> String {
    let mut meta = meta.clone();
    if let Some(key) = &asked.key {
        meta["dev.toolctl/idempotency-key"] = json!(key);
    }
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{}","arguments":{},"_meta":{meta}}}}}"#,
        asked.tool, asked.arguments
    )
}

fn modern_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "doors", "version": "1"},
    })
}

fn initialize(version: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "doors", "version": "1"},
    }})
}

/// `POST /mcp` of 2026-07-28, over TCP.
pub struct Modern {
    door: Door,
    key: String,
}

impl Modern {
    pub fn open(daemon: &Daemon, key: &str) -> Self {
        Self { door: daemon.tcp(), key: key.to_owned() }
    }
}

impl Way for Modern {
    fn call(&mut self, asked: &Asked) -> Said {
        let request = self.door.http("POST", "/mcp").key(&self.key);
        let request = request
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .header("MCP-Protocol-Version", "2026-07-28")
            .header("Mcp-Method", "tools/call")
            .header("Mcp-Name", &asked.tool);
        answered(&request.raw(call(asked, 7, &modern_meta()).as_bytes()).send())
    }
}

/// An answer over HTTP: a message, or a problem when it never became one.
fn answered(response: &crate::support::Response) -> Said {
    match response.headers.get("content-type").map(String::as_str) {
        Some("application/problem+json") => problem(&response.json()),
        _ => said(&response.json()),
    }
}

/// `POST /mcp` of 2025-11-25, with a session, over the socket.
pub struct Legacy {
    door: Door,
    key: String,
    session: Option<String>,
}

impl Legacy {
    pub fn open(daemon: &Daemon, key: &str) -> Self {
        let (door, key) = (daemon.door(), key.to_owned());
        let begun = Self::post(&door, &key, None).json(&initialize("2025-11-25")).send();
        // A stranger gets none.
        let session = begun.headers.get("mcp-session-id").cloned();
        Self { door, key, session }
    }

    fn post(door: &Door, key: &str, session: Option<&str>) -> crate::support::Exchange {
        let request = door.http("POST", "/mcp").key(key).header("Accept", "application/json, text/event-stream");
        match session {
            Some(session) => request.header("Mcp-Session-Id", session).header("MCP-Protocol-Version", "2025-11-25"),
            None => request,
        }
    }
}

impl Way for Legacy {
    fn call(&mut self, asked: &Asked) -> Said {
        let request = Self::post(&self.door, &self.key, self.session.as_deref());
        let request = request.header("Content-Type", "application/json");
        answered(&request.raw(call(asked, 7, &json!({})).as_bytes()).send())
    }
}

/// `toolctl mcp`.
pub struct Bridge {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    meta: Value,
    next: u64,
}

impl Bridge {
    pub fn modern(daemon: &Daemon, key: &str) -> Self {
        Self::start(daemon, key, modern_meta())
    }

    pub fn legacy(daemon: &Daemon, key: &str) -> Self {
        let mut bridge = Self::start(daemon, key, json!({}));
        let begun = bridge.exchange(&initialize("2025-06-18").to_string(), 0);
        assert_eq!(begun["result"]["protocolVersion"], "2025-06-18", "{begun}");
        bridge
    }

    fn start(daemon: &Daemon, key: &str, meta: Value) -> Self {
        let mut command = program(daemon.dir());
        command.arg("mcp").env("TOOLCTL_KEY", key).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the bridge starts");
        let to = child.stdin.take().expect("its stdin");
        let from = BufReader::new(child.stdout.take().expect("its stdout"));
        Self { child, to, from, meta, next: 1 }
    }

    /// Sends a line and gives the answer with this id.
    fn exchange(&mut self, line: &str, id: u64) -> Value {
        writeln!(self.to, "{line}").expect("a bridge that reads");
        loop {
            let mut line = String::new();
            assert_ne!(self.from.read_line(&mut line).expect("a line"), 0, "the bridge ended");
            let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line}"));
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
        }
    }
}

impl Way for Bridge {
    fn call(&mut self, asked: &Asked) -> Said {
        self.next += 1;
        let line = call(asked, self.next, &self.meta);
        said(&self.exchange(&line, self.next))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // A test that failed must not leave it behind.
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

//! Kinds of clients: what they say of themselves, and how they read an answer.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use super::World;
use crate::support::http::Stream;
use crate::support::{Door, Exchange};

/// One client.
#[derive(Clone)]
pub struct Client {
    door: Door,
    key: String,
    version: &'static str,
    capabilities: Value,
    session: Option<String>,
}

/// An answer as it comes: messages until the last.
pub struct Talk(BufReader<Stream>);

pub const MODERN: &str = "2026-07-28";

impl Client {
    /// A modern client of the agent with these capabilities.
    pub fn modern(world: &World, capabilities: Value) -> Self {
        let (door, key) = (world.daemon.door(), world.agent.clone());
        Self { door, key, version: MODERN, capabilities, session: None }
    }

    /// A legacy client of the agent, in a session of its own.
    pub fn legacy(world: &World, version: &'static str, capabilities: Value) -> Self {
        let (door, key) = (world.daemon.door(), world.agent.clone());
        let mut client = Self { door, key, version, capabilities, session: None };
        let opening = json!({
            "protocolVersion": version, "capabilities": client.capabilities, "clientInfo": {"name": "t", "version": "1"},
        });
        let opened = client.request("initialize", opening).send();
        client.session = Some(opened.is(200).header("mcp-session-id").to_owned());
        client
    }

    /// The same client with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// The same client with other capabilities.
    pub fn with(&self, capabilities: Value) -> Self {
        Self { capabilities, ..self.clone() }
    }

    /// A request, with the id 1.
    pub fn request(&self, method: &str, mut params: Value) -> Exchange {
        let name = params.get("name").or_else(|| params.get("taskId")).and_then(Value::as_str).map(str::to_owned);
        if self.version == MODERN {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        }
        let mut sent = self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
        if self.version == MODERN {
            sent = sent.header("MCP-Protocol-Version", MODERN).header("Mcp-Method", method);
            if let Some(name) = name {
                sent = sent.header("Mcp-Name", &name);
            }
        }
        sent
    }

    /// Any message.
    pub fn post(&self, message: &Value) -> Exchange {
        let sent = self.door.http("POST", "/mcp").header("Accept", "application/json, text/event-stream");
        let sent = sent.key(&self.key).json(message);
        match &self.session {
            Some(session) => sent.header("Mcp-Session-Id", session).header("MCP-Protocol-Version", self.version),
            None => sent,
        }
    }

    /// Opens `tools/call` of the tool that waits, with more params.
    pub fn begin(&self, more: &Value) -> Talk {
        Talk(BufReader::new(self.tool(more).begin()))
    }

    /// Calls the tool that waits, with more params, and gives the result.
    #[track_caller]
    pub fn call(&self, more: &Value) -> Value {
        self.begin(more).result()
    }

    /// Calls a method and gives its result.
    #[track_caller]
    pub fn ask(&self, method: &str, params: Value) -> Value {
        Talk(BufReader::new(self.request(method, params).begin())).result()
    }

    /// Calls a method that is refused; gives the error code.
    #[track_caller]
    pub fn refused(&self, method: &str, params: Value) -> i64 {
        let last = Talk(BufReader::new(self.request(method, params).begin())).last();
        last["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {last}"))
    }

    /// The params of the call that waits, with more of them.
    pub fn params(more: &Value) -> Value {
        let mut params = json!({"name": "update_customer_status", "arguments": super::paused()});
        for (name, value) in more.as_object().expect("an object") {
            params[name] = value.clone();
        }
        params
    }

    fn tool(&self, more: &Value) -> Exchange {
        self.request("tools/call", Self::params(more))
    }
}

impl Talk {
    /// The next message; none at the end.
    pub fn message(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).expect("an answer that ends well") == 0 {
                return None;
            }
            // Heads, sizes of chunks and signs of life are passed over: a message stands on a line of its own.
            let line = line.strip_prefix("data: ").unwrap_or(&line);
            if line.starts_with('{') {
                return Some(serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")));
            }
        }
    }

    /// The answer itself, after everything that comes before it.
    #[track_caller]
    pub fn last(mut self) -> Value {
        loop {
            let message = self.message().expect("an answer");
            if message.get("method").is_none() {
                assert_eq!(message["id"], 1, "{message}");
                return message;
            }
        }
    }

    /// The result, after everything that comes before it.
    #[track_caller]
    pub fn result(self) -> Value {
        let last = self.last();
        last.get("result").unwrap_or_else(|| panic!("no result: {last}")).clone()
    }
}

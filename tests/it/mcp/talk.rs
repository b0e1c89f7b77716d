//! A client that says one message a line, over whatever carries bytes.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde_json::{Value, json};

use super::{MODERN, said};

/// How long an answer may take: generous, as test machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A conversation.
pub struct Talk {
    writer: Option<Box<dyn Write>>,
    heard: mpsc::Receiver<String>,
    /// What came before what was waited for.
    pub aside: Vec<Value>,
}

impl Talk {
    /// A conversation over these.
    pub fn new(writer: impl Write + 'static, reader: impl Read + Send + 'static) -> Self {
        let (sender, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                // The test may have heard enough.
                let _gone = sender.send(line);
            }
        });
        Self { writer: Some(Box::new(writer)), heard, aside: Vec::new() }
    }

    /// Says bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        let writer = self.writer.as_mut().expect("a client that still speaks");
        writer.write_all(bytes).and_then(|()| writer.flush()).expect("somebody reads");
        self
    }

    /// Says a message.
    pub fn say(&mut self, message: &Value) -> &mut Self {
        self.raw(format!("{message}\n").as_bytes())
    }

    /// Sends a legacy request.
    pub fn request(&mut self, id: impl Into<Value>, method: &str, params: Value) -> &mut Self {
        let id: Value = id.into();
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
    }

    /// Sends a modern request.
    pub fn modern(&mut self, id: impl Into<Value>, method: &str, mut params: Value) -> &mut Self {
        params["_meta"] = said(MODERN);
        self.request(id, method, params)
    }

    /// Opens a legacy conversation; gives the result.
    #[track_caller]
    pub fn initialize(&mut self, version: &str) -> Value {
        let client = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client});
        self.request("init", "initialize", params);
        let answer = self.answer("init");
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer["result"].clone()
    }

    /// The next message; none at the end.
    #[track_caller]
    pub fn next(&mut self) -> Option<Value> {
        match self.heard.recv_timeout(PATIENCE) {
            Ok(line) => Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line}"))),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing was said; before that: {:?}", self.aside),
        }
    }

    /// The answer to this request; what comes before it is kept aside.
    #[track_caller]
    pub fn answer(&mut self, id: impl Into<Value>) -> Value {
        let id: Value = id.into();
        loop {
            let message = self.next().unwrap_or_else(|| panic!("the end; before that: {:?}", self.aside));
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
            self.aside.push(message);
        }
    }

    /// The next notification of this method.
    #[track_caller]
    pub fn notified(&mut self, method: &str) -> Value {
        loop {
            if let Some(place) = self.aside.iter().position(|message| message["method"] == method) {
                return self.aside.remove(place);
            }
            let message = self.next().unwrap_or_else(|| panic!("the end; before that: {:?}", self.aside));
            self.aside.push(message);
        }
    }

    /// Says no more.
    pub fn finish(&mut self) -> &mut Self {
        self.writer = None;
        self
    }
}

/// The names of the tools in an answer to `tools/list`.
#[track_caller]
pub fn names(answer: &Value) -> Vec<&str> {
    let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("no tools: {answer}"));
    tools.iter().filter_map(|tool| tool["name"].as_str()).collect()
}

/// What a tool says in its text.
#[track_caller]
pub fn text(answer: &Value) -> Value {
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"));
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

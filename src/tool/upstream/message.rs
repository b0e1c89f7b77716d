//! JSON-RPC as a server speaks it: what we write, and what can be made of what comes back. Nothing that a server
//! writes is trusted to be well-formed: what cannot be read ends the call it belongs to, if that can be told, and
//! nothing else.

use serde_json::{Map, Value, json};

use crate::api::mcp::{Era, Fault, Version, meta, salvage, server_info};
use crate::domain::json::{self, Canonical, Limits};

/// Levels of a message: those of a result, and what stands around it.
const DEPTH: usize = 72;
/// The longest text of an error that is passed on, in characters.
const LONGEST_MESSAGE: usize = 2_000;

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Its result.
    Result(Value),
    /// An error of the protocol.
    Fault {
        /// The code.
        code: i64,
        /// The server's words, cut.
        message: String,
    },
    /// It was answered, by something that cannot be read.
    Unreadable(String),
}

/// What a server wrote.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// The answer to the request of this id.
    Answer(u64, Answer),
    /// It asks us something.
    Request {
        /// Its id, as it was.
        id: Value,
        /// What it asks.
        method: String,
    },
    /// It tells us something.
    Notification(String),
    /// An error that names no request: over HTTP it answers the one that was posted.
    Fault(Answer),
    /// Nothing that can be understood.
    Garbage(String),
}

/// Reads one message; a batch holds several.
pub fn read(bytes: &[u8], most: usize) -> Vec<Incoming> {
    match json::parse(bytes, Limits { bytes: most, depth: DEPTH }) {
        Ok(Value::Array(messages)) => messages.into_iter().map(understand).collect(),
        Ok(message) => vec![understand(message)],
        Err(error) => vec![match answered(bytes) {
            Some(id) => Incoming::Answer(id, Answer::Unreadable(format!("it is not strict JSON: {error}"))),
            None => Incoming::Garbage(error.to_string()),
        }],
    }
}

/// What a message is of which only the two ends were kept, as it is too long.
pub fn too_long(head: &[u8], tail: &[u8], most: usize) -> Incoming {
    let why = format!("it has more than {most} bytes");
    match salvage::id(head, tail).parse() {
        Ok(id) => Incoming::Answer(id, Answer::Unreadable(why)),
        Err(_) => Incoming::Garbage(why),
    }
}

fn understand(message: Value) -> Incoming {
    let Value::Object(mut members) = message else { return Incoming::Garbage("it is no object".to_owned()) };
    let id = members.remove("id").filter(|id| !id.is_null());
    if id.is_none()
        && !members.contains_key("method")
        && members.contains_key("error")
        && let Some(fault) = answer(members.clone())
    {
        return Incoming::Fault(fault);
    }
    match (members.remove("method"), id) {
        (Some(Value::String(method)), Some(id)) => Incoming::Request { id, method },
        (Some(Value::String(method)), None) => Incoming::Notification(method),
        (None, Some(id)) => match (id.as_u64(), answer(members)) {
            (Some(id), Some(answer)) => Incoming::Answer(id, answer),
            (None, _) => Incoming::Garbage("it answers something that nobody asked".to_owned()),
            (_, None) => Incoming::Garbage("it has neither a result nor an error".to_owned()),
        },
        _ => Incoming::Garbage("it is no message of JSON-RPC".to_owned()),
    }
}

fn answer(mut members: Map<String, Value>) -> Option<Answer> {
    if let Some(result) = members.remove("result") {
        return Some(Answer::Result(result));
    }
    let error = members.remove("error")?;
    let message: String =
        error.get("message").and_then(Value::as_str).unwrap_or_default().chars().take(LONGEST_MESSAGE).collect();
    Some(Answer::Fault { code: error.get("code").and_then(Value::as_i64).unwrap_or_default(), message })
}

/// The request that something answers which is JSON, if not strictly.
fn answered(bytes: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Loose {
        id: u64,
        #[serde(default)]
        method: Option<serde::de::IgnoredAny>,
    }
    let loose: Loose = serde_json::from_slice(bytes).ok()?;
    loose.method.is_none().then_some(loose.id)
}

/// A request as one line, without its end. `params` are members of an object, as JSON.
pub fn request(id: u64, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#)
}

/// A notification as one line.
pub fn notification(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{{params}}}}}"#)
}

/// The answer to what a server asks: that it is heard, or that we do not do such things.
pub fn reply(id: &Value, method: &str) -> String {
    if method == "ping" {
        return json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string();
    }
    let method: String = method.chars().take(80).collect();
    let message = format!("`{method}` is not offered: toolctl has declared no such capability");
    Fault { message, ..Fault::method_not_found(&method) }.answer(&id.to_string())
}

/// The member `_meta` of a request: what the revision wants, and what goes with one call.
pub fn metadata(version: Version, key: Option<&str>, trace: Option<&str>) -> Option<String> {
    let mut members = Map::new();
    match version.era() {
        Era::Modern => {
            members.insert(meta::VERSION.to_owned(), json!(version.word()));
            members.insert(meta::CLIENT_CAPABILITIES.to_owned(), json!({}));
            members.insert(meta::CLIENT_INFO.to_owned(), server_info());
        }
        Era::Legacy => {}
    }
    if let Some(key) = key {
        members.insert(meta::IDEMPOTENCY_KEY.to_owned(), json!(key));
    }
    if let Some(trace) = trace {
        members.insert(meta::TRACEPARENT.to_owned(), json!(trace));
    }
    (!members.is_empty()).then(|| format!(r#""_meta":{}"#, Value::Object(members)))
}

/// The members of a `tools/call`: the arguments are passed on byte for byte.
pub fn call(tool: &str, arguments: &Canonical, meta: Option<String>) -> String {
    let name = Value::String(tool.to_owned());
    let meta = meta.map(|meta| format!(",{meta}")).unwrap_or_default();
    format!(r#""name":{name},"arguments":{}{meta}"#, arguments.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Incoming {
        let mut all = read(text.as_bytes(), 1_000);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn a_message_is_what_its_members_say() {
        let result = |id, value| Incoming::Answer(id, Answer::Result(value));
        assert_eq!(one(r#"{"jsonrpc":"2.0","id":7,"result":{"a":1}}"#), result(7, json!({"a": 1})));
        let fault = Answer::Fault { code: -32_601, message: "no".to_owned() };
        assert_eq!(one(r#"{"id":1,"error":{"code":-32601,"message":"no"}}"#), Incoming::Answer(1, fault));
        assert_eq!(one(r#"{"method":"x"}"#), Incoming::Notification("x".to_owned()));
        let asked = Incoming::Request { id: json!("s-1"), method: "ping".to_owned() };
        assert_eq!(one(r#"{"id":"s-1","method":"ping"}"#), asked);
        assert_eq!(
            read(br#"[{"id":1,"result":1},{"id":2,"result":2}]"#, 100),
            [result(1, json!(1)), result(2, json!(2))]
        );
    }

    #[test]
    fn what_cannot_be_read_ends_its_own_call_and_nothing_else() {
        for garbage in ["", "starting…", "{", "[1]", "{}", r#"{"id":"a","result":1}"#, r#"{"id":1}"#, "\"text\""] {
            assert!(matches!(one(garbage), Incoming::Garbage(_)), "{garbage}");
        }
        assert!(matches!(read(b"\xff\xfe{}", 100)[0], Incoming::Garbage(_)));
        for (text, why) in [
            (r#"{"id":3,"result":{"a":1,"a":2}}"#, "stands twice"),
            (r#"{"id":3,"result":{"a":9007199254740993}}"#, "cannot be held exactly"),
            (r#"{"id":3,"result":"\ud800"}"#, "lone surrogate"),
        ] {
            match one(text) {
                Incoming::Answer(3, Answer::Unreadable(said)) => assert!(said.contains(why), "{said}"),
                // What serde cannot read either has no id to tell.
                Incoming::Garbage(said) => assert!(said.contains(why), "{said}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_known_by_its_ends() {
        let unreadable = |id| Incoming::Answer(id, Answer::Unreadable("it has more than 9 bytes".to_owned()));
        let garbage = Incoming::Garbage("it has more than 9 bytes".to_owned());
        for (head, tail, expected) in [
            (r#"{"jsonrpc":"2.0","id":12,"result":{"x":""#, r#"aaaa"}}"#, unreadable(12)),
            (r#"{"result":{"x":"aaaa"#, r#"aaaa"},"jsonrpc":"2.0","id": 13}"#, unreadable(13)),
            (r#"{"result":{"id":5,"x":"aaaa"#, r#"aaaa"},"jsonrpc":"2.0"}"#, garbage.clone()),
            (r#"{"jsonrpc":"2.0","result":[{"x":"aaaa"#, r#"aaaa","id":3}]}"#, garbage.clone()),
            ("garbage", "garbage", garbage),
        ] {
            assert_eq!(too_long(head.as_bytes(), tail.as_bytes(), 9), expected, "{head}…{tail}");
        }
    }

    #[test]
    fn what_we_write_is_one_line_with_the_arguments_as_they_are() {
        let arguments = Canonical::of(&json!({"b": 1, "a": "\n"}));
        let call = call("x\"y", &arguments, metadata(Version::NEWEST_LEGACY, Some("k"), None));
        assert_eq!(
            request(1, "tools/call", &call),
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x\"y","arguments":{"a":"\n","b":1},"_meta":{"dev.toolctl/idempotency-key":"k"}}}"#
        );
        let modern = metadata(Version::V2026_07_28, None, None).unwrap();
        assert!(modern.contains(r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#), "{modern}");
        assert!(reply(&json!(1), "elicitation/create").contains("-32601"));
    }
}

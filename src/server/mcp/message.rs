//! One JSON-RPC message (JSON-RPC 2.0, narrowed by MCP), taken apart without copying what is only passed on:
//! ids are echoed and arguments handed to the strict reader exactly as they were sent.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::mcp::Fault;

use super::params::{Params, Written};

/// What came in.
#[derive(Debug)]
pub enum Message {
    /// Wants an answer.
    Request(Request),
    /// Wants none.
    Notification {
        /// What happened.
        method: String,
        /// More about it.
        params: Params,
    },
    /// An answer to a request of ours.
    Response {
        /// The id of our request, as JSON text.
        id: String,
        /// Its result, or its error.
        result: Result<Box<RawValue>, Box<RawValue>>,
    },
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// Its id as JSON text: a string or an integer.
    pub id: String,
    /// What is asked for.
    pub method: String,
    /// The parameters.
    pub params: Params,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    jsonrpc: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Written<'a>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Keeps `null` apart from absence: an id of `null` is malformed, no id is a notification.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A message that cannot be taken, with the id to answer to: JSON text, `null` when there is none.
#[derive(Debug, PartialEq)]
pub struct Refused {
    /// Whom to answer.
    pub id: String,
    /// Why.
    pub fault: Fault,
}

impl Refused {
    /// A message without an id that could be read.
    pub fn nobody(fault: Fault) -> Self {
        Self { id: "null".to_owned(), fault }
    }
}

/// Whether a body is a batch, which only 2025-03-26 and older know.
pub fn is_batch(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// Takes the messages of a batch apart, each still text.
///
/// # Errors
/// A body that is no array, or an empty one.
pub fn batch(bytes: &[u8]) -> Result<Vec<Box<RawValue>>, Refused> {
    let text = utf8(bytes)?;
    let all: Vec<Box<RawValue>> =
        serde_json::from_str(text).map_err(|error| Refused::nobody(Fault::parse(format!("not JSON: {error}"))))?;
    if all.is_empty() {
        return Err(Refused::nobody(Fault::invalid_request("an empty batch asks for nothing")));
    }
    Ok(all)
}

/// Reads one message.
///
/// # Errors
/// [`Refused`] with the id of the message where it could be read.
pub fn read(bytes: &[u8]) -> Result<Message, Refused> {
    let text = utf8(bytes)?;
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| {
        Refused::nobody(if error.is_data() {
            Fault::invalid_request(format!("not a JSON-RPC message: {error}"))
        } else {
            Fault::parse(format!("not JSON: {error}"))
        })
    })?;
    let id = raw.id.map(|id| id.get().to_owned());
    let refuse = |why: &str| {
        let id = id.clone().filter(|id| is_id(id)).unwrap_or_else(|| "null".to_owned());
        Err(Refused { id, fault: Fault::invalid_request(why) })
    };
    if raw.jsonrpc.as_deref() != Some("2.0") {
        return refuse("`jsonrpc` is not \"2.0\"");
    }
    if id.as_deref().is_some_and(|id| !is_id(id)) {
        return refuse("`id` is neither a string nor an integer");
    }
    let params = match raw.params {
        Written::Nothing => Params::default(),
        Written::Members(members) => Params::from(members),
        Written::Twice(name) => return refuse(&format!("`params` has two members `{name}`")),
        Written::Other => return refuse("`params` is not an object"),
    };
    match (id, raw.method, raw.result, raw.error) {
        (Some(id), Some(method), None, None) => {
            Ok(Message::Request(Request { id, method: method.into_owned(), params }))
        }
        (None, Some(method), None, None) => Ok(Message::Notification { method: method.into_owned(), params }),
        (Some(id), None, Some(result), None) => Ok(Message::Response { id, result: Ok(result.to_owned()) }),
        (Some(id), None, None, Some(error)) => Ok(Message::Response { id, result: Err(error.to_owned()) }),
        (id, _, _, _) => Err(Refused {
            id: id.unwrap_or_else(|| "null".to_owned()),
            fault: Fault::invalid_request("neither a request, nor a notification, nor a response"),
        }),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(bytes)
        .map_err(|error| Refused::nobody(Fault::parse(format!("not UTF-8 (at byte {})", error.valid_up_to()))))
}

/// A string, or an integer.
fn is_id(text: &str) -> bool {
    text.starts_with('"') || text.parse::<i64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (String, i64) {
        let refused = read(text.as_bytes()).unwrap_err();
        (refused.id, refused.fault.code)
    }

    #[test]
    fn a_message_is_one_of_three() {
        let request = read(br#"{"jsonrpc":"2.0","id":"a\u0062","method":"ping","params":{ "x":1.0 }}"#).unwrap();
        let Message::Request(Request { id, method, params }) = request else { panic!("a request") };
        assert_eq!((id.as_str(), method.as_str()), (r#""a\u0062""#, "ping"));
        assert_eq!(params.get("x").unwrap().get(), "1.0", "as it was sent");
        assert!(matches!(read(br#"{"jsonrpc":"2.0","method":"n"}"#), Ok(Message::Notification { .. })));
        assert!(matches!(
            read(br#"{"jsonrpc":"2.0","id":7,"result":{}}"#),
            Ok(Message::Response { result: Ok(_), .. })
        ));
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_id() {
        let null = || "null".to_owned();
        assert_eq!(refusal("{"), (null(), -32_700));
        assert_eq!(refusal("{}"), (null(), -32_600));
        assert_eq!(refusal("7"), (null(), -32_600));
        assert_eq!(refusal(r#"{"jsonrpc":"1.0","id":7,"method":"x"}"#), ("7".to_owned(), -32_600));
        assert_eq!(refusal(r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#), (null(), -32_600));
        assert_eq!(refusal(r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#), (null(), -32_600));
        assert_eq!(refusal(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#), (null(), -32_600));
        assert_eq!(refusal(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#), ("1".to_owned(), -32_600));
        assert_eq!(
            refusal(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1,"a":2}}"#),
            ("1".to_owned(), -32_600)
        );
        assert_eq!(refusal(&format!("{}1{}", "[".repeat(500), "]".repeat(500))), (null(), -32_600));
        assert_eq!(read(b"{\"jsonrpc\":\"\xff\"}").unwrap_err().fault.code, -32_700);
    }
}

//! As much of a message as the bridge must know: what kind it is, its id and method, and where its metadata
//! begin. Everything else passes byte for byte.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::mcp::{Era, Fault, meta};

/// What one line is.
#[derive(Debug)]
pub enum Glance<'a> {
    /// Wants an answer.
    Request {
        /// Its id, as JSON text.
        id: &'a str,
        /// What is asked for.
        method: Cow<'a, str>,
        /// The parameters, as JSON text.
        params: Option<&'a str>,
    },
    /// Wants none.
    Notification {
        /// What happened.
        method: Cow<'a, str>,
        /// More about it, as JSON text.
        params: Option<&'a str>,
    },
    /// An answer.
    Response {
        /// Whose, as JSON text; `null` when the other side could not tell.
        id: &'a str,
        /// What went wrong, as JSON text; none for a result.
        error: Option<&'a str>,
    },
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Keeps `null` apart from absence: an id of `null` is malformed, no id is a notification; metadata of `null`
/// stand where others would.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Members of `params` that the bridge looks at, each as JSON text.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Params<'a> {
    #[serde(borrow, rename = "_meta", deserialize_with = "present")]
    meta: Option<&'a RawValue>,
    #[serde(borrow)]
    idempotency_key: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    /// The tool of a call.
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    /// The revision that `initialize` asks for.
    #[serde(borrow)]
    pub protocol_version: Option<Cow<'a, str>>,
    /// The request that is taken back.
    pub request_id: Option<Value>,
    /// What a listener wants to be told.
    pub notifications: Option<Value>,
}

/// Looks at one line.
///
/// # Errors
/// The id to answer to, and why it is no message.
pub fn glance(line: &[u8]) -> Result<Glance<'_>, (String, Fault)> {
    let nobody = |fault| ("null".to_owned(), fault);
    let text = std::str::from_utf8(line)
        .map_err(|error| nobody(Fault::parse(format!("not UTF-8 (at byte {})", error.valid_up_to()))))?;
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| {
        nobody(if error.is_data() {
            Fault::invalid_request(format!("not a JSON-RPC message: {error}"))
        } else {
            Fault::parse(format!("not JSON: {error}"))
        })
    })?;
    let (id, params) = (raw.id.map(RawValue::get), raw.params.map(RawValue::get));
    match (id, raw.method) {
        (Some(id), Some(method)) if is_id(id) => Ok(Glance::Request { id, method, params }),
        (Some(_), Some(_)) => Err(nobody(Fault::invalid_request("`id` is neither a string nor an integer"))),
        (None, Some(method)) => Ok(Glance::Notification { method, params }),
        (_, None) if raw.result.is_none() && raw.error.is_none() => {
            Err(nobody(Fault::invalid_request("neither a `method` nor a `result` nor an `error`")))
        }
        (id, None) => Ok(Glance::Response { id: id.unwrap_or("null"), error: raw.error.map(RawValue::get) }),
    }
}

/// A string, or an integer.
fn is_id(text: &str) -> bool {
    text.starts_with('"') || text.parse::<i64>().is_ok()
}

/// The same for ids that are written differently (`"\u0061"` and `"a"`).
pub fn same(id: &str) -> String {
    serde_json::from_str::<Value>(id).unwrap_or_default().to_string()
}

impl<'a> Params<'a> {
    /// Looks into `params`; nothing is found in what is no object.
    pub fn of(params: Option<&'a str>) -> Self {
        params.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Whether the caller, or its client, names the call: then the daemon knows it by that name and not by ours.
    pub fn is_named(&self) -> bool {
        let says = |name| self.meta(name).is_some_and(|id| id.as_str().is_some_and(|id| !id.is_empty()));
        let of_client = || {
            self.meta(meta::IDEMPOTENCY_KEY).is_some()
                || says("claudecode/toolUseId")
                || (says("callId") && says("threadId"))
        };
        let argument = || {
            let arguments = self.arguments.and_then(|text| serde_json::from_str::<Value>(text.get()).ok());
            arguments.is_some_and(|arguments| arguments.get("idempotency_key").is_some())
        };
        self.idempotency_key.is_some() || of_client() || argument()
    }

    /// A member of `_meta`.
    pub fn meta(&self, name: &str) -> Option<Value> {
        let meta: Value = serde_json::from_str(self.meta?.get()).ok()?;
        meta.get(name).cloned()
    }

    /// The era of the request.
    pub fn era(&self) -> Era {
        if self.meta(meta::VERSION).is_some() { Era::Modern } else { Era::Legacy }
    }
}

/// `line` with this member in `params._meta`, and not a byte changed beside it. None when it has no place
/// there: such a message is for the daemon to judge.
pub fn with_meta(line: &[u8], params: &str, name: &str, value: &str) -> Option<Bytes> {
    let seen: Params<'_> = serde_json::from_str(params).ok()?;
    let member = format!("{}:{}", Value::from(name), Value::from(value));
    let (object, text) = match seen.meta.map(RawValue::get) {
        Some(null @ "null") => return replaced(line, null, &format!("{{{member}}}")),
        Some(meta) => (meta, member),
        None => (params, format!("\"_meta\":{{{member}}}")),
    };
    let inside = object.strip_prefix('{')?;
    let comma = if inside.trim_start().starts_with('}') { "" } else { "," };
    // Both are parts of one text: how far the one begins behind the other is where it is cut.
    let place = (inside.as_ptr() as usize).checked_sub(line.as_ptr() as usize)?;
    let (before, after) = line.split_at_checked(place)?;
    Some([before, text.as_bytes(), comma.as_bytes(), after].concat().into())
}

/// `line` with another text where this part of it stands, its id for one, and not a byte changed beside it.
pub fn replaced(line: &[u8], id: &str, other: &str) -> Option<Bytes> {
    let place = (id.as_ptr() as usize).checked_sub(line.as_ptr() as usize)?;
    let (before, rest) = line.split_at_checked(place)?;
    let after = rest.get(id.len()..)?;
    Some([before, other.as_bytes(), after].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(line: &str) -> String {
        let Ok(Glance::Request { params, .. }) = glance(line.as_bytes()) else { panic!("a request: {line}") };
        let keyed = params.and_then(|params| with_meta(line.as_bytes(), params, "k", "v"));
        keyed.map_or_else(|| "none".to_owned(), |bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn metadata_are_added_without_touching_the_rest() {
        let line = |params: &str| format!(r#"{{ "method":"tools/call","params":{params} ,"id":"\u0061"}}"#);
        assert_eq!(
            keyed(&line(r#"{"name":"t","arguments":{"a":1.0,"a":"\u00e9"}}"#)),
            line(r#"{"_meta":{"k":"v"},"name":"t","arguments":{"a":1.0,"a":"\u00e9"}}"#)
        );
        assert_eq!(keyed(&line(r#"{"_meta" : { "x":{}}}"#)), line(r#"{"_meta" : {"k":"v", "x":{}}}"#));
        assert_eq!(keyed(&line(r#"{"_meta":{ } }"#)), line(r#"{"_meta":{"k":"v" } }"#));
        assert_eq!(keyed(&line("{}")), line(r#"{"_meta":{"k":"v"}}"#));
        assert_eq!(keyed(&line(r#"{"_meta": null,"name":"t"}"#)), line(r#"{"_meta": {"k":"v"},"name":"t"}"#));
        for foreign in ["[]", "7", r#"{"_meta":[]}"#, r#"{"_meta":{},"_meta":{}}"#, r#"{"name":7}"#] {
            assert_eq!(keyed(&line(foreign)), "none", "{foreign}");
        }
    }

    #[test]
    fn a_call_that_has_a_name_is_known() {
        let named = |params: &str| Params::of(Some(params)).is_named();
        assert!(named(r#"{"_meta":{"dev.toolctl/idempotency-key":"a"}}"#));
        assert!(named(r#"{"_meta":{"claudecode/toolUseId":"a"}}"#));
        assert!(named(r#"{"_meta":{"callId":"a","threadId":"b"}}"#));
        for nothing in [r#"{"callId":"a"}"#, r#"{"callId":"a","threadId":""}"#, r#"{"claudecode/toolUseId":7}"#] {
            assert!(!named(&format!(r#"{{"_meta":{nothing}}}"#)), "{nothing}");
        }
        assert!(named(r#"{"idempotencyKey":"a"}"#));
        assert!(named(r#"{"arguments":{"idempotency_key":"a"}}"#));
        assert!(!named(r#"{"_meta":{"dev.toolctl/bridge-key":"a"},"arguments":{"a":"idempotency_key"}}"#));
    }

    #[test]
    fn an_id_is_exchanged_where_it_stands() {
        let line = br#"{"jsonrpc":"2.0", "id": "a" ,"result":{"id":"a"}}"#;
        let Ok(Glance::Response { id, error: None }) = glance(line) else { panic!("a response") };
        let other = replaced(line, id, "17").unwrap();
        assert_eq!(other.as_ref(), br#"{"jsonrpc":"2.0", "id": 17 ,"result":{"id":"a"}}"#);
    }

    #[test]
    fn what_is_no_message_is_told() {
        let code = |line: &[u8]| glance(line).map(|_| ()).unwrap_err().1.code;
        assert_eq!(code(b"nonsense"), -32_700);
        assert_eq!(code(b"{\"id\":\xff}"), -32_700);
        assert_eq!(code(b"7"), -32_600);
        assert_eq!(code(br#"{"id":null,"method":"x"}"#), -32_600);
        assert_eq!(code(br#"{"foo":1}"#), -32_600);
        assert_eq!(code(br#"{"jsonrpc":"2.0","id":7}"#), -32_600);
        assert!(glance(br#"{"id":7,"result":null}"#).is_ok(), "a result of nothing is one");
    }
}

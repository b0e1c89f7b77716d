//! The headers of Streamable HTTP: what they say, and whether they say the same as the body. A proxy may have
//! routed by the headers, so a request whose two halves differ is refused (2026-07-28, server validation).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::header::{ACCEPT, HeaderMap, HeaderName};
use serde_json::Value;

use crate::api::mcp::Fault;

use super::super::message::Request;
use super::super::service::MirroredParameter;

/// The revision of the request.
pub const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The session of a legacy client.
pub const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The idempotency key of a call.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The trace of the caller.
pub const TRACE: HeaderName = HeaderName::from_static("traceparent");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// One header as text without the white space around it; none when it is not there.
///
/// # Errors
/// -32020 when it stands there twice with different values, or is no visible ASCII.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.any(|other| other != value) {
        return Err(Fault::header_mismatch(format!("the header `{name}` has two different values")));
    }
    let text = value.to_str().map_err(|_| Fault::header_mismatch(format!("the header `{name}` is not ASCII text")))?;
    Ok(Some(text.trim_matches([' ', '\t'])))
}

/// As [`text`], to be kept.
///
/// # Errors
/// As [`text`].
pub fn owned(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Fault> {
    text(headers, name).map(|text| text.map(str::to_owned))
}

/// What the client can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepts {
    /// One JSON document.
    pub json: bool,
    /// An event stream, when it is named.
    pub stream: bool,
    /// An event stream, when there is no other way: also by `*/*`, or without the header.
    pub stream_at_need: bool,
}

impl Accepts {
    /// One JSON document and nothing else.
    pub const DOCUMENT: Self = Self { json: true, stream: false, stream_at_need: false };

    /// Reads `Accept`. Clients must name both, and many name neither: who says nothing gets JSON.
    pub fn of(headers: &HeaderMap) -> Self {
        // As nearly all of them write it.
        const BOTH: &[u8] = b"application/json, text/event-stream";
        let mut all = headers.get_all(ACCEPT).iter();
        if let (Some(one), None) = (all.next(), all.next())
            && one.as_bytes() == BOTH
        {
            return Self { json: true, stream: true, stream_at_need: true };
        }
        let (mut json, mut stream, mut anything, mut said) = (false, false, false, false);
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in values.flat_map(|value| value.split(',')) {
            let range = range.split(';').next().unwrap_or_default().trim();
            said |= !range.is_empty();
            json |= range.eq_ignore_ascii_case("application/json") || range.eq_ignore_ascii_case("application/*");
            stream |= range.eq_ignore_ascii_case("text/event-stream") || range.eq_ignore_ascii_case("text/*");
            anything |= range == "*/*";
        }
        Self { json: json || !stream || anything, stream, stream_at_need: stream || anything || !said }
    }
}

/// Checks that the headers of a modern request say the same as its body, the revision first.
///
/// # Errors
/// -32020.
pub fn check(headers: &HeaderMap, version: &str, method: &str, name: Option<&str>) -> Result<(), Fault> {
    same(&VERSION, text(headers, &VERSION)?, Some(version))?;
    same(&METHOD, text(headers, &METHOD)?, Some(method))?;
    if !names(method) {
        return Ok(());
    }
    let said = text(headers, &NAME)?.map(|value| decoded(&NAME, value)).transpose()?;
    same(&NAME, said.as_deref(), name)
}

/// Checks the headers that mirror arguments of a tool (`x-mcp-header`).
///
/// # Errors
/// -32020.
pub fn check_parameters(headers: &HeaderMap, mirrored: &[MirroredParameter], request: &Request) -> Result<(), Fault> {
    if mirrored.is_empty() {
        return Ok(());
    }
    let arguments: Value = request.params.member("arguments").ok().flatten().unwrap_or_default();
    for parameter in mirrored {
        // A name that no header can have is none that a client could send.
        let Ok(name) = HeaderName::from_bytes(format!("mcp-param-{}", parameter.header).as_bytes()) else { continue };
        let said = text(headers, &name)?.map(|value| decoded(&name, value)).transpose()?;
        match parameter.argument(&arguments) {
            None if said.is_some() => return Err(differs(&name)),
            None => {}
            Some(argument) => match said {
                None => return Err(Fault::header_mismatch(format!("the header `{name}` is missing"))),
                Some(said) if says(&said, argument) => {}
                Some(_) => return Err(differs(&name)),
            },
        }
    }
    Ok(())
}

/// Whether requests of this method name something, which `Mcp-Name` mirrors.
fn names(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read" | "tasks/get" | "tasks/update" | "tasks/cancel")
}

fn same(name: &HeaderName, header: Option<&str>, body: Option<&str>) -> Result<(), Fault> {
    match (header, body) {
        (None, Some(_)) => Err(Fault::header_mismatch(format!("the header `{name}` is missing"))),
        (header, body) if header == body => Ok(()),
        _ => Err(differs(name)),
    }
}

fn differs(name: &HeaderName) -> Fault {
    Fault::header_mismatch(format!("the header `{name}` does not say the same as the body"))
}

/// Undoes `=?base64?…?=`; every other text stands for itself.
fn decoded<'a>(name: &HeaderName, value: &'a str) -> Result<Cow<'a, str>, Fault> {
    let Some(coded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(Cow::Borrowed(value));
    };
    let bytes = BASE64.decode(coded).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Cow::Owned)
        .ok_or_else(|| Fault::header_mismatch(format!("the header `{name}` is not valid base64 of UTF-8 text")))
}

/// Whether a header says the same as an argument; integers are compared as numbers.
fn says(header: &str, argument: &Value) -> bool {
    match argument {
        Value::String(text) => header == text,
        Value::Bool(truth) => header == if *truth { "true" } else { "false" },
        Value::Number(number) => {
            header == number.to_string() || header.parse::<f64>().is_ok_and(|said| Some(said) == number.as_f64())
        }
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::mcp::params::Params;
    use crate::server::mcp::talk::Envelope;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, hyper::header::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn request(method: &str, params: &Value) -> Request {
        Request { id: "1".to_owned(), method: method.to_owned(), params: Params::of(&params.to_string()) }
    }

    fn checked(pairs: &[(&'static str, &str)], request: &Request) -> Result<(), String> {
        let envelope = Envelope::of(request).unwrap();
        check(&headers(pairs), "2026-07-28", &request.method, envelope.name.as_deref()).map_err(|fault| {
            assert_eq!((fault.status, fault.code), (400, -32_020));
            fault.message
        })
    }

    const V: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
    const CALL: (&str, &str) = ("mcp-method", "tools/call");

    #[test]
    fn headers_say_the_same_as_the_body() {
        let call = request("tools/call", &json!({"name": "größe", "arguments": {"name": "other"}}));
        let list = request("tools/list", &json!({}));
        let task = request("tasks/get", &json!({"taskId": "t"}));
        let missing = |name: &str| Err(format!("the header `{name}` is missing"));
        let differs = |name: &str| Err(format!("the header `{name}` does not say the same as the body"));
        let none = ("x-none", "");
        for (pairs, request, expected) in [
            ([V, ("mcp-method", "tools/list"), none], &list, Ok(())),
            ([V, ("mcp-method", " tools/list\t"), none], &list, Ok(())),
            ([V, none, none], &list, missing("mcp-method")),
            ([none, ("mcp-method", "tools/list"), none], &list, missing("mcp-protocol-version")),
            ([("mcp-protocol-version", "2025-11-25"), none, none], &list, differs("mcp-protocol-version")),
            ([V, ("mcp-method", "TOOLS/LIST"), none], &list, differs("mcp-method")),
            ([V, CALL, none], &call, missing("mcp-name")),
            ([V, CALL, ("mcp-name", "=?base64?Z3LDtsOfZQ==?=")], &call, Ok(())),
            (
                [V, CALL, ("mcp-name", "=?base64?Z3LDtsOfZQ?=")],
                &call,
                Err("the header `mcp-name` is not valid base64 of UTF-8 text".to_owned()),
            ),
            ([V, CALL, ("mcp-name", "größe")], &call, Err("the header `mcp-name` is not ASCII text".to_owned())),
            ([V, CALL, ("mcp-name", "other")], &call, differs("mcp-name")),
            ([V, ("mcp-method", "tasks/get"), ("mcp-name", "t")], &task, Ok(())),
            ([V, ("mcp-method", "tasks/get"), none], &task, missing("mcp-name")),
        ] {
            assert_eq!(checked(&pairs, request), expected, "{pairs:?}");
        }
        let twice = [V, ("mcp-method", "tools/list"), ("mcp-method", "tools/call")];
        assert_eq!(checked(&twice, &list), Err("the header `mcp-method` has two different values".to_owned()));
        let unnamed = request("tools/call", &json!({"name": 7}));
        assert_eq!(checked(&[V, CALL], &unnamed), Ok(()), "for the method to refuse");
        assert_eq!(checked(&[V, CALL, ("mcp-name", "7")], &unnamed), differs("mcp-name"));
    }

    #[test]
    fn mirrored_arguments_are_compared_by_their_type() {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
            "dry": {"type": "boolean", "x-mcp-header": "Dry"},
        }});
        let mirrored = MirroredParameter::of(&schema);
        let checked = |pairs: &[(&'static str, &str)], arguments: Value| {
            let call = request("tools/call", &json!({"name": "x", "arguments": arguments}));
            check_parameters(&headers(pairs), &mirrored, &call).map_err(|fault| fault.message)
        };
        let all = [("mcp-param-region", "eu"), ("mcp-param-count", "42.0"), ("mcp-param-dry", "true")];
        assert_eq!(checked(&all, json!({"region": "eu", "deep": {"count": 42}, "dry": true})), Ok(()));
        assert_eq!(checked(&[], json!({"region": null})), Ok(()), "neither said nor expected");
        assert_eq!(checked(&[("mcp-param-region", "=?base64?SGVsbG8=?=")], json!({"region": "Hello"})), Ok(()));
        for (pairs, arguments, says) in [
            (&[][..], json!({"region": "eu"}), "is missing"),
            (&[("mcp-param-region", "us")], json!({"region": "eu"}), "not say the same"),
            (&[("mcp-param-region", "us")], json!({}), "not say the same"),
            (&[("mcp-param-dry", "True")], json!({"dry": true}), "not say the same"),
            (&[("mcp-param-count", "43")], json!({"deep": {"count": 42}}), "not say the same"),
            (&[("mcp-param-region", "=?base64?SGVs!!!bG8=?=")], json!({"region": "Hello"}), "not valid base64"),
        ] {
            let refused = checked(pairs, arguments).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn accept_is_read_as_it_was_meant() {
        for (accept, expected) in [
            (None, (true, false, true)),
            (Some("*/*"), (true, false, true)),
            (Some("application/json"), (true, false, false)),
            (Some("application/json, text/event-stream"), (true, true, true)),
            (Some("text/event-stream;q=0.9, */*"), (true, true, true)),
            (Some("Text/Event-Stream"), (false, true, true)),
        ] {
            let pairs: Vec<_> = accept.iter().map(|accept| ("accept", *accept)).collect();
            let Accepts { json, stream, stream_at_need } = Accepts::of(&headers(&pairs));
            assert_eq!((json, stream, stream_at_need), expected, "{accept:?}");
        }
    }
}

//! From the parts of a request to the one flat structure of its operation: members named in the path, then
//! the query, or the JSON body. Every refusal names the member.

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer as _, MapAccess};
use serde_json::{Map, Value};

use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::json::{self, NotStrict};

/// Members of a request before they are typed.
pub type Members = Map<String, Value>;

/// A request that is malformed outside the arguments of a tool.
pub fn malformed(detail: impl Into<String>) -> Denial {
    Denial::new(Stage::Door, Code::RequestMalformed, detail)
}

/// Reads a strict JSON body that must be an object; no body is an empty one.
///
/// # Errors
/// What the strict reader says; what it says about the member `arguments` is about the arguments.
pub fn body(bytes: &[u8], limit: usize) -> Result<Members, Denial> {
    if bytes.is_empty() {
        return Ok(Members::new());
    }
    let limits = json::Limits { bytes: limit, ..json::Limits::default() };
    match json::parse(bytes, limits) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(malformed("the body is not a JSON object")),
        Err(error) if error.path == "/arguments" || error.path.starts_with("/arguments/") => Err(not_canonical(&error)),
        Err(error) => Err(malformed(format!("the body is {error}"))),
    }
}

/// The denial of arguments with more than one meaning.
pub fn not_canonical(error: &NotStrict) -> Denial {
    Denial::new(Stage::Arguments, Code::ArgsNotCanonical, format!("the arguments are not strict JSON: {error}"))
}

/// Reads a query (`application/x-www-form-urlencoded`) into text members.
///
/// # Errors
/// Names the member that stands twice or is not UTF-8.
pub fn query(text: &str) -> Result<Members, Denial> {
    let mut members = Members::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |part: &str| {
            percent(&part.replace('+', " ")).ok_or_else(|| malformed(format!("`{pair}` in the query is not UTF-8")))
        };
        let name = plain(name)?;
        if members.insert(name.clone(), Value::String(plain(value)?)).is_some() {
            return Err(malformed(format!("`{name}` stands twice in the query")));
        }
    }
    Ok(members)
}

/// Undoes percent-encoding (RFC 3986 section 2.1). None when an escape is broken or the result is no UTF-8.
pub fn percent(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { hex(rest.next()?)? << 4 | hex(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Gives members their types.
///
/// # Errors
/// `request-malformed`, with the name of the first member that does not fit.
pub fn typed<T: DeserializeOwned>(members: Members) -> Result<T, Denial> {
    let named = Named { rest: members.into_iter(), next: None };
    T::deserialize(MapAccessDeserializer::new(named)).map_err(|error| malformed(error.to_string()))
}

/// Members that say their names when they do not fit.
struct Named {
    rest: serde_json::map::IntoIter,
    next: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Named {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        self.next = self.rest.next();
        let name = self.next.as_ref().map(|(name, _)| name.as_str());
        name.map(|name| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        let (name, value) = self.next.take().unwrap_or_default();
        seed.deserialize(value).map_err(|error| Self::Error::custom(format!("`{name}`: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::audit::ReadAudit;
    use crate::api::calls::{ListCalls, NewCall};

    fn object(value: Value) -> Members {
        value.as_object().unwrap().clone()
    }

    fn refusal<T: DeserializeOwned + std::fmt::Debug>(members: Members) -> String {
        typed::<T>(members).unwrap_err().detail
    }

    #[test]
    fn a_refusal_names_the_member() {
        assert_eq!(refusal::<NewCall>(object(json!({}))), "missing field `tool`");
        assert_eq!(
            refusal::<NewCall>(object(json!({"tool": 5}))),
            "`tool`: invalid type: integer `5`, expected a string"
        );
        assert_eq!(
            refusal::<NewCall>(object(json!({"tool": "x", "dryrun": true}))),
            "unknown field `dryrun`, expected one of `tool`, `arguments`, `idempotency_key`, `dry_run`, `reason`, `wait`, `approval`"
        );
        assert_eq!(refusal::<ListCalls>(query("limit=many").unwrap()), "`limit`: `many` is not of the expected type");
    }

    #[test]
    fn a_query_gives_text_numbers_and_truth() {
        let read: ReadAudit = typed(query("kind=call.*&from=7&follow=true&tool=a%2Fb+c").unwrap()).unwrap();
        assert_eq!((read.from, read.follow), (Some(7), Some(true)));
        assert_eq!((read.kind.as_deref(), read.tool.as_deref()), (Some("call.*"), Some("a/b c")));
    }

    #[test]
    fn a_query_has_one_meaning() {
        assert_eq!(query("a=1&a=2").unwrap_err().detail, "`a` stands twice in the query");
        assert_eq!(query("a=%ff").unwrap_err().detail, "`a=%ff` in the query is not UTF-8");
        assert_eq!(percent("%4"), None);
        assert_eq!(percent("%"), None);
        assert_eq!(percent("%zz"), None);
    }

    #[test]
    fn a_body_is_one_strict_object() {
        assert_eq!(body(b"", 100).unwrap(), Members::new());
        assert_eq!(body(b"[]", 100).unwrap_err().detail, "the body is not a JSON object");
        let twice = body(br#"{"tool":"x","tool":"y"}"#, 100).unwrap_err();
        assert_eq!(twice.code, Code::RequestMalformed);
        assert!(twice.detail.contains("the member `tool` stands twice"), "{}", twice.detail);
        let inexact = body(br#"{"arguments":{"id":9007199254740993}}"#, 100).unwrap_err();
        assert_eq!(inexact.code, Code::ArgsNotCanonical);
    }
}

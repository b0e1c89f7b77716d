//! How an operation becomes an HTTP request: members named in the path go there, the rest of a `GET` into
//! the query, the rest of any other method into the JSON body. Pure.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::api::endpoint::{Endpoint, Method};

/// The parts of a request, before a connection is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// The body; none for `GET`.
    pub body: Option<Bytes>,
}

/// Encodes one operation.
///
/// # Errors
/// In words, when the request is not an object or a member of the path is missing.
pub(super) fn encode<E: Endpoint>(request: &E::Request) -> Result<Parts, String> {
    if E::METHOD != Method::Get && !E::PATH.contains('{') {
        let body = serde_json::to_vec(request).map_err(|error| error.to_string())?;
        return Ok(Parts { method: E::METHOD, path: E::PATH.to_owned(), body: Some(body.into()) });
    }
    let value = serde_json::to_value(request).map_err(|error| error.to_string())?;
    let Value::Object(members) = value else { return Err("the request is not an object".to_owned()) };
    let mut path = String::new();
    let mut rest = E::PATH;
    let mut in_path = Vec::new();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("the path of the operation is malformed")?;
        let member = members.get(name).ok_or_else(|| format!("`{name}` is missing"))?;
        path.push_str(before);
        percent(&text(member), &mut path);
        in_path.push(name);
        rest = after;
    }
    path.push_str(rest);
    let members: Map<String, Value> =
        members.into_iter().filter(|(name, _)| !in_path.contains(&name.as_str())).collect();
    if E::METHOD == Method::Get {
        for (place, (name, value)) in members.iter().enumerate() {
            path.push(if place == 0 { '?' } else { '&' });
            percent(name, &mut path);
            path.push('=');
            percent(&text(value), &mut path);
        }
        return Ok(Parts { method: E::METHOD, path, body: None });
    }
    let body = serde_json::to_vec(&members).map_err(|error| error.to_string())?;
    Ok(Parts { method: E::METHOD, path, body: Some(body.into()) })
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Writes `text` with everything but the unreserved characters of RFC 3986 section 2.3 encoded.
fn percent(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::endpoint::Nothing;
    use crate::api::{approvals, audit, calls, tools};

    #[test]
    fn members_go_where_the_contract_puts_them() {
        let show = calls::ShowCall { id: "call_1".into(), wait: Some("1h 30m".into()) };
        let parts = encode::<calls::Show>(&show).expect("encoded");
        assert_eq!(parts, Parts { method: Method::Get, path: "/v1/calls/call_1?wait=1h%2030m".into(), body: None });

        let parts = encode::<tools::List>(&Nothing {}).expect("encoded");
        assert_eq!(parts.path, "/v1/tools");

        let read = audit::ReadAudit { last: Some(10), follow: Some(true), ..Default::default() };
        assert_eq!(encode::<audit::Read>(&read).expect("encoded").path, "/v1/audit?last=10&follow=true");

        let decision = approvals::NewDecision {
            id: "#17".into(),
            decision: crate::domain::approval::Verdict::Approve,
            digest: None,
            reason: None,
            wait: None,
        };
        let parts = encode::<approvals::Decide>(&decision).expect("encoded");
        assert_eq!(parts.path, "/v1/approvals/%2317/decisions");
        assert_eq!(parts.body.as_deref(), Some(br#"{"decision":"approve"}"#.as_slice()));
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        let parts = encode::<tools::Show>(&tools::ToolRef { name: "../keys?x=é".into() }).expect("encoded");
        assert_eq!(parts.path, "/v1/tools/..%2Fkeys%3Fx%3D%C3%A9");
    }
}

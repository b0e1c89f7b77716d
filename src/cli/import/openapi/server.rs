//! Where an operation is sent (3.1.1 section 4.8.5): what the operator says, else the operation's own servers, else its
//! path's, else the document's. Of several the first over TLS, as a document's word is no reason to send secrets in
//! the clear when it offers better.

use serde_json::Value;

use super::problem::{Refused, Stop};

/// Checks the server that an operator gave.
///
/// # Errors
/// When it is no whole address, or has a query, a fragment or a user.
pub fn given(url: &str) -> Result<String, Refused> {
    let url = url.trim().trim_end_matches('/');
    if is_whole(url) { Ok(url.to_owned()) } else { Err(Refused::BadServer(url.to_owned())) }
}

/// The address before the path of an operation, without a `/` at its end. `levels` are the values of `servers` from
/// the operation outwards; `document` is where the document was fetched from.
///
/// # Errors
/// [`Stop::NoServer`] when none is a whole address.
pub fn base(levels: [Option<&Value>; 3], document: Option<&str>) -> Result<String, Stop> {
    let listed = |level: Option<&Value>| level?.as_array().filter(|servers| !servers.is_empty()).cloned();
    let servers = levels.into_iter().find_map(listed).unwrap_or_default();
    let mut filled: Vec<String> = servers.iter().filter_map(filled).collect();
    // Without servers a document means the place it came from.
    if servers.is_empty() && document.is_some() {
        filled.push("/".to_owned());
    }
    let found = filled.first().cloned();
    let whole: Vec<String> = filled.iter().filter_map(|url| resolve(url, document)).collect();
    let best = whole.iter().find(|url| url.starts_with("https://")).or(whole.first());
    best.map(|url| url.trim_end_matches('/').to_owned()).ok_or(Stop::NoServer(found))
}

/// The address with its variables at their defaults; none when one has none.
fn filled(server: &Value) -> Option<String> {
    let mut out = String::new();
    let mut rest = server.get("url")?.as_str()?.trim();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}')?;
        let default = match server.get("variables")?.get(name)?.get("default")? {
            Value::String(default) => default.clone(),
            Value::Number(default) => default.to_string(),
            _ => return None,
        };
        out.push_str(before);
        out.push_str(&default);
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

/// A whole address from one that may be relative to `document` (RFC 3986 section 5.2, as far as servers need it).
fn resolve(url: &str, document: Option<&str>) -> Option<String> {
    if is_whole(url) {
        return Some(url.to_owned());
    }
    let (scheme, rest) = document?.split_once("://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let whole = if url.contains("://") {
        return None;
    } else if let Some(other) = url.strip_prefix("//") {
        format!("{scheme}://{other}")
    } else if url.starts_with('/') {
        format!("{scheme}://{host}{url}")
    } else {
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.pop();
        for part in url.split('/') {
            match part {
                "." | "" => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        format!("{scheme}://{host}/{}", parts.join("/"))
    };
    is_whole(&whole).then_some(whole)
}

fn is_whole(url: &str) -> bool {
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    let Some(rest) =
        ["https://", "http://"].iter().find_map(|scheme| url.get(scheme.len()..).filter(|_| lower.starts_with(scheme)))
    else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or_default();
    !host.is_empty() && !host.contains('@') && !rest.contains(['?', '#', '{', ' ', '\\'])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_nearest_servers_count_and_tls_is_taken_where_there_is_some() {
        let outer = json!([{"url": "http://plain.example/v1/"}, {"url": "https://api.example/v1/"}]);
        let inner = json!([{"url": "http://upload.example"}]);
        let base = |levels| base(levels, None);
        assert_eq!(base([None, None, Some(&outer)]).as_deref(), Ok("https://api.example/v1"));
        assert_eq!(base([Some(&inner), None, Some(&outer)]).as_deref(), Ok("http://upload.example"));
        let none = json!([]);
        assert_eq!(base([Some(&none), None, Some(&outer)]).as_deref(), Ok("https://api.example/v1"));
        assert_eq!(base([None, None, None]), Err(Stop::NoServer(None)));
        let relative = json!([{"url": "/v1"}]);
        assert_eq!(base([None, None, Some(&relative)]), Err(Stop::NoServer(Some("/v1".into()))));
    }

    #[test]
    fn variables_stand_at_their_defaults() {
        let servers = json!([
            {"url": "https://{tenant}.example.com"},
            {"url": "https://{region}.example.com:{port}/x", "variables": {"region": {"default": "eu"}, "port": {"default": 8443}}},
        ]);
        assert_eq!(base([Some(&servers), None, None], None).as_deref(), Ok("https://eu.example.com:8443/x"));
    }

    #[test]
    fn a_relative_server_begins_where_the_document_was() {
        for (server, whole) in [
            ("/v1", "https://example.com:8080/v1"),
            ("v1/", "https://example.com:8080/docs/v1"),
            ("../api", "https://example.com:8080/api"),
            ("//other.example/x", "https://other.example/x"),
            ("/", "https://example.com:8080"),
        ] {
            let servers = json!([{"url": server}]);
            let document = Some("https://example.com:8080/docs/openapi.json?raw=1");
            assert_eq!(base([Some(&servers), None, None], document).as_deref(), Ok(whole), "{server}");
        }
        assert_eq!(base([None, None, None], Some("https://example.com/a.json")).as_deref(), Ok("https://example.com"));
    }

    #[test]
    fn a_given_server_is_a_whole_address() {
        assert_eq!(given("https://api.example.com/v1/").as_deref(), Ok("https://api.example.com/v1"));
        for bad in [
            "api.example.com",
            "ftp://x",
            "https://",
            "https://u:p@x",
            "https://x/?a",
            "https://{t}.x",
            "/v1",
            "https://ex ample",
        ] {
            assert!(given(bad).is_err(), "{bad}");
        }
    }
}

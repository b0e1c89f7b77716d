//! Is a TCP request meant for us? A web page can make a browser send requests to a loopback port, and with a
//! name that resolves to 127.0.0.1 it can read the answers (DNS rebinding). Both carry the page's name in
//! `Host` or `Origin`, so only our own names are let in.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderMap, ORIGIN};

use crate::domain::denial::{Code, Denial, Stage};

/// Refuses a request over TCP that names another host, or comes from a page of one.
///
/// # Errors
/// `not-allowed`, naming the header and how to let the host in.
pub fn check(headers: &HeaderMap, uri_host: Option<&str>, ours: SocketAddr, allowed: &[String]) -> Result<(), Denial> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|value| value.to_str().ok()).or(uri_host).unwrap_or_default();
    if hosts.next().is_some() || !is_ours(host, ours, allowed) {
        return Err(refuse("Host", host));
    }
    for origin in headers.get_all(ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        let (name, _) = split(authority);
        if !is_loopback(name) && !is_allowed(authority, name, allowed) {
            return Err(refuse("Origin", origin));
        }
    }
    Ok(())
}

fn refuse(header: &str, value: &str) -> Denial {
    let value: String = value.chars().take(200).collect();
    Denial::new(Stage::Door, Code::NotAllowed, format!("the request's {header} `{value}` is not this daemon's"))
        .hint("add the host to `allowed_hosts` under [server] in toolctl.toml if it is yours")
}

fn is_ours(host: &str, ours: SocketAddr, allowed: &[String]) -> bool {
    let (name, port) = split(host);
    let same_port = match port {
        Some(port) => port.parse() == Ok(ours.port()),
        None => ours.port() == 80,
    };
    let same_name = is_loopback(name) || address(name).is_some_and(|address| address == ours.ip());
    (same_port && same_name) || is_allowed(host, name, allowed)
}

/// An allowed host stands with its port, or without for any port.
fn is_allowed(host: &str, name: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|entry| entry.eq_ignore_ascii_case(host) || entry.eq_ignore_ascii_case(name))
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || address(name).is_some_and(|address| address.is_loopback())
}

fn address(name: &str) -> Option<IpAddr> {
    name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name).parse().ok()
}

/// Host and port of an authority (RFC 3986 section 3.2), the brackets of an IPv6 address included.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        check(&headers, None, "127.0.0.1:8000".parse().unwrap(), &["ops.example".to_owned()]).is_ok()
    }

    #[test]
    fn only_our_own_names_and_pages_are_let_in() {
        for (host, origin, expected) in [
            ("127.0.0.1:8000", None, true),
            ("localhost:8000", None, true),
            ("LocalHost:8000", Some("http://localhost:3000"), true),
            ("[::1]:8000", Some("https://[::1]"), true),
            ("ops.example", Some("https://ops.example"), true),
            ("ops.example:8000", None, true),
            ("localhost", None, false),
            ("localhost:8001", None, false),
            ("evil.example:8000", None, false),
            ("127.0.0.1.evil.example:8000", None, false),
            ("localhost:8000", Some("http://evil.example"), false),
            ("localhost:8000", Some("null"), false),
            ("localhost:8000", Some("http://localhost.evil.example"), false),
            ("", None, false),
        ] {
            assert_eq!(passes(host, origin), expected, "{host} {origin:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_header_and_the_way_out() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "evil.example".parse().unwrap());
        let denial = check(&headers, None, "127.0.0.1:8000".parse().unwrap(), &[]).unwrap_err();
        assert_eq!(denial.to_string(), "not-allowed: the request's Host `evil.example` is not this daemon's");
    }
}

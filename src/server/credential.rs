//! What a caller shows: a key in one of two headers, or the user at the other end of a socket. Who that is,
//! the authenticator says.

use hyper::header::{AUTHORIZATION, HeaderMap};

use crate::domain::denial::{Code, Denial, Stage};
use crate::pipeline::port::Presented;
use crate::transport::Peer;

/// Reads the key from `X-API-Key` or `Authorization: Bearer` (RFC 6750 section 2.1) and adds what is known
/// of the peer.
///
/// # Errors
/// Unauthenticated when two different keys, or something that is no key, is shown: a credential that cannot
/// be read never falls through to the socket's user.
pub fn presented(headers: &HeaderMap, peer: &Peer) -> Result<Presented, Denial> {
    let mut key: Option<&str> = None;
    let plain = headers.get_all("x-api-key").iter().map(|value| value.to_str().ok());
    let bearer = headers.get_all(AUTHORIZATION).iter().map(|value| value.to_str().ok().and_then(bearer));
    for shown in plain.chain(bearer) {
        let Some(shown) = shown.map(str::trim) else {
            return Err(refuse("the credential is not an API key").hint("send `Authorization: Bearer KEY`"));
        };
        if key.is_some_and(|key| key != shown) {
            return Err(refuse("the request shows two different keys").hint("send one of them"));
        }
        key = Some(shown);
    }
    Ok(Presented { key: key.map(str::to_owned), ..of_peer(peer) })
}

/// What is known of the peer alone.
pub fn of_peer(peer: &Peer) -> Presented {
    let (uid, peer) = match peer {
        Peer::Local { uid: Some(uid), .. } => (Some(*uid), format!("uid:{uid}")),
        Peer::Local { uid: None, .. } => (None, "local".to_owned()),
        Peer::Network(address) => (None, address.ip().to_string()),
    };
    Presented { key: None, uid, peer }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key)
}

fn refuse(detail: &str) -> Denial {
    Denial::new(Stage::Authentication, Code::Unauthenticated, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(pairs: &[(&'static str, &str)]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        let peer = Peer::Local { uid: Some(7), pid: None };
        presented(&headers, &peer)
            .map(|shown| {
                assert_eq!((shown.uid, shown.peer.as_str()), (Some(7), "uid:7"));
                shown.key
            })
            .map_err(|denial| denial.detail)
    }

    #[test]
    fn one_key_in_either_header() {
        assert_eq!(show(&[]), Ok(None));
        assert_eq!(show(&[("x-api-key", "k")]), Ok(Some("k".to_owned())));
        assert_eq!(show(&[("authorization", "bearer k")]), Ok(Some("k".to_owned())));
        assert_eq!(show(&[("authorization", "Bearer k"), ("x-api-key", "k")]), Ok(Some("k".to_owned())));
    }

    #[test]
    fn what_cannot_be_read_never_falls_through_to_the_socket() {
        let two = Err("the request shows two different keys".to_owned());
        assert_eq!(show(&[("authorization", "Bearer k"), ("x-api-key", "l")]), two);
        assert_eq!(show(&[("x-api-key", "k"), ("x-api-key", "l")]), two);
        let none = Err("the credential is not an API key".to_owned());
        assert_eq!(show(&[("authorization", "Basic azprCg==")]), none);
        assert_eq!(show(&[("authorization", "k")]), none);
    }

    #[test]
    fn over_tcp_there_is_no_user() {
        let shown = presented(&HeaderMap::new(), &Peer::Network("192.0.2.7:999".parse().unwrap())).ok().unwrap();
        assert_eq!((shown.uid, shown.peer.as_str()), (None, "192.0.2.7"));
    }
}

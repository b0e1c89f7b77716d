//! One request on its way through a door, read but not yet understood.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;

use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::IdempotencyKey;
use crate::domain::time::parse_span;
use crate::pipeline::port::Presented;

use super::Door;
use super::decode::malformed;

/// One request.
pub struct Visit {
    /// Where it came in.
    pub door: Arc<Door>,
    /// What the caller showed.
    pub presented: Presented,
    /// Its headers.
    pub headers: HeaderMap,
    /// The members of its path.
    pub path: Vec<(&'static str, String)>,
    /// Its query.
    pub query: Option<String>,
    /// Its body.
    pub body: Bytes,
    /// Counts it among the requests that run at once, or among the waiters.
    pub slot: OwnedSemaphorePermit,
}

impl Visit {
    /// How long this request may wait: what it asks for, at most what the limits allow. From here on it
    /// counts among the waiters and no longer among the requests.
    ///
    /// # Errors
    /// When the text is no span of time, or too many wait.
    pub fn wait(&mut self, member: Option<&str>, default: Duration) -> Result<Duration, Denial> {
        let asked = match member {
            Some(text) => parse_span(text).map_err(|error| malformed(format!("`wait`: {error}")))?,
            None => preferred_wait(&self.headers).unwrap_or(default),
        };
        if !asked.is_zero() {
            self.slot = Arc::clone(&self.door.waiters)
                .try_acquire_owned()
                .map_err(|_| overloaded("too many requests wait already"))?;
        }
        Ok(asked.min(self.door.limits.wait))
    }

    /// The idempotency key from its header or `member`.
    ///
    /// # Errors
    /// `idempotency-key-invalid` when it is malformed, or two different ones are given.
    pub fn idempotency_key(&self, member: Option<&str>) -> Result<Option<IdempotencyKey>, Denial> {
        let refuse = |detail: String| Denial::new(Stage::Idempotency, Code::IdempotencyKeyInvalid, detail);
        let mut key: Option<IdempotencyKey> = None;
        let header = self.headers.get_all("idempotency-key").iter();
        let header = header.map(|value| match value.to_str() {
            Ok(text) => IdempotencyKey::from_header(text.trim()).map_err(|error| refuse(error.to_string())),
            Err(_) => Err(refuse("the `Idempotency-Key` header is not visible ASCII".to_owned())),
        });
        let member = member.map(|text| text.parse().map_err(|error| refuse(format!("{error}"))));
        for given in header.chain(member) {
            let given: IdempotencyKey = given?;
            if key.as_ref().is_some_and(|key| *key != given) {
                return Err(
                    refuse("the request has two different idempotency keys".to_owned()).hint("send one of them")
                );
            }
            key = Some(given);
        }
        Ok(key)
    }

    /// Takes the member of the path of this name.
    pub fn take_path(&mut self, name: &str) -> String {
        let place = self.path.iter().position(|(member, _)| *member == name);
        place.map(|place| self.path.swap_remove(place).1).unwrap_or_default()
    }
}

/// A daemon that has enough to do.
pub fn overloaded(detail: &str) -> Denial {
    Denial::new(Stage::Door, Code::Overloaded, detail).retry_after(Duration::from_secs(1))
}

/// `Prefer: wait=N`, in seconds (RFC 7240 section 4.3).
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    preferences
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, seconds)| seconds.trim().parse().ok())
        .map(Duration::from_secs)
}

//! What the client says: which of it the daemon is sent, and what is answered here.

use std::time::Instant;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::super::glance::{Glance, Params, glance, replaced, same, with_meta};
use super::super::pending::{Kind, Pending};
use super::super::stand_in::{self, STATUS_TOOL};
use super::{Legacy, Link, MOST_PENDING, Pump};
use crate::api::mcp::{Era, Fault, Version, meta, salvage};
use crate::transport::lines::Line;

impl Pump {
    /// Takes a line of the client.
    pub fn client_said(&mut self, line: Line, now: Instant) {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong { head, tail } => {
                let fault = Fault::own(413, "a message of this length is not taken");
                return self.say(fault.answer(&salvage::id(&head, &tail)));
            }
        };
        if bytes.starts_with(b"[") { self.batch(&bytes, now) } else { self.message(bytes, now) }
    }

    /// Takes the messages of a batch (2025-03-26 and older) one by one.
    fn batch(&mut self, bytes: &[u8], now: Instant) {
        let knows = self.legacy.as_ref().is_some_and(|legacy| legacy.version <= Version::V2025_03_26);
        match serde_json::from_slice::<Vec<Box<RawValue>>>(bytes) {
            Ok(parts) if knows && !parts.is_empty() => {
                for part in parts {
                    self.message(Bytes::copy_from_slice(part.get().as_bytes()), now);
                }
            }
            Ok(_) => self.say(Fault::invalid_request("a batch is not part of this revision").answer("null")),
            Err(error) => self.say(Fault::parse(format!("not JSON: {error}")).answer("null")),
        }
    }

    fn message(&mut self, line: Bytes, now: Instant) {
        match glance(&line) {
            Ok(Glance::Request { id, method, params }) => self.request(line.clone(), id, &method, params, now),
            Ok(Glance::Notification { method, params }) => self.notification(line.clone(), &method, params),
            Ok(Glance::Response { id, .. }) => {
                // Only the daemon that asked is told, whatever the next one has asked meanwhile.
                let asked = self.asks.remove(&same(id)).filter(|_| self.link == Link::Up);
                self.to_daemon.extend(asked.and_then(|original| replaced(&line, id, &original)));
            }
            Err((id, fault)) => self.say(fault.answer(&id)),
        }
    }

    fn request(&mut self, mut line: Bytes, id: &str, method: &str, params: Option<&str>, now: Instant) {
        let key = same(id);
        if self.pending.iter().any(|pending| pending.same == key) {
            return self.say(Fault::invalid_request("a request with this id is still under way").answer(id));
        }
        if self.pending.len() >= MOST_PENDING {
            return self.say(Fault::own(503, "too many requests are under way").answer(id));
        }
        let kind = match method {
            "ping" if Params::of(params).era() == Era::Legacy => return self.say(stand_in::pong(id)),
            "server/discover" => match unspoken(&Params::of(params)) {
                Some(fault) => return self.say(fault.answer(id)),
                None => Kind::Discover,
            },
            "initialize" if Params::of(params).era() == Era::Legacy => {
                self.open_legacy(line.clone(), &key, &Params::of(params));
                Kind::Initialize
            }
            "tools/list" => Kind::Tools,
            "tools/call" => {
                let seen = Params::of(params);
                let is_status = seen.name.as_deref() == Some(STATUS_TOOL);
                let mut given = None;
                if !is_status && seen.meta(meta::BRIDGE_KEY).is_none() {
                    let new = (self.new_key)();
                    if let Some(with) = params.and_then(|text| with_meta(&line, text, meta::BRIDGE_KEY, &new)) {
                        (line, given) = (with, Some(new));
                    }
                }
                if is_status { Kind::Status } else { Kind::Call { key: given } }
            }
            "subscriptions/listen" => {
                let wanted = Params::of(params).notifications.unwrap_or_default();
                let tools = wanted.get("toolsListChanged").is_some_and(|wanted| *wanted == true);
                Kind::Listen { acknowledged: false, tools }
            }
            _ => Kind::Other,
        };
        let mut pending =
            Pending { line, id: id.to_owned(), same: key, kind, sent: None, deadline: None, cancelled: None };
        if !self.has_work() {
            self.watch.begin(now);
        }
        match &self.link {
            Link::Up => self.send(&mut pending, now),
            Link::Connecting => pending.deadline = Some(now + self.wait_for(&pending)),
            Link::Down(_) => self.set_deadline(&mut pending, now),
        }
        self.pending.push(pending);
        self.answer_due(now);
    }

    fn open_legacy(&mut self, initialize: Bytes, id: &str, params: &Params<'_>) {
        let version = Version::negotiate(params.protocol_version.as_deref().unwrap_or_default());
        self.legacy = Some(Legacy { initialize, id: id.to_owned(), version, initialized: None });
    }

    fn notification(&mut self, line: Bytes, method: &str, params: Option<&str>) {
        match method {
            "notifications/initialized" => {
                if let Some(legacy) = &mut self.legacy {
                    legacy.initialized = Some(line.clone());
                }
            }
            "notifications/cancelled" => {
                let id = Params::of(params).request_id.unwrap_or_default().to_string();
                if let Some(place) = self.pending.iter().position(|pending| pending.same == id) {
                    let mut pending = self.pending.remove(place);
                    // A daemon may go on with it: the next one is told.
                    if self.link != Link::Up && pending.sent.is_some() && matches!(pending.kind, Kind::Call { .. }) {
                        (pending.cancelled, pending.deadline) = (Some(line.clone()), None);
                        self.pending.push(pending);
                    }
                }
            }
            _ => {}
        }
        if self.link == Link::Up {
            self.to_daemon.push(line);
        }
    }
}

/// A modern opening in a revision that is not spoken.
fn unspoken(params: &Params<'_>) -> Option<Fault> {
    let asked = params.meta(meta::VERSION)?;
    let asked = asked.as_str().unwrap_or_default();
    (asked != Version::V2026_07_28.word()).then(|| Fault::unsupported_version(asked))
}

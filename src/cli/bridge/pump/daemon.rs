//! What the daemon says: which of it the client hears, and what it means for the connection.

use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use super::super::glance::{Glance, Params, glance, replaced, same};
use super::super::pending::Kind;
use super::{PING_ID, Pump, Verdict};
use crate::api::mcp::{Fault, meta, salvage};
use crate::transport::lines::Line;

impl Pump {
    /// Takes a line of the daemon.
    pub fn daemon_said(&mut self, line: Line, now: Instant) -> Verdict {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong { head, tail } => {
                self.hear(now);
                let id = salvage::id(&head, &tail);
                self.pending.retain(|pending| pending.same != same(&id));
                self.say(Fault::own(502, "the answer is longer than this client takes").answer(&id));
                return Verdict::Fine;
            }
        };
        let Ok(seen) = glance(&bytes) else {
            return if self.watch.has_heard() { Verdict::Broken } else { Verdict::Foreign };
        };
        if let Glance::Response { id: "null", error: Some(error) } = &seen
            && self.greeted
            && !self.watch.has_heard()
        {
            return refusal(error);
        }
        self.hear(now);
        match seen {
            Glance::Request { id, .. } => {
                // Every daemon counts its questions from zero: under a name of its own, a late answer to an
                // earlier one is not taken for an answer to this one.
                let shown = format!("\"toolctl-bridge-{}\"", self.asked);
                self.asked += 1;
                if let Some(line) = replaced(&bytes, id, &shown) {
                    self.asks.insert(shown, id.to_owned());
                    self.to_client.push(line);
                }
            }
            Glance::Notification { method, params } if method == "notifications/cancelled" => {
                let id = Params::of(params).request_id.unwrap_or_default().to_string();
                let taken_back = self.asks.iter().find(|(_, original)| same(original) == id);
                if let Some(shown) = taken_back.map(|(shown, _)| shown.clone()) {
                    self.asks.remove(&shown);
                    self.take_back(&shown);
                }
            }
            Glance::Notification { method, params } => {
                if method != "notifications/subscriptions/acknowledged" || self.acknowledge(params) {
                    self.to_client.push(bytes.clone());
                }
            }
            Glance::Response { id: PING_ID, .. } => return self.welcomed(),
            Glance::Response { id, error } => self.response(bytes.clone(), id, error),
        }
        Verdict::Fine
    }

    /// The daemon is alive.
    fn hear(&mut self, now: Instant) {
        if self.watch.hear(now) {
            // What the last daemon left waits for this one now, as long as it takes.
            for pending in &mut self.pending {
                pending.deadline = pending.deadline.filter(|_| pending.is_answered_soon());
            }
        }
        if self.told && self.welcome {
            self.tell_that_tools_changed();
        }
    }

    fn response(&mut self, line: Bytes, id: &str, error: Option<&str>) {
        if id == "null" {
            return self.to_client.push(line);
        }
        let id = same(id);
        if self.swallow.remove(&id) {
            return;
        }
        let Some(place) = self.pending.iter().position(|pending| pending.same == id) else { return };
        // A daemon that stops ends its subscriptions; for the client they go on with the next one.
        let goes_on = self.pending.get(place).is_some_and(|pending| !pending.ends()) && error.is_none();
        if !goes_on {
            self.pending.remove(place);
            self.to_client.push(line);
        }
    }

    /// Whether the client is to see this acknowledgement: only the first of a subscription.
    fn acknowledge(&mut self, params: Option<&str>) -> bool {
        let id = Params::of(params).meta(meta::SUBSCRIPTION).unwrap_or_default().to_string();
        let listening = self.pending.iter_mut().find(|pending| pending.same == id);
        match listening.map(|pending| &mut pending.kind) {
            Some(Kind::Listen { acknowledged, .. }) => !std::mem::replace(acknowledged, true),
            _ => false,
        }
    }
}

/// What an error in answer to the hello means.
fn refusal(error: &str) -> Verdict {
    let error: Value = serde_json::from_str(error).unwrap_or_default();
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    if error.get("code").is_some_and(|code| *code == 429) {
        Verdict::Limited(message)
    } else {
        Verdict::Refused(message)
    }
}

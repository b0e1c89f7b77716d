//! What stands behind the door: toolctl's governed tools, or the fixtures of the conformance suite. The door
//! knows the protocol (revisions, headers, sessions, streams, framing); a service knows its methods.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

pub use crate::api::mcp::mirror::MirroredParameter;
use crate::api::mcp::{self, Fault, Version};
use crate::pipeline::port::{Presented, Wait};

use super::exchange::Exchange;
use super::message::Request;

/// Answers methods.
pub trait Service: Send + Sync {
    /// What it can do, in the words of `version`.
    fn capabilities(&self, version: Version) -> Map<String, Value>;

    /// What a model should know first.
    fn instructions(&self) -> &str;

    /// Answers one request that is not about the conversation itself: the door answers `initialize`,
    /// `server/discover`, `subscriptions/listen` and `ping`.
    ///
    /// What was dispatched comes to its end even if this future is dropped.
    fn answer(self: Arc<Self>, request: Request, exchange: Exchange) -> Wait<'static, Result<Body, Fault>>;

    /// Whether it may say something to a modern client before the answer. This is what the request says of itself.
    fn may_speak(&self, _meta: &Map<String, Value>) -> bool {
        true
    }

    /// Who is calling, as a name that no other caller has: sessions belong to it.
    ///
    /// # Errors
    /// A caller nobody knows.
    fn recognise(&self, presented: &Presented) -> Result<String, Fault>;

    /// Follows what this caller may see.
    fn follow(&self, presented: &Presented) -> Box<dyn Changes>;

    /// The arguments of a tool that its callers mirror in headers; nothing for a tool this caller may not see.
    fn mirrored_parameters(&self, _presented: &Presented, _tool: &str) -> Vec<MirroredParameter> {
        Vec::new()
    }
}

/// A follower.
pub trait Changes: Send {
    /// Waits for the next change; none when this caller may no longer follow.
    fn next(&mut self) -> Wait<'_, Option<Change>>;
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The list of tools.
    Tools,
    /// The list of prompts.
    Prompts,
}

/// The result of a request, without what the revision adds to it.
#[derive(Debug)]
pub struct Body {
    /// Members of the result object, written: `"tools":[…],"nextCursor":"…"`. Empty for `{}`.
    pub members: String,
    /// What kind of result it is: said to modern clients.
    pub kind: ResultType,
    /// For how long it may be kept, in milliseconds: said to modern clients, always `private`.
    pub ttl_ms: Option<u64>,
    /// Members of its `_meta`, written in the same way; each stands once.
    pub meta: String,
}

/// `resultType` of 2026-07-28.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultType {
    /// The request was carried out.
    Complete,
    /// The client shall ask somebody and come again.
    InputRequired,
    /// The request goes on as a task (SEP-2663).
    Task,
}

impl ResultType {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::InputRequired => "input_required",
            Self::Task => "task",
        }
    }
}

impl Body {
    /// A complete result with these members.
    pub fn of(members: &impl Serialize) -> Self {
        let text = serde_json::to_string(members).unwrap_or_default();
        let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
        Self::written(inner.to_owned())
    }

    /// The result of `server/discover`.
    pub fn discovered(capabilities: &Map<String, Value>, instructions: &str) -> Self {
        let mut found = mcp::discover(capabilities, instructions);
        // What every modern result carries is added when it is written.
        let ttl_ms = found.get("ttlMs").and_then(Value::as_u64);
        if let Some(members) = found.as_object_mut() {
            for name in ["resultType", "ttlMs", "cacheScope", "_meta"] {
                members.remove(name);
            }
        }
        Self { ttl_ms, ..Self::of(&found) }
    }

    /// A complete result whose members are written already.
    pub fn written(members: String) -> Self {
        Self { members, kind: ResultType::Complete, ttl_ms: None, meta: String::new() }
    }

    /// The same as another kind of result.
    #[must_use]
    pub fn kind(self, kind: ResultType) -> Self {
        Self { kind, ..self }
    }

    /// The same, to be kept for a while.
    #[must_use]
    pub fn ttl_ms(self, ttl_ms: u64) -> Self {
        Self { ttl_ms: Some(ttl_ms), ..self }
    }

    /// Adds a member to `_meta` that is not there yet. Its name is one of ours, which need no escapes.
    #[must_use]
    pub fn meta(mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        if let Ok(value) = serde_json::to_string(value) {
            let comma = if self.meta.is_empty() { "" } else { "," };
            for part in [comma, "\"", name, "\":", &value] {
                self.meta.push_str(part);
            }
        }
        self
    }
}

//! What comes into the path and what comes out of it.

use std::time::Duration;

use serde_json::Value;

use crate::domain::approval::{Assurance, Requirement, Verdict};
use crate::domain::call::Call;
use crate::domain::denial::Denial;
use crate::domain::digest::Digest;
use crate::domain::id::{ApprovalRef, IdempotencyKey};
use crate::domain::principal::{Principal, PrincipalKind, Scope};
use crate::guard::quota::QuotaState;

use super::port::Presented;

/// A request to call a tool, decoded by a door and judged by nobody yet.
#[derive(Clone)]
pub struct Submission {
    /// What the caller showed.
    pub presented: Presented,
    /// Name of the tool, as sent.
    pub tool: String,
    /// The arguments as sent, read by the strict reader of [`crate::domain::json`].
    pub arguments: Value,
    /// The idempotency key; without one the call gets its own.
    pub key: Option<IdempotencyKey>,
    /// Run every guard and nothing else.
    pub dry_run: bool,
    /// Why, in the caller's words.
    pub reason: Option<String>,
    /// How long to wait for people or a running call.
    pub wait: Duration,
    /// People must agree, even where policy would not ask them.
    pub ask_people: bool,
    /// Through which door: `rest`, `compat`, `mcp`.
    pub transport: &'static str,
    /// The tool's own argument for the requester's approval counts, if the requester may approve its own calls.
    /// Never where a model writes the arguments.
    pub may_confirm: bool,
    /// What the first record says about how the request came.
    pub labels: Labels,
}

/// How a request came: labels for the log, never authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// From where the idempotency key was taken, when there was more than one place for it.
    pub key_from: Option<&'static str>,
    /// The client's name and version, as it says.
    pub client: Option<String>,
    /// The caller's trace (W3C Trace Context, `traceparent`), when it is valid.
    pub trace: Option<String>,
}

/// An answer, with what the rate limit says when the caller was recognised.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// The state of the caller's rate limit.
    pub quota: Option<QuotaState>,
    /// The answer or the no.
    pub result: Result<T, Denial>,
}

impl<T> Answer<T> {
    /// Changes the answer and keeps the rest.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { quota: self.quota, result: self.result.map(change) }
    }
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The call ended.
    Done {
        /// The call, closed.
        call: Call,
        /// It ended for an earlier request with the same key.
        replayed: bool,
        /// Index of the record this answer rests on.
        audit: Option<u64>,
    },
    /// The call has not ended: it waits for people, runs, or is in doubt.
    Pending {
        /// The call.
        call: Call,
        /// It was accepted for an earlier request.
        attached: bool,
        /// Index of the record this answer rests on.
        audit: Option<u64>,
    },
    /// A dry run: nothing was written but the record of a denial.
    DryRun {
        /// The call as it would have been opened.
        call: Call,
    },
}

impl Reply {
    /// The call.
    pub const fn call(&self) -> &Call {
        match self {
            Self::Done { call, .. } | Self::Pending { call, .. } | Self::DryRun { call } => call,
        }
    }
}

/// What an approver looked at before deciding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookedAt {
    /// This binding.
    Binding(Digest),
    /// Whatever is asked now: clients of the compatible face cannot say.
    Whatever,
}

/// A decision about an approval, decoded by a door.
#[derive(Clone)]
pub struct Ballot {
    /// What the decider showed.
    pub presented: Presented,
    /// Which approval.
    pub approval: ApprovalRef,
    /// Yes or no.
    pub verdict: Verdict,
    /// What the decider looked at.
    pub looked_at: LookedAt,
    /// In their words.
    pub reason: Option<String>,
    /// How sure we are that a person decided.
    pub assurance: Assurance,
    /// How long to wait for the end of the call.
    pub wait: Duration,
    /// It counts for calls of the decider's own, if the decider may approve those. Never where a model writes
    /// the decision.
    pub own_calls: bool,
}

/// What policy would decide, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVerdict {
    /// For whom.
    pub principal: Principal,
    /// The permit's requirements, or the no.
    pub decision: Result<Vec<Requirement>, Denial>,
    /// Ids of the policies that decided.
    pub rules: Vec<String>,
    /// The decision in a sentence.
    pub sentence: String,
    /// Digest of the policies in force.
    pub policy: Digest,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Name of the principal, without its kind.
    pub name: String,
    /// Person, agent or service.
    pub kind: PrincipalKind,
    /// Groups of the principal; none means the usual ones of its kind.
    pub groups: Option<Vec<String>>,
    /// The most it allows.
    pub scope: Scope,
    /// For how long it is good; none for ever.
    pub expires_in: Option<Duration>,
    /// The principal may approve its own calls.
    pub may_self_approve: bool,
    /// Make it from the key that asks.
    pub from_current: bool,
}

//! What is needed to open a call. It can be made only from a [`Permit`], whose requirements fix the call's
//! first state, so no call can be opened around the policy.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::approval::{Approval, Decision};
use crate::domain::audit::{AuditRecord, PolicyFact};
use crate::domain::call::{Again, Call, CallState};
use crate::domain::denial::Denial;
use crate::domain::id::{CallId, IdempotencyKey};
use crate::domain::outcome::Outcome;
use crate::domain::preview::Preview;
use crate::domain::principal::{Credential, Principal};
use crate::domain::time::Timestamp;
use crate::domain::tool::Registered;
use crate::guard::policy::Permit;
use crate::guard::schema::Arguments;

use super::port::{Fatigue, InStore};
use super::submission::Labels;

/// What the caller and chance contribute to a call.
#[derive(Debug, Clone)]
pub struct Seed {
    /// The new id.
    pub id: CallId,
    /// The idempotency key.
    pub key: IdempotencyKey,
    /// The caller's reason.
    pub reason: Option<String>,
    /// Behind the commitments.
    pub salt: [u8; 16],
    /// Behind the binding.
    pub nonce: [u8; 16],
    /// How the request came.
    pub labels: Labels,
}

/// How the opened call starts, if nobody has to agree.
#[derive(Clone)]
pub enum Start {
    /// It is dispatched in the same write, and its executor runs after it.
    Dispatch {
        /// The epoch that owns the run.
        epoch: u64,
        /// Whether it may be started again if its runner is lost.
        again: Again,
    },
    /// It runs to its end in the same write.
    InStore {
        /// The epoch that owns the run.
        epoch: u64,
        /// The effect.
        effect: Arc<dyn InStore>,
    },
}

/// Deadlines of approvals where a rule names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// How long people have to decide.
    pub decide: Duration,
    /// How long after the approval the call may start.
    pub execute: Duration,
}

impl Default for Deadlines {
    /// One hour, and ten minutes.
    fn default() -> Self {
        Self { decide: Duration::from_secs(3600), execute: Duration::from_secs(600) }
    }
}

/// What the daemon's settings contribute to a call.
#[derive(Clone)]
pub struct Terms {
    /// How it starts, if nobody has to agree.
    pub start: Start,
    /// Deadlines of approvals where a rule names none.
    pub deadlines: Deadlines,
    /// Limits that keep people from being worn down.
    pub fatigue: Fatigue,
}

/// A call about to be opened. It passes through many hands, so it is one pointer.
#[derive(Clone)]
pub struct Opening(Box<Parts>);

#[derive(Clone)]
struct Parts {
    call: Call,
    policy: PolicyFact,
    start: Start,
    confirmation: Option<Decision>,
    fatigue: Fatigue,
    draft: AuditRecord,
    is_tentative: bool,
}

impl Opening {
    /// Makes the call in its first state: `AwaitingApproval` when the permit requires people, else `Ready`.
    /// Its approval is numbered by the store.
    ///
    /// # Errors
    /// When the permit is for another principal, tool or arguments: it cannot be carried over.
    pub fn new(
        seed: Seed,
        principal: &Principal,
        tool: &Registered,
        arguments: &Arguments,
        permit: &Permit,
        terms: Terms,
        now: Timestamp,
    ) -> Result<Self, Denial> {
        let Terms { start, deadlines, fatigue } = terms;
        permit.must_be_for(principal, arguments)?;
        let mut call = Call {
            id: seed.id,
            tool: tool.name.clone(),
            tool_digest: tool.digest,
            effect: tool.effect,
            principal: principal.id.clone(),
            credential: principal.credential.clone(),
            chain: principal.chain.clone(),
            key: seed.key,
            fingerprint: arguments.fingerprint(),
            arguments: arguments.effective().clone(),
            effective: arguments.effective_digest(),
            salt: seed.salt,
            reason: seed.reason,
            created_at: now,
            changed_at: now,
            attempts: 0,
            approval: None,
            state: CallState::Ready,
        };
        if !permit.requirements().is_empty() {
            let decide = permit.requirements().iter().filter_map(|need| need.ttl).min().unwrap_or(deadlines.decide);
            let mut approval = Approval {
                number: 0,
                nonce: seed.nonce,
                requirements: permit.requirements().to_vec(),
                asked_at: now,
                decide_by: now.plus(decide),
                execute_within: deadlines.execute,
                round: 1,
                preview: None,
                binding: arguments.effective_digest(),
                decisions: Vec::new(),
                approved_at: None,
            };
            approval.binding = approval.bind(&call);
            call.approval = Some(approval);
            call.state = CallState::AwaitingApproval;
        }
        let mut opening = Self::from_parts(call, permit.fact(), start, None, fatigue);
        opening.label(seed.labels);
        Ok(opening)
    }

    /// Writes the labels into the first record, each cut to a bearable length.
    fn label(&mut self, labels: Labels) {
        const LONGEST: usize = 120;
        let Labels { key_from, client, trace } = labels;
        let labels = [("key_from", key_from.map(str::to_owned)), ("client", client), ("trace", trace)];
        for (name, value) in labels.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            self.0.draft.detail.insert(name.to_owned(), value.chars().take(LONGEST).collect());
        }
    }

    /// Puts an opening together without a permit. Only for [`Opening::new`] and the stores' own tests, hence
    /// not for other crates: a forged opening does not compile.
    pub(crate) fn from_parts(
        call: Call,
        policy: PolicyFact,
        start: Start,
        confirmation: Option<Decision>,
        fatigue: Fatigue,
    ) -> Self {
        let draft = AuditRecord::draft(&call, policy.clone());
        Self(Box::new(Parts { call, policy, start, confirmation, fatigue, draft, is_tentative: false }))
    }

    /// Adds the requester's own approval, given with the call, as an administrator allowed it.
    #[must_use]
    pub fn confirmed(mut self, decision: Decision) -> Self {
        self.0.confirmation = Some(decision);
        self
    }

    /// The same opening, which makes no call: it is answered if an answer exists or it is refused, and otherwise what
    /// people are to be shown can be found out.
    #[must_use]
    pub(crate) fn tentative(mut self) -> Self {
        self.0.is_tentative = true;
        self
    }

    /// Whether it makes no call.
    pub const fn is_tentative(&self) -> bool {
        self.0.is_tentative
    }

    /// The same opening, whose people are shown this preview and agree to it too.
    #[must_use]
    pub(super) fn showing(mut self, preview: Preview) -> Self {
        let Some(mut approval) = self.0.call.approval.take() else { return self };
        approval.preview = Some(preview);
        approval.binding = approval.bind(&self.0.call);
        self.0.call.approval = Some(approval);
        let labels = std::mem::take(&mut self.0.draft.detail);
        self.0.draft = AuditRecord::draft(&self.0.call, self.0.policy.clone());
        self.0.draft.detail.extend(labels);
        self
    }

    /// The same opening with another start: a read is made before it is recorded.
    #[must_use]
    pub(super) fn starting(mut self, start: Start) -> Self {
        self.0.start = start;
        self
    }

    /// The same opening, whose first record says this too.
    #[must_use]
    pub(super) fn stating(mut self, facts: Vec<(&'static str, String)>) -> Self {
        self.0.draft.detail.extend(facts.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// The call of a read that was made, closed, and the one record of it.
    pub(super) fn read(self, outcome: Outcome, now: Timestamp) -> (Call, AuditRecord) {
        let Parts { mut call, draft, .. } = *self.0;
        call.changed_at = now;
        call.attempts = 1;
        call.state = CallState::Closed(outcome);
        let record = draft.standing(&call);
        (call, record)
    }

    /// The first record of the call, which now stands as `after` does.
    pub fn record(&self, after: &Call) -> AuditRecord {
        self.0.draft.clone().standing(after)
    }

    /// The trace that the caller's request belongs to.
    pub fn trace(&self) -> Option<&str> {
        self.0.draft.detail.get("trace").map(String::as_str)
    }

    /// The call in its first state.
    pub const fn call(&self) -> &Call {
        &self.0.call
    }

    /// What policy said.
    pub const fn policy(&self) -> &PolicyFact {
        &self.0.policy
    }

    /// How it starts, if nobody has to agree.
    pub const fn start(&self) -> &Start {
        &self.0.start
    }

    /// The requester's own approval, if it may approve itself and did.
    pub const fn confirmation(&self) -> Option<&Decision> {
        self.0.confirmation.as_ref()
    }

    /// Limits that keep people from being worn down.
    pub const fn fatigue(&self) -> Fatigue {
        self.0.fatigue
    }

    /// The credential that must still be good in the transaction.
    pub const fn credential(&self) -> &Credential {
        &self.0.call.credential
    }
}

//! The audit record: one fact, never updated. Its leaf is canonical JSON and becomes a leaf of the
//! [Merkle tree](super::merkle) in the transaction of the change it describes, so the log cannot disagree
//! with the state.
//!
//! Arguments, outputs and reasons never stand in a leaf: a salted commitment does (the construction of
//! SD-JWT, RFC 9901 section 4.2), whose salt lives with the call. Erasing the call erases what the
//! commitment hides and leaves every hash valid.

mod kind;
mod verify;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::approval::{Assurance, Evidence, Requirement, Verdict};
use super::call::{Call, CallEvent};
use super::denial::{Denial, Stage};
use super::digest::Digest;
use super::id::{CallId, GroupName, IdempotencyKey, PrincipalId, ToolName};
use super::json::canonical;
use super::outcome::{Effect, Outcome};
use super::time::Timestamp;

pub use kind::RecordType;
pub use verify::{Fault, Report, Verifier};

/// What policy said.
// INVARIANT: in this and the following structures the fields stand in the order of their names, so that
// serde writes the canonical form directly. A test holds us to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFact {
    /// Digest of the policy set.
    pub digest: Digest,
    /// Ids of the policies that decided.
    pub rules: Vec<String>,
}

/// What a rule asks for, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementFact {
    /// The least assurance that counts.
    pub assurance: Assurance,
    /// The requester's own consent meets it as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub consent: bool,
    /// Who may decide.
    pub group: GroupName,
    /// How many different people.
    pub quorum: u32,
    /// The policy that asks.
    pub rule: String,
}

impl From<&Requirement> for RequirementFact {
    fn from(need: &Requirement) -> Self {
        let Requirement { group, quorum, assurance, rule, consent, ttl: _ } = need.clone();
        Self { assurance, consent, group, quorum, rule }
    }
}

/// What a record says about an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalFact {
    /// How sure we are that a person decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance: Option<Assurance>,
    /// B, what people agree to.
    pub binding: Digest,
    /// What stands behind the decision, when it is not a person's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// The groups of the decider that count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupName>,
    /// What the rules ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<RequirementFact>,
    /// The requester decided about its own call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub self_approved: bool,
    /// Yes or no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// One fact. Absent members are left out of the leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<PrincipalId>,
    /// The approval this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalFact>,
    /// When, by the daemon's clock.
    pub at: Timestamp,
    /// Which start of the call this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The call this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// Principals on whose behalf the actor acts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<PrincipalId>,
    /// Salted commitments: JSON Pointer → SHA-256 of the disclosure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub commit: BTreeMap<String, Digest>,
    /// What the actor showed to be recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Small facts that have no field of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
    /// What happened to the world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// The problem code, when it is a no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Digest of principal and idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
    /// What policy said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyFact>,
    /// Which guard said no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Where the call stands after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolName>,
    /// Digest of the tool's definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_digest: Option<Digest>,
    /// What kind of fact.
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// Version of this format: 1.
    pub v: u8,
}

impl AuditRecord {
    /// A record with nothing but its kind and time.
    pub const fn new(kind: RecordType, at: Timestamp) -> Self {
        Self {
            actor: None,
            approval: None,
            at,
            attempt: None,
            call: None,
            chain: Vec::new(),
            commit: BTreeMap::new(),
            credential: None,
            detail: BTreeMap::new(),
            effect: None,
            error: None,
            key: None,
            policy: None,
            stage: None,
            state: None,
            tool: None,
            tool_digest: None,
            kind,
            v: 1,
        }
    }

    /// The leaf: canonical JSON (RFC 8785) of this record.
    pub fn leaf(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Adds a small fact.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// The record of a refusal before a call existed.
    pub fn denied(
        denial: &Denial,
        actor: Option<&PrincipalId>,
        credential: Option<String>,
        tool: Option<&str>,
        at: Timestamp,
    ) -> Self {
        Self {
            actor: actor.cloned(),
            credential,
            effect: Some(Effect::None),
            error: Some(denial.code.slug().to_owned()),
            stage: Some(denial.stage),
            tool: tool.and_then(|name| name.parse().ok()),
            // Not `denial.log`: what a rule says when it errs quotes the arguments it looked at.
            detail: (!denial.rules.is_empty())
                .then(|| ("rules".to_owned(), denial.rules.join(" ")))
                .into_iter()
                .collect(),
            policy: None,
            ..Self::new(RecordType::CallDenied, at)
        }
    }

    /// The first record of `call`: who asked, for what, and why it was let in. Its kind follows from where
    /// the call stands: it waits for people, it was dispatched, or it already ended.
    pub fn opened(call: &Call, policy: PolicyFact) -> Self {
        Self::draft(call, policy).standing(call)
    }

    /// What the first record of `call` says whatever becomes of it: all that is costly to hash, so that it can
    /// be made before the transaction.
    pub fn draft(call: &Call, policy: PolicyFact) -> Self {
        let mut record = Self {
            actor: Some(call.principal.clone()),
            chain: call.chain.clone(),
            credential: Some(call.credential.to_string()),
            key: Some(key_digest(&call.principal, &call.key)),
            policy: Some(policy),
            tool: Some(call.tool.clone()),
            tool_digest: Some(call.tool_digest),
            call: Some(call.id),
            ..Self::new(RecordType::ApprovalRequested, call.created_at)
        };
        record.commit.insert("/arguments".to_owned(), commitment(&call.salt, "/arguments", call.arguments.as_str()));
        if let Some(reason) = &call.reason {
            let reason = canonical(&serde_json::Value::String(reason.clone()));
            record.commit.insert("/reason".to_owned(), commitment(&call.salt, "/reason", &reason));
        }
        if let Some(approval) = &call.approval {
            record.approval = Some(ApprovalFact {
                requirements: approval.requirements.iter().map(RequirementFact::from).collect(),
                ..ApprovalFact::consumed(approval.binding)
            });
        }
        record.showing(call)
    }

    /// Completes a [draft](Self::draft) with where the call now stands.
    #[must_use]
    pub fn standing(self, call: &Call) -> Self {
        use super::call::CallState as S;
        let kind = match &call.state {
            S::AwaitingApproval => RecordType::ApprovalRequested,
            S::Ready | S::Running { .. } => RecordType::CallDispatched,
            S::InDoubt => RecordType::CallInDoubt,
            S::Closed(_) => RecordType::CallCompleted,
        };
        Self { kind, ..self }.about(call)
    }

    /// The record of a second key for `waiting`, the call that already waits for people: `asked` is the call
    /// that the key came with, and that was not made.
    pub fn attached(asked: &Call, waiting: &Call, policy: PolicyFact) -> Self {
        Self {
            actor: Some(asked.principal.clone()),
            call: Some(waiting.id),
            chain: asked.chain.clone(),
            credential: Some(asked.credential.to_string()),
            effect: Some(Effect::None),
            key: Some(key_digest(&asked.principal, &asked.key)),
            policy: Some(policy),
            state: Some(waiting.state.word().to_owned()),
            tool: Some(waiting.tool.clone()),
            ..Self::new(RecordType::ApprovalAttached, asked.created_at)
        }
    }

    /// The record of `event`, which turned the call into `after`.
    pub fn changed(after: &Call, event: &CallEvent, policy: Option<PolicyFact>) -> Self {
        use super::call::CallState as S;
        let kind = match (event, &after.state) {
            (CallEvent::Decided(_), _) => RecordType::ApprovalDecided,
            (CallEvent::Dispatched { .. }, _) => RecordType::CallDispatched,
            (CallEvent::Finished(_), _) => RecordType::CallCompleted,
            (CallEvent::Expired | CallEvent::Cancelled { .. } | CallEvent::Stale { .. }, _) => RecordType::CallClosed,
            (CallEvent::NotStarted, _) | (CallEvent::Lost, S::Ready) => RecordType::CallRecovered,
            (CallEvent::Lost | CallEvent::Doubted { .. }, _) => RecordType::CallInDoubt,
            (CallEvent::Resolved { .. }, _) => RecordType::CallResolved,
        };
        let mut record = Self { policy, ..Self::new(kind, after.changed_at) }.about(after);
        let binding = after.approval.as_ref().map(|approval| approval.binding);
        if matches!(event, CallEvent::Dispatched { .. } | CallEvent::Finished(_)) {
            // The daemon does it for the requester: who looks for what a principal caused must find it.
            record.actor = Some(after.principal.clone());
        }
        match event {
            CallEvent::Decided(decision) => {
                record.actor = Some(decision.by.clone());
                record.credential = Some(decision.credential.to_string());
                record.approval = Some(ApprovalFact {
                    assurance: Some(decision.assurance),
                    binding: decision.binding,
                    evidence: Some(decision.evidence).filter(|evidence| !evidence.is_person()),
                    groups: decision.groups.iter().cloned().collect(),
                    requirements: Vec::new(),
                    self_approved: decision.self_approved,
                    verdict: Some(decision.verdict),
                });
                if let Some(reason) = &decision.reason {
                    let pointer = format!("/decisions/{}/reason", decision.by);
                    let reason = canonical(&serde_json::Value::String(reason.clone()));
                    let digest = commitment(&after.salt, &pointer, &reason);
                    record.commit.insert(pointer, digest);
                }
            }
            CallEvent::Cancelled { by } | CallEvent::Resolved { by, .. } => record.actor = Some(by.clone()),
            CallEvent::Stale { changed } => {
                record.detail.insert("changed".to_owned(), changed.clone());
            }
            CallEvent::Dispatched { .. } => {
                record.approval = binding.map(ApprovalFact::consumed);
            }
            CallEvent::Doubted { why } => {
                record.detail.insert("why".to_owned(), why.clone());
            }
            CallEvent::NotStarted => {
                record.detail.insert("why".to_owned(), "it had not started".to_owned());
            }
            CallEvent::Finished(_) | CallEvent::Expired | CallEvent::Lost => {}
        }
        if let (CallEvent::Resolved { .. }, S::AwaitingApproval, Some(approval)) =
            (event, &after.state, &after.approval)
        {
            record.approval = Some(ApprovalFact {
                requirements: approval.requirements.iter().map(RequirementFact::from).collect(),
                ..ApprovalFact::consumed(approval.binding)
            });
            record = record.showing(after);
        }
        record
    }

    /// Says what the preview of the call said, as people see it who are asked.
    fn showing(mut self, call: &Call) -> Self {
        if let Some(preview) = call.approval.as_ref().and_then(|approval| approval.preview.as_ref()) {
            let (name, said) = preview.fact(&call.salt);
            self.detail.insert(name.to_owned(), said);
        }
        self
    }

    /// Marks that this record also consumes the call's approval, as dispatch and end share a transaction.
    #[must_use]
    pub fn consuming(mut self, call: &Call) -> Self {
        self.approval = call.approval.as_ref().map(|approval| ApprovalFact::consumed(approval.binding));
        // Nothing lies between the preview and a start in the same transaction as the request.
        self.showing(call)
    }

    fn about(self, call: &Call) -> Self {
        let mut record = Self {
            at: call.changed_at,
            attempt: (call.attempts > 0).then_some(call.attempts),
            call: Some(call.id),
            effect: Some(call.effect_so_far()),
            state: Some(call.state.word().to_owned()),
            tool: Some(call.tool.clone()),
            ..self
        };
        if let Some(outcome) = call.outcome() {
            if let Some(output) = outcome.output() {
                record.commit.insert("/output".to_owned(), commitment(&call.salt, "/output", output.as_str()));
            }
            if let Outcome::Failed { .. } = outcome {
                record.error = Some("tool-failed".to_owned());
            }
        }
        record
    }
}

impl ApprovalFact {
    const fn consumed(binding: Digest) -> Self {
        Self {
            assurance: None,
            binding,
            evidence: None,
            groups: Vec::new(),
            requirements: Vec::new(),
            self_approved: false,
            verdict: None,
        }
    }
}

/// What the log keeps of an idempotency key.
pub fn key_digest(principal: &PrincipalId, key: &IdempotencyKey) -> Digest {
    Digest::of("toolctl/key/v1", &[principal.as_str().as_bytes(), key.as_str().as_bytes()])
}

/// The disclosure of one field, base64url of `[salt, pointer, value]`: whoever has it can check the
/// commitment. The salt of the field is derived from the call's, so that one disclosure opens no other.
pub fn disclosure(salt: &[u8; 16], pointer: &str, canonical_value: &str) -> String {
    let field_salt = Digest::of("toolctl/salt/v1", &[salt, pointer.as_bytes()]);
    let field_salt = URL_SAFE_NO_PAD.encode(field_salt.0.get(..16).unwrap_or_default());
    let pointer = canonical(&serde_json::Value::String(pointer.to_owned()));
    URL_SAFE_NO_PAD.encode(format!("[\"{field_salt}\",{pointer},{canonical_value}]"))
}

/// The commitment in the leaf: SHA-256 of the [`disclosure`]'s text.
pub fn commitment(salt: &[u8; 16], pointer: &str, canonical_value: &str) -> Digest {
    Digest::plain(disclosure(salt, pointer, canonical_value).as_bytes())
}

#[cfg(test)]
mod tests;

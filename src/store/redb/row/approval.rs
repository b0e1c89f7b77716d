//! The part of a call's row that is about people: what they were asked, shown and said. The rules of
//! [`row`](super) hold here too: no byte of it changes without a new form.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::row_word::{self, CredentialRow};
use crate::domain::approval::{Approval, Decision, Requirement, Verdict};
use crate::domain::digest::Digest;
use crate::domain::json::Canonical;
use crate::domain::preview::Preview;
use crate::domain::time::Timestamp;
use crate::pipeline::port::Unavailable;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ApprovalRow<'a> {
    number: u64,
    nonce: [u8; 16],
    #[serde(borrow)]
    requirements: Vec<RequirementRow<'a>>,
    asked_at: i64,
    decide_by: i64,
    execute_within_ns: u64,
    round: u32,
    binding: [u8; 32],
    #[serde(borrow)]
    decisions: Vec<DecisionRow<'a>>,
    approved_at: Option<i64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RequirementRow<'a> {
    group: &'a str,
    quorum: u32,
    demand: u8,
    rule: &'a str,
    ttl_ns: Option<u64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DecisionRow<'a> {
    by: &'a str,
    #[serde(borrow)]
    credential: CredentialRow<'a>,
    #[serde(borrow)]
    groups: Vec<&'a str>,
    approve: bool,
    #[serde(borrow)]
    reason: Option<&'a str>,
    surety: u8,
    self_approved: bool,
    binding: [u8; 32],
    at: i64,
}

/// What the preview of a call said.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PreviewRow<'a> {
    tool: &'a str,
    answered: bool,
    said: &'a str,
    binding: bool,
}

impl<'a> ApprovalRow<'a> {
    pub(super) fn of(approval: &'a Approval) -> Self {
        Self {
            number: approval.number,
            nonce: approval.nonce,
            requirements: approval.requirements.iter().map(RequirementRow::of).collect(),
            asked_at: approval.asked_at.micros(),
            decide_by: approval.decide_by.micros(),
            execute_within_ns: nanos(approval.execute_within),
            round: approval.round,
            binding: approval.binding.0,
            decisions: approval.decisions.iter().map(DecisionRow::of).collect(),
            approved_at: approval.approved_at.map(Timestamp::micros),
        }
    }

    pub(super) fn approval(self, preview: Option<PreviewRow<'_>>) -> Result<Approval, Unavailable> {
        Ok(Approval {
            number: self.number,
            nonce: self.nonce,
            requirements: self.requirements.into_iter().map(RequirementRow::requirement).collect::<Result<_, _>>()?,
            asked_at: Timestamp::from_micros(self.asked_at),
            decide_by: Timestamp::from_micros(self.decide_by),
            execute_within: Duration::from_nanos(self.execute_within_ns),
            round: self.round,
            binding: Digest(self.binding),
            preview: preview.map(PreviewRow::preview).transpose()?,
            decisions: self.decisions.into_iter().map(DecisionRow::decision).collect::<Result<_, _>>()?,
            approved_at: self.approved_at.map(Timestamp::from_micros),
        })
    }
}

impl<'a> PreviewRow<'a> {
    pub(super) fn of(preview: &'a Preview) -> Self {
        let (answered, said) = match &preview.said {
            Ok(output) => (true, output.as_str()),
            Err(why) => (false, why.as_str()),
        };
        Self { tool: preview.tool.as_str(), answered, said, binding: preview.binding }
    }

    fn preview(self) -> Result<Preview, Unavailable> {
        let said = if self.answered { Ok(Canonical::trusted(self.said)) } else { Err(self.said.to_owned()) };
        Ok(Preview { tool: row_word::text(self.tool)?, said, binding: self.binding })
    }
}

impl<'a> RequirementRow<'a> {
    fn of(need: &'a Requirement) -> Self {
        Self {
            group: need.group.as_str(),
            quorum: need.quorum,
            demand: row_word::demand(need.assurance, need.consent),
            rule: &need.rule,
            ttl_ns: need.ttl.map(nanos),
        }
    }

    fn requirement(self) -> Result<Requirement, Unavailable> {
        let (assurance, consent) = row_word::read(self.demand, &row_word::DEMANDS)?;
        Ok(Requirement {
            group: row_word::text(self.group)?,
            quorum: self.quorum,
            assurance,
            rule: self.rule.to_owned(),
            ttl: self.ttl_ns.map(Duration::from_nanos),
            consent,
        })
    }
}

impl<'a> DecisionRow<'a> {
    fn of(decision: &'a Decision) -> Self {
        Self {
            by: decision.by.as_str(),
            credential: CredentialRow::of(&decision.credential),
            groups: decision.groups.iter().map(crate::domain::id::GroupName::as_str).collect(),
            approve: decision.verdict == Verdict::Approve,
            reason: decision.reason.as_deref(),
            surety: row_word::surety(decision.assurance, decision.evidence),
            self_approved: decision.self_approved,
            binding: decision.binding.0,
            at: decision.at.micros(),
        }
    }

    fn decision(self) -> Result<Decision, Unavailable> {
        let (assurance, evidence) = row_word::read(self.surety, &row_word::SURETIES)?;
        Ok(Decision {
            by: row_word::text(self.by)?,
            credential: self.credential.credential()?,
            groups: self.groups.into_iter().map(row_word::text).collect::<Result<_, _>>()?,
            verdict: if self.approve { Verdict::Approve } else { Verdict::Reject },
            reason: self.reason.map(str::to_owned),
            assurance,
            evidence,
            self_approved: self.self_approved,
            binding: Digest(self.binding),
            at: Timestamp::from_micros(self.at),
        })
    }
}

/// Nanoseconds of a span; 584 years at most.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

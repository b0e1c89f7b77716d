//! An approval: which people must agree to exactly one digest, by when, and what they said. It lives
//! inside its call and changes only through [`Call::apply`](super::call::Call::apply).

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::call::Call;
use super::digest::Digest;
use super::id::{GroupName, PrincipalId};
use super::json::Canonical;
use super::preview::Preview;
use super::principal::Credential;
use super::time::Timestamp;

/// How sure we are that a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Assurance {
    /// A bearer key or a socket peer: anything running as the same user could have done it.
    A0,
    /// A signature by an approver's own key.
    A1,
}

impl fmt::Display for Assurance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A0 => "A0",
            Self::A1 => "A1",
        })
    }
}

/// What one rule asks for. All requirements of an approval must be met.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// Who may decide.
    pub group: GroupName,
    /// How many different people of the group must agree.
    pub quorum: u32,
    /// The least assurance that counts.
    pub assurance: Assurance,
    /// The id of the policy that asks.
    pub rule: String,
    /// How long people have, when the rule says so.
    pub ttl: Option<Duration>,
    /// The requester's own consent, typed in its client, meets it as well (`@approval_consent("caller")`).
    pub consent: bool,
}

/// What stands behind a decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// A person decided, and showed a credential of their own.
    #[default]
    Person,
    /// The requester's client says that somebody typed the digest. Whether that was a person, only the client
    /// knows, so it counts for rules alone that take the caller's consent.
    ClientElicitation,
}

impl Evidence {
    /// Whether it is a person's own decision.
    pub const fn is_person(&self) -> bool {
        matches!(self, Self::Person)
    }
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Run it.
    Approve,
    /// Do not run it.
    Reject,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        })
    }
}

/// What one person said, or the requester's client said of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Who.
    pub by: PrincipalId,
    /// What they showed to be recognised.
    pub credential: Credential,
    /// The groups they were in, of those that the requirements name.
    pub groups: BTreeSet<GroupName>,
    /// Yes or no.
    pub verdict: Verdict,
    /// In their words.
    pub reason: Option<String>,
    /// How sure we are that a person decided.
    pub assurance: Assurance,
    /// What stands behind it.
    pub evidence: Evidence,
    /// The requester decided about its own call, as an administrator allowed.
    pub self_approved: bool,
    /// The binding they looked at.
    pub binding: Digest,
    /// When.
    pub at: Timestamp,
}

/// The approval of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The small number people use.
    pub number: u64,
    /// 16 random bytes, so that the binding cannot be guessed from the arguments.
    pub nonce: [u8; 16],
    /// What the rules asked for when the call was opened.
    pub requirements: Vec<Requirement>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Until when people may decide.
    pub decide_by: Timestamp,
    /// How long after the approval the call may start.
    pub execute_within: Duration,
    /// Counts how often it was asked for: a rerun needs its approvals again.
    pub round: u32,
    /// What the tool's preview said when it was asked for, if it has one.
    pub preview: Option<Preview>,
    /// B: what people agree to. See [`Approval::bind`].
    pub binding: Digest,
    /// What people said in this round, in order.
    pub decisions: Vec<Decision>,
    /// When the last needed person agreed.
    pub approved_at: Option<Timestamp>,
}

/// Where the votes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tally {
    /// More people must agree.
    Open,
    /// Everybody who must agree has.
    Approved,
    /// Somebody said no.
    Rejected,
}

impl Approval {
    /// B = SHA-256 over everything an approver agrees to, in canonical form: the call, who asks, the tool
    /// with its definition, the arguments with their defaults, what its preview said, which rules demand it, and the
    /// deadlines.
    pub fn bind(&self, call: &Call) -> Digest {
        let requirements: Vec<_> = self
            .requirements
            .iter()
            .map(|need| {
                let mut bound = json!({
                    "assurance": need.assurance.to_string(), "group": need.group.as_str(),
                    "quorum": need.quorum, "rule": need.rule,
                });
                // Bound only where it is so: every other binding is what it was before there was consent.
                if let (true, Some(bound)) = (need.consent, bound.as_object_mut()) {
                    bound.insert("consent".to_owned(), "caller".into());
                }
                bound
            })
            .collect();
        let mut bound = json!({
            "arguments": call.arguments.as_str(),
            "asked_at": self.asked_at.to_string(),
            "call": call.id.to_string(),
            "decide_by": self.decide_by.to_string(),
            "effective_digest": call.effective.to_string(),
            "execute_within_s": self.execute_within.as_secs(),
            "nonce": Digest::plain(&self.nonce).to_string(),
            "reason": call.reason,
            "requester": call.principal.as_str(),
            "requirements": requirements,
            "round": self.round,
            "tool": call.tool.as_str(),
            "tool_digest": call.tool_digest.to_string(),
        });
        if let (Some(preview), Some(bound)) = (&self.preview, bound.as_object_mut()) {
            bound.insert("preview".to_owned(), preview.bound());
        }
        Digest::of("toolctl/approval/v1", &[Canonical::of(&bound).as_str().as_bytes()])
    }

    /// Counts the votes: one no ends it; a yes counts for each requirement whose group its author was in
    /// and whose assurance it has; each person counts once per requirement. The requester's consent counts for
    /// no person, and meets the requirements that take it.
    pub fn tally(&self) -> Tally {
        if self.decisions.iter().any(|decision| decision.verdict == Verdict::Reject) {
            return Tally::Rejected;
        }
        if self.requirements.iter().all(|need| self.meets(need)) { Tally::Approved } else { Tally::Open }
    }

    /// How many different people count for `need`.
    pub fn agreed(&self, need: &Requirement) -> u32 {
        let people: BTreeSet<_> = self
            .decisions
            .iter()
            .filter(|d| d.verdict == Verdict::Approve && d.evidence.is_person())
            .filter(|d| d.assurance >= need.assurance && d.groups.contains(&need.group))
            .map(|d| &d.by)
            .collect();
        u32::try_from(people.len()).unwrap_or(u32::MAX)
    }

    /// Whether the requester consented to `need`: the rule takes its consent, took it when the call was opened,
    /// and asks for no more assurance than a client's word has.
    pub fn consented(&self, need: &Requirement) -> bool {
        let asked = |rule: &str| self.requirements.iter().any(|asked| asked.consent && asked.rule == rule);
        let given = |d: &Decision| {
            d.evidence == Evidence::ClientElicitation && d.verdict == Verdict::Approve && d.assurance >= need.assurance
        };
        need.consent && asked(&need.rule) && self.decisions.iter().any(given)
    }

    /// Whether enough people agreed to `need`, or the requester consented where that is enough.
    pub fn meets(&self, need: &Requirement) -> bool {
        self.agreed(need) >= need.quorum || self.consented(need)
    }

    /// Whether a rule takes the requester's consent and is not met yet.
    pub fn awaits_consent(&self) -> bool {
        self.requirements.iter().any(|need| need.consent && !self.meets(need))
    }

    /// Whether `typed` is the short digest of B, in capitals or not, with dashes and spaces or without.
    pub fn is_typed(&self, typed: &str) -> bool {
        let typed: String = typed.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
        typed.eq_ignore_ascii_case(&self.binding.short())
    }

    /// Whether what people agreed to here meets `needs`, which later rules may have made stricter.
    pub fn covers(&self, needs: &[Requirement]) -> bool {
        needs.iter().all(|need| self.meets(need))
    }

    /// Until when the approved call may start; none before it is approved.
    pub fn execute_by(&self) -> Option<Timestamp> {
        self.approved_at.map(|at| at.plus(self.execute_within))
    }
}

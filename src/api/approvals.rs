//! Approvals on the wire: `/v1/approvals`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::calls::Call;
use super::endpoint::number;
use crate::domain::approval::{Assurance, Evidence, Verdict};
use crate::domain::tool::{EffectClass, Risk};
use crate::endpoints;

endpoints! {
    /// List what waits for people, oldest first.
    List = Get "/v1/approvals", "listApprovals", ListApprovals => Approvals;
    /// Show one approval with all that its approver needs to see.
    Show = Get "/v1/approvals/{id}", "showApproval", ApprovalRef => Dossier;
    /// Say yes or no.
    Decide = Post "/v1/approvals/{id}/decisions", "decideApproval", NewDecision => Call;
    /// Follow approvals as they are asked for and decided.
    Watch = Get "/v1/approvals/watch", "watchApprovals", super::endpoint::Nothing => Dossier, stream = true;
}

/// Which approvals to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListApprovals {
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// How many at most: 1–1000, default 50.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Names an approval.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalRef {
    /// `#17`, `17`, `apr_…`, `call_…` or a UUID.
    pub id: String,
}

/// A decision.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDecision {
    /// `#17`, `17`, `apr_…`, `call_…` or a UUID.
    pub id: String,
    /// Yes or no.
    pub decision: Verdict,
    /// The binding you looked at, `sha256:…`: a decision about anything else is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// In your words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long to wait for the end of the call, for example `30s`. Default `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
}

/// A page of approvals.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Approvals {
    /// What waits.
    pub approvals: Vec<Dossier>,
    /// Where the next page starts; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// What one rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requirement {
    /// The policy that asks.
    pub rule: String,
    /// Who may decide.
    pub group: String,
    /// How many different people.
    pub quorum: u32,
    /// How many have agreed.
    pub agreed: u32,
    /// The least assurance that counts.
    pub assurance: Assurance,
    /// The requester's own consent, typed in its client, is enough as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub consent: bool,
    /// The requester gave that consent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub consented: bool,
}

/// What one person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// Who.
    pub by: String,
    /// Yes or no.
    pub verdict: Verdict,
    /// In their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How sure we are that a person decided.
    pub assurance: Assurance,
    /// What stands behind it, when it is not a person's own decision.
    #[serde(default, skip_serializing_if = "Evidence::is_person")]
    pub evidence: Evidence,
    /// The requester decided about its own call.
    pub self_approved: bool,
    /// When; RFC 3339.
    pub at: String,
}

/// The approval of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// `apr_…`.
    pub id: String,
    /// The small number people use.
    pub number: u64,
    /// B, what people agree to: `sha256:…`.
    pub digest: String,
    /// What the rules ask for.
    pub requirements: Vec<Requirement>,
    /// What people said.
    pub decisions: Vec<Decision>,
    /// When it was asked for; RFC 3339.
    pub asked_at: String,
    /// Until when people may decide; RFC 3339.
    pub decide_by: String,
    /// How long after the approval the call may start, in seconds.
    pub execute_within: u64,
    /// Until when the approved call may start; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute_by: Option<String>,
    /// Counts how often it was asked for.
    pub round: u32,
    /// The 16 bytes behind the binding, hashed; with it and the call, anyone can re-derive `digest`.
    pub nonce_digest: String,
}

/// What the tool's preview said when people were asked. It is part of what is approved.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// The tool that was asked.
    pub tool: String,
    /// What it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Digest of what it said: part of the approval's `digest`.
    pub digest: String,
    /// It must say the same when the call starts; if not, the approval is stale.
    pub compared: bool,
}

/// All that an approver needs to see.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Dossier {
    /// The call with its approval.
    pub call: Call,
    /// The tool's title.
    pub title: String,
    /// What the tool does.
    pub description: String,
    /// How much harm it could do.
    pub risk: Risk,
    /// What running it again would do.
    pub effect_class: EffectClass,
    /// It may destroy something.
    pub destructive: bool,
    /// It reaches beyond this machine.
    pub open_world: bool,
    /// Digest of the tool's definition.
    pub tool_digest: String,
    /// Digest of tool definition and arguments.
    pub effective_digest: String,
    /// What exactly would run: variables, program and arguments, each by itself, secrets by their names. Nothing
    /// for what is built in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<String>,
    /// What the tool's preview said would happen, when it has one and you may decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// Arguments of the last approved call of this tool by this caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Value>,
    /// Whether you may decide, and if not, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub you_may_not: Option<String>,
}

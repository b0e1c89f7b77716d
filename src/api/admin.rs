//! Keys, policy and the daemon itself on the wire.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::approvals::Requirement;
use super::endpoint::Nothing;
use super::upstreams::Summary;
use crate::domain::principal::{PrincipalKind, Scope};
use crate::endpoints;

endpoints! {
    /// Say whether the daemon is there; needs no key.
    Health = Get "/health", "health", Nothing => Healthy;
    /// Say how the daemon is.
    Status = Get "/v1/status", "status", Nothing => StatusReport;
    /// Say who you are to the daemon.
    Whoami = Get "/v1/whoami", "whoami", Nothing => Me;
    /// List keys.
    ListKeys = Get "/v1/keys", "listKeys", Nothing => KeyList;
    /// Make a key; its secret is shown once.
    CreateKey = Post "/v1/keys", "createKey", NewKey => CreatedKey;
    /// Make a new key like this one, which stays good for a while.
    RotateKey = Post "/v1/keys/{id}/rotate", "rotateKey", Rotate => CreatedKey;
    /// Revoke a key and all keys made from it.
    RevokeKey = Delete "/v1/keys/{id}", "revokeKey", KeyRef => KeyInfo;
    /// Say what policy would decide, and run nothing.
    CheckPolicy = Post "/v1/policy/check", "checkPolicy", Check => Checked;
    /// Show the policies in force.
    ShowPolicy = Get "/v1/policy", "showPolicy", Nothing => PolicyText;
    /// Load config, policies and tools again.
    Reload = Post "/v1/reload", "reload", Nothing => Reloaded;
    /// Stop after the running calls.
    Stop = Post "/v1/stop", "stop", Nothing => Stopping;
}

/// A call nobody knows the outcome of.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Doubt {
    /// `call_…`.
    pub call: String,
    /// Name of the tool.
    pub tool: String,
    /// Who asked.
    pub principal: String,
    /// Since when; RFC 3339.
    pub since: String,
    /// The command that says how it ended, once somebody has looked.
    pub resolve: String,
}

/// The daemon is there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Healthy {
    /// Always true.
    pub ok: bool,
    /// Version of the daemon.
    pub version: String,
}

/// How the daemon is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StatusReport {
    /// Version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Since when it runs; RFC 3339.
    pub started_at: String,
    /// Where it listens.
    pub listeners: Vec<String>,
    /// Where its store is.
    pub data_dir: String,
    /// How many tools it has.
    pub tools: usize,
    /// Calls that wait for people.
    pub pending: u64,
    /// Calls nobody knows the outcome of.
    pub in_doubt: u64,
    /// The newest of those, as far as you may see them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
    /// Calls running now.
    pub running: u64,
    /// Runs of workflows that are left to it.
    #[serde(default)]
    pub detached: usize,
    /// Records in the log.
    pub records: u64,
    /// Root of the log, `sha256:…`.
    pub root: String,
    /// Digest of the policies in force.
    pub policy: String,
    /// `ok`, or what is wrong with the store.
    pub store: String,
    /// What an operator should know about this set-up, in sentences.
    pub notes: Vec<String>,
    /// The MCP servers behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstreams: Vec<Summary>,
}

/// Who you are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    /// The principal.
    pub principal: String,
    /// Person, agent or service.
    pub kind: PrincipalKind,
    /// Its groups.
    pub groups: Vec<String>,
    /// How it was recognised.
    pub credential: String,
    /// Whether it may approve its own calls.
    pub may_self_approve: bool,
    /// The most the credential allows.
    pub scope: Scope,
}

/// A key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyInfo {
    /// `key_…`.
    pub id: String,
    /// Whose it is.
    pub principal: String,
    /// Person, agent or service.
    pub kind: PrincipalKind,
    /// Groups of the principal.
    pub groups: Vec<String>,
    /// The most it allows.
    pub scope: Scope,
    /// Whether the principal may approve its own calls.
    pub may_self_approve: bool,
    /// When it was made; RFC 3339.
    pub created_at: String,
    /// Until when it is good; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was revoked; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// The key it was made from, `key_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// Keys.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct KeyList {
    /// Newest first.
    pub keys: Vec<KeyInfo>,
}

/// A key to be made.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Name of the principal, without its kind: `anna`.
    pub name: String,
    /// Person, agent or service. Default: agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<PrincipalKind>,
    /// Groups; default `agents` for agents and services, `operators` for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// The most it allows.
    #[serde(default)]
    pub scope: Scope,
    /// For how long it is good, for example `90d`; default 90 days, `0s` for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// The principal may approve its own calls.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_self_approval: bool,
    /// Make it from the key that asks: never more than that one, and gone with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_current: bool,
}

/// Names a key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct KeyRef {
    /// `key_…`.
    pub id: String,
}

/// A key to be rotated.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Rotate {
    /// `key_…`.
    pub id: String,
    /// How long the old one stays good, for example `1h`; default 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
}

/// A new key with its secret.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct CreatedKey {
    /// The key itself, `tctl_…`. It is not shown again.
    pub key: String,
    /// All else about it.
    pub info: KeyInfo,
}

/// What to ask policy.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Name of the tool.
    pub tool: String,
    /// Its arguments, an object.
    #[serde(default)]
    pub arguments: Value,
    /// Somebody else's question: only administrators may ask it. A principal with a live key.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

/// What policy would decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyAnswer {
    /// Runs at once.
    Allow,
    /// People must agree first.
    NeedsApproval,
    /// No.
    Deny,
}

/// The decision and its reasons.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// For whom.
    pub principal: String,
    /// For which tool.
    pub tool: String,
    /// What policy would decide.
    pub answer: PolicyAnswer,
    /// Ids of the policies that decided.
    pub rules: Vec<String>,
    /// Who must agree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<Requirement>,
    /// In a sentence.
    pub explanation: String,
    /// Digest of the policies in force.
    pub policy: String,
}

/// The policies in force.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PolicyText {
    /// Digest of all of them.
    pub digest: String,
    /// Each file.
    pub files: Vec<PolicyFile>,
    /// The Cedar schema generated from the tools.
    pub schema: String,
}

/// One file of policies.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PolicyFile {
    /// Its name; `shipped` for the policy inside the program.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What a reload did.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// Digest of the policies now in force.
    pub policy: String,
    /// How many tools there are now.
    pub tools: usize,
    /// What changed, in sentences.
    pub changes: Vec<String>,
}

/// The daemon is stopping.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Stopping {
    /// Calls it waits for.
    pub running: u64,
}

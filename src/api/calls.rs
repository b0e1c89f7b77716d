//! Calls on the wire: `/v1/calls`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::approvals::Approval;
use super::endpoint::number;
use super::problem::Problem;
use crate::domain::call::Resolution;
use crate::domain::outcome::Effect;
use crate::endpoints;

endpoints! {
    /// Call a tool.
    Create = Post "/v1/calls", "createCall", NewCall => Call;
    /// List calls, newest first.
    List = Get "/v1/calls", "listCalls", ListCalls => Calls;
    /// Show one call, or wait until it ends.
    Show = Get "/v1/calls/{id}", "showCall", ShowCall => Call;
    /// Take a call back before it starts.
    Cancel = Post "/v1/calls/{id}/cancel", "cancelCall", CallRef => Call;
    /// Say how a call in doubt ended.
    Resolve = Post "/v1/calls/{id}/resolve", "resolveCall", ResolveCall => Call;
}

/// A request to call a tool.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCall {
    /// Name of the tool.
    pub tool: String,
    /// Its arguments, an object.
    #[serde(default = "empty_object")]
    pub arguments: Value,
    /// Makes a repeat harmless; 1–255 visible ASCII characters. The `Idempotency-Key` header does the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Run every guard and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Why, for the people who decide; at most 2 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long to wait for people or a running call, for example `30s`; at most 10 minutes. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// `required`: people must agree, even where policy would not ask them. A caller can only ask for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Ask>,
}

/// What a caller itself asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// One person of the approvers must agree.
    Required,
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

/// Names a call.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CallRef {
    /// `call_…`.
    pub id: String,
}

/// Names a call, and how long to wait for it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ShowCall {
    /// `call_…`.
    pub id: String,
    /// How long to wait for its end, for example `30s`; at most 10 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
}

/// How a call in doubt ended.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ResolveCall {
    /// `call_…`.
    pub id: String,
    /// It happened, it did not, or it did not and shall run after the same approvals.
    #[serde(rename = "as")]
    pub resolution: Resolution,
    /// In your words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Which calls to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListCalls {
    /// Only of this requester.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Only of this tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Only in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only of this run of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Only accepted at or after; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// How many at most: 1–1000, default 50.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of calls.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Calls {
    /// The calls.
    pub calls: Vec<Call>,
    /// Where the next page starts; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A call.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    /// `call_…`.
    pub id: String,
    /// Name of the tool.
    pub tool: String,
    /// Who asked.
    pub principal: String,
    /// `awaiting_approval`, `ready`, `running`, `in_doubt`, `succeeded`, `failed`, `rejected`, `expired`,
    /// `cancelled`, `stale`; for a dry run `would_run` or `would_wait`.
    pub state: String,
    /// The arguments with defaults.
    pub arguments: Value,
    /// The tool's output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why there is no output, for a call that ended without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// What happened to the world.
    pub effect: Effect,
    /// This answers an earlier request with the same key.
    pub replayed: bool,
    /// The idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Why, in the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The approval, if people must agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// How often it was started.
    pub attempts: u32,
    /// When it was accepted; RFC 3339.
    pub created_at: String,
    /// When it last changed; RFC 3339.
    pub changed_at: String,
    /// Index of the audit record that this answer rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<u64>,
}

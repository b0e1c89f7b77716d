//! Tools on the wire: `/v1/tools`, and the compatible `/mcp/tools`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::endpoint::Nothing;
use crate::domain::tool::{EffectClass, Risk};
use crate::endpoints;

endpoints! {
    /// List the tools you may see.
    List = Get "/v1/tools", "listTools", Nothing => Tools;
    /// Show one tool, and what policy says to you about it.
    Show = Get "/v1/tools/{name}", "showTool", ToolRef => Tool;
    /// List the tools you may see, as the original demo server did.
    Discover = Get "/mcp/tools", "discoverTools", Nothing => Discovered;
}

/// Names a tool.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ToolRef {
    /// Its name.
    pub name: String,
}

/// The tools a caller may see.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tools {
    /// In the order of their names.
    pub tools: Vec<Tool>,
    /// Digest of the whole catalog: listings are cached by it.
    pub catalog: String,
}

/// What policy says about a tool, as far as it can be said without arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Runs at once.
    Allowed,
    /// People must agree.
    NeedsApproval,
    /// Denied.
    Denied,
    /// It depends on the arguments.
    Depends,
}

/// A tool.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// A short title.
    pub title: String,
    /// What it does.
    pub description: String,
    /// What runs it: `built in`, …
    pub source: String,
    /// How much harm it could do.
    pub risk: Risk,
    /// What running it again would do.
    pub effect: EffectClass,
    /// It may destroy something.
    pub destructive: bool,
    /// It reaches beyond this machine.
    pub open_world: bool,
    /// What policy says to you.
    pub standing: Standing,
    /// Groups that must agree, where people must.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// JSON Schema of the arguments.
    pub input_schema: Value,
    /// JSON Schema of the output.
    pub output_schema: Value,
    /// An example of arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Value>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// How long one call may run, in milliseconds.
    #[serde(default)]
    pub timeout_ms: u64,
    /// The longest output kept, in bytes.
    #[serde(default)]
    pub output_limit: u64,
    /// A read-only tool that says whether a call in doubt happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// A read-only tool whose answer is shown to approvers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// What runs it, as its definition says: only when one tool is shown, and to administrators, approvers and
    /// auditors alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Value>,
    /// Digest of the definition.
    pub digest: String,
}

/// The compatible listing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Discovered {
    /// In the order of their names.
    pub tools: Vec<DiscoveredTool>,
}

/// A tool in the compatible listing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DiscoveredTool {
    /// Its name.
    pub name: String,
    /// Always `POST`.
    pub method: String,
    /// `/tools/NAME`.
    pub path: String,
    /// What it does.
    pub description: String,
    /// `low`, `medium` or `high`.
    pub risk: Risk,
    /// Whether a repeat with the same key is answered from the record.
    pub supports_idempotency_key: bool,
    /// JSON Schema of the arguments.
    pub input_schema: Value,
    /// JSON Schema of the output.
    pub output_schema: Value,
}

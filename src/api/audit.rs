//! The audit log on the wire: `/v1/audit`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::endpoint::{Nothing, number};
use crate::endpoints;

endpoints! {
    /// Read records as JSON lines, and follow them as they are written.
    Read = Get "/v1/audit", "readAudit", ReadAudit => Line, stream = true;
    /// The size and root of the log.
    Checkpoint = Get "/v1/audit/checkpoint", "auditCheckpoint", Nothing => Head;
}

/// Which records to read. All given members must match.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReadAudit {
    /// Only by this actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Only about this tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Only about this call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Only of this type (`call.completed`) or class (`call.*`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only at or after; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only before; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Only from this index on.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Only the last so many that match.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// At most so many.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Go on as records are written.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
}

/// One record. The leaf is given as text, byte for byte, so that its hash can be checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Index in the log, counted from 0.
    pub index: u64,
    /// The leaf hash stored beside it (RFC 6962), `sha256:…`.
    pub hash: String,
    /// The record: canonical JSON.
    pub leaf: String,
}

/// The size and root of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Head {
    /// How many records.
    pub size: u64,
    /// The Merkle root over them (RFC 6962), `sha256:…`.
    pub root: String,
}

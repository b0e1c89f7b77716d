//! The words of the Model Context Protocol that the door and the stdio bridge share: revisions, error codes,
//! names of members and headers, and the two answers that open a conversation. Nothing here decides anything.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

pub mod mirror;
pub mod salvage;

/// A revision of the protocol. Ordered from old to new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2024-11-05: only over lines; its own HTTP transport is gone.
    V2024_11_05,
    /// 2025-03-26: the last with batches, the first with Streamable HTTP.
    V2025_03_26,
    /// 2025-06-18: structured output, titles, elicitation.
    V2025_06_18,
    /// 2025-11-25: the last with `initialize` and sessions.
    V2025_11_25,
    /// 2026-07-28: stateless, each request carries its own metadata.
    V2026_07_28,
}

/// The two families of revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Era {
    /// `initialize`, then sessions: up to 2025-11-25.
    Legacy,
    /// Metadata on each request: from 2026-07-28 on.
    Modern,
}

impl Version {
    /// Every revision, newest first: what we say we speak.
    pub const ALL: [Self; 5] =
        [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26, Self::V2024_11_05];
    /// The newest with `initialize`.
    pub const NEWEST_LEGACY: Self = Self::V2025_11_25;
    /// What a legacy request over HTTP without a version header speaks.
    pub const UNSAID: Self = Self::V2025_03_26;

    /// The date that names it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Its family.
    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => Era::Legacy,
        }
    }

    /// What `initialize` settles on: the revision asked for when it is a legacy one that we speak, else the
    /// newest of them.
    pub fn negotiate(asked: &str) -> Self {
        asked.parse().ok().filter(|version: &Self| version.era() == Era::Legacy).unwrap_or(Self::NEWEST_LEGACY)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|version| version.word() == text).ok_or(())
    }
}

/// Members of `params._meta` and of a result's `_meta`.
pub mod meta {
    /// The revision of a modern request.
    pub const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// What the client of a modern request can do.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// The client's name and version: a label, never authority.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// Our name and version, on every modern result.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// Ties a notification to the `subscriptions/listen` request it belongs to.
    pub const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
    /// Asks for progress on this request.
    pub const PROGRESS_TOKEN: &str = "progressToken";
    /// W3C Trace Context.
    pub const TRACEPARENT: &str = "traceparent";
    /// The idempotency key of a call.
    pub const IDEMPOTENCY_KEY: &str = "dev.toolctl/idempotency-key";
    /// The key that the stdio bridge gives a call without one, so that it can send it again.
    pub const BRIDGE_KEY: &str = "dev.toolctl/bridge-key";
    /// Why, in the caller's words, for the people who decide; at most 2 KiB.
    pub const REASON: &str = "dev.toolctl/reason";
    /// The result was given before, to an earlier request with the same key.
    pub const REPLAYED: &str = "dev.toolctl/replayed";
    /// The call a result is about.
    pub const CALL: &str = "dev.toolctl/call";
    /// Index of the audit record a result rests on.
    pub const AUDIT: &str = "dev.toolctl/audit";
    /// The task that a message is about, in 2025-11-25.
    pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
    /// What a model may be shown at once of a task that goes on, in 2025-11-25.
    pub const IMMEDIATE_RESPONSE: &str = "io.modelcontextprotocol/model-immediate-response";
    /// The approval a result waits for.
    pub const APPROVAL: &str = "dev.toolctl/approval";
    /// What policy and the operator say about a tool.
    pub const TOOL: &str = "dev.toolctl/tool";
}

/// Extensions we know.
pub mod extension {
    /// Durable tasks (SEP-2663).
    pub const TASKS: &str = "io.modelcontextprotocol/tasks";
    /// Idempotency keys on `tools/call`.
    pub const IDEMPOTENCY: &str = "dev.toolctl/idempotency";
}

/// The first line of a line conversation over our socket: what the bridge's caller shows. Not part of MCP;
/// without it the peer of the socket is the caller.
pub const HELLO: &str = "dev.toolctl/hello";

/// A JSON-RPC error, with the status it has over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// JSON-RPC error code.
    pub code: i64,
    /// One sentence.
    pub message: String,
    /// More, for programs.
    pub data: Option<Value>,
}

impl Fault {
    /// The message is no JSON.
    pub fn parse(message: impl Into<String>) -> Self {
        Self::new(400, -32_700, message)
    }

    /// JSON, but no message of this protocol.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(400, -32_600, message)
    }

    /// No such method in this revision.
    pub fn method_not_found(method: &str) -> Self {
        let method: String = method.chars().take(80).collect();
        Self::new(404, -32_601, format!("there is no method `{method}`"))
    }

    /// The parameters of a method do not fit. `200` as the request was understood.
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(200, -32_602, message)
    }

    /// The metadata that every modern request carries is missing or malformed.
    pub fn invalid_meta(message: impl Into<String>) -> Self {
        Self::new(400, -32_602, message)
    }

    /// A header is missing or differs from the body.
    pub fn header_mismatch(message: impl Into<String>) -> Self {
        Self::new(400, -32_020, message)
    }

    /// The client did not declare what is needed.
    pub fn missing_capability(required: Value) -> Self {
        Self::new(400, -32_021, "the client did not declare a capability that this needs")
            .data(json!({ "requiredCapabilities": required }))
    }

    /// A revision we do not speak.
    pub fn unsupported_version(requested: &str) -> Self {
        let supported: Vec<_> = Version::ALL.iter().map(|version| version.word()).collect();
        let requested: String = requested.chars().take(80).collect();
        Self::new(400, -32_022, format!("the revision `{requested}` is not spoken here"))
            .data(json!({ "supported": supported, "requested": requested }))
    }

    /// Something of ours: its code is the HTTP status, outside the range that JSON-RPC reserves.
    pub fn own(status: u16, message: impl Into<String>) -> Self {
        Self::new(status, i64::from(status), message)
    }

    /// Adds more, for programs.
    #[must_use]
    pub fn data(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    fn new(status: u16, code: i64, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), data: None }
    }

    /// The whole answer to the request `id`, which is JSON text; `null` when it is not known.
    pub fn answer(&self, id: &str) -> String {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(data), Some(error)) = (&self.data, error.as_object_mut()) {
            error.insert("data".to_owned(), data.clone());
        }
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
    }
}

/// Our name and version.
pub fn server_info() -> Value {
    json!({ "name": "toolctl", "title": "toolctl", "version": env!("CARGO_PKG_VERSION") })
}

/// The result of `initialize`.
pub fn initialize(version: Version, capabilities: &Map<String, Value>, instructions: &str) -> Value {
    json!({
        "protocolVersion": version.word(),
        "capabilities": capabilities,
        "serverInfo": server_info(),
        "instructions": instructions,
    })
}

/// The result of `server/discover`.
pub fn discover(capabilities: &Map<String, Value>, instructions: &str) -> Value {
    let versions: Vec<_> = Version::ALL.iter().map(|version| version.word()).collect();
    json!({
        "resultType": "complete",
        "supportedVersions": versions,
        "capabilities": capabilities,
        "instructions": instructions,
        "ttlMs": DISCOVER_TTL_MS,
        "cacheScope": "private",
        "_meta": { (meta::SERVER_INFO): server_info() },
    })
}

/// For how long the answer to `server/discover` may be kept, in milliseconds.
const DISCOVER_TTL_MS: u64 = 60_000;

/// What toolctl can do, in the words of `version`. The tools are the daemon's; that they may change, and how
/// calls may be named and waited for, is always the same, so that a bridge can say it before there is a daemon.
pub fn capabilities(version: Version) -> Map<String, Value> {
    let mut capabilities = Map::new();
    capabilities.insert("tools".to_owned(), json!({ "listChanged": true }));
    match version {
        Version::V2026_07_28 => {
            let extensions = json!({
                (extension::TASKS): {},
                (extension::IDEMPOTENCY): {
                    "carriers": [meta::IDEMPOTENCY_KEY, "params.idempotencyKey", "Idempotency-Key", "arguments.idempotency_key"],
                },
            });
            capabilities.insert("extensions".to_owned(), extensions);
        }
        Version::V2025_11_25 => {
            let tasks = json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
            capabilities.insert("tasks".to_owned(), tasks);
        }
        Version::V2024_11_05 | Version::V2025_03_26 | Version::V2025_06_18 => {}
    }
    capabilities
}

/// What a model should know before it calls tools here.
pub const INSTRUCTIONS: &str = "Each tool call here passes policy, may wait for a person to approve it, and is recorded. \
    When a result says `approval_pending`, nothing has run yet: call `toolctl_wait` with its `approval_id` instead of repeating the call. \
    To retry a call after an error or a time-out, send the same `idempotency_key`: it will not run twice. \
    When a result says `denied`, read `help` in it: the same call again gets the same answer.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_negotiated() {
        for (asked, settled) in [
            ("2024-11-05", "2024-11-05"),
            ("2025-03-26", "2025-03-26"),
            ("2025-11-25", "2025-11-25"),
            ("2026-07-28", "2025-11-25"),
            ("1999-01-01", "2025-11-25"),
        ] {
            assert_eq!(Version::negotiate(asked).word(), settled, "{asked}");
        }
    }

    #[test]
    fn a_fault_echoes_the_id_as_it_was_sent() {
        assert_eq!(
            Fault::method_not_found("x").answer("\"a\\u0062\""),
            r#"{"jsonrpc":"2.0","id":"a\u0062","error":{"code":-32601,"message":"there is no method `x`"}}"#
        );
    }
}

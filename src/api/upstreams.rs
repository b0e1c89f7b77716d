//! Servers of others on the wire: how they are, what they list, and what people agreed to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::endpoint::Nothing;
use crate::domain::tool::{EffectClass, Risk};
use crate::endpoints;

endpoints! {
    /// List the MCP servers behind the daemon and what they list; for administrators.
    List = Get "/v1/upstreams", "listUpstreams", Nothing => Upstreams;
    /// Agree to definitions of tools as a server lists them now; for administrators.
    Trust = Post "/v1/upstreams/{name}/trust", "trustUpstream", Agree => Agreed;
}

/// Servers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Upstreams {
    /// In the order of their names.
    pub upstreams: Vec<Upstream>,
}

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is being started or connected to.
    Starting,
    /// It answers.
    Up,
    /// It does not.
    Down,
}

impl State {
    /// The word in listings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// A server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Upstream {
    /// Its name; those of its tools begin with it and a dot.
    pub name: String,
    /// Its program and arguments, or its URL.
    pub place: Vec<String>,
    /// How it is.
    pub state: State,
    /// Why it is down, or what else is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its name and version, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The revision of MCP that is spoken with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Its tools, in the order of their names.
    pub tools: Vec<UpstreamTool>,
}

/// Whether a tool of a server is in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pinned {
    /// It is.
    Trusted,
    /// Nobody has agreed to it yet.
    New,
    /// It is not what somebody agreed to.
    Changed,
    /// The server does not list it any more.
    Gone,
    /// It cannot be used at all.
    Unusable,
}

impl Pinned {
    /// The word in listings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::New => "new",
            Self::Changed => "changed",
            Self::Gone => "gone",
            Self::Unusable => "unusable",
        }
    }

    /// Whether it waits for somebody to look at it.
    pub const fn waits(self) -> bool {
        match self {
            Self::New | Self::Changed => true,
            Self::Trusted | Self::Gone | Self::Unusable => false,
        }
    }
}

/// A tool of a server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamTool {
    /// Its name in the catalog.
    pub name: String,
    /// Whether it is there.
    pub state: Pinned,
    /// Why it cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Digest of the definition that the server lists now: what is agreed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// That definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Value>,
    /// The definition that somebody agreed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<Value>,
    /// How its calls are treated, by what the operator declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub treated: Option<Treated>,
    /// Who agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_by: Option<String>,
    /// When; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_at: Option<String>,
}

/// How the calls of a tool are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Treated {
    /// What running it again would do.
    pub effect: EffectClass,
    /// It may destroy something.
    pub destructive: bool,
    /// It reaches beyond this machine.
    pub open_world: bool,
    /// How much harm it could do.
    pub risk: Risk,
}

/// Agrees to definitions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agree {
    /// The server.
    pub name: String,
    /// Digests of what was looked at, `sha256:…`.
    pub digests: Vec<String>,
}

/// What was agreed to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Agreed {
    /// The tools that were agreed to now, by their names in the catalog.
    pub tools: Vec<String>,
}

/// A server in a few words, for the daemon's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: State,
    /// Why it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How many of its tools are in the catalog.
    pub tools: usize,
    /// How many wait for somebody to look at them.
    pub quarantined: usize,
}

impl Upstream {
    /// The same in a few words.
    pub fn summary(&self) -> Summary {
        let count = |wanted: fn(Pinned) -> bool| self.tools.iter().filter(|tool| wanted(tool.state)).count();
        Summary {
            name: self.name.clone(),
            state: self.state,
            problem: self.problem.clone(),
            tools: count(|state| state == Pinned::Trusted),
            quarantined: count(Pinned::waits),
        }
    }
}

//! L3, what an operator may set: `toolctl.toml`, the environment, an `.env` file and flags become one
//! [`Config`]. Nothing is read behind the caller's back: file, environment and flags come in as arguments, so
//! the same input always gives the same result, and every value keeps where it came from.
//!
//! Precedence: flag > environment > file > default. No input at all is a complete set-up.

mod env_file;
mod file;
mod last_start;
pub mod manifest;
mod merge;
pub mod paths;

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::id::{GroupName, ToolName};
use crate::pipeline::opening::Deadlines;
use crate::pipeline::port::Retention;

pub use env_file::read as read_env_file;
pub use last_start::{LastStart, RULES, absolute};
pub use merge::{Flags, Sources};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// `toolctl.toml`.
    File,
    /// A variable of the environment or of an `.env` file.
    Environment(&'static str),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// Everything an operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[limits]`
    pub limits: Limits,
    /// `[approval]`
    pub approval: Approval,
    /// `[mcp]`
    pub mcp: Mcp,
    /// `[retention]`
    pub retention: Kept,
    /// `[store]`
    pub store: Store,
    /// `[tools]`
    pub tools: Tools,
    /// `[local]` and `[[local_user]]`
    pub local: Local,
    /// The environment's own way of set-up, as the original demo server had it.
    pub demo: Demo,
}

/// `[server]`: where it listens and how it stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The socket; none means the usual place.
    pub socket: Setting<Option<PathBuf>>,
    /// TCP; off by default.
    pub listen: Setting<Option<SocketAddr>>,
    /// Whether `listen` may name an address other machines can reach. Default: no.
    pub allow_remote: Setting<bool>,
    /// For how long a stopping daemon lets requests end. Default: 30 s.
    pub drain: Setting<Duration>,
    /// Hosts that requests over TCP may name beside loopback, with or without a port. Default: none.
    pub allowed_hosts: Setting<Vec<String>>,
    /// Connections open at once, 1–1 000 000. Default: 1 024.
    pub most_connections: Setting<usize>,
}

/// `[limits]`: how fast callers may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests per minute and principal in the long run, 1–1 000 000. Default: 600.
    pub rate_per_minute: Setting<u32>,
    /// Requests at once, 1–1 000 000. Default: 100.
    pub burst: Setting<u32>,
    /// Failed attempts to be recognised per minute and peer, 1–1 000 000. Default: 10.
    pub failed_attempts_per_minute: Setting<u32>,
    /// Calls of one principal that may wait for people, 1–10 000. Default: 20.
    pub pending_per_principal: Setting<usize>,
}

/// `[approval]`: deadlines where a rule names none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// How long people have to decide. Default: 1 h.
    pub decide_by: Setting<Duration>,
    /// How long after the approval the call may start. Default: 10 min.
    pub execute_within: Setting<Duration>,
}

impl Approval {
    /// As the pipeline wants it.
    pub const fn deadlines(&self) -> Deadlines {
        Deadlines { decide: self.decide_by.value, execute: self.execute_within.value }
    }
}

/// `[mcp]`: how the Model Context Protocol is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mcp {
    /// For how long a call that waits for people is held before its caller is told so, at most 25 s. Default:
    /// 20 s.
    pub hold: Setting<Duration>,
}

/// `[retention]`: how long results are kept after a call closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Arguments, outputs and reasons. Default: 7 days.
    pub results: Setting<Duration>,
    /// Used idempotency keys, counted from the same moment; longer than `results`. Default: 97 days.
    pub tombstones: Setting<Duration>,
}

impl Kept {
    /// As the store wants it.
    pub const fn retention(&self) -> Retention {
        Retention { bodies: self.results.value, tombstones: self.tombstones.value }
    }
}

/// `[store]`: where and how things are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The folder of store, signing key and pepper; none means the usual place.
    pub data_dir: Setting<Option<PathBuf>>,
}

/// `[tools]`: tools of an operator's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The folder of their files; none means `tools` in the config folder.
    pub folder: Setting<Option<PathBuf>>,
    /// Whether the MCP servers that they declare are started or connected to. Default: yes.
    pub servers: Setting<bool>,
}

/// Who is who on the socket without a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Whether the daemon's own user may approve its own calls. Default: yes; each such approval is marked in
    /// the log.
    pub allow_self_approval: Setting<bool>,
    /// Other users of this machine; everybody else is nobody.
    pub users: Vec<LocalUser>,
}

/// `[[local_user]]`: one more user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// The user, as the kernel says.
    pub uid: u32,
    /// Groups that policies and approval rules speak of; at least one.
    pub groups: Vec<GroupName>,
    /// Whether it may approve its own calls. Default: no.
    pub allow_self_approval: bool,
}

/// What the original demo server took from its environment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Demo {
    /// `API_KEY`: a key for the principal `env`. A secret: `Debug` does not show it.
    pub api_key: Option<String>,
    /// `ALLOWED_TOOLS`: an allowlist on top of policy; none means every tool.
    pub allowed_tools: Option<Vec<ToolName>>,
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.api_key.as_ref().map(|_| "…");
        f.debug_struct("Demo").field("api_key", &key).field("allowed_tools", &self.allowed_tools).finish()
    }
}

impl Config {
    /// Merges everything an operator said.
    ///
    /// # Errors
    /// [`Invalid`] names the place of the first value that will not do.
    pub fn load(sources: &Sources<'_>) -> Result<Self, Invalid> {
        merge::merge(sources)
    }
}

/// A setting that will not do: where it stands, what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Invalid {
    /// Where it stands.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Where a setting stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    Text {
        /// The file.
        file: PathBuf,
        /// Its line, counted from 1.
        line: usize,
        /// The bytes of the value or the key.
        span: Range<usize>,
        /// The whole text, to show the line from.
        text: String,
    },
    /// In a line whose text may be a secret.
    Line {
        /// The file.
        file: PathBuf,
        /// Its line, counted from 1.
        line: usize,
    },
    /// In the environment or among the flags.
    Named(&'static str),
}

impl Place {
    fn in_text(file: &std::path::Path, text: &str, span: Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        Self::Text { file: file.to_owned(), line, span, text: text.to_owned() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { file, line, .. } | Self::Line { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Named(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests;

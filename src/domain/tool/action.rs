//! What runs a tool, as data: it is part of the tool's definition and so of its digest, and whoever approves
//! a call approves this too.

use serde_json::Value;

use super::command::{CommandAction, Variable};
use super::http::{HttpAction, Secrets};
use super::path::{inside, must_stay};
use super::template::{BadArgument, expand};
use super::upstream::UpstreamAction;

/// What runs a tool.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The customer desk, whose data lives in our own store.
    Desk,
    /// A program of this machine.
    Command(Box<CommandAction>),
    /// A request to a server.
    Http(Box<HttpAction>),
    /// A tool of an MCP server.
    Upstream(Box<UpstreamAction>),
}

/// The kind of what runs a tool. Each kind has one executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ToolKind {
    /// [`Action::Desk`].
    Desk,
    /// [`Action::Command`].
    Command,
    /// [`Action::Http`].
    Http,
    /// [`Action::Upstream`].
    Upstream,
}

impl ToolKind {
    /// The word used in listings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Desk => "built in",
            Self::Command => "command",
            Self::Http => "http",
            Self::Upstream => "mcp",
        }
    }
}

impl Action {
    /// Its kind.
    pub const fn kind(&self) -> ToolKind {
        match self {
            Self::Desk => ToolKind::Desk,
            Self::Command(_) => ToolKind::Command,
            Self::Http(_) => ToolKind::Http,
            Self::Upstream(_) => ToolKind::Upstream,
        }
    }

    /// What exactly runs with these arguments, for people: variables, program, arguments, each by itself; or the
    /// request, its headers and its body. Secrets are named, not told. Nothing for what is built in.
    ///
    /// # Errors
    /// An argument that cannot stand where it would.
    pub fn runs(&self, arguments: &Value) -> Result<Vec<String>, BadArgument> {
        let command = match self {
            Self::Desk => return Ok(Vec::new()),
            Self::Http(http) => return Ok(http.request(arguments, Secrets::Named)?.lines()),
            Self::Upstream(upstream) => return Ok(upstream.runs()),
            Self::Command(command) => command,
        };
        for (name, value, root) in inside(&command.paths, arguments) {
            must_stay(name, value, root)?;
        }
        let mut all = Vec::new();
        for (name, variable) in &command.environment {
            all.push(match variable {
                Variable::Text(text) => format!("{name}={}", text.fill(arguments)?),
                Variable::Secret(reference) => format!("{name}=‹secret:{reference}›"),
                Variable::SecretFile(reference) => format!("{name}=‹path of a file with secret:{reference}›"),
            });
        }
        all.push(command.program.path.display().to_string());
        all.extend(expand(&command.arguments, arguments)?);
        Ok(all)
    }

    /// What the digest of a definition says of it beside its kind; none for what is built in.
    pub fn declared(&self) -> Option<Value> {
        match self {
            Self::Desk => None,
            // INVARIANT: every field is text, a number, a list or a map with text as keys.
            Self::Command(command) => Some(serde_json::to_value(command).unwrap_or_default()),
            // INVARIANT: the same, and what stands in JSON already.
            Self::Http(http) => Some(serde_json::to_value(http).unwrap_or_default()),
            Self::Upstream(upstream) => Some(serde_json::to_value(upstream).unwrap_or_default()),
        }
    }
}

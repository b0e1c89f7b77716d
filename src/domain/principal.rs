//! Who is calling: a principal, how it was recognised, and what its credential allows at most.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{GroupName, KeyId, PrincipalId, ToolName};
use super::tool::{EffectClass, Tool};

/// What a principal is. Only a user is a person, and only people approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program that decides for itself what to call.
    Agent,
    /// A program that does what it was written to do.
    Service,
}

impl PrincipalKind {
    /// The word used in ids, policies and listings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for PrincipalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a caller showed to be recognised: a label for the log, never the secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// An API key, by its public handle.
    Key(KeyId),
    /// The uid at the other end of the socket.
    Peer(u32),
    /// The key of `API_KEY` in the daemon's environment.
    Environment,
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key_{id}"),
            Self::Peer(uid) => write!(f, "uid:{uid}"),
            Self::Environment => f.write_str("env"),
        }
    }
}

/// The most a credential allows, whatever policy says. Empty tools mean every tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Scope {
    /// Tool names, `*` standing for any run of characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// The greatest effect class allowed; none means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greatest_effect: Option<EffectClass>,
}

impl Scope {
    /// Whether `tool` is inside this scope.
    pub fn covers(&self, tool: &Tool) -> bool {
        self.covers_name(&tool.name) && self.greatest_effect.is_none_or(|greatest| tool.effect <= greatest)
    }

    /// Whether a tool of this name can be inside this scope.
    pub fn covers_name(&self, name: &ToolName) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|glob| glob_matches(glob, name.as_str()))
    }

    /// Whether everything `other` allows is allowed here too; globs are compared as text, so a narrower
    /// glob must spell out names.
    pub fn contains(&self, other: &Self) -> bool {
        let tools = self.tools.is_empty()
            || (!other.tools.is_empty()
                && other.tools.iter().all(|glob| {
                    self.tools.contains(glob)
                        || self.tools.iter().any(|mine| !glob.contains('*') && glob_matches(mine, glob))
                }));
        let effect = match (self.greatest_effect, other.greatest_effect) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => theirs <= mine,
        };
        tools && effect
    }
}

/// Whether `text` matches `glob`, in which `*` stands for any run of characters. Holders of keys choose globs,
/// so the work is bounded by the product of the two lengths: each piece between two stars is taken at its
/// first place, as a later one can only leave less for the rest.
pub fn glob_matches(glob: &str, text: &str) -> bool {
    let Some((head, rest)) = glob.split_once('*') else { return glob == text };
    let (pieces, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_prefix(head).and_then(|text| text.strip_suffix(tail)) else { return false };
    for piece in pieces.split('*') {
        match text.split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    true
}

/// A recognised caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The stable name that calls, keys and approvals belong to.
    pub id: PrincipalId,
    /// Person, agent or service.
    pub kind: PrincipalKind,
    /// Groups that policies and approval rules speak of.
    pub groups: BTreeSet<GroupName>,
    /// An administrator allowed this principal to approve its own calls; each use is marked in the log.
    pub may_self_approve: bool,
    /// How the caller was recognised this time.
    pub credential: Credential,
    /// The most the credential allows.
    pub scope: Scope,
    /// Principals on whose behalf this one acts (the owners of parent keys), nearest first.
    pub chain: Vec<PrincipalId>,
}

impl Principal {
    /// The group that may manage keys, reload and stop the daemon.
    pub const ADMINISTRATORS: &'static str = "administrators";
    /// The group that the shipped policy asks for approvals.
    pub const APPROVERS: &'static str = "approvers";
    /// People who act through tools.
    pub const OPERATORS: &'static str = "operators";
    /// Programs that act through tools.
    pub const AGENTS: &'static str = "agents";

    /// Whether this principal is in `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|mine| mine.as_str() == group)
    }

    /// Whether this principal may manage keys and the daemon.
    pub fn is_administrator(&self) -> bool {
        self.is_in(Self::ADMINISTRATORS)
    }

    /// Whether this principal is a person.
    pub fn is_human(&self) -> bool {
        self.kind == PrincipalKind::User
    }

    /// Whether `other` is this principal or one it acts for.
    pub fn acts_for(&self, other: &PrincipalId) -> bool {
        self.id == *other || self.chain.contains(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_runs_of_characters() {
        for (glob, text, expected) in [
            ("*", "x", true),
            ("a*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("git.*", "git.log", true),
            ("git.*", "gitlog", false),
            ("", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("ab*bc", "abc", false),
            ("**", "", true),
            ("*é*", "aéb", true),
        ] {
            assert_eq!(glob_matches(glob, text), expected, "{glob} {text}");
        }
        // Trying every place of every star would take longer than the world has been there.
        assert!(!glob_matches(&format!("{}b", "*a".repeat(60)), &"a".repeat(128)));
    }

    #[test]
    fn a_child_scope_never_exceeds_its_parent() {
        let scope = |tools: &[&str], greatest_effect| Scope {
            tools: tools.iter().map(|t| (*t).to_owned()).collect(),
            greatest_effect,
        };
        let parent = scope(&["git.*"], Some(EffectClass::Idempotent));
        assert!(parent.contains(&scope(&["git.log"], Some(EffectClass::ReadOnly))));
        assert!(!parent.contains(&scope(&["*"], Some(EffectClass::ReadOnly))));
        assert!(!parent.contains(&scope(&[], Some(EffectClass::ReadOnly))));
        assert!(!parent.contains(&scope(&["git.log"], None)));
        assert!(Scope::default().contains(&parent));
    }
}

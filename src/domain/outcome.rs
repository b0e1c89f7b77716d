//! How a call ended, and what happened to the world.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::PrincipalId;
use super::json::Canonical;

/// What a call did to the world. Every answer says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Nothing happened.
    None,
    /// It happened.
    Done,
    /// It may have happened.
    Unknown,
}

impl Effect {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Done => "done",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a tool that ran has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The tool said no.
    Failed,
    /// The object the arguments name does not exist.
    NotFound,
    /// It did not end in time.
    Timeout,
    /// Its output is too long or not what it declared.
    OutputInvalid,
}

/// How a call ended. A closed call never changes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The tool ran and this is its output.
    Succeeded {
        /// Canonical bytes, replayed as they are.
        output: Canonical,
    },
    /// The tool ran and failed, definitely.
    Failed {
        /// Why.
        kind: FailureKind,
        /// For the caller.
        message: String,
        /// What the tool printed all the same.
        output: Option<Canonical>,
        /// What happened to the world.
        effect: Effect,
    },
    /// A person said no; nothing ran.
    Rejected {
        /// Who.
        by: PrincipalId,
        /// In the person's words.
        reason: Option<String>,
    },
    /// Nobody decided, or the approved call did not start, in time; nothing ran.
    Expired,
    /// Taken back before it started; nothing ran.
    Cancelled {
        /// Who.
        by: PrincipalId,
    },
    /// What was approved is not what would run now; nothing ran.
    Stale {
        /// What changed.
        changed: String,
    },
    /// A person looked and said how an uncertain call ended.
    Settled {
        /// Who.
        by: PrincipalId,
        /// Whether it happened.
        happened: bool,
        /// In the person's words.
        note: Option<String>,
    },
}

impl Outcome {
    /// What happened to the world, given that the tool `has_effect` at all.
    pub fn effect(&self, has_effect: bool) -> Effect {
        match self {
            Self::Succeeded { .. } if has_effect => Effect::Done,
            Self::Succeeded { .. } => Effect::None,
            Self::Failed { effect, .. } => *effect,
            Self::Rejected { .. } | Self::Expired | Self::Cancelled { .. } | Self::Stale { .. } => Effect::None,
            Self::Settled { happened: true, .. } => Effect::Done,
            Self::Settled { happened: false, .. } => Effect::None,
        }
    }

    /// The word for listings and the log.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } | Self::Settled { happened: true, .. } => "succeeded",
            Self::Failed { .. } | Self::Settled { happened: false, .. } => "failed",
            Self::Rejected { .. } => "rejected",
            Self::Expired => "expired",
            Self::Cancelled { .. } => "cancelled",
            Self::Stale { .. } => "stale",
        }
    }

    /// The output, if there is one.
    pub const fn output(&self) -> Option<&Canonical> {
        match self {
            Self::Succeeded { output } => Some(output),
            Self::Failed { output, .. } => output.as_ref(),
            Self::Rejected { .. }
            | Self::Expired
            | Self::Cancelled { .. }
            | Self::Stale { .. }
            | Self::Settled { .. } => None,
        }
    }
}

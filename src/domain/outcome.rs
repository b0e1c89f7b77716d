//! How a call ended, and what happened to the world.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::PrincipalId;
use super::json::Canonical;
use super::tool::EffectClass;

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
    /// It may not be sent to where it would have gone, so nothing was sent.
    EgressForbidden,
}

/// What an executor says of a run, and what the log shall say of how it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub ending: Ending,
    /// For the record of the end: how the run was kept in, for example. Never what a caller sent.
    pub facts: Vec<(&'static str, String)>,
}

/// How a run ended, as far as its executor can know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It is known.
    Known(Outcome),
    /// Nobody knows whether it happened, and it must not happen again.
    InDoubt {
        /// Why nobody knows.
        why: String,
    },
}

impl Ending {
    /// The end of a run that was cut off, by what its tool declared: what only reads has done nothing, what may
    /// be repeated has failed and may be sent again, and of everything else nobody knows.
    pub fn cut_off(effect: EffectClass, kind: FailureKind, message: String) -> Self {
        let failed = |effect| Self::Known(Outcome::Failed { kind, message: message.clone(), output: None, effect });
        match effect {
            EffectClass::ReadOnly => failed(Effect::None),
            EffectClass::Idempotent => failed(Effect::Unknown),
            EffectClass::Keyed | EffectClass::Once => Self::InDoubt { why: message },
        }
    }

    /// The outcome of a tool that only reads: of that there is no doubt.
    pub fn of_read(self) -> Outcome {
        match self {
            Self::Known(outcome) => outcome,
            Self::InDoubt { why } => {
                Outcome::Failed { kind: FailureKind::Failed, message: why, output: None, effect: Effect::None }
            }
        }
    }
}

impl From<Outcome> for Ran {
    fn from(outcome: Outcome) -> Self {
        Self { ending: Ending::Known(outcome), facts: Vec::new() }
    }
}

impl From<Ending> for Ran {
    fn from(ending: Ending) -> Self {
        Self { ending, facts: Vec::new() }
    }
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

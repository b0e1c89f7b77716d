//! A run of a workflow, as far as it must outlive whoever drives it: what was to be done when it began, and how it
//! ended. What happened between is in its calls, whose keys start with the run.

use serde::{Deserialize, Serialize};

use super::id::{PrincipalId, RunId};
use super::json::Canonical;
use super::principal::Credential;
use super::time::Timestamp;

/// A run. It is told apart by its principal and id, as keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Whose it is.
    pub principal: PrincipalId,
    /// Its id.
    pub id: RunId,
    /// Name of the workflow.
    pub workflow: String,
    /// What was to be done when it began: for whoever drives it to compare with, never run by the daemon.
    pub plan: Canonical,
    /// When it began.
    pub began_at: Timestamp,
    /// How it ended, once it has.
    pub end: Option<RunEnd>,
    /// It was left to the daemon, which has not done all there is to do for it.
    pub detached: Option<Detached>,
}

/// That a run was left to the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    /// What whoever left it had shown: the run acts with it, for as long as it is good.
    pub credential: Credential,
    /// When.
    pub at: Timestamp,
}

/// How a run ended. The first word counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// In a word.
    pub verdict: RunVerdict,
    /// What its driver needs to know of it when it is started again.
    pub detail: Canonical,
    /// When.
    pub at: Timestamp,
}

/// How a run ended, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunVerdict {
    /// Everything was done.
    Succeeded,
    /// A step failed.
    Failed,
    /// It was taken back.
    Cancelled,
}

impl Run {
    /// Notes how it ended. A run that failed stays with the daemon it was left to: what is to be done about the
    /// failure comes after this word.
    pub fn finish(&mut self, end: RunEnd) {
        self.detached = self.detached.take().filter(|_| end.verdict == RunVerdict::Failed);
        self.end = Some(end);
    }

    /// Whether there may be something left to do: it has not ended, or it failed, and steps follow a failure.
    pub fn may_go_on(&self) -> bool {
        self.end.as_ref().is_none_or(|end| end.verdict == RunVerdict::Failed)
    }
}

impl RunVerdict {
    /// The word on the wire and in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

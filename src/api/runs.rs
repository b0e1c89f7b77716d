//! Runs of workflows on the wire: `/v1/runs`. The daemon knows no steps; it remembers what a run was when it began and
//! how it ended, so that whoever goes on with it can tell whether it is still the same. A run can be left to it: then it
//! starts what drives the run, and starts that again until there is nothing left to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::endpoint::number;
use crate::domain::run::RunVerdict;
use crate::endpoints;

endpoints! {
    /// Begin a run of a workflow, or find the one that has begun under this id.
    Begin = Post "/v1/runs", "beginRun", NewRun => Run;
    /// List runs, newest first.
    List = Get "/v1/runs", "listRuns", ListRuns => Runs;
    /// Show one of your runs.
    Show = Get "/v1/runs/{run}", "showRun", RunRef => Run;
    /// Leave one of your runs to the daemon, which drives it as you until it is over.
    Detach = Post "/v1/runs/{run}/detach", "detachRun", RunRef => Run;
    /// Say how one of your runs ended; the first word counts.
    End = Post "/v1/runs/{run}/end", "endRun", EndRun => Run;
}

/// A run to be begun.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// Its id: 1–100 letters, digits and `_-.+`. The keys of its calls start with it and a slash.
    pub run: String,
    /// Name of the workflow.
    pub workflow: String,
    /// What is to be done, an object: kept as it is and given back to whoever goes on with the run.
    pub plan: Value,
}

/// Names a run of yours.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunRef {
    /// Its id.
    pub run: String,
}

/// How a run ended.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndRun {
    /// Its id.
    pub run: String,
    /// In a word.
    pub verdict: RunVerdict,
    /// What must be known of it when it is started again, an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListRuns {
    /// Only of this principal; those who may see everybody's calls may ask for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// How many at most: 1–1000, default 50.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Runs {
    /// Newest first, without their plans.
    pub runs: Vec<Run>,
}

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Its id.
    pub run: String,
    /// Whose it is.
    pub principal: String,
    /// Name of the workflow.
    pub workflow: String,
    /// `open`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// What was to be done when it began; not in lists, nor where it has just been said or no longer matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Value>,
    /// What must be known of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
    /// What drives it, while it is left to the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<Runner>,
    /// Calls that it has in common with other requests; only where one run is looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<Attached>,
    /// This request began it, left it to the daemon, or ended it.
    pub changed: bool,
    /// When it began; RFC 3339.
    pub began_at: String,
    /// When it ended; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// A key that stands for a call which was made with another one, as the same request waited for people already. One of
/// the two is a key of the run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Attached {
    /// The key.
    pub key: String,
    /// The one that the call was made with.
    pub opened_by: String,
    /// The call.
    pub call: String,
}

/// What drives a run that was left to the daemon.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Runner {
    /// In a word.
    pub state: RunnerState,
    /// Why it rests or has stopped: what it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Since when it works; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it is started again; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What it acts with: that of whoever left the run.
    pub credential: String,
}

/// What drives a run, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunnerState {
    /// It is about to start.
    Starting,
    /// It is at work.
    Running,
    /// It is at work, and a call of the run waits for people.
    Waiting,
    /// It could not go on, and is started again later.
    Resting,
    /// It is not started again by itself: what it acted with is no longer good.
    Stopped,
}

impl RunnerState {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Resting => "resting",
            Self::Stopped => "stopped",
        }
    }
}

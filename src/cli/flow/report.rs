//! What a run has come to: for people, for programs, and the exit status.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::caller::Ended;
use super::definition::{Section, Step};
use crate::api::calls::Call;
use crate::cli::error::{CliError, Exit};

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Everything was done.
    Succeeded,
    /// A step failed.
    Failed,
    /// It can go on later.
    Open,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not looked at.
    NotBegun,
    /// Done.
    Succeeded,
    /// It failed.
    Failed,
    /// Its condition did not hold.
    Skipped,
    /// What it needs did not succeed.
    Stopped,
    /// It waits for people, or nobody knows: it can go on later.
    Open,
}

/// A call of a step.
#[derive(Debug, Clone, Serialize)]
pub struct CallNote {
    /// Place of its item in the list.
    pub item: usize,
    /// Its key.
    pub key: String,
    /// Its id, if it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Its state in the daemon's word; `refused` when it was not taken.
    pub state: String,
    /// It was answered from the record: an earlier start of the run made it.
    pub replayed: bool,
    /// Number of its approval, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<u64>,
}

/// What a step has come to.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// Its id.
    pub id: String,
    /// Its section.
    pub section: Section,
    /// Its tool.
    pub tool: String,
    /// How it stands.
    pub state: StepState,
    /// What it gave: for a list, one value for each item.
    pub output: Arc<Value>,
    /// Why it did not succeed.
    pub error: Option<CliError>,
    /// Why it was not begun.
    pub because: Option<String>,
    /// Its calls.
    pub calls: Vec<CallNote>,
}

/// What a run has come to.
#[derive(Debug, Clone)]
pub struct Report {
    /// How it stands.
    pub state: RunState,
    /// Why it did not succeed, when that is not the word of a step that is open.
    pub error: Option<CliError>,
    /// What it gives.
    pub outputs: Value,
    /// Its steps, in the order of the file.
    pub steps: Vec<StepReport>,
}

impl StepState {
    /// The word on the wire and in expressions.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotBegun => "not_begun",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Stopped => "stopped",
            Self::Open => "open",
        }
    }

    /// The end of a sentence that starts with the step.
    pub const fn told(self) -> &'static str {
        match self {
            Self::NotBegun => "was not begun",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "was skipped",
            Self::Stopped => "was stopped",
            Self::Open => "has not ended",
        }
    }

    /// Whether it can never stand otherwise in this run.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Stopped)
    }
}

impl CallNote {
    /// What is noted of a call.
    pub fn of(item: usize, key: String, ended: &Ended) -> Self {
        let call = match ended {
            Ended::Done(call) => Some(call),
            Ended::Failed(_, call) | Ended::Open(_, call) => call.as_ref(),
        };
        let waits = |call: &&Call| call.state == "awaiting_approval";
        Self {
            item,
            key,
            call: call.map(|call| call.id.clone()),
            state: call.map_or_else(|| "refused".to_owned(), |call| call.state.clone()),
            replayed: call.is_some_and(|call| call.replayed),
            approval: call.filter(waits).and_then(|call| call.approval.as_ref()).map(|approval| approval.number),
        }
    }
}

impl StepReport {
    /// Whether it stands like this however often the run is started: the record says so, or its expressions do.
    pub fn is_final(&self) -> bool {
        let is_recorded = |call: &CallNote| !matches!(call.state.as_str(), "succeeded" | "refused");
        let is_ours = self.error.as_ref().is_some_and(|error| error.code == "expression-failed");
        self.state == StepState::Failed && (is_ours || self.calls.iter().any(is_recorded))
    }

    /// What a later start must know, so that it need not look at the step again.
    pub fn remembered(&self) -> Value {
        let error = self
            .error
            .as_ref()
            .map(|error| json!({"code": error.code, "exit": error.exit.status(), "message": error.message}));
        json!({"state": self.state, "error": error, "because": self.because})
    }

    /// A step as an earlier start of the run left it.
    pub fn settled(step: &Step, known: &Value) -> Option<Self> {
        let state = match known.get("state")?.as_str()? {
            "failed" => StepState::Failed,
            "stopped" => StepState::Stopped,
            _ => return None,
        };
        let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
        let error = known.get("error").filter(|error| error.is_object()).map(|error| {
            let exit = error.get("exit").and_then(Value::as_u64).and_then(Exit::of_status).unwrap_or(Exit::Failure);
            let code = text(error, "code").unwrap_or_default();
            CliError::new(exit, &code, text(error, "message").unwrap_or_default())
        });
        Some(Self { state, error, because: text(known, "because"), ..Self::of(step) })
    }

    /// A step that was not looked at.
    pub fn of(step: &Step) -> Self {
        Self {
            id: step.id.clone(),
            section: step.section,
            tool: step.tool.clone(),
            state: StepState::NotBegun,
            output: Arc::default(),
            error: None,
            because: None,
            calls: Vec::new(),
        }
    }

    /// The form for programs.
    pub fn document(&self) -> Value {
        let mut step = Map::new();
        step.insert("id".into(), json!(self.id));
        step.insert("tool".into(), json!(self.tool));
        step.insert("state".into(), json!(self.state));
        if self.section != Section::Step {
            step.insert("section".into(), json!(self.section));
        }
        if !self.calls.is_empty() {
            step.insert("calls".into(), json!(self.calls));
        }
        if !self.output.is_null() {
            step.insert("output".into(), (*self.output).clone());
        }
        if let Some(error) = &self.error {
            step.insert("error".into(), error.for_programs().get("error").cloned().unwrap_or_default());
        }
        if let Some(because) = &self.because {
            step.insert("because".into(), json!(because));
        }
        Value::Object(step)
    }
}

impl Report {
    /// The form for programs.
    pub fn document(&self, run: &str, workflow: &str) -> Value {
        json!({
            "run": run,
            "workflow": workflow,
            "state": self.state,
            "outputs": self.outputs,
            "steps": self.steps.iter().map(StepReport::document).collect::<Vec<_>>(),
        })
    }

    /// The error of a run that did not succeed; of one that can go on, with the command that does.
    pub fn verdict(&self, run: &str, go_on: &str) -> Result<(), CliError> {
        match (self.state, &self.error) {
            (RunState::Succeeded, _) => Ok(()),
            (RunState::Failed, Some(error)) => Err(error.clone()),
            (RunState::Open, Some(error)) => Err(error.clone().attempt(go_on)),
            (RunState::Failed | RunState::Open, None) => {
                // What is worse than waiting for people is said first.
                let open = self.steps.iter().filter(|step| step.state == StepState::Open);
                let mut steps: Vec<_> = open.filter_map(|step| Some((step, step.error.clone()?))).collect();
                steps.sort_by_key(|(_, error)| error.exit == Exit::Pending);
                let Some((step, mut error)) = steps.into_iter().next() else {
                    return Err(CliError::new(Exit::Failure, "internal", format!("run `{run}` stopped")).attempt(go_on));
                };
                error.message = format!("run `{run}` stopped at `{}`: {}", step.id, error.message);
                error.tries.retain(|command| !command.starts_with("toolctl wait"));
                Err(error.attempt(go_on))
            }
        }
    }
}

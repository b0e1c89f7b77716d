//! `/v1/runs`: what a run of a workflow was when it began, who drives it, and how it ended.

use serde_json::{Map, Value};

use crate::api;
use crate::api::runs::{Begin, Detach, EndRun, ListRuns, NewRun, RunRef, RunnerState, Runs};
use crate::domain::denial::Denial;
use crate::domain::id::RunId;
use crate::pipeline::port::{Attachment, Standing};
use crate::pipeline::submission::Answer;
use crate::pipeline::{RunView, Runner};

use super::decode::malformed;
use super::route::{Route, on};
use super::visit::Visit;
use super::{no, page};

async fn begin(visit: Visit, request: NewRun) -> Answer<api::runs::Run> {
    let id = match id(&request.run) {
        Ok(id) => id,
        Err(denial) => return no(denial),
    };
    let answer = visit.door.pipeline.begin_run(visit.presented, id, request.workflow, request.plan).await;
    // Who has just said what is to be done knows it.
    answer.map(|(view, changed)| wire(&view, if changed { Depth::Outline } else { Depth::Whole }, changed))
}

async fn list(visit: Visit, request: ListRuns) -> Answer<Runs> {
    let limit = match page::limit(request.limit) {
        Ok(limit) => limit,
        Err(denial) => return no(denial),
    };
    let of = match page::parse("principal", request.principal.as_deref()) {
        Ok(of) => of,
        Err(denial) => return no(denial),
    };
    let answer = visit.door.pipeline.runs(visit.presented, of, limit).await;
    answer.map(|views| Runs { runs: views.iter().map(|view| wire(view, Depth::Outline, false)).collect() })
}

async fn show(visit: Visit, request: RunRef) -> Answer<api::runs::Run> {
    match id(&request.run) {
        Ok(id) => visit.door.pipeline.show_run(visit.presented, id).await.map(|view| wire(&view, Depth::Whole, false)),
        Err(denial) => no(denial),
    }
}

async fn detach(visit: Visit, request: RunRef) -> Answer<api::runs::Run> {
    match id(&request.run) {
        Ok(id) => {
            let answer = visit.door.pipeline.detach_run(visit.presented, id).await;
            answer.map(|(view, changed)| wire(&view, Depth::Outline, changed))
        }
        Err(denial) => no(denial),
    }
}

async fn end(visit: Visit, request: EndRun) -> Answer<api::runs::Run> {
    let id = match id(&request.run) {
        Ok(id) => id,
        Err(denial) => return no(denial),
    };
    let detail = request.detail.unwrap_or_else(|| Value::Object(Map::new()));
    let answer = visit.door.pipeline.end_run(visit.presented, id, request.verdict, detail).await;
    answer.map(|(view, changed)| wire(&view, Depth::End, changed))
}

fn id(text: &str) -> Result<RunId, Denial> {
    text.parse().map_err(|error| malformed(format!("`run`: {error}")))
}

/// How much is told of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// How it stands.
    Outline,
    /// Also what must be known of its end.
    End,
    /// Also what was to be done.
    Whole,
}

/// A run as the wire carries it.
fn wire(view: &RunView, depth: Depth, changed: bool) -> api::runs::Run {
    let run = &view.run;
    let credential = run.detached.as_ref().map(|detached| detached.credential.to_string()).unwrap_or_default();
    api::runs::Run {
        run: run.id.to_string(),
        principal: run.principal.to_string(),
        workflow: run.workflow.clone(),
        state: run.end.as_ref().map_or("open", |end| end.verdict.word()).to_owned(),
        plan: (depth == Depth::Whole).then(|| run.plan.value()),
        detail: run.end.as_ref().filter(|_| depth != Depth::Outline).map(|end| end.detail.value()),
        attached: view.attached.iter().map(wire_attached).collect(),
        runner: view.runner.as_ref().map(|runner| wire_runner(runner, credential)),
        changed,
        began_at: run.began_at.to_string(),
        ended_at: run.end.as_ref().map(|end| end.at.to_string()),
    }
}

fn wire_attached(attached: &Attachment) -> api::runs::Attached {
    api::runs::Attached {
        key: attached.key.to_string(),
        opened_by: attached.opener.to_string(),
        call: attached.call.to_string(),
    }
}

fn wire_runner(runner: &Runner, credential: String) -> api::runs::Runner {
    let (state, why, since, until) = match &runner.standing {
        None => (RunnerState::Starting, None, None, None),
        Some(Standing::Running { since }) => {
            let state = if runner.waits { RunnerState::Waiting } else { RunnerState::Running };
            (state, None, Some(since.to_string()), None)
        }
        Some(Standing::Resting { why, until }) => {
            (RunnerState::Resting, Some(why.clone()), None, Some(until.to_string()))
        }
        Some(Standing::Stopped { why }) => (RunnerState::Stopped, Some(why.clone()), None, None),
    };
    api::runs::Runner { state, why, since, until, credential }
}

/// Operations on runs.
pub fn routes() -> Vec<Route> {
    vec![
        on::<Begin, _>(begin),
        on::<api::runs::List, _>(list),
        on::<api::runs::Show, _>(show),
        on::<Detach, _>(detach),
        on::<api::runs::End, _>(end),
    ]
}

//! `/v1/runs`: what a run of a workflow was when it began, and how it ended.

use serde_json::{Map, Value};

use crate::api;
use crate::api::runs::{Begin, EndRun, ListRuns, NewRun, RunRef, Runs};
use crate::domain::denial::Denial;
use crate::domain::id::RunId;
use crate::domain::run::Run;
use crate::pipeline::submission::Answer;

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
    answer.map(|(run, changed)| wire(&run, true, changed))
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
    answer.map(|runs| Runs { runs: runs.iter().map(|run| wire(run, false, false)).collect() })
}

async fn show(visit: Visit, request: RunRef) -> Answer<api::runs::Run> {
    match id(&request.run) {
        Ok(id) => visit.door.pipeline.show_run(visit.presented, id).await.map(|run| wire(&run, true, false)),
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
    answer.map(|(run, changed)| wire(&run, true, changed))
}

fn id(text: &str) -> Result<RunId, Denial> {
    text.parse().map_err(|error| malformed(format!("`run`: {error}")))
}

/// A run as the wire carries it; `whole` with what was to be done.
fn wire(run: &Run, whole: bool, changed: bool) -> api::runs::Run {
    api::runs::Run {
        run: run.id.to_string(),
        principal: run.principal.to_string(),
        workflow: run.workflow.clone(),
        state: run.end.as_ref().map_or("open", |end| end.verdict.word()).to_owned(),
        plan: whole.then(|| run.plan.value()),
        detail: run.end.as_ref().filter(|_| whole).map(|end| end.detail.value()),
        changed,
        began_at: run.began_at.to_string(),
        ended_at: run.end.as_ref().map(|end| end.at.to_string()),
    }
}

/// Operations on runs.
pub fn routes() -> Vec<Route> {
    vec![
        on::<Begin, _>(begin),
        on::<api::runs::List, _>(list),
        on::<api::runs::Show, _>(show),
        on::<api::runs::End, _>(end),
    ]
}

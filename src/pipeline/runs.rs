//! Runs of workflows, as far as the daemon knows them: it remembers what a run was when it began, so that nobody goes
//! on with another one under the same id, and how it ended. A run grants nothing: each of its calls takes the one path.

use serde_json::Value;

use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::{PrincipalId, RunId};
use crate::domain::json::Canonical;
use crate::domain::principal::Principal;
use crate::domain::run::{Run, RunEnd, RunVerdict};

use super::port::Presented;
use super::submission::Answer;
use super::{Pipeline, unavailable};

/// The longest name of a workflow, in bytes.
const LONGEST_NAME: usize = 64;
/// The longest plan, and what must be known of an end, in bytes.
const LONGEST_PLAN: usize = 1 << 20;

impl Pipeline {
    /// Begins a run, or finds the one of this caller and id; says whether it is new.
    pub async fn begin_run(
        &self,
        presented: Presented,
        id: RunId,
        workflow: String,
        plan: Value,
    ) -> Answer<(Run, bool)> {
        self.looking(&presented, async |principal| {
            let now = self.ports.clock.now();
            if workflow.is_empty() || workflow.len() > LONGEST_NAME {
                return Err(malformed(format!("`workflow` must have 1 to {LONGEST_NAME} bytes")));
            }
            let plan = document("plan", &plan)?;
            let record = record(RecordType::RunBegun, &principal, &id, now).detail("workflow", workflow.clone());
            let run = Run { principal: principal.id, id, workflow, plan, began_at: now, end: None };
            self.ports.runs.begin_run(run, record).await.map_err(|why| unavailable(&why))
        })
        .await
    }

    /// Says how a run of this caller ended; says whether that was news.
    pub async fn end_run(
        &self,
        presented: Presented,
        id: RunId,
        verdict: RunVerdict,
        detail: Value,
    ) -> Answer<(Run, bool)> {
        self.looking(&presented, async |principal| {
            let now = self.ports.clock.now();
            let end = RunEnd { verdict, detail: document("detail", &detail)?, at: now };
            let record = record(RecordType::RunEnded, &principal, &id, now).detail("verdict", verdict.word());
            let ended = self.ports.runs.end_run(principal.id, id.clone(), end, record).await;
            ended.map_err(|why| unavailable(&why))?.ok_or_else(|| no_run(&id))
        })
        .await
    }

    /// A run of this caller.
    pub async fn show_run(&self, presented: Presented, id: RunId) -> Answer<Run> {
        self.looking(&presented, async |principal| {
            let found = self.ports.runs.find_run(&principal.id, &id).await.map_err(|why| unavailable(&why))?;
            found.ok_or_else(|| no_run(&id))
        })
        .await
    }

    /// Runs the caller may see, newest first.
    pub async fn runs(&self, presented: Presented, of: Option<PrincipalId>, limit: usize) -> Answer<Vec<Run>> {
        self.looking(&presented, async |principal| {
            let of = match of {
                Some(other) if other != principal.id && !super::read::sees_all(&principal) => return Ok(Vec::new()),
                Some(other) => other,
                None => principal.id,
            };
            self.ports.runs.runs(Some(of), limit).await.map_err(|why| unavailable(&why))
        })
        .await
    }
}

fn record(kind: RecordType, principal: &Principal, run: &RunId, now: crate::domain::time::Timestamp) -> AuditRecord {
    let mut record = AuditRecord::new(kind, now).detail("run", run.as_str());
    record.actor = Some(principal.id.clone());
    record.credential = Some(principal.credential.to_string());
    record
}

/// An object of bearable size, in canonical form.
fn document(name: &str, value: &Value) -> Result<Canonical, Denial> {
    if !value.is_object() {
        return Err(malformed(format!("`{name}` must be an object")));
    }
    let text = Canonical::of(value);
    if text.as_str().len() > LONGEST_PLAN {
        return Err(malformed(format!("`{name}` has more than {LONGEST_PLAN} bytes")));
    }
    Ok(text)
}

fn malformed(detail: String) -> Denial {
    Denial::new(Stage::Arguments, Code::RequestMalformed, detail)
}

fn no_run(id: &RunId) -> Denial {
    Denial::new(Stage::Catalog, Code::NotFound, format!("you have no run `{id}`"))
        .hint("`toolctl runs list` shows those that are remembered")
}

//! Runs of workflows, as far as the daemon knows them: it remembers what a run was when it began, so that nobody goes
//! on with another one under the same id, and how it ended. A run grants nothing: each of its calls takes the one path.
//! A run can be left to the daemon, which then sees to it that something drives it.

use serde_json::Value;

use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::call::Call;
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::{PrincipalId, RunId};
use crate::domain::json::Canonical;
use crate::domain::principal::Principal;
use crate::domain::run::{Detached, Run, RunEnd, RunVerdict};
use crate::domain::time::Timestamp;

use super::port::{Attachment, Presented, Standing, Unavailable};
use super::submission::Answer;
use super::{Pipeline, unavailable};

/// The longest name of a workflow, in bytes.
const LONGEST_NAME: usize = 64;
/// The longest plan, and what must be known of an end, in bytes.
const LONGEST_PLAN: usize = 1 << 20;
/// The most runs that are left to one daemon at once: each is a process.
pub const MOST_DETACHED: usize = 64;
/// The most of them that one principal has left to it.
pub const MOST_DETACHED_EACH: usize = 32;
/// The most waiting calls that are looked at to say which runs wait.
const MOST_WAITING: usize = 10_000;

/// A run, and what drives it.
#[derive(Debug, Clone)]
pub struct RunView {
    /// The run.
    pub run: Run,
    /// What drives it; none unless it was left to the daemon, which is not done with it.
    pub runner: Option<Runner>,
    /// Calls that it has in common with other keys; only where one run is looked at.
    pub attached: Vec<Attachment>,
}

/// What drives a run.
#[derive(Debug, Clone)]
pub struct Runner {
    /// How it stands; none when it is about to start.
    pub standing: Option<Standing>,
    /// It is at work, and a call of the run waits for people.
    pub waits: bool,
}

impl Pipeline {
    /// Begins a run, or finds the one of this caller and id; says whether it is new.
    pub async fn begin_run(
        &self,
        presented: Presented,
        id: RunId,
        workflow: String,
        plan: Value,
    ) -> Answer<(RunView, bool)> {
        self.looking(&presented, async |principal| {
            let now = self.ports.clock.now();
            if workflow.is_empty() || workflow.len() > LONGEST_NAME {
                return Err(malformed(format!("`workflow` must have 1 to {LONGEST_NAME} bytes")));
            }
            let plan = document("plan", &plan)?;
            let record = record(RecordType::RunBegun, &principal, &id, now).detail("workflow", workflow.clone());
            let run = Run { principal: principal.id, id, workflow, plan, began_at: now, end: None, detached: None };
            let (run, is_new) = self.ports.runs.begin_run(run, record).await.map_err(|why| unavailable(&why))?;
            Ok((self.view_run(run).await?, is_new))
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
    ) -> Answer<(RunView, bool)> {
        self.looking(&presented, async |principal| {
            let now = self.ports.clock.now();
            let end = RunEnd { verdict, detail: document("detail", &detail)?, at: now };
            let record = record(RecordType::RunEnded, &principal, &id, now).detail("verdict", verdict.word());
            let ended = self.ports.runs.end_run(principal.id.clone(), id.clone(), end, record).await;
            let (run, is_news) = ended.map_err(|why| unavailable(&why))?.ok_or_else(|| no_run(&id))?;
            if is_news && verdict == RunVerdict::Cancelled {
                self.ports.runners.let_go(&principal.id, &id);
            }
            Ok((self.view_whole(run).await?, is_news))
        })
        .await
    }

    /// Leaves a run of this caller to the daemon: something drives it from here on, as this caller and for as long as
    /// what the caller showed is good, across restarts, until there is nothing left to do. Says whether that was
    /// news; when it was not, a pause of what drives it is over.
    pub async fn detach_run(&self, presented: Presented, id: RunId) -> Answer<(RunView, bool)> {
        self.looking(&presented, async |principal| {
            let _one_at_a_time = self.detaching.lock().await;
            let now = self.ports.clock.now();
            let all = self.ports.runs.detached().await.map_err(|why| unavailable(&why))?;
            // What nobody stands for any more is not driven.
            let is_good = |left: &Detached| self.ports.authn.recall(&left.credential, now).is_some();
            let driven = all.iter().filter(|run| run.detached.as_ref().is_some_and(is_good));
            let of_others = driven.filter(|run| run.principal != principal.id || run.id != id);
            let (mut others, mut own) = (0, 0);
            for run in of_others {
                others += 1;
                own += usize::from(run.principal == principal.id);
            }
            if others >= MOST_DETACHED || own >= MOST_DETACHED_EACH {
                return Err(too_many(others, own));
            }
            let detached = Detached { credential: principal.credential.clone(), at: now };
            let record = record(RecordType::RunDetached, &principal, &id, now);
            let left = self.ports.runs.detach_run(principal.id.clone(), id.clone(), detached, record).await;
            let (run, is_news) = left.map_err(|why| unavailable(&why))?.ok_or_else(|| no_run(&id))?;
            let Some(detached) = &run.detached else { return Err(is_over(&run)) };
            self.ports.runners.drive(&principal.id, &id, &detached.credential);
            Ok((self.view_run(run).await?, is_news))
        })
        .await
    }

    /// A run of this caller.
    pub async fn show_run(&self, presented: Presented, id: RunId) -> Answer<RunView> {
        self.looking(&presented, async |principal| {
            let found = self.ports.runs.find_run(&principal.id, &id).await.map_err(|why| unavailable(&why))?;
            self.view_whole(found.ok_or_else(|| no_run(&id))?).await
        })
        .await
    }

    /// Runs the caller may see, newest first.
    pub async fn runs(&self, presented: Presented, of: Option<PrincipalId>, limit: usize) -> Answer<Vec<RunView>> {
        self.looking(&presented, async |principal| {
            let of = match of {
                Some(other) if other != principal.id && !super::read::sees_all(&principal) => return Ok(Vec::new()),
                Some(other) => other,
                None => principal.id,
            };
            let runs = self.ports.runs.runs(Some(of), limit).await.map_err(|why| unavailable(&why))?;
            self.view_runs(runs).await
        })
        .await
    }

    /// Goes on with every run that was left to an earlier daemon; gives how many there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn resume_runs(&self) -> Result<usize, Unavailable> {
        let left = self.ports.runs.detached().await?;
        for run in &left {
            if let Some(detached) = &run.detached {
                self.ports.runners.drive(&run.principal, &run.id, &detached.credential);
            }
        }
        Ok(left.len())
    }

    /// Ends what drives runs: the daemon is stopping, and the next one goes on with them.
    pub async fn let_runs_go(&self) {
        self.ports.runners.close().await;
    }

    async fn view_run(&self, run: Run) -> Result<RunView, Denial> {
        if run.detached.is_none() {
            return Ok(RunView { run, runner: None, attached: Vec::new() });
        }
        let mut views = self.view_runs(vec![run.clone()]).await?;
        Ok(views.pop().unwrap_or(RunView { run, runner: None, attached: Vec::new() }))
    }

    /// A run with the calls that it has in common with other keys.
    async fn view_whole(&self, run: Run) -> Result<RunView, Denial> {
        let attached = self.attachments(&run).await?;
        Ok(RunView { attached, ..self.view_run(run).await? })
    }

    async fn attachments(&self, run: &Run) -> Result<Vec<Attachment>, Denial> {
        self.ports.ledger.attachments(&run.principal, &run.id).await.map_err(|why| unavailable(&why))
    }

    /// Adds what drives them.
    async fn view_runs(&self, runs: Vec<Run>) -> Result<Vec<RunView>, Denial> {
        let any = runs.iter().any(|run| run.detached.is_some());
        let waiting = if any {
            self.ports.ledger.pending(0, MOST_WAITING).await.map_err(|why| unavailable(&why))?
        } else {
            Vec::new()
        };
        let mut views = Vec::with_capacity(runs.len());
        for run in runs {
            let runner = match &run.detached {
                Some(_) => Some(self.view_runner(&run, &waiting).await?),
                None => None,
            };
            views.push(RunView { run, runner, attached: Vec::new() });
        }
        Ok(views)
    }

    /// What drives a run, and whether a call that the run made, or that its key stands for, is among those that wait.
    async fn view_runner(&self, run: &Run, waiting: &[Call]) -> Result<Runner, Denial> {
        let standing = self.ports.runners.standing(&run.principal, &run.id);
        let mut waits = false;
        if matches!(standing, Some(Standing::Running { .. })) {
            let is_own = |call: &Call| call.principal == run.principal;
            waits = waiting.iter().any(|call| is_own(call) && run.id.has(call.key.as_str()));
            if !waits && waiting.iter().any(is_own) {
                let attached = self.attachments(run).await?;
                let stands = |call: &Call| attached.iter().any(|it| it.call == call.id && run.id.has(it.key.as_str()));
                waits = waiting.iter().any(stands);
            }
        }
        Ok(Runner { standing, waits })
    }
}

fn record(kind: RecordType, principal: &Principal, run: &RunId, now: Timestamp) -> AuditRecord {
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

/// A run in which nothing is left to do.
fn is_over(run: &Run) -> Denial {
    let word = run.end.as_ref().map_or("open", |end| end.verdict.word());
    Denial::new(Stage::Catalog, Code::RunEnded, format!("run `{}` has ended: it is `{word}`", run.id))
        .hint("begin a new run, or do a part of this one again: toolctl run --run RUN --from STEP --detach")
}

fn too_many(others: usize, own: usize) -> Denial {
    let detail = if others >= MOST_DETACHED {
        format!("{others} runs are left to this daemon; at most {MOST_DETACHED} may be")
    } else {
        format!("{own} of your runs are left to this daemon; at most {MOST_DETACHED_EACH} may be")
    };
    Denial::new(Stage::Quota, Code::BudgetExceeded, detail)
        .hint("wait until one is over, or take one back: toolctl runs list, toolctl runs cancel RUN")
}

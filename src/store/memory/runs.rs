//! Runs of workflows in memory.

use crate::domain::audit::AuditRecord;
use crate::domain::id::{PrincipalId, RunId};
use crate::domain::run::{Detached, Run, RunEnd};
use crate::pipeline::port::{Runs, Unavailable, Wait};

use super::super::decide;
use super::MemoryStore;

impl Runs for MemoryStore {
    fn begin_run(&self, run: Run, record: AuditRecord) -> Wait<'_, Result<(Run, bool), Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                let key = (run.principal.clone(), run.id.clone());
                if let Some(known) = state.runs.get(&key) {
                    return Ok((known.clone(), false));
                }
                state.append(&record);
                state.runs.insert(key, run.clone());
                Ok((run, true))
            })
        })
    }

    fn end_run(
        &self,
        principal: PrincipalId,
        id: RunId,
        end: RunEnd,
        record: AuditRecord,
    ) -> Wait<'_, Result<Option<(Run, bool)>, Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                let Some(run) = state.runs.get_mut(&(principal, id)) else { return Ok(None) };
                if run.end.is_some() {
                    return Ok(Some((run.clone(), false)));
                }
                run.finish(end);
                let run = run.clone();
                state.append(&record);
                Ok(Some((run, true)))
            })
        })
    }

    fn detach_run(
        &self,
        principal: PrincipalId,
        id: RunId,
        detached: Detached,
        record: AuditRecord,
    ) -> Wait<'_, Result<Option<(Run, bool)>, Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                let Some(run) = state.runs.get_mut(&(principal, id)) else { return Ok(None) };
                if !decide::takes(run, &detached) {
                    return Ok(Some((run.clone(), false)));
                }
                run.detached = Some(detached);
                let run = run.clone();
                state.append(&record);
                Ok(Some((run, true)))
            })
        })
    }

    fn release_run(&self, principal: PrincipalId, id: RunId, record: AuditRecord) -> Wait<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                if let Some(run) = state.runs.get_mut(&(principal, id)).filter(|run| decide::is_to_be_released(run)) {
                    run.detached = None;
                    state.append(&record);
                }
                Ok(())
            })
        })
    }

    fn detached(&self) -> Wait<'_, Result<Vec<Run>, Unavailable>> {
        Box::pin(async move {
            Ok(self.look(|state| state.runs.values().filter(|run| run.detached.is_some()).cloned().collect()))
        })
    }

    fn find_run<'a>(&'a self, principal: &'a PrincipalId, id: &'a RunId) -> Wait<'a, Result<Option<Run>, Unavailable>> {
        Box::pin(async move { Ok(self.look(|state| state.runs.get(&(principal.clone(), id.clone())).cloned())) })
    }

    fn runs(&self, principal: Option<PrincipalId>, limit: usize) -> Wait<'_, Result<Vec<Run>, Unavailable>> {
        Box::pin(async move {
            let mut runs: Vec<Run> = self.look(|state| {
                state
                    .runs
                    .values()
                    .filter(|run| principal.as_ref().is_none_or(|who| run.principal == *who))
                    .cloned()
                    .collect()
            });
            runs.sort_by(|a, b| b.began_at.cmp(&a.began_at).then_with(|| b.id.cmp(&a.id)));
            runs.truncate(limit);
            Ok(runs)
        })
    }
}

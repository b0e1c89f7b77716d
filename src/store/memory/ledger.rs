//! Calls in memory: each write asks [`decide`] under the lock and stores what it says.

use crate::domain::audit::AuditRecord;
use crate::domain::call::{Call, CallEvent, CallState};
use crate::domain::digest::Digest;
use crate::domain::id::{CallId, IdempotencyKey, PrincipalId, RunId, ToolName};
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::pipeline::opening::Opening;
use crate::pipeline::port::{
    Advanced, Attachment, CallFilter, Conditions, Counts, Ledger, Opened, Recorded, Retention, Unavailable, Wait,
};

use super::super::decide::{self, Fate, Found, Judged};
use super::super::select;
use super::{MemoryStore, Row};

impl Ledger for MemoryStore {
    fn open(&self, opening: Opening) -> Wait<'_, Result<Opened, Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                match decide::find(state, &opening)? {
                    Found::Nothing => {}
                    Found::Answer(answer) => return Ok(answer),
                    Found::Waiting(waiting, record) => {
                        let call = opening.call();
                        state.attached.insert((call.principal.clone(), call.key.clone()), waiting.id);
                        state.append(&record);
                        return Ok(Opened::Attached(waiting));
                    }
                }
                let change = decide::begin(state, &opening)?;
                let index = state.store(&change);
                Ok(decide::opened(change.after, index))
            })
        })
    }

    fn advance(
        &self,
        id: CallId,
        event: CallEvent,
        conditions: Conditions,
        now: Timestamp,
    ) -> Wait<'_, Result<Advanced, Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                Ok(match decide::advance(state, id, event, &conditions, now)? {
                    Judged::Answer(answer) => answer,
                    Judged::Write(change) => {
                        let index = state.store(&change);
                        Advanced::Done(Recorded { call: change.after, index })
                    }
                })
            })
        })
    }

    fn record(&self, records: Vec<AuditRecord>) -> Wait<'_, Result<u64, Unavailable>> {
        Box::pin(async move { self.write(|state| Ok(state.append_all(&records))) })
    }

    fn activate_policy(&self, policy: Digest, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                state.policy = Some(policy);
                Ok(state.append(&record))
            })
        })
    }

    fn register_tools(&self, tools: Vec<(ToolName, Digest)>, now: Timestamp) -> Wait<'_, Result<usize, Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                let tools = tools.into_iter().collect();
                let records = decide::registered(&state.tools, &tools, now);
                state.append_all(&records);
                state.tools = tools;
                Ok(records.len())
            })
        })
    }

    fn begin_epoch(&self, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                state.epoch += 1;
                state.append(&record);
                Ok(state.epoch)
            })
        })
    }

    fn find(&self, id: CallId) -> Wait<'_, Result<Option<Call>, Unavailable>> {
        Box::pin(async move { Ok(self.look(|state| state.find(id))) })
    }

    fn find_key<'a>(
        &'a self,
        principal: &'a PrincipalId,
        key: &'a IdempotencyKey,
    ) -> Wait<'a, Result<Option<Call>, Unavailable>> {
        Box::pin(async move {
            Ok(self.look(|state| {
                let attached = state.attached.get(&(principal.clone(), key.clone())).and_then(|id| state.find(*id));
                let own = || state.calls().find(|call| call.principal == *principal && call.key == *key).cloned();
                attached.or_else(own)
            }))
        })
    }

    fn attachments<'a>(
        &'a self,
        principal: &'a PrincipalId,
        run: &'a RunId,
    ) -> Wait<'a, Result<Vec<Attachment>, Unavailable>> {
        Box::pin(async move {
            Ok(self.look(|state| {
                let own = state.attached.iter().filter(|((of, _), _)| of == principal);
                let found = own.filter_map(|((_, key), id)| {
                    let call = state.find(*id)?;
                    Some(Attachment { key: key.clone(), opener: call.key, call: *id })
                });
                found.filter(|it| run.has(it.key.as_str()) || run.has(it.opener.as_str())).collect()
            }))
        })
    }

    fn find_number(&self, number: u64) -> Wait<'_, Result<Option<Call>, Unavailable>> {
        self.first(move |call| call.approval.as_ref().is_some_and(|approval| approval.number == number))
    }

    fn last_approved<'a>(
        &'a self,
        principal: &'a PrincipalId,
        tool: &'a ToolName,
    ) -> Wait<'a, Result<Option<Call>, Unavailable>> {
        Box::pin(async move {
            let approved = |call: &&Call| {
                call.principal == *principal
                    && call.tool == *tool
                    && call.approval.is_some()
                    && matches!(call.outcome(), Some(Outcome::Succeeded { .. }))
            };
            Ok(self.look(|state| state.calls().filter(approved).max_by_key(|call| (call.changed_at, call.id)).cloned()))
        })
    }

    fn calls(&self, filter: CallFilter) -> Wait<'_, Result<Vec<Call>, Unavailable>> {
        Box::pin(async move {
            let shown =
                |call: &&Call| filter.before.is_none_or(|before| call.id < before) && select::shows(&filter, call);
            Ok(self.look(|state| state.calls().rev().filter(shown).take(filter.limit).cloned().collect()))
        })
    }

    fn pending(&self, after: u64, limit: usize) -> Wait<'_, Result<Vec<Call>, Unavailable>> {
        Box::pin(async move {
            let number = |call: &Call| call.approval.as_ref().map_or(0, |approval| approval.number);
            let waits = |call: &&Call| call.state == CallState::AwaitingApproval && number(call) > after;
            let mut calls: Vec<Call> = self.look(|state| state.calls().filter(waits).cloned().collect());
            calls.sort_by_key(number);
            calls.truncate(limit);
            Ok(calls)
        })
    }

    fn counts(&self) -> Wait<'_, Result<Counts, Unavailable>> {
        Box::pin(async {
            let mut counts = Counts::default();
            self.look(|state| {
                for call in state.calls() {
                    match call.state {
                        CallState::AwaitingApproval => counts.pending += 1,
                        CallState::InDoubt => counts.in_doubt += 1,
                        CallState::Ready | CallState::Running { .. } | CallState::Closed(_) => {}
                    }
                }
            });
            Ok(counts)
        })
    }

    fn refused(&self) -> Option<Unavailable> {
        None
    }

    fn unfinished(&self) -> Wait<'_, Result<Vec<Call>, Unavailable>> {
        Box::pin(async {
            let open = |call: &&Call| !call.is_closed() && call.state != CallState::AwaitingApproval;
            Ok(self.look(|state| state.calls().filter(open).cloned().collect()))
        })
    }

    fn due(&self, now: Timestamp) -> Wait<'_, Result<(Vec<CallId>, Option<Timestamp>), Unavailable>> {
        Box::pin(async move {
            let mut deadlines: Vec<(Timestamp, CallId)> = self.look(|state| {
                state.calls().filter_map(|call| call.deadline().map(|deadline| (deadline, call.id))).collect()
            });
            deadlines.sort_unstable();
            let next = deadlines.iter().map(|(deadline, _)| *deadline).find(|deadline| *deadline > now);
            let due = deadlines.into_iter().filter(|(deadline, _)| *deadline <= now).map(|(_, id)| id).collect();
            Ok((due, next))
        })
    }

    fn prune(&self, now: Timestamp, retention: Retention, most: usize) -> Wait<'_, Result<usize, Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                let fate = |row: &Row| match row {
                    Row::Call(call) => decide::fate_of_call(call, now, retention),
                    Row::Tombstone { closed_at, .. } => decide::fate_of_tombstone(*closed_at, now, retention),
                };
                let old: Vec<CallId> = state
                    .rows
                    .iter()
                    .filter(|(_, row)| fate(row) != Fate::Keep)
                    .map(|(id, _)| *id)
                    .take(most)
                    .collect();
                let (mut bodies, mut tombstones) = (0, 0);
                for id in &old {
                    match state.rows.remove(id) {
                        Some(Row::Call(call)) => {
                            bodies += 1;
                            let Call { principal, key, fingerprint, changed_at: closed_at, .. } = *call;
                            state.rows.insert(*id, Row::Tombstone { principal, key, fingerprint, closed_at });
                        }
                        Some(Row::Tombstone { .. }) | None => tombstones += 1,
                    }
                }
                let runs = state.runs.len();
                state.runs.retain(|_, run| !decide::is_old_run(run, now, retention));
                let forgotten = runs - state.runs.len();
                bodies += forgotten;
                if !old.is_empty() || forgotten > 0 {
                    state.append(&decide::pruned(bodies, tombstones, now));
                }
                Ok(old.len() + forgotten)
            })
        })
    }
}

impl MemoryStore {
    fn first<'a>(&'a self, is_it: impl Fn(&Call) -> bool + Send + 'a) -> Wait<'a, Result<Option<Call>, Unavailable>> {
        Box::pin(async move { Ok(self.look(|state| state.calls().find(|call| is_it(call)).cloned())) })
    }
}

//! Calls in redb: each write asks [`decide`] inside the transaction and stores what it says. What does not
//! depend on the transaction is encoded before it reaches the writer.

use redb::ReadTransaction;
use std::sync::PoisonError;

use crate::domain::audit::{AuditRecord, key_digest};
use crate::domain::call::{Call, CallEvent, CallState};
use crate::domain::digest::Digest;
use crate::domain::id::{CallId, IdempotencyKey, PrincipalId, RunId, ToolName};
use crate::domain::time::Timestamp;
use crate::pipeline::opening::Opening;
use crate::pipeline::port::{
    Advanced, Attachment, CallFilter, Conditions, Counts, Ledger, Opened, Recorded, Retention, Unavailable, Wait,
};

use super::super::decide::{self, Found, Judged, Known};
use super::super::failpoint::Point;
use super::super::select::{self, DISORDER};
use super::attached;
use super::batch::{Encoded, Leaf, known};
use super::row::{self, CallRow};
use super::table::{self, ById, CALLS, KEY_INDEX, LAST_APPROVED, NUMBERS};
use super::{Core, RedbStore};

/// The most rows that one listing reads.
const MOST_READ: usize = 100_000;

impl Ledger for RedbStore {
    fn open(&self, opening: Opening) -> Wait<'_, Result<Opened, Unavailable>> {
        Box::pin(async move {
            let prepared = match decide::dispatch(&opening) {
                Some(change) => Some((Encoded::of(&change)?, change)),
                None => None,
            };
            let write = self.writer.write(move |batch| {
                match decide::find(batch, &opening)? {
                    Found::Nothing => {}
                    Found::Answer(answer) => return Ok(answer),
                    Found::Waiting(waiting, record) => {
                        batch.attach(&record, opening.call(), &waiting)?;
                        return Ok(Opened::Attached(waiting));
                    }
                }
                let (encoded, change) = match prepared {
                    Some(prepared) => prepared,
                    None => {
                        let change = decide::begin(batch, &opening)?;
                        (Encoded::of(&change)?, change)
                    }
                };
                let (call, index) = batch.store(change, &encoded)?;
                batch.mark(opened_as(&call));
                Ok(decide::opened(call, index))
            });
            write.await
        })
    }

    fn advance(
        &self,
        id: CallId,
        event: CallEvent,
        conditions: Conditions,
        now: Timestamp,
    ) -> Wait<'_, Result<Advanced, Unavailable>> {
        Box::pin(self.writer.write(move |batch| {
            let is_dispatch = matches!(event, CallEvent::Dispatched { .. });
            let point = advanced_by(&event);
            Ok(match decide::advance(batch, id, event, &conditions, now)? {
                Judged::Answer(answer) => answer,
                Judged::Write(change) => {
                    let encoded = Encoded::of(&change)?;
                    let (call, index) = batch.store(*change, &encoded)?;
                    batch.mark(if is_dispatch && call.is_closed() { Point::SettledAfterApproval } else { point });
                    Advanced::Done(Recorded { call, index })
                }
            })
        }))
    }

    fn record(&self, records: Vec<AuditRecord>) -> Wait<'_, Result<u64, Unavailable>> {
        Box::pin(async move {
            let leaves: Vec<Leaf> = records.iter().map(Leaf::of).collect();
            let write = self.writer.write(move |batch| {
                batch.mark(Point::Record);
                batch.append_all(&leaves)
            });
            write.await
        })
    }

    fn activate_policy(&self, policy: Digest, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>> {
        let leaf = Leaf::of(&record);
        Box::pin(self.writer.write(move |batch| {
            batch.mark(Point::ActivatePolicy);
            batch.state().policy = Some(policy);
            batch.append(&leaf)
        }))
    }

    fn register_tools(&self, tools: Vec<(ToolName, Digest)>, now: Timestamp) -> Wait<'_, Result<usize, Unavailable>> {
        Box::pin(self.writer.write(move |batch| {
            let tools = tools.into_iter().collect();
            let records = decide::registered(&batch.tools()?, &tools, now);
            if !records.is_empty() {
                batch.put_tools(&tools)?;
                batch.append_all(&records.iter().map(Leaf::of).collect::<Vec<_>>())?;
            }
            Ok(records.len())
        }))
    }

    fn begin_epoch(&self, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>> {
        let leaf = Leaf::of(&record);
        Box::pin(self.writer.write(move |batch| {
            batch.mark(Point::BeginEpoch);
            batch.state().epoch += 1;
            batch.append(&leaf)?;
            Ok(batch.state().epoch)
        }))
    }

    fn find(&self, id: CallId) -> Wait<'_, Result<Option<Call>, Unavailable>> {
        self.look(move |txn| call(txn, id))
    }

    fn find_key<'a>(
        &'a self,
        principal: &'a PrincipalId,
        key: &'a IdempotencyKey,
    ) -> Wait<'a, Result<Option<Call>, Unavailable>> {
        Box::pin(async move {
            let digest = key_digest(principal, key);
            let half = table::half(&digest);
            // Memory first, then the snapshot: what memory has forgotten since is in the table by then.
            let recent = self.core.index.read().unwrap_or_else(PoisonError::into_inner).get(&half);
            self.core.read(|txn| {
                let id = match recent {
                    Some(id) => Some(CallId::from_bytes(id)),
                    None => id_in(txn, KEY_INDEX, &half)?,
                };
                let Some(id) = id else { return Ok(None) };
                let calls = txn.open_table(CALLS).map_err(Unavailable::new)?;
                let Some(row) = calls.get(&id.bytes()).map_err(Unavailable::new)? else { return Ok(None) };
                Ok(match known(row::decode(row.value())?, id, principal)? {
                    Known::Call(call) => Some(*call),
                    Known::Tombstone { .. } | Known::Other => None,
                })
            })
        })
    }

    fn attachments<'a>(
        &'a self,
        principal: &'a PrincipalId,
        run: &'a RunId,
    ) -> Wait<'a, Result<Vec<Attachment>, Unavailable>> {
        let (principal, run) = (principal.clone(), run.clone());
        self.scan(move |core| core.read(|txn| attached::of_run(txn, &principal, &run)))
    }

    fn find_number(&self, number: u64) -> Wait<'_, Result<Option<Call>, Unavailable>> {
        self.look(move |txn| {
            let numbers = txn.open_table(NUMBERS).map_err(Unavailable::new)?;
            match numbers.get(number).map_err(Unavailable::new)? {
                Some(id) => call(txn, table::id_of(id.value())?),
                None => Ok(None),
            }
        })
    }

    fn last_approved<'a>(
        &'a self,
        principal: &'a PrincipalId,
        tool: &'a ToolName,
    ) -> Wait<'a, Result<Option<Call>, Unavailable>> {
        self.look(move |txn| match id_in(txn, LAST_APPROVED, &table::pair(principal, tool))? {
            Some(id) => call(txn, id),
            None => Ok(None),
        })
    }

    fn calls(&self, filter: CallFilter) -> Wait<'_, Result<Vec<Call>, Unavailable>> {
        self.scan(move |core| core.read(|txn| newest(txn, &filter)))
    }

    fn pending(&self, after: u64, limit: usize) -> Wait<'_, Result<Vec<Call>, Unavailable>> {
        self.scan(move |core| {
            let next = after.saturating_add(1);
            let ids = core.standing(|standing| standing.pending.range(next..).take(limit).map(|(_, id)| *id).collect());
            // The snapshot is taken after the list, so a call is at least as far as the list says.
            let mut calls = core.read(|txn| every(txn, ids))?;
            calls.retain(|call| call.state == CallState::AwaitingApproval);
            Ok(calls)
        })
    }

    fn counts(&self) -> Wait<'_, Result<Counts, Unavailable>> {
        Box::pin(async { Ok(self.core.standing(super::standing::Standing::counts)) })
    }

    fn refused(&self) -> Option<Unavailable> {
        self.core.refused.get().cloned()
    }

    fn unfinished(&self) -> Wait<'_, Result<Vec<Call>, Unavailable>> {
        self.scan(|core: &Core| {
            let ids = core.standing(|standing| standing.unfinished.iter().copied().collect());
            let mut calls = core.read(|txn| every(txn, ids))?;
            calls.retain(|call| !call.is_closed() && call.state != CallState::AwaitingApproval);
            Ok(calls)
        })
    }

    fn due(&self, now: Timestamp) -> Wait<'_, Result<(Vec<CallId>, Option<Timestamp>), Unavailable>> {
        Box::pin(async move { Ok(self.core.standing(|standing| standing.due(now))) })
    }

    fn prune(&self, now: Timestamp, retention: Retention, most: usize) -> Wait<'_, Result<usize, Unavailable>> {
        self.prune_old(now, retention, most)
    }
}

/// Which kind of write made this call.
fn opened_as(call: &Call) -> Point {
    if call.approval.as_ref().is_some_and(|approval| !approval.decisions.is_empty()) {
        return Point::OpenConfirmed;
    }
    match call.state {
        CallState::AwaitingApproval | CallState::Ready | CallState::InDoubt => Point::OpenWaiting,
        CallState::Running { .. } => Point::OpenStarted,
        CallState::Closed(_) => Point::OpenSettled,
    }
}

/// Which kind of write this event leads to; a dispatch may also reach the end.
const fn advanced_by(event: &CallEvent) -> Point {
    match event {
        CallEvent::Decided(_) => Point::Decided,
        CallEvent::Dispatched { .. } => Point::Dispatched,
        CallEvent::Finished(_) => Point::Finished,
        CallEvent::Expired | CallEvent::Cancelled { .. } | CallEvent::Stale { .. } => Point::Closed,
        CallEvent::Lost | CallEvent::NotStarted | CallEvent::Doubted { .. } => Point::Lost,
        CallEvent::Resolved { .. } => Point::Resolved,
    }
}

/// The call of this id, if its body is kept.
fn call(txn: &ReadTransaction, id: CallId) -> Result<Option<Call>, Unavailable> {
    let calls = txn.open_table(CALLS).map_err(Unavailable::new)?;
    let Some(row) = calls.get(&id.bytes()).map_err(Unavailable::new)? else { return Ok(None) };
    row::decode_call(id, row.value())
}

/// The calls of these ids, those whose bodies are kept.
fn every(txn: &ReadTransaction, ids: Vec<CallId>) -> Result<Vec<Call>, Unavailable> {
    let calls = txn.open_table(CALLS).map_err(Unavailable::new)?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(row) = calls.get(&id.bytes()).map_err(Unavailable::new)? {
            found.extend(row::decode_call(id, row.value())?);
        }
    }
    Ok(found)
}

/// A call id in a table.
fn id_in(txn: &ReadTransaction, definition: ById, key: &table::Id) -> Result<Option<CallId>, Unavailable> {
    let ids = txn.open_table(definition).map_err(Unavailable::new)?;
    let id = ids.get(key).map_err(Unavailable::new)?;
    id.map(|id| table::id_of(id.value())).transpose()
}

/// Calls that a filter shows, newest first.
fn newest(txn: &ReadTransaction, filter: &CallFilter) -> Result<Vec<Call>, Unavailable> {
    use std::ops::Bound;
    let calls = txn.open_table(CALLS).map_err(Unavailable::new)?;
    let before = filter.before.map(CallId::bytes);
    let end = before.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let rows = calls.range::<&table::Id>((Bound::Unbounded, end)).map_err(Unavailable::new)?;
    let mut shown = Vec::new();
    for row in rows.rev().take(MOST_READ) {
        if shown.len() >= filter.limit {
            break;
        }
        let (id, row) = row.map_err(Unavailable::new)?;
        let CallRow::Whole(body) = row::decode(row.value())? else { continue };
        let created_at = Timestamp::from_micros(body.created_at);
        if filter.since.is_some_and(|since| created_at.plus(DISORDER) < since) {
            break;
        }
        if filter.principal.as_ref().is_some_and(|principal| principal.as_str() != body.principal)
            || filter.tool.as_ref().is_some_and(|tool| tool.as_str() != body.tool)
            || filter.run.as_ref().is_some_and(|run| !run.has(body.key))
        {
            continue;
        }
        let call = body.call(CallId::from_bytes(*id.value()))?;
        if select::shows(filter, &call) {
            shown.push(call);
        }
    }
    Ok(shown)
}

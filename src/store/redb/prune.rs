//! Removing what is old. Candidates are looked for on a snapshot, beside the writer; the transaction looks at
//! each again. A call is made before it ends, and its id starts with the millisecond in which it was made
//! (UUIDv7, RFC 9562 section 5.7), so only ids up to the oldest allowed time need to be read.

use std::sync::PoisonError;
use std::time::Duration;

use redb::ReadTransaction;

use crate::domain::digest::Digest;
use crate::domain::id::CallId;
use crate::domain::time::Timestamp;
use crate::pipeline::port::{Retention, Unavailable, Wait};

use super::super::decide::{self, Fate};
use super::super::failpoint::Point;
use super::batch::{Batch, Leaf};
use super::row::{self, CallRow};
use super::table::{CALLS, Id};
use super::{Core, RedbStore, attached, runs};

impl RedbStore {
    pub(super) fn prune_old(
        &self,
        now: Timestamp,
        retention: Retention,
        most: usize,
    ) -> Wait<'_, Result<usize, Unavailable>> {
        let candidates = self.scan(move |core| core.read(|txn| candidates(core, txn, now, retention, most)));
        Box::pin(async move {
            let candidates = candidates.await?;
            let runs = self.scan(move |core| core.read(|txn| runs::old(txn, now, retention))).await?;
            let loose = self.scan(move |core| core.read(|txn| attached::loose(txn, most))).await?;
            if candidates.is_empty() && runs.is_empty() && loose.is_empty() {
                return Ok(0);
            }
            let write = self.writer.write(move |batch| {
                let (mut bodies, mut tombstones) = (0, 0);
                for id in candidates {
                    match prune(batch, id, now, retention)? {
                        Fate::Keep => {}
                        Fate::Bury => bodies += 1,
                        Fate::Remove => tombstones += 1,
                    }
                }
                for key in runs {
                    bodies += usize::from(runs::forget(batch, &key, now, retention)?);
                }
                for place in loose {
                    batch.detach(&place)?;
                }
                if bodies + tombstones > 0 {
                    batch.mark(Point::Prune);
                    batch.append(&Leaf::of(&decide::pruned(bodies, tombstones, now)))?;
                }
                Ok(bodies + tombstones)
            });
            write.await
        })
    }
}

fn prune(batch: &mut Batch<'_>, id: CallId, now: Timestamp, retention: Retention) -> Result<Fate, Unavailable> {
    enum Old {
        Call(Box<crate::domain::call::Call>),
        Tombstone { key: Digest, closed_at: Timestamp },
    }
    let old = batch.row(id, |row| {
        Ok(match row {
            CallRow::Whole(body) => Old::Call(Box::new(body.call(id)?)),
            CallRow::Tombstone(left) => {
                Old::Tombstone { key: Digest(left.key), closed_at: Timestamp::from_micros(left.closed_at) }
            }
        })
    })?;
    let fate = match &old {
        None => Fate::Keep,
        Some(Old::Call(call)) => decide::fate_of_call(call, now, retention),
        Some(Old::Tombstone { closed_at, .. }) => decide::fate_of_tombstone(*closed_at, now, retention),
    };
    match (fate, &old) {
        (Fate::Bury, Some(Old::Call(call))) => batch.bury(call)?,
        (Fate::Remove, Some(Old::Tombstone { key, .. })) => batch.remove(id, key)?,
        (Fate::Keep | Fate::Bury | Fate::Remove, _) => {}
    }
    Ok(fate)
}

/// Ids of rows that are old enough, at most `most`.
fn candidates(
    core: &Core,
    txn: &ReadTransaction,
    now: Timestamp,
    retention: Retention,
    most: usize,
) -> Result<Vec<CallId>, Unavailable> {
    let mut old = Vec::new();
    let tombstones_end = first_id_after(now, retention.tombstones);
    collect(txn, [0; 16], tombstones_end, &mut old, |row| is_old(row, now, retention), most)?;
    let known = *core.buried_to.lock().unwrap_or_else(PoisonError::into_inner);
    let start = known.max(tombstones_end);
    let end = first_id_after(now, retention.bodies);
    let first = collect(txn, start, end, &mut old, |row| is_old(row, now, retention), most)?;
    *core.buried_to.lock().unwrap_or_else(PoisonError::into_inner) = first.unwrap_or(start.max(end));
    Ok(old)
}

/// Collects old rows between two ids; gives the first one that still has its body.
fn collect(
    txn: &ReadTransaction,
    start: Id,
    end: Id,
    old: &mut Vec<CallId>,
    is_old: impl Fn(CallRow<'_>) -> Result<bool, Unavailable>,
    most: usize,
) -> Result<Option<Id>, Unavailable> {
    let mut first = None;
    if start >= end {
        return Ok(first);
    }
    let calls = txn.open_table(CALLS).map_err(Unavailable::new)?;
    for row in calls.range::<&Id>(&start..&end).map_err(Unavailable::new)? {
        let (id, row) = row.map_err(Unavailable::new)?;
        let id = *id.value();
        let row: CallRow<'_> = row::decode(row.value())?;
        if matches!(row, CallRow::Whole(_)) && first.is_none() {
            first = Some(id);
        }
        if old.len() >= most {
            return Ok(first.or(Some(id)));
        }
        if is_old(row)? {
            old.push(CallId::from_bytes(id));
        }
    }
    Ok(first)
}

fn is_old(row: CallRow<'_>, now: Timestamp, retention: Retention) -> Result<bool, Unavailable> {
    let fate = match row {
        CallRow::Whole(body) => decide::fate_of_call(&body.call(CallId::from_bytes([0; 16]))?, now, retention),
        CallRow::Tombstone(left) => decide::fate_of_tombstone(Timestamp::from_micros(left.closed_at), now, retention),
    };
    Ok(fate != Fate::Keep)
}

/// The smallest id of the first millisecond that is not `age` ago yet.
fn first_id_after(now: Timestamp, age: Duration) -> Id {
    let millis = now.minus(age).micros().div_euclid(1_000).saturating_add(1);
    let millis = u64::try_from(millis).unwrap_or(0).min((1 << 48) - 1);
    (u128::from(millis) << 80).to_be_bytes()
}

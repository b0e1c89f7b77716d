//! Reading the audit log in redb. Records stand in the order of their indices and nearly in the order of
//! their times, so a time is found by halving, and a query reads only between its times.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTableMetadata as _};
use tokio::sync::watch;

use crate::domain::merkle::Frontier;
use crate::domain::time::Timestamp;
use crate::pipeline::port::{Entry, Log, LogFilter, Unavailable, Wait};

use super::super::select::{DISORDER, Look, Wanted, time_of};
use super::RedbStore;
use super::table::{self, AUDIT, META, STATE, State};

/// The most records that one query looks at before it hands back where to go on.
const MOST_LOOKED_AT: u64 = 500_000;

/// Reads of at most so many records are done at once.
const PAGE: usize = 256;

type Records = ReadOnlyTable<u64, &'static [u8]>;

impl Log for RedbStore {
    fn frontier(&self) -> Wait<'_, Result<Frontier, Unavailable>> {
        self.look(|txn| Ok(state(txn)?.frontier))
    }

    fn read(&self, from: u64, limit: usize) -> Wait<'_, Result<Vec<Entry>, Unavailable>> {
        if limit <= PAGE {
            self.look(move |txn| read(txn, from, limit))
        } else {
            self.scan(move |core| core.read(|txn| read(txn, from, limit)))
        }
    }

    fn query(
        &self,
        filter: LogFilter,
        from: u64,
        limit: usize,
    ) -> Wait<'_, Result<(Vec<Entry>, Option<u64>), Unavailable>> {
        self.scan(move |core| core.read(|txn| query(txn, &filter, from, limit)))
    }

    fn first_at(&self, time: Timestamp) -> Wait<'_, Result<u64, Unavailable>> {
        self.scan(move |core| core.read(|txn| first_at(&txn.open_table(AUDIT).map_err(Unavailable::new)?, time)))
    }

    fn grown(&self) -> watch::Receiver<u64> {
        self.core.grown.subscribe()
    }
}

/// The state that the last commit wrote.
pub(super) fn state(txn: &ReadTransaction) -> Result<State, Unavailable> {
    let meta = txn.open_table(META).map_err(Unavailable::new)?;
    match meta.get(STATE).map_err(Unavailable::new)? {
        Some(row) => State::decode(row.value()),
        None => Ok(State::default()),
    }
}

fn read(txn: &ReadTransaction, from: u64, limit: usize) -> Result<Vec<Entry>, Unavailable> {
    let records = txn.open_table(AUDIT).map_err(Unavailable::new)?;
    let mut entries = Vec::new();
    for row in records.range(from..).map_err(Unavailable::new)?.take(limit) {
        let (index, row) = row.map_err(Unavailable::new)?;
        entries.push(table::entry(index.value(), row.value())?);
    }
    Ok(entries)
}

fn query(
    txn: &ReadTransaction,
    filter: &LogFilter,
    from: u64,
    limit: usize,
) -> Result<(Vec<Entry>, Option<u64>), Unavailable> {
    let records = txn.open_table(AUDIT).map_err(Unavailable::new)?;
    let start = match filter.since {
        Some(since) => from.max(first_at(&records, since)?),
        None => from,
    };
    let wanted = Wanted::new(filter);
    let mut shown = Vec::new();
    for row in records.range(start..).map_err(Unavailable::new)? {
        let (index, row) = row.map_err(Unavailable::new)?;
        let index = index.value();
        if shown.len() >= limit || index - start >= MOST_LOOKED_AT {
            return Ok((shown, Some(index)));
        }
        let (hash, leaf) = table::split_leaf(row.value())?;
        match wanted.look(leaf)? {
            Look::Shown => shown.push(Entry { index, hash, leaf: leaf.to_owned() }),
            Look::Hidden => {}
            Look::Past => break,
        }
    }
    Ok((shown, None))
}

/// The index of the first record at or after `time`.
///
/// Records are out of order by less than [`DISORDER`]. Halving for a time that much earlier ends at a record
/// whose predecessor is before `time - DISORDER`; whatever stands before that predecessor is before `time`
/// then. So the first record at or after `time` is there or later, and is looked for one by one.
fn first_at(records: &Records, time: Timestamp) -> Result<u64, Unavailable> {
    let size = records.len().map_err(Unavailable::new)?;
    let earlier = time.minus(DISORDER);
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let row = records.get(middle).map_err(Unavailable::new)?;
        let row = row.ok_or_else(|| Unavailable::new(format!("record {middle} of {size} is missing")))?;
        if time_of(table::split_leaf(row.value())?.1)? < earlier {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for row in records.range(low..).map_err(Unavailable::new)? {
        let (index, row) = row.map_err(Unavailable::new)?;
        if time_of(table::split_leaf(row.value())?.1)? >= time {
            return Ok(index.value());
        }
    }
    Ok(size)
}

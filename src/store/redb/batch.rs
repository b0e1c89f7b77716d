//! One write transaction: what every operation of a group sees and writes. Tables are opened when they are
//! first needed, as most groups need few of them.

use std::collections::HashMap;
use std::sync::PoisonError;

use redb::{Key, ReadableTable as _, Table, TableDefinition, Value, WriteTransaction};

use crate::domain::audit::{AuditRecord, key_digest};
use crate::domain::call::{Call, CallState};
use crate::domain::digest::Digest;
use crate::domain::id::{CallId, IdempotencyKey, KeyId, PrincipalId, ToolName};
use crate::domain::merkle::leaf_hash;
use crate::domain::outcome::Outcome;
use crate::domain::principal::Credential;
use crate::domain::time::Timestamp;
use crate::pipeline::port::{InStore, KeyRecord, Unavailable};

use super::super::decide::{Change, Facts, Known, REJECTIONS_KEPT, Tools};
use super::super::failpoint::{FailPoint, Point};
use super::desk::DeskWrite;
use super::index::{SLICE, Slice};
use super::row::{self, CallRow};
use super::standing::Waiting;
use super::table::{
    self, API_KEYS, ATTACHED, AUDIT, ById, CALLS, Id, KEY_INDEX, LAST_APPROVED, LIVE, META, NUMBERS, REJECTIONS, RUNS,
    State,
};
use super::{Core, attached};

/// What the writer keeps in memory between transactions. After a failed one it may be ahead of the disk,
/// which is why the writer stops then.
#[derive(Debug, Default)]
pub(super) struct Gate {
    pub(super) state: State,
    pub(super) keys: HashMap<KeyId, KeyRecord>,
    pub(super) waiting: Waiting,
    /// A fault on purpose.
    pub(super) armed: Option<FailPoint>,
    /// How many writes of its kind there were.
    pub(super) seen: u32,
}

/// What others may see once the transaction is durable.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Idempotency keys of new calls.
    pub(super) keys: HashMap<Id, Id>,
    /// Idempotency keys whose calls are gone.
    pub(super) lost: Vec<Id>,
    /// Changes of calls that are, or were, not closed.
    pub(super) calls: Vec<(Option<Call>, Call)>,
    /// What was written of the key index.
    pub(super) slice: Option<Slice>,
}

/// A record made ready for its table.
#[derive(Debug)]
pub(super) struct Leaf {
    hash: Digest,
    row: Vec<u8>,
}

impl Leaf {
    /// Writes and hashes a record.
    pub(super) fn of(record: &AuditRecord) -> Self {
        let leaf = record.leaf();
        let hash = leaf_hash(leaf.as_bytes());
        Self { hash, row: table::encode_leaf(&leaf, &hash) }
    }
}

/// A change made ready for its tables.
#[derive(Debug)]
pub(super) struct Encoded {
    row: Vec<u8>,
    leaves: Vec<Leaf>,
}

impl Encoded {
    /// Encodes a change.
    pub(super) fn of(change: &Change) -> Result<Self, Unavailable> {
        let leaves = change.records.iter().map(Leaf::of).collect();
        Ok(Self { row: row::encode_call(&change.after)?, leaves })
    }
}

/// A transaction under way.
pub(super) struct Batch<'txn> {
    core: &'txn Core,
    gate: &'txn mut Gate,
    tables: Tables<'txn>,
    desk: DeskWrite<'txn>,
    published: Published,
    wrote: bool,
    struck: Option<FailPoint>,
}

struct Tables<'txn> {
    calls: Lazy<'txn, &'static Id, &'static [u8]>,
    audit: Lazy<'txn, u64, &'static [u8]>,
    live: Lazy<'txn, &'static Id, &'static [u8]>,
    numbers: Lazy<'txn, u64, &'static [u8]>,
    key_index: Lazy<'txn, &'static Id, &'static [u8]>,
    api_keys: Lazy<'txn, &'static str, &'static [u8]>,
    rejections: Lazy<'txn, &'static Id, &'static [u8]>,
    last_approved: Lazy<'txn, &'static Id, &'static [u8]>,
    runs: Lazy<'txn, &'static str, &'static [u8]>,
    attached: Lazy<'txn, &'static str, &'static [u8]>,
    meta: Lazy<'txn, &'static str, &'static [u8]>,
}

struct Lazy<'txn, K: Key + 'static, V: Value + 'static> {
    txn: &'txn WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    table: Option<Table<'txn, K, V>>,
}

impl<'txn, K: Key + 'static, V: Value + 'static> Lazy<'txn, K, V> {
    const fn new(txn: &'txn WriteTransaction, definition: TableDefinition<'static, K, V>) -> Self {
        Self { txn, definition, table: None }
    }

    fn get(&mut self) -> Result<&mut Table<'txn, K, V>, Unavailable> {
        let table = match self.table.take() {
            Some(table) => table,
            None => self.txn.open_table(self.definition).map_err(Unavailable::new)?,
        };
        Ok(self.table.insert(table))
    }
}

impl<'txn> Batch<'txn> {
    /// Begins to work on a transaction.
    pub(super) fn new(core: &'txn Core, gate: &'txn mut Gate, txn: &'txn WriteTransaction) -> Self {
        let tables = Tables {
            calls: Lazy::new(txn, CALLS),
            audit: Lazy::new(txn, AUDIT),
            live: Lazy::new(txn, LIVE),
            numbers: Lazy::new(txn, NUMBERS),
            key_index: Lazy::new(txn, KEY_INDEX),
            api_keys: Lazy::new(txn, API_KEYS),
            rejections: Lazy::new(txn, REJECTIONS),
            last_approved: Lazy::new(txn, LAST_APPROVED),
            runs: Lazy::new(txn, RUNS),
            attached: Lazy::new(txn, ATTACHED),
            meta: Lazy::new(txn, META),
        };
        Self {
            core,
            gate,
            tables,
            desk: DeskWrite::new(txn),
            published: Published::default(),
            wrote: false,
            struck: None,
        }
    }

    /// Says of which kind an operation's write is, where a fault may wait for it.
    pub(super) fn mark(&mut self, point: Point) {
        if cfg!(debug_assertions)
            && let Some(armed) = self.gate.armed
            && armed.meets(point, &mut self.gate.seen)
        {
            self.struck = Some(armed);
        }
    }

    /// The fault that waited for one of the writes.
    pub(super) const fn struck(&self) -> Option<FailPoint> {
        self.struck
    }

    /// Ends the work: writes what every commit writes. None when nothing was written at all.
    pub(super) fn finish(self) -> Result<Option<Published>, Unavailable> {
        if self.wrote { self.seal(SLICE).map(Some) } else { Ok(None) }
    }

    /// Writes at most `most` entries of the key index, and the state.
    pub(super) fn seal(mut self, most: usize) -> Result<Published, Unavailable> {
        let slice = self.core.index.read().unwrap_or_else(PoisonError::into_inner).slice(most);
        if let Some(slice) = slice {
            let index = self.tables.key_index.get()?;
            for (key, call) in &slice.entries {
                index.insert(key, call.as_slice()).map_err(Unavailable::new)?;
            }
            if let Some(indexed) = slice.indexed {
                self.gate.state.indexed = indexed;
            }
            self.published.slice = Some(slice);
        }
        let state = self.gate.state.encode()?;
        self.tables.meta.get()?.insert(table::STATE, state.as_slice()).map_err(Unavailable::new)?;
        self.desk.finish()?;
        Ok(self.published)
    }

    /// Stops the store: what this transaction has done so far cannot be told from what it has not.
    pub(super) fn refuse(&self, error: Unavailable) -> Unavailable {
        self.core.refuse(error)
    }

    /// The state, to be changed by an operation that also appends a record.
    pub(super) const fn state(&mut self) -> &mut State {
        &mut self.gate.state
    }

    /// The desk's tables.
    pub(super) const fn desk(&mut self) -> &mut DeskWrite<'txn> {
        &mut self.desk
    }

    /// Appends a record and gives its index.
    pub(super) fn append(&mut self, leaf: &Leaf) -> Result<u64, Unavailable> {
        let index = self.gate.state.frontier.size();
        self.tables.audit.get()?.insert(index, leaf.row.as_slice()).map_err(Unavailable::new)?;
        self.gate.state.frontier.push(leaf.hash);
        self.wrote = true;
        Ok(index)
    }

    /// Appends records; the index of the last one that stands in the log.
    pub(super) fn append_all(&mut self, leaves: &[Leaf]) -> Result<u64, Unavailable> {
        for leaf in leaves {
            self.append(leaf)?;
        }
        Ok(self.gate.state.frontier.size().saturating_sub(1))
    }

    /// Writes a change: the row, what is derived from it, and its records. Gives the call and the index of the
    /// last record.
    pub(super) fn store(&mut self, change: Change, encoded: &Encoded) -> Result<(Call, u64), Unavailable> {
        let Change { before, after, records } = change;
        let id = after.id.bytes();
        self.tables.calls.get()?.insert(&id, encoded.row.as_slice()).map_err(Unavailable::new)?;
        match (&before, after.is_closed()) {
            (None, false) => {
                self.tables.live.get()?.insert(&id, [].as_slice()).map_err(Unavailable::new)?;
            }
            (Some(_), true) => {
                self.tables.live.get()?.remove(&id).map_err(Unavailable::new)?;
            }
            (None, true) | (Some(_), false) => {}
        }
        if before.is_none() {
            let key = records.first().and_then(|record| record.key);
            let key = key.unwrap_or_else(|| key_digest(&after.principal, &after.key));
            self.published.keys.insert(table::half(&key), id);
            if let Some(approval) = &after.approval {
                self.tables.numbers.get()?.insert(approval.number, id.as_slice()).map_err(Unavailable::new)?;
            }
        }
        match &after.state {
            CallState::Closed(Outcome::Rejected { .. }) => self.note_rejection(&after)?,
            CallState::Closed(Outcome::Succeeded { .. }) if after.approval.is_some() => {
                let pair = table::pair(&after.principal, &after.tool);
                self.tables.last_approved.get()?.insert(&pair, id.as_slice()).map_err(Unavailable::new)?;
            }
            _ => {}
        }
        let index = self.append_all(&encoded.leaves)?;
        self.gate.waiting.follow(before.as_ref(), &after);
        if before.is_some() || !after.is_closed() {
            self.published.calls.push((before, after.clone()));
        }
        Ok((after, index))
    }

    /// Binds the key of `asked` to the call that waits already, by the record that says so; a start after a kill finds it
    /// there.
    pub(super) fn attach(&mut self, record: &AuditRecord, asked: &Call, waiting: &Call) -> Result<u64, Unavailable> {
        if let Some(key) = &record.key {
            self.published.keys.insert(table::half(key), waiting.id.bytes());
        }
        let (place, row) = (attached::place(&asked.principal, &asked.key), attached::encode(waiting)?);
        self.tables.attached.get()?.insert(place.as_str(), row.as_slice()).map_err(Unavailable::new)?;
        self.append(&Leaf::of(record))
    }

    /// Forgets what stands at the place of a further key.
    pub(super) fn detach(&mut self, place: &str) -> Result<(), Unavailable> {
        self.tables.attached.get()?.remove(place).map_err(Unavailable::new)?;
        // No record tells of it, and it must be written all the same.
        self.wrote = true;
        Ok(())
    }

    fn note_rejection(&mut self, call: &Call) -> Result<(), Unavailable> {
        let mut times = self.rejections(&call.principal, &call.tool)?;
        times.push(call.changed_at);
        let skipped = times.len().saturating_sub(REJECTIONS_KEPT);
        let times: Vec<i64> = times.into_iter().skip(skipped).map(Timestamp::micros).collect();
        let pair = table::pair(&call.principal, &call.tool);
        self.tables.rejections.get()?.insert(&pair, row::encode(&times)?.as_slice()).map_err(Unavailable::new)?;
        Ok(())
    }

    /// The tools of the last start or reload.
    pub(super) fn tools(&mut self) -> Result<Tools, Unavailable> {
        let row = self.tables.meta.get()?.get(table::TOOLS).map_err(Unavailable::new)?;
        let tools: Vec<(String, [u8; 32])> = row.map_or_else(|| Ok(Vec::new()), |row| row::decode(row.value()))?;
        let tool = |(name, digest): (String, _)| Ok((name.parse().map_err(Unavailable::new)?, Digest(digest)));
        tools.into_iter().map(tool).collect()
    }

    /// Remembers the tools of this start or reload.
    pub(super) fn put_tools(&mut self, tools: &Tools) -> Result<(), Unavailable> {
        let tools: Vec<(&str, [u8; 32])> = tools.iter().map(|(name, digest)| (name.as_str(), digest.0)).collect();
        let row = row::encode(&tools)?;
        self.tables.meta.get()?.insert(table::TOOLS, row.as_slice()).map_err(Unavailable::new)?;
        Ok(())
    }

    /// Writes an API key.
    pub(super) fn put_key(&mut self, key: KeyRecord, row: &[u8]) -> Result<(), Unavailable> {
        self.tables.api_keys.get()?.insert(key.id.as_str(), row).map_err(Unavailable::new)?;
        self.gate.keys.insert(key.id.clone(), key);
        Ok(())
    }

    /// Writes the row of a run.
    pub(super) fn put_run(&mut self, key: &str, row: &[u8]) -> Result<(), Unavailable> {
        self.tables.runs.get()?.insert(key, row).map_err(Unavailable::new)?;
        Ok(())
    }

    /// Removes the row of a run.
    pub(super) fn remove_run(&mut self, key: &str) -> Result<(), Unavailable> {
        self.tables.runs.get()?.remove(key).map_err(Unavailable::new)?;
        Ok(())
    }

    /// Looks at the row of a run.
    pub(super) fn run_row<T>(
        &mut self,
        key: &str,
        look: impl FnOnce(&[u8]) -> Result<T, Unavailable>,
    ) -> Result<Option<T>, Unavailable> {
        let row = self.tables.runs.get()?.get(key).map_err(Unavailable::new)?;
        row.map(|row| look(row.value())).transpose()
    }

    /// Looks at the row of a call, whatever is left of it.
    pub(super) fn row<T>(
        &mut self,
        id: CallId,
        look: impl FnOnce(CallRow<'_>) -> Result<T, Unavailable>,
    ) -> Result<Option<T>, Unavailable> {
        let row = self.tables.calls.get()?.get(&id.bytes()).map_err(Unavailable::new)?;
        row.map(|row| look(row::decode(row.value())?)).transpose()
    }

    /// Leaves only a tombstone of a closed call.
    pub(super) fn bury(&mut self, call: &Call) -> Result<(), Unavailable> {
        let row = row::encode_tombstone(call)?;
        self.tables.calls.get()?.insert(&call.id.bytes(), row.as_slice()).map_err(Unavailable::new)?;
        if let Some(approval) = &call.approval {
            self.tables.numbers.get()?.remove(approval.number).map_err(Unavailable::new)?;
        }
        Ok(())
    }

    /// Removes a tombstone, and its key.
    pub(super) fn remove(&mut self, id: CallId, key: &Digest) -> Result<(), Unavailable> {
        let key = table::half(key);
        self.tables.calls.get()?.remove(&id.bytes()).map_err(Unavailable::new)?;
        self.tables.key_index.get()?.remove(&key).map_err(Unavailable::new)?;
        self.published.keys.remove(&key);
        self.published.lost.push(key);
        Ok(())
    }

    /// The id under a key: of this transaction, not yet in the table, or in it.
    fn id_under(&mut self, key: &Id) -> Result<Option<CallId>, Unavailable> {
        if let Some(id) = self.published.keys.get(key) {
            return Ok(Some(CallId::from_bytes(*id)));
        }
        if let Some(id) = self.core.index.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Ok(Some(CallId::from_bytes(id)));
        }
        if self.gate.state.indexed == 0 {
            return Ok(None);
        }
        let id = self.tables.key_index.get()?.get(key).map_err(Unavailable::new)?;
        id.map(|id| table::id_of(id.value())).transpose()
    }
}

/// What stands in a row, as an opening with this key sees it.
pub(super) fn known(row: CallRow<'_>, id: CallId, principal: &PrincipalId) -> Result<Known, Unavailable> {
    Ok(match row {
        // The index led here from this key. If it is not the call's own key, it was bound to it by attaching.
        CallRow::Whole(body) if body.principal == principal.as_str() => Known::Call(Box::new(body.call(id)?)),
        CallRow::Whole(_) => Known::Other,
        CallRow::Tombstone(tombstone) => Known::Tombstone { fingerprint: Digest(tombstone.fingerprint) },
    })
}

impl Facts for Batch<'_> {
    fn known(&mut self, principal: &PrincipalId, key: &IdempotencyKey) -> Result<Option<Known>, Unavailable> {
        let digest = key_digest(principal, key);
        let Some(id) = self.id_under(&table::half(&digest))? else { return Ok(None) };
        self.row(id, |row| known(row, id, principal))
    }

    fn call(&mut self, id: CallId) -> Result<Option<Call>, Unavailable> {
        let call = self.row(id, |row| match row {
            CallRow::Whole(body) => body.call(id).map(Some),
            CallRow::Tombstone(_) => Ok(None),
        })?;
        Ok(call.flatten())
    }

    fn policy(&self) -> Option<Digest> {
        self.gate.state.policy
    }

    fn key_record(&self, credential: &Credential) -> Option<KeyRecord> {
        match credential {
            Credential::Key(id) => self.gate.keys.get(id).cloned(),
            Credential::Peer(_) | Credential::Environment => None,
        }
    }

    fn identical(&mut self, call: &Call) -> Result<Option<Call>, Unavailable> {
        match self.gate.waiting.identical(call) {
            Some(id) => self.call(id),
            None => Ok(None),
        }
    }

    fn pending_of(&self, principal: &PrincipalId) -> usize {
        self.gate.waiting.of(principal)
    }

    fn rejections(&mut self, principal: &PrincipalId, tool: &ToolName) -> Result<Vec<Timestamp>, Unavailable> {
        let pair = table::pair(principal, tool);
        let row = self.tables.rejections.get()?.get(&pair).map_err(Unavailable::new)?;
        let Some(row) = row else { return Ok(Vec::new()) };
        let times: Vec<i64> = row::decode(row.value())?;
        Ok(times.into_iter().map(Timestamp::from_micros).collect())
    }

    fn take_number(&mut self) -> u64 {
        self.gate.state.numbers += 1;
        self.gate.state.numbers
    }

    fn run(&mut self, effect: &dyn InStore, call: &Call, now: Timestamp) -> Result<Outcome, Unavailable> {
        effect.apply(call, &mut self.desk, now)
    }
}

/// Every table that exists from the first start on.
pub(super) const BY_ID: [ById; 5] = [CALLS, LIVE, KEY_INDEX, REJECTIONS, LAST_APPROVED];

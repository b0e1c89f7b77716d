//! The simple store: one mutex around plain collections, every question a scan. It keeps nothing after it
//! is dropped. It is what the other stores are compared with, so it is kept obviously right.

mod desk;
mod ledger;
mod runs;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::domain::audit::AuditRecord;
use crate::domain::call::{Call, CallState};
use crate::domain::digest::Digest;
use crate::domain::id::{CallId, IdempotencyKey, KeyId, PrincipalId, RunId, ToolName};
use crate::domain::merkle::{Frontier, leaf_hash};
use crate::domain::outcome::Outcome;
use crate::domain::principal::Credential;
use crate::domain::run::Run;
use crate::domain::time::Timestamp;
use crate::pipeline::port::{Entry, InStore, KeyRecord, Keys, Log, LogFilter, Unavailable, Wait};

use super::decide::{Change, Facts, Known, REJECTIONS_KEPT};
use super::select::{Look, Wanted, time_of};
use desk::Desk;

/// Everything in memory. See [`crate::store`].
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    grown: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<CallId, Row>,
    leaves: Vec<Entry>,
    frontier: Frontier,
    policy: Option<Digest>,
    epoch: u64,
    numbers: u64,
    keys: BTreeMap<KeyId, KeyRecord>,
    /// Further keys of calls.
    attached: BTreeMap<(PrincipalId, IdempotencyKey), CallId>,
    rejections: Vec<(PrincipalId, ToolName, Timestamp)>,
    tools: super::decide::Tools,
    runs: BTreeMap<(PrincipalId, RunId), Run>,
    desk: Desk,
    refused: Option<Unavailable>,
}

#[derive(Debug)]
enum Row {
    Call(Box<Call>),
    Tombstone { principal: PrincipalId, key: IdempotencyKey, fingerprint: Digest, closed_at: Timestamp },
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { state: Mutex::default(), grown: watch::Sender::new(0) }
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One write. An error in the middle of it may have left half of it behind, so nothing is written after
    /// one.
    fn write<T>(&self, change: impl FnOnce(&mut State) -> Result<T, Unavailable>) -> Result<T, Unavailable> {
        let mut state = self.state.lock().map_err(|_| Unavailable::new("a write ended in the middle"))?;
        if let Some(refused) = &state.refused {
            return Err(refused.clone());
        }
        let result = change(&mut state);
        match &result {
            Ok(_) => {
                self.grown.send_replace(state.frontier.size());
            }
            Err(error) => state.refused = Some(error.clone()),
        }
        result
    }
}

impl State {
    fn calls(&self) -> impl DoubleEndedIterator<Item = &Call> {
        self.rows.values().filter_map(|row| match row {
            Row::Call(call) => Some(call.as_ref()),
            Row::Tombstone { .. } => None,
        })
    }

    fn find(&self, id: CallId) -> Option<Call> {
        match self.rows.get(&id)? {
            Row::Call(call) => Some(call.as_ref().clone()),
            Row::Tombstone { .. } => None,
        }
    }

    /// Appends a record and gives its index.
    fn append(&mut self, record: &AuditRecord) -> u64 {
        let leaf = record.leaf();
        let (index, hash) = (self.frontier.size(), leaf_hash(leaf.as_bytes()));
        self.frontier.push(hash);
        self.leaves.push(Entry { index, hash, leaf });
        index
    }

    fn append_all(&mut self, records: &[AuditRecord]) -> u64 {
        for record in records {
            self.append(record);
        }
        self.frontier.size().saturating_sub(1)
    }

    /// Writes a change and gives the index of its last record.
    fn store(&mut self, change: &Change) -> u64 {
        let call = &change.after;
        if let CallState::Closed(Outcome::Rejected { .. }) = call.state {
            self.rejections.push((call.principal.clone(), call.tool.clone(), call.changed_at));
        }
        self.rows.insert(call.id, Row::Call(Box::new(call.clone())));
        self.append_all(&change.records)
    }
}

impl Facts for State {
    fn known(&mut self, principal: &PrincipalId, key: &IdempotencyKey) -> Result<Option<Known>, Unavailable> {
        if let Some(row) = self.attached.get(&(principal.clone(), key.clone())).and_then(|id| self.rows.get(id)) {
            return Ok(Some(match row {
                Row::Call(call) => Known::Call(call.clone()),
                Row::Tombstone { fingerprint, .. } => Known::Tombstone { fingerprint: *fingerprint },
            }));
        }
        Ok(self.rows.values().find_map(|row| match row {
            Row::Call(call) if call.principal == *principal && call.key == *key => Some(Known::Call(call.clone())),
            Row::Tombstone { principal: whose, key: used, fingerprint, .. } if whose == principal && used == key => {
                Some(Known::Tombstone { fingerprint: *fingerprint })
            }
            Row::Call(_) | Row::Tombstone { .. } => None,
        }))
    }

    fn call(&mut self, id: CallId) -> Result<Option<Call>, Unavailable> {
        Ok(self.find(id))
    }

    fn policy(&self) -> Option<Digest> {
        self.policy
    }

    fn key_record(&self, credential: &Credential) -> Option<KeyRecord> {
        match credential {
            Credential::Key(id) => self.keys.get(id).cloned(),
            Credential::Peer(_) | Credential::Environment => None,
        }
    }

    fn identical(&mut self, call: &Call) -> Result<Option<Call>, Unavailable> {
        let same = |other: &&Call| {
            other.state == CallState::AwaitingApproval
                && other.principal == call.principal
                && other.tool == call.tool
                && other.effective == call.effective
        };
        Ok(self.calls().find(same).cloned())
    }

    fn pending_of(&self, principal: &PrincipalId) -> usize {
        self.calls().filter(|call| call.state == CallState::AwaitingApproval && call.principal == *principal).count()
    }

    fn rejections(&mut self, principal: &PrincipalId, tool: &ToolName) -> Result<Vec<Timestamp>, Unavailable> {
        let all: Vec<_> = self.rejections.iter().filter(|(who, what, _)| who == principal && what == tool).collect();
        let skipped = all.len().saturating_sub(REJECTIONS_KEPT);
        Ok(all.into_iter().skip(skipped).map(|(_, _, at)| *at).collect())
    }

    fn take_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn run(&mut self, effect: &dyn InStore, call: &Call, now: Timestamp) -> Result<Outcome, Unavailable> {
        effect.apply(call, &mut self.desk, now)
    }
}

impl Log for MemoryStore {
    fn frontier(&self) -> Wait<'_, Result<Frontier, Unavailable>> {
        Box::pin(async { Ok(self.look(|state| state.frontier.clone())) })
    }

    fn read(&self, from: u64, limit: usize) -> Wait<'_, Result<Vec<Entry>, Unavailable>> {
        Box::pin(async move {
            Ok(self.look(|state| state.leaves.iter().filter(|leaf| leaf.index >= from).take(limit).cloned().collect()))
        })
    }

    fn query(
        &self,
        filter: LogFilter,
        from: u64,
        limit: usize,
    ) -> Wait<'_, Result<(Vec<Entry>, Option<u64>), Unavailable>> {
        Box::pin(async move {
            let wanted = Wanted::new(&filter);
            self.look(|state| {
                let mut shown = Vec::new();
                for entry in state.leaves.iter().filter(|entry| entry.index >= from) {
                    if shown.len() >= limit {
                        return Ok((shown, Some(entry.index)));
                    }
                    if wanted.look(&entry.leaf)? == Look::Shown {
                        shown.push(entry.clone());
                    }
                }
                Ok((shown, None))
            })
        })
    }

    fn first_at(&self, time: Timestamp) -> Wait<'_, Result<u64, Unavailable>> {
        Box::pin(async move {
            self.look(|state| {
                for entry in &state.leaves {
                    if time_of(&entry.leaf)? >= time {
                        return Ok(entry.index);
                    }
                }
                Ok(state.frontier.size())
            })
        })
    }

    fn grown(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }
}

impl Keys for MemoryStore {
    fn all(&self) -> Wait<'_, Result<Vec<KeyRecord>, Unavailable>> {
        Box::pin(async { Ok(self.look(|state| state.keys.values().cloned().collect())) })
    }

    fn put(&self, key: KeyRecord, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                state.keys.insert(key.id.clone(), key);
                Ok(state.append(&record))
            })
        })
    }
}

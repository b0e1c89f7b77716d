//! From idempotency key to call, behind the commit. Key digests are random, so a row for each in the
//! transaction of its call would dirty a page of its own: that costs more than all the rest of a call. So
//! the durable truth is the audit log, whose first record of a call names its key and its id, and what
//! stands in the table `key_index` is a copy.
//!
//! * New entries live in `fresh`. When that holds [`FREEZE_AT`] of them it becomes `frozen`, which is written
//!   to the table in the order of its keys, [`SLICE`] entries a commit, so that neighbours share a page and no
//!   commit stalls.
//! * When the last slice is in, the same transaction moves the watermark `indexed` to the size that the log
//!   had when `fresh` was frozen.
//!
//! Why nothing is ever missed: a call is committed together with its first record, at an index that only the
//! writer gives and that only grows. When `fresh` is frozen at size S, every call whose first record is below
//! S has its entry in the table, in `frozen`, or in both. The watermark becomes S only in the transaction
//! that makes the table hold all of `frozen`. So after any crash the table knows every key below `indexed`,
//! and reading the records from `indexed` on (at most about two times [`FREEZE_AT`] calls) gives the rest.
//! Writing an entry twice changes nothing, and an entry whose call is gone finds no row. Ids made by
//! concurrent callers may commit out of order, which is why the log's index is the watermark and not an id.

use std::collections::HashMap;

use super::table::Id;

/// How many entries are kept in memory before they are written.
pub(super) const FREEZE_AT: usize = 65_536;
/// How many of them are written by one commit.
pub(super) const SLICE: usize = 1_024;

/// Entries that the table need not have yet.
#[derive(Debug)]
pub(super) struct KeyIndex {
    freeze_at: usize,
    fresh: HashMap<Id, Id>,
    frozen: Option<Frozen>,
}

#[derive(Debug)]
struct Frozen {
    entries: HashMap<Id, Id>,
    sorted: Vec<(Id, Id)>,
    written: usize,
    size: u64,
}

/// What the next commit writes into the table.
#[derive(Debug)]
pub(super) struct Slice {
    /// In the order of the keys.
    pub(super) entries: Vec<(Id, Id)>,
    /// The new watermark, when this is the last.
    pub(super) indexed: Option<u64>,
}

impl KeyIndex {
    /// An empty index that freezes when it holds so many entries.
    pub(super) fn new(freeze_at: usize) -> Self {
        Self { freeze_at, fresh: HashMap::new(), frozen: None }
    }

    /// The id under this key, if the table need not have it.
    pub(super) fn get(&self, key: &Id) -> Option<Id> {
        let frozen = || self.frozen.as_ref().and_then(|frozen| frozen.entries.get(key));
        self.fresh.get(key).or_else(frozen).copied()
    }

    /// Adds an entry that was committed.
    pub(super) fn insert(&mut self, key: Id, call: Id) {
        self.fresh.insert(key, call);
    }

    /// Forgets a key whose call is gone.
    pub(super) fn remove(&mut self, key: &Id) {
        self.fresh.remove(key);
        if let Some(frozen) = &mut self.frozen {
            frozen.entries.remove(key);
        }
    }

    /// Freezes when there are enough entries and the earlier ones are written. `size` is that of the log,
    /// with everything in `fresh` committed.
    pub(super) fn freeze_if_full(&mut self, size: u64) {
        if self.fresh.len() >= self.freeze_at {
            self.freeze(size);
        }
    }

    /// Freezes whatever there is, unless earlier entries are still being written.
    pub(super) fn freeze(&mut self, size: u64) {
        if self.frozen.is_none() && !self.fresh.is_empty() {
            let entries = std::mem::take(&mut self.fresh);
            let mut sorted: Vec<_> = entries.iter().map(|(key, call)| (*key, *call)).collect();
            sorted.sort_unstable();
            self.frozen = Some(Frozen { entries, sorted, written: 0, size });
        }
    }

    /// The next slice, if something is frozen.
    pub(super) fn slice(&self, most: usize) -> Option<Slice> {
        let frozen = self.frozen.as_ref()?;
        let entries: Vec<_> = frozen.sorted.iter().skip(frozen.written).take(most).copied().collect();
        let is_last = frozen.written + entries.len() >= frozen.sorted.len();
        Some(Slice { entries, indexed: is_last.then_some(frozen.size) })
    }

    /// Takes note that a slice was committed.
    pub(super) fn written(&mut self, slice: &Slice) {
        if slice.indexed.is_some() {
            self.frozen = None;
        } else if let Some(frozen) = &mut self.frozen {
            frozen.written += slice.entries.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_while_slices_are_written() {
        let id = |n: u8| [n; 16];
        let mut index = KeyIndex::new(FREEZE_AT);
        (0..5).for_each(|n| index.insert(id(n), id(n + 100)));
        index.freeze(7);
        index.insert(id(9), id(109));
        let first = index.slice(3).expect("a slice");
        assert_eq!((first.entries.len(), first.indexed), (3, None));
        index.written(&first);
        assert_eq!(index.get(&id(0)), Some(id(100)), "until the watermark moves, memory knows it too");
        let second = index.slice(3).expect("the rest");
        assert_eq!((second.entries.len(), second.indexed), (2, Some(7)));
        index.written(&second);
        assert!(index.slice(3).is_none());
        assert_eq!(index.get(&id(0)), None);
        assert_eq!(index.get(&id(9)), Some(id(109)));
    }
}

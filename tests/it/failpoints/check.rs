//! Judges one day with a fault: what callers were told against what is on disk after the next start. Plain
//! data in and reasons out, so that it can be shown bad histories.

use std::collections::{BTreeMap, BTreeSet};

use toolctl::domain::audit::{AuditRecord, RecordType, Verifier};
use toolctl::domain::digest::Digest;

/// One answer about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its idempotency key.
    pub key: String,
    /// Its id.
    pub call: String,
    /// Where it stood.
    pub state: String,
    /// Its output and its error, byte for byte.
    pub result: String,
}

/// A call on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its idempotency key.
    pub key: String,
    /// Its id.
    pub call: String,
    /// Where it stands.
    pub state: String,
    /// Its output, byte for byte; `null` when there is none.
    pub output: String,
    /// It is `once`: again may harm.
    pub once: bool,
}

/// What must have become of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The key.
    pub key: String,
    /// Where its call may stand; `gone` when its body was removed.
    pub ends: Vec<String>,
    /// What it does to the world when it succeeds.
    pub effect: Option<String>,
}

/// Everything that is known of a day.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What callers were told, in order.
    pub told: Vec<Told>,
    /// What must have become of each key.
    pub expected: Vec<Expected>,
    /// Calls on disk.
    pub rows: Vec<Row>,
    /// What happened to the world.
    pub effects: Vec<String>,
    /// API keys on disk, `key_…`.
    pub keys: Vec<String>,
    /// Records on disk with their stored hashes.
    pub log: Vec<(String, Digest)>,
    /// What the store says of its log.
    pub head: Option<(u64, Digest)>,
}

/// One thing that must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// An effect happened another number of times than it should.
    Effect(String, usize, usize),
    /// An effect that nobody asked for.
    Phantom(String),
    /// One key got two different answers, or the disk says otherwise than was told.
    Changed(String),
    /// A call that was told of is not there.
    Lost(String),
    /// One key opened two calls.
    CallsOfOneKey(String),
    /// A call ended as it must not, or has not ended.
    End(String, String),
    /// A call is in doubt that was not dispatched outside the store, is harmless to repeat, or ended.
    Doubt(String),
    /// A call that succeeded has another number of records that say so.
    Completed(String, usize),
    /// A key without the record of its making, or the other way round.
    Key(String),
    /// The log does not verify.
    Log(String),
}

/// Everything that is wrong with a history.
pub fn broken(history: &History) -> BTreeSet<Broken> {
    let mut found = BTreeSet::new();
    let records = log(history, &mut found);
    ends(history, &records, &mut found);
    told(history, &mut found);
    effects(history, &mut found);
    keys(history, &records, &mut found);
    found
}

/// Whether a call in this state changes no more.
pub fn is_closed(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "rejected" | "expired" | "cancelled" | "stale")
}

fn log(history: &History, found: &mut BTreeSet<Broken>) -> Vec<AuditRecord> {
    let mut verifier = Verifier::default();
    for (leaf, hash) in &history.log {
        verifier.leaf(leaf.as_bytes(), Some(hash));
    }
    let (size, root) = history.head.expect("a head");
    let report = verifier.finish(size, &root);
    found.extend(report.faults.into_iter().map(|fault| Broken::Log(fault.what)));
    history.log.iter().filter_map(|(leaf, _)| serde_json::from_str(leaf).ok()).collect()
}

fn count(records: &[AuditRecord], kind: RecordType, call: &str) -> usize {
    records.iter().filter(|record| record.kind == kind && record.call.is_some_and(|id| id.to_string() == call)).count()
}

fn ends(history: &History, records: &[AuditRecord], found: &mut BTreeSet<Broken>) {
    let mut keys = BTreeSet::new();
    for row in &history.rows {
        if !keys.insert(&row.key) {
            found.insert(Broken::CallsOfOneKey(row.key.clone()));
        }
        if !is_closed(&row.state) && row.state != "in_doubt" {
            found.insert(Broken::End(row.key.clone(), row.state.clone()));
        }
        let completed = count(records, RecordType::CallCompleted, &row.call);
        let dispatched = count(records, RecordType::CallDispatched, &row.call);
        if row.state == "in_doubt" && (!row.once || dispatched != 1 || completed > 0) {
            found.insert(Broken::Doubt(row.key.clone()));
        }
        let settled = count(records, RecordType::CallResolved, &row.call);
        if row.state == "succeeded" && completed != 1 && settled == 0 {
            found.insert(Broken::Completed(row.key.clone(), completed));
        }
    }
    for expected in &history.expected {
        let state = state_of(history, &expected.key);
        if !expected.ends.contains(&state) {
            found.insert(Broken::End(expected.key.clone(), state));
        }
    }
}

fn state_of(history: &History, key: &str) -> String {
    history.rows.iter().find(|row| row.key == key).map_or_else(|| "gone".to_owned(), |row| row.state.clone())
}

/// What was told of an ended call stays, and what was told of any call is about the call that is there.
fn told(history: &History, found: &mut BTreeSet<Broken>) {
    let mut first: BTreeMap<&str, &Told> = BTreeMap::new();
    for told in &history.told {
        let may_go = history.expected.iter().any(|one| one.key == told.key && one.ends.iter().any(|end| end == "gone"));
        match history.rows.iter().find(|row| row.key == told.key) {
            None if may_go => {}
            None => {
                found.insert(Broken::Lost(told.key.clone()));
            }
            Some(row) => {
                let same = row.state == told.state && told.result.starts_with(&row.output);
                if row.call != told.call || (is_closed(&told.state) && !same) {
                    found.insert(Broken::Changed(told.key.clone()));
                }
            }
        }
        if is_closed(&told.state) && *first.entry(&told.key).or_insert(told) != told {
            found.insert(Broken::Changed(told.key.clone()));
        }
    }
}

fn effects(history: &History, found: &mut BTreeSet<Broken>) {
    let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
    for expected in &history.expected {
        let Some(effect) = &expected.effect else { continue };
        let happens = matches!(state_of(history, &expected.key).as_str(), "succeeded" | "gone");
        *wanted.entry(effect).or_default() += usize::from(happens);
    }
    for (effect, wanted) in &wanted {
        let happened = history.effects.iter().filter(|one| one == effect).count();
        if happened != *wanted {
            found.insert(Broken::Effect((*effect).to_owned(), happened, *wanted));
        }
    }
    let phantoms = history.effects.iter().filter(|effect| !wanted.contains_key(effect.as_str()));
    found.extend(phantoms.map(|effect| Broken::Phantom(effect.clone())));
}

fn keys(history: &History, records: &[AuditRecord], found: &mut BTreeSet<Broken>) {
    let made = records.iter().filter(|record| record.kind == RecordType::KeyCreated);
    let made: Vec<&str> = made.filter_map(|record| record.detail.get("key").map(String::as_str)).collect();
    let both = made.iter().copied().chain(history.keys.iter().map(String::as_str)).collect::<BTreeSet<_>>();
    for key in both {
        let times = made.iter().filter(|one| **one == key).count();
        if times != 1 || !history.keys.iter().any(|one| one == key) {
            found.insert(Broken::Key(key.to_owned()));
        }
    }
}

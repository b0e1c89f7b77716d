//! Opening the file: is it ours, of a version we know, in one piece? Then the memory of the writer is built
//! again from it. A file that is not as it must be is refused before anything is written to it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use redb::{Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};
use redb::{StorageError, TableHandle as _};
use tokio::sync::watch;

use crate::domain::digest::Digest;
use crate::domain::id::CallId;
use crate::domain::merkle::leaf_hash;
use crate::pipeline::port::Unavailable;

use super::super::failpoint::FailPoint;
use super::batch::{BY_ID, Gate};
use super::index::KeyIndex;
use super::standing::Standing;
use super::table::{self, API_KEYS, AUDIT, CALLS, FORMAT, LIVE, META, NUMBERS};
use super::writer::Writer;
use super::{Core, RedbStore, Tuning, keys, log, row};

/// The format of the file that this program reads and writes.
const CURRENT: u8 = 1;

/// Memory for pages of the file, in bytes: half of what the whole daemon may use under load. redb's own
/// default would be 1 GiB.
const CACHE: usize = 32 << 20;

/// How many of the last records are hashed again at each start: a torn end shows there.
const CHECKED: u64 = 4_096;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStore {
    /// Another process has it open.
    #[error("the store `{}` is in use by another daemon", .0.display())]
    InUse(PathBuf),
    /// A newer program wrote it.
    #[error("the store `{}` has format {found}, and this program knows formats up to {known}", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u8,
        /// The newest format known here.
        known: u8,
    },
    /// It is not what was written.
    #[error("the store `{}` is damaged: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file cannot be read or written.
    #[error("the store `{}` cannot be opened", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl OpenStore {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::InUse(_) => "use it as it is, stop it with `toolctl stop`, or choose another `--data-dir`",
            Self::Newer { .. } => "use the newer program that wrote it, or choose another `--data-dir`",
            Self::Damaged { .. } => {
                "nothing was changed: keep the file, restore the state folder from a backup, or choose another `--data-dir`"
            }
            Self::Io { .. } => "check that the folder exists, belongs to you and has free space",
        }
    }
}

impl RedbStore {
    /// Opens the store in this file, or makes it.
    ///
    /// # Errors
    /// [`OpenStore`]: in use, newer, damaged, or not to be read.
    pub fn open(path: &Path) -> Result<Self, OpenStore> {
        Self::open_tuned(path, Tuning::default())
    }

    /// Opens the store with a fault on purpose, if there is one.
    ///
    /// # Errors
    /// As [`RedbStore::open`].
    pub fn open_armed(path: &Path, armed: Option<FailPoint>) -> Result<Self, OpenStore> {
        Self::open_with(path, Tuning::default(), armed)
    }

    pub(in crate::store) fn open_tuned(path: &Path, tuning: Tuning) -> Result<Self, OpenStore> {
        Self::open_with(path, tuning, None)
    }

    fn open_with(path: &Path, tuning: Tuning, armed: Option<FailPoint>) -> Result<Self, OpenStore> {
        // A damaged file can make redb panic; that is one more way to say so.
        let opened = catch_unwind(AssertUnwindSafe(|| load(path, tuning)));
        let (core, mut gate) =
            opened.unwrap_or_else(|_| Err(damaged(path, "reading it failed in an unforeseen way")))?;
        gate.armed = armed;
        let core = Arc::new(core);
        let writer = Writer::start(&core, gate).map_err(|source| OpenStore::Io { path: path.to_owned(), source })?;
        Ok(Self { writer, core })
    }
}

fn load(path: &Path, tuning: Tuning) -> Result<(Core, Gate), OpenStore> {
    let mut builder = Builder::new();
    let db = builder.set_cache_size(CACHE).create(path).map_err(|error| refused(path, error))?;
    let damaged = |error: Unavailable| damaged(path, error.why);
    prepare(path, &db)?;
    let (gate, index, standing) = check(&db).and_then(|()| remember(&db, tuning)).map_err(damaged)?;
    let core = Core {
        index: RwLock::new(index),
        standing: Mutex::new(standing),
        grown: watch::Sender::new(gate.state.frontier.size()),
        refused: OnceLock::new(),
        buried_to: Mutex::new([0; 16]),
        quick_repair_from: tuning.quick_repair_from,
        db,
    };
    Ok((core, gate))
}

fn damaged(path: &Path, why: impl Into<String>) -> OpenStore {
    OpenStore::Damaged { path: path.to_owned(), why: why.into() }
}

fn refused(path: &Path, error: DatabaseError) -> OpenStore {
    use std::io::ErrorKind;
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenStore::InUse(path.to_owned()),
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            OpenStore::Io { path: path.to_owned(), source: error }
        }
        error => damaged(path, error.to_string()),
    }
}

/// Checks the format, and makes the tables of a new file.
fn prepare(path: &Path, db: &Database) -> Result<(), OpenStore> {
    let broken = |error: Unavailable| damaged(path, error.why);
    match format_of(db).map_err(broken)? {
        Some(found) if found > CURRENT => Err(OpenStore::Newer { path: path.to_owned(), found, known: CURRENT }),
        Some(_) => Ok(()),
        None => create(db).map_err(broken),
    }
}

/// The format of the file; none when it is new.
fn format_of(db: &Database) -> Result<Option<u8>, Unavailable> {
    let txn = db.begin_read().map_err(Unavailable::new)?;
    let names: Vec<String> =
        txn.list_tables().map_err(Unavailable::new)?.map(|table| table.name().to_owned()).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let not_ours = |_| Unavailable::new("it is the file of another program");
    let meta = txn.open_table(META).map_err(not_ours)?;
    let format = meta.get(FORMAT).map_err(Unavailable::new)?;
    let format = format.and_then(|format| format.value().first().copied());
    format.map(Some).ok_or_else(|| Unavailable::new("it does not say which format it has"))
}

fn create(db: &Database) -> Result<(), Unavailable> {
    let txn = db.begin_write().map_err(Unavailable::new)?;
    for definition in BY_ID {
        txn.open_table(definition).map_err(Unavailable::new)?;
    }
    for definition in [AUDIT, NUMBERS] {
        txn.open_table(definition).map_err(Unavailable::new)?;
    }
    txn.open_table(API_KEYS).map_err(Unavailable::new)?;
    let mut meta = txn.open_table(META).map_err(Unavailable::new)?;
    meta.insert(FORMAT, [CURRENT].as_slice()).map_err(Unavailable::new)?;
    drop(meta);
    txn.commit().map_err(Unavailable::new)
}

/// Compares the log with what the last commit said of it.
fn check(db: &Database) -> Result<(), Unavailable> {
    let txn = db.begin_read().map_err(Unavailable::new)?;
    let size = log::state(&txn)?.frontier.size();
    let records = txn.open_table(AUDIT).map_err(Unavailable::new)?;
    let found = records.len().map_err(Unavailable::new)?;
    if found != size {
        return Err(Unavailable::new(format!("the log has {found} records and should have {size}")));
    }
    let first = size.saturating_sub(CHECKED);
    for (next, row) in (first..).zip(records.range(first..).map_err(Unavailable::new)?) {
        let (index, row) = row.map_err(Unavailable::new)?;
        let (hash, leaf) = table::split_leaf(row.value())?;
        if index.value() != next {
            return Err(Unavailable::new(format!("record {next} of the log is missing")));
        }
        if leaf_hash(leaf.as_bytes()) != hash {
            return Err(Unavailable::new(format!("record {next} of the log is not the one that was written")));
        }
    }
    Ok(())
}

/// Builds what is kept in memory: API keys, live calls, and the keys that the index need not have yet.
fn remember(db: &Database, tuning: Tuning) -> Result<(Gate, KeyIndex, Standing), Unavailable> {
    let txn = db.begin_read().map_err(Unavailable::new)?;
    let mut gate = Gate { state: log::state(&txn)?, ..Gate::default() };
    gate.keys = keys::every_key(&txn)?.into_iter().map(|key| (key.id.clone(), key)).collect();

    let mut standing = Standing::default();
    let calls = txn.open_table(CALLS).map_err(Unavailable::new)?;
    for live in txn.open_table(LIVE).map_err(Unavailable::new)?.iter().map_err(Unavailable::new)? {
        let (id, _) = live.map_err(Unavailable::new)?;
        let id = CallId::from_bytes(*id.value());
        let row = calls.get(&id.bytes()).map_err(Unavailable::new)?;
        let row = row.ok_or_else(|| Unavailable::new(format!("the row of {id} is missing")))?;
        if let Some(call) = row::decode_call(id, row.value())? {
            gate.waiting.follow(None, &call);
            standing.follow(None, &call);
        }
    }

    let mut index = KeyIndex::new(tuning.freeze_at);
    let records = txn.open_table(AUDIT).map_err(Unavailable::new)?;
    for row in records.range(gate.state.indexed..).map_err(Unavailable::new)? {
        let (_, row) = row.map_err(Unavailable::new)?;
        if let Some((key, call)) = key_and_call(table::split_leaf(row.value())?.1)? {
            index.insert(table::half(&key), call.bytes());
        }
    }
    Ok((gate, index, standing))
}

/// The key and the id that the first record of a call names, taken out of the text, as up to a hundred thousand
/// records are read here at each start after a kill. The first record of a call is the only kind with a key,
/// and has what policy said right behind it; no other member of a record reads like these two.
fn key_and_call(leaf: &str) -> Result<Option<(Digest, CallId)>, Unavailable> {
    let Some((before, _)) = leaf.split_once("\",\"policy\":{") else { return Ok(None) };
    let Some((_, key)) = before.rsplit_once("\"key\":\"") else { return Ok(None) };
    let call = before.split_once("\"call\":\"").and_then(|(_, rest)| rest.split_once('"'));
    let Some((call, _)) = call else { return Ok(None) };
    Ok(Some((key.parse().map_err(Unavailable::new)?, call.parse().map_err(Unavailable::new)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{AuditRecord, key_digest};
    use crate::store::conformance::kit::{asking, at, call, policy, succeeded};

    #[test]
    fn only_the_first_record_of_a_call_names_its_key() {
        for call in [call(1, at(1)), asking(2, at(2))] {
            let record = AuditRecord::opened(&call, policy()).detail("key", "sha256:0").detail("policy", "{");
            let expected = (key_digest(&call.principal, &call.key), call.id);
            assert_eq!(key_and_call(&record.leaf()), Ok(Some(expected)));
            let attached = AuditRecord::attached(&call, &asking(3, at(3)), policy());
            assert_eq!(key_and_call(&attached.leaf()), Ok(Some((expected.0, asking(3, at(3)).id))), "or one more key");
            let later = AuditRecord::changed(&call, &succeeded(), Some(policy()));
            assert_eq!(key_and_call(&later.leaf()), Ok(None));
        }
    }
}

//! Reading the log of a store without a daemon, without trust and without changing a byte: for a verifier,
//! which must be able to look at exactly the file that a daemon would refuse.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Builder, DatabaseError, ReadableDatabase as _};

use crate::domain::digest::Digest;
use crate::pipeline::port::Unavailable;

use super::open::OpenStore;
use super::table::AUDIT;
use super::{log, table};

/// Gives each leaf in order, with the hash that was stored beside it where the row still has one, and then
/// the size and root that the store claims.
///
/// # Errors
/// [`OpenStore`]: in use, or in no state to be read at all.
pub fn read_log(path: &Path, each: impl FnMut(&[u8], Option<Digest>)) -> Result<(u64, Digest), OpenStore> {
    let damaged = |why: String| OpenStore::Damaged { path: path.to_owned(), why };
    catch_unwind(AssertUnwindSafe(|| read(path, each)))
        .unwrap_or_else(|_| Err(damaged("reading it failed in an unforeseen way".to_owned())))
}

fn read(path: &Path, mut each: impl FnMut(&[u8], Option<Digest>)) -> Result<(u64, Digest), OpenStore> {
    let damaged = |why: String| OpenStore::Damaged { path: path.to_owned(), why };
    let unreadable = |error: Unavailable| damaged(error.why);
    let db = Builder::new().open_read_only(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenStore::InUse(path.to_owned()),
        DatabaseError::RepairAborted => {
            damaged("its daemon was killed; start and stop a daemon on it once, so that the file is whole".to_owned())
        }
        DatabaseError::Storage(redb::StorageError::Io(source)) => OpenStore::Io { path: path.to_owned(), source },
        other => damaged(other.to_string()),
    })?;
    let txn = db.begin_read().map_err(|error| damaged(error.to_string()))?;
    let frontier = log::state(&txn).map_err(unreadable)?.frontier;
    let records = txn.open_table(AUDIT).map_err(|error| damaged(error.to_string()))?;
    for row in records.range(0..).map_err(|error| damaged(error.to_string()))? {
        let (_, row) = row.map_err(|error| damaged(error.to_string()))?;
        let (hash, leaf) = table::raw_leaf(row.value());
        each(leaf, hash);
    }
    Ok((frontier.size(), frontier.root()))
}

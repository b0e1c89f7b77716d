//! The store of a real daemon: one redb file. One [writer] thread owns all writes and commits whatever waits
//! together; reads run on short snapshots beside it. A call's row, what is derived from it and its records
//! are in one transaction; the [index] of idempotency keys alone follows behind, rebuilt from the log after
//! a crash.
//!
//! The file is opened for one process. redb can also share a file with reading processes, but then every
//! commit takes a second `fdatasync`; an offline check of the log needs the daemon stopped, or asks it.

mod attached;
mod batch;
pub(super) mod desk;
mod index;
pub mod inspect;
mod keys;
mod ledger;
mod log;
mod open;
mod prune;
mod row;
mod row_word;
mod runs;
mod standing;
mod table;
mod writer;

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase as _};
use tokio::sync::watch;

use crate::domain::audit::AuditRecord;
use crate::pipeline::port::{
    Customer, DeskImport, DeskRead, DeskTables as _, Edge, Message, Ticket, Unavailable, Wait,
};

use super::failpoint::Point;
use batch::Leaf;
use index::KeyIndex;
use standing::Standing;
use writer::Writer;

pub use open::OpenStore;

/// A store in one file. See [`crate::store`]. Dropping it writes what waits and closes the file.
#[derive(Debug)]
pub struct RedbStore {
    // Fields are dropped in order: the writer ends before the file is closed.
    writer: Writer,
    core: Arc<Core>,
}

/// What the writer and the readers share.
struct Core {
    db: Database,
    index: RwLock<KeyIndex>,
    standing: Mutex<Standing>,
    grown: watch::Sender<u64>,
    /// Why nothing is written any more.
    refused: OnceLock<Unavailable>,
    /// Calls with a smaller id have no body left, as far as known.
    buried_to: Mutex<table::Id>,
    quick_repair_from: u64,
}

/// What trades time for space; tests reach the edges sooner.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Tuning {
    pub(in crate::store) quick_repair_from: u64,
    pub(in crate::store) freeze_at: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { quick_repair_from: writer::QUICK_REPAIR_FROM, freeze_at: index::FREEZE_AT }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

impl Core {
    /// Looks at a snapshot of what is durable.
    fn read<T>(&self, look: impl FnOnce(&ReadTransaction) -> Result<T, Unavailable>) -> Result<T, Unavailable> {
        look(&self.db.begin_read().map_err(Unavailable::new)?)
    }

    /// From here on nothing is written; the first reason counts. To be called before anybody's answer is
    /// dropped, so that all of them learn why.
    fn refuse(&self, error: Unavailable) -> Unavailable {
        if self.refused.set(error.clone()).is_ok() {
            tracing::error!(why = %error.why, "the store takes no more writes until the next start");
        }
        error
    }

    fn standing<T>(&self, look: impl FnOnce(&Standing) -> T) -> T {
        look(&self.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RedbStore {
    /// Looks at a snapshot at once: for single rows and pages.
    fn look<'a, T: Send + 'a>(
        &'a self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, Unavailable> + Send + 'a,
    ) -> Wait<'a, Result<T, Unavailable>> {
        Box::pin(async move { self.core.read(look) })
    }

    /// Looks at snapshots on a thread where that may take long.
    fn scan<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core) -> Result<T, Unavailable> + Send + 'static,
    ) -> Wait<'_, Result<T, Unavailable>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let scan = tokio::task::spawn_blocking(move || look(&core));
            scan.await.map_err(Unavailable::new)?
        })
    }
}

impl DeskRead for RedbStore {
    fn search<'a>(&'a self, query: &'a str, limit: usize) -> Wait<'a, Result<Vec<Customer>, Unavailable>> {
        self.look(move |txn| desk::search(txn, query, limit))
    }

    fn find_customer(&self, id: i64) -> Wait<'_, Result<Option<Customer>, Unavailable>> {
        self.look(move |txn| desk::find_customer(txn, id))
    }

    fn edges_from<'a>(&'a self, node: &'a str) -> Wait<'a, Result<Vec<Edge>, Unavailable>> {
        self.look(move |txn| desk::edges_from(txn, node))
    }

    fn tickets(&self, limit: usize) -> Wait<'_, Result<Vec<Ticket>, Unavailable>> {
        self.look(move |txn| desk::tickets(txn, limit))
    }

    fn messages(&self, limit: usize) -> Wait<'_, Result<Vec<Message>, Unavailable>> {
        self.look(move |txn| desk::messages(txn, limit))
    }
}

impl DeskImport for RedbStore {
    fn import(
        &self,
        customers: Vec<Customer>,
        edges: Vec<Edge>,
        record: AuditRecord,
    ) -> Wait<'_, Result<u64, Unavailable>> {
        Box::pin(async move {
            let leaf = Leaf::of(&record);
            let write = self.writer.write(move |batch| {
                batch.mark(Point::Import);
                for customer in &customers {
                    batch.desk().put_customer(customer)?;
                }
                for edge in &edges {
                    batch.desk().add_edge(edge)?;
                }
                batch.append(&leaf)
            });
            write.await
        })
    }
}

#[cfg(test)]
mod tests;

//! A store whose nth write fails, for tests of everything that stands on a store. Like a real one it takes
//! no more writes after a failure; reads go on.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::domain::audit::AuditRecord;
use crate::domain::call::{Call, CallEvent};
use crate::domain::digest::Digest;
use crate::domain::id::{CallId, IdempotencyKey, PrincipalId, RunId, ToolName};
use crate::domain::merkle::Frontier;
use crate::domain::run::{Detached, Run, RunEnd};
use crate::domain::time::Timestamp;
use crate::pipeline::opening::Opening;
use crate::pipeline::port::{
    Advanced, Attachment, CallFilter, Conditions, Counts, Customer, DeskImport, DeskRead, Edge, Entry, KeyRecord, Keys,
    Ledger, Log, LogFilter, Message, Opened, Retention, Runs, Store, Ticket, Unavailable, Wait,
};

/// When the failing write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    /// Before anything is written.
    Before,
    /// After it is durable: the answer is lost.
    After,
}

/// A store whose nth write fails.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    nth: u64,
    fails: Fails,
    writes: AtomicU64,
}

impl<S: Store> Faulty<S> {
    /// Wraps `inner`; writes are counted from 1.
    pub const fn new(inner: S, nth: u64, fails: Fails) -> Self {
        Self { inner, nth, fails, writes: AtomicU64::new(0) }
    }

    /// The store inside: what is true after all.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Gives the store back, as a restart would find it.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Whether the write that fails has been reached.
    pub fn has_failed(&self) -> bool {
        self.writes.load(Ordering::SeqCst) >= self.nth
    }

    fn write<'a, T: Send + 'a>(&'a self, write: Wait<'a, Result<T, Unavailable>>) -> Wait<'a, Result<T, Unavailable>> {
        Box::pin(async move {
            let count = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
            let failure = || Unavailable::new(format!("write {} was made to fail", self.nth));
            if count < self.nth {
                return write.await;
            }
            if count == self.nth && self.fails == Fails::After {
                write.await?;
                return Err(failure().maybe_written());
            }
            Err(failure())
        })
    }
}

impl<S: Store> Ledger for Faulty<S> {
    fn open(&self, opening: Opening) -> Wait<'_, Result<Opened, Unavailable>> {
        self.write(self.inner.open(opening))
    }

    fn advance(
        &self,
        id: CallId,
        event: CallEvent,
        conditions: Conditions,
        now: Timestamp,
    ) -> Wait<'_, Result<Advanced, Unavailable>> {
        self.write(self.inner.advance(id, event, conditions, now))
    }

    fn record(&self, records: Vec<AuditRecord>) -> Wait<'_, Result<u64, Unavailable>> {
        self.write(self.inner.record(records))
    }

    fn activate_policy(&self, policy: Digest, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>> {
        self.write(self.inner.activate_policy(policy, record))
    }

    fn register_tools(&self, tools: Vec<(ToolName, Digest)>, now: Timestamp) -> Wait<'_, Result<usize, Unavailable>> {
        self.write(self.inner.register_tools(tools, now))
    }

    fn begin_epoch(&self, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>> {
        self.write(self.inner.begin_epoch(record))
    }

    fn find(&self, id: CallId) -> Wait<'_, Result<Option<Call>, Unavailable>> {
        self.inner.find(id)
    }

    fn find_key<'a>(
        &'a self,
        principal: &'a PrincipalId,
        key: &'a IdempotencyKey,
    ) -> Wait<'a, Result<Option<Call>, Unavailable>> {
        self.inner.find_key(principal, key)
    }

    fn attachments<'a>(
        &'a self,
        principal: &'a PrincipalId,
        run: &'a RunId,
    ) -> Wait<'a, Result<Vec<Attachment>, Unavailable>> {
        self.inner.attachments(principal, run)
    }

    fn find_number(&self, number: u64) -> Wait<'_, Result<Option<Call>, Unavailable>> {
        self.inner.find_number(number)
    }

    fn last_approved<'a>(
        &'a self,
        principal: &'a PrincipalId,
        tool: &'a ToolName,
    ) -> Wait<'a, Result<Option<Call>, Unavailable>> {
        self.inner.last_approved(principal, tool)
    }

    fn calls(&self, filter: CallFilter) -> Wait<'_, Result<Vec<Call>, Unavailable>> {
        self.inner.calls(filter)
    }

    fn pending(&self, after: u64, limit: usize) -> Wait<'_, Result<Vec<Call>, Unavailable>> {
        self.inner.pending(after, limit)
    }

    fn counts(&self) -> Wait<'_, Result<Counts, Unavailable>> {
        self.inner.counts()
    }

    fn refused(&self) -> Option<Unavailable> {
        self.inner.refused()
    }

    fn unfinished(&self) -> Wait<'_, Result<Vec<Call>, Unavailable>> {
        self.inner.unfinished()
    }

    fn due(&self, now: Timestamp) -> Wait<'_, Result<(Vec<CallId>, Option<Timestamp>), Unavailable>> {
        self.inner.due(now)
    }

    fn prune(&self, now: Timestamp, retention: Retention, most: usize) -> Wait<'_, Result<usize, Unavailable>> {
        self.write(self.inner.prune(now, retention, most))
    }
}

impl<S: Store> Log for Faulty<S> {
    fn frontier(&self) -> Wait<'_, Result<Frontier, Unavailable>> {
        self.inner.frontier()
    }

    fn read(&self, from: u64, limit: usize) -> Wait<'_, Result<Vec<Entry>, Unavailable>> {
        self.inner.read(from, limit)
    }

    fn query(
        &self,
        filter: LogFilter,
        from: u64,
        limit: usize,
    ) -> Wait<'_, Result<(Vec<Entry>, Option<u64>), Unavailable>> {
        self.inner.query(filter, from, limit)
    }

    fn first_at(&self, time: Timestamp) -> Wait<'_, Result<u64, Unavailable>> {
        self.inner.first_at(time)
    }

    fn grown(&self) -> watch::Receiver<u64> {
        self.inner.grown()
    }
}

impl<S: Store> Keys for Faulty<S> {
    fn all(&self) -> Wait<'_, Result<Vec<KeyRecord>, Unavailable>> {
        self.inner.all()
    }

    fn put(&self, key: KeyRecord, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>> {
        self.write(self.inner.put(key, record))
    }
}

impl<S: Store> DeskRead for Faulty<S> {
    fn search<'a>(&'a self, query: &'a str, limit: usize) -> Wait<'a, Result<Vec<Customer>, Unavailable>> {
        self.inner.search(query, limit)
    }

    fn find_customer(&self, id: i64) -> Wait<'_, Result<Option<Customer>, Unavailable>> {
        self.inner.find_customer(id)
    }

    fn edges_from<'a>(&'a self, node: &'a str) -> Wait<'a, Result<Vec<Edge>, Unavailable>> {
        self.inner.edges_from(node)
    }

    fn tickets(&self, limit: usize) -> Wait<'_, Result<Vec<Ticket>, Unavailable>> {
        self.inner.tickets(limit)
    }

    fn messages(&self, limit: usize) -> Wait<'_, Result<Vec<Message>, Unavailable>> {
        self.inner.messages(limit)
    }
}

impl<S: Store> DeskImport for Faulty<S> {
    fn import(
        &self,
        customers: Vec<Customer>,
        edges: Vec<Edge>,
        record: AuditRecord,
    ) -> Wait<'_, Result<u64, Unavailable>> {
        self.write(self.inner.import(customers, edges, record))
    }
}

impl<S: Store> Runs for Faulty<S> {
    fn begin_run(&self, run: Run, record: AuditRecord) -> Wait<'_, Result<(Run, bool), Unavailable>> {
        self.write(self.inner.begin_run(run, record))
    }

    fn end_run(
        &self,
        principal: PrincipalId,
        id: RunId,
        end: RunEnd,
        record: AuditRecord,
    ) -> Wait<'_, Result<Option<(Run, bool)>, Unavailable>> {
        self.write(self.inner.end_run(principal, id, end, record))
    }

    fn detach_run(
        &self,
        principal: PrincipalId,
        id: RunId,
        detached: Detached,
        record: AuditRecord,
    ) -> Wait<'_, Result<Option<(Run, bool)>, Unavailable>> {
        self.write(self.inner.detach_run(principal, id, detached, record))
    }

    fn release_run(&self, principal: PrincipalId, id: RunId, record: AuditRecord) -> Wait<'_, Result<(), Unavailable>> {
        self.write(self.inner.release_run(principal, id, record))
    }

    fn detached(&self) -> Wait<'_, Result<Vec<Run>, Unavailable>> {
        self.inner.detached()
    }

    fn find_run<'a>(&'a self, principal: &'a PrincipalId, id: &'a RunId) -> Wait<'a, Result<Option<Run>, Unavailable>> {
        self.inner.find_run(principal, id)
    }

    fn runs(&self, principal: Option<PrincipalId>, limit: usize) -> Wait<'_, Result<Vec<Run>, Unavailable>> {
        self.inner.runs(principal, limit)
    }
}

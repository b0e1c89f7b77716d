//! Baselines B and C: rows of the same number and size, committed to a bare database with the store's own
//! settings and nothing around it. B is a writer thread behind a channel that commits whatever waits; C is one
//! commit at a time, on the thread that wants it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::{Builder, Database, Durability, TableDefinition};
use tokio::sync::oneshot;

use super::Fault;
use super::load::Sample;
use super::machine::written_by_this_thread;
use super::rows::Footprint;

/// What a key takes of a row.
const KEY_BYTES: usize = 8;

/// The memory for pages that the store takes too.
const CACHE: usize = 48 << 20;

/// The number of records from which on the store's commits save what a quick repair needs.
const QUICK_REPAIR_FROM: u64 = 200_000;

/// The most operations that the store puts into one commit.
const MOST_TOGETHER: usize = 512;

/// A bare database.
pub struct Bare {
    database: Database,
    tables: Vec<Rows>,
    next: u64,
    quick_repair: bool,
}

struct Rows {
    name: String,
    each: usize,
    value: Vec<u8>,
}

/// Rows of one call: the values of each table, made before they reach the writer.
type Encoded = Vec<Vec<u8>>;

struct Job {
    rows: Encoded,
    done: oneshot::Sender<()>,
}

/// What a writer thread did.
struct Written {
    bare: Bare,
    bytes: u64,
}

impl Bare {
    /// Makes one in `folder` for rows like these.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(folder: &Path, name: &str, footprint: &Footprint) -> Result<Self, Fault> {
        let database = Builder::new().set_cache_size(CACHE).create(folder.join(name))?;
        let tables = footprint.rows.iter().map(|rows| Rows {
            name: rows.table.clone(),
            each: rows.each,
            value: vec![b'x'; rows.bytes.saturating_sub(KEY_BYTES)],
        });
        let mut bare = Self { database, tables: tables.collect(), next: 0, quick_repair: false };
        let rows = bare.encode();
        bare.commit(std::slice::from_ref(&rows))?;
        Ok(bare)
    }

    /// From here on commits as a store with so many records does.
    pub const fn follow(&mut self, records: u64) {
        self.quick_repair = records >= QUICK_REPAIR_FROM;
    }

    /// One commit after the other, each of the rows of one call.
    ///
    /// # Errors
    /// When a commit fails.
    pub fn alone(&mut self, span: Duration) -> Result<Sample, Fault> {
        let (start, mut latencies) = (Instant::now(), Vec::new());
        while start.elapsed() < span {
            let begun = Instant::now();
            let rows = self.encode();
            self.commit(std::slice::from_ref(&rows))?;
            latencies.push(begun.elapsed());
        }
        Ok(Sample::new(start.elapsed(), latencies))
    }

    /// So many callers, each waiting for its rows to be durable before it sends the next. Also gives the bytes
    /// written to disk.
    ///
    /// # Errors
    /// When a commit fails.
    pub fn group(self, callers: usize, span: Duration) -> Result<(Self, Sample, u64), Fault> {
        let rows = self.encode();
        let (sender, receiver) = mpsc::channel();
        let writer: JoinHandle<Result<Written, Fault>> = std::thread::spawn(move || self.write(&receiver));
        let sample = std::thread::spawn(move || call(callers, span, rows, sender)).join();
        let written = writer.join().map_err(|_| "the writer stopped")??;
        Ok((written.bare, sample.map_err(|_| "the callers stopped")??, written.bytes))
    }

    fn write(mut self, jobs: &mpsc::Receiver<Job>) -> Result<Written, Fault> {
        let before = written_by_this_thread()?;
        while let Ok(first) = jobs.recv() {
            let (mut rows, mut waiting) = (Vec::new(), Vec::new());
            for job in std::iter::once(first).chain(jobs.try_iter()).take(MOST_TOGETHER) {
                rows.push(job.rows);
                waiting.push(job.done);
            }
            self.commit(&rows)?;
            for done in waiting {
                let _ = done.send(());
            }
        }
        Ok(Written { bytes: written_by_this_thread()? - before, bare: self })
    }

    fn encode(&self) -> Encoded {
        self.tables.iter().map(|rows| rows.value.clone()).collect()
    }

    fn commit(&mut self, calls: &[Encoded]) -> Result<(), Fault> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(self.quick_repair);
        for (place, rows) in self.tables.iter().enumerate() {
            let mut table = transaction.open_table(TableDefinition::<u64, &[u8]>::new(&rows.name))?;
            let mut key = self.next * rows.each as u64;
            for value in calls.iter().filter_map(|call| call.get(place)) {
                for _ in 0..rows.each {
                    table.insert(key, value.as_slice())?;
                    key += 1;
                }
            }
        }
        transaction.commit()?;
        self.next += calls.len() as u64;
        Ok(())
    }
}

fn call(callers: usize, span: Duration, rows: Encoded, sender: mpsc::Sender<Job>) -> Result<Sample, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (start, rows) = (Instant::now(), Arc::new(rows));
        let mut tasks = Vec::with_capacity(callers);
        for _ in 0..callers {
            let (rows, sender) = (Arc::clone(&rows), sender.clone());
            tasks.push(tokio::spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < span {
                    let begun = Instant::now();
                    let (done, acknowledged) = oneshot::channel();
                    sender.send(Job { rows: rows.to_vec(), done }).map_err(|_| "the writer is gone")?;
                    acknowledged.await?;
                    latencies.push(begun.elapsed());
                }
                Ok::<_, Fault>(latencies)
            }));
        }
        drop(sender);
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await??);
        }
        Ok(Sample::new(start.elapsed(), latencies))
    })
}

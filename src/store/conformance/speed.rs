//! How fast the store is beside redb itself: the same rows, written in groups by one thread, without any
//! decision, hash or encoding. Run by hand:
//! `cargo test --release --lib -- --ignored --nocapture store::conformance::speed`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redb::{Builder, TableDefinition};
use tokio::sync::{mpsc, oneshot};

use super::kit::*;
use crate::domain::audit::AuditRecord;
use crate::domain::id::CallId;
use crate::pipeline::port::{CallFilter, LogFilter, Opened};
use crate::store::RedbStore;
use crate::store::redb::Tuning;

const RUN: Duration = Duration::from_secs(2);
const CALLERS: [u64; 3] = [1, 8, 64];

/// Lets so many callers work for [`RUN`]; prints calls a second, and the median and the 99th percentile in
/// microseconds.
async fn measure<F, W>(what: &str, callers: u64, call: F)
where
    F: Fn(u64) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = ()> + Send,
{
    let nth = Arc::new(AtomicU64::new(1));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (call, nth) = (call.clone(), Arc::clone(&nth));
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while begin.elapsed() < RUN {
                    let start = Instant::now();
                    call(nth.fetch_add(1, Ordering::Relaxed)).await;
                    waits.push(start.elapsed());
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("it ran"));
    }
    let rate = waits.len() as f64 / begin.elapsed().as_secs_f64();
    waits.sort_unstable();
    let (median, late) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    println!(
        "{what:<28} {callers:>3} callers {rate:>8.0}/s  p50 {:>6} µs  p99 {:>6} µs",
        median.as_micros(),
        late.as_micros()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, to be run by hand in release"]
async fn calls_beside_bare_commits() {
    for callers in CALLERS {
        let folder = tempfile::tempdir().expect("a folder");
        bare(&folder.path().join("bare.redb"), callers, false).await;
        bare(&folder.path().join("quick.redb"), callers, true).await;
        let store: Any = Arc::new(crate::store::open(&folder.path().join("store.redb")).expect("a new store"));
        begun(&store).await;
        let settled = Arc::clone(&store);
        measure("in-store calls", callers, move |nth| {
            let store = Arc::clone(&settled);
            async move {
                let opened = open(&store, settling(call(nth, at(nth / 1_000)), AddTicket)).await;
                assert!(matches!(opened, Opened::Settled(_)), "{opened:?}");
            }
        })
        .await;
        let recorded = Arc::clone(&store);
        measure("records alone", callers, move |nth| {
            let store = Arc::clone(&recorded);
            async move {
                let record = AuditRecord::opened(&call(nth, at(nth / 1_000)), policy());
                store.record(vec![record]).await.expect("written");
            }
        })
        .await;
    }
}

/// The rows of an in-store call: its row, its record, a ticket, and the state.
async fn bare(path: &Path, callers: u64, quick_repair: bool) {
    const CALLS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("calls");
    const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
    const TICKETS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("tickets");
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    type Waiting = (CallId, oneshot::Sender<()>);

    let db = Builder::new().set_cache_size(32 << 20).create(path).expect("a new file");
    let (queue, mut operations) = mpsc::channel::<Waiting>(4_096);
    let writer = std::thread::spawn(move || {
        let (mut group, mut index): (Vec<Waiting>, u64) = (Vec::new(), 0);
        while operations.blocking_recv_many(&mut group, 512) > 0 {
            let mut txn = db.begin_write().expect("begun");
            txn.set_quick_repair(quick_repair);
            let mut calls = txn.open_table(CALLS).expect("a table");
            let mut audit = txn.open_table(AUDIT).expect("a table");
            let mut tickets = txn.open_table(TICKETS).expect("a table");
            let mut meta = txn.open_table(META).expect("a table");
            for (id, _) in &group {
                calls.insert(&id.bytes(), [1; 330].as_slice()).expect("written");
                audit.insert(index, [2; 800].as_slice()).expect("written");
                tickets.insert(index, [3; 160].as_slice()).expect("written");
                index += 1;
            }
            meta.insert("state", [4; 400].as_slice()).expect("written");
            drop((calls, audit, tickets, meta));
            txn.commit().expect("committed");
            group.drain(..).for_each(|(_, answer)| answer.send(()).expect("the caller waits"));
        }
    });
    let what = if quick_repair { "bare redb, quick repair" } else { "bare redb" };
    let sender = queue.clone();
    measure(what, callers, move |nth| {
        let queue = sender.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            queue.send((id(at(nth / 1_000), nth), answer)).await.expect("the writer lives");
            answered.await.expect("the writer lives");
        }
    })
    .await;
    drop(queue);
    writer.join().expect("it ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, to be run by hand in release"]
async fn a_large_store_opens_and_is_read() {
    for (what, quick_repair_from) in [("state saved at each commit", 0), ("state not saved", u64::MAX)] {
        println!("-- {what}");
        large(Tuning { quick_repair_from, ..Tuning::default() }).await;
    }
}

async fn large(tuning: Tuning) {
    const CALLS: u64 = 200_000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let store: Any = Arc::new(RedbStore::open_tuned(&path, tuning).expect("a new store"));
    begun(&store).await;
    let begin = Instant::now();
    let tasks = (0..256).map(|task| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for nth in (task..CALLS).step_by(256) {
                open(&store, settling(call(nth, at(nth / 1_000)), AddTicket)).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("it ran");
    }
    let bytes = std::fs::metadata(&path).expect("a file").len();
    println!("{CALLS} calls in {:?}, {} bytes a call on disk", begin.elapsed(), bytes / CALLS);
    let copy = folder.path().join("killed.redb");
    std::fs::copy(&path, &copy).expect("copied");

    let begin = Instant::now();
    let killed = RedbStore::open_tuned(&copy, tuning).expect("it opens");
    println!("opened after a kill in {:?}", begin.elapsed());
    drop(killed);
    let begin = Instant::now();
    let store: Any = Arc::new(crate::store::open(&copy).expect("it opens"));
    println!("opened after a clean end in {:?}", begin.elapsed());

    let begin = Instant::now();
    store.first_at(at(200)).await.expect("the store works");
    println!("a time found in {:?}", begin.elapsed());
    let begin = Instant::now();
    let filter = LogFilter { actor: "agent:nobody".parse().ok(), ..LogFilter::default() };
    store.query(filter, 0, 50).await.expect("the store works");
    println!("all records searched for an actor in {:?}", begin.elapsed());
    let begin = Instant::now();
    store.calls(CallFilter { limit: 50, ..CallFilter::default() }).await.expect("the store works");
    println!("a page of calls in {:?}", begin.elapsed());
}

//! What only a file can show: that it is there again after a restart or a kill, and what is refused.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;

use super::*;
use crate::domain::approval::Verdict;
use crate::domain::audit::RecordType;
use crate::domain::call::{Call, CallEvent};
use crate::pipeline::port::{Counts, Fatigue, Log as _, Opened};
use crate::store::conformance::kit::{self, *};

const EAGER: Tuning = Tuning { quick_repair_from: 0, freeze_at: 4 };

fn opened(path: &Path) -> Any {
    Arc::new(RedbStore::open(path).expect("the store opens"))
}

/// What a kill at this moment would leave on the disk.
fn killed(path: &Path, name: &str) -> std::path::PathBuf {
    let copy = path.with_file_name(name);
    std::fs::copy(path, &copy).expect("copied");
    copy
}

/// A story that leaves a call in each state.
async fn lived(store: &Any) -> Vec<Call> {
    begun(store).await;
    put_key(store, api_key("parentparent", None)).await;
    for nth in 1..=6 {
        kit::open(store, settling(call(nth, at(nth)), AddTicket)).await;
    }
    kit::open(store, running(call(7, at(7)))).await;
    let approved = waiting(store, asking(8, at(8))).await;
    done(advance(store, approved.id, decided(&approved, Verdict::Approve, at(9)), at(9)).await);
    waiting(store, asking(9, at(9))).await;
    let rejected = waiting(store, asking(10, at(10))).await;
    done(advance(store, rejected.id, decided(&rejected, Verdict::Reject, at(11)), at(11)).await);
    let lost = waiting(store, asking(11, at(12))).await;
    done(advance(store, lost.id, decided(&lost, Verdict::Approve, at(12)), at(12)).await);
    done(advance(store, lost.id, dispatched(), at(12)).await);
    done(advance(store, lost.id, CallEvent::Lost, at(13)).await);
    everything(store).await
}

async fn everything(store: &Any) -> Vec<Call> {
    let filter = crate::pipeline::port::CallFilter { limit: 100, ..Default::default() };
    store.calls(filter).await.expect("the store works")
}

async fn is_as_before(store: &Any, before: &[Call]) {
    assert_eq!(everything(store).await, before);
    sound(store).await;
    assert_eq!(store.counts().await, Ok(Counts { pending: 1, in_doubt: 1 }));
    assert_eq!(store.unfinished().await.map(|calls| calls.len()), Ok(3));
    assert_eq!(store.due(at(0)).await, Ok((Vec::new(), Some(at(609)))), "the approved call must start by then");
    assert_eq!(store.all().await, Ok(vec![api_key("parentparent", None)]));
    let same = |nth: u64, when| {
        let mut same = asking(nth, when);
        (same.id, same.key) = (id(when, 200 + nth), format!("again-{nth}").parse().expect("a key"));
        same
    };
    assert!(matches!(kit::open(store, running(same(9, at(20)))).await, Opened::Attached(_)));
    assert!(matches!(kit::open(store, running(call(3, at(20)))).await, Opened::Seen(_)), "an old key");
    let one = Fatigue { rejections: 1, ..Fatigue::default() };
    let opening = running(same(12, at(20)));
    let opening = crate::pipeline::opening::Opening::from_parts(
        opening.call().clone(),
        policy(),
        opening.start().clone(),
        None,
        one,
    );
    assert!(matches!(kit::open(store, opening).await, Opened::CircuitOpen { .. }));
    let next = waiting(store, same(12, at(21))).await;
    assert_eq!(next.approval.map(|approval| approval.number), Some(5), "numbers go on");
    assert_eq!(store.begin_epoch(AuditRecord::new(RecordType::DaemonStarted, at(30))).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_store_opens_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let store = opened(&path);
    let before = lived(&store).await;
    drop(store);
    let store = RedbStore::open(&path).expect("it opens");
    let records = store.frontier().await.expect("the store works").size();
    assert_eq!(store.core.read(log::state).map(|state| state.indexed), Ok(records), "nothing is left to index");
    is_as_before(&(Arc::new(store) as Any), &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_store_opens_as_it_was() {
    for (name, tuning) in [("plain", Tuning::default()), ("eager", EAGER)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.redb");
        let store: Any = Arc::new(RedbStore::open_tuned(&path, tuning).expect("a new store"));
        let before = lived(&store).await;
        is_as_before(&opened(&killed(&path, name)), &before).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_is_found_after_a_kill_at_any_point_of_the_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let store: Any = Arc::new(RedbStore::open_tuned(&path, EAGER).expect("a new store"));
    begun(&store).await;
    for nth in 1..=20 {
        kit::open(&store, settling(call(nth, at(nth)), AddTicket)).await;
        let copy: Any = Arc::new(RedbStore::open_tuned(&killed(&path, "copy"), EAGER).expect("it opens"));
        for earlier in 1..=nth {
            let found = copy.find_key(&call(1, at(1)).principal, &call(earlier, at(1)).key).await;
            assert_eq!(found.map(|call| call.map(|call| call.id)), Ok(Some(call(earlier, at(earlier)).id)));
            assert!(matches!(kit::open(&copy, running(call(earlier, at(99)))).await, Opened::Seen(_)));
        }
    }
}

/// Holds the writer: what does it, what ends when it is held, and what lets it go on.
fn hold(
    store: &RedbStore,
) -> (impl Future<Output = Result<(), Unavailable>>, oneshot::Receiver<()>, std::sync::mpsc::Sender<()>) {
    let (go, held) = std::sync::mpsc::channel();
    let (holds, holding) = oneshot::channel();
    let hold = store.writer.write(move |_| {
        drop(holds);
        held.recv().map_err(Unavailable::new)
    });
    (hold, holding, go)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_used_again_as_its_tombstone_goes_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(RedbStore::open(&folder.path().join("store.redb")).expect("a new store"));
    let any: Any = store.clone();
    begun(&any).await;
    let first = call(1, at(1));
    kit::open(&any, settling(first.clone(), AddTicket)).await;
    let again = |nth| Call { key: first.key.clone(), fingerprint: first.fingerprint, ..call(nth, at(nth)) };
    let digest = crate::domain::audit::key_digest(&first.principal, &first.key);

    // While the writer is held, both enter the queue, and so one transaction.
    let (hold, holding, go) = hold(&store);
    let both = async {
        let _ = holding.await;
        tokio::join!(
            store.writer.write(move |batch| batch.remove(first.id, &digest)),
            kit::open(&any, settling(again(2), AddTicket)),
            async { go.send(()) },
        )
    };
    let (_, (removed, opened, _)) = tokio::join!(hold, both);

    assert_eq!(removed, Ok(()));
    assert!(matches!(opened, Opened::Settled(_)), "{opened:?}");
    let seen = kit::open(&any, settling(again(3), AddTicket)).await;
    assert!(matches!(seen, Opened::Seen(ref call) if call.id == again(2).id), "{seen:?}");
}

#[tokio::test]
async fn an_answer_waits_for_nobody_else_of_its_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(RedbStore::open(&folder.path().join("store.redb")).expect("a new store"));
    let write = || Box::pin(store.writer.write(|_| Ok(())));
    for place in [0, 1] {
        let (hold, holding, go) = hold(&store);
        let both = async {
            let _ = holding.await;
            // Both stand in the queue, and so in one group, before the writer goes on.
            let mut group = [write(), write()];
            let queued =
                poll_fn(|context| Poll::Ready(group.each_mut().map(|one| one.as_mut().poll(context).is_pending())));
            assert_eq!(queued.await, [true, true]);
            go.send(()).expect("the writer is held");
            // The other one is not looked at any more.
            let answer = tokio::time::timeout(Duration::from_secs(60), &mut group[place]).await;
            assert_eq!(answer, Ok(Ok(())), "the answer at {place}");
        };
        let (held, ()) = tokio::join!(hold, both);
        assert_eq!(held, Ok(()));
    }
}

#[tokio::test]
async fn one_daemon_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let _first = RedbStore::open(&path).expect("a new store");
    assert!(matches!(RedbStore::open(&path), Err(OpenStore::InUse(_))));
}

#[tokio::test]
async fn a_newer_format_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    drop(RedbStore::open(&path).expect("a new store"));
    change(&path, |txn| {
        let mut meta = txn.open_table(table::META).expect("a table");
        meta.insert(table::FORMAT, [9].as_slice()).expect("written");
    });
    let error = RedbStore::open(&path).expect_err("it is newer");
    let expected = format!("the store `{}` has format 9, and this program knows formats up to 1", path.display());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_log_that_was_changed_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let store = opened(&path);
    begun(&store).await;
    kit::open(&store, running(call(1, at(1)))).await;
    drop(store);
    let other = AuditRecord::new(RecordType::DaemonStopped, at(1)).leaf();
    let hash = crate::domain::merkle::leaf_hash(b"something else");
    for (name, row) in [("altered", Some(table::encode_leaf(&other, &hash))), ("cut", None)] {
        let copy = killed(&path, name);
        change(&copy, |txn| {
            let mut records = txn.open_table(table::AUDIT).expect("a table");
            match &row {
                Some(row) => drop(records.insert(1, row.as_slice()).expect("written")),
                None => drop(records.remove(1).expect("written")),
            }
        });
        assert!(matches!(RedbStore::open(&copy), Err(OpenStore::Damaged { .. })), "{name}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    std::fs::write(&path, "this is a diary, not a database".repeat(1_000)).expect("written");
    assert!(matches!(RedbStore::open(&path), Err(OpenStore::Damaged { .. })));
    let missing = folder.path().join("no/such/folder/store.redb");
    assert!(matches!(RedbStore::open(&missing), Err(OpenStore::Io { .. })));
}

fn change(path: &Path, edit: impl FnOnce(&redb::WriteTransaction)) {
    let db = Database::open(path).expect("it opens");
    let txn = db.begin_write().expect("begun");
    edit(&txn);
    txn.commit().expect("committed");
}

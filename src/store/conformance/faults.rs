//! Writes that fail: whatever the moment, state and records say the same afterwards, and nothing more is
//! written.

use std::sync::Arc;

use super::kit::*;
use super::on_every_backend;
use crate::domain::approval::Verdict;
use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::call::CallEvent;
use crate::domain::id::CallId;
use crate::pipeline::opening::Opening;
use crate::pipeline::port::{Conditions, Ledger, Store, Unavailable};
use crate::store::faulty::{Fails, Faulty};
use crate::store::{MemoryStore, RedbStore};

on_every_backend!(an_effect_that_cannot_write_stops_the_store);

async fn an_effect_that_cannot_write_stops_the_store(store: Any) {
    begun(&store).await;
    open(&store, settling(call(1, at(1)), AddTicket)).await;
    let disk_full = Unavailable::new("the disk is full");
    assert_eq!(store.open(settling(call(2, at(2)), Break)).await, Err(disk_full.clone()));
    assert_eq!(store.open(running(call(3, at(3)))).await, Err(disk_full), "it says why to everybody after");
    assert_eq!(store.find(call(2, at(2)).id).await, Ok(None));
    sound(&store).await;
}

/// Every kind of write once; stops at the first that fails.
async fn scenario(store: &dyn Ledger) -> Result<(), Unavailable> {
    store.begin_epoch(AuditRecord::new(RecordType::DaemonStarted, at(0))).await?;
    store.activate_policy(policy().digest, AuditRecord::new(RecordType::PolicyActivated, at(0))).await?;
    store.open(settling(call(1, at(1)), AddTicket)).await?;
    let quick = call(2, at(2));
    store.open(running(quick.clone())).await?;
    plain(store, quick.id, succeeded()).await?;
    let asked = asking(3, at(3));
    store.open(running(asked.clone())).await?;
    plain(store, asked.id, decided(&asked, Verdict::Approve, at(4))).await?;
    plain(store, asked.id, dispatched()).await?;
    plain(store, asked.id, CallEvent::Lost).await?;
    let refused = asking(4, at(5));
    store.open(running(refused.clone())).await?;
    plain(store, refused.id, decided(&refused, Verdict::Reject, at(6))).await?;
    let confirmed = asking(5, at(7));
    let yes = decision(&confirmed, Verdict::Approve, at(7));
    store.open(settling(confirmed, AddTicket).confirmed(yes)).await?;
    store.record(vec![AuditRecord::new(RecordType::DaemonStopped, at(8))]).await?;
    Ok(())
}

async fn plain(store: &dyn Ledger, id: CallId, event: CallEvent) -> Result<(), Unavailable> {
    store.advance(id, event, Conditions::default(), at(7)).await.map(drop)
}

async fn survives_every_failure<S: Store + 'static>(make: impl Fn(u64, Fails) -> S) {
    for fails in [Fails::Before, Fails::After] {
        for nth in 1.. {
            let faulty = Faulty::new(make(nth, fails), nth, fails);
            let ended = scenario(&faulty).await;
            assert_eq!(ended.is_err(), faulty.has_failed(), "write {nth}, {fails:?}");
            let is_over = ended.is_ok();
            let store: Any = Arc::new(faulty.into_inner());
            sound(&store).await;
            let settled = store.tickets(10).await.expect("the store works").len();
            let completed = story(&store).await.iter().filter(|line| *line == "call.completed succeeded").count();
            let ran_outside = usize::from(completed > 1);
            assert_eq!(settled, completed - ran_outside, "a ticket for each record that says so, and no other");
            if is_over {
                break;
            }
        }
    }
}

#[tokio::test]
async fn no_failed_write_separates_state_and_record_in_memory() {
    survives_every_failure(|_, _| MemoryStore::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failed_write_separates_state_and_record_in_redb() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |nth, fails| RedbStore::open(&folder.path().join(format!("{nth}-{fails:?}"))).expect("a new store");
    survives_every_failure(make).await;
}

#[tokio::test]
async fn an_opening_is_kept_when_only_its_answer_is_lost() {
    let faulty = Faulty::new(MemoryStore::new(), 2, Fails::After);
    faulty
        .activate_policy(policy().digest, AuditRecord::new(RecordType::PolicyActivated, at(0)))
        .await
        .expect("written");
    let opening: Opening = running(call(1, at(1)));
    assert!(faulty.open(opening.clone()).await.is_err());
    assert!(faulty.open(opening.clone()).await.is_err(), "a store that failed takes no more writes");
    let store = faulty.into_inner();
    assert!(matches!(store.open(opening).await, Ok(crate::pipeline::port::Opened::Seen(_))));
}

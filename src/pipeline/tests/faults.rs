//! P4: the nth write of the store fails, before it or after it, for every n of a day's work. Nothing may
//! run without a record, twice, or unapproved; and what was answered must still be true after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::super::port::*;
use super::super::submission::Reply;
use super::world::World;
use super::{RAISE, status, ticket};
use crate::domain::approval::Verdict;
use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::id::CallId;
use crate::store::faulty::{Fails, Faulty};
use crate::store::{MemoryStore, RedbStore};

/// What a caller was told, by its key: the output, byte for byte.
type Told = BTreeMap<&'static str, String>;

const STEPS: [(&str, &str); 5] =
    [("k1", "create_ticket"), ("k2", RAISE), ("k3", RAISE), ("k4", "search_customer"), ("k5", "create_ticket")];

fn arguments(key: &str) -> serde_json::Value {
    match key {
        "k1" => ticket(),
        "k2" => status(),
        "k3" => json!({"customer_id": 3, "new_status": "Paused"}),
        "k4" => json!({"query": "acme"}),
        _ => json!({"customer_id": 2, "title": "Slow search"}),
    }
}

/// A day's work. What fails is left as it is, as a caller without patience would.
async fn work(world: &World, told: &mut Told) {
    for (key, tool) in STEPS {
        let answer = world.call(tool, arguments(key), Some(key)).await;
        let answer = match answer {
            Ok(Reply::Pending { call, .. }) if call.approval.is_some() => {
                let verdict = if key == "k3" { Verdict::Reject } else { Verdict::Approve };
                world.says("user:anna", verdict, call.id).await
            }
            other => other,
        };
        if let Ok(Reply::Done { call, .. }) = answer {
            let output = call.outcome().and_then(|outcome| outcome.output()).map(|output| output.as_str().to_owned());
            let now = output.unwrap_or_else(|| call.state.word().to_owned());
            let before = told.entry(key).or_insert_with(|| now.clone());
            assert_eq!(*before, now, "{key} was answered differently before");
        }
    }
}

async fn records(store: &dyn Store) -> Vec<AuditRecord> {
    let entries = store.read(0, 10_000).await.unwrap();
    entries.iter().map(|entry| serde_json::from_str(&entry.leaf).unwrap()).collect()
}

/// One day with a failure, then a restart and the same work again. Gives whether the failure was reached.
async fn day<S: Store + 'static>(store: S, nth: u64, fails: Fails) -> bool {
    let what = format!("write {nth} failed {fails:?}");
    let faulty = Arc::new(Faulty::new(store, nth, fails));
    let mut told = Told::new();
    let (mut people, mut tools, mut clock) = (None, None, None);
    if let Ok(world) = World::over(faulty.clone()).await {
        work(&world, &mut told).await;
        (people, tools, clock) = (Some(world.people.clone()), Some(world.tools.clone()), Some(world.clock.clone()));
    }
    let reached = faulty.has_failed();
    // Runs that were started go on until they have tried to write their end.
    let mut faulty = faulty;
    let store = loop {
        match Arc::try_unwrap(faulty) {
            Ok(faulty) => break Arc::new(faulty.into_inner()),
            Err(shared) => {
                faulty = shared;
                tokio::task::yield_now().await;
            }
        }
    };
    let world = match (people, tools, clock) {
        (Some(people), Some(tools), Some(clock)) => World::again(store.clone(), people, tools, clock).await,
        _ => World::over(store.clone()).await,
    };
    let world = world.unwrap();
    world.path.recover().await.unwrap();
    world.path.idle().await;
    work(&world, &mut told).await;
    let report = world.verify().await;
    assert!(report.verified, "{what}: {report:?}");
    let log = records(&*store).await;
    let mut runs: BTreeMap<CallId, usize> = BTreeMap::new();
    for id in world.tools.ran.lock().unwrap().iter() {
        *runs.entry(*id).or_default() += 1;
    }
    for (id, times) in runs {
        let of_call = |kind| log.iter().filter(|record| record.kind == kind && record.call == Some(id)).count();
        // What only reads may run as often as it likes, and its record comes after it.
        let reads = store.find(id).await.unwrap().is_none_or(|call| call.tool.as_str() == "search_customer");
        if !reads {
            assert_eq!((times, of_call(RecordType::CallDispatched)), (1, 1), "{what}: {id}");
        }
    }
    reached
}

async fn every_n<S: Store + 'static>(mut fresh: impl FnMut() -> S) {
    for fails in [Fails::Before, Fails::After] {
        let mut nth = 1;
        while day(fresh(), nth, fails).await {
            nth += 1;
            assert!(nth < 100, "the work has an end");
        }
        assert!(nth > 12, "{fails:?}: only {nth} writes were reached");
    }
}

#[tokio::test]
async fn a_failing_write_never_runs_anything_unrecorded_twice_or_unapproved_in_memory() {
    every_n(MemoryStore::new).await;
}

#[tokio::test]
async fn a_failing_write_never_runs_anything_unrecorded_twice_or_unapproved_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    every_n(|| {
        count += 1;
        RedbStore::open(&folder.path().join(format!("{count}.redb"))).unwrap()
    })
    .await;
}

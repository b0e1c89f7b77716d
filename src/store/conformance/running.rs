//! Runs of workflows: the first word counts, for the beginning as for the end, and old ones are forgotten.

use std::time::Duration;

use serde_json::json;

use super::kit::*;
use super::on_every_backend;
use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::id::RunId;
use crate::domain::json::Canonical;
use crate::domain::principal::Credential;
use crate::domain::run::{Detached, Run, RunEnd, RunVerdict};
use crate::pipeline::port::{CallFilter, Retention};

on_every_backend!(
    the_first_word_counts,
    a_run_has_the_calls_whose_keys_start_with_it,
    runs_are_forgotten_with_their_results,
    a_run_is_left_to_the_daemon_until_it_is_over,
);

fn run(who: &str, id: &str, plan: u64, seconds: u64) -> Run {
    Run {
        principal: who.parse().expect("a principal"),
        id: id.parse().expect("a run"),
        workflow: "w".to_owned(),
        plan: Canonical::of(&json!({"plan": plan})),
        began_at: at(seconds),
        end: None,
        detached: None,
    }
}

fn left(credential: &Credential, seconds: u64) -> Detached {
    Detached { credential: credential.clone(), at: at(seconds) }
}

async fn detach(store: &Any, of: &Run, detached: Detached) -> Option<(Run, bool)> {
    let record = AuditRecord::new(RecordType::RunDetached, detached.at);
    store.detach_run(of.principal.clone(), of.id.clone(), detached, record).await.expect("the store works")
}

async fn release(store: &Any, of: &Run) {
    let record = AuditRecord::new(RecordType::RunReleased, at(9));
    store.release_run(of.principal.clone(), of.id.clone(), record).await.expect("the store works");
}

fn ended(verdict: RunVerdict, seconds: u64) -> RunEnd {
    RunEnd { verdict, detail: Canonical::of(&json!({})), at: at(seconds) }
}

async fn begin(store: &Any, run: Run) -> (Run, bool) {
    let record = AuditRecord::new(RecordType::RunBegun, run.began_at);
    store.begin_run(run, record).await.expect("the store works")
}

async fn end(store: &Any, of: &Run, end: RunEnd) -> Option<(Run, bool)> {
    let record = AuditRecord::new(RecordType::RunEnded, end.at);
    store.end_run(of.principal.clone(), of.id.clone(), end, record).await.expect("the store works")
}

async fn the_first_word_counts(store: Any) {
    begun(&store).await;
    let first = run("agent:a", "r1", 1, 1);
    assert_eq!(end(&store, &first, ended(RunVerdict::Failed, 1)).await, None);
    assert_eq!(begin(&store, first.clone()).await, (first.clone(), true));
    assert_eq!(begin(&store, run("agent:a", "r1", 2, 2)).await, (first.clone(), false));
    let other = run("agent:b", "r1", 3, 3);
    assert_eq!(begin(&store, other.clone()).await, (other.clone(), true), "ids belong to principals");
    let later = run("agent:a", "r2", 4, 4);
    begin(&store, later.clone()).await;
    let done = Run { end: Some(ended(RunVerdict::Succeeded, 5)), ..first.clone() };
    assert_eq!(end(&store, &first, ended(RunVerdict::Succeeded, 5)).await, Some((done.clone(), true)));
    assert_eq!(end(&store, &first, ended(RunVerdict::Cancelled, 6)).await, Some((done.clone(), false)));
    assert_eq!(store.find_run(&first.principal, &first.id).await, Ok(Some(done.clone())));
    assert_eq!(store.runs(Some(first.principal.clone()), 10).await, Ok(vec![later, done.clone()]));
    assert_eq!(store.runs(None, 2).await.expect("the store works").len(), 2);
    assert_eq!(store.frontier().await.expect("the log").size(), 1 + 3 + 1, "what changes nothing is no record");
    sound(&store).await;
}

async fn a_run_has_the_calls_whose_keys_start_with_it(store: Any) {
    begun(&store).await;
    for (nth, key) in [(1, "r1/a"), (2, "r1/b/0"), (3, "r11/a"), (4, "r1")] {
        waiting(&store, crate::domain::call::Call { key: key.parse().expect("a key"), ..asking(nth, at(nth)) }).await;
    }
    let run: RunId = "r1".parse().expect("a run");
    let filter = CallFilter { run: Some(run), limit: 10, ..CallFilter::default() };
    let calls = store.calls(filter).await.expect("the store works");
    assert_eq!(calls.iter().map(|call| call.key.as_str()).collect::<Vec<_>>(), ["r1/b/0", "r1/a"]);
}

async fn runs_are_forgotten_with_their_results(store: Any) {
    begun(&store).await;
    let hour = Duration::from_secs(3_600);
    let retention = Retention { bodies: hour, tombstones: hour * 3 };
    let (over, open) = (run("agent:a", "over", 1, 0), run("agent:a", "open", 1, 0));
    begin(&store, over.clone()).await;
    begin(&store, open.clone()).await;
    end(&store, &over, ended(RunVerdict::Succeeded, 10)).await;
    assert_eq!(store.prune(at(3_600), retention, 100).await, Ok(0));
    assert_eq!(store.prune(at(3_610), retention, 100).await, Ok(1));
    assert_eq!(store.runs(None, 10).await, Ok(vec![open]));
    assert_eq!(store.prune(at(3_600 * 3), retention, 100).await, Ok(1));
    assert_eq!(store.runs(None, 10).await, Ok(vec![]));
    sound(&store).await;
}

async fn a_run_is_left_to_the_daemon_until_it_is_over(store: Any) {
    begun(&store).await;
    let (peer, key) = (Credential::Peer(7), Credential::Key("0123456789ab".parse().expect("a key")));
    let runs = ["r1", "r2", "r3"].map(|id| run("agent:a", id, 1, 1));
    let [done, failed, open] = &runs;
    assert_eq!(detach(&store, done, left(&peer, 1)).await, None, "what has not begun cannot be left to anybody");
    for run in &runs {
        begin(&store, run.clone()).await;
        let theirs = Run { detached: Some(left(&peer, 2)), ..run.clone() };
        assert_eq!(detach(&store, run, left(&peer, 2)).await, Some((theirs.clone(), true)));
        assert_eq!(detach(&store, run, left(&peer, 3)).await, Some((theirs, false)), "again is nothing new");
    }
    let other = Run { detached: Some(left(&key, 4)), ..open.clone() };
    assert_eq!(detach(&store, open, left(&key, 4)).await, Some((other.clone(), true)), "now for another credential");
    release(&store, open).await;
    assert_eq!(store.find_run(&open.principal, &open.id).await, Ok(Some(other.clone())), "an open run goes on");

    let done_now = Run { end: Some(ended(RunVerdict::Succeeded, 5)), ..done.clone() };
    assert_eq!(end(&store, done, ended(RunVerdict::Succeeded, 5)).await, Some((done_now.clone(), true)));
    assert_eq!(detach(&store, done, left(&key, 6)).await, Some((done_now, false)), "there is nothing left to do");
    let failed_now = Run { end: Some(ended(RunVerdict::Failed, 5)), ..failed.clone() };
    let theirs = Run { detached: Some(left(&peer, 2)), ..failed_now.clone() };
    assert_eq!(end(&store, failed, ended(RunVerdict::Failed, 5)).await, Some((theirs.clone(), true)));
    assert_eq!(store.detached().await, Ok(vec![theirs, other.clone()]), "steps follow a failure");
    let retention = Retention { bodies: Duration::from_secs(1), tombstones: Duration::from_secs(100) };
    assert_eq!(store.prune(at(50), retention, 100).await, Ok(1), "it is kept as long as there is something left to do");
    release(&store, failed).await;
    release(&store, failed).await;
    assert_eq!(store.find_run(&failed.principal, &failed.id).await, Ok(Some(failed_now)));
    end(&store, open, ended(RunVerdict::Cancelled, 8)).await;
    assert_eq!(store.detached().await, Ok(vec![]));
    // Three began, were left and ended; one was left again, one forgotten, and one released.
    assert_eq!(store.frontier().await.expect("the log").size(), 1 + 3 * 3 + 3, "what changes nothing is no record");
    sound(&store).await;
}

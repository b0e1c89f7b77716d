//! Calls that wait for people: numbers, pages, limits, deadlines, doubt, and what is removed when it is old.

use std::time::Duration;

use super::kit::*;
use super::on_every_backend;
use crate::domain::approval::{Decision, Evidence, Verdict};
use crate::domain::call::{CallEvent, CallState, Resolution};
use crate::domain::digest::Digest;
use crate::pipeline::opening::{Opening, Start};
use crate::pipeline::port::{Attachment, Counts, Fatigue, Opened, Recorded, Retention};

on_every_backend!(
    waiting_calls_are_numbered_and_paged,
    a_confirmed_call_runs_in_the_write_that_makes_it,
    a_callers_consent_is_no_persons_vote,
    an_identical_request_attaches,
    what_is_opened_tentatively_is_answered_and_makes_nothing,
    people_are_not_worn_down,
    deadlines_end_what_nobody_decides,
    a_lost_runner_leaves_doubt_until_somebody_says,
    old_results_leave_a_tombstone_and_then_nothing,
);

async fn waiting_calls_are_numbered_and_paged(store: Any) {
    begun(&store).await;
    for nth in 1..=7 {
        let waiting = waiting(&store, asking(nth, at(nth))).await;
        assert_eq!(store.find_number(nth).await, Ok(Some(waiting)));
    }
    let second = store.find_number(2).await.expect("the store works").expect("a call");
    done(advance(&store, second.id, decided(&second, Verdict::Reject, at(8)), at(8)).await);

    let numbers = async |after, limit| {
        let calls = store.pending(after, limit).await.expect("the store works");
        calls.iter().map(|call| call.approval.as_ref().expect("it asks").number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(0, 3).await, [1, 3, 4]);
    assert_eq!(numbers(4, 3).await, [5, 6, 7]);
    assert_eq!(numbers(7, 3).await, [0; 0]);
    assert_eq!(store.counts().await, Ok(Counts { pending: 6, in_doubt: 0 }));
    assert_eq!(store.find_number(8).await, Ok(None));
    sound(&store).await;
}

async fn a_confirmed_call_runs_in_the_write_that_makes_it(store: Any) {
    begun(&store).await;
    let effect = std::sync::Arc::new(AddTicket);
    for (nth, start) in [
        (1, Start::Dispatch { epoch: 1, again: crate::domain::call::Again::Never }),
        (2, Start::InStore { epoch: 1, effect }),
    ] {
        let call = asking(nth, at(nth));
        let yes = decision(&call, Verdict::Approve, at(nth));
        let opening = Opening::from_parts(call, policy(), start, Some(yes), Fatigue::default());
        let opened = open(&store, opening).await;
        assert!(matches!((nth, &opened), (1, Opened::Started(_)) | (2, Opened::Settled(_))), "{opened:?}");
    }
    let expected = [
        "policy.activated",
        "approval.requested awaiting_approval",
        "approval.decided ready",
        "call.dispatched running",
        "approval.requested awaiting_approval",
        "approval.decided ready",
        "call.completed succeeded",
    ];
    assert_eq!(story(&store).await, expected);
    assert_eq!(store.counts().await, Ok(Counts::default()));
    sound(&store).await;
}

async fn a_callers_consent_is_no_persons_vote(store: Any) {
    begun(&store).await;
    let mut call = asking(1, at(1));
    let approval = call.approval.as_mut().expect("it asks");
    let mut people = approval.requirements[0].clone();
    people.rule = "people".to_owned();
    approval.requirements[0].consent = true;
    approval.requirements.push(people);
    let binding = call.approval.as_ref().expect("it asks").bind(&call);
    call.approval.as_mut().expect("it asks").binding = binding;
    let call = waiting(&store, call).await;

    let given = Decision {
        by: call.principal.clone(),
        groups: std::collections::BTreeSet::new(),
        evidence: Evidence::ClientElicitation,
        ..decision(&call, Verdict::Approve, at(2))
    };
    let after = done(advance(&store, call.id, CallEvent::Decided(given.clone()), at(2)).await);
    assert_eq!(after.state, CallState::AwaitingApproval, "the other rule wants a person");
    let kept = store.find(call.id).await.expect("the store works").expect("a call");
    assert_eq!(kept.approval.expect("it asks").decisions, [given]);
    let ready = done(advance(&store, call.id, decided(&call, Verdict::Approve, at(3)), at(3)).await);
    assert_eq!(ready.state, CallState::Ready);
    sound(&store).await;
}

async fn an_identical_request_attaches(store: Any) {
    begun(&store).await;
    let first = waiting(&store, asking(1, at(1))).await;
    let mut same = asking(1, at(2));
    same.id = id(at(2), 50);
    same.key = "r/a".parse().expect("a key");
    assert_eq!(open(&store, running(same.clone())).await, Opened::Attached(first.clone()));
    assert_eq!(open(&store, running(same.clone())).await, Opened::Seen(first.clone()), "the key now stands for it");
    let mut other = asking(2, at(2));
    (other.id, other.key) = (id(at(2), 51), same.key.clone());
    assert_eq!(open(&store, running(other)).await, Opened::KeyReused);

    let run = |id: &str| id.parse().expect("a run");
    let attached = Attachment { key: same.key.clone(), opener: first.key.clone(), call: first.id };
    assert_eq!(store.attachments(&same.principal, &run("r")).await, Ok(vec![attached.clone()]));
    assert_eq!(store.attachments(&same.principal, &run("other")).await, Ok(vec![]));
    assert_eq!(store.attachments(&"agent:other".parse().expect("a name"), &run("r")).await, Ok(vec![]));

    let rejected = done(advance(&store, first.id, decided(&first, Verdict::Reject, at(3)), at(3)).await);
    assert_eq!(store.attachments(&same.principal, &run("r")).await, Ok(vec![attached]), "it outlives the waiting");
    assert_eq!(open(&store, running(same.clone())).await, Opened::Seen(rejected.clone()), "and for how it ended");
    assert_eq!(store.find_key(&same.principal, &same.key).await, Ok(Some(rejected)));
    (same.id, same.key) = (id(at(4), 52), "third".parse().expect("a key"));
    let principal = same.principal.clone();
    assert!(matches!(open(&store, running(same)).await, Opened::Waiting(_)), "nothing waits for it any more");
    let later = at(8 * 86_400);
    assert_eq!(store.prune(later, Retention::default(), 100).await, Ok(1), "the body of the first call");
    assert_eq!(store.attachments(&principal, &run("r")).await, Ok(vec![]), "it goes with the body of its call");
    assert_eq!(store.prune(later, Retention::default(), 100).await, Ok(0));
    sound(&store).await;
}

async fn what_is_opened_tentatively_is_answered_and_makes_nothing(store: Any) {
    begun(&store).await;
    assert_eq!(open(&store, running(asking(1, at(1))).tentative()).await, Opened::Nothing);
    assert_eq!(story(&store).await, ["policy.activated"], "nothing was written");
    assert_eq!(store.find(asking(1, at(1)).id).await, Ok(None));

    let first = waiting(&store, asking(1, at(1))).await;
    assert_eq!(first.approval.as_ref().map(|approval| approval.number), Some(1), "no number is lost");
    assert_eq!(open(&store, running(asking(1, at(1))).tentative()).await, Opened::Seen(first.clone()));
    let mut same = asking(1, at(2));
    (same.id, same.key) = (id(at(2), 50), "another".parse().expect("a key"));
    assert_eq!(open(&store, running(same.clone()).tentative()).await, Opened::Attached(first.clone()));
    assert_eq!(open(&store, running(same)).await, Opened::Seen(first), "and that is remembered");
    sound(&store).await;
}

async fn people_are_not_worn_down(store: Any) {
    begun(&store).await;
    let fatigue =
        Fatigue { most_pending: 2, rejections: 3, within: Duration::from_secs(900), pause: Duration::from_secs(600) };
    let ask = |nth, when| {
        let start = Start::Dispatch { epoch: 1, again: crate::domain::call::Again::Never };
        Opening::from_parts(asking(nth, when), policy(), start, None, fatigue)
    };
    for nth in 1..=3 {
        let Opened::Waiting(Recorded { call, .. }) = open(&store, ask(nth, at(nth * 10))).await else { panic!() };
        done(advance(&store, call.id, decided(&call, Verdict::Reject, at(nth * 10)), at(nth * 10)).await);
    }
    assert_eq!(open(&store, ask(4, at(40)).tentative()).await, Opened::CircuitOpen { until: at(630) });
    assert_eq!(open(&store, ask(4, at(40))).await, Opened::CircuitOpen { until: at(630) });
    assert_eq!(open(&store, ask(4, at(629))).await, Opened::CircuitOpen { until: at(630) });
    assert!(matches!(open(&store, ask(4, at(630))).await, Opened::Waiting(_)));
    assert!(matches!(open(&store, ask(5, at(631))).await, Opened::Waiting(_)));
    assert_eq!(open(&store, ask(6, at(632))).await, Opened::TooManyPending);
    assert_eq!(open(&store, ask(6, at(632)).tentative()).await, Opened::TooManyPending);
    sound(&store).await;
}

async fn deadlines_end_what_nobody_decides(store: Any) {
    begun(&store).await;
    let first = waiting(&store, asking(1, at(0))).await;
    let second = waiting(&store, asking(2, at(100))).await;
    assert_eq!(store.due(at(3599)).await, Ok((Vec::new(), Some(at(3600)))));
    assert_eq!(store.due(at(3600)).await, Ok((vec![first.id], Some(at(3700)))));
    assert_eq!(done(advance(&store, first.id, CallEvent::Expired, at(3600)).await).state.word(), "expired");

    done(advance(&store, second.id, decided(&second, Verdict::Approve, at(3650)), at(3650)).await);
    assert_eq!(store.due(at(3700)).await, Ok((Vec::new(), Some(at(4250)))), "now it must start in time");
    done(advance(&store, second.id, dispatched(), at(3701)).await);
    assert_eq!(store.due(at(9999)).await, Ok((Vec::new(), None)));
    sound(&store).await;
}

async fn a_lost_runner_leaves_doubt_until_somebody_says(store: Any) {
    begun(&store).await;
    let first = waiting(&store, asking(1, at(1))).await;
    done(advance(&store, first.id, decided(&first, Verdict::Approve, at(2)), at(2)).await);
    done(advance(&store, first.id, dispatched(), at(3)).await);
    let lost = done(advance(&store, first.id, CallEvent::Lost, at(4)).await);
    assert_eq!(store.counts().await, Ok(Counts { pending: 0, in_doubt: 1 }));
    assert_eq!(store.unfinished().await, Ok(vec![lost]));

    let by: crate::domain::id::PrincipalId = "user:bo".parse().expect("a principal");
    let rerun = CallEvent::Resolved { by: by.clone(), resolution: Resolution::Rerun, note: None, preview: None };
    let again = done(advance(&store, first.id, rerun, at(5)).await);
    assert_eq!(again.state, CallState::AwaitingApproval);
    assert_eq!(store.pending(0, 10).await, Ok(vec![again]), "under its old number");
    assert_eq!(store.counts().await, Ok(Counts { pending: 1, in_doubt: 0 }));
    sound(&store).await;
}

async fn old_results_leave_a_tombstone_and_then_nothing(store: Any) {
    const DAY: u64 = 86_400;
    begun(&store).await;
    open(&store, settling(call(1, at(1)), AddTicket)).await;
    let kept = waiting(&store, asking(2, at(2))).await;
    open(&store, settling(call(3, at(5 * DAY)), AddTicket)).await;
    let retention = Retention::default();
    assert_eq!(store.prune(at(7 * DAY), retention, 100).await, Ok(0), "one second is missing");
    assert_eq!(store.prune(at(8 * DAY), retention, 100).await, Ok(1));

    let same = |when| {
        let mut same = call(1, when);
        same.id = id(when, 70);
        same
    };
    assert_eq!(store.find(call(1, at(1)).id).await, Ok(None));
    assert_eq!(open(&store, running(same(at(8 * DAY)))).await, Opened::ResultExpired);
    let mut other = same(at(8 * DAY));
    other.fingerprint = Digest::plain(b"other");
    assert_eq!(open(&store, running(other)).await, Opened::KeyReused);

    assert_eq!(store.prune(at(90 * DAY), retention, 100).await, Ok(1), "the third call's body");
    assert_eq!(store.prune(at(98 * DAY), retention, 100).await, Ok(1), "the first call's tombstone");
    assert!(matches!(open(&store, running(same(at(98 * DAY)))).await, Opened::Started(_)), "the key is free again");
    assert_eq!(store.find(kept.id).await, Ok(Some(kept)), "what has not ended never gets old");
    assert_eq!(story(&store).await.iter().filter(|line| *line == "log.pruned").count(), 3);
    sound(&store).await;
}

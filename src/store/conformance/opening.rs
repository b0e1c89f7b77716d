//! Opening and running calls: every answer of `open`, and that of all who try at once one wins.

use std::sync::Arc;

use super::kit::*;
use super::on_every_backend;
use crate::domain::call::{CallEvent, CallState, IllegalTransition};
use crate::domain::digest::Digest;
use crate::domain::principal::Credential;
use crate::pipeline::port::{Advanced, Conditions, Opened, Recorded};

on_every_backend!(
    a_call_that_needs_nobody_is_dispatched_in_the_write_that_makes_it,
    an_effect_of_our_own_runs_in_the_write_of_its_record,
    the_same_key_finds_the_same_call,
    another_policy_or_a_revoked_key_opens_nothing,
    conditions_are_checked_when_a_call_starts,
    of_many_who_dispatch_one_wins,
    of_many_who_open_with_one_key_one_starts,
    a_refused_operation_drops_out_of_its_group_alone,
    events_that_do_not_fit_change_nothing,
);

async fn a_call_that_needs_nobody_is_dispatched_in_the_write_that_makes_it(store: Any) {
    begun(&store).await;
    let opened = open(&store, running(call(1, at(1)))).await;
    let Opened::Started(Recorded { call: started, index: 1 }) = opened else { panic!("{opened:?}") };
    assert_eq!((started.state.word(), started.attempts), ("running", 1));
    assert_eq!(store.find(started.id).await, Ok(Some(started.clone())));
    assert_eq!(store.unfinished().await, Ok(vec![started.clone()]));

    let ended = done(advance(&store, started.id, succeeded(), at(2)).await);
    assert_eq!(store.find(started.id).await, Ok(Some(ended)));
    assert_eq!(store.unfinished().await, Ok(Vec::new()));
    assert_eq!(story(&store).await, ["policy.activated", "call.dispatched running", "call.completed succeeded"]);
    sound(&store).await;
}

async fn an_effect_of_our_own_runs_in_the_write_of_its_record(store: Any) {
    begun(&store).await;
    let opened = open(&store, settling(call(1, at(1)), AddTicket)).await;
    let Opened::Settled(Recorded { call: settled, index: 1 }) = opened else { panic!("{opened:?}") };
    assert_eq!(
        settled.outcome().and_then(|o| o.output()).map(|o| o.as_str().to_owned()),
        Some("{\"ticket_id\":1}".to_owned())
    );
    let tickets = store.tickets(10).await.expect("the store works");
    assert_eq!(tickets.iter().map(|ticket| ticket.title.clone()).collect::<Vec<_>>(), [settled.id.to_string()]);

    let opened = open(&store, settling(call(2, at(2)), FindNobody)).await;
    assert!(matches!(&opened, Opened::Settled(r) if r.call.state.word() == "failed"), "{opened:?}");
    assert_eq!(story(&store).await, ["policy.activated", "call.completed succeeded", "call.completed failed"]);
    sound(&store).await;
}

async fn the_same_key_finds_the_same_call(store: Any) {
    begun(&store).await;
    let Opened::Started(Recorded { call: first, .. }) = open(&store, running(call(1, at(1)))).await else { panic!() };

    let mut again = call(1, at(5));
    again.id = id(at(5), 99);
    assert_eq!(open(&store, running(again.clone())).await, Opened::Seen(first.clone()));

    let mut other = again.clone();
    other.fingerprint = Digest::plain(b"other");
    assert_eq!(open(&store, running(other)).await, Opened::KeyReused);

    let mut stranger = again;
    stranger.principal = "agent:b".parse().expect("a principal");
    assert!(matches!(open(&store, running(stranger)).await, Opened::Started(_)), "keys belong to their principal");
    assert_eq!(story(&store).await.len(), 3, "nothing else was written");
    sound(&store).await;
}

async fn another_policy_or_a_revoked_key_opens_nothing(store: Any) {
    assert_eq!(open(&store, running(call(1, at(1)))).await, Opened::PolicyChanged, "no policy is in force yet");
    begun(&store).await;
    let mut keyed = call(1, at(1));
    keyed.credential = Credential::Key("childchild00".parse().expect("a handle"));
    assert_eq!(open(&store, running(keyed.clone())).await, Opened::CredentialGone, "an unknown key");

    put_key(&store, api_key("parentparent", None)).await;
    put_key(&store, api_key("childchild00", Some("parentparent"))).await;
    assert!(matches!(open(&store, running(keyed)).await, Opened::Started(_)));

    let mut revoked = api_key("parentparent", None);
    revoked.revoked_at = Some(at(2));
    put_key(&store, revoked.clone()).await;
    let mut late = call(2, at(3));
    late.credential = Credential::Key("childchild00".parse().expect("a handle"));
    assert_eq!(open(&store, running(late)).await, Opened::CredentialGone, "a key dies with its parent");
    let keys = store.all().await.expect("the store works");
    assert_eq!(keys, [api_key("childchild00", Some("parentparent")), revoked]);
    sound(&store).await;
}

async fn conditions_are_checked_when_a_call_starts(store: Any) {
    begun(&store).await;
    let waiting = waiting(&store, asking(1, at(1))).await;
    let yes = decided(&waiting, crate::domain::approval::Verdict::Approve, at(2));
    let approved = done(advance(&store, waiting.id, yes, at(2)).await);
    assert_eq!(approved.state, CallState::Ready);

    let mut stale = policy();
    stale.digest = Digest::plain(b"policy 0");
    let conditions = Conditions { policy: Some(stale), ..Conditions::default() };
    assert_eq!(store.advance(waiting.id, dispatched(), conditions, at(3)).await, Ok(Advanced::PolicyChanged));

    let gone = Credential::Key("childchild00".parse().expect("a handle"));
    let credentials = vec![Credential::Environment, gone.clone()];
    let conditions = Conditions { policy: Some(policy()), credentials, effect: None, ..Conditions::default() };
    assert_eq!(store.advance(waiting.id, dispatched(), conditions, at(3)).await, Ok(Advanced::CredentialGone(gone)));
    assert_eq!(store.find(waiting.id).await, Ok(Some(approved)), "nothing was written");

    let conditions = Conditions {
        policy: Some(policy()),
        credentials: Vec::new(),
        effect: Some(Arc::new(AddTicket)),
        ..Conditions::default()
    };
    let settled = done(store.advance(waiting.id, dispatched(), conditions, at(3)).await.expect("the store works"));
    assert_eq!(settled.state.word(), "succeeded");
    assert_eq!(store.last_approved(&settled.principal, &settled.tool).await, Ok(Some(settled)));
    let expected = [
        "policy.activated",
        "approval.requested awaiting_approval",
        "approval.decided ready",
        "call.completed succeeded",
    ];
    assert_eq!(story(&store).await, expected);
    sound(&store).await;
}

async fn of_many_who_dispatch_one_wins(store: Any) {
    begun(&store).await;
    let waiting = waiting(&store, asking(1, at(1))).await;
    let yes = decided(&waiting, crate::domain::approval::Verdict::Approve, at(2));
    done(advance(&store, waiting.id, yes, at(2)).await);
    let tries = (0..32).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { advance(&store, waiting.id, dispatched(), at(3)).await })
    });
    let mut winners = 0;
    for advanced in tries.collect::<Vec<_>>() {
        match advanced.await.expect("it ran") {
            Advanced::Done(_) => winners += 1,
            Advanced::Illegal(IllegalTransition::State { state: "running" }, call) => {
                assert_eq!(call.state.word(), "running");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(winners, 1);
    sound(&store).await;
}

async fn of_many_who_open_with_one_key_one_starts(store: Any) {
    begun(&store).await;
    let tries = (0..64).map(|nth| {
        let store = Arc::clone(&store);
        let mut call = call(1, at(1));
        call.id = id(at(1), nth);
        tokio::spawn(async move { open(&store, running(call)).await })
    });
    let (mut started, mut seen) = (Vec::new(), Vec::new());
    for opened in tries.collect::<Vec<_>>() {
        match opened.await.expect("it ran") {
            Opened::Started(recorded) => started.push(recorded.call),
            Opened::Seen(call) => seen.push(call),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((started.len(), seen.len()), (1, 63));
    assert!(seen.iter().all(|call| *call == started[0]));
    sound(&store).await;
}

async fn a_refused_operation_drops_out_of_its_group_alone(store: Any) {
    begun(&store).await;
    let tries = (0..60).map(|nth| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            match nth % 3 {
                0 => matches!(open(&store, settling(call(nth, at(1)), AddTicket)).await, Opened::Settled(_)),
                1 => matches!(advance(&store, id(at(9), nth), succeeded(), at(1)).await, Advanced::NotFound),
                _ => {
                    let mut keyed = call(nth, at(1));
                    keyed.credential = Credential::Key("nosuchkey000".parse().expect("a handle"));
                    open(&store, running(keyed)).await == Opened::CredentialGone
                }
            }
        })
    });
    for as_expected in tries.collect::<Vec<_>>() {
        assert!(as_expected.await.expect("it ran"));
    }
    assert_eq!(store.tickets(100).await.expect("the store works").len(), 20);
    assert_eq!(store.frontier().await.expect("the store works").size(), 21);
    sound(&store).await;
}

async fn events_that_do_not_fit_change_nothing(store: Any) {
    begun(&store).await;
    assert_eq!(advance(&store, id(at(1), 1), succeeded(), at(1)).await, Advanced::NotFound);
    let Opened::Started(Recorded { call, .. }) = open(&store, running(call(1, at(1)))).await else { panic!() };
    let by = "user:bo".parse().expect("a principal");
    let illegal = advance(&store, call.id, CallEvent::Cancelled { by }, at(2)).await;
    assert_eq!(illegal, Advanced::Illegal(IllegalTransition::State { state: "running" }, call));
    assert_eq!(story(&store).await, ["policy.activated", "call.dispatched running"]);
    sound(&store).await;
}

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::approval::{Assurance, Evidence, Requirement};
use super::*;

const START: Timestamp = Timestamp::from_micros(1_000_000_000);

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn call(quorum: u32) -> Call {
    let arguments = Canonical::trusted(r#"{"customer_id":1}"#);
    let mut call = Call {
        id: CallId::from_bytes([1; 16]),
        tool: "t".parse().unwrap(),
        tool_digest: Digest::plain(b"tool"),
        effect: EffectClass::Once,
        principal: "agent:x".parse().unwrap(),
        credential: Credential::Peer(1),
        chain: Vec::new(),
        key: "k".parse().unwrap(),
        fingerprint: Digest::plain(b"fp"),
        effective: Digest::plain(arguments.as_str().as_bytes()),
        arguments,
        salt: [2; 16],
        reason: None,
        created_at: START,
        changed_at: START,
        attempts: 0,
        approval: None,
        state: CallState::Ready,
    };
    if quorum > 0 {
        let group = "approvers".parse().unwrap();
        let rule = "r".to_owned();
        let requirements =
            vec![Requirement { group, quorum, assurance: Assurance::A0, rule, ttl: None, consent: false }];
        let mut approval = Approval {
            number: 1,
            nonce: [3; 16],
            requirements,
            asked_at: START,
            decide_by: at(100),
            execute_within: Duration::from_secs(10),
            round: 1,
            binding: Digest::plain(b""),
            preview: None,
            decisions: Vec::new(),
            approved_at: None,
        };
        approval.binding = approval.bind(&call);
        call.approval = Some(approval);
        call.state = CallState::AwaitingApproval;
    }
    call
}

fn says(call: &Call, who: &str, verdict: Verdict) -> CallEvent {
    CallEvent::Decided(Decision {
        by: who.parse().unwrap(),
        credential: Credential::Peer(2),
        groups: BTreeSet::from(["approvers".parse().unwrap()]),
        verdict,
        reason: None,
        assurance: Assurance::A0,
        evidence: Evidence::Person,
        self_approved: false,
        binding: call.approval.as_ref().map_or(Digest::plain(b""), |approval| approval.binding),
        at: START,
    })
}

fn dispatched() -> CallEvent {
    CallEvent::Dispatched { epoch: 1, again: Again::Never }
}

fn done() -> CallEvent {
    CallEvent::Finished(Outcome::Succeeded { output: Canonical::trusted("{}") })
}

#[test]
fn a_call_that_needs_two_people_runs_after_both_and_once() {
    let call = call(2);
    let event = says(&call, "user:a", Verdict::Approve);
    let call = call.apply(&event, at(1)).unwrap();
    assert_eq!(call.state.word(), "awaiting_approval");
    assert_eq!(call.clone().apply(&event, at(2)), Err(IllegalTransition::Repeated));
    assert_eq!(call.clone().apply(&dispatched(), at(2)), Err(IllegalTransition::State { state: "awaiting_approval" }));
    let other = says(&call, "user:a", Verdict::Reject);
    assert_eq!(call.clone().apply(&other, at(2)), Err(IllegalTransition::Contradicted));
    let event = says(&call, "user:b", Verdict::Approve);
    let call = call.apply(&event, at(3)).unwrap();
    let running = call.clone().apply(&dispatched(), at(12)).unwrap();
    assert_eq!(running.effect_so_far(), Effect::Unknown);
    assert_eq!(call.apply(&dispatched(), at(13)), Err(IllegalTransition::TooLate), "ten seconds after the approval");
    let closed = running.clone().apply(&done(), at(500)).unwrap();
    assert_eq!((closed.state.word(), closed.effect_so_far()), ("succeeded", Effect::Done));
    assert!(running.apply(&dispatched(), at(20)).is_err());
    assert!(closed.apply(&done(), at(501)).is_err());
}

#[test]
fn one_no_ends_it_and_late_or_foreign_votes_do_not_count() {
    let fresh = call(1);
    let no = says(&fresh, "user:a", Verdict::Reject);
    let closed = fresh.clone().apply(&no, at(1)).unwrap();
    assert_eq!((closed.state.word(), closed.effect_so_far()), ("rejected", Effect::None));
    assert_eq!(fresh.clone().apply(&no, at(100)), Err(IllegalTransition::TooLate));
    assert_eq!(fresh.clone().apply(&CallEvent::Expired, at(99)), Err(IllegalTransition::TooEarly));
    assert_eq!(fresh.clone().apply(&CallEvent::Expired, at(100)).unwrap().state.word(), "expired");
    let CallEvent::Decided(mut foreign) = says(&fresh, "user:a", Verdict::Approve) else { unreachable!() };
    foreign.binding = Digest::plain(b"something else");
    assert_eq!(fresh.apply(&CallEvent::Decided(foreign), at(1)), Err(IllegalTransition::Binding));
}

#[test]
fn a_lost_call_runs_again_only_when_that_is_harmless() {
    for (again, now, expected) in [
        (Again::Never, 1, "in_doubt"),
        (Again::Harmless, 1_000_000, "ready"),
        (Again::Until(at(50)), 49, "ready"),
        (Again::Until(at(50)), 50, "in_doubt"),
    ] {
        let event = CallEvent::Dispatched { epoch: 1, again };
        let lost = call(0).apply(&event, at(0)).unwrap().apply(&CallEvent::Lost, at(now)).unwrap();
        assert_eq!(lost.state.word(), expected, "{again:?} at {now}");
    }
}

#[test]
fn what_provably_did_not_start_starts_and_what_is_doubted_waits_for_people() {
    for again in [Again::Never, Again::Harmless] {
        let running = call(0).apply(&CallEvent::Dispatched { epoch: 1, again }, at(0)).unwrap();
        assert_eq!(running.clone().apply(&CallEvent::NotStarted, at(9)).unwrap().state.word(), "ready");
        let doubted = running.apply(&CallEvent::Doubted { why: "x".into() }, at(9)).unwrap();
        assert_eq!((doubted.state.word(), doubted.effect_so_far()), ("in_doubt", Effect::Unknown));
        assert_eq!(doubted.clone().apply(&done(), at(10)).unwrap().state.word(), "succeeded", "it reports late");
        assert!(doubted.apply(&CallEvent::NotStarted, at(10)).is_err());
    }
}

#[test]
fn a_rerun_needs_its_approvals_again_under_another_binding() {
    let fresh = call(1);
    let first = fresh.approval.as_ref().unwrap().binding;
    let yes = says(&fresh, "user:a", Verdict::Approve);
    let in_doubt = fresh.apply(&yes, at(1)).unwrap().apply(&dispatched(), at(2)).unwrap();
    let in_doubt = in_doubt.apply(&CallEvent::Lost, at(3)).unwrap();
    let by = "user:op".parse().unwrap();
    let rerun = CallEvent::Resolved { by, resolution: Resolution::Rerun, note: None, preview: None };
    let asked = in_doubt.apply(&rerun, at(1000)).unwrap();
    assert_eq!(asked.state, CallState::AwaitingApproval);
    let approval = asked.approval.as_ref().unwrap();
    assert_ne!(approval.binding, first);
    assert_eq!((approval.decisions.len(), approval.decide_by), (0, at(1100)));
    assert_eq!(asked.clone().apply(&yes, at(1001)), Err(IllegalTransition::Binding), "yesterday's yes");
    let yes = says(&asked, "user:a", Verdict::Approve);
    assert_eq!(asked.apply(&yes, at(1001)).unwrap().state, CallState::Ready);
}

fn said(words: &str) -> Option<Preview> {
    let said = Ok(Canonical::of(&serde_json::json!(words)));
    Some(Preview { tool: "look".parse().unwrap(), said, binding: true })
}

#[test]
fn a_preview_is_part_of_what_is_agreed_to() {
    let plain = call(1);
    let bound = |preview| {
        let mut approval = plain.approval.clone().unwrap();
        approval.preview = preview;
        approval.bind(&plain)
    };
    assert_eq!(bound(None), plain.approval.as_ref().unwrap().binding);
    assert_ne!(bound(said("two files")), bound(None));
    assert_ne!(bound(said("two files")), bound(said("three files")));
    let failed = Preview { said: Err("two files".to_owned()), ..said("x").unwrap() };
    assert_ne!(bound(Some(failed)), bound(said("two files")));
}

#[test]
fn a_preview_binds_until_an_earlier_start_may_have_changed_it() {
    let mut running = call(0).apply(&CallEvent::Dispatched { epoch: 1, again: Again::Harmless }, at(1)).unwrap();
    running.approval = call(1).approval;
    running.approval.as_mut().unwrap().preview = said("two files");
    let binds = |call: &Call| call.approval.as_ref().unwrap().preview.as_ref().unwrap().binding;
    assert!(binds(&running.clone().apply(&CallEvent::NotStarted, at(2)).unwrap()), "nothing ran");
    let lost = running.clone().apply(&CallEvent::Lost, at(2)).unwrap();
    assert_eq!((&lost.state, binds(&lost)), (&CallState::Ready, false));
    let in_doubt = running.apply(&CallEvent::Doubted { why: "x".into() }, at(2)).unwrap();
    let by = "user:op".parse().unwrap();
    let rerun = CallEvent::Resolved { by, resolution: Resolution::Rerun, note: None, preview: said("one file") };
    let asked = in_doubt.apply(&rerun, at(3)).unwrap().approval.unwrap();
    assert_eq!(asked.preview, said("one file"), "people are asked about what it would do now");
}

/// An event of the model, in any order and at any time.
fn any_event() -> impl Strategy<Value = (u8, u8, u64)> {
    (0u8..12, 0u8..3, 0u64..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// P7, small: whatever happens in whatever order, a call never runs without its people, never runs
    /// after a no or after its deadline, is dispatched at most once per round, and never leaves its end.
    #[test]
    fn no_history_runs_what_people_did_not_allow(quorum in 0u32..4, events in proptest::collection::vec(any_event(), 1..40)) {
        let mut call = call(quorum);
        let mut now = 0;
        let mut yes: BTreeSet<String> = BTreeSet::new();
        let (mut no, mut dispatches, mut rounds) = (false, 0u32, 1u32);
        let mut approved_at = None;
        for (kind, who, later) in events {
            now += later / 10;
            let person = format!("user:{who}");
            let verdict = if kind == 1 { Verdict::Reject } else { Verdict::Approve };
            let event = match kind {
                0..=2 => says(&call, &person, verdict),
                3 => dispatched(),
                4 => done(),
                5 => CallEvent::Expired,
                6 => CallEvent::Cancelled { by: person.parse().unwrap() },
                7 => CallEvent::Lost,
                9 => CallEvent::Doubted { why: "x".into() },
                10 => CallEvent::NotStarted,
                8 => {
                    let by = person.parse().unwrap();
                    CallEvent::Resolved { by, resolution: Resolution::Rerun, note: None, preview: None }
                }
                _ => CallEvent::Stale { changed: "x".into() },
            };
            let before = call.clone();
            let Ok(after) = call.clone().apply(&event, at(now)) else { continue };
            prop_assert!(!before.is_closed(), "nothing leaves its end");
            match &event {
                CallEvent::Decided(decision) if decision.verdict == Verdict::Approve => {
                    yes.insert(person);
                    if after.state == CallState::Ready {
                        approved_at = Some(now);
                    }
                }
                CallEvent::Decided(_) => no = true,
                CallEvent::Dispatched { .. } => {
                    dispatches += 1;
                    prop_assert!(!no, "ran after a no");
                    prop_assert!(yes.len() >= quorum as usize, "ran with {} of {quorum}", yes.len());
                    prop_assert!(dispatches <= rounds, "ran twice in a round");
                    if quorum > 0 {
                        prop_assert!(approved_at.is_some_and(|since| now < since + 10), "ran late");
                    }
                }
                CallEvent::Resolved { .. } => {
                    rounds += 1;
                    yes.clear();
                    approved_at = None;
                }
                // What provably did not start has not been dispatched.
                CallEvent::NotStarted => {
                    dispatches -= 1;
                    approved_at = Some(now);
                }
                CallEvent::Finished(_)
                | CallEvent::Expired
                | CallEvent::Cancelled { .. }
                | CallEvent::Lost
                | CallEvent::Doubted { .. }
                | CallEvent::Stale { .. } => {}
            }
            call = after;
        }
    }
}

/// If this fails, approvals that wait in people's stores can no longer be re-derived.
#[test]
fn a_binding_says_consent_only_where_a_rule_takes_it() {
    let mut call = call(1);
    let plain = call.approval.as_ref().unwrap().binding;
    assert_eq!(plain.short(), "2d15ebc0");
    call.approval.as_mut().unwrap().requirements[0].consent = true;
    assert_ne!(call.approval.as_ref().unwrap().bind(&call), plain);
}

#[test]
fn a_clients_word_and_its_persons_own_are_two_decisions() {
    let call = call(2);
    let CallEvent::Decided(decision) = says(&call, "user:a", Verdict::Approve) else { panic!("a decision") };
    let word = Decision { evidence: Evidence::ClientElicitation, groups: BTreeSet::new(), ..decision.clone() };
    let call = call.apply(&CallEvent::Decided(word.clone()), at(1)).unwrap();
    assert_eq!(call.clone().apply(&CallEvent::Decided(word), at(2)), Err(IllegalTransition::Repeated));
    let call = call.apply(&CallEvent::Decided(decision), at(2)).unwrap();
    assert_eq!(call.state.word(), "awaiting_approval", "one person of two");
}

//! An executor that panics costs its own call and nobody else: every caller is answered, the record says what is known,
//! and the next call runs.

use super::world::{Breaks, Left};
use super::*;
use crate::domain::outcome::FailureKind;
use crate::domain::tool::EffectClass;

/// Far less than anybody here waits for.
const SOON: Duration = Duration::from_secs(10);

fn breaks(world: &World, breaks: Breaks) {
    *world.tools.breaks.lock().unwrap() = breaks;
}

/// A request with the key `k` whose caller waits much longer than [`SOON`].
fn patient(tool: &str, arguments: serde_json::Value) -> super::super::submission::Submission {
    let mut asked = World::asked(tool, arguments, Some("k"));
    asked.wait = Duration::from_secs(300);
    asked
}

/// The state, the effect and what is said of the call of the key `k`.
async fn stands(world: &World) -> (String, Effect, Option<String>) {
    let (agent, key) = ("agent:x".parse().unwrap(), "k".parse().unwrap());
    let call = world.store.find_key(&agent, &key).await.unwrap().unwrap();
    let said = match call.outcome() {
        Some(Outcome::Failed { message, kind: FailureKind::Failed, .. }) => Some(message.clone()),
        _ => None,
    };
    (call.state.word().to_owned(), call.effect_so_far(), said)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("nobody hangs")
}

#[tokio::test]
async fn a_run_that_panics_ends_as_its_class_allows() {
    for (class, state, effect) in [
        (EffectClass::Once, "in_doubt", Effect::Unknown),
        (EffectClass::Keyed, "in_doubt", Effect::Unknown),
        (EffectClass::Idempotent, "failed", Effect::Unknown),
        (EffectClass::ReadOnly, "failed", Effect::None),
    ] {
        for at in [Breaks::AtOnce, Breaks::InTheMiddle] {
            let world = world().await;
            world
                .declare(|tool| {
                    if tool.name.as_str() == "create_ticket" {
                        tool.effect = class
                    }
                })
                .await;
            breaks(&world, at);
            world.tools.goes_on.notify_one();
            let answer = soon(world.submit(patient("create_ticket", ticket()))).await.result.unwrap();
            assert_eq!((answer.call().state.word(), answer.call().effect_so_far()), (state, effect), "{class} {at:?}");
            let (state_now, effect_now, said) = stands(&world).await;
            assert_eq!((state_now.as_str(), effect_now), (state, effect), "{class} {at:?}");
            let told = said.is_none_or(|said| said == "the daemon failed while `create_ticket` ran");
            assert!(told, "the caller is told nothing of the machine's");
            assert_eq!((world.path.running(), world.runs()), (0, 1), "it is not begun again");

            breaks(&world, Breaks::Nowhere);
            assert!(done(world.call("create_ticket", ticket(), Some("next")).await).0.contains("\"run\":2"));
            assert!(world.verify().await.verified, "{class} {at:?}");
        }
    }
}

#[tokio::test]
async fn everybody_who_waits_is_answered_and_the_call_can_be_resolved() {
    let world = Arc::new(world().await);
    breaks(&world, Breaks::InTheMiddle);
    let ask = || {
        let world = world.clone();
        tokio::spawn(async move { world.submit(patient("create_ticket", ticket())).await.result })
    };
    let first = ask();
    while world.runs() == 0 {
        tokio::task::yield_now().await;
    }
    let id = world.tools.ran.lock().unwrap()[0];
    let others = [ask(), ask(), ask()];
    while world.path.waiters.count(id) < others.len() {
        tokio::task::yield_now().await;
    }
    world.tools.goes_on.notify_one();
    for caller in others.into_iter().chain([first]) {
        assert_eq!(pending(soon(caller).await.unwrap()), id);
    }
    assert_eq!(stands(&world).await.0, "in_doubt");
    assert_eq!(world.story().await, ["call.dispatched", "call.in_doubt"]);

    breaks(&world, Breaks::Nowhere);
    world.people.add("user:root", PrincipalKind::User, &["administrators"]);
    world.path.resolve(who("user:root"), id, Resolution::Failed, None).await.result.unwrap();
    assert_eq!(done(world.call("create_ticket", ticket(), Some("k")).await), ("failed".to_owned(), true));
    assert!(world.verify().await.verified);
}

#[tokio::test]
async fn what_the_run_has_left_says_more_than_its_class() {
    let succeeded = || Outcome::Succeeded { output: Canonical::trusted("{}") };
    for (left, state, effect) in [
        (Left::Ended(succeeded()), "succeeded", Effect::Done),
        (Left::Running(succeeded()), "succeeded", Effect::Done),
        (Left::NotStarted, "failed", Effect::None),
    ] {
        let world = world().await;
        breaks(&world, Breaks::AtOnce);
        *world.tools.left.lock().unwrap() = Some(left);
        soon(world.submit(patient("create_ticket", ticket()))).await.result.unwrap();
        let stands = stands(&world).await;
        assert_eq!((stands.0.as_str(), stands.1), (state, effect));
        assert!(world.verify().await.verified);
    }
}

#[tokio::test]
async fn an_approved_call_that_panics_answers_its_approver_and_its_caller() {
    for (at, state, effect, runs) in
        [(Breaks::AtOnce, "in_doubt", Effect::Unknown, 1), (Breaks::BeforeItsStart, "stale", Effect::None, 0)]
    {
        let world = Arc::new(world().await);
        breaks(&world, at);
        let id = pending(world.call(RAISE, status(), Some("k")).await);
        let caller = tokio::spawn({
            let world = world.clone();
            async move { world.submit(patient(RAISE, status())).await.result }
        });
        while world.path.waiters.count(id) == 0 {
            tokio::task::yield_now().await;
        }
        let told = soon(world.says("user:anna", Verdict::Approve, id)).await.unwrap();
        assert_eq!(told.call().state.word(), state);
        assert_eq!(soon(caller).await.unwrap().unwrap().call().state.word(), state);
        let stands = stands(&world).await;
        assert_eq!((stands.0.as_str(), stands.1, world.runs()), (state, effect, runs));
        assert!(world.verify().await.verified);
    }
}

#[tokio::test]
async fn a_panic_after_the_record_leaves_nobody_waiting_and_the_record_as_it_is() {
    let world = Arc::new(world().await);
    breaks(&world, Breaks::AfterItsRecord);
    let id = pending(world.call(RAISE, status(), Some("k")).await);
    let caller = tokio::spawn({
        let world = world.clone();
        async move { world.submit(patient(RAISE, status())).await.result }
    });
    while world.path.waiters.count(id) == 0 {
        tokio::task::yield_now().await;
    }
    soon(world.says("user:anna", Verdict::Approve, id)).await.unwrap();
    assert!(done(soon(caller).await.unwrap()).0.contains("\"run\":1"));
    assert_eq!(world.path.running(), 0);

    let denial = soon(world.submit(patient("create_ticket", ticket_for(2)))).await.result.unwrap_err();
    assert_eq!((denial.code, denial.effect), (Code::IdempotencyKeyReused, Effect::None));
    let denial = world.call("create_ticket", ticket(), Some("other")).await.unwrap_err();
    assert_eq!((denial.code, denial.effect), (Code::Internal, Effect::Unknown));
    let named = world.store.find(denial.call.unwrap()).await.unwrap().unwrap();
    assert_eq!(named.key.to_string(), "other", "the answer names the call, and that says how it ended");
    assert_eq!(named.state.word(), "succeeded");
    assert!(world.verify().await.verified);
}

fn ticket_for(customer: u32) -> serde_json::Value {
    json!({"customer_id": customer, "title": "Login broken"})
}

//! A preview runs for what people will be asked, and for nothing else.

use super::*;
use crate::domain::tool::Tool;

/// What can harm is previewed by a search; its argument is the customer's new status.
fn previewed(tool: &mut Tool) {
    if tool.name.as_str() == RAISE {
        tool.extras.preview = Some("search_customer".parse().unwrap());
        tool.input_schema["properties"]["query"] = json!({"type": "string"});
    }
}

fn asks(customer: u32) -> serde_json::Value {
    json!({"customer_id": customer, "new_status": "Paused", "query": "acme"})
}

fn previews(world: &World) -> usize {
    world.tools.names.lock().unwrap().iter().filter(|name| name.as_str() == "search_customer").count()
}

#[tokio::test]
async fn what_is_answered_from_the_record_runs_no_preview() {
    let world = world().await;
    world.declare(previewed).await;
    let first = pending(world.call(RAISE, asks(1), Some("k1")).await);
    assert_eq!(previews(&world), 1);
    let preview = world.store.find(first).await.unwrap().unwrap().approval.unwrap().preview.unwrap();
    assert!(preview.said.is_ok());

    assert_eq!(pending(world.call(RAISE, asks(1), Some("k1")).await), first, "the same key");
    assert_eq!(pending(world.call(RAISE, asks(1), Some("k2")).await), first, "the same request");
    assert_eq!(pending(world.call(RAISE, asks(1), Some("k2")).await), first, "whose key stands for it too");
    assert_eq!(code(world.call(RAISE, asks(2), Some("k1")).await), Code::IdempotencyKeyReused);
    assert_eq!(code(world.call(RAISE, json!({"customer_id": 1}), None).await), Code::ArgumentsInvalid);
    let mut dry = World::asked(RAISE, asks(3), None);
    dry.dry_run = true;
    world.submit(dry).await.result.unwrap();
    assert_eq!(previews(&world), 1);
    done(world.says("user:anna", Verdict::Reject, first).await);
    assert_eq!(done(world.call(RAISE, asks(1), Some("k1")).await), ("rejected".to_owned(), true));
    assert_eq!(previews(&world), 1);
    assert!(world.verify().await.verified);
}

#[tokio::test]
async fn what_people_need_a_pause_from_runs_no_preview() {
    let world = world().await;
    world.declare(previewed).await;
    for customer in 1..=3 {
        let id = pending(world.call(RAISE, asks(customer), None).await);
        done(world.says("user:bo", Verdict::Reject, id).await);
    }
    assert_eq!(previews(&world), 3);
    let denial = world.call(RAISE, asks(4), Some("k")).await.unwrap_err();
    assert_eq!((denial.code, denial.retry_after), (Code::CircuitOpen, Some(Duration::from_secs(900))));
    world.later(900);
    let most = world.path.rules().settings.fatigue.most_pending;
    for customer in 0..most {
        pending(world.call(RAISE, asks(10 + u32::try_from(customer).unwrap()), None).await);
    }
    assert_eq!(code(world.call(RAISE, asks(99), Some("k")).await), Code::CircuitOpen);
    assert_eq!(previews(&world), 3 + most, "one for each that people were asked about");
    assert!(world.verify().await.verified);
}

#[tokio::test]
async fn a_preview_whose_arguments_do_not_fit_the_machine_does_not_run() {
    let world = world().await;
    world.declare(previewed).await;
    *world.tools.misfit.lock().unwrap() = Some("search_customer".parse().unwrap());
    let id = pending(world.call(RAISE, asks(1), None).await);
    let preview = world.store.find(id).await.unwrap().unwrap().approval.unwrap().preview.unwrap();
    assert!(preview.said.unwrap_err().contains("it leads out of its folder"));
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn what_can_not_be_resolved_runs_no_preview_and_a_panicking_one_says_nothing() {
    let world = world().await;
    world.declare(previewed).await;
    world.people.add("user:root", PrincipalKind::User, &["administrators"]);
    let id = pending(world.call(RAISE, asks(1), None).await);
    let rerun = world.path.resolve(who("user:root"), id, Resolution::Rerun, None).await.result;
    assert_eq!((code(rerun), previews(&world)), (Code::CallNotInDoubt, 1));

    *world.tools.breaks.lock().unwrap() = world::Breaks::AtOnce;
    let id = pending(world.call(RAISE, asks(2), None).await);
    let preview = world.store.find(id).await.unwrap().unwrap().approval.unwrap().preview.unwrap();
    assert_eq!(preview.said, Err("the daemon failed while `search_customer` ran".to_owned()));
    assert!(world.verify().await.verified);
}

//! Waiting on the request itself: held once, or in legs; ended by a decision, by patience, or by hanging up.

use serde_json::{Value, json};

use super::client::{Client, Talk};
use super::{World, is_paused, status};
use crate::support::until;

/// The state of the newest call.
fn newest(world: &World) -> Value {
    let listed = world.daemon.http("GET", "/v1/calls?limit=1").key(&world.anna).send().json();
    listed["calls"][0]["state"].clone()
}

#[test]
fn a_decision_ends_the_hold_of_a_client_that_can_do_nothing_else() {
    let world = World::holding("25s");
    for client in [
        Client::modern(&world, json!({})),
        Client::legacy(&world, "2025-03-26", json!({})),
        Client::legacy(&world, "2025-11-25", json!({})),
    ] {
        let talk = client.begin(&json!({}));
        world.anna_says("approve");
        let result = talk.result();
        assert_eq!(
            (result["isError"].as_bool(), world.state(&result).as_str()),
            (Some(false), "succeeded"),
            "{result}"
        );
    }
    let talk = Client::modern(&world, json!({})).begin(&json!({}));
    world.anna_says("reject");
    assert_eq!(status(&talk.result()), "rejected");
    world.verifies();
}

#[test]
fn a_client_that_wants_progress_hears_that_its_call_waits() {
    let world = World::holding("25s");
    for client in [Client::modern(&world, json!({})), Client::legacy(&world, "2025-06-18", json!({}))] {
        let mut talk = client.begin(&json!({"_meta": {"progressToken": "p"}}));
        let told = talk.message().expect("progress");
        assert_eq!(
            (&told["method"], &told["params"]["progressToken"]),
            (&json!("notifications/progress"), &json!("p"))
        );
        world.anna_says("approve");
        is_paused(&talk.result());
    }
}

#[test]
fn patience_ends_in_a_result_that_says_how_to_go_on() {
    let world = World::holding("100ms");
    for client in [Client::modern(&world, json!({})), Client::legacy(&world, "2025-03-26", json!({}))] {
        let result = client.call(&json!({}));
        let text = result["content"][0]["text"].as_str().expect("a text");
        let said: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!((said["status"].as_str(), said["executed"].as_bool()), (Some("approval_pending"), Some(false)));
        assert!(said["help"].as_str().is_some_and(|help| help.contains("toolctl_wait")), "{said}");
        let approval = &result["_meta"]["dev.toolctl/approval"];
        assert_eq!((&approval["id"], &approval["state"]), (&said["approval_id"], &json!("pending")), "{result}");
        assert_eq!((&approval["number"], approval["digest"].is_string()), (&json!(1), true), "{result}");
    }
}

#[test]
fn a_client_that_comes_back_is_sent_away_a_few_times_and_gets_the_outcome() {
    let world = World::holding("25s");
    let client = Client::modern(&world, json!({"elicitation": {}}));
    let talk = client.begin(&json!({"idempotencyKey": "k"}));
    world.anna_says("approve");
    is_paused(&talk.result());

    let world = World::holding("100ms");
    let client = Client::modern(&world, json!({"elicitation": {}}));
    let first = client.call(&json!({"idempotencyKey": "k"}));
    assert_eq!((first["resultType"].as_str(), first.get("inputRequests")), (Some("input_required"), None), "{first}");
    world.anna_says("approve");
    let more = json!({"requestState": first["requestState"]});
    is_paused(&client.call(&more));
    is_paused(&client.call(&more));
    let story = world.story();
    assert_eq!(story.iter().filter(|kind| *kind == "call.completed").count(), 1, "{story:?}");
    world.verifies();
}

#[test]
fn who_hangs_up_takes_back_what_it_opened_and_nothing_else() {
    let world = World::holding("25s");
    let client = Client::modern(&world, json!({}));
    let first = client.begin(&json!({"idempotencyKey": "k"}));
    world.waiting();
    drop(first);
    until(|| (newest(&world) == "cancelled").then_some(()));

    let opened = client.begin(&json!({"idempotencyKey": "l"}));
    world.waiting();
    // The second waits for the call of the first: its going takes nothing back.
    let mut attached = client.begin(&json!({"idempotencyKey": "l", "_meta": {"progressToken": 1}}));
    attached.message().expect("it is held");
    drop(attached);
    world.anna_says("approve");
    is_paused(&opened.result());
    world.verifies();
}

#[test]
fn a_legacy_client_takes_its_request_back_by_saying_so() {
    let world = World::holding("25s");
    let client = Client::legacy(&world, "2025-06-18", json!({}));
    let hung_up = client.begin(&json!({"idempotencyKey": "k"}));
    world.waiting();
    drop(hung_up);
    world.anna_says("approve");
    is_paused(&client.call(&json!({"idempotencyKey": "k"})));

    let talk: Talk = client.begin(&json!({"idempotencyKey": "l"}));
    world.waiting();
    let taken = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    client.post(&taken).send().is(202);
    until(|| (newest(&world) == "cancelled").then_some(()));
    drop(talk);
    world.verifies();
}

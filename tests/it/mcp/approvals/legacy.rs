//! Asking in clients of the legacy era: `elicitation/create` on the stream of the call itself.

use serde_json::{Value, json};

use super::client::{Client, Talk};
use super::{World, is_paused, status};

fn shows_forms(world: &World, version: &'static str) -> Client {
    Client::legacy(world, version, json!({"elicitation": {}}))
}

/// The question on the stream of a call.
#[track_caller]
fn question(talk: &mut Talk) -> Value {
    let asked = talk.message().expect("a question");
    assert_eq!(asked["method"], "elicitation/create", "{asked}");
    assert_eq!(asked["params"]["requestedSchema"]["required"], json!(["digest"]), "{asked}");
    asked
}

/// The digest that a question shows.
fn digest(asked: &Value) -> String {
    let message = asked["params"]["message"].as_str().expect("a message");
    message.rsplit(' ').next().expect("a word").to_owned()
}

fn answer(client: &Client, asked: &Value, result: &Value) {
    client.post(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})).send().is(202);
}

fn typed(text: &str) -> Value {
    json!({"action": "accept", "content": {"digest": text}})
}

#[test]
fn the_typed_digest_carries_the_call() {
    let world = World::taking_consent();
    for version in ["2025-06-18", "2025-11-25"] {
        let client = shows_forms(&world, version);
        let mut talk = client.begin(&json!({}));
        let asked = question(&mut talk);
        let mode = (version == "2025-11-25").then_some("form");
        assert_eq!(asked["params"]["mode"].as_str(), mode, "{asked}");
        answer(&client, &asked, &typed("wrong"));
        let again = question(&mut talk);
        answer(&client, &again, &typed(&digest(&again)));
        is_paused(&talk.result());
    }
    world.verifies();
}

#[test]
fn a_decline_takes_the_call_back_and_everything_else_leaves_it_to_people() {
    let world = World::taking_consent();
    let client = shows_forms(&world, "2025-06-18");
    let mut talk = client.begin(&json!({}));
    let asked = question(&mut talk);
    answer(&client, &asked, &json!({"action": "decline"}));
    let declined = talk.result();
    assert_eq!((status(&declined).as_str(), world.state(&declined).as_str()), ("cancelled", "cancelled"));

    for nobody in [json!({"result": {"action": "cancel"}}), json!({"error": {"code": -1, "message": "no"}})] {
        let mut talk = client.begin(&json!({}));
        let asked = question(&mut talk);
        let mut message = json!({"jsonrpc": "2.0", "id": asked["id"]});
        message.as_object_mut().expect("an object").extend(nobody.as_object().expect("an object").clone());
        client.post(&message).send().is(202);
        let pending = talk.result();
        assert_eq!(
            (status(&pending).as_str(), world.state(&pending).as_str()),
            ("approval_pending", "awaiting_approval")
        );
    }
    world.verifies();
}

#[test]
fn an_approver_may_decide_while_the_form_stands() {
    let world = World::taking_consent();
    let client = shows_forms(&world, "2025-06-18");
    let mut talk = client.begin(&json!({}));
    let asked = question(&mut talk);
    world.anna_says("approve");
    is_paused(&talk.result());
    answer(&client, &asked, &typed(&digest(&asked)));
    let decided = world.daemon.audit("kind=approval.decided");
    assert_eq!((decided.len(), &decided[0]["actor"]), (1, &json!("user:anna")), "the late answer counts for nothing");
    world.verifies();
}

#[test]
fn nobody_else_answers_for_a_client() {
    let world = World::taking_consent();
    let client = shows_forms(&world, "2025-06-18");
    let mut talk = client.begin(&json!({}));
    let asked = question(&mut talk);
    let other = shows_forms(&world, "2025-06-18");
    other.post(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": typed(&digest(&asked))})).send();
    assert_eq!(world.story(), ["approval.requested"], "another conversation");
    answer(&client, &asked, &json!({"action": "decline"}));
    let declined = talk.result();
    assert_eq!(world.state(&declined), "cancelled");
    assert_eq!(declined["isError"], true);
    assert_eq!(status(&Client::modern(&world, json!({})).call(&json!({}))), "approval_pending");
}

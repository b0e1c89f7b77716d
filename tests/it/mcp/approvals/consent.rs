//! The caller's consent in its own client: a typed digest where the rule takes it, nothing anywhere else.

use serde_json::{Value, json};

use super::client::Client;
use super::{World, is_paused, status};

fn shows_forms() -> Value {
    json!({"elicitation": {"form": {}}})
}

/// The short digest that the form shows.
fn digest(asked: &Value) -> String {
    let binding = asked["_meta"]["dev.toolctl/approval"]["digest"].as_str().expect("a digest");
    let short = &binding["sha256:".len()..][..8];
    let shown = format!("{}-{}", &short[..4], &short[4..]);
    let message = asked["inputRequests"]["consent"]["params"]["message"].as_str().expect("a message");
    assert!(message.contains(&shown), "{message}");
    shown
}

fn answer(asked: &Value, said: &Value) -> Value {
    json!({"requestState": asked["requestState"], "inputResponses": {"consent": said}})
}

fn typed(text: &str) -> Value {
    json!({"action": "accept", "content": {"digest": text}})
}

#[test]
fn the_typed_digest_carries_the_call_and_says_so_in_the_log() {
    let world = World::taking_consent();
    let client = Client::modern(&world, shows_forms());
    let asked = client.call(&json!({"idempotencyKey": "k"}));
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let question = &asked["inputRequests"]["consent"];
    assert_eq!(
        (question["method"].as_str(), question["params"]["mode"].as_str()),
        (Some("elicitation/create"), Some("form"))
    );
    assert_eq!(question["params"]["requestedSchema"]["required"], json!(["digest"]), "never an empty form");

    let accept = answer(&asked, &typed(&digest(&asked).to_uppercase()));
    is_paused(&client.call(&accept));
    is_paused(&client.call(&accept));
    let replayed = client.call(&json!({"idempotencyKey": "k"}));
    assert_eq!(replayed["_meta"]["dev.toolctl/replayed"], true, "one key spans the exchange");
    assert_eq!(
        world.story(),
        ["approval.requested", "approval.decided", "call.completed"],
        "one call, however often the answer came"
    );
    let decided = &world.daemon.audit("kind=approval.decided")[0];
    assert_eq!(
        (&decided["actor"], &decided["approval"]["evidence"]),
        (&json!("agent:bot"), &json!("client-elicitation"))
    );
    world.verifies();
}

#[test]
fn something_else_typed_is_asked_once_more_and_then_people_decide() {
    let world = World::taking_consent();
    let client = Client::modern(&world, shows_forms());
    let asked = client.call(&json!({}));
    let again = client.call(&answer(&asked, &typed("yes")));
    assert_eq!(again["resultType"], "input_required", "{again}");
    let message = again["inputRequests"]["consent"]["params"]["message"].as_str().expect("a message");
    assert!(message.starts_with("That was not the digest; nothing has run."), "{message}");
    let pending = client.call(&answer(&again, &json!({"action": "accept", "content": {}})));
    assert_eq!((status(&pending).as_str(), world.state(&pending).as_str()), ("approval_pending", "awaiting_approval"));
    let id = &pending["_meta"]["dev.toolctl/approval"]["id"];
    world.anna_says("approve");
    let wait = json!({"name": "toolctl_wait", "arguments": {"approval_id": id}});
    is_paused(&client.ask("tools/call", wait));
    world.verifies();
}

#[test]
fn a_decline_takes_the_call_back_and_a_cancel_does_not() {
    let world = World::taking_consent();
    let client = Client::modern(&world, shows_forms());
    let asked = client.call(&json!({}));
    for nobody in [json!({"action": "cancel"}), json!({"action": "?"}), json!(null), json!([])] {
        let pending = client.call(&answer(&asked, &nobody));
        assert_eq!(
            (status(&pending).as_str(), world.state(&pending).as_str()),
            ("approval_pending", "awaiting_approval")
        );
    }
    let declined = client.call(&answer(&asked, &json!({"action": "decline"})));
    assert_eq!((status(&declined).as_str(), world.state(&declined).as_str()), ("cancelled", "cancelled"));
    let late = client.call(&answer(&asked, &typed(&digest(&asked))));
    assert_eq!(status(&late), "cancelled", "nothing runs any more");
    assert_eq!(world.story(), ["approval.requested", "call.closed"]);
    world.verifies();
}

#[test]
fn a_state_is_for_one_caller_and_one_request() {
    let world = World::taking_consent();
    let client = Client::modern(&world, shows_forms());
    let asked = client.call(&json!({}));
    let accept = answer(&asked, &typed(&digest(&asked)));
    let other = client.with_key(&world.daemon.agent("other"));
    assert_eq!(other.refused("tools/call", Client::params(&accept)), -32_602, "another caller");
    let mut changed = Client::params(&accept);
    changed["arguments"]["new_status"] = "Active".into();
    assert_eq!(client.refused("tools/call", changed), -32_602, "other arguments");
    let mut changed = Client::params(&accept);
    changed["name"] = "create_ticket".into();
    assert_eq!(client.refused("tools/call", changed), -32_602, "another tool");
    let text = asked["requestState"].as_str().expect("a state");
    for forged in [json!(&text[1..]), json!(format!("{text}x")), json!(""), json!(7), asked["_meta"].clone()] {
        let mut changed = Client::params(&accept);
        changed["requestState"] = forged.clone();
        assert_eq!(client.refused("tools/call", changed), -32_602, "{forged}");
    }
    assert_eq!((world.state(&asked).as_str(), world.story().len()), ("awaiting_approval", 1), "nothing has changed");
    is_paused(&client.call(&accept));
}

#[test]
fn no_form_is_shown_where_it_would_count_for_nothing() {
    let world = World::holding("100ms");
    let client = Client::modern(&world, shows_forms());
    let mut answer = client.call(&json!({}));
    for _ in 0..4 {
        assert_eq!(
            (answer["resultType"].as_str(), answer.get("inputRequests")),
            (Some("input_required"), None),
            "{answer}"
        );
        // What a client says without being asked is not heard.
        let more = json!({"requestState": answer["requestState"], "inputResponses": {"consent": typed("x")}});
        answer = client.call(&more);
    }
    assert_eq!(status(&answer), "approval_pending");

    let world = World::taking_consent();
    for cannot in [json!({}), json!({"elicitation": {"url": {}}}), json!({"elicitation": true})] {
        let mut answer = Client::modern(&world, cannot.clone()).call(&json!({}));
        while answer["resultType"] == "input_required" {
            assert_eq!(answer.get("inputRequests"), None, "{cannot}");
            answer = Client::modern(&world, cannot.clone()).call(&json!({"requestState": answer["requestState"]}));
        }
        assert_eq!(status(&answer), "approval_pending", "{cannot}");
    }
}

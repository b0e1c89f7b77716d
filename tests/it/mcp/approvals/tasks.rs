//! Tasks of both kinds: durable, unguessable, and asked for by those who may see the call alone.

use serde_json::{Value, json};

use super::client::Client;
use super::{World, is_paused, status};
use crate::support::until;

fn knows_tasks() -> Value {
    json!({"extensions": {"io.modelcontextprotocol/tasks": {}}})
}

fn id(task: &Value) -> Value {
    json!({"taskId": task["taskId"]})
}

/// The task, once it is no longer working.
fn ended(client: &Client, task: &Value) -> Value {
    until(|| Some(client.ask("tasks/get", id(task))).filter(|now| now["status"] != "working"))
}

#[test]
fn a_task_outlives_the_daemon_and_ends_with_the_result_of_its_call() {
    let mut world = World::holding("25s");
    let client = Client::modern(&world, knows_tasks());
    let task = client.call(&json!({"idempotencyKey": "k"}));
    assert_eq!((task["resultType"].as_str(), task["status"].as_str()), (Some("task"), Some("working")), "{task}");
    assert!(task["statusMessage"].as_str().is_some_and(|text| text.contains("waits as #1")), "{task}");
    assert!(task["ttlMs"].is_u64() && task["pollIntervalMs"].is_u64() && task["createdAt"].is_string(), "{task}");
    assert_eq!(task["_meta"]["dev.toolctl/approval"]["state"], "pending", "{task}");
    assert_eq!(client.call(&json!({"idempotencyKey": "k"}))["taskId"], task["taskId"], "the same key, the same task");

    world.daemon.kill();
    world.daemon.restart();
    let now = client.ask("tasks/get", id(&task));
    assert_eq!((now["resultType"].as_str(), now["status"].as_str()), (Some("complete"), Some("working")), "{now}");
    assert_eq!(
        client.ask("tasks/update", json!({"taskId": task["taskId"], "inputResponses": {}}))["resultType"],
        "complete"
    );

    world.anna_says("approve");
    let done = ended(&client, &task);
    assert_eq!(done["status"], "completed", "{done}");
    is_paused(&done["result"]);
    let mut replayed = client.call(&json!({"idempotencyKey": "k"}));
    assert_eq!(replayed["_meta"]["dev.toolctl/replayed"], true);
    for result in [&mut replayed["_meta"], &mut done["result"].clone()["_meta"]] {
        result.as_object_mut().expect("an object").clear();
    }
    assert_eq!((&replayed["content"], &replayed["isError"]), (&done["result"]["content"], &done["result"]["isError"]));
    world.verifies();
}

#[test]
fn who_may_not_see_a_task_learns_nothing_of_it() {
    let world = World::holding("25s");
    let client = Client::modern(&world, knows_tasks());
    let task = client.call(&json!({}));
    let text = task["taskId"].as_str().expect("an id").to_owned();

    let other = client.with_key(&world.daemon.agent("other"));
    let cut = &text[..text.len() - 1];
    let unmarked = &text[..30];
    for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
        assert_eq!(other.refused(method, id(&task)), -32_602, "another agent, {method}");
        assert_eq!(client.with(json!({})).refused(method, id(&task)), -32_021, "without the extension, {method}");
        for forged in [cut, unmarked, &format!("{text}A"), "tsk_", ""] {
            assert_eq!(client.refused(method, json!({"taskId": forged})), -32_602, "{forged}, {method}");
        }
        assert_eq!(client.refused(method, json!({})), -32_602, "none, {method}");
    }
    assert_eq!(client.with_key(&world.anna).ask("tasks/get", id(&task))["status"], "working", "the approver sees it");
    assert_eq!(world.state(&task), "awaiting_approval");
}

#[test]
fn a_task_tells_how_it_ended() {
    let world = World::holding("25s");
    let client = Client::modern(&world, knows_tasks());
    let task = client.call(&json!({"idempotencyKey": "1"}));
    world.anna_says("reject");
    let rejected = ended(&client, &task);
    assert_eq!((&rejected["status"], status(&rejected["result"]).as_str()), (&json!("completed"), "rejected"));

    let task = client.call(&json!({"idempotencyKey": "2"}));
    let acknowledged = client.ask("tasks/cancel", id(&task));
    assert_eq!((acknowledged["resultType"].as_str(), acknowledged.get("taskId")), (Some("complete"), None));
    let cancelled = client.ask("tasks/get", id(&task));
    assert_eq!((cancelled["status"].as_str(), cancelled.get("result")), (Some("cancelled"), None), "{cancelled}");
    assert_eq!(client.ask("tasks/cancel", id(&task))["resultType"], "complete", "a wish that comes too late");
    world.verifies();
}

#[test]
fn a_client_of_2025_11_25_asks_for_its_task() {
    let mut world = World::holding("25s");
    let client = Client::legacy(&world, "2025-11-25", json!({}));
    let created = client.call(&json!({"task": {"ttl": 60_000}}));
    let task = &created["task"];
    assert_eq!((task["status"].as_str(), created.get("resultType")), (Some("working"), None), "{created}");
    assert!(task["ttl"].is_u64() && task["pollInterval"].is_u64(), "{created}");
    let now = &created["_meta"]["io.modelcontextprotocol/model-immediate-response"];
    assert!(now.as_str().is_some_and(|text| text.contains("nothing has run yet")), "{created}");
    assert_eq!(client.ask("tasks/get", id(task))["status"], "working");
    assert_eq!(client.ask("tasks/list", json!({}))["tasks"][0]["taskId"], task["taskId"]);

    world.daemon.kill();
    world.daemon.restart();
    let waiting = {
        let (client, id) = (client.clone(), id(task));
        std::thread::spawn(move || client.ask("tasks/result", id))
    };
    world.anna_says("approve");
    let result = waiting.join().expect("a result");
    is_paused(&result);
    assert_eq!(result["_meta"]["io.modelcontextprotocol/related-task"]["taskId"], task["taskId"]);
    assert_eq!(client.ask("tasks/get", id(task))["status"], "completed");
    assert_eq!(client.refused("tasks/cancel", id(task)), -32_602, "it has ended");

    let other = client.call(&json!({"task": {}, "arguments": {"customer_id": 1, "new_status": "Paused"}}));
    assert_eq!(client.ask("tasks/cancel", id(&other["task"]))["status"], "cancelled");
    assert_eq!(status(&client.ask("tasks/result", id(&other["task"]))), "cancelled");
    let at_once = Client::params(&json!({"name": "search_customer", "arguments": {"query": "a"}, "task": {}}));
    assert_eq!(client.refused("tools/call", at_once), -32_601, "it never waits");
    assert_eq!(client.refused("tasks/get", json!({"taskId": "tsk_"})), -32_602);
    let stranger = Client::legacy(&world, "2025-06-18", json!({}));
    assert_eq!(stranger.refused("tasks/get", id(task)), -32_601, "no tasks in that revision");
    world.verifies();
}

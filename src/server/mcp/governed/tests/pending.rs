//! Calls that go on, where a real daemon would be too slow or too quick to show them: running, in doubt, and forms
//! that nobody looks at.

use super::*;
use crate::domain::approval::Verdict;
use crate::domain::audit::RecordType;
use crate::domain::call::{Again, Call, CallEvent, CallState};
use crate::domain::id::CallId;
use crate::domain::outcome::Outcome;
use crate::domain::principal::PrincipalKind;
use crate::guard::policy::PolicySource;
use crate::pipeline::port::{Advanced, Clock as _, Conditions};
use crate::pipeline::tests::world::rulebook;

impl House {
    /// An exchange of the agent with these capabilities.
    async fn with(&self, version: Version, capabilities: &Value, method: &str, params: &Value) -> Value {
        let (exchange, _messages) = exchange("agent:x", version, Extra::default());
        let capabilities = Arc::new(capabilities.as_object().unwrap().clone());
        let exchange = Exchange { capabilities, ..exchange };
        let (_, text) = self.mcp.respond(request(method, &params.to_string()), exchange).await;
        serde_json::from_str(&text).unwrap()
    }

    async fn only_call(&self) -> Call {
        self.world
            .store
            .calls(crate::pipeline::port::CallFilter { limit: 1, ..Default::default() })
            .await
            .unwrap()
            .remove(0)
    }

    async fn happens(&self, id: CallId, event: CallEvent) {
        let now = self.world.clock.now();
        let advanced = self.world.store.advance(id, event, Conditions::default(), now).await.unwrap();
        assert!(matches!(advanced, Advanced::Done(_)), "{advanced:?}");
    }
}

/// A house whose rules take the caller's consent, and where nobody waits long for an answer.
async fn consenting() -> House {
    let House { world, .. } = house().await;
    let mut rules = PolicySource::shipped();
    rules.text = rules.text.replace("@approval_quorum(\"1\")", "@approval_consent(\"caller\")");
    let rules = rulebook(rules);
    let record = AuditRecord::new(RecordType::PolicyActivated, world.clock.now());
    world.store.activate_policy(rules.policies.digest(), record).await.unwrap();
    world.path.replace_rules(rules);
    let seal = Seal::new([7; 32]);
    let governed = Governed::new(Arc::clone(&world.path), seal.clone(), Duration::from_millis(20));
    let governed = Arc::new(Governed { asking: Duration::from_millis(20), ..governed });
    let service: Arc<dyn Service> = governed.clone();
    let mcp = Arc::new(Mcp { service, seal, asks: Arc::new(Asks::default()), shutdown: Shutdown::new() });
    House { world, governed, mcp }
}

#[tokio::test]
async fn a_form_that_nobody_answers_leaves_the_call_to_people() {
    let house = consenting().await;
    let (exchange, mut messages) = exchange("agent:x", Version::V2025_06_18, Extra::default());
    let capabilities = Arc::new(json!({ "elicitation": {} }).as_object().unwrap().clone());
    let exchange = Exchange { capabilities, asks: Some(house.mcp.asks.of("a session")), ..exchange };
    let (_, answer) = house.mcp.respond(request("tools/call", &raise().to_string()), exchange).await;
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(text(&answer["result"].take())["status"], "approval_pending");
    let asked: Value = serde_json::from_str(&messages.recv().await.unwrap()).unwrap();
    assert_eq!(asked["method"], "elicitation/create");
    let overtaken: Value = serde_json::from_str(&messages.recv().await.unwrap()).unwrap();
    assert_eq!(
        (&overtaken["method"], &overtaken["params"]["requestId"]),
        (&json!("notifications/cancelled"), &asked["id"])
    );
    assert_eq!(messages.recv().await, None, "asked once");
    assert_eq!(house.only_call().await.state, CallState::AwaitingApproval);
}

#[tokio::test]
async fn a_form_is_not_tried_where_there_is_no_way_back() {
    let house = consenting().await;
    for (version, capabilities) in [
        (Version::V2025_06_18, json!({ "elicitation": {} })),
        (Version::V2025_03_26, json!({ "elicitation": {} })),
        (MODERN, json!({ "elicitation": { "url": {} } })),
        (MODERN, tasks()),
    ] {
        let answer = house.with(version, &capabilities, "tools/call", &raise()).await["result"].take();
        assert_eq!(answer.get("inputRequests"), None, "{version} {capabilities}: {answer}");
    }
}

fn raise() -> Value {
    json!({ "name": RAISE, "arguments": status(), "idempotencyKey": "k" })
}

fn tasks() -> Value {
    json!({ "extensions": { (mcp::extension::TASKS): {} } })
}

/// Makes the waiting call one that runs, in an executor that never comes back.
async fn running(house: &House) -> Call {
    let call = house.only_call().await;
    let anna = house.world.path.recognised(&who("user:anna")).unwrap();
    let asked = call.approval.as_ref().unwrap();
    let may = crate::guard::approval::eligible(&anna, &call.principal, &[], &asked.requirements).unwrap();
    let yes = may.decision(&anna, Verdict::Approve, asked.binding, None, call.created_at);
    house.happens(call.id, CallEvent::Decided(yes)).await;
    house.happens(call.id, CallEvent::Dispatched { epoch: 1, again: Again::Never }).await;
    house.only_call().await
}

#[tokio::test]
async fn a_running_call_is_a_task_too_and_one_in_doubt_goes_on() {
    let house = house().await;
    let task = house.with(MODERN, &tasks(), "tools/call", &raise()).await["result"].take();
    let call = running(&house).await;
    assert!(matches!(call.state, CallState::Running { .. }));
    let again = house.with(MODERN, &tasks(), "tools/call", &raise()).await["result"].take();
    assert_eq!((&again["resultType"], &again["taskId"]), (&json!("task"), &task["taskId"]), "{again}");
    assert_eq!(again["statusMessage"], "the call is running and has not ended");
    let id = json!({ "taskId": task["taskId"] });
    let wished = house.with(MODERN, &tasks(), "tasks/cancel", &id).await;
    assert_eq!(wished["result"]["resultType"], "complete", "a wish: what runs goes on");
    let got = async || house.with(MODERN, &tasks(), "tasks/get", &id).await["result"].take();
    assert_eq!(got().await["status"], "working");

    house.happens(call.id, CallEvent::Lost).await;
    let doubt = got().await;
    assert_eq!(doubt["status"], "working", "somebody will say how it ended, and that must still be news");
    assert!(doubt["statusMessage"].as_str().unwrap().contains("nobody knows whether it happened"), "{doubt}");
    let output = crate::domain::json::Canonical::of(&json!({"ok": true}));
    house.happens(call.id, CallEvent::Finished(Outcome::Succeeded { output })).await;
    let done = got().await;
    assert_eq!((&done["status"], &done["result"]["structuredContent"]), (&json!("completed"), &json!({"ok": true})));
    assert_eq!((&done["result"]["isError"], done.get("statusMessage")), (&json!(false), None));
}

#[tokio::test]
async fn a_call_that_runs_or_is_in_doubt_is_said_to_be_so_to_every_other_client() {
    let house = house().await;
    house.with(MODERN, &json!({}), "tools/call", &raise()).await;
    let call = running(&house).await;
    let joined = house.with(MODERN, &json!({}), "tools/call", &raise()).await["result"].take();
    assert_eq!(text(&joined)["status"], "in_progress");
    let legs = house.with(MODERN, &json!({ "elicitation": {} }), "tools/call", &raise()).await["result"].take();
    assert_eq!(legs["resultType"], "input_required");
    house.happens(call.id, CallEvent::Lost).await;
    for capabilities in [json!({}), json!({ "elicitation": {} }), tasks()] {
        let doubt = house.with(MODERN, &capabilities, "tools/call", &raise()).await["result"].take();
        assert_eq!(text(&doubt)["status"], "outcome_unknown", "{capabilities}");
    }
    let mut back = raise();
    back["requestState"] = legs["requestState"].clone();
    let doubt = house.with(MODERN, &json!({ "elicitation": {} }), "tools/call", &back).await["result"].take();
    assert_eq!(text(&doubt)["status"], "outcome_unknown", "there is nothing to come back for");
}

#[tokio::test]
async fn tasks_are_listed_page_by_page_and_only_ones_own() {
    let house = house().await;
    house.world.people.add("agent:y", PrincipalKind::Agent, &["agents"]);
    let legacy = Version::V2025_11_25;
    for number in 0..102 {
        // Nobody is too fast here.
        house.world.later(1);
        let arguments = json!({ "channel": "a", "message": number.to_string() });
        let params = json!({ "name": "send_message", "arguments": arguments }).to_string();
        house.ask("agent:x", legacy, "tools/call", &params, Extra::default()).await;
    }
    let page = async |cursor: &Value| {
        let params = json!({ "cursor": cursor }).to_string();
        house.ask("agent:x", legacy, "tasks/list", &params, Extra::default()).await["result"].take()
    };
    let first = page(&Value::Null).await;
    assert_eq!(first["tasks"].as_array().unwrap().len(), 100);
    let rest = page(&first["nextCursor"]).await;
    assert_eq!((rest["tasks"].as_array().unwrap().len(), rest.get("nextCursor")), (2, None));
    let others = house.ask("agent:y", legacy, "tasks/list", "{}", Extra::default()).await;
    assert_eq!(others["result"], json!({ "tasks": [] }));
    let forged = house.ask("agent:x", legacy, "tasks/list", r#"{"cursor":"x"}"#, Extra::default()).await;
    assert_eq!(forged["error"]["code"], -32_602);
    let task = json!({ "name": "no_such_tool", "task": {} }).to_string();
    let unknown = house.ask("agent:x", legacy, "tools/call", &task, Extra::default()).await;
    assert_eq!(unknown["error"]["code"], -32_602);
    let task = json!({ "name": "update_customer_status", "arguments": status(), "task": {} }).to_string();
    let denied = house.ask("user:anna", legacy, "tools/call", &task, Extra::default()).await;
    assert_eq!(denied["error"]["data"]["code"], "policy-denied", "{denied}");
}

/// The same house with a door that holds calls for long.
fn patient(house: &House) -> Arc<Mcp> {
    let seal = Seal::new([7; 32]);
    let service = Arc::new(Governed::new(Arc::clone(&house.world.path), seal.clone(), super::hold::LONGEST));
    Arc::new(Mcp { service, seal, asks: Arc::default(), shutdown: Shutdown::new() })
}

/// Sends the call through `mcp` and takes it back once the client is told that it waits.
async fn taken_back(mcp: &Arc<Mcp>, capabilities: &Value, said: Value, params: &Value) {
    let (exchange, mut messages) = exchange("agent:x", MODERN, Extra { meta: said, ..Extra::default() });
    let capabilities = Arc::new(capabilities.as_object().unwrap().clone());
    let gone = exchange.gone.clone();
    let exchange = Exchange { capabilities, ..exchange };
    let leave = async {
        messages.recv().await.expect("a sign that it waits");
        gone.begin();
    };
    tokio::join!(mcp.respond(request("tools/call", &params.to_string()), exchange), leave);
}

#[tokio::test]
async fn a_call_that_a_bridge_sent_again_is_taken_back_with_its_request() {
    let house = house().await;
    let call = json!({ "name": RAISE, "arguments": status() });
    let said = json!({ (meta::BRIDGE_KEY): "b", (meta::PROGRESS_TOKEN): 1 });
    let extra = Extra { meta: said.clone(), ..Extra::default() };
    house.ask("agent:x", MODERN, "tools/call", &call.to_string(), extra).await;
    assert_eq!(house.only_call().await.state, CallState::AwaitingApproval);
    taken_back(&patient(&house), &json!({}), said, &call).await;
    assert!(matches!(house.only_call().await.state, CallState::Closed(Outcome::Cancelled { .. })));
}

#[tokio::test]
async fn a_call_that_an_earlier_request_opened_is_left_alone() {
    let house = house().await;
    house.with(MODERN, &json!({}), "tools/call", &raise()).await;
    taken_back(&patient(&house), &json!({}), json!({ (meta::PROGRESS_TOKEN): 1 }), &raise()).await;
    assert_eq!(house.only_call().await.state, CallState::AwaitingApproval, "an earlier request opened it");
}

#[tokio::test]
async fn a_later_leg_takes_back_the_call_that_the_first_one_opened() {
    let house = house().await;
    let forms = json!({ "elicitation": {} });
    let mut call = raise();
    let first = house.with(MODERN, &forms, "tools/call", &call).await["result"].take();
    assert_eq!(first["resultType"], "input_required");
    call["requestState"] = first["requestState"].clone();
    taken_back(&patient(&house), &forms, json!({ (meta::PROGRESS_TOKEN): 1 }), &call).await;
    assert!(matches!(house.only_call().await.state, CallState::Closed(Outcome::Cancelled { .. })));
}

#[tokio::test]
async fn who_would_leave_unnoticed_is_not_held() {
    let house = house().await;
    let mcp = patient(&house);
    for capabilities in [json!({}), json!({ "elicitation": {} })] {
        let said = Extra { meta: json!({ (meta::PROGRESS_TOKEN): 1 }), ..Extra::default() };
        let (exchange, mut messages) = exchange("agent:x", MODERN, said);
        let capabilities = Arc::new(capabilities.as_object().unwrap().clone());
        let exchange = Exchange { capabilities, shows_leaving: false, ..exchange };
        let (_, answer) = mcp.respond(request("tools/call", &raise().to_string()), exchange).await;
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(text(&answer["result"].take())["status"], "approval_pending");
        assert_eq!(messages.recv().await, None, "no time passed");
    }
}

#[tokio::test]
async fn a_request_that_is_gone_is_not_submitted() {
    let house = house().await;
    let (exchange, _messages) = exchange("agent:x", MODERN, Extra::default());
    exchange.gone.begin();
    let params = json!({ "name": "send_message", "arguments": message() }).to_string();
    let (status, _) = house.mcp.respond(request("tools/call", &params), exchange).await;
    assert_eq!((status, house.world.runs()), (499, 0));
}

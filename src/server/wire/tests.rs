use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::domain::call::Again;
use crate::domain::id::CallId;
use crate::domain::json::Canonical;
use crate::domain::outcome::Effect;
use crate::domain::principal::Credential;
use crate::domain::time::Timestamp;
use crate::domain::tool::EffectClass;

fn a_call(state: CallState) -> Call {
    let at = Timestamp::from_micros(1_795_420_800_000_000);
    Call {
        id: CallId::from_bytes([7; 16]),
        tool: "create_ticket".parse().unwrap(),
        tool_digest: Digest([1; 32]),
        effect: EffectClass::Once,
        principal: "agent:triage".parse().unwrap(),
        credential: Credential::Environment,
        chain: Vec::new(),
        key: "k-1".parse().unwrap(),
        fingerprint: Digest([2; 32]),
        arguments: Canonical::of(&json!({"title": "Login broken"})),
        effective: Digest([3; 32]),
        salt: [4; 16],
        reason: None,
        created_at: at,
        changed_at: at.plus(Duration::from_secs(1)),
        attempts: 1,
        approval: None,
        state,
    }
}

fn closed(outcome: Outcome) -> Call {
    a_call(CallState::Closed(outcome))
}

fn failed(kind: FailureKind, effect: Effect) -> Call {
    closed(Outcome::Failed { kind, message: "no".to_owned(), output: None, effect })
}

#[test]
fn a_call_on_the_wire() {
    let output = Canonical::of(&json!({"ticket": {"id": 1}}));
    let shown = serde_json::to_value(call(&closed(Outcome::Succeeded { output }), true, Some(9))).unwrap();

    let expected = json!({
        "id": CallId::from_bytes([7; 16]).to_string(),
        "tool": "create_ticket",
        "principal": "agent:triage",
        "state": "succeeded",
        "arguments": {"title": "Login broken"},
        "output": {"ticket": {"id": 1}},
        "effect": "done",
        "replayed": true,
        "idempotency_key": "k-1",
        "attempts": 1,
        "created_at": "2026-11-23T08:00:00.000000Z",
        "changed_at": "2026-11-23T08:00:01.000000Z",
        "audit": 9,
    });
    assert_eq!(shown, expected);
}

#[test]
fn an_end_without_a_result_says_why_and_what_happened_to_the_world() {
    let anna = || "user:anna".parse().unwrap();
    let note = Some("I looked".to_owned());
    for (ended, status, effect) in [
        (failed(FailureKind::Failed, Effect::None), 502, "none"),
        (failed(FailureKind::NotFound, Effect::None), 404, "none"),
        (failed(FailureKind::Timeout, Effect::Unknown), 504, "unknown"),
        (failed(FailureKind::OutputInvalid, Effect::Done), 502, "done"),
        (closed(Outcome::Rejected { by: anna(), reason: None }), 403, "none"),
        (closed(Outcome::Expired), 409, "none"),
        (closed(Outcome::Cancelled { by: anna() }), 409, "none"),
        (closed(Outcome::Stale { changed: "the tool".to_owned() }), 409, "none"),
        (closed(Outcome::Settled { by: anna(), happened: false, note: note.clone() }), 502, "none"),
        (a_call(CallState::InDoubt), 500, "unknown"),
    ] {
        let problem = serde_json::to_value(call(&ended, false, None).error).unwrap();
        let told = (&problem["status"], &problem["effect"], &problem["call_id"]);
        assert_eq!(told, (&json!(status), &json!(effect), &json!(ended.id.to_string())), "{problem}");
    }
    for going in [
        a_call(CallState::Ready),
        a_call(CallState::AwaitingApproval),
        a_call(CallState::Running { epoch: 1, again: Again::Never }),
        closed(Outcome::Settled { by: anna(), happened: true, note }),
    ] {
        assert_eq!(failure(&going), None);
    }
}

#[test]
fn an_answer_names_its_call_its_record_and_whether_it_is_a_replay() {
    let done = closed(Outcome::Succeeded { output: Canonical::of(&Value::Null) });
    let id = done.id.to_string();
    let headers = |answer: Reply| {
        let answer = reply(&answer);
        let of = |name| answer.headers().get(&name).map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), of(respond::CALL), of(respond::AUDIT), of(respond::REPLAYED))
    };
    assert_eq!(
        headers(Reply::Done { call: done, replayed: true, audit: Some(4) }),
        (200, Some(id.clone()), Some("4".to_owned()), Some("true".to_owned()))
    );
    let open = a_call(CallState::AwaitingApproval);
    assert_eq!(headers(Reply::Pending { call: open, attached: true, audit: None }), (202, Some(id), None, None));
    assert_eq!(headers(Reply::DryRun { call: a_call(CallState::Ready) }), (200, None, None, None));
}

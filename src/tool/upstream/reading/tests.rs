//! What answers come to, for each class of effects.

use std::time::Duration;

use super::*;
use crate::domain::tool::{Action, Extras, Risk};

fn tool(effect: EffectClass) -> Tool {
    Tool {
        name: "s.t".parse().unwrap(),
        title: String::new(),
        description: String::new(),
        action: Action::Desk,
        effect,
        destructive: false,
        open_world: false,
        risk: Risk::Low,
        input_schema: json!({"type": "object"}),
        output_schema: json!({}),
        confirm_argument: None,
        idempotency_ignore: Vec::new(),
        example: None,
        timeout: Duration::from_secs(1),
        output_limit: 200,
        extras: Extras::default(),
    }
}

fn ending(effect: EffectClass, result: Value) -> Ending {
    read(&tool(effect), None, Answer::Result(result))
}

fn output(ending: Ending) -> Value {
    match ending {
        Ending::Known(Outcome::Succeeded { output }) => output.value(),
        other => panic!("{other:?}"),
    }
}

fn failure(ending: Ending) -> (FailureKind, Effect, String) {
    match ending {
        Ending::Known(Outcome::Failed { kind, effect, message, .. }) => (kind, effect, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_server_answers_is_passed_on_as_it_is() {
    let content = json!([{"type": "text", "text": "hi"}, {"type": "new-kind", "x": [1]}]);
    let plain = json!({"content": content, "isError": false, "resultType": "complete"});
    assert_eq!(output(ending(EffectClass::Once, plain)), json!({"content": content}));
    let both = json!({"content": content, "structuredContent": {"a": 1}});
    assert_eq!(output(ending(EffectClass::Once, both.clone())), both);
    let schema = OutputSchema::compile(&json!({"type": "object", "required": ["a"]})).unwrap();
    let declared = read(&tool(EffectClass::Once), Some(&schema), Answer::Result(both));
    assert_eq!(output(declared), json!({"a": 1}));
}

#[test]
fn a_failure_says_what_the_server_said_and_nothing_of_the_world() {
    let said = json!({"content": [{"type": "text", "text": "no such file"}], "isError": true});
    let expected = "`s.t` failed: no such file".to_owned();
    assert_eq!(
        failure(ending(EffectClass::Once, said.clone())),
        (FailureKind::Failed, Effect::Unknown, expected.clone())
    );
    assert_eq!(failure(ending(EffectClass::ReadOnly, said)), (FailureKind::Failed, Effect::None, expected));
    let fault = Answer::Fault { code: -32_602, message: "Unknown tool".to_owned() };
    let (kind, effect, message) = failure(read(&tool(EffectClass::Once), None, fault));
    assert_eq!((kind, effect), (FailureKind::Failed, Effect::Unknown));
    assert_eq!(message, "`s.t` failed: Unknown tool (-32602)");
}

#[test]
fn an_answer_that_breaks_its_word_has_happened_all_the_same() {
    let schema = OutputSchema::compile(&json!({"type": "object", "required": ["a"]})).unwrap();
    for result in [
        json!({"structuredContent": {"b": 1}}),
        json!({"content": [{"type": "text", "text": "{\"a\":1}"}]}),
        json!({"structuredContent": {"a": "x".repeat(300)}}),
        json!(7),
    ] {
        let once = read(&tool(EffectClass::Once), Some(&schema), Answer::Result(result.clone()));
        assert_eq!(failure(once).1, Effect::Done, "{result}");
        let reads = read(&tool(EffectClass::ReadOnly), Some(&schema), Answer::Result(result));
        assert_eq!(failure(reads).1, Effect::None);
    }
}

#[test]
fn what_nobody_can_read_or_asked_for_is_in_doubt_unless_again_is_harmless() {
    let unreadable = || Answer::Unreadable("it is not strict JSON".to_owned());
    let task = || Answer::Result(json!({"resultType": "task", "taskId": "t"}));
    for answer in [unreadable as fn() -> Answer, task] {
        assert!(matches!(read(&tool(EffectClass::Once), None, answer()), Ending::InDoubt { .. }));
        assert!(matches!(read(&tool(EffectClass::Keyed), None, answer()), Ending::InDoubt { .. }));
        let reads = failure(read(&tool(EffectClass::ReadOnly), None, answer()));
        assert_eq!((reads.0, reads.1), (FailureKind::OutputInvalid, Effect::None));
        let again = failure(read(&tool(EffectClass::Idempotent), None, answer()));
        assert_eq!((again.0, again.1), (FailureKind::OutputInvalid, Effect::Unknown));
    }
}

#[test]
fn a_server_that_asks_for_more_has_failed_and_may_have_begun() {
    let asks = json!({"resultType": "input_required", "inputRequests": {}});
    let (kind, effect, message) = failure(ending(EffectClass::Once, asks.clone()));
    assert_eq!((kind, effect), (FailureKind::Failed, Effect::Unknown));
    assert!(message.contains("asks its caller for more"), "{message}");
    assert_eq!(failure(ending(EffectClass::ReadOnly, asks)).1, Effect::None);
}

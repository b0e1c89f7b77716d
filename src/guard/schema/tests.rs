use serde_json::json;

use super::*;
use crate::domain::json::Limits;
use crate::domain::tool::{Action, EffectClass, Extras, Risk};

fn tool(input_schema: Value) -> Tool {
    Tool {
        name: "ticket".parse().unwrap(),
        title: "Ticket".into(),
        description: "Makes a ticket".into(),
        action: Action::Desk,
        effect: EffectClass::Once,
        destructive: false,
        open_world: false,
        risk: Risk::Medium,
        input_schema,
        output_schema: json!({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}),
        confirm_argument: None,
        idempotency_ignore: vec!["/note".into(), "/deep/a~1b".into()],
        example: None,
        timeout: std::time::Duration::from_secs(1),
        output_limit: 40,
        extras: Extras::default(),
    }
}

fn ready(input_schema: Value) -> (Schemas, Arc<Registered>) {
    let catalog = Catalog::new([tool(input_schema)]).unwrap();
    (Schemas::compile(&catalog).unwrap(), Arc::clone(catalog.get("ticket").unwrap()))
}

fn ticket() -> Value {
    json!({
        "type": "object",
        "properties": {
            "customer_id": {"type": "integer", "minimum": 1},
            "title": {"type": "string", "minLength": 3},
            "priority": {"enum": ["low", "medium", "high"], "default": "medium"},
            "note": {"type": "string"},
            "pin": {"type": "string", "writeOnly": true, "pattern": "^[0-9]+$", "enum": ["1", "2"]},
            "deep": {"$ref": "#/$defs/deep"},
            "login": {"type": "object", "format": "password", "additionalProperties": false}
        },
        "required": ["customer_id", "title"],
        "additionalProperties": false,
        "$defs": {"deep": {"type": "object", "properties": {"n": {"type": "integer", "default": 7}, "a/b": {}}}}
    })
}

fn told(schema: Value, sent: Value) -> Vec<String> {
    let (schemas, tool) = ready(schema);
    let denial = schemas.check(&tool, &sent).expect_err("wrong");
    assert_eq!((denial.stage, denial.code), (Stage::Arguments, Code::ArgumentsInvalid));
    assert_eq!(denial.hint.as_deref(), Some("see `toolctl tools show ticket`"));
    denial.violations.iter().map(in_a_line).collect()
}

#[test]
fn all_violations_are_told_at_once_each_with_its_place() {
    let sent = json!({"titel": "x", "priority": "hi", "title": "ab", "deep": {"n": "7"}, "zzz": 1});
    assert_eq!(
        told(ticket(), sent),
        [
            "`/customer_id` is required",
            "`/deep/n` must be an integer, not a string",
            "`/priority` must be one of `low`, `medium`, `high`; did you mean `high`?",
            "`/titel` is not known; did you mean `title`?",
            "`/title` must have at least 3 characters",
            "`/zzz` is not known; known are `customer_id`, `deep`, `login`, `note`, `pin`, `priority`, `title`",
        ]
    );
    assert_eq!(told(ticket(), json!([1])), ["`the whole` must be an object with one member per argument"]);
}

#[test]
fn secret_values_never_show() {
    let sent = json!({"customer_id": 1, "title": "abc", "pin": "s3cret-value", "login": {"s3cret-value": 1}});
    let (schemas, tool) = ready(ticket());
    let denial = schemas.check(&tool, &sent).expect_err("wrong");
    assert_eq!(denial.violations.len(), 3, "{denial:?}");
    assert!(!format!("{denial:?}").contains("s3cret"), "{denial:?}");
}

#[test]
fn defaults_make_the_effective_arguments_and_not_the_fingerprint() {
    let (schemas, tool) = ready(ticket());
    let base = json!({"customer_id": 1, "title": "abc", "deep": {}});
    let arguments = schemas.check(&tool, &base).unwrap();
    assert_eq!(arguments.effective().as_str(), r#"{"customer_id":1,"deep":{"n":7},"priority":"medium","title":"abc"}"#);
    assert_eq!(arguments.effective().value(), *arguments.value());

    let spelled = schemas.check(&tool, arguments.value()).unwrap();
    assert_eq!(spelled.effective_digest(), arguments.effective_digest());
    assert_ne!(spelled.fingerprint(), arguments.fingerprint());

    let ignored = json!({"customer_id": 1, "title": "abc", "deep": {"a/b": 1}, "note": "other"});
    let ignored = schemas.check(&tool, &ignored).unwrap();
    assert_eq!(ignored.fingerprint(), arguments.fingerprint());
    assert_ne!(ignored.effective_digest(), arguments.effective_digest());
}

#[test]
fn a_default_that_fails_the_schema_is_no_way_round_it() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "default": "x"}}});
    assert_eq!(told(schema, json!({})), ["`/n` must be an integer, not a string"]);
}

#[test]
fn nothing_outside_the_schema_is_referred_to() {
    for target in ["https://example.com/s.json", "file:///etc/passwd", "other.json"] {
        let catalog = Catalog::new([tool(json!({"type": "object", "properties": {"a": {"$ref": target}}}))]).unwrap();
        let bad = Schemas::compile(&catalog).expect_err(target);
        assert_eq!(
            bad.to_string(),
            format!(
                "the input schema of `ticket` is not a JSON Schema: `$ref` to `{target}` leaves the schema; only `#…` \
                 may be referred to"
            )
        );
    }
    let catalog = Catalog::new([tool(json!({"type": "wurst"}))]).unwrap();
    assert!(Schemas::compile(&catalog).is_err());
    let circle = json!({"type": "object", "properties": {"child": {"$ref": "#"}, "n": {"default": 1}}});
    let (schemas, tool) = ready(circle);
    let arguments = schemas.check(&tool, &json!({"child": {"child": {}}})).unwrap();
    assert_eq!(arguments.effective().as_str(), r#"{"child":{"child":{"n":1},"n":1},"n":1}"#);
}

#[test]
fn output_is_held_to_what_was_declared() {
    let (schemas, tool) = ready(ticket());
    assert_eq!(schemas.check_output(&tool, &json!({"id": 7})).unwrap().as_str(), r#"{"id":7}"#);
    assert_eq!(schemas.check_output(&tool, &json!({})), Err("`/id` is required".into()));
    let long = json!({"id": 7, "text": "x".repeat(40)});
    assert_eq!(
        schemas.check_output(&tool, &long),
        Err("the output has 58 bytes, more than the 40 that are kept".into())
    );
}

#[test]
fn what_is_not_strict_is_told_with_its_place_and_a_way_out() {
    let refuse = |text: &[u8]| not_strict(&json::parse(text, Limits { bytes: 60, depth: 64 }).expect_err("refused"));
    let denial = refuse(br#"{"account": 9007199254740993}"#);
    assert_eq!(denial.code, Code::ArgsNotCanonical);
    assert_eq!(
        denial.detail,
        "the arguments are not strict JSON: the number cannot be held exactly at `/account` (byte 28)"
    );
    assert_eq!(denial.hint.as_deref(), Some("send it as a string"));
    assert_eq!(denial.violations.first().map(|v| v.path.as_str()), Some("/account"));
    assert_eq!(refuse(br#"{"a":1,"a":2}"#).hint.as_deref(), Some("send each member once"));
    assert_eq!(refuse(&[b' '; 61]).code, Code::PayloadTooLarge);
}

fn call(tool: &Registered, arguments: &Arguments) -> Call {
    Call {
        id: crate::domain::id::CallId::from_bytes([7; 16]),
        tool: tool.name.clone(),
        tool_digest: tool.digest,
        effect: tool.effect,
        principal: "user:anna".parse().unwrap(),
        credential: crate::domain::principal::Credential::Environment,
        chain: Vec::new(),
        key: "k".parse().unwrap(),
        fingerprint: arguments.fingerprint(),
        arguments: arguments.effective().clone(),
        effective: arguments.effective_digest(),
        salt: [0; 16],
        reason: None,
        created_at: crate::domain::time::Timestamp::EPOCH,
        changed_at: crate::domain::time::Timestamp::EPOCH,
        attempts: 0,
        approval: None,
        state: crate::domain::call::CallState::Ready,
    }
}

#[test]
fn a_stored_call_has_its_arguments_again_only_while_nothing_changed() {
    let (schemas, tool) = ready(ticket());
    let arguments = schemas.check(&tool, &json!({"customer_id": 1, "title": "abc", "note": "x"})).unwrap();
    let stored = call(&tool, &arguments);
    let again = schemas.restore(&tool, &stored).unwrap();
    assert_eq!(
        (again.fingerprint(), again.effective_digest(), again.effective(), again.value()),
        (arguments.fingerprint(), arguments.effective_digest(), arguments.effective(), arguments.value())
    );

    let mut schema = ticket();
    schema["properties"]["title"]["minLength"] = json!(2);
    let (other, changed) = ready(schema);
    assert_eq!(other.restore(&changed, &stored).unwrap_err(), "the tool's definition");
    assert_eq!(other.restore(&tool, &stored).unwrap_err(), "the tool's definition");

    let edited = |text: &str| Call { arguments: Canonical::trusted(text), ..stored.clone() };
    let valid = r#"{"customer_id":2,"note":"x","priority":"medium","title":"abc"}"#;
    assert_eq!(schemas.restore(&tool, &edited(valid)).unwrap_err(), "the arguments");
    assert_eq!(schemas.restore(&tool, &edited("{}")).unwrap_err(), "the tool's schema");
}

#[test]
fn schemas_are_compiled_when_they_are_needed_and_kept_for_as_long_as_a_tool_stays_what_it_is() {
    let other = |properties: Value| Tool {
        name: "other".parse().unwrap(),
        ..tool(json!({"type": "object", "properties": properties}))
    };
    let catalog = Catalog::new([tool(ticket()), other(json!({}))]).unwrap();
    let schemas = Schemas::of(&catalog, None);
    assert_eq!(schemas.in_use(), 0);
    let sent = json!({"customer_id": 1, "title": "abc"});
    for name in ["ticket", "other"] {
        schemas.check(catalog.get(name).unwrap(), &sent).unwrap();
    }
    assert_eq!(schemas.in_use(), 2);
    let changed = Catalog::new([tool(ticket()), other(json!({"title": {"type": "integer"}}))]).unwrap();
    let again = Schemas::of(&changed, Some(&schemas));
    assert_eq!(again.in_use(), 1, "the one that has not changed");
    assert!(again.check(changed.get("other").unwrap(), &sent).is_err(), "the new schema counts");
    assert!(again.check(catalog.get("other").unwrap(), &sent).is_err(), "the old definition is none of these");
}

#[test]
fn a_schema_that_is_none_lets_nothing_pass() {
    let catalog = Catalog::new([tool(json!({"type": "wurst"}))]).unwrap();
    let denial = Schemas::of(&catalog, None).check(catalog.get("ticket").unwrap(), &json!({})).expect_err("no schema");
    assert_eq!(denial.code, Code::Internal);
    assert!(denial.detail.contains("the input schema of `ticket` is not a JSON Schema"), "{}", denial.detail);
}

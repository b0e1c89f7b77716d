//! Every way in which a call can stand, as a result; and outputs that not every revision knows.

use super::*;
use crate::domain::call::{Call, CallState};
use crate::domain::json::Canonical;
use crate::domain::outcome::{Effect, FailureKind, Outcome};
use crate::pipeline::submission::Reply;
use crate::server::mcp::governed::result::{Envelope, Reader, ended, tells_output_schema, written};

/// A call that waits for people.
async fn waiting() -> Call {
    let house = house().await;
    match house.world.call(RAISE, status(), None).await {
        Ok(Reply::Pending { call, .. }) => call,
        other => panic!("not pending: {other:?}"),
    }
}

#[tokio::test]
async fn every_end_of_a_call_is_told() {
    let call = waiting().await;
    let anna = || "user:anna".parse().unwrap();
    let failed = |kind, effect, output: Option<&str>| {
        let output = output.map(Canonical::trusted);
        CallState::Closed(Outcome::Failed { kind, message: "no".to_owned(), output, effect })
    };
    let settled =
        |happened| CallState::Closed(Outcome::Settled { by: anna(), happened, note: Some("saw it".to_owned()) });
    let (yes, no, nobody_knows) = (json!(true), json!(false), Value::Null);
    for (state, status, executed, effect, code, detail) in [
        (
            CallState::Ready,
            "in_progress",
            &no,
            "none",
            "idempotency-in-progress",
            "the call is running and has not ended",
        ),
        (
            CallState::InDoubt,
            "outcome_unknown",
            &nobody_knows,
            "unknown",
            "outcome-unknown",
            "`update_customer_status` was started, and nobody knows whether it happened",
        ),
        (failed(FailureKind::Failed, Effect::Done, None), "failed", &yes, "done", "tool-failed", "no"),
        (failed(FailureKind::NotFound, Effect::None, None), "failed", &yes, "none", "object-not-found", "no"),
        (failed(FailureKind::Timeout, Effect::Unknown, None), "failed", &nobody_knows, "unknown", "tool-timeout", "no"),
        (failed(FailureKind::OutputInvalid, Effect::Done, None), "failed", &yes, "done", "output-invalid", "no"),
        (
            CallState::Closed(Outcome::Rejected { by: anna(), reason: None }),
            "rejected",
            &no,
            "none",
            "approval-rejected",
            "`user:anna` said no",
        ),
        (
            CallState::Closed(Outcome::Expired),
            "expired",
            &no,
            "none",
            "approval-expired",
            "it was not approved and started in time",
        ),
        (
            CallState::Closed(Outcome::Cancelled { by: anna() }),
            "cancelled",
            &no,
            "none",
            "cancelled",
            "`user:anna` took the call back",
        ),
        (
            CallState::Closed(Outcome::Stale { changed: "the tool is gone".to_owned() }),
            "stale",
            &no,
            "none",
            "approval-stale",
            "what was approved is not what would run: the tool is gone",
        ),
        (settled(false), "failed", &no, "none", "tool-failed", "`user:anna` looked and says it did not happen: saw it"),
    ] {
        let said = serde_json::to_value(Envelope::about(&Call { state, ..call.clone() })).unwrap();
        let expected = json!([status, executed, effect, code, detail]);
        assert_eq!(json!([said["status"], said["executed"], said["effect"], said["code"], said["detail"]]), expected);
        assert_eq!((&said["call_id"], &said["approval_id"]), (&json!(call.id), &json!(call.id.approval())), "{status}");
        assert!(!said["help"].as_str().unwrap().is_empty(), "{status}");
    }
    let kept = failed(FailureKind::Failed, Effect::None, Some(r#"{"line":7}"#));
    let said = serde_json::to_value(Envelope::about(&Call { state: kept, ..call.clone() })).unwrap();
    assert_eq!(said["output"], json!({ "line": 7 }), "what the tool said all the same");
    let settled = Call { state: settled(true), ..call };
    let said = serde_json::to_value(Envelope::about(&settled)).unwrap();
    assert_eq!((&said["status"], &said["executed"], said.get("code")), (&json!("succeeded"), &json!(true), None));
    assert_eq!(said["detail"], "`user:anna` looked and says that it happened: saw it");
    let reader = Reader { version: MODERN, has_schema: true, takes_content: false };
    assert!(ended(&settled, reader).members.ends_with(r#""isError":true"#), "it is not the tool's output");
}

#[test]
fn an_output_goes_out_as_it_is_where_it_is_known() {
    let text = |version, json: &str, is_error, has_schema| {
        written(json, Reader { version, has_schema, takes_content: false }, is_error).members
    };
    let list = r#"[1,"a\"b"]"#;
    let bare = r#""content":[{"type":"text","text":"[1,\"a\\\"b\"]"}],"isError":false"#;
    assert_eq!(text(Version::V2025_11_25, list, false, false), bare, "legacy knows objects only");
    let whole = r#""content":[{"type":"text","text":"[1,\"a\\\"b\"]"}],"structuredContent":[1,"a\"b"],"isError":false"#;
    assert_eq!(text(MODERN, list, false, true), whole);
    let object = r#"{"n":1e+21}"#;
    for (version, is_error, has_schema, structured) in [
        (MODERN, false, true, true),
        (MODERN, true, false, true),
        (MODERN, true, true, false),
        (Version::V2025_11_25, false, true, true),
        (Version::V2025_11_25, true, true, false),
        (Version::V2025_06_18, true, false, true),
        (Version::V2025_03_26, false, false, false),
    ] {
        let members = text(version, object, is_error, has_schema);
        assert_eq!(
            members.contains(r#""structuredContent":{"n":1e+21}"#),
            structured,
            "{version} {is_error} {has_schema}"
        );
    }
}

#[test]
fn legacy_clients_are_told_of_outputs_that_are_objects() {
    for (schema, legacy, modern) in [
        (json!({ "type": "object" }), true, true),
        (json!({ "type": "array" }), false, true),
        (json!({ "anyOf": [{ "type": "object" }] }), false, true),
        (json!(true), false, false),
        (Value::Null, false, false),
    ] {
        let tool = Tool { output_schema: schema.clone(), ..tool(RAISE) };
        let tells = |version| tells_output_schema(version, &tool);
        assert_eq!((tells(Version::V2025_11_25), tells(MODERN)), (legacy, modern), "{schema}");
        assert!(!tells(Version::V2025_03_26));
    }
}

//! Calls against a daemon that follows a script: every answer is written down, and every question is kept.

use serde_json::json;

use super::*;
use crate::cli::args::CallFlags;
use crate::cli::command::script::{Answer, Played, play};
use crate::cli::dossier;
use crate::cli::dynamic::sample;
use crate::cli::ui::Seen;

fn run_with(flags: CallFlags, theirs: &[&str], seen: Seen, answers: Vec<Answer>) -> Played<Exit> {
    let theirs: Vec<String> = theirs.iter().map(|word| (*word).to_owned()).collect();
    play(seen, answers, |cx| run(cx, &CallArgs { flags, rest: vec!["create_ticket".into()] }, &theirs))
}

fn keyed() -> CallFlags {
    CallFlags { idempotency_key: Some("k1".into()), ..CallFlags::default() }
}

fn tool() -> Answer {
    Some((200, json!(sample::tool())))
}

fn call(state: &str, output: Option<Value>) -> Answer {
    let mut call = dossier::sample::dossier().call;
    call.state = state.into();
    call.output = output;
    if state != "awaiting_approval" {
        call.approval = None;
    }
    Some((200, json!(call)))
}

/// What a look at the approval shows.
fn looked(you_may_not: Option<&str>) -> Answer {
    let mut dossier = dossier::sample::dossier();
    dossier.you_may_not = you_may_not.map(str::to_owned);
    Some((200, json!(dossier)))
}

const ARGUMENTS: [&str; 3] = ["--customer-id", "1", "title=abc"];
const POSTED: &str =
    r#"POST /v1/calls {"tool":"create_ticket","arguments":{"customer_id":1,"title":"abc"},"idempotency_key":"k1"}"#;

#[test]
fn only_the_output_is_printed_and_only_one_tool_is_asked_about() {
    let answers = vec![tool(), call("succeeded", Some(json!({"id": 7})))];
    let ran = run_with(keyed(), &ARGUMENTS, Seen::default(), answers);
    assert_eq!(ran.result, Ok(Exit::Done));
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("{\"id\":7}\n", ""));
    assert_eq!(ran.asked, ["GET /v1/tools/create_ticket", POSTED]);
}

#[test]
fn a_tool_that_failed_still_shows_its_output() {
    let answers = vec![tool(), call("failed", Some(json!({"partial": true})))];
    let ran = run_with(keyed(), &ARGUMENTS, Seen::default(), answers);
    assert_eq!((ran.result.expect_err("failed").exit, ran.out.as_str()), (Exit::ToolFailed, "{\"partial\":true}\n"));
}

#[test]
fn in_a_pipe_nobody_waits_for_people() {
    let answers = vec![tool(), call("awaiting_approval", None), looked(None)];
    let ran = run_with(keyed(), &ARGUMENTS, Seen::default(), answers);
    let error = ran.result.expect_err("pending");
    assert_eq!((error.exit, error.details.call_id.as_deref()), (Exit::Pending, Some("call_01kb0")));
    assert_eq!(error.tries, ["toolctl approve '#17' --yes", "toolctl wait call_01kb0"]);
    assert_eq!(ran.out, "");
}

#[test]
fn who_may_not_decide_is_told_who_can_and_no_command_for_it() {
    for may_not in [Some("`agent:bot` is not one of approvers"), None] {
        // A look that fails leaves what was said without it.
        let looked = may_not.and_then(|why| looked(Some(why)));
        let answers = vec![tool(), call("awaiting_approval", None), looked];
        let ran = run_with(keyed(), &ARGUMENTS, Seen::default(), answers);
        let error = ran.result.expect_err("pending");
        assert_eq!(error.tries, ["toolctl wait call_01kb0"]);
        let hint = may_not.map(|_| "approvers decide, with keys of their own; tell them of #17");
        assert_eq!(error.hint.as_deref(), hint);
    }
}

#[test]
fn on_a_terminal_the_call_is_followed_to_its_end() {
    let seen = Seen { out: true, ..Seen::default() };
    let answers = vec![
        tool(),
        call("awaiting_approval", None),
        call("awaiting_approval", None),
        call("succeeded", Some(json!("a\u{1b}b"))),
    ];
    let ran = run_with(keyed(), &ARGUMENTS, seen, answers);
    assert_eq!((ran.result, ran.out.as_str()), (Ok(Exit::Done), "a\\u{1b}b\n"));
    assert!(ran.asked[2].starts_with("GET /v1/calls/call_01kb0?wait=25000ms"), "{:?}", ran.asked);
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let answers = vec![tool(), None, call("succeeded", Some(json!({"id": 7})))];
    let ran = run_with(keyed(), &ARGUMENTS, Seen::default(), answers);
    assert_eq!((ran.result, ran.out.as_str()), (Ok(Exit::Done), "{\"id\":7}\n"));
    assert_eq!(ran.asked[1..], [POSTED, POSTED]);
}

#[test]
fn an_answer_lost_twice_is_an_unknown_outcome_with_its_key() {
    let ran = run_with(keyed(), &ARGUMENTS, Seen::default(), vec![tool(), None, None]);
    let error = ran.result.expect_err("unknown");
    assert_eq!((error.exit, error.details.idempotency_key.as_deref()), (Exit::Unknown, Some("k1")));
    assert_eq!(ran.asked[1..], [POSTED, POSTED], "never a third time");
}

#[test]
fn a_key_is_made_up_when_none_is_given() {
    let answers = vec![tool(), call("succeeded", None)];
    let ran = run_with(CallFlags::default(), &ARGUMENTS, Seen::default(), answers);
    let (_, body) = ran.asked[1].split_once("/v1/calls ").expect("a body");
    let body: Value = serde_json::from_str(body).expect("JSON");
    let key = body["idempotency_key"].as_str().expect("a key");
    assert_eq!(uuid::Uuid::parse_str(key).expect("a UUID").get_version_num(), 7);
}

#[test]
fn an_unknown_tool_names_the_nearest() {
    let problem = json!({"type": "t", "title": "t", "status": 404, "detail": "there is no tool `create_ticket`",
        "code": "tool-not-found", "effect": "none", "retryable": "after_change"});
    let mut other = sample::tool();
    other.name = "create_tickets".into();
    let tools = json!({"tools": [other], "catalog": "sha256:00"});
    let ran = run_with(keyed(), &ARGUMENTS, Seen::default(), vec![Some((404, problem)), Some((200, tools))]);
    let error = ran.result.expect_err("no such tool");
    assert_eq!((error.exit, error.hint.as_deref()), (Exit::Usage, Some("did you mean `create_tickets`?")));
}

#[test]
fn missing_arguments_are_listed_before_anything_is_called() {
    let ran = run_with(keyed(), &[], Seen::default(), vec![tool()]);
    let error = ran.result.expect_err("missing");
    assert_eq!((error.exit, error.details.errors.len()), (Exit::Usage, 2));
}

#[test]
fn help_is_a_result() {
    let ran = run_with(keyed(), &["--help"], Seen::default(), vec![tool()]);
    assert_eq!(ran.result, Ok(Exit::Done));
    assert!(ran.out.contains("--customer-id <INTEGER>") && ran.err.is_empty());
}

#[test]
fn a_dry_run_runs_nothing_and_exits_as_the_call_would() {
    let flags = || CallFlags { dry_run: true, ..keyed() };
    let seen = Seen { out: true, ..Seen::default() };
    let ran = run_with(flags(), &ARGUMENTS, seen, vec![tool(), call("would_run", None)]);
    assert_eq!(
        (ran.result, ran.out.as_str()),
        (Ok(Exit::Done), "would run update_customer_status at once; nothing ran\n")
    );
    let ran = run_with(flags(), &ARGUMENTS, Seen::default(), vec![tool(), call("would_wait", None)]);
    assert_eq!(ran.result.expect_err("would wait").exit, Exit::Pending);
    assert!(ran.asked[1].contains("\"dry_run\":true"), "{:?}", ran.asked);
}

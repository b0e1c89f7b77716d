//! How a call, a call that has not ended and a denial become the result of `tools/call`.
//!
//! Clients show their model either the text or the structured content of a result, so both hold the same
//! facts. What did not succeed is one envelope, whatever the reason: what happened, to the world too, and what
//! to do next. It is text alone where a client would hold it against the tool's output schema.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::mcp::{Era, Fault, Version, meta};
use crate::domain::call::{Call, CallState};
use crate::domain::denial::{Code, Denial, DenialClass, Retryable, Stage, Violation};
use crate::domain::json::Canonical;
use crate::domain::outcome::{Effect, Outcome};
use crate::domain::tool::Tool;
use crate::pipeline::submission::Reply;
use crate::server::status::retry_after;
use crate::server::wire;

use super::super::service::Body;
use super::fault;

/// When asking again about a call that waits for people can help.
const POLL: Duration = Duration::from_secs(5);

/// Who reads a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// The revision the client speaks.
    pub version: Version,
    /// It was told an output schema for the tool it called.
    pub has_schema: bool,
    /// The tool's output is the content of a result already.
    pub takes_content: bool,
}

impl Reader {
    /// A client that called `tool`, or one of our own tools, which have no output schema.
    pub fn of(version: Version, tool: Option<&Tool>) -> Self {
        Self {
            version,
            has_schema: tool.is_some_and(|tool| tells_output_schema(version, tool)),
            takes_content: tool.is_some_and(Tool::answers_content),
        }
    }
}

/// Whether clients of `version` are told the output schema of `tool`: legacy ones know only outputs that are
/// objects.
pub fn tells_output_schema(version: Version, tool: &Tool) -> bool {
    let Some(schema) = tool.output_schema.as_object().filter(|_| !tool.answers_content()) else { return false };
    match version.era() {
        Era::Modern => true,
        Era::Legacy => version >= Version::V2025_06_18 && schema.get("type").is_some_and(|kind| *kind == "object"),
    }
}

/// What a result says that is not the tool's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Envelope {
    /// Where it stands, in a word.
    pub status: &'static str,
    /// Whether the tool ran; null when nobody knows.
    pub executed: Option<bool>,
    /// What happened to the world.
    pub effect: Effect,
    /// The stable code of the contract; none when nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What happened, in a sentence.
    pub detail: String,
    /// Ids of the policies that decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// What to do next.
    pub help: String,
    /// Whether and how asking again can help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<Retryable>,
    /// When it can, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The call, `call_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// Its approval, `apr_…`, if people must agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<String>,
    /// Until when people can decide; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// All places in the arguments that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Violation>,
    /// What the tool said all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

impl Envelope {
    /// A denial.
    pub fn of(no: &Denial) -> Self {
        Self {
            status: word(no.code),
            executed: executed(no),
            effect: no.effect,
            code: Some(no.code.slug()),
            detail: no.detail.clone(),
            rules: no.rules.clone(),
            help: help(no),
            retryable: Some(no.code.retryable()),
            retry_after_ms: retry_after(no).map(millis),
            call_id: no.call.map(|call| call.to_string()),
            approval_id: None,
            expires_at: None,
            errors: no.violations.clone(),
            output: None,
        }
    }

    /// How a call stands that has no output to show: it failed, was not let through, or has not ended.
    pub fn about(call: &Call) -> Self {
        let blank = |no: &Denial| Self {
            approval_id: call.approval.as_ref().map(|_| call.id.approval().to_string()),
            ..Self::of(&no.clone().about(call.id).effect(call.effect_so_far()))
        };
        match &call.state {
            CallState::AwaitingApproval => Self {
                status: "approval_pending",
                executed: Some(false),
                expires_at: call.deadline().map(|time| time.to_string()),
                retry_after_ms: Some(millis(POLL)),
                ..blank(
                    &Denial::new(
                        Stage::Approval,
                        Code::ApprovalPending,
                        format!("nothing has run yet: {}", asked(call)),
                    )
                    .hint(
                        "call toolctl_wait with this approval_id until it is decided; do not repeat the call \
                             with another idempotency_key",
                    ),
                )
            },
            CallState::Ready | CallState::Running { .. } => Self {
                executed: if matches!(call.state, CallState::Ready) { Some(false) } else { None },
                retry_after_ms: Some(millis(Duration::from_secs(1))),
                ..blank(
                    &Denial::new(
                        Stage::Execution,
                        Code::IdempotencyInProgress,
                        "the call is running and has not ended",
                    )
                    .hint("call toolctl_wait with this call_id to get its result"),
                )
            },
            CallState::InDoubt | CallState::Closed(_) => match wire::failure(call) {
                Some(no) => {
                    let plain = blank(&no);
                    // Somebody looked, and nothing had happened.
                    let undone = matches!(call.outcome(), Some(Outcome::Settled { happened: false, .. }));
                    Self {
                        output: call.outcome().and_then(Outcome::output).map(Canonical::value),
                        executed: if undone { Some(false) } else { plain.executed },
                        ..plain
                    }
                }
                None => Self {
                    status: "succeeded",
                    executed: Some(true),
                    code: None,
                    detail: settled(call),
                    help: "its output is not known; look at its effect with another tool".to_owned(),
                    retryable: None,
                    retry_after_ms: None,
                    ..blank(&Denial::new(Stage::Execution, Code::OutcomeUnknown, ""))
                },
            },
        }
    }

    /// The result that says it.
    pub fn body(&self, reader: Reader) -> Body {
        let text = serde_json::to_string(self).unwrap_or_default();
        written(&text, reader, true)
    }
}

/// The result of a call that stands as `reply` says.
pub fn reply(reply: &Reply, reader: Reader) -> Body {
    match reply {
        Reply::Done { call, replayed, audit } => {
            let body = ended(call, reader);
            let body = if *replayed { body.meta(meta::REPLAYED, &true) } else { body };
            about(body, call, *audit)
        }
        Reply::Pending { call, audit, .. } => about(Envelope::about(call).body(reader), call, *audit),
        Reply::DryRun { call } => ended(call, reader),
    }
}

/// The result of a call that ended, or the envelope of one that did not: without what is known only of the
/// request (whether it is a replay, its record). Only an output of the tool is no error: an envelope must never
/// be taken for one, even where a person says that the call succeeded.
pub fn ended(call: &Call, reader: Reader) -> Body {
    match call.outcome() {
        Some(Outcome::Succeeded { output }) if reader.takes_content => passed_on(output, reader),
        Some(Outcome::Succeeded { output }) => written(output.as_str(), reader, false),
        _ => Envelope::about(call).body(reader),
    }
}

/// The result of a tool of a server, as that server gave it: pictures stay pictures.
fn passed_on(output: &Canonical, reader: Reader) -> Body {
    let output = output.value();
    let part = |name: &str| output.get(name).map(Canonical::of);
    let content = part("content").unwrap_or_else(|| Canonical::of(&json!([])));
    let structured = part("structuredContent").filter(|value| shows_structured(value.as_str(), reader, false));
    let structured = structured.map(|value| format!(r#","structuredContent":{}"#, value.as_str())).unwrap_or_default();
    Body::written(format!(r#""content":{}{structured},"isError":false"#, content.as_str()))
}

/// A no as a result that a model can act on.
///
/// # Errors
/// What no model can act on: a caller nobody knows (401), and a tool that is not there (-32602).
pub fn refused(no: &Denial, reader: Reader) -> Result<Body, Fault> {
    match no.code {
        Code::Unauthenticated => Err(fault(no)),
        Code::ToolNotFound => Err(Fault::invalid_params(format!("{}; {}", no.detail, help(no)))),
        _ => {
            if let Some(log) = &no.log {
                tracing::warn!(code = no.code.slug(), stage = ?no.stage, "{log}");
            }
            let body = Envelope::of(no).body(reader);
            Ok(match no.call {
                Some(call) => body.meta(meta::CALL, &call.to_string()),
                None => body,
            })
        }
    }
}

/// Names the call, its record and its approval in `_meta`.
pub fn about(body: Body, call: &Call, audit: Option<u64>) -> Body {
    let mut body = body.meta(meta::CALL, &call.id.to_string());
    if let Some(index) = audit {
        body = body.meta(meta::AUDIT, &index);
    }
    if let Some(approval) = &call.approval {
        let mut approval = json!({
            "id": call.id.approval().to_string(),
            "number": approval.number,
            "state": if matches!(call.state, CallState::AwaitingApproval) { "pending" } else { call.state.word() },
            "digest": approval.binding.to_string(),
            "args_digest": call.effective.to_string(),
        });
        if let (Some(deadline), Some(members)) = (call.deadline(), approval.as_object_mut()) {
            members.insert("expires_at".to_owned(), deadline.to_string().into());
        }
        body = body.meta(meta::APPROVAL, &approval);
    }
    body
}

/// A result whose text is this JSON, and its structured content too where the reader knows that. `json` is
/// passed on as it is.
pub fn written(json: &str, reader: Reader, is_error: bool) -> Body {
    const FRAME: usize = 96;
    let text = serde_json::to_string(json).unwrap_or_default();
    let mut members = String::with_capacity(text.len() + json.len() + FRAME);
    let (open, structured) =
        if shows_structured(json, reader, is_error) { (r#","structuredContent":"#, json) } else { ("", "") };
    let end = if is_error { r#","isError":true"# } else { r#","isError":false"# };
    for part in [r#""content":[{"type":"text","text":"#, &text, "}]", open, structured, end] {
        members.push_str(part);
    }
    Body::written(members)
}

fn shows_structured(json: &str, reader: Reader, is_error: bool) -> bool {
    // Clients of both eras were seen to check errors against the schema of the output too.
    if is_error && reader.has_schema {
        return false;
    }
    match reader.version.era() {
        Era::Modern => true,
        Era::Legacy => reader.version >= Version::V2025_06_18 && json.starts_with('{'),
    }
}

/// Where a refused or failed call stands, in a word. Most codes are of their class; those are named that an
/// agent treats in a way of their own.
fn word(code: Code) -> &'static str {
    match code {
        Code::ApprovalPending => "approval_pending",
        Code::ApprovalRejected => "rejected",
        Code::ApprovalExpired => "expired",
        Code::ApprovalStale => "stale",
        Code::ApprovalUnsatisfiable => "denied",
        Code::Cancelled => "cancelled",
        Code::IdempotencyInProgress => "in_progress",
        Code::IdempotencyKeyReused => "idempotency_conflict",
        Code::ObjectNotFound => "failed",
        Code::OutcomeUnknown => "outcome_unknown",
        other => match other.class() {
            DenialClass::Unauthenticated | DenialClass::Forbidden => "denied",
            DenialClass::NotFound => "not_found",
            DenialClass::Throttled => "throttled",
            DenialClass::Invalid | DenialClass::TooLarge => "invalid",
            DenialClass::Conflict => "conflict",
            DenialClass::Gone => "result_expired",
            DenialClass::Unavailable => "unavailable",
            DenialClass::Failed | DenialClass::TimedOut | DenialClass::Internal => "failed",
        },
    }
}

/// Whether the tool ran.
fn executed(no: &Denial) -> Option<bool> {
    match (no.effect, no.code) {
        (Effect::Unknown, _) => None,
        (Effect::Done, _) => Some(true),
        (Effect::None, Code::ToolFailed | Code::ObjectNotFound | Code::ToolTimeout | Code::OutputInvalid) => Some(true),
        // It ran for an earlier request; what became of that is no longer known.
        (Effect::None, Code::IdempotencyResultExpired) => None,
        (Effect::None, _) => Some(false),
    }
}

/// What to do next, for a reader that has tools and no command line: advice to type a command is for people, and
/// is given in a model's terms here.
fn help(no: &Denial) -> String {
    let hint = no.hint.as_deref();
    match (no.code, hint) {
        (Code::ToolNotFound, hint) => {
            let guess = hint.filter(|hint| hint.starts_with("did you mean")).and_then(|hint| hint.split_once('?'));
            let guess = guess.map_or_else(String::new, |(guess, _)| format!("{guess}? "));
            format!("{guess}tools/list has the tools you may call")
        }
        (Code::ArgumentsInvalid, _) => {
            "correct the arguments; the tool's inputSchema in tools/list says what it takes".to_owned()
        }
        (_, Some(hint)) if !hint.contains("`toolctl ") => hint.to_owned(),
        (code, _) => usual_help(code).to_owned(),
    }
}

fn usual_help(code: Code) -> &'static str {
    match (code, code.retryable()) {
        (Code::PolicyDenied, _) => {
            "do not call it in another way: policy is for those who run the daemon to change; tell your user"
        }
        (Code::OutcomeUnknown, _) => "look at its effect with another tool, and do not repeat this call",
        (_, Retryable::SameKey) => "try again later with the same idempotency_key",
        (_, Retryable::NewKey) => "this attempt is over; a new one needs a new idempotency_key",
        (_, Retryable::AfterChange) => "the same call again gets the same answer: change what is named here first",
        (_, Retryable::Never) => "do not repeat this call",
    }
}

/// Whom a call waits for.
fn asked(call: &Call) -> String {
    let needs = call.approval.iter().flat_map(|approval| {
        let unmet = approval.requirements.iter().filter(|need| !approval.meets(need));
        unmet.map(|need| (need, need.quorum.saturating_sub(approval.agreed(need))))
    });
    let needs: Vec<_> = needs.map(|(need, missing)| format!("{missing} of `{}`", need.group)).collect();
    let number = call.approval.as_ref().map_or(0, |approval| approval.number);
    format!("`{}` waits as #{number} for {} to agree", call.tool, needs.join(" and "))
}

fn settled(call: &Call) -> String {
    match call.outcome() {
        Some(Outcome::Settled { by, note, .. }) => {
            let note = note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
            format!("`{by}` looked and says that it happened{note}")
        }
        _ => "it happened".to_owned(),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

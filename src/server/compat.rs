//! The face of the original demo server, exactly: `/tools/NAME` and `/confirm/ID`. Its clients know outputs
//! and errors, not calls.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::domain::approval::{Assurance, Verdict};
use crate::domain::call::{Call, CallState};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::json::{self, Canonical};
use crate::domain::outcome::Outcome;
use crate::domain::tool::EffectClass;
use crate::endpoints;
use crate::pipeline::submission::{Answer, Ballot, Labels, LookedAt, Reply, Submission};

use super::approvals::{DECISION_WAIT, reference};
use super::respond;
use super::route::{Route, described, plain};
use super::visit::Visit;
use super::{Door, decode, no, wire};

endpoints! {
    /// Say yes or no to a pending action, as the original demo server did.
    Confirm = Post "/confirm/{id}", "confirmAction", Confirmation => Confirmed;
}

/// A yes or no.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Confirmation {
    /// The `pending_action_id`.
    pub id: String,
    /// Yes or no.
    pub approve: bool,
}

/// What came of it, beside the members of the tool's output.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Confirmed {
    /// Always true.
    pub ok: bool,
    /// `confirmed`, `rejected`; or `pending` when more people must agree or the tool still runs.
    pub status: String,
}

/// Calls a tool; the body is its arguments.
async fn invoke(visit: Visit) -> respond::Reply {
    let door = Arc::clone(&visit.door);
    let answer = match submission(visit) {
        Ok((submission, slot)) => {
            let answer = door.pipeline.submit(&submission).await;
            drop(slot);
            answer
        }
        Err(denial) => no(denial),
    };
    respond::answer_with(answer, |reply| called(&door, &reply))
}

fn submission(mut visit: Visit) -> Result<(Submission, OwnedSemaphorePermit), Denial> {
    let limits = json::Limits { bytes: visit.door.limits.body_bytes, ..json::Limits::default() };
    let body: &[u8] = if visit.body.is_empty() { b"{}" } else { &visit.body };
    let arguments = json::parse(body, limits).map_err(|error| decode::not_canonical(&error))?;
    let wait = visit.wait(None, Duration::ZERO)?;
    let key = visit.idempotency_key(None)?;
    let submission = Submission {
        tool: visit.take_path("name"),
        presented: visit.presented,
        arguments,
        key,
        dry_run: false,
        reason: None,
        wait,
        ask_people: false,
        transport: "compat",
        may_confirm: true,
        labels: Labels::default(),
    };
    Ok((submission, visit.slot))
}

/// The answer to a call of a tool.
fn called(door: &Door, reply: &Reply) -> respond::Reply {
    let call = reply.call();
    let mut answer = match reply {
        Reply::Done { replayed, .. } => match wire::failure(call) {
            Some(denial) => respond::problem(&denial),
            None => respond::json_text(StatusCode::OK, output(door, call, *replayed)),
        },
        Reply::Pending { .. } => unfinished(door, call),
        Reply::DryRun { .. } => respond::json(StatusCode::OK, &Map::new()),
    };
    wire::about(&mut answer, reply);
    answer
}

fn unfinished(door: &Door, call: &Call) -> respond::Reply {
    match &call.state {
        CallState::AwaitingApproval => {
            let mut members = Map::new();
            members.insert("requires_confirmation".to_owned(), Value::Bool(true));
            members.insert("pending_action_id".to_owned(), Value::String(call.id.approval().to_string()));
            fill(&mut members, door, call);
            respond::json(StatusCode::ACCEPTED, &members)
        }
        CallState::Ready | CallState::Running { .. } | CallState::InDoubt | CallState::Closed(_) => {
            let running = || {
                Denial::new(
                    Stage::Idempotency,
                    Code::IdempotencyInProgress,
                    "the first request with this key has not ended",
                )
                .hint("send the same request again, with the same key, for its result")
                .retry_after(Duration::from_secs(1))
                .about(call.id)
                .effect(call.effect_so_far())
            };
            respond::problem(&wire::failure(call).unwrap_or_else(running))
        }
    }
}

/// The tool's output; for a tool that is not read-only also whether it is a replay. The output is written as
/// it is kept, without reading it again.
fn output(door: &Door, call: &Call, replayed: bool) -> String {
    match call.outcome().and_then(Outcome::output) {
        Some(kept) if call.effect == EffectClass::ReadOnly => kept.as_str().to_owned(),
        Some(kept) => marked(kept, replayed),
        // A person said that it happened; what came of it, nobody knows.
        None => {
            let mut members = Map::new();
            fill(&mut members, door, call);
            marked(&Canonical::of(&Value::Object(members)), replayed)
        }
    }
}

/// An output with the member that says whether it is a replay.
fn marked(kept: &Canonical, replayed: bool) -> String {
    const REPLAY: &str = "idempotent_replay";
    match kept.as_str().strip_suffix('}') {
        Some("{") => format!("{{\"{REPLAY}\":{replayed}}}"),
        Some(open) if open.starts_with('{') && !open.contains(REPLAY) => format!("{open},\"{REPLAY}\":{replayed}}}"),
        _ => {
            let mut members = members_of(kept);
            members.insert(REPLAY.to_owned(), Value::Bool(replayed));
            Value::Object(members).to_string()
        }
    }
}

/// An output that is no object stands under `result`.
fn members_of(output: &Canonical) -> Map<String, Value> {
    match output.value() {
        Value::Object(members) => members,
        other => Map::from_iter([("result".to_owned(), other)]),
    }
}

/// Adds what the tool's output must have, as nothing.
fn fill(members: &mut Map<String, Value>, door: &Door, call: &Call) {
    let rules = door.pipeline.rules();
    let required = rules
        .catalog
        .get(call.tool.as_str())
        .and_then(|tool| tool.output_schema.get("required"))
        .and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        members.entry(name).or_insert(Value::Null);
    }
}

/// Says yes or no to a pending action. Clients of this face cannot say what they looked at.
async fn confirm(mut visit: Visit, request: Confirmation) -> respond::Reply {
    let asked = reference(&request.id).and_then(|approval| Ok((approval, visit.wait(None, DECISION_WAIT)?)));
    let (approval, wait) = match asked {
        Ok(asked) => asked,
        Err(denial) => return respond::problem(&denial),
    };
    let ballot = Ballot {
        presented: visit.presented,
        approval,
        verdict: if request.approve { Verdict::Approve } else { Verdict::Reject },
        looked_at: LookedAt::Whatever,
        reason: None,
        assurance: Assurance::A0,
        wait,
        own_calls: true,
    };
    let answer: Answer<Reply> = visit.door.pipeline.decide(ballot).await;
    respond::answer_with(answer, |reply| {
        let mut answer = confirmed(&reply, request.approve);
        wire::about(&mut answer, &reply);
        answer
    })
}

fn confirmed(reply: &Reply, approved: bool) -> respond::Reply {
    let call = reply.call();
    let said = |status: StatusCode, word: &str, more: Map<String, Value>| {
        let mut members = Map::from_iter([
            ("ok".to_owned(), Value::Bool(true)),
            ("status".to_owned(), Value::String(word.to_owned())),
        ]);
        members.extend(more);
        respond::json(status, &members)
    };
    match &call.state {
        CallState::Closed(Outcome::Rejected { .. }) if !approved => said(StatusCode::OK, "rejected", Map::new()),
        CallState::Closed(outcome) => match wire::failure(call) {
            Some(denial) => respond::problem(&denial),
            None => said(StatusCode::OK, "confirmed", outcome.output().map(members_of).unwrap_or_default()),
        },
        CallState::InDoubt => wire::failure(call)
            .map_or_else(|| said(StatusCode::ACCEPTED, "pending", Map::new()), |denial| respond::problem(&denial)),
        CallState::AwaitingApproval | CallState::Ready | CallState::Running { .. } => {
            said(StatusCode::ACCEPTED, "pending", Map::new())
        }
    }
}

/// Operations of this face that the native one does not have.
pub fn routes() -> Vec<Route> {
    vec![plain(Method::POST, "/tools/{name}", invoke).safe_to_drop(), described::<Confirm, _>(confirm)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_output_says_whether_it_is_a_replay() {
        for (output, expected) in [
            (json!({}), json!({"idempotent_replay": true})),
            (json!({"ticket": {"id": 1}}), json!({"ticket": {"id": 1}, "idempotent_replay": true})),
            (json!([1]), json!({"result": [1], "idempotent_replay": true})),
            (json!({"idempotent_replay": 7}), json!({"idempotent_replay": true})),
            (json!("{\"x\":1}"), json!({"result": "{\"x\":1}", "idempotent_replay": true})),
        ] {
            let text = marked(&Canonical::of(&output), true);
            assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(expected), "{text}");
        }
    }
}

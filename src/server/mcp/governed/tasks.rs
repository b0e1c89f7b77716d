//! Tasks (extension `io.modelcontextprotocol/tasks`, SEP-2663): a call that goes on, for clients that poll. A task
//! is a name of its call and nothing more: it is durable because the call is, survives restarts because the name
//! says which call it is, and cannot be guessed because the name carries our mark. Who may poll is asked each time.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use crate::api::mcp::{Era, Fault, extension};
use crate::domain::call::{Call, CallState};
use crate::domain::denial::{Code, Denial};
use crate::domain::id::CallId;
use crate::domain::outcome::Outcome;
use crate::pipeline::submission::Reply;
use crate::server::mcp::exchange::Exchange;
use crate::server::mcp::message::Request;
use crate::server::mcp::seal::Seal;
use crate::server::mcp::service::{Body, ResultType};

use super::result::{self, Envelope, Reader};
use super::{Governed, fault};

/// How often a client should ask, in milliseconds.
pub(super) const POLL_MS: u64 = 2_000;
/// The label of a task's mark.
const LABEL: &str = "task";
/// Characters of a call's id behind its prefix.
const ID: usize = 26;

/// Whether this request says that its client knows tasks.
pub(super) fn are_known(exchange: &Exchange) -> bool {
    let declared = exchange.capability("extensions").and_then(|all| all.get(extension::TASKS));
    exchange.era() == Era::Modern && declared.is_some()
}

/// The name of the task that is `call`.
pub(super) fn name(seal: &Seal, call: CallId) -> String {
    let id = call.to_string();
    let id = id.strip_prefix("call_").unwrap_or(&id);
    format!("tsk_{id}_{}", seal.mark(LABEL, &call.bytes()))
}

/// The call behind the name of a task, if we gave it.
pub(super) fn call_of(seal: &Seal, task: &str) -> Option<CallId> {
    let (id, mark) = task.strip_prefix("tsk_")?.split_at_checked(ID)?;
    let call: CallId = format!("call_{id}").parse().ok()?;
    let ours = seal.mark(LABEL, &call.bytes());
    bool::from(ours.as_bytes().ct_eq(mark.strip_prefix('_')?.as_bytes())).then_some(call)
}

/// Where a task stands, in the word of the protocol. Terminal words never change again, so a call in doubt is
/// `working`: somebody will say how it ended.
pub(super) const fn status(call: &Call) -> &'static str {
    match &call.state {
        CallState::AwaitingApproval | CallState::Ready | CallState::Running { .. } | CallState::InDoubt => "working",
        CallState::Closed(Outcome::Cancelled { .. }) => "cancelled",
        CallState::Closed(_) => "completed",
    }
}

/// What is happening, in a sentence; none when there is only a result to show.
pub(super) fn message(call: &Call) -> Option<String> {
    match call.outcome() {
        Some(Outcome::Succeeded { .. }) => None,
        Some(_) | None => Some(Envelope::about(call).detail),
    }
}

/// The answer to `tools/call` that is a task.
pub(super) fn created(governed: &Governed, call: &Call, audit: Option<u64>) -> Body {
    let members = governed.task_members(call);
    result::about(Body::of(&members).kind(ResultType::Task), call, audit)
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "taskId")]
    task: String,
}

impl Governed {
    /// Answers `tasks/get`.
    pub(super) async fn get_task(&self, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        must_know(exchange)?;
        let (_, reply) = self.task(request, exchange).await?;
        let call = reply.call();
        let mut members = self.task_members(call);
        if let (true, Some(members)) = (status(call) == "completed", members.as_object_mut()) {
            members.insert("result".to_owned(), self.task_result(&reply, exchange));
        }
        Ok(result::about(Body::of(&members), call, None))
    }

    /// Answers `tasks/cancel`: a wish, so that a call which started meanwhile is no error.
    pub(super) async fn cancel_task(&self, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        must_know(exchange)?;
        let id = self.named(request)?;
        match self.pipeline.cancel(exchange.presented.clone(), id).await.result {
            Ok(_) => Ok(Body::of(&json!({}))),
            Err(no) if no.code == Code::ApprovalAlreadyDecided => Ok(Body::of(&json!({}))),
            Err(no) => Err(unknown(&no)),
        }
    }

    /// Answers `tasks/update`. No task of ours asks its client for anything: other people decide.
    pub(super) async fn update_task(&self, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        must_know(exchange)?;
        self.task(request, exchange).await?;
        Ok(Body::of(&json!({})))
    }

    fn task_members(&self, call: &Call) -> Value {
        let mut members = json!({
            "taskId": name(&self.seal, call.id),
            "status": status(call),
            "createdAt": call.created_at.to_string(),
            "lastUpdatedAt": call.changed_at.to_string(),
            "ttlMs": self.task_ttl_ms(),
            "pollIntervalMs": POLL_MS,
        });
        if let (Some(message), Some(members)) = (message(call), members.as_object_mut()) {
            members.insert("statusMessage".to_owned(), message.into());
        }
        members
    }

    /// For how long a task can be asked about, in milliseconds from its creation: at least as long as results
    /// are kept after they are there.
    pub(super) fn task_ttl_ms(&self) -> u64 {
        let kept = self.pipeline.rules().settings.retention.bodies;
        u64::try_from(kept.as_millis()).unwrap_or(u64::MAX)
    }

    /// What `tools/call` would have answered.
    fn task_result(&self, reply: &Reply, exchange: &Exchange) -> Value {
        let body = result::reply(reply, self.reader(reply.call(), exchange));
        let whole = format!(r#"{{{},"resultType":"{}","_meta":{{{}}}}}"#, body.members, body.kind.word(), body.meta);
        serde_json::from_str(&whole).unwrap_or_default()
    }

    /// Who reads the result of `call`.
    pub(super) fn reader(&self, call: &Call, exchange: &Exchange) -> Reader {
        let rules = self.pipeline.rules();
        Reader::of(exchange.version, rules.catalog.get(call.tool.as_str()).map(|registered| &registered.tool))
    }

    /// The task that a request names, and how its call stands, if this caller may see it.
    ///
    /// # Errors
    /// -32602 for one that is not there, for this caller.
    pub(super) async fn task(&self, request: &Request, exchange: &Exchange) -> Result<(String, Reply), Fault> {
        let id = self.named(request)?;
        let shown = self.pipeline.show(exchange.presented.clone(), id, Duration::ZERO).await.result;
        shown.map(|reply| (name(&self.seal, id), reply)).map_err(|no| unknown(&no))
    }

    /// The call behind the task that a request names.
    ///
    /// # Errors
    /// -32602 for a name that is not ours.
    pub(super) fn named(&self, request: &Request) -> Result<CallId, Fault> {
        let Params { task } = request.params.read()?;
        call_of(&self.seal, &task).ok_or_else(no_task)
    }
}

/// # Errors
/// -32021 when this request does not say that its client knows tasks.
fn must_know(exchange: &Exchange) -> Result<(), Fault> {
    if are_known(exchange) {
        return Ok(());
    }
    Err(Fault::missing_capability(json!({ "extensions": { (extension::TASKS): {} } })))
}

/// A task that is not there and one that this caller may not see are the same to it.
pub(super) fn unknown(no: &Denial) -> Fault {
    match no.code {
        Code::NotFound | Code::NotAllowed => no_task(),
        _ => fault(no),
    }
}

fn no_task() -> Fault {
    Fault::invalid_params("there is no such task that you may see")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_so_that_only_we_can_name_it() {
        let (ours, other) = (Seal::new([1; 32]), Seal::new([2; 32]));
        let call = CallId::from_bytes([7; 16]);
        let task = name(&ours, call);
        assert_eq!(call_of(&ours, &task), Some(call));
        assert_eq!(call_of(&other, &task), None, "another key");
        let next = name(&ours, CallId::from_bytes([8; 16]));
        let crossed = format!("{}{}", &task[..30], &next[30..]);
        for forged in ["", "tsk_", &task[..30], &task[4..], &format!("{task}A"), &crossed, "tsk_é".repeat(20).as_str()]
        {
            assert_eq!(call_of(&ours, forged), None, "{forged}");
        }
    }
}

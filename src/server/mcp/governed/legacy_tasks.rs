//! The experimental tasks of 2025-11-25: the client asks for one with `task` in its request. They are the tasks
//! of [`tasks`](super::tasks) in other words; a list, and a request that waits for the result, are only here.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::mcp::{Fault, meta};
use crate::domain::call::Call;
use crate::domain::denial::{Code, Denial};
use crate::domain::id::CallId;
use crate::guard::policy::StandingAnswer;
use crate::pipeline::LONGEST_WAIT;
use crate::pipeline::port::CallFilter;
use crate::pipeline::submission::Reply;
use crate::server::mcp::exchange::Exchange;
use crate::server::mcp::message::Request;
use crate::server::mcp::service::Body;

use super::result::{self, Reader};
use super::tasks::{POLL_MS, message, name, status, unknown};
use super::{Governed, fault, pending};

/// Tasks on a page of the list.
const PAGE: usize = 100;
/// The label of cursors under our seal.
const CURSOR: &str = "tasks/list";

/// The answer to a `tools/call` that asked for a task.
pub(super) fn created(governed: &Governed, reply: &Reply) -> Body {
    let call = reply.call();
    let body = Body::of(&json!({ "task": governed.legacy_task(call) }));
    let body = match message(call).filter(|_| pending::goes_on(call)) {
        Some(now) => body.meta(meta::IMMEDIATE_RESPONSE, &now),
        None => body,
    };
    let audit = match reply {
        Reply::Done { audit, .. } | Reply::Pending { audit, .. } => *audit,
        Reply::DryRun { .. } => None,
    };
    result::about(body, call, audit)
}

/// A no to a request for a task: an error, as a result would have to be a task.
pub(super) fn refused(no: &Denial, reader: Reader) -> Fault {
    match result::refused(no, reader) {
        Ok(_) => fault(no),
        Err(fault) => fault,
    }
}

impl Governed {
    /// Answers the methods about tasks.
    pub(super) async fn about_legacy_task(&self, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        match request.method.as_str() {
            "tasks/get" => self.get_legacy_task(request, exchange).await,
            "tasks/result" => self.result_of_task(request, exchange).await,
            "tasks/cancel" => self.cancel_legacy_task(request, exchange).await,
            "tasks/list" => self.list_tasks(request, exchange).await,
            other => Err(Fault::method_not_found(other)),
        }
    }

    /// Whether `tool` can be called as a task: for this caller it may have to wait. The list says the same.
    ///
    /// # Errors
    /// -32601, as the specification has it.
    pub(super) fn must_support_task(&self, tool: &str, exchange: &Exchange) -> Result<(), Fault> {
        let who = self.pipeline.recognised(&exchange.presented).map_err(|no| fault(&no))?;
        let rules = self.pipeline.rules();
        let standing = rules.catalog.get(tool).map(|registered| rules.policies.standing(&who, registered).answer);
        match standing {
            Some(StandingAnswer::Allowed) => Err(Fault {
                code: Fault::method_not_found(tool).code,
                ..Fault::invalid_params(format!("`{tool}` runs at once and not as a task: call it without `task`"))
            }),
            // What is not there, or not allowed, is refused like any other call.
            Some(StandingAnswer::NeedsApproval | StandingAnswer::Depends | StandingAnswer::Denied) | None => Ok(()),
        }
    }

    /// Answers `tasks/get`.
    pub(super) async fn get_legacy_task(&self, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        let (_, reply) = self.task(request, exchange).await?;
        Ok(result::about(Body::of(&self.legacy_task(reply.call())), reply.call(), None))
    }

    /// Answers `tasks/result`: waits for the end, and gives what `tools/call` would have given.
    pub(super) async fn result_of_task(&self, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        let (task, reply) = self.task(request, exchange).await?;
        let reply = match reply {
            Reply::Pending { call, .. } => tokio::select! {
                ended = self.pipeline.await_end(call, LONGEST_WAIT) => match ended.map_err(|no| fault(&no))? {
                    call if call.is_closed() => Reply::Done { call, replayed: false, audit: None },
                    call => Reply::Pending { call, attached: true, audit: None },
                },
                () = exchange.gone.begun() => return Err(Fault::own(499, "the request was taken back")),
            },
            reply => reply,
        };
        if pending::goes_on(reply.call()) {
            return Err(Fault::own(504, "the task has not ended: ask again"));
        }
        let body = result::reply(&reply, self.reader(reply.call(), exchange));
        Ok(body.meta(meta::RELATED_TASK, &json!({ "taskId": task })))
    }

    /// Answers `tasks/cancel`.
    pub(super) async fn cancel_legacy_task(&self, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        let id = self.named(request)?;
        match self.pipeline.cancel(exchange.presented.clone(), id).await.result {
            Ok(reply) => Ok(result::about(Body::of(&self.legacy_task(reply.call())), reply.call(), None)),
            Err(no) if no.code == Code::ApprovalAlreadyDecided => Err(Fault::invalid_params(no.detail)),
            Err(no) => Err(unknown(&no)),
        }
    }

    /// Answers `tasks/list`: the caller's own calls, newest first. Every call is a task that can be asked about.
    pub(super) async fn list_tasks(&self, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        #[derive(Deserialize)]
        struct Params {
            cursor: Option<String>,
        }
        let Params { cursor } = request.params.read()?;
        let before: Option<CallId> = match cursor.as_deref() {
            None | Some("") => None,
            Some(cursor) => Some(
                self.seal
                    .open(CURSOR, cursor)
                    .ok_or_else(|| Fault::invalid_params("`cursor` is not one that this server gave"))?,
            ),
        };
        let who = self.pipeline.recognised(&exchange.presented).map_err(|no| fault(&no))?;
        let filter = CallFilter { principal: Some(who.id), before, limit: PAGE, ..CallFilter::default() };
        let calls = self.pipeline.calls(exchange.presented.clone(), filter).await.result.map_err(|no| fault(&no))?;
        let mut list = json!({ "tasks": calls.iter().map(|call| self.legacy_task(call)).collect::<Vec<_>>() });
        if let (Some(last), Some(list)) = (calls.last().filter(|_| calls.len() == PAGE), list.as_object_mut()) {
            list.insert("nextCursor".to_owned(), self.seal.close(CURSOR, &last.id).into());
        }
        Ok(Body::of(&list))
    }

    fn legacy_task(&self, call: &Call) -> Value {
        let mut task = json!({
            "taskId": name(&self.seal, call.id),
            "status": status(call),
            "createdAt": call.created_at.to_string(),
            "lastUpdatedAt": call.changed_at.to_string(),
            "ttl": self.task_ttl_ms(),
            "pollInterval": POLL_MS,
        });
        if let (Some(message), Some(task)) = (message(call), task.as_object_mut()) {
            task.insert("statusMessage".to_owned(), message.into());
        }
        task
    }
}

//! `tools/call`: taken apart without copying, its arguments through the strict reader, then the pipeline.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::api::mcp::{Era, Fault, meta};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::digest::Digest;
use crate::domain::id::IdempotencyKey;
use crate::domain::json;
use crate::domain::tool::{RESERVED, Registered};
use crate::pipeline::submission::{Labels, Submission};
use crate::server::decode::not_canonical;

use super::super::exchange::Exchange;
use super::super::message::Request;
use super::super::service::Body;
use super::pending::{self, Turn};
use super::result::{self, Reader};
use super::{Governed, carrier, legacy_tasks};

/// What `tools/call` is sent with, still text where it is only passed on.
pub(super) struct Params<'a> {
    /// The tool.
    pub name: String,
    /// Its arguments, an object.
    pub arguments: Option<&'a RawValue>,
    /// The idempotency key as SEP-3182 spells it.
    pub idempotency_key: Option<Value>,
    /// What we gave a modern client to bring back.
    pub state: Option<Value>,
    /// What its client's user said to our questions.
    pub responses: Option<Value>,
    /// A client of 2025-11-25 wants a task.
    pub task: Option<Value>,
}

impl<'a> Params<'a> {
    fn of(request: &'a Request) -> Result<Self, Fault> {
        let params = &request.params;
        let arguments = params.get("arguments").filter(|arguments| arguments.get() != "null");
        if arguments.is_some_and(|arguments| !arguments.get().starts_with('{')) {
            return Err(Fault::invalid_params("`params.arguments` is not an object"));
        }
        Ok(Self {
            name: params.member("name")?.ok_or_else(|| Fault::invalid_params("`params.name` is missing"))?,
            arguments,
            idempotency_key: params.member("idempotencyKey")?,
            state: params.member("requestState")?,
            responses: params.member("inputResponses")?,
            task: params.member("task")?,
        })
    }
}

impl Governed {
    /// Answers `tools/call`.
    pub(super) async fn call(self: &Arc<Self>, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        let params = Params::of(request)?;
        let trace = trace(exchange);
        let body = self.call_tool(&params, exchange, trace.clone()).await?;
        Ok(match trace {
            Some(trace) => body.meta(meta::TRACEPARENT, &trace),
            None => body,
        })
    }

    async fn call_tool(
        self: &Arc<Self>,
        params: &Params<'_>,
        exchange: &Exchange,
        trace: Option<String>,
    ) -> Result<Body, Fault> {
        if params.name.starts_with(RESERVED) {
            return Box::pin(self.call_own(params, exchange)).await;
        }
        let tool = self.pipeline.rules().catalog.get(&params.name).map(Arc::clone);
        let reader = Reader::of(exchange.version, tool.as_deref().map(|registered| &registered.tool));
        let task = pending::wants_task(exchange, params.task.as_ref());
        if task {
            self.must_support_task(&params.name, exchange)?;
        }
        let modern = exchange.era() == Era::Modern;
        let mut turn = Turn {
            tool: &params.name,
            arguments: params.arguments,
            state: params.state.as_ref().filter(|_| modern),
            responses: params.responses.as_ref().and_then(Value::as_object),
            task,
            resent: false,
        };
        if let Some(state) = turn.state {
            return Box::pin(self.resume(&turn, state, exchange, reader)).await;
        }
        let refused =
            |no: &Denial| if task { Err(legacy_tasks::refused(no, reader)) } else { result::refused(no, reader) };
        let mut submission = match submission(params, tool.as_deref(), exchange, trace) {
            Ok(submission) => submission,
            Err(no) => return refused(&no),
        };
        // A task is asked about later: it must leave its call behind, even one that only reads.
        submission.key = submission.key.or_else(|| task.then(|| self.own_key()).flatten());
        turn.resent = submission.labels.key_from == Some(carrier::BRIDGE);
        if exchange.gone.has_begun() {
            return Err(Fault::own(499, "the request was taken back before it began: nothing has run"));
        }
        match self.pipeline.submit(&submission).await.result {
            Ok(reply) => self.climb(&turn, exchange, reply, reader).await,
            Err(no) => refused(&no),
        }
    }

    /// A key that nobody else has.
    fn own_key(&self) -> Option<IdempotencyKey> {
        format!("task:{}", Digest::of("toolctl/mcp/task-key/v1", &[&self.pipeline.chance()]).hex()).parse().ok()
    }
}

fn submission(
    params: &Params<'_>,
    tool: Option<&Registered>,
    exchange: &Exchange,
    trace: Option<String>,
) -> Result<Submission, Denial> {
    let mut arguments = arguments(params.arguments)?;
    let key = carrier::find(tool.map(|tool| &tool.tool), &mut arguments, params.idempotency_key.as_ref(), exchange)?;
    let key_from = key.as_ref().map(|carried| carried.from);
    Ok(Submission {
        presented: exchange.presented.clone(),
        tool: params.name.clone(),
        arguments,
        key: key.map(|carried| carried.key),
        dry_run: false,
        reason: reason(exchange)?,
        wait: Duration::ZERO,
        transport: "mcp",
        // A model writes the arguments.
        may_confirm: false,
        ask_people: false,
        labels: Labels { key_from, client: exchange.client.clone(), trace },
    })
}

/// Reads arguments strictly, from the bytes that were sent. None are no arguments.
///
/// # Errors
/// `args-not-canonical`.
pub(super) fn arguments(raw: Option<&RawValue>) -> Result<Value, Denial> {
    match raw {
        Some(raw) => json::parse(raw.get().as_bytes(), json::Limits::default()).map_err(|error| not_canonical(&error)),
        None => Ok(Value::Object(Map::new())),
    }
}

/// Why, in the caller's words. Only from `_meta`: an argument would be the tool's.
fn reason(exchange: &Exchange) -> Result<Option<String>, Denial> {
    match exchange.meta.get(meta::REASON) {
        None => Ok(None),
        Some(Value::String(reason)) => Ok(Some(reason.clone())),
        Some(_) => {
            let detail = format!("`_meta[\"{}\"]` is not a string", meta::REASON);
            Err(Denial::new(Stage::Door, Code::RequestMalformed, detail))
        }
    }
}

/// The caller's trace, when it is valid. The body counts; the header only when the body has none.
fn trace(exchange: &Exchange) -> Option<String> {
    let said = match exchange.meta.get(meta::TRACEPARENT) {
        Some(said) => said.as_str(),
        None => exchange.header_trace.as_deref(),
    };
    said.filter(|text| crate::server::is_traceparent(text)).map(ToOwned::to_owned)
}

//! `tools/call`: taken apart without copying, its arguments through the strict reader, then the pipeline.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::api::mcp::{Fault, meta};
use crate::domain::call::CallState;
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::json;
use crate::domain::tool::{RESERVED, Registered};
use crate::pipeline::submission::{Labels, Reply, Submission};
use crate::server::decode::not_canonical;

use super::super::exchange::Exchange;
use super::super::message::Request;
use super::super::service::Body;
use super::result::{self, Reader};
use super::{Governed, carrier};

/// For how long a request is held for a call that already runs.
const JOIN: Duration = Duration::from_secs(20);

/// What `tools/call` is sent with, still text where it is only passed on.
#[derive(Deserialize)]
pub(super) struct Params<'a> {
    /// The tool.
    #[serde(borrow)]
    pub name: std::borrow::Cow<'a, str>,
    /// Its arguments, an object.
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
    /// The idempotency key as SEP-3182 spells it.
    #[serde(rename = "idempotencyKey")]
    pub idempotency_key: Option<Value>,
}

impl<'a> Params<'a> {
    fn of(request: &'a Request) -> Result<Self, Fault> {
        let text = request.params.as_ref().map_or("{}", |params| params.get());
        let params: Self =
            serde_json::from_str(text).map_err(|error| Fault::invalid_params(format!("`params`: {error}")))?;
        if params.arguments.is_some_and(|arguments| !arguments.get().starts_with('{')) {
            return Err(Fault::invalid_params("`params.arguments` is not an object"));
        }
        Ok(params)
    }
}

impl Governed {
    /// Answers `tools/call`.
    pub(super) async fn call(self: &Arc<Self>, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        let params = Params::of(request)?;
        let trace = trace(exchange);
        let body = self.call_tool(params, exchange, trace.clone()).await?;
        Ok(match trace {
            Some(trace) => body.meta(meta::TRACEPARENT, trace),
            None => body,
        })
    }

    async fn call_tool(
        self: &Arc<Self>,
        params: Params<'_>,
        exchange: &Exchange,
        trace: Option<String>,
    ) -> Result<Body, Fault> {
        if params.name.starts_with(RESERVED) {
            return self.call_own(&params, exchange).await;
        }
        let tool = self.pipeline.rules().catalog.get(&params.name).map(Arc::clone);
        let reader = Reader::of(exchange.version, tool.as_deref().map(|registered| &registered.tool));
        let submission = match submission(params, tool.as_deref(), exchange, trace) {
            Ok(submission) => submission,
            Err(no) => return result::refused(&no, reader),
        };
        match self.pipeline.submit(submission).await.result {
            Ok(reply) => self.show(reply, exchange, reader).await,
            Err(no) => result::refused(&no, reader),
        }
    }

    /// The result of a reply: one that has not ended is waited for a while.
    async fn show(&self, reply: Reply, exchange: &Exchange, reader: Reader) -> Result<Body, Fault> {
        let Reply::Pending { call, audit, .. } = &reply else { return Ok(result::reply(&reply, reader)) };
        match &call.state {
            CallState::AwaitingApproval => Ok(result::reply(&reply, reader)),
            CallState::Ready | CallState::Running { .. } => {
                let (id, audit) = (call.id, *audit);
                match self.hold(exchange, id, JOIN).await.result {
                    // It began for an earlier request: this is that one's result.
                    Ok(Reply::Done { call, .. }) => {
                        Ok(result::reply(&Reply::Done { call, replayed: true, audit }, reader))
                    }
                    Ok(other) => Ok(result::reply(&other, reader)),
                    Err(no) => result::refused(&no, reader),
                }
            }
            CallState::InDoubt | CallState::Closed(_) => Ok(result::reply(&reply, reader)),
        }
    }
}

fn submission(
    params: Params<'_>,
    tool: Option<&Registered>,
    exchange: &Exchange,
    trace: Option<String>,
) -> Result<Submission, Denial> {
    let mut arguments = arguments(params.arguments)?;
    let key = carrier::find(tool.map(|tool| &tool.tool), &mut arguments, params.idempotency_key.as_ref(), exchange)?;
    let key_from = key.as_ref().map(|carried| carried.from);
    Ok(Submission {
        presented: exchange.presented.clone(),
        tool: params.name.into_owned(),
        arguments,
        key: key.map(|carried| carried.key),
        dry_run: false,
        reason: reason(exchange)?,
        wait: Duration::ZERO,
        transport: "mcp",
        // A model writes the arguments.
        may_confirm: false,
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

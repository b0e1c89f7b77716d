//! `/v1/calls`: the native face.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::api;
use crate::api::calls::{CallRef, Calls, Create, ListCalls, NewCall, ResolveCall, ShowCall};
use crate::api::endpoint::Endpoint as _;
use crate::domain::denial::Denial;
use crate::domain::id::CallId;
use crate::pipeline::port::CallFilter;
use crate::pipeline::submission::{Answer, Labels, Reply, Submission};

use super::decode::{self, malformed};
use super::respond;
use super::route::{About, Route, call, on, plain};
use super::visit::Visit;
use super::{no, page, wire};

/// Calls a tool. The arguments are taken out of the body before the rest is typed, so that they are not
/// copied.
pub async fn create(visit: Visit) -> respond::Reply {
    let door = Arc::clone(&visit.door);
    let answer = match submission(visit) {
        Ok((submission, slot)) => {
            let answer = door.pipeline.submit(&submission).await;
            drop(slot);
            answer
        }
        Err(denial) => no(denial),
    };
    respond::answer_with(answer, |reply| wire::reply(&reply))
}

fn submission(mut visit: Visit) -> Result<(Submission, OwnedSemaphorePermit), Denial> {
    let mut members = decode::body(&visit.body, visit.door.limits.body_bytes)?;
    let arguments = members.remove("arguments").unwrap_or_else(|| Value::Object(Map::new()));
    let request: NewCall = decode::typed(members)?;
    let wait = visit.wait(request.wait.as_deref(), Duration::ZERO)?;
    let key = visit.idempotency_key(request.idempotency_key.as_deref())?;
    let submission = Submission {
        presented: visit.presented,
        tool: request.tool,
        arguments,
        key,
        dry_run: request.dry_run,
        reason: request.reason,
        wait,
        ask_people: request.approval.is_some(),
        transport: "rest",
        may_confirm: true,
        labels: Labels::default(),
    };
    Ok((submission, visit.slot))
}

/// Lists calls, newest first.
pub async fn list(visit: Visit, request: ListCalls) -> Answer<Calls> {
    let limit = match page::limit(request.limit) {
        Ok(limit) => limit,
        Err(denial) => return no(denial),
    };
    let filter = match filter(&request, limit + 1) {
        Ok(filter) => filter,
        Err(denial) => return no(denial),
    };
    visit.door.pipeline.calls(visit.presented, filter).await.map(|calls| {
        let (calls, next_cursor) = page::cut(calls, limit, |last| last.id.to_string());
        Calls { calls: calls.iter().map(|call| wire::call(call, false, None)).collect(), next_cursor }
    })
}

fn filter(request: &ListCalls, limit: usize) -> Result<CallFilter, Denial> {
    Ok(CallFilter {
        principal: page::parse("principal", request.principal.as_deref())?,
        tool: page::parse("tool", request.tool.as_deref())?,
        state: request.state.clone(),
        run: page::parse("run", request.run.as_deref())?,
        since: page::parse("since", request.since.as_deref())?,
        before: page::parse("cursor", request.cursor.as_deref())?,
        limit,
    })
}

/// Shows one call, or waits until it ends.
pub async fn show(mut visit: Visit, request: ShowCall) -> Answer<Reply> {
    let wait = match visit.wait(request.wait.as_deref(), Duration::ZERO) {
        Ok(wait) => wait,
        Err(denial) => return no(denial),
    };
    let id = match id(&request.id) {
        Ok(id) => id,
        Err(denial) => return no(denial),
    };
    let pipeline = &visit.door.pipeline;
    tokio::select! {
        answer = pipeline.show(visit.presented.clone(), id, wait) => answer,
        // A stopping daemon says how it is now and lets nobody wait.
        () = visit.door.shutdown.begun(), if !wait.is_zero() => pipeline.show(visit.presented, id, Duration::ZERO).await,
    }
}

/// Takes a call back before it starts.
pub async fn cancel(visit: Visit, request: CallRef) -> Answer<Reply> {
    match id(&request.id) {
        Ok(id) => visit.door.pipeline.cancel(visit.presented, id).await,
        Err(denial) => no(denial),
    }
}

/// Says how a call in doubt ended.
pub async fn resolve(visit: Visit, request: ResolveCall) -> Answer<Reply> {
    match id(&request.id) {
        Ok(id) => visit.door.pipeline.resolve(visit.presented, id, request.resolution, request.note).await,
        Err(denial) => no(denial),
    }
}

fn id(text: &str) -> Result<CallId, Denial> {
    text.parse().map_err(|error| malformed(format!("`id`: {error}")))
}

/// Operations on calls.
pub fn routes() -> Vec<Route> {
    let mut create = plain(Method::POST, Create::PATH, create).safe_to_drop();
    create.about = Some(About { pending: true, ..About::of::<Create>() });
    vec![
        create,
        on::<api::calls::List, _>(list),
        call::<api::calls::Show, _>(show),
        call::<api::calls::Cancel, _>(cancel),
        call::<api::calls::Resolve, _>(resolve),
    ]
}

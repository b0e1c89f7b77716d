//! Streamable HTTP: one message a POST, decided one by one in which era it is. Modern requests (2026-07-28)
//! carry everything themselves; legacy ones (2025-03-26 to 2025-11-25) may have a session, a stream of changes
//! (GET) and, in the oldest, batches.

mod batch;
mod headers;
mod legacy;
mod modern;
mod stream;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{ALLOW, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::mcp::{Era, Fault, Version};
use crate::pipeline::port::Presented;
use crate::server::respond::{self, Reply};
use crate::server::{Limits, Shutdown};

use super::exchange::Messages;
use super::message::{self, Message, Refused, Request};
use super::session::Sessions;
use super::talk::{Envelope, Mcp, Responding};

use headers::Accepts;
use stream::{Finished, Making, Work};

/// One HTTP request to the endpoint. Whether it is meant for us, and from somebody we know, was asked before.
pub struct Arrival {
    /// Its headers.
    pub headers: HeaderMap,
    /// What the caller showed.
    pub presented: Presented,
    /// Its body.
    pub body: Bytes,
    /// Counts it among the requests that run at once.
    pub slot: OwnedSemaphorePermit,
}

/// The endpoint.
pub struct Endpoint {
    mcp: Arc<Mcp>,
    sessions: Arc<Sessions>,
    running: Running,
    waiters: Arc<Semaphore>,
    limits: Limits,
}

impl Endpoint {
    /// An endpoint of these conversations. Streams and answers that take long are counted by `waiters`.
    pub fn new(mcp: Arc<Mcp>, sessions: Sessions, waiters: Arc<Semaphore>, limits: Limits) -> Self {
        Self { mcp, sessions: Arc::new(sessions), running: Running::default(), waiters, limits }
    }

    /// Answers a `POST`: one message, or a batch.
    pub async fn post(self: Arc<Self>, arrival: Arrival) -> Reply {
        match self.take(arrival) {
            Taken::Request(open) => self.answer(open).await,
            Taken::Batch(open) => Box::pin(self.answer(open)).await,
            Taken::Other(reply) => reply,
        }
    }

    fn take(&self, arrival: Arrival) -> Taken {
        if message::is_batch(&arrival.body) {
            return self.batch(arrival).map_or_else(Taken::Other, Taken::Batch);
        }
        let taken = match message::read(&arrival.body) {
            Ok(Message::Request(request)) => match asked_in(&request, &arrival.headers) {
                Ok((Era::Modern, envelope)) => self.modern(request, envelope, arrival).map(Taken::Request),
                Ok((Era::Legacy, envelope)) => self.legacy(request, envelope, arrival).map(Taken::Request),
                Err(fault) => Err(Refused { id: request.id, fault }),
            },
            Ok(Message::Notification { method, params }) => {
                Ok(Taken::Other(heard(self.notified(&arrival, &method, &params))))
            }
            Ok(Message::Response { id, result }) => Ok(Taken::Other(heard(self.answered(&arrival, &id, result)))),
            Err(refused) => Err(refused),
        };
        taken.unwrap_or_else(|refused| Taken::Other(refusal(&refused.id, &refused.fault)))
    }

    /// Waits for an answer, as long as its client is better served by one document than by a stream.
    async fn answer(&self, open: Open<impl Making>) -> Reply {
        let Open { work, messages, accepts, session } = open;
        let mut reply = stream::answer(work, messages, accepts, &self.waiters, self.limits.heartbeat).await;
        challenge(&mut reply);
        if let Some(session) = session {
            reply.headers_mut().insert(headers::SESSION, session);
        }
        reply
    }
}

/// What a `POST` was taken for.
enum Taken {
    /// A request, on its way to its answer.
    Request(Open<Answer>),
    /// A batch of them.
    Batch(Open<batch::All>),
    /// What is answered at once.
    Other(Reply),
}

/// An answer that is waited for.
struct Open<F: Making> {
    /// Makes it.
    work: Work<F>,
    /// What comes before it.
    messages: Messages,
    /// What the client can read.
    accepts: Accepts,
    /// The session that begins with it.
    session: Option<HeaderValue>,
}

/// The answer to one request, in the making.
struct Answer {
    responding: Responding,
    era: Era,
    /// Until then it can be taken back.
    _running: Option<RunningRequest>,
}

impl Future for Answer {
    type Output = Finished;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished> {
        let era = self.era;
        Pin::new(&mut self.responding).poll(cx).map(|(code, message)| (status(era, code), message))
    }
}

/// In which era a request is, and what it says about itself.
fn asked_in(request: &Request, headers: &HeaderMap) -> Result<(Era, Envelope), Fault> {
    let version = headers::text(headers, &headers::VERSION)?;
    let envelope = Envelope::of(request)?;
    let era = if envelope.is_modern(&request.method, version) { Era::Modern } else { Era::Legacy };
    Ok((era, envelope))
}

/// Requests of legacy clients that run, so that a notification can take them back: by session and id, with a
/// serial that tells one from an older one of the same id. The newest is meant.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<Requests>>, Arc<AtomicU64>);

type Requests = HashMap<(String, String), (u64, Shutdown)>;

impl Running {
    fn begin(&self, session: &str, id: &str, gone: Shutdown) -> RunningRequest {
        let key = (session.to_owned(), plain(id));
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let serial = self.1.fetch_add(1, Ordering::Relaxed);
        running.insert(key.clone(), (serial, gone));
        RunningRequest { running: self.clone(), key, serial }
    }

    fn take_back(&self, session: &str, id: &str) {
        let key = (session.to_owned(), plain(id));
        if let Some((_, gone)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            gone.begin();
        }
    }
}

/// An id that was written in two ways is still one id.
fn plain(id: &str) -> String {
    match serde_json::from_str::<Value>(id) {
        Ok(id) if id.is_string() => id.to_string(),
        _ => id.to_owned(),
    }
}

/// A request that runs until this is dropped.
struct RunningRequest {
    running: Running,
    key: (String, String),
    serial: u64,
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        let mut running = self.running.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(&self.key).is_some_and(|(serial, _)| *serial == self.serial) {
            running.remove(&self.key);
        }
    }
}

/// The HTTP status of an answer. In the legacy era an error of a method is an answer like any other: a 404
/// would say that the session is gone.
const fn status(era: Era, status: u16) -> u16 {
    match era {
        Era::Legacy if status != 401 => 200,
        Era::Legacy | Era::Modern => status,
    }
}

/// A request that was not taken.
fn refusal(id: &str, fault: &Fault) -> Reply {
    let status = StatusCode::from_u16(fault.status).ok().filter(|status| !status.is_success());
    let mut reply = respond::json_text(status.unwrap_or(StatusCode::BAD_REQUEST), fault.answer(id));
    challenge(&mut reply);
    reply
}

/// As [`refusal`] of what was no request, so that no id can be named.
fn unaddressed(fault: &Fault) -> Reply {
    let mut reply = refusal("null", fault);
    let text = fault.answer("null").replacen(r#""id":null,"#, "", 1);
    *reply.body_mut() = Either::Left(Full::new(text.into()));
    reply
}

/// Says to a caller nobody knows how to show who it is (RFC 6750 section 3).
fn challenge(reply: &mut Reply) {
    if reply.status() == StatusCode::UNAUTHORIZED {
        reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
}

/// Taken, and there is nothing to answer; or not taken.
fn heard(taken: Result<(), Fault>) -> Reply {
    taken.map_or_else(|fault| unaddressed(&fault), |()| empty(StatusCode::ACCEPTED))
}

fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Either::Left(Full::default()));
    *reply.status_mut() = status;
    reply
}

/// A method that this path, or this client, does not have.
pub fn not_allowed(methods: &'static str, why: &str) -> Reply {
    let fault = Fault::own(405, why);
    let mut reply = unaddressed(&fault);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    reply
}

/// The revision that a legacy client's header says; none without the header.
///
/// # Errors
/// 400 for one that we do not speak, or that has no sessions and is spoken in another way.
fn legacy_version(headers: &HeaderMap) -> Result<Option<Version>, Fault> {
    let Some(text) = headers::text(headers, &headers::VERSION)? else { return Ok(None) };
    let version = text.parse().ok().filter(|version: &Version| version.era() == Era::Legacy);
    version.map(Some).ok_or_else(|| Fault::unsupported_version(text))
}

#[cfg(test)]
mod tests;

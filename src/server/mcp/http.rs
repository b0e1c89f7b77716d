//! Streamable HTTP: one message a POST, decided one by one in which era it is. Modern requests (2026-07-28)
//! carry everything themselves; legacy ones (2025-03-26 to 2025-11-25) may have a session, a stream of changes
//! (GET) and, in the oldest, batches.

mod batch;
mod headers;
mod legacy;
mod modern;
mod stream;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{ALLOW, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::mcp::{Era, Fault, Version};
use crate::pipeline::port::Presented;
use crate::server::respond::{self, Reply};
use crate::server::{Limits, Shutdown};

use super::message::{self, Message};
use super::session::Sessions;
use super::talk::{Envelope, Mcp};

/// One HTTP request to the endpoint. Whether it is meant for us, and from somebody we know, was asked before.
pub struct Arrival {
    /// `POST`, `GET` or `DELETE`.
    pub method: Method,
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

    /// Answers one HTTP request.
    pub async fn answer(&self, arrival: Arrival) -> Reply {
        match arrival.method {
            Method::POST => self.post(arrival).await,
            Method::GET => self.get(arrival),
            Method::DELETE => self.delete(&arrival),
            _ => not_allowed("POST, GET, DELETE", "this path takes POST, GET and DELETE only"),
        }
    }

    async fn post(&self, arrival: Arrival) -> Reply {
        if message::is_batch(&arrival.body) {
            return self.batch(arrival).await;
        }
        match message::read(&arrival.body) {
            Ok(Message::Request(request)) => {
                let version = match headers::text(&arrival.headers, &headers::VERSION) {
                    Ok(version) => version,
                    Err(fault) => return refusal(&request.id, &fault),
                };
                match Envelope::of(&request) {
                    Ok(envelope) if envelope.is_modern(&request.method, version) => {
                        self.modern(request, envelope, arrival).await
                    }
                    Ok(envelope) => self.legacy(request, envelope, arrival).await,
                    Err(fault) => refusal(&request.id, &fault),
                }
            }
            Ok(Message::Notification { method, params }) => match self.notified(&arrival, &method, &params) {
                Ok(()) => accepted(),
                Err(fault) => unaddressed(&fault),
            },
            Ok(Message::Response { id, result }) => match self.answered(&arrival, &id, result) {
                Ok(()) => accepted(),
                Err(fault) => unaddressed(&fault),
            },
            Err(refused) => refusal(&refused.id, &refused.fault),
        }
    }
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

/// Taken, and there is nothing to answer.
fn accepted() -> Reply {
    empty(StatusCode::ACCEPTED)
}

fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Either::Left(Full::default()));
    *reply.status_mut() = status;
    reply
}

fn not_allowed(methods: &'static str, why: &str) -> Reply {
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

//! L4, the doors: decode, submit to the pipeline, encode. Nothing is decided here.
//!
//! A request passes [`Door::answer`] in this order: is it meant for us (TCP only), is there such an
//! operation, what does the caller show, is there room, what does the body say; then its operation takes it
//! to the pipeline and writes what comes back.

mod accept;
mod admin;
mod approvals;
mod audit;
mod body;
mod calls;
mod compat;
mod credential;
mod decode;
mod desk;
mod limits;
mod mcp;
mod openapi;
mod opening;
mod operations;
mod origin;
mod pace;
mod page;
mod respond;
mod route;
mod runs;
mod shutdown;
mod status;
mod tools;
mod upstreams;
mod visit;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::domain::denial::{Code, Denial, Stage};
use crate::pipeline::Pipeline;
use crate::pipeline::submission::Answer;
use crate::transport::{Listener, Peer};

use accept::Gate;
use respond::Reply;
use route::{Found, Routes};
use visit::{Visit, overloaded};

pub use limits::Limits;
pub use mcp::fixtures::serve as serve_fixtures;
pub use mcp::seal::Seal;
pub use shutdown::Shutdown;

/// What an operator may set.
#[derive(Debug, Clone, Default)]
pub struct ServerSettings {
    /// What the doors take on at most.
    pub limits: Limits,
    /// Hosts that may be named over TCP beside loopback, with or without a port.
    pub allowed_hosts: Vec<String>,
}

/// Serves every listener until the order to stop; returns when all requests have ended, or the time to drain
/// is over. Listeners are closed first, so that a successor can take their place.
///
/// `seal` is for what clients of `/mcp` bring back; its key must outlive the daemon.
pub async fn serve(
    listeners: Vec<Listener>,
    pipeline: Arc<Pipeline>,
    settings: ServerSettings,
    seal: Seal,
    shutdown: Shutdown,
) {
    let gate = Arc::new(Gate::new(settings.limits, shutdown.clone()));
    let door = Arc::new(Door::new(pipeline, settings, seal, shutdown));
    let mut loops = JoinSet::new();
    for listener in listeners {
        let door = Arc::clone(&door);
        let lines = Arc::clone(&door.lines);
        let answer = move |from, request| Arc::clone(&door).answer(from, request);
        let talk = move |from: Origin, stream| Arc::clone(&lines).converse(credential::of_peer(&from.peer), stream);
        loops.spawn(accept::run(listener, Arc::clone(&gate), answer, talk));
    }
    door.shutdown.begun().await;
    let end = Instant::now() + door.limits.drain;
    while loops.join_next().await.is_some() {}
    // A caller that hung up has left its request behind: wait for those too.
    for (slots, most) in [(&door.requests, door.limits.requests), (&door.waiters, door.limits.waiters)] {
        let all = u32::try_from(most).unwrap_or(u32::MAX);
        if timeout_at(end, slots.acquire_many(all)).await.is_err() {
            tracing::warn!("requests were still running when the time to drain was over");
        }
    }
}

/// What all connections share.
pub struct Door {
    pipeline: Arc<Pipeline>,
    limits: Limits,
    allowed_hosts: Vec<String>,
    shutdown: Shutdown,
    routes: Routes,
    requests: Arc<Semaphore>,
    waiters: Arc<Semaphore>,
    mcp: Arc<mcp::http::Endpoint>,
    lines: Arc<mcp::lines::Lines>,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    peer: Peer,
    /// The address it came in at, over TCP.
    address: Option<SocketAddr>,
}

impl Origin {
    /// Whether it came over the network, where anybody can be.
    const fn is_network(&self) -> bool {
        self.address.is_some()
    }
}

impl Door {
    fn new(pipeline: Arc<Pipeline>, settings: ServerSettings, seal: Seal, shutdown: Shutdown) -> Self {
        let limits = settings.limits;
        let waiters = Arc::new(Semaphore::new(limits.waiters));
        let conversations = mcp::governed(&pipeline, seal, limits, shutdown.clone());
        let requests = Arc::new(Semaphore::new(limits.requests));
        let slots = (Arc::clone(&requests), Arc::clone(&waiters));
        let lines = mcp::lines::Lines::new(Arc::clone(&conversations), limits, slots.0, slots.1);
        let mcp = mcp::endpoint(conversations, &pipeline, Arc::clone(&waiters), limits);
        Self {
            pipeline,
            limits,
            allowed_hosts: settings.allowed_hosts,
            shutdown,
            routes: operations::all(),
            requests,
            waiters,
            mcp: Arc::new(mcp),
            lines: Arc::new(lines),
        }
    }

    async fn answer(self: Arc<Self>, from: Origin, request: Request<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        let trace = traceparent(&parts.headers);
        let mut reply = match self.enter(from, parts, body).await {
            Ok(reply) => reply,
            Err(denial) => respond::problem(&denial),
        };
        respond::finish(reply.headers_mut(), trace);
        reply
    }

    async fn enter(self: Arc<Self>, from: Origin, parts: Parts, mut body: Incoming) -> Result<Reply, Denial> {
        let Parts { method, uri, headers, .. } = parts;
        if let Some(address) = from.address {
            origin::check(&headers, uri.host(), address, &self.allowed_hosts)?;
        }
        let (route, path) = match self.routes.find(&method, uri.path())? {
            Found::Route(route, path) => (route, path),
            Found::OtherMethods(methods) => return Ok(other_methods(&method, uri.path(), &methods)),
            Found::Nothing => {
                return Err(Denial::new(Stage::Door, Code::NotFound, format!("there is nothing at `{}`", uri.path()))
                    .hint("GET /openapi.json lists every path; /mcp speaks the Model Context Protocol"));
            }
        };
        let presented = credential::presented(&headers, &from.peer)?;
        let slot = Arc::clone(&self.requests)
            .try_acquire_owned()
            .map_err(|_| overloaded("the daemon runs as many requests as it may"))?;
        let query = uri.query().map(str::to_owned);
        let door = Arc::clone(&self);
        if method == Method::GET {
            let visit = Visit { door, presented, headers, path, query, body: Bytes::new(), slot };
            return Ok((route.handler)(visit).await);
        }
        // Nothing that is sent in a body is for everybody: who is unknown makes us neither hold nor read one.
        if let Err(denial) = self.pipeline.must_know(&presented) {
            body::discard(&mut body, &self.limits).await;
            return Err(denial);
        }
        let body = body::read(&headers, body, &self.limits).await?;
        let visit = Visit { door, presented, headers, path, query, body, slot };
        if route.safe_to_drop {
            return Ok((route.handler)(visit).await);
        }
        // On its own task: a caller that hangs up does not stop what it began.
        let running = tokio::spawn((route.handler)(visit));
        running.await.map_err(|error| {
            Denial::new(Stage::Door, Code::Internal, "something went wrong while answering").log(error.to_string())
        })
    }
}

fn other_methods(method: &Method, path: &str, methods: &[&str]) -> Reply {
    let detail = format!("`{path}` does not take {method}");
    let methods = methods.join(", ");
    let denial = Denial::new(Stage::Door, Code::MethodNotAllowed, detail).hint(format!("it takes {methods}"));
    let mut reply = respond::problem(&denial);
    respond::put(reply.headers_mut(), ALLOW, &methods);
    reply
}

/// A no before the caller was recognised.
fn no<T>(denial: Denial) -> Answer<T> {
    Answer { quota: None, result: Err(denial) }
}

/// The caller's trace, when it is valid.
fn traceparent(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get("traceparent")?;
    value.to_str().is_ok_and(is_traceparent).then(|| value.clone())
}

/// Whether `text` names a trace (W3C Trace Context section 3.2.2.2, version 00).
fn is_traceparent(text: &str) -> bool {
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let mut parts = text.split('-');
    let mut next = |length: usize| {
        let part = parts.next()?;
        let hex = part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        hex.then_some(part)
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) = (next(2), next(32), next(16), next(2)) else {
        return false;
    };
    version == "00" && !zero(trace) && !zero(parent) && parts.next().is_none()
}

#[cfg(test)]
mod tests;

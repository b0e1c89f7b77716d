//! `/mcp`: the Model Context Protocol, revisions 2025-03-26 to 2026-07-28, side by side and decided per message.
//!
//! The door takes messages from two framings, Streamable HTTP (`http`) and one message a line (`lines`),
//! answers what is about the conversation itself ([`talk`]) and hands the rest to a [`service::Service`]: the
//! governed tools (`governed`), or the fixtures of the conformance suite (`fixtures`).

mod envelope;
pub mod exchange;
pub mod fixtures;
pub mod governed;
pub mod http;
pub mod lines;
pub mod message;
mod params;
pub mod route;
pub mod seal;
pub mod service;
pub mod session;
pub mod talk;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::pipeline::Pipeline;

use super::{Limits, Shutdown};
use exchange::Asks;
use governed::Governed;
use http::Endpoint;
use seal::Seal;
use session::Sessions;
use talk::Mcp;

/// The governed tools of `pipeline`, behind conversations of both eras.
pub fn governed(pipeline: &Arc<Pipeline>, seal: Seal, limits: Limits, shutdown: Shutdown) -> Arc<Mcp> {
    let service = Arc::new(Governed::new(Arc::clone(pipeline), seal.clone(), limits.hold));
    Arc::new(Mcp { service, seal, asks: Arc::new(Asks::default()), shutdown })
}

/// Streamable HTTP in front of `mcp`, with the clock and the chance of `pipeline`.
pub fn endpoint(mcp: Arc<Mcp>, pipeline: &Arc<Pipeline>, waiters: Arc<Semaphore>, limits: Limits) -> Endpoint {
    let (clock, chance) = (Arc::clone(pipeline), Arc::clone(pipeline));
    let sessions = Sessions::new(mcp.seal.clone(), move || clock.now(), move || chance.chance());
    Endpoint::new(mcp, sessions, waiters, limits)
}

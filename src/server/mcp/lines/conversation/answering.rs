//! One request of a conversation, from its turn to its answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::api::mcp::Fault;
use crate::server::mcp::exchange::Exchange;
use crate::server::mcp::message::Request;

use super::{Flights, Lines, PATIENCE};

/// A request's place among those that are answered at once.
pub enum Turn {
    /// It waits for one.
    Awaited(Arc<Semaphore>),
    /// A stream has one from the start.
    Given { of_conversation: OwnedSemaphorePermit, of_daemon: OwnedSemaphorePermit },
}

/// A request that will be answered.
pub struct Answering {
    pub request: Request,
    pub exchange: Exchange,
    pub lines: Arc<Lines>,
    pub turn: Turn,
    pub cancelled: Arc<AtomicBool>,
    pub landing: Landing,
    pub room: OwnedSemaphorePermit,
}

/// An answer, and its place among the requests of the conversation: given back once the answer is on its way,
/// so that a client that reads nothing makes us hold no more.
pub struct Answered {
    /// None for a client that wants none any more, or when the daemon stops before the turn of this request: the
    /// end of the stream tells so. What was not begun by then never is.
    pub text: Option<String>,
    pub held: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

impl Answering {
    /// Waits for its turn, runs it, and gives its answer.
    pub async fn answer(self: Box<Self>) -> Answered {
        let Self { request, exchange, lines, turn, cancelled, landing, room } = *self;
        let gone = exchange.gone.clone();
        let (turn, mut slot) = match turn {
            Turn::Given { of_conversation, of_daemon } => (Some(of_conversation), Some(of_daemon)),
            Turn::Awaited(turns) => {
                let turn = async {
                    let turn = turns.acquire_owned().await.ok();
                    (turn, Arc::clone(&lines.requests).acquire_owned().await.ok())
                };
                let held = tokio::select! {
                    biased;
                    () = lines.mcp.shutdown.begun() => None,
                    () = gone.begun() => None,
                    held = turn => Some(held),
                };
                // Whoever took it back while it waited does not want it to begin.
                match held.filter(|_| !gone.has_begun()) {
                    Some(held) => held,
                    None => return Answered { text: None, held: (room, None) },
                }
            }
        };
        let id = request.id.clone();
        // On a task of its own: what fails there is still answered here.
        let mcp = Arc::clone(&lines.mcp);
        let mut responding = tokio::spawn(async move { mcp.respond(request, exchange).await.1 });
        let quick = tokio::select! {
            biased;
            answered = &mut responding => Some(answered),
            () = sleep(PATIENCE) => None,
        };
        let answered = match quick {
            Some(answered) => answered,
            None => {
                // What has begun is not refused any more: without a place among the waiters it keeps the one it has.
                if let Ok(place) = Arc::clone(&lines.waiters).try_acquire_owned() {
                    slot = Some(place);
                }
                responding.await
            }
        };
        drop(slot);
        let text = match answered {
            Ok(text) => text,
            Err(error) => {
                tracing::error!("answering a request failed: {error}");
                Fault::own(500, "something went wrong while answering").answer(&id)
            }
        };
        // From here on its id is free again.
        drop(landing);
        Answered { text: (!cancelled.load(Ordering::Relaxed)).then_some(text), held: (room, turn) }
    }
}

/// Takes a request from those under way.
pub struct Landing {
    pub flights: Flights,
    pub name: String,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

//! The accept loop and the life of one connection. The loop never waits on a peer.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::transport::{Connection, Listener, Stream};

use super::opening::{Opened, Spoken};
use super::pace::{Answering, Paced};
use super::respond::{self, Reply};
use super::visit::overloaded;
use super::{Limits, Origin, Shutdown};

/// What all accept loops share.
#[derive(Debug)]
pub struct Gate {
    /// What the doors take on at most.
    pub limits: Limits,
    /// The order to stop.
    pub shutdown: Shutdown,
    connections: Arc<Semaphore>,
    /// The part of them that callers over the network may have: the rest is for this machine's own.
    network: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

impl Gate {
    /// A gate with no connection.
    pub fn new(limits: Limits, shutdown: Shutdown) -> Self {
        let connections = Arc::new(Semaphore::new(limits.connections));
        let refusals = Arc::new(Semaphore::new(limits.refusals));
        let network = Arc::new(Semaphore::new(limits.connections - limits.connections / 4));
        Self { limits, shutdown, connections, network, refusals }
    }

    /// A place for one more connection.
    fn place(&self, from: Origin) -> Option<Place> {
        let take = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let network = if from.is_network() { Some(take(&self.network)?) } else { None };
        Some(Place { _any: take(&self.connections)?, _network: network })
    }
}

/// The place of one connection, given back on drop.
struct Place {
    _any: OwnedSemaphorePermit,
    _network: Option<OwnedSemaphorePermit>,
}

/// Takes connections and lets `answer` answer their HTTP requests, or `talk` have the conversations over lines,
/// until the order to stop; then lets them end.
pub async fn run<A, F, T, G>(listener: Listener, gate: Arc<Gate>, answer: A, talk: T)
where
    A: Fn(Origin, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
    T: Fn(Origin, Opened<Stream>) -> G + Clone + Send + Sync + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut pause = Pause::default();
    loop {
        tokio::select! {
            () = gate.shutdown.begun() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(connection) => {
                    pause = Pause::default();
                    let from = Origin { peer: connection.peer, address: listener.address() };
                    let (answer, talk) = (answer.clone(), talk.clone());
                    admit(&gate, from, connection, &mut connections, answer, talk);
                }
                Err(error) => {
                    tracing::warn!("a connection could not be accepted: {error}");
                    pause.take().await;
                }
            },
        }
    }
    drop(listener);
    let end = Instant::now() + gate.limits.drain;
    let ended = timeout_at(end, async { while connections.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        connections.abort_all();
    }
}

/// Grows with each error in a row: descriptors that are used up come back only when connections end.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(Duration::from_millis(5))
    }
}

impl Pause {
    async fn take(&mut self) {
        const LONGEST: Duration = Duration::from_secs(1);
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST);
    }
}

fn admit<A, F, T, G>(
    gate: &Arc<Gate>,
    from: Origin,
    connection: Connection,
    connections: &mut JoinSet<()>,
    answer: A,
    talk: T,
) where
    A: Fn(Origin, Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
    T: Fn(Origin, Opened<Stream>) -> G + Send + Sync + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    let gate = Arc::clone(gate);
    if let Some(place) = gate.place(from) {
        connections.spawn(async move {
            // A user of this machine who says nothing keeps its place; over the network nobody knows who it is.
            let silence = async {
                if from.is_network() {
                    sleep(gate.limits.header_time).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            let opened = tokio::select! {
                opened = Opened::listen(connection.stream) => opened,
                () = silence => Ok(None),
                () = gate.shutdown.begun() => Ok(None),
            };
            match opened {
                Ok(Some((Spoken::Http, stream))) => converse(&gate, from, stream, answer).await,
                Ok(Some((Spoken::Lines, stream))) => talk(from, stream).await,
                Ok(None) => {}
                Err(error) => tracing::debug!("a connection ended before it began: {error}"),
            }
            drop(place);
        });
    } else if let Ok(place) = Arc::clone(&gate.refusals).try_acquire_owned() {
        connections.spawn(async move {
            refuse(&gate, connection.stream).await;
            drop(place);
        });
    }
}

/// Answers the requests of one connection.
async fn converse<A, F>(gate: &Gate, from: Origin, stream: Opened<Stream>, answer: A)
where
    A: Fn(Origin, Request<Incoming>) -> F,
    F: Future<Output = Reply>,
{
    let answering = Answering::default();
    let stream = Paced::new(stream, answering.clone(), gate.limits.header_time, gate.limits.stall);
    let service = service_fn(|request| {
        let answering = answering.clone();
        answering.begin();
        let reply = answer(from, request);
        async move {
            let reply = reply.await;
            answering.end();
            Ok::<_, Infallible>(reply)
        }
    });
    let connection = protocol(gate).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = gate.shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}

/// Tells one caller too many that it is one too many.
async fn refuse(gate: &Gate, stream: Stream) {
    const PATIENCE: Duration = Duration::from_secs(2);
    let service = service_fn(|_| async {
        let mut reply = respond::problem(&overloaded("the daemon has as many connections as it may"));
        respond::finish(reply.headers_mut(), None);
        Ok::<_, Infallible>(reply)
    });
    let connection = protocol(gate).keep_alive(false).serve_connection(TokioIo::new(stream), service);
    let _ = timeout(PATIENCE, connection).await;
}

/// HTTP/1.1 with keep-alive; a caller that has closed its writing side still gets its answer. hyper's own
/// header time-out is off, see [`super::pace`].
fn protocol(gate: &Gate) -> http1::Builder {
    const LEAST_BUFFER: usize = 8_192;
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(gate.limits.header_bytes)
        .max_buf_size(gate.limits.header_bytes.max(LEAST_BUFFER))
        .half_close(true);
    protocol
}

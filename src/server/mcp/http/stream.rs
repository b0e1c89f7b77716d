//! How an answer goes out: as one JSON document when it is there soon and nothing comes before it, else as an
//! event stream (WHATWG HTML section 9.2). What was begun is never dropped half way: when the client hangs up,
//! the rest runs on its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::Either;
use http_body_util::channel::Channel;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::server::Shutdown;
use crate::server::respond::{self, Lines, Reply};

use super::super::exchange::{Messages, Text};
use super::headers::Accepts;

/// How long an answer may take before its client is told, by an event stream, that we are still there.
const PATIENCE: Duration = Duration::from_secs(1);
/// The first pause between two signs of life; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A comment: shows a quiet stream's reader, proxies, and us, that the other end is there.
const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// Its HTTP status and the whole message; an empty one for a stream that just ends.
pub type Finished = (u16, String);

/// What makes an answer.
pub trait Making: Future<Output = Finished> + Send + Unpin + 'static {}

impl<F: Future<Output = Finished> + Send + Unpin + 'static> Making for F {}

/// An answer in the making. Dropped before it is there, it is made to its end all the same.
pub struct Work<F: Making> {
    future: Option<F>,
    /// Given when the client hangs up and that means that it takes its request back.
    take_back: Option<Shutdown>,
    slot: Option<OwnedSemaphorePermit>,
}

impl<F: Making> Work<F> {
    /// Takes what makes the answer and what counts it among the requests. `take_back` is given when the client
    /// hangs up.
    pub const fn new(future: F, slot: OwnedSemaphorePermit, take_back: Option<Shutdown>) -> Self {
        Self { future: Some(future), take_back, slot: Some(slot) }
    }

    /// Counts it among the waiters from here on. What has begun is not refused any more: when there is no room, it
    /// keeps its place among the requests.
    pub fn waits(&mut self, waiters: &Arc<Semaphore>) {
        if let Ok(place) = Arc::clone(waiters).try_acquire_owned() {
            self.slot = Some(place);
        }
    }

    fn nobody_waits(&self) {
        if let Some(gone) = &self.take_back {
            gone.begin();
        }
    }
}

impl<F: Making> Future for Work<F> {
    type Output = Finished;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        let polled = Pin::new(future).poll(cx);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<F: Making> Drop for Work<F> {
    fn drop(&mut self) {
        let (Some(rest), Ok(runtime)) = (self.future.take(), tokio::runtime::Handle::try_current()) else { return };
        self.nobody_waits();
        let slot = self.slot.take();
        runtime.spawn(async move {
            rest.await;
            drop(slot);
        });
    }
}

/// Answers a request: `messages` come before the end of `work`.
pub async fn answer(
    mut work: Work<impl Making>,
    mut messages: Messages,
    accepts: Accepts,
    waiters: &Arc<Semaphore>,
    longest_pause: Duration,
) -> Reply {
    if !accepts.stream {
        drop(messages);
        return document(work.await);
    }
    let first = tokio::select! {
        biased;
        finished = &mut work => match messages.try_recv() {
            None if accepts.json => return document(finished),
            first => return streamed(first, messages, finished),
        },
        Some(first) = messages.recv() => Some(first),
        () = sleep(PATIENCE) => None,
    };
    work.waits(waiters);
    let (lines, reply) = open();
    tokio::spawn(pump(lines, work, first, messages, longest_pause));
    reply
}

/// A stream of `messages` that ends when `work` does.
pub fn stream(work: Work<impl Making>, messages: Messages, longest_pause: Duration) -> Reply {
    let (lines, reply) = open();
    tokio::spawn(pump(lines, work, None, messages, longest_pause));
    reply
}

/// One JSON document.
fn document((status, message): Finished) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond::json_text(status, message)
}

/// A stream whose events are all there.
fn streamed(first: Option<Text>, mut messages: Messages, (_, last): Finished) -> Reply {
    let mut events = BytesMut::new();
    let rest = std::iter::from_fn(|| messages.try_recv());
    for message in first.into_iter().chain(rest).chain(Some(last.into_boxed_str())) {
        events.extend_from_slice(&event(&message));
    }
    let mut reply = respond::json_text(StatusCode::OK, String::new());
    *reply.body_mut() = Either::Left(events.freeze().into());
    describe(&mut reply);
    reply
}

fn open() -> (Lines, Reply) {
    const EVENTS_IN_FLIGHT: usize = 16;
    let (lines, body) = Channel::new(EVENTS_IN_FLIGHT);
    let mut reply = Response::new(Either::Right(body));
    describe(&mut reply);
    (lines, reply)
}

fn describe(reply: &mut Reply) {
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    reply.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// Writes messages as they come, signs of life while there are none, and the end.
async fn pump(
    mut lines: Lines,
    mut work: Work<impl Making>,
    first: Option<Text>,
    mut messages: Messages,
    longest_pause: Duration,
) {
    let mut pause = FIRST_PAUSE.min(longest_pause);
    let mut next = first.map(|message| event(&message));
    loop {
        if let Some(bytes) = next.take()
            && lines.send_data(bytes).await.is_err()
        {
            break;
        }
        tokio::select! {
            biased;
            Some(message) = messages.recv() => next = Some(event(&message)),
            (_, last) = &mut work => {
                while let Some(message) = messages.try_recv() {
                    if lines.send_data(event(&message)).await.is_err() {
                        return;
                    }
                }
                if !last.is_empty() {
                    // The client may be gone; then nobody misses it.
                    let _ = lines.send_data(event(&last)).await;
                }
                return;
            }
            () = sleep(pause) => {
                pause = (pause * 2).min(longest_pause);
                next = Some(KEEP_ALIVE);
            }
        }
    }
    // The client hung up: what it asked for goes on, and whatever it says goes nowhere.
    drop((lines, messages));
    work.nobody_waits();
    work.await;
}

/// One event. White space between the parts of a message may hold ends of lines, which an event must not.
fn event(message: &str) -> Bytes {
    let mut event = BytesMut::with_capacity(message.len() + 8);
    for line in message.split(['\n', '\r']) {
        event.put_slice(b"data: ");
        event.put_slice(line.as_bytes());
        event.put_u8(b'\n');
    }
    event.put_u8(b'\n');
    event.freeze()
}

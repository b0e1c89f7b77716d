//! One message a line over a raw stream, beside HTTP on the same listeners: what `toolctl mcp` speaks, and
//! whoever finds a socket easier than HTTP.
//!
//! Requests of one conversation run at the same time and are answered as they finish, by one writer. The end
//! of what the client says takes nothing back: calls go on, and what can still be answered is.

mod conversation;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::pipeline::port::Presented;
use crate::server::Limits;
use crate::server::pace::{Answering, Paced};
use crate::transport::lines;

use super::exchange::Text;
use super::talk::Mcp;
use conversation::Conversation;

/// What all conversations over lines share.
pub struct Lines {
    /// Answers.
    mcp: Arc<Mcp>,
    /// What the doors take on at most.
    limits: Limits,
    /// Counts requests that run, those of HTTP too.
    requests: Arc<Semaphore>,
    /// Counts streams, those of HTTP too.
    waiters: Arc<Semaphore>,
    begun: AtomicU64,
}

impl Lines {
    /// Conversations that take their places among these requests and waiters.
    pub const fn new(mcp: Arc<Mcp>, limits: Limits, requests: Arc<Semaphore>, waiters: Arc<Semaphore>) -> Self {
        Self { mcp, limits, requests, waiters, begun: AtomicU64::new(0) }
    }

    /// Talks with one client until one side ends: the client says no more and has all its answers, or takes
    /// none, or the daemon stops and what was under way has ended.
    pub async fn converse<S: AsyncRead + AsyncWrite + Unpin>(self: Arc<Self>, presented: Presented, stream: S) {
        const IN_FLIGHT: usize = 64;
        let pace = Answering::default();
        let stream = Paced::new(stream, pace.clone(), self.limits.header_time, self.limits.stall);
        let (read, write) = tokio::io::split(stream);
        let (out, written) = mpsc::channel(IN_FLIGHT);
        let name = format!("lines-{}", self.begun.fetch_add(1, Ordering::Relaxed));
        let conversation = Conversation::new(self, &name, presented, out);
        let ((), written) = tokio::join!(listen(conversation, read, pace), write_lines(write, written));
        if let Err(error) = written {
            tracing::debug!("a conversation ended early: {error}");
        }
    }
}

/// Takes what the client says. Over TCP, a client that nobody knows yet is held to the limits of a header block,
/// and the first request of one that turns out to be nobody we know is its last.
async fn listen<R: AsyncRead + Unpin>(mut conversation: Conversation, read: R, pace: Answering) {
    const LINGER: Duration = Duration::from_secs(1);
    let limits = conversation.limits();
    let mut lines = lines::Lines::new(read, limits.header_bytes);
    let (mut is_trusted, mut is_refused) = (conversation.is_local(), false);
    if is_trusted {
        lines.set_longest(limits.body_bytes);
        // From here on, half a line may take its time.
        pace.begin();
    }
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = conversation.ended() => break,
        };
        match line {
            Ok(Some(line)) => conversation.take(line).await,
            Ok(None) => break,
            Err(error) => {
                tracing::debug!("a conversation broke: {error}");
                break;
            }
        }
        if !is_trusted && conversation.is_known() {
            is_trusted = true;
            lines.set_longest(limits.body_bytes);
            pace.begin();
        }
        if !is_trusted && conversation.is_refused() {
            is_refused = true;
            break;
        }
    }
    conversation.end();
    if is_refused {
        // A connection that is closed over unread bytes may lose our last words.
        let _ = timeout(limits.header_time.min(LINGER), async { while let Ok(Some(_)) = lines.next().await {} }).await;
    }
}

/// Writes messages, each on a line of its own, as many at once as there are.
async fn write_lines<W: AsyncWrite + Unpin>(mut write: W, mut messages: mpsc::Receiver<Text>) -> io::Result<()> {
    const AT_ONCE: usize = 32;
    const KEPT: usize = 64 << 10;
    let (mut batch, mut text) = (Vec::with_capacity(AT_ONCE), Vec::new());
    while messages.recv_many(&mut batch, AT_ONCE).await > 0 {
        for message in batch.drain(..) {
            push_line(&mut text, message.as_bytes());
        }
        write.write_all(&text).await?;
        text.clear();
        text.shrink_to(KEPT);
    }
    write.shutdown().await
}

/// Adds a message as one line: JSON has line ends only as blanks, and passes through as it was written.
fn push_line(text: &mut Vec<u8>, message: &[u8]) {
    let start = text.len();
    text.extend_from_slice(message);
    for byte in text.iter_mut().skip(start) {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    text.push(b'\n');
}

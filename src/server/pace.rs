//! Makes slow peers fail. hyper's own header time-out also counts the idle time between two requests, so it
//! would close every pooled connection after ten quiet seconds; this one starts with the first byte of a
//! request. A request that comes in one piece costs no timer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Counts requests that began and ended to be answered: set by the service, read by its connection. Odd while
/// one is being answered.
#[derive(Debug, Clone, Default)]
pub struct Answering(Arc<AtomicU64>);

impl Answering {
    /// The header block is complete: its time no longer counts.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer is on its way: the next byte begins a request.
    pub fn end(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream that ends with `TimedOut` when its peer is too slow.
pub struct Paced<S> {
    stream: S,
    answering: Answering,
    /// What `answering` said at the last read.
    counted: u64,
    header_time: Duration,
    stall: Duration,
    header: Option<Pin<Box<Sleep>>>,
    header_since: Option<Instant>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    /// Wraps `stream`.
    pub fn new(stream: S, answering: Answering, header_time: Duration, stall: Duration) -> Self {
        Self { stream, answering, counted: 0, header_time, stall, header: None, header_since: None, stalled: None }
    }

    /// Reads the result of a write: a peer that takes no bytes has `stall` to begin.
    fn judge<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let stall = self.stall;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let count = this.answering.0.load(Ordering::Relaxed);
        if count != this.counted {
            this.counted = count;
            this.header_since = None;
            this.header = None;
        }
        if count % 2 == 1 {
            return read;
        }
        if read.is_ready() {
            if buffer.filled().len() > before && this.header_since.is_none() {
                this.header_since = Some(Instant::now());
            }
            return read;
        }
        let Some(since) = this.header_since else { return Poll::Pending };
        let end = since + this.header_time;
        let timer = this.header.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.judge(cx, write)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.judge(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

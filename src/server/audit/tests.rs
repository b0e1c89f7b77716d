//! Reading against a log in memory.

use std::sync::Mutex;

use tokio::sync::watch;

use super::*;
use crate::domain::digest::Digest;
use crate::domain::merkle::{Frontier, leaf_hash};
use crate::domain::time::Timestamp;
use crate::pipeline::port::{Entry, Wait};

/// A log in which every third record is about `x`; its batches are small so that reading needs several.
struct Fake {
    size: Mutex<u64>,
    grown: watch::Sender<u64>,
}

impl Fake {
    fn new(size: u64) -> Arc<Self> {
        Arc::new(Self { size: Mutex::new(size), grown: watch::Sender::new(size) })
    }

    fn grow(&self, by: u64) {
        let mut size = self.size.lock().unwrap();
        *size += by;
        self.grown.send_replace(*size);
    }

    fn entry(index: u64) -> Entry {
        Entry { index, hash: Digest([0; 32]), leaf: format!("{{\"n\":{index}}}") }
    }
}

impl Log for Fake {
    fn frontier(&self) -> Wait<'_, Result<Frontier, Unavailable>> {
        let mut tree = Frontier::default();
        (0..*self.size.lock().unwrap()).for_each(|_| tree.push(leaf_hash(b"x")));
        Box::pin(async move { Ok(tree) })
    }

    fn read(&self, _: u64, _: usize) -> Wait<'_, Result<Vec<Entry>, Unavailable>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn query(
        &self,
        filter: LogFilter,
        from: u64,
        limit: usize,
    ) -> Wait<'_, Result<(Vec<Entry>, Option<u64>), Unavailable>> {
        let size = *self.size.lock().unwrap();
        let limit = limit.min(5);
        let matching: Vec<_> = (from..size).filter(|at| filter.tool.is_none() || at % 3 == 0).take(limit).collect();
        let next = matching.last().map(|at| at + 1).filter(|next| matching.len() == limit && *next < size);
        Box::pin(async move { Ok((matching.into_iter().map(Self::entry).collect(), next)) })
    }

    fn first_at(&self, _: Timestamp) -> Wait<'_, Result<u64, Unavailable>> {
        Box::pin(async { Ok(0) })
    }

    fn grown(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }
}

async fn indices(log: &Arc<Fake>, query: &str) -> Vec<u64> {
    let request: ReadAudit = super::super::decode::typed(super::super::decode::query(query).unwrap()).unwrap();
    let span = Span::find(Arc::<Fake>::clone(log), filter(&request).unwrap(), &request).await.unwrap();
    let (lines, reply) = respond::stream();
    let (limits, shutdown) = (crate::server::Limits::default(), crate::server::Shutdown::new());
    let (_, text) = tokio::join!(span.write(&limits, &shutdown, lines, || true), collect(reply));
    text
}

async fn collect(reply: respond::Reply) -> Vec<u64> {
    use http_body_util::BodyExt as _;
    let bytes = reply.into_body().collect().await.unwrap().to_bytes();
    read(std::str::from_utf8(&bytes).unwrap())
}

/// Heartbeats are white space, which a reader of JSON skips.
fn read(lines: &str) -> Vec<u64> {
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str::<api::audit::Line>(line).unwrap().index).collect()
}

#[tokio::test]
async fn a_reader_gets_what_it_asked_for() {
    let log = Fake::new(20);
    assert_eq!(indices(&log, "").await, (0..20).collect::<Vec<_>>());
    assert_eq!(indices(&log, "from=17").await, [17, 18, 19]);
    assert_eq!(indices(&log, "limit=2").await, [0, 1]);
    assert_eq!(indices(&log, "last=3").await, [17, 18, 19]);
    assert_eq!(indices(&log, "last=0").await, [0; 0]);
    assert_eq!(indices(&log, "last=99").await.len(), 20);
    assert_eq!(indices(&log, "tool=x&last=2").await, [15, 18]);
    assert_eq!(indices(&log, "tool=x&last=99").await, [0, 3, 6, 9, 12, 15, 18]);
}

#[tokio::test]
async fn the_last_that_match_are_found_far_back() {
    let log = Fake::new(10_000);
    assert_eq!(indices(&log, "tool=x&last=500").await.first(), Some(&(9_999 - 3 * 499)));
}

#[tokio::test]
async fn a_follower_misses_nothing_repeats_nothing_and_ends_with_the_daemon() {
    let log = Fake::new(7);
    let request = ReadAudit { follow: Some(true), last: Some(2), ..ReadAudit::default() };
    let span = Span::find(Arc::<Fake>::clone(&log), LogFilter::default(), &request).await.unwrap();
    let (lines, reply) = respond::stream();
    let heartbeat = std::time::Duration::from_millis(1);
    let limits = crate::server::Limits { heartbeat, ..crate::server::Limits::default() };
    let shutdown = crate::server::Shutdown::new();
    let order = shutdown.clone();

    let writing = tokio::spawn(async move { span.write(&limits, &order, lines, || true).await });
    let mut body = reply.into_body();
    let mut text = String::new();
    for by in [1, 0, 12, 30] {
        log.grow(by);
        let last = format!("\"index\":{},", *log.size.lock().unwrap() - 1);
        while !text.contains(&last) {
            text.push_str(std::str::from_utf8(&next(&mut body).await).unwrap());
        }
    }
    shutdown.begin();
    writing.await.unwrap();

    assert_eq!(read(&text), (5..50).collect::<Vec<_>>());
    assert!(read(std::str::from_utf8(&next(&mut body).await).unwrap()).is_empty(), "the stream has ended");
}

async fn next(body: &mut respond::Body) -> bytes::Bytes {
    use http_body_util::BodyExt as _;
    body.frame().await.map_or_else(bytes::Bytes::new, |frame| frame.unwrap().into_data().unwrap())
}

#[tokio::test]
async fn a_follower_that_may_no_longer_read_sees_nothing_more() {
    let log = Fake::new(3);
    let request = ReadAudit { follow: Some(true), ..ReadAudit::default() };
    let span = Span::find(Arc::<Fake>::clone(&log), LogFilter::default(), &request).await.unwrap();
    let (lines, reply) = respond::stream();
    let (limits, order) = (Limits::default(), Shutdown::new());
    let revoked = tokio::spawn(async move { span.write(&limits, &order, lines, || false).await });
    tokio::task::yield_now().await;
    log.grow(2);
    let text = collect(reply).await;
    revoked.await.unwrap();
    assert_eq!(text, [0, 1, 2]);
}

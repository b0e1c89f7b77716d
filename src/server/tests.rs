//! Connections against a real listener, answered by a stand-in for the operations.

use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::transport::testing::{self, Caller};

/// A listener whose answer to `POST` is the length of the body, and whose answer to `GET /slow` waits for a
/// permit.
struct Daemon {
    _home: TempDir,
    path: PathBuf,
    address: SocketAddr,
    shutdown: Shutdown,
    slow: Arc<Semaphore>,
    begun: Arc<Semaphore>,
    ended: JoinHandle<()>,
}

impl Daemon {
    async fn start(limits: Limits) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = testing::place(home.path());
        let listener = Listener::unix(&path).await.unwrap();
        let network = Listener::tcp(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = network.address().unwrap();
        let shutdown = Shutdown::new();
        let [slow, begun] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
        let gate = Arc::new(Gate::new(limits, shutdown.clone()));
        let permits = (Arc::clone(&slow), Arc::clone(&begun));
        let answer = move |_, request: Request<Incoming>| {
            let (slow, begun) = permits.clone();
            async move {
                let (parts, body) = request.into_parts();
                if parts.uri.path() == "/slow" {
                    begun.add_permits(1);
                    slow.acquire().await.unwrap().forget();
                }
                match body::read(&parts.headers, body, &limits).await {
                    Ok(bytes) => respond::json(StatusCode::OK, &bytes.len()),
                    Err(denial) => respond::problem(&denial),
                }
            }
        };
        tokio::spawn(accept::run(network, Arc::clone(&gate), answer.clone(), |_, _| async {}));
        let ended = tokio::spawn(accept::run(listener, gate, answer, |_, _| async {}));
        Self { _home: home, path, address, shutdown, slow, begun, ended }
    }

    async fn connect(&self) -> Caller {
        testing::call(&self.path).await.unwrap()
    }

    /// Sends `text` and gives all that comes back until the other side closes.
    async fn say(&self, text: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The other side may answer and close before it has read everything.
        let _ = stream.write_all(text).await;
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut Caller) -> String {
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    String::from_utf8(reply).unwrap()
}

/// What has come of an answer, while the connection stays.
async fn part(stream: &mut Caller) -> String {
    let mut reply = vec![0; 2_048];
    let length = stream.read(&mut reply).await.unwrap();
    String::from_utf8(reply[..length].to_vec()).unwrap()
}

fn post(kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn status(reply: &str) -> &str {
    reply.get(9..12).unwrap_or(reply)
}

#[tokio::test]
async fn bodies_are_json_of_a_bounded_size() {
    let daemon = Daemon::start(Limits::default()).await;
    for (kind, length, expected) in [
        ("application/json", 1 << 20, "200"),
        ("application/json; charset=utf-8", 2, "200"),
        ("application/merge-patch+json", 2, "200"),
        ("application/json", 2 << 20, "413"),
        ("text/plain", 2, "415"),
        ("application/x-www-form-urlencoded", 2, "415"),
    ] {
        let reply = daemon.say(&post(kind, &vec![b' '; length])).await;
        assert_eq!(status(&reply), expected, "{kind} {length}");
    }
    let untyped = daemon.say(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(status(&untyped), "415");
    let chunked = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
                    transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    assert!(daemon.say(chunked).await.ends_with("\r\n\r\n2"));
    let empty = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(daemon.say(empty).await.ends_with("\r\n\r\n0"), "no body needs no type");
}

#[tokio::test]
async fn header_blocks_have_a_bounded_size() {
    let daemon = Daemon::start(Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    assert_eq!(status(&daemon.say(long.as_bytes()).await), "431");
}

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_slow_header_block_ends_the_connection_and_an_idle_connection_stays() {
    let daemon = Daemon::start(Limits { header_time: SHORT, ..Limits::default() }).await;

    let mut slow = daemon.connect().await;
    slow.write_all(b"GET / HT").await.unwrap();
    assert_eq!(rest(&mut slow).await, "", "closed without an answer");

    let mut idle = daemon.connect().await;
    for _ in 0..2 {
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(status(&part(&mut idle).await), "200");
        // Longer than the limit on purpose: time without a byte does not count.
        tokio::time::sleep(SHORT * 2).await;
    }
}

#[tokio::test]
async fn a_slow_body_is_told_so() {
    let daemon = Daemon::start(Limits { body_time: SHORT, ..Limits::default() }).await;
    let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    let reply = daemon.say(head).await;
    assert_eq!(status(&reply), "422");
    assert!(reply.contains("the body did not arrive in time"), "{reply}");
}

#[tokio::test]
#[cfg_attr(windows, ignore = "a pipe has no half that closes alone")]
async fn a_caller_that_has_said_everything_still_gets_its_answer() {
    let daemon = Daemon::start(Limits::default()).await;
    let mut stream = daemon.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    daemon.slow.add_permits(1);
    assert_eq!(status(&rest(&mut stream).await), "200");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let daemon = Daemon::start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = daemon.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(status(&part(&mut first).await), "200");

    let reply = daemon.say(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;

    assert_eq!(status(&reply), "503");
    assert!(reply.contains("retry-after: 1\r\n") && reply.contains("\"code\":\"overloaded\""), "{reply}");
}

#[tokio::test]
async fn callers_over_the_network_leave_room_for_this_machine() {
    let daemon = Daemon::start(Limits { connections: 4, ..Limits::default() }).await;
    let get = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut kept = Vec::new();
    for expected in ["200", "200", "200", "503"] {
        let mut caller = TcpStream::connect(daemon.address).await.unwrap();
        caller.write_all(get).await.unwrap();
        let mut reply = vec![0; 2_048];
        let length = caller.read(&mut reply).await.unwrap();
        assert_eq!(status(std::str::from_utf8(&reply[..length]).unwrap()), expected);
        kept.push(caller);
    }
    let mut local = daemon.connect().await;
    local.write_all(get).await.unwrap();
    assert_eq!(status(&part(&mut local).await), "200");
}

#[tokio::test]
async fn over_the_network_nobody_keeps_a_place_by_silence() {
    let daemon = Daemon::start(Limits { header_time: SHORT, connections: 1, ..Limits::default() }).await;
    let mut silent = TcpStream::connect(daemon.address).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "closed without a word");
}

#[tokio::test]
async fn a_stop_closes_idle_connections_and_lets_requests_end() {
    let daemon = Daemon::start(Limits::default()).await;
    let mut idle = daemon.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(status(&part(&mut idle).await), "200");
    let mut busy = daemon.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    daemon.begun.acquire().await.unwrap().forget();

    daemon.shutdown.begin();

    assert_eq!(rest(&mut idle).await, "");
    while daemon.path.exists() {
        tokio::task::yield_now().await;
    }
    daemon.slow.add_permits(1);
    assert_eq!(status(&rest(&mut busy).await), "200");
    daemon.ended.await.unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_is_left_behind_after_the_drain() {
    let daemon = Daemon::start(Limits { drain: SHORT, ..Limits::default() }).await;
    let mut busy = daemon.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    daemon.begun.acquire().await.unwrap().forget();

    daemon.shutdown.begin();
    daemon.ended.await.unwrap();

    assert_eq!(rest(&mut busy).await, "");
}

#[test]
fn only_a_valid_trace_is_carried_through() {
    let carried = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", text.parse().unwrap());
        traceparent(&headers).is_some()
    };
    assert!(carried("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    for bad in [
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "",
    ] {
        assert!(!carried(bad), "{bad}");
    }
}

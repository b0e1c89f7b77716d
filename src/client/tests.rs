//! The client against the smallest daemon there can be.

use std::convert::Infallible;
use std::net::SocketAddr;

use hyper::Request;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::api::endpoint::Nothing;
use crate::api::{admin, audit, calls};
use crate::transport::testing::place;

const PATIENCE: Duration = Duration::from_secs(5);

/// Answers every request with `status` and `body`, followed by what it was sent.
async fn answering(status: u16, body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request: Request<Incoming>| async move {
                let key = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or("nobody");
                let body = body.replace("WHO", key);
                Ok::<_, Infallible>(Response::builder().status(status).body(Full::new(Bytes::from(body))).expect("ok"))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Reads a little of each request and hangs up.
async fn hanging_up() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut first = [0; 16];
            let _ = stream.read(&mut first).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

fn client(address: SocketAddr) -> Client {
    Client::new(&Target::Tcp(address.to_string()), Some(&Secret::new("tctl_x"))).expect("a client")
}

#[tokio::test]
async fn a_reply_is_read_and_the_key_is_sent() {
    let address = answering(200, r#"{"ok":true,"version":"WHO"}"#).await;
    let health = client(address).send::<admin::Health>(&Nothing {}, PATIENCE).await.expect("a reply");
    assert_eq!(health.version, "Bearer tctl_x");
}

#[tokio::test]
async fn a_problem_is_read_as_one() {
    let problem = r#"{"type":"t","title":"t","status":403,"detail":"no","code":"policy-denied","effect":"none","retryable":"never"}"#;
    let address = answering(403, problem).await;
    match client(address).send::<admin::Health>(&Nothing {}, PATIENCE).await {
        Err(ClientError::Problem(problem)) => assert_eq!(problem.code, "policy-denied"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_outside_the_contract_is_told() {
    let address = answering(502, "bad gateway").await;
    let error = client(address).send::<admin::Health>(&Nothing {}, PATIENCE).await.expect_err("no reply");
    assert!(matches!(error, ClientError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_is_told_from_a_broken_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let error = client(address).send::<admin::Health>(&Nothing {}, PATIENCE).await.expect_err("no reply");
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error}");

    let address = hanging_up().await;
    let show = calls::ShowCall { id: "call_x".into(), wait: None };
    let error = client(address).send::<calls::Show>(&show, PATIENCE).await.expect_err("no reply");
    assert!(matches!(error, ClientError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn a_missing_socket_means_no_daemon() {
    let folder = tempfile::tempdir().expect("a folder");
    let client = Client::new(&Target::Socket(place(folder.path())), None).expect("a client");
    let error = client.send::<admin::Health>(&Nothing {}, PATIENCE).await.expect_err("no reply");
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error}");
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let error =
        client(address).send::<admin::Health>(&Nothing {}, Duration::from_millis(20)).await.expect_err("no reply");
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn lines_arrive_one_by_one_until_the_end() {
    let address =
        answering(200, "{\"index\":0,\"hash\":\"h\",\"leaf\":\"a\"}\n\n{\"index\":1,\"hash\":\"h\",\"leaf\":\"b\"}\n")
            .await;
    let read = audit::ReadAudit::default();
    let mut lines = client(address).stream::<audit::Read>(&read, PATIENCE).await.expect("a stream");
    let mut leaves = Vec::new();
    while let Some(line) = lines.next().await.expect("a line") {
        leaves.push(line.leaf);
    }
    assert_eq!(leaves, ["a", "b"]);
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_line_is_broken() {
    let address = answering(200, "{\"index\":0,\"ha").await;
    let mut lines =
        client(address).stream::<audit::Read>(&audit::ReadAudit::default(), PATIENCE).await.expect("a stream");
    assert!(matches!(lines.next().await, Err(ClientError::Broken { .. })));
}

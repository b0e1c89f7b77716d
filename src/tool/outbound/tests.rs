//! Connections: only where the judge lets them, to the address that was judged, and with a count of what was sent.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::domain::digest::Digest;
use crate::domain::tool::command::Pinned;

/// Gives one list of addresses after the other.
struct Script(Mutex<VecDeque<Vec<&'static str>>>);

impl Script {
    fn saying(answers: &[&[&'static str]]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(answers.iter().map(|answer| answer.to_vec()).collect())))
    }

    fn left(&self) -> usize {
        self.0.lock().expect("unpoisoned").len()
    }
}

impl Resolver for Script {
    fn resolve<'a>(&'a self, _: &'a str) -> Wait<'a, io::Result<Vec<IpAddr>>> {
        let answer = self.0.lock().expect("unpoisoned").pop_front();
        Box::pin(async move {
            let answer = answer.ok_or_else(|| io::Error::other("nobody knows"))?;
            Ok(answer.iter().map(|text| text.parse().expect("an address")).collect())
        })
    }
}

fn origin(url: &str, port: u16) -> Origin {
    let (origin, _) = Origin::split(url).expect("an origin");
    Origin { port, ..origin }
}

fn reach(allow: &[&str]) -> Reach {
    Reach { allow: allow.iter().map(|text| text.parse().expect("a target")).collect(), ..Reach::default() }
}

async fn listener(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind((address, 0)).await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

#[tokio::test]
async fn a_name_is_resolved_once_and_every_address_of_it_is_judged() {
    let (listener, port) = listener("127.0.0.1").await;
    let resolver = Script::saying(&[&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.1", "127.0.0.2"], &[]]);
    let outbound = Outbound::with_resolver(resolver.clone());
    let (to, reach) = (origin("http://shop.example", port), reach(&["127.0.0.1/32"]));
    let line = outbound.connect(&to, &reach).await.expect("a connection");
    assert_eq!((line.peer(), resolver.left()), (listener.local_addr().expect("an address"), 3), "asked once");
    assert!(line.sent().nothing());
    // The same name, another answer: what was let through before is of no help.
    for expected in ["127.0.0.2", "127.0.0.2"] {
        let refused = outbound.connect(&to, &reach).await.map(|line| line.peer()).expect_err("refused");
        assert!(matches!(refused, Refused::Forbidden { address, .. } if address.to_string() == expected), "{refused}");
        assert!(!refused.may_pass());
    }
    for _ in 0..2 {
        let refused = outbound.connect(&to, &reach).await.map(|line| line.peer()).expect_err("refused");
        assert!(matches!(refused, Refused::Unresolved { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_host_that_is_listed_with_its_port_may_be_anywhere_private() {
    let (_listener, port) = listener("127.0.0.1").await;
    let outbound = Outbound::with_resolver(Script::saying(&[&["127.0.0.1"], &["127.0.0.1"], &["169.254.169.254"]]));
    let reach = reach(&[&format!("grafana.internal:{port}")]);
    assert!(outbound.connect(&origin("http://grafana.internal", port), &reach).await.is_ok());
    let other = outbound.connect(&origin("http://other.internal", port), &reach).await;
    assert!(matches!(other, Err(Refused::Forbidden { .. })));
    let metadata = outbound.connect(&origin("http://grafana.internal", port), &reach).await;
    assert!(matches!(metadata, Err(Refused::Forbidden { what: Forbidden::Metadata, .. })));
}

#[tokio::test]
async fn the_next_address_is_tried_when_nobody_listens_at_the_first() {
    let (listener, port) = listener("127.0.0.3").await;
    let outbound = Outbound::with_resolver(Script::saying(&[&["127.0.0.9", "127.0.0.3"], &["127.0.0.9"]]));
    let reach = reach(&["127.0.0.0/8"]);
    let line = outbound.connect(&origin("http://shop.example", port), &reach).await.expect("a connection");
    assert_eq!(line.peer(), listener.local_addr().expect("an address"));
    let refused = outbound.connect(&origin("http://shop.example", port), &reach).await.map(|line| line.peer());
    assert!(refused.is_err_and(|refused| refused.may_pass()));
}

async fn broken(listener: TcpListener, port: u16, answers: &'static [u8]) -> Broken {
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut heard = [0; 1];
        if !answers.is_empty() {
            stream.read_exact(&mut heard).await.expect("a byte");
            stream.write_all(answers).await.expect("written");
        }
    });
    let outbound = Outbound::default();
    let to = origin("http://127.0.0.1", port);
    let line = outbound.connect(&to, &reach(&["127.0.0.1/32"])).await.expect("a connection");
    if answers.is_empty() {
        // It hangs up before it has heard anything.
        server.await.expect("it ends");
    }
    let request = hyper::Request::get("/").header("Host", "x").body(Full::new(Bytes::new())).expect("a request");
    send(line, request).await.map(|answer| answer.status).expect_err("no answer")
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    for answers in [&b"220 mail.example ESMTP\r\n"[..], b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n: x\r\n\r\n"]
    {
        let (listener, port) = listener("127.0.0.1").await;
        let broken = broken(listener, port, answers).await;
        assert!(!broken.unsent, "{broken}");
    }
    let (listener, port) = listener("127.0.0.1").await;
    assert!(
        !broken(listener, port, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx").await.unsent
    );
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_file_names_and_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let certified = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
        let path = folder.path().join(format!("{name}.pem"));
        std::fs::write(&path, made.cert.pem()).expect("written");
        let digest = Digest::plain(made.cert.pem().as_bytes());
        (made, Pinned { path, digest })
    };
    let (ours, pinned) = certified("shop.example");
    let (_, another) = certified("other.example");
    let key =
        tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(ours.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![ours.cert.der().clone()], key)
        .expect("a configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listener("127.0.0.1").await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut heard = vec![0; 1_024];
                let _some = stream.read(&mut heard).await;
                let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
                let _gone = stream.shutdown().await;
            });
        }
    });
    let resolver = || Script::saying(&[&["127.0.0.1"], &["127.0.0.1"], &["127.0.0.1"], &["127.0.0.1"]]);
    let outbound = Outbound::with_resolver(resolver());
    let reach = |ca: Option<&Pinned>| Reach { ca: ca.cloned(), ..reach(&["127.0.0.0/8"]) };
    let line = outbound.connect(&origin("https://shop.example", port), &reach(Some(&pinned))).await.expect("TLS");
    let sent = line.sent();
    assert!(sent.nothing(), "a greeting is no request");
    let request = hyper::Request::get("/").header("Host", "shop.example").body(Full::new(Bytes::new()));
    let answer = send(line, request.expect("a request")).await.expect("an answer");
    assert!(!sent.nothing());
    assert_eq!(answer.read(10).await, Ok(b"hi".to_vec()));
    // Another name, another authority, the system's: all the same server.
    for (url, ca) in [
        ("https://other.example", Some(&pinned)),
        ("https://shop.example", Some(&another)),
        ("https://shop.example", None),
    ] {
        let refused = outbound.connect(&origin(url, port), &reach(ca)).await.map(|line| line.peer());
        assert!(matches!(refused, Err(Refused::Tls { .. } | Refused::Trust(_))), "{url}");
    }
    std::fs::write(&pinned.path, "another").expect("written");
    let outbound = Outbound::with_resolver(resolver());
    let refused = outbound.connect(&origin("https://shop.example", port), &reach(Some(&pinned))).await;
    assert!(matches!(refused, Err(Refused::Trust(why)) if why.contains("is not the file")));
}

#[tokio::test]
async fn a_connection_has_a_limit_in_time() {
    let outbound = Outbound::with_resolver(Arc::new(Never));
    let reach = Reach { connect_ms: 20, ..reach(&[]) };
    let refused = outbound.connect(&origin("http://slow.example", 80), &reach).await.map(|line| line.peer());
    assert!(refused.is_err_and(|refused| refused.to_string().contains("within 20ms")));
}

struct Never;

impl Resolver for Never {
    fn resolve<'a>(&'a self, _: &'a str) -> Wait<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::pending())
    }
}

//! Connecting to a daemon: one request over a Unix socket, a named pipe or TCP. The only place that knows
//! which of them this platform has. Requests of one [`Connector`] share its connections; over a named pipe,
//! where a connection costs next to nothing, each has its own.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to leave a full backlog alone before knocking again.
#[cfg(unix)]
const BACKLOG_PAUSE: Duration = Duration::from_millis(10);

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A Unix socket; on Windows the path of a named pipe.
    Socket(PathBuf),
    /// `HOST:PORT` over TCP.
    Tcp(String),
}

impl Target {
    /// Reads what a person gives as `--socket`: a path, or `http://HOST:PORT`.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("http://") {
            Some(authority) => Self::Tcp(authority.trim_end_matches('/').to_owned()),
            None => Self::Socket(PathBuf::from(text)),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp(authority) => write!(f, "http://{authority}"),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The path is longer than the platform's socket addresses.
    #[error("its path has {} bytes, and the system takes at most {longest}: choose a shorter one", path.as_os_str().len())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// The most bytes it may have.
        longest: usize,
    },
    /// Nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The request, or a part of it, was sent, and then the connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// Sends requests to one target.
#[derive(Debug)]
pub enum Connector {
    /// Over TCP.
    Tcp(Client<HttpConnector, Full<Bytes>>, String),
    /// Over a Unix socket.
    #[cfg(unix)]
    Unix(Client<hyperlocal::UnixConnector, Full<Bytes>>, PathBuf),
    /// Over a named pipe.
    #[cfg(windows)]
    Pipe(PathBuf),
}

impl Connector {
    /// Makes a connector; nothing is connected yet.
    ///
    /// # Errors
    /// [`Unanswered::PathTooLong`] for a socket path that no system call would take.
    pub fn new(target: &Target) -> Result<Self, Unanswered> {
        match target {
            Target::Tcp(authority) => {
                let mut http = HttpConnector::new();
                http.set_connect_timeout(Some(CONNECT_TIMEOUT));
                http.set_nodelay(true);
                Ok(Self::Tcp(Client::builder(TokioExecutor::new()).build(http), authority.clone()))
            }
            Target::Socket(path) => Self::local(path),
        }
    }

    #[cfg(unix)]
    fn local(path: &Path) -> Result<Self, Unanswered> {
        if path.as_os_str().is_empty() {
            return Err(Unanswered::Connect(io::Error::new(io::ErrorKind::InvalidInput, "the socket path is empty")));
        }
        // `sun_path` holds 108 bytes on Linux and 104 elsewhere, its closing zero included.
        let longest = if cfg!(target_os = "linux") { 107 } else { 103 };
        if path.as_os_str().len() > longest {
            return Err(Unanswered::PathTooLong { path: path.to_owned(), longest });
        }
        let client = Client::builder(TokioExecutor::new()).set_host(false).build(hyperlocal::UnixConnector);
        Ok(Self::Unix(client, path.to_owned()))
    }

    #[cfg(windows)]
    fn local(path: &Path) -> Result<Self, Unanswered> {
        Ok(Self::Pipe(path.to_owned()))
    }

    /// Sends one request whose URI has only a path and a query.
    ///
    /// # Errors
    /// [`Unanswered::Connect`] when nothing was sent, [`Unanswered::Broken`] when something may have been.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Unanswered> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        match self {
            Self::Tcp(client, authority) => {
                *request.uri_mut() = format!("http://{authority}{path}")
                    .parse()
                    .map_err(|_| Unanswered::Connect(io::Error::from(io::ErrorKind::InvalidInput)))?;
                client.request(request).await.map_err(unanswered)
            }
            #[cfg(unix)]
            Self::Unix(client, socket) => {
                let host = hyper::header::HeaderValue::from_static("localhost");
                request.headers_mut().insert(hyper::header::HOST, host);
                *request.uri_mut() = hyperlocal::Uri::new(socket, &path).into();
                let started = tokio::time::Instant::now();
                loop {
                    match client.request(request.clone()).await.map_err(unanswered) {
                        // The listener's backlog is full: a Unix socket says so instead of waiting.
                        Err(Unanswered::Connect(error))
                            if error.kind() == io::ErrorKind::WouldBlock && started.elapsed() < CONNECT_TIMEOUT =>
                        {
                            tokio::time::sleep(BACKLOG_PAUSE).await;
                        }
                        answer => return answer,
                    }
                }
            }
            #[cfg(windows)]
            Self::Pipe(name) => {
                let pipe = super::windows::connect(name).await.map_err(Unanswered::Connect)?;
                let io = hyper_util::rt::TokioIo::new(pipe);
                let broken = |error: hyper::Error| Unanswered::Broken(error.to_string());
                let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(broken)?;
                tokio::spawn(connection);
                let host = hyper::header::HeaderValue::from_static("localhost");
                request.headers_mut().insert(hyper::header::HOST, host);
                sender.send_request(request).await.map_err(broken)
            }
        }
    }
}

/// The bytes of a conversation, both ways.
pub type Duplex = Box<dyn DuplexStream>;

/// What can be read and written.
pub trait DuplexStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> DuplexStream for S {}

/// Connects to one target, to say there whatever it understands.
///
/// # Errors
/// [`Unanswered::PathTooLong`] and [`Unanswered::Connect`].
pub async fn open(target: &Target) -> Result<Duplex, Unanswered> {
    match target {
        Target::Tcp(authority) => {
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(authority)).await;
            let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
            Ok(Box::new(stream.map_err(Unanswered::Connect)?))
        }
        #[cfg(unix)]
        Target::Socket(path) => {
            // The rules for paths are there.
            Connector::local(path)?;
            let started = tokio::time::Instant::now();
            loop {
                match tokio::net::UnixStream::connect(path).await {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && started.elapsed() < CONNECT_TIMEOUT => {
                        tokio::time::sleep(BACKLOG_PAUSE).await;
                    }
                    Err(error) => return Err(Unanswered::Connect(error)),
                    Ok(stream) => return Ok(Box::new(stream)),
                }
            }
        }
        #[cfg(windows)]
        Target::Socket(path) => Ok(Box::new(super::windows::connect(path).await.map_err(Unanswered::Connect)?)),
    }
}

fn unanswered(error: hyper_util::client::legacy::Error) -> Unanswered {
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(&error);
    let mut deepest = error.to_string();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>().filter(|_| error.is_connect()) {
            return Unanswered::Connect(io::Error::new(io.kind(), io.to_string()));
        }
        deepest = cause.to_string();
        source = cause.source();
    }
    if error.is_connect() { Unanswered::Connect(io::Error::other(deepest)) } else { Unanswered::Broken(deepest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_or_an_http_address() {
        assert_eq!(Target::parse("/run/x.sock"), Target::Socket("/run/x.sock".into()));
        assert_eq!(Target::parse("http://127.0.0.1:8000/"), Target::Tcp("127.0.0.1:8000".into()));
        assert_eq!(Target::parse("http://127.0.0.1:8000").to_string(), "http://127.0.0.1:8000");
    }

    #[cfg(unix)]
    #[test]
    fn a_path_longer_than_a_socket_address_is_refused_with_its_length() {
        let path = format!("/{}", "x".repeat(200));
        let error = Connector::new(&Target::parse(&path)).expect_err("too long").to_string();
        assert!(error.contains("has 201 bytes") && error.contains("at most 10"), "{error}");
        let error = Connector::new(&Target::parse("")).expect_err("empty").to_string();
        assert_eq!(error, "cannot connect: the socket path is empty");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_request_goes_over_the_socket_with_its_path_and_query() {
        use http_body_util::BodyExt as _;
        use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).expect("bound");
        let daemon = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut stream = BufReader::new(stream);
            let mut first = String::new();
            stream.read_line(&mut first).await.expect("a request");
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.expect("answered");
            first
        });
        let connector = Connector::new(&Target::Socket(path)).expect("a connector");
        let request = Request::get("/v1/x?y=1").body(Full::default()).expect("a request");
        let response = connector.send(request).await.expect("a response");
        assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "hi");
        assert_eq!(daemon.await.expect("served"), "GET /v1/x?y=1 HTTP/1.1\r\n");
    }
}

//! The load generator: so many connections over a Unix socket, each sending its next request when the last
//! one is answered. It is one thread, so that it takes at most one core from what it measures; what it can
//! do at most is seen against the bare echo.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::request::Builder;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::Barrier;

use super::Fault;

/// What is asked again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A tool that writes, with an idempotency key of its own each time.
    CreateTicket,
    /// A tool that reads.
    SearchCustomer,
    /// [`Operation::CreateTicket`] through the native face, which answers with the whole call.
    NativeCreateTicket,
    /// [`Operation::SearchCustomer`] through the native face.
    NativeSearchCustomer,
    /// [`Operation::CreateTicket`] through the MCP door, as a client of 2026-07-28 asks for it.
    McpCreateTicket,
    /// [`Operation::SearchCustomer`] through the MCP door.
    McpSearchCustomer,
    /// A tool of a server behind the daemon, which reads, through the native face.
    NativeUpstream,
}

/// Arguments of the tool that writes.
pub const TICKET: &str =
    r#"{"customer_id":1,"title":"Login broken","description":"since the update of last night","priority":"high"}"#;

/// Arguments of the tool that reads.
const SEARCH: &str = r#"{"query":"nordic"}"#;

/// The call of a server behind the daemon.
const ECHO: &str = r#"{"tool":"bench.echo","arguments":{"message":"nordic"}}"#;

/// Makes every idempotency key of this process another one.
static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

impl Operation {
    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateTicket | Self::NativeCreateTicket | Self::McpCreateTicket => "create_ticket",
            Self::SearchCustomer | Self::NativeSearchCustomer | Self::McpSearchCustomer => "search_customer",
            Self::NativeUpstream => "bench.echo",
        }
    }

    fn request(self) -> Result<Request<Full<Bytes>>, Fault> {
        let request = Request::post(match self {
            Self::CreateTicket => "/tools/create_ticket",
            Self::SearchCustomer => "/tools/search_customer",
            Self::NativeCreateTicket | Self::NativeSearchCustomer | Self::NativeUpstream => "/v1/calls",
            Self::McpCreateTicket | Self::McpSearchCustomer => "/mcp",
        });
        let request = request.header("host", "localhost").header("content-type", "application/json");
        Ok(match self {
            Self::CreateTicket => {
                let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
                let request = request.header("idempotency-key", format!("measure-{key:020}"));
                request.body(Full::new(Bytes::from_static(TICKET.as_bytes())))?
            }
            Self::SearchCustomer => request.body(Full::new(Bytes::from_static(SEARCH.as_bytes())))?,
            Self::NativeCreateTicket => {
                let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
                let body =
                    format!(r#"{{"tool":"create_ticket","arguments":{TICKET},"idempotency_key":"measure-{key:020}"}}"#);
                request.body(Full::new(body.into()))?
            }
            Self::NativeSearchCustomer => {
                request.body(Full::new(format!(r#"{{"tool":"search_customer","arguments":{SEARCH}}}"#).into()))?
            }
            Self::NativeUpstream => request.body(Full::new(Bytes::from_static(ECHO.as_bytes())))?,
            Self::McpCreateTicket => {
                let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
                let key = format!(r#","dev.toolctl/idempotency-key":"measure-{key:020}""#);
                self.message(request, TICKET, &key)?
            }
            Self::McpSearchCustomer => self.message(request, SEARCH, "")?,
        })
    }

    /// `tools/call` with all that a modern client sends.
    fn message(self, request: Builder, arguments: &str, key: &str) -> Result<Request<Full<Bytes>>, Fault> {
        let name = self.name();
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{name}","arguments":{arguments},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}},"io.modelcontextprotocol/clientInfo":{{"name":"measure","version":"1"}}{key}}}}}}}"#
        );
        let request = request
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", name);
        Ok(request.body(Full::new(body.into()))?)
    }
}

/// How an MCP result says that it is none.
const FAILED: &[u8] = br#""isError":true"#;

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Answers.
    pub calls: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of each call, shortest first.
    latencies: Vec<Duration>,
}

impl Sample {
    /// From the latencies of all calls.
    pub fn new(elapsed: Duration, mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        Self { calls: latencies.len() as u64, elapsed, latencies }
    }

    /// Calls a second.
    pub fn rate(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the calls did not exceed, in microseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let place = (self.latencies.len() as f64 * share) as usize;
        let place = place.min(self.latencies.len().saturating_sub(1));
        self.latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// Asks for `span` over so many connections.
///
/// # Errors
/// When an answer is no success: then there is nothing to measure.
pub fn drive(socket: &Path, operation: Operation, connections: usize, span: Duration) -> Result<Sample, Fault> {
    std::thread::scope(|scope| {
        let generator = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(all(socket, operation, connections, span))
        });
        generator.join().map_err(|_| "the load generator stopped")?
    })
}

async fn all(socket: &Path, operation: Operation, connections: usize, span: Duration) -> Result<Sample, Fault> {
    let barrier = Arc::new(Barrier::new(connections + 1));
    let mut tasks = Vec::with_capacity(connections);
    for _ in 0..connections {
        let connection = Connection::open(socket).await?;
        let barrier = Arc::clone(&barrier);
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            one(connection, operation, span).await
        }));
    }
    barrier.wait().await;
    let start = Instant::now();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok(Sample::new(start.elapsed(), latencies))
}

/// One connection, whose requests are answered one after the other.
pub struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(socket: &Path) -> Result<Self, Fault> {
        let stream = UnixStream::connect(socket).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        sender.ready().await?;
        Ok(Self(sender))
    }

    /// Asks once, and waits for the answer.
    ///
    /// # Errors
    /// When the answer is no success.
    pub async fn ask(&mut self, operation: Operation) -> Result<(), Fault> {
        let answer = self.0.send_request(operation.request()?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() || body.windows(FAILED.len()).any(|part| part == FAILED) {
            return Err(format!("`{}` answered {status}: {}", operation.name(), String::from_utf8_lossy(&body)).into());
        }
        Ok(self.0.ready().await?)
    }
}

async fn one(mut connection: Connection, operation: Operation, span: Duration) -> Result<Vec<Duration>, Fault> {
    let end = Instant::now() + span;
    let mut latencies = Vec::with_capacity(1_024);
    let mut now = Instant::now();
    while now < end {
        connection.ask(operation).await?;
        let then = std::mem::replace(&mut now, Instant::now());
        latencies.push(now - then);
    }
    Ok(latencies)
}

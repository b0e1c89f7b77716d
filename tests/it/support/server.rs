//! A server on loopback, outside the daemon, that answers as a test says: rightly, wrongly or not at all.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// How long a request may take to be sent: generous, as test machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request as it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers by their lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

/// What answers a request: it may write what it likes, or nothing.
type Answers = dyn Fn(&Heard, &mut TcpStream) + Send + Sync;

/// A server. Dropped, it takes no more connections.
pub struct Server {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    closed: Arc<AtomicBool>,
}

impl Server {
    /// Starts one. Requests are read in the order of their connections, and each is answered by a thread of its own.
    pub fn start(answers: impl Fn(&Heard, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::hearing(|_| {}, answers)
    }

    /// The same, with something done for each request before the next connection is taken.
    pub fn hearing(
        first: impl Fn(&Heard) + Send + 'static,
        answers: impl Fn(&Heard, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (heard, closed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let server = Self { address, heard: Arc::clone(&heard), closed: Arc::clone(&closed) };
        let answers: Arc<Answers> = Arc::new(answers);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if closed.load(Ordering::Acquire) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                // Who connects and dies has sent nothing.
                let Some(request) = read(&mut stream) else { continue };
                heard.lock().expect("unpoisoned").push(request.clone());
                first(&request);
                let answers = Arc::clone(&answers);
                std::thread::spawn(move || answers(&request, &mut stream));
            }
        });
        server
    }

    /// A server that always answers this status and JSON.
    pub fn saying(status: u16, body: &Value) -> Self {
        let body = body.to_string();
        Self::start(move |_, stream| answer(stream, status, &body))
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens, as `allow` has it.
    pub fn place(&self) -> String {
        self.address.to_string()
    }

    /// Every request so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("unpoisoned").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Its thread waits for a connection.
        let _woken = TcpStream::connect(self.address);
    }
}

/// Writes an answer.
pub fn answer(stream: &mut TcpStream, status: u16, body: &str) {
    raw(stream, format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
}

/// Writes bytes; whoever asked may be gone.
pub fn raw(stream: &mut TcpStream, bytes: &[u8]) {
    let _gone = stream.write_all(bytes);
}

fn read(stream: &mut TcpStream) -> Option<Heard> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let mut some = [0; 4_096];
        let length = stream.read(&mut some).ok().filter(|length| *length > 0)?;
        bytes.extend(&some[..length]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = bytes[end..].to_vec();
    while body.len() < length {
        let mut some = [0; 4_096];
        let more = stream.read(&mut some).ok().filter(|length| *length > 0)?;
        body.extend(&some[..more]);
    }
    Some(Heard { method, target, headers, body: String::from_utf8(body).ok()? })
}

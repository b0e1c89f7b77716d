//! HTTP by hand, over the daemon's socket or TCP: what a test sends is exactly what it says, good or bad.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take: generous, as test machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a daemon listens.
#[derive(Debug, Clone)]
pub enum Door {
    /// Its socket.
    Socket(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
}

/// A connected stream of either kind.
pub enum Stream {
    /// Over the socket.
    Socket(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
}

/// A request about to be sent.
#[derive(Debug, Clone)]
pub struct Exchange {
    door: Door,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers by their lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Door {
    /// Connects; none when nobody listens.
    pub fn connect(&self) -> Option<Stream> {
        Some(match self {
            Self::Socket(path) => {
                let stream = UnixStream::connect(path).ok()?;
                stream.set_read_timeout(Some(PATIENCE)).ok()?;
                Stream::Socket(stream)
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).ok()?;
                stream.set_read_timeout(Some(PATIENCE)).ok()?;
                Stream::Tcp(stream)
            }
        })
    }

    /// What belongs into `Host`.
    pub fn host(&self) -> String {
        match self {
            Self::Socket(_) => "toolctl".to_owned(),
            Self::Tcp(address) => address.to_string(),
        }
    }

    /// A request to this door.
    pub fn http(&self, method: &str, path: &str) -> Exchange {
        Exchange::new(self.clone(), method, path)
    }

    /// Sends bytes as they are and reads one answer; none when the daemon closes without one.
    pub fn speak(&self, bytes: &[u8]) -> Option<Response> {
        let mut stream = self.connect()?;
        // A daemon that refuses early may close before it has read it all.
        let _refused = stream.write_all(bytes);
        Response::read(stream)
    }
}

impl Stream {
    /// Says that nothing more will be sent.
    pub fn finish_writing(&self) {
        let done = match self {
            Self::Socket(stream) => stream.shutdown(std::net::Shutdown::Write),
            Self::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
        };
        done.expect("a half-closed connection");
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Socket(stream) => stream.flush(),
            Self::Tcp(stream) => stream.flush(),
        }
    }
}

impl Exchange {
    /// A request without headers and body.
    pub fn new(door: Door, method: &str, path: &str) -> Self {
        Self { door, method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Presents a key.
    pub fn key(self, key: &str) -> Self {
        self.header("Authorization", &format!("Bearer {key}"))
    }

    /// Adds an idempotency key.
    pub fn once(self, key: &str) -> Self {
        self.header("Idempotency-Key", key)
    }

    /// Adds a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").raw(body.to_string().as_bytes())
    }

    /// Adds a body as it is.
    pub fn raw(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// The request as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let host = self.door.host();
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || self.method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(&self.body);
        bytes
    }

    /// Sends it and gives the connection, to do with as the test likes.
    pub fn begin(&self) -> Stream {
        let mut stream = self.door.connect().expect("a listening daemon");
        stream.write_all(&self.bytes()).expect("a request that is read");
        stream
    }

    /// Sends it on a connection of its own; none when the daemon went away before it answered.
    pub fn try_send(&self) -> Option<Response> {
        self.door.speak(&self.bytes())
    }

    /// Sends it.
    pub fn send(&self) -> Response {
        self.try_send().expect("an answer")
    }

    /// Sends it and gives the status, the headers and the body as it comes; dropping the body hangs up.
    pub fn open(&self) -> (u16, BTreeMap<String, String>, Box<dyn Read>) {
        let mut reader = BufReader::new(self.begin());
        let (status, headers) = head(&mut reader).expect("an answer");
        let body = body(reader, &headers);
        (status, headers, body)
    }

    /// Sends it and gives the lines of the answer as they come.
    pub fn stream(&self) -> impl Iterator<Item = Value> + use<> {
        let mut reader = BufReader::new(self.begin());
        let (status, headers) = head(&mut reader).expect("an answer");
        assert_eq!(status, 200);
        let lines = BufReader::new(body(reader, &headers)).lines();
        lines
            .map(|line| line.expect("a line"))
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}")))
    }
}

impl Response {
    /// Reads an answer to its end.
    pub fn read(stream: impl Read + 'static) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let (status, headers) = head(&mut reader)?;
        let mut bytes = Vec::new();
        body(reader, &headers).read_to_end(&mut bytes).ok()?;
        let whole = headers.get("content-length").is_none_or(|length| length.parse() == Ok(bytes.len()));
        whole.then_some(Self { status, headers, body: bytes })
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The body as JSON lines.
    pub fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.body.clone()).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }

    /// A member of the JSON body as text.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        match self.json().pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => panic!("no `{pointer}` in {}", self.json()),
        }
    }

    /// A header.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no `{name}` in {:?}", self.headers))
    }

    /// Asserts status and problem code at once, and the members every problem has (RFC 9457 and contract 3).
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) -> &Self {
        let body = String::from_utf8_lossy(&self.body);
        let kind = self.headers.get("content-type").map(String::as_str);
        assert_eq!((self.status, kind), (status, Some("application/problem+json")), "{body}");
        assert_eq!(self.text("/code"), code, "{body}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{body}");
        for member in ["type", "title", "detail", "effect", "retryable"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "`{member}` in {body}");
        }
        self
    }

    /// Asserts the status.
    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

fn head(reader: &mut impl BufRead) -> Option<(u16, BTreeMap<String, String>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split_whitespace().nth(1)?.parse().ok()?;
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some((status, headers))
}

fn body(reader: impl BufRead + 'static, headers: &BTreeMap<String, String>) -> Box<dyn Read> {
    if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        return Box::new(Chunked { reader, left: 0, ended: false });
    }
    match headers.get("content-length").and_then(|length| length.parse().ok()) {
        Some(length) => Box::new(reader.take(length)),
        None => Box::new(reader),
    }
}

/// The chunked coding (RFC 9112 section 7.1), read as it comes.
struct Chunked<R> {
    reader: R,
    left: usize,
    ended: bool,
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut line = String::new();
        while self.left == 0 && !self.ended {
            line.clear();
            self.reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16);
            self.left = size.map_err(|_| std::io::Error::other(format!("no chunk size: `{line}`")))?;
            self.ended = self.left == 0;
        }
        if self.ended {
            return Ok(0);
        }
        let most = buffer.len().min(self.left);
        let read = self.reader.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left -= read;
        if self.left == 0 {
            self.reader.read_line(&mut line)?;
        }
        Ok(read)
    }
}

//! Servers at a URL, by Streamable HTTP: each message is a POST over a connection of its own, which leads only where the
//! operator lets it, and its answer is one JSON document or a stream of events. A server of yesterday may have a stream of
//! its own beside them.

mod pushed;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::conversation::{Broken, Conversation, OUTBOX, Outgoing, Shared};
use super::events::Events;
use super::message::{self, Answer};
use crate::api::mcp::Version;
use crate::api::mcp::mirror::encoded;
use crate::domain::tool::upstream::{Given, WebReach};
use crate::tool::outbound::{self, Outbound, send};
use crate::tool::{scrub, secret};

/// How long a server may take to hear that a session is over.
const BYE_WITHIN: Duration = Duration::from_secs(2);
/// How long a server may take to hear that it is initialized.
const INITIALIZED_WITHIN: Duration = Duration::from_secs(10);
/// The longest id of a session, in bytes.
const LONGEST_SESSION: usize = 1_024;
/// The longest text of a refusal that is passed on, in bytes.
const LONGEST_REFUSAL: usize = 64 << 10;
/// The header that names a session.
const SESSION: &str = "mcp-session-id";

/// A server, and what is known of the conversation with it.
struct Web {
    name: String,
    reach: WebReach,
    /// Where `env:` secrets are looked for.
    environment: BTreeMap<String, String>,
    outbound: Arc<Outbound>,
    most: usize,
    shared: Arc<Shared>,
    outbox: mpsc::WeakSender<Outgoing>,
    settled: Mutex<Known>,
}

/// What the first answers settle.
#[derive(Debug, Clone, Default)]
struct Known {
    session: Option<String>,
    /// The revision of `initialize`.
    legacy: Option<String>,
    /// It says when its list changes.
    tells_changes: bool,
}

/// Begins to talk to a server; nothing is sent yet. `most` is the longest message that is taken, in bytes.
pub fn open(
    name: &str,
    reach: &WebReach,
    environment: &BTreeMap<String, String>,
    outbound: Arc<Outbound>,
    most: usize,
) -> Conversation {
    let (outbox, messages) = mpsc::channel(OUTBOX);
    let (carrier, dropped) = oneshot::channel();
    let shared = Arc::new(Shared::default());
    let web = Web {
        name: name.to_owned(),
        reach: reach.clone(),
        environment: environment.clone(),
        outbound,
        most,
        shared: Arc::clone(&shared),
        outbox: outbox.downgrade(),
        settled: Mutex::default(),
    };
    tokio::spawn(Arc::new(web).carry(messages, dropped));
    Conversation::new(outbox, shared, carrier)
}

impl Web {
    /// Posts each message by itself, until nobody talks to the server any more.
    async fn carry(self: Arc<Self>, mut messages: mpsc::Receiver<Outgoing>, mut dropped: oneshot::Receiver<()>) {
        let mut listening = JoinSet::new();
        loop {
            let message = tokio::select! {
                message = messages.recv() => message,
                _ = &mut dropped => None,
            };
            let Some(message) = message else { break };
            let (web, id) = (Arc::clone(&self), message.id);
            if message.method == "notifications/initialized" {
                // Whatever follows is to follow it.
                let _slow = tokio::time::timeout(INITIALIZED_WITHIN, web.post(message)).await;
                if self.known().tells_changes {
                    listening.spawn(async move { web.listen().await });
                }
                continue;
            }
            let posted = tokio::spawn(async move { web.post(message).await });
            if let Some(id) = id {
                self.shared.carried(id, posted.abort_handle());
            }
        }
        drop(listening);
        self.shared.end("the daemon let go of it".to_owned());
        if self.known().session.is_some() {
            // Whether it hears it is its own affair: sessions end by themselves too.
            let _told = tokio::time::timeout(BYE_WITHIN, self.bye()).await;
        }
    }

    async fn post(&self, message: Outgoing) {
        let id = message.id;
        let settled = match self.exchange(&message).await {
            Ok(()) => Err(Broken::Lost("its answer ended before it was one".to_owned())),
            Err(broken) => Err(broken),
        };
        // Whoever was answered does not wait any more.
        if let Some(id) = id {
            self.shared.settle(id, settled);
        }
    }

    /// Sends one message and takes whatever answers it.
    async fn exchange(&self, message: &Outgoing) -> Result<(), Broken> {
        let request = self.request(message).map_err(Broken::NotSent)?;
        let line = self.outbound.connect(&self.reach.origin, &self.reach.reach).await;
        let line = line.map_err(|refused| Broken::NotSent(refused.to_string()))?;
        let answer = send(line, request).await;
        let answer = answer.map_err(|broken| match broken.unsent {
            true => Broken::NotSent(broken.why),
            false => Broken::Lost(broken.why),
        })?;
        if message.method == "initialize"
            && let Some(session) = answer.header(SESSION).filter(|session| session.len() <= LONGEST_SESSION)
        {
            self.settled.lock().unwrap_or_else(PoisonError::into_inner).session = Some(session.to_owned());
        }
        if !answer.status.is_success() {
            return self.refused(message, answer).await;
        }
        let Some(id) = message.id else { return Ok(()) };
        let kind = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
        if kind.starts_with("text/event-stream") {
            return self.events(message, id, answer).await;
        }
        if !kind.starts_with("application/json") {
            return self.unreadable(id, format!("it is neither JSON nor a stream of events (`{kind}`)"));
        }
        match answer.read(self.most).await {
            Ok(body) => {
                self.take(message, &body);
                Ok(())
            }
            Err(outbound::Unread::Cut(why)) => Err(Broken::Lost(why)),
            Err(why) => self.unreadable(id, why.to_string()),
        }
    }

    /// Takes events until the stream ends, or is cut off with whoever waited.
    async fn events(&self, message: &Outgoing, id: u64, mut answer: outbound::Answer) -> Result<(), Broken> {
        let mut events = Events::new(self.most);
        while let Some(frame) = answer.body.frame().await {
            let frame = frame.map_err(|error| Broken::Lost(format!("the stream was cut off: {error}")))?;
            let Ok(bytes) = frame.into_data() else { continue };
            let Ok(found) = events.take(&bytes) else {
                return self.unreadable(id, format!("it has more than {} bytes", self.most));
            };
            for data in found {
                self.take(message, &data);
            }
        }
        Ok(())
    }

    /// A status that is no success: perhaps with an answer in the words of the protocol.
    async fn refused(&self, message: &Outgoing, answer: outbound::Answer) -> Result<(), Broken> {
        let (status, session) = (answer.status, self.known().session);
        let is_json = answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        let body = if is_json { answer.read(LONGEST_REFUSAL).await.unwrap_or_default() } else { Vec::new() };
        let (mut about_it, mut unaddressed) = (None, None);
        for incoming in message::read(&self.clean(&body), LONGEST_REFUSAL) {
            match incoming {
                message::Incoming::Answer(said, fault @ Answer::Fault { .. }) if Some(said) == message.id => {
                    about_it = Some(fault);
                }
                // Who refuses before reading has no id to name.
                message::Incoming::Fault(fault) => unaddressed = Some(fault),
                _ => {}
            }
        }
        // The server has forgotten the session. Only words of the protocol that name no request prove that it has not
        // taken this one: a bare 404 may as well come from behind a tool that ran.
        let is_forgotten = status == StatusCode::NOT_FOUND && session.is_some() && message.method != "initialize";
        if is_forgotten && about_it.is_none() {
            let why = "the server has ended the session".to_owned();
            let broken = if unaddressed.is_some() || message.method != "tools/call" {
                Broken::NotSent(why.clone())
            } else {
                Broken::Lost(why.clone())
            };
            if let Some(id) = message.id {
                self.shared.settle(id, Err(broken.clone()));
            }
            self.shared.end(why);
            return Err(broken);
        }
        let Some(id) = message.id else {
            tracing::debug!(server = self.name, %status, "a notification was refused");
            return Ok(());
        };
        if let Some(fault) = about_it.or(unaddressed) {
            self.shared.settle(id, Ok(fault));
            return Ok(());
        }
        let word = status.canonical_reason().unwrap_or("no reason");
        if status.is_server_error() {
            return Err(Broken::Lost(format!("its server answered {} ({word})", status.as_u16())));
        }
        let message = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!("its server does not let toolctl in ({word}): see `auth` and `headers`")
            }
            _ if status.is_redirection() => {
                format!("its server sends callers elsewhere ({word}), which is not followed")
            }
            _ => format!("its server refuses the request ({word})"),
        };
        self.shared.settle(id, Ok(Answer::Fault { code: i64::from(status.as_u16()), message }));
        Ok(())
    }

    fn unreadable(&self, id: u64, why: String) -> Result<(), Broken> {
        self.shared.settle(id, Ok(Answer::Unreadable(why)));
        Ok(())
    }

    fn take(&self, asked: &Outgoing, body: &[u8]) {
        for incoming in message::read(&self.clean(body), self.most) {
            if asked.method == "initialize"
                && let message::Incoming::Answer(_, Answer::Result(result)) = &incoming
            {
                let version = result.get("protocolVersion").and_then(serde_json::Value::as_str);
                let tells = result.pointer("/capabilities/tools/listChanged").and_then(serde_json::Value::as_bool);
                let mut known = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
                (known.legacy, known.tells_changes) = (version.map(ToOwned::to_owned), tells == Some(true));
            }
            let reply = self.shared.take(&self.name, incoming);
            self.answer(reply);
        }
    }

    fn answer(&self, reply: Option<String>) {
        let Some(reply) = reply else { return };
        // A server that asks faster than it is answered gets no answer.
        let _full_or_over = self.outbox.upgrade().map(|outbox| outbox.try_send(Outgoing::reply(reply)));
    }

    async fn bye(&self) -> Result<(), String> {
        let mut request = self.head("DELETE")?.body(Full::new(Bytes::new())).map_err(|error| error.to_string())?;
        self.session_headers(&mut request)?;
        let line =
            self.outbound.connect(&self.reach.origin, &self.reach.reach).await.map_err(|error| error.to_string())?;
        send(line, request).await.map(drop).map_err(|broken| broken.why)
    }

    fn request(&self, message: &Outgoing) -> Result<Request<Full<Bytes>>, String> {
        let body = Full::new(Bytes::from(message.text.clone()));
        let head = self.head("POST")?.header("content-type", "application/json");
        let head = head.header("accept", "application/json, text/event-stream");
        let mut request = head.body(body).map_err(|error| error.to_string())?;
        self.session_headers(&mut request)?;
        let known = self.known();
        let headers = request.headers_mut();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        // Until `initialize` was answered a server is taken for one of today.
        if known.legacy.is_none() && message.method != "initialize" {
            headers.insert("mcp-protocol-version", value(Version::V2026_07_28.word())?);
            if !message.method.is_empty() {
                headers.insert("mcp-method", value(message.method)?);
            }
            if let Some(about) = &message.about {
                headers.insert("mcp-name", value(&encoded(&about.name))?);
                for (name, mirrored) in &about.mirrored {
                    // A name that no header can have is none that a server could look for.
                    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
                    headers.insert(name, value(mirrored)?);
                }
            }
        }
        Ok(request)
    }

    fn head(&self, method: &str) -> Result<hyper::http::request::Builder, String> {
        let mut head = Request::builder()
            .method(method)
            .uri(&self.reach.path)
            .header("host", self.reach.origin.authority())
            .header("connection", "close")
            .header("accept-encoding", "identity")
            .header("user-agent", concat!("toolctl/", env!("CARGO_PKG_VERSION")));
        for (name, given) in &self.reach.headers {
            let value = match given {
                Given::Text(text) => text.clone(),
                Given::Secret(reference) => secret::read(reference, &self.environment)?,
            };
            head = head.header(name, secretly(&value)?);
        }
        if let Some(bearer) = &self.reach.bearer {
            let token = secret::read(bearer, &self.environment)?;
            head = head.header("authorization", secretly(&format!("Bearer {token}"))?);
        }
        Ok(head)
    }

    /// What came in, without the secrets that were sent: a server may say them back.
    fn clean<'a>(&self, body: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
        let given = self.reach.headers.values().filter_map(|given| match given {
            Given::Secret(reference) => Some(reference),
            Given::Text(_) => None,
        });
        let named = given.chain(&self.reach.bearer);
        let read = |reference: &crate::domain::tool::command::SecretRef| {
            Some((reference.to_string(), secret::read(reference, &self.environment).ok()?))
        };
        let secrets: Vec<(String, String)> = named.filter_map(read).collect();
        if secrets.is_empty() {
            return body.into();
        }
        scrub::Secrets::of(&secrets).scrub(body.to_vec()).into()
    }

    fn session_headers(&self, request: &mut Request<Full<Bytes>>) -> Result<(), String> {
        let Known { session, legacy, tells_changes: _ } = self.known();
        for (name, value) in [(SESSION, session), ("mcp-protocol-version", legacy)] {
            if let Some(value) = value {
                let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
                request.headers_mut().insert(name, value);
            }
        }
        Ok(())
    }

    fn known(&self) -> Known {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A value that no log shows.
fn secretly(value: &str) -> Result<HeaderValue, String> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| "a secret has characters that no header can hold".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_in_no_log() {
        let value = secretly("Bearer s3cr3t").expect("a header");
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert!(secretly("two\nlines").is_err());
    }
}

//! One request on its way through the door: who asks, in which revision, what their client can do, and the way
//! back to them before the answer. The same over HTTP and over lines.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::api::mcp::{Era, Version, meta};
use crate::pipeline::port::Presented;
use crate::server::Shutdown;

/// One request.
#[derive(Clone)]
pub struct Exchange {
    /// The revision it is in.
    pub version: Version,
    /// What the caller showed.
    pub presented: Presented,
    /// The client's name and version, as it says: a label, never authority.
    pub client: Option<String>,
    /// What the client says it can do.
    pub capabilities: Arc<Map<String, Value>>,
    /// `params._meta`.
    pub meta: Arc<Map<String, Value>>,
    /// The `Idempotency-Key` header, over HTTP.
    pub header_key: Option<String>,
    /// The `traceparent` header, over HTTP.
    pub header_trace: Option<String>,
    /// Messages to the client before the answer.
    pub outlet: Outlet,
    /// Given when the client took the request back, or (modern, over HTTP) hung up.
    pub gone: Shutdown,
    /// Whether we notice that the client leaves, where leaving takes its request back.
    pub shows_leaving: bool,
    /// Where answers to our own requests come in; none when this client cannot be asked.
    pub asks: Option<Asking>,
}

/// The way to a client before the answer: whole JSON-RPC messages. When nobody reads it, sending does nothing.
#[derive(Clone)]
pub struct Outlet(Option<mpsc::Sender<Text>>);

/// The reading end of an [`Outlet`].
pub struct Messages(Option<mpsc::Receiver<Text>>);

/// The text of one message. A channel of these has room for 32 in its first block: so it is no larger than it must be.
pub type Text = Box<str>;

impl Outlet {
    /// An outlet and its reading end. A client that reads slowly slows its sender down.
    pub fn new() -> (Self, Messages) {
        const IN_FLIGHT: usize = 16;
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        (Self(Some(sender)), Messages(Some(receiver)))
    }

    /// An outlet for what has nothing to say, and costs nothing. Most calls are answered, and that is all.
    pub const fn none() -> (Self, Messages) {
        (Self(None), Messages(None))
    }

    /// An outlet to an existing writer.
    pub const fn to(writer: mpsc::Sender<Text>) -> Self {
        Self(Some(writer))
    }

    /// Sends one message if there is room for it at once.
    pub fn offer(&self, message: Text) {
        // A client that is gone, or far behind, can do without.
        let _ = self.0.as_ref().map(|writer| writer.try_send(message));
    }

    /// Sends one message; whether somebody still reads.
    pub async fn send(&self, message: Text) -> bool {
        match &self.0 {
            Some(writer) => writer.send(message).await.is_ok(),
            None => false,
        }
    }
}

impl Messages {
    /// The next message; none when there will be no more.
    pub async fn recv(&mut self) -> Option<Text> {
        self.0.as_mut()?.recv().await
    }

    /// The next message, if it is there.
    pub fn try_recv(&mut self) -> Option<Text> {
        self.0.as_mut()?.try_recv().ok()
    }
}

impl Exchange {
    /// The family of its revision.
    pub const fn era(&self) -> Era {
        self.version.era()
    }

    /// What the client declared under this capability.
    pub fn capability(&self, name: &str) -> Option<&Value> {
        self.capabilities.get(name)
    }

    /// Sends a notification on the stream of this request; whether somebody still reads.
    pub async fn notify(&self, method: &str, params: Value) -> bool {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.outlet.send(message.to_string().into_boxed_str()).await
    }

    /// Tells how far it is, if the client wants to know. `progress` grows with each call.
    pub async fn progress(&self, progress: f64, total: Option<f64>, message: &str) {
        let Some(token) = self.meta.get(meta::PROGRESS_TOKEN) else { return };
        let mut params = json!({ "progressToken": token, "progress": progress });
        if let Some(members) = params.as_object_mut() {
            if let Some(total) = total {
                members.insert("total".to_owned(), total.into());
            }
            if self.version > Version::V2024_11_05 {
                members.insert("message".to_owned(), message.into());
            }
        }
        self.notify("notifications/progress", params).await;
    }

    /// Asks the client for something (legacy only: a modern client is asked by a result) and waits for its
    /// answer: the result, or the error. None when it cannot be asked or is gone.
    pub async fn ask(&self, method: &str, params: Value) -> Option<Result<Box<RawValue>, Box<RawValue>>> {
        let asks = self.asks.as_ref().filter(|_| self.era() == Era::Legacy)?;
        let (id, answer) = asks.expect();
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        if !self.outlet.send(message.to_string().into_boxed_str()).await {
            return None;
        }
        let mut asked = Asked { outlet: &self.outlet, id, is_over: false };
        tokio::select! {
            answer = answer => {
                asked.is_over = true;
                answer.ok()
            }
            () = self.gone.begun() => None,
        }
    }
}

/// A question that the client was asked. When nobody waits for its answer any more, the client is told so: its
/// form need not stand there longer.
struct Asked<'a> {
    outlet: &'a Outlet,
    id: String,
    is_over: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let params = json!({ "requestId": self.id, "reason": "the answer is no longer waited for" });
            let message = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
            self.outlet.offer(message.to_string().into_boxed_str());
        }
    }
}

type Answer = Result<Box<RawValue>, Box<RawValue>>;
type Expected = HashMap<(String, String), oneshot::Sender<Answer>>;

/// Our requests to clients that have no answer yet, by conversation. In memory only: a client of a daemon that
/// is gone asks again anyway.
#[derive(Default)]
pub struct Asks {
    expected: Mutex<Expected>,
    next: AtomicU64,
}

impl Asks {
    /// The asks of one conversation, named so that no other has its name.
    pub fn of(self: &Arc<Self>, conversation: &str) -> Asking {
        Asking { asks: Arc::clone(self), conversation: conversation.to_owned() }
    }
}

/// The asks of one conversation.
#[derive(Clone)]
pub struct Asking {
    asks: Arc<Asks>,
    conversation: String,
}

impl Asking {
    fn expect(&self) -> (String, Expecting) {
        let id = format!("toolctl-{}", self.asks.next.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        let key = (self.conversation.clone(), id.clone());
        self.asks.expected.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), sender);
        (id, Expecting { asks: Arc::clone(&self.asks), key, receiver })
    }

    /// Nobody will answer any more: whoever waits is told so.
    pub fn end(&self) {
        let mut expected = self.asks.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.retain(|(conversation, _), _| *conversation != self.conversation);
    }

    /// Hands over the answer to one of our requests, by its id as JSON text; whether it was expected.
    pub fn answered(&self, id: &str, answer: Answer) -> bool {
        let Ok(id) = serde_json::from_str::<String>(id) else { return false };
        let key = (self.conversation.clone(), id);
        let sender = self.asks.expected.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        sender.is_some_and(|sender| sender.send(answer).is_ok())
    }
}

/// An answer to come; nobody expects it any more once this is dropped.
struct Expecting {
    asks: Arc<Asks>,
    key: (String, String),
    receiver: oneshot::Receiver<Answer>,
}

impl Future for Expecting {
    type Output = Result<Answer, oneshot::error::RecvError>;

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.get_mut().receiver).poll(cx)
    }
}

impl Drop for Expecting {
    fn drop(&mut self) {
        self.asks.expected.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

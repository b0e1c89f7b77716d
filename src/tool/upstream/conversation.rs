//! One conversation with one server: requests go out, answers find whoever waits for them, and when the conversation
//! ends everybody who still waits is told so. Whether a request was sent at all is never guessed: it decides what may
//! be sent again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::message::{self, Answer, Incoming};

/// Messages that wait to be written; more wait outside.
pub const OUTBOX: usize = 64;
/// How often what cannot be understood is logged, in one conversation.
const MOST_GARBAGE_LOGGED: u64 = 20;

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// It was not sent: the server knows nothing of it.
    NotSent(String),
    /// It was or may have been sent, and no answer will come.
    Lost(String),
}

impl Broken {
    /// Why.
    pub fn why(&self) -> &str {
        match self {
            Self::NotSent(why) | Self::Lost(why) => why,
        }
    }
}

/// What a request says of itself in headers, where it goes by HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The tool that it is about.
    pub name: String,
    /// Headers that mirror arguments: names and values.
    pub mirrored: Vec<(String, String)>,
}

/// A message on its way to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The request that it is; none for what nobody answers.
    pub id: Option<u64>,
    /// What it asks or tells; empty for an answer.
    pub method: &'static str,
    /// What else stands in its headers, where there are any.
    pub about: Option<About>,
    /// The whole message, without the end of its line.
    pub text: String,
}

impl Outgoing {
    /// The answer to what a server asked.
    pub fn reply(text: String) -> Self {
        Self { id: None, method: "", about: None, text }
    }

    fn notification(method: &'static str, params: &str) -> Self {
        Self { id: None, method, about: None, text: message::notification(method, params) }
    }
}

/// A conversation. Dropped, it ends, and whatever was started for it ends with it.
pub struct Conversation {
    outbox: mpsc::Sender<Outgoing>,
    shared: Arc<Shared>,
    /// Ends what carries the conversation when it is dropped.
    _carrier: oneshot::Sender<()>,
}

/// What the conversation shares with whatever carries it.
#[derive(Default)]
pub struct Shared {
    next: AtomicU64,
    waiting: Mutex<Waiting>,
    ended: watch::Sender<Option<String>>,
    /// The list of tools has changed.
    pub list_changed: Notify,
    garbage: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    answers: HashMap<u64, Waiter>,
    is_over: bool,
}

struct Waiter {
    tell: oneshot::Sender<Result<Answer, Broken>>,
    /// What carries this request alone, if anything does.
    carried: Option<AbortHandle>,
}

impl Conversation {
    /// A conversation that is carried by whoever takes messages from `outbox` and hands what comes back to `shared`; it
    /// ends when `carrier` is dropped.
    pub fn new(outbox: mpsc::Sender<Outgoing>, shared: Arc<Shared>, carrier: oneshot::Sender<()>) -> Self {
        Self { outbox, shared, _carrier: carrier }
    }

    /// Asks and waits for the answer, for ever: the deadline is the caller's. Dropped, nobody waits any more, and an
    /// answer that comes all the same is nobody's.
    ///
    /// # Errors
    /// When no answer can come.
    pub async fn ask(&self, method: &'static str, params: &str) -> Result<Answer, Broken> {
        self.begin(method, None, params).await?.answer().await
    }

    /// Sends a request, with what is said about it in headers.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn begin(&self, method: &'static str, about: Option<About>, params: &str) -> Result<Asked, Broken> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed) + 1;
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = self.shared.waiting();
            if waiting.is_over {
                return Err(Broken::NotSent(self.shared.why()));
            }
            waiting.answers.insert(id, Waiter { tell, carried: None });
        }
        let asked = Asked { shared: Arc::clone(&self.shared), id, told };
        let sent = Outgoing { id: Some(id), method, about, text: message::request(id, method, params) };
        if self.outbox.send(sent).await.is_err() {
            return Err(Broken::NotSent(self.shared.why()));
        }
        Ok(asked)
    }

    /// Tells something, if the server still takes anything.
    pub async fn tell(&self, method: &'static str, params: &str) {
        // A conversation that is over is noticed elsewhere.
        let _over = self.outbox.send(Outgoing::notification(method, params)).await;
    }

    /// Says that nobody waits for the answer to `id` any more. It does not wait for room.
    pub fn cancel(&self, id: u64) {
        let params = format!(r#""requestId":{id},"reason":"its time is up""#);
        let _full_or_over = self.outbox.try_send(Outgoing::notification("notifications/cancelled", &params));
    }

    /// Waits for its end, and says why it ended.
    pub async fn ended(&self) -> String {
        let mut ended = self.shared.ended.subscribe();
        let why = ended.wait_for(Option::is_some).await.map(|why| why.clone().unwrap_or_default());
        why.unwrap_or_default()
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.shared.waiting().is_over
    }

    /// Waits until the server says that its list of tools has changed.
    pub async fn list_changed(&self) {
        self.shared.list_changed.notified().await;
    }
}

/// A request that was sent. Dropped, nobody waits for its answer.
pub struct Asked {
    shared: Arc<Shared>,
    /// Its id.
    pub id: u64,
    told: oneshot::Receiver<Result<Answer, Broken>>,
}

impl Asked {
    /// Waits for the answer.
    ///
    /// # Errors
    /// When the conversation ends before, or the request could not be sent.
    pub async fn answer(mut self) -> Result<Answer, Broken> {
        let told = (&mut self.told).await;
        told.unwrap_or_else(|_| Err(Broken::Lost(self.shared.why())))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let waiter = self.shared.waiting().answers.remove(&self.id);
        if let Some(carried) = waiter.and_then(|waiter| waiter.carried) {
            carried.abort();
        }
    }
}

impl Shared {
    /// Takes what the server wrote; gives what is to be answered.
    pub fn take(&self, name: &str, incoming: Incoming) -> Option<String> {
        match incoming {
            Incoming::Answer(id, answer) => {
                if !self.settle(id, Ok(answer)) {
                    tracing::debug!(server = name, id, "an answer that nobody waits for");
                }
                None
            }
            Incoming::Request { id, method } => Some(message::reply(&id, &method)),
            Incoming::Notification(method) => {
                if method == "notifications/tools/list_changed" {
                    self.list_changed.notify_one();
                }
                None
            }
            Incoming::Fault(_) => None,
            Incoming::Garbage(why) => {
                if self.garbage.fetch_add(1, Ordering::Relaxed) < MOST_GARBAGE_LOGGED {
                    tracing::debug!(server = name, why, "what the server wrote is no message");
                }
                None
            }
        }
    }

    /// Ends the wait for the answer to `id`; says whether anybody waited.
    pub fn settle(&self, id: u64, answer: Result<Answer, Broken>) -> bool {
        let waiter = self.waiting().answers.remove(&id);
        // Whoever waited may be gone by now: then nobody cares.
        waiter.is_some_and(|waiter| waiter.tell.send(answer).is_ok())
    }

    /// Says what carries the request `id` alone: it ends when nobody waits any more.
    pub fn carried(&self, id: u64, carrier: AbortHandle) {
        match self.waiting().answers.get_mut(&id) {
            Some(waiter) => waiter.carried = Some(carrier),
            // Nobody does already.
            None => carrier.abort(),
        }
    }

    /// Ends the conversation for everybody who still waits.
    pub fn end(&self, why: String) {
        // The reason first: whoever wakes asks for it.
        self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            if is_first {
                *ended = Some(why);
            }
            is_first
        });
        let mut waiting = self.waiting();
        waiting.is_over = true;
        for (_, waiter) in waiting.answers.drain() {
            if let Some(carried) = waiter.carried {
                carried.abort();
            }
        }
    }

    fn why(&self) -> String {
        self.ended.borrow().clone().unwrap_or_else(|| "the conversation is over".to_owned())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conversation() -> (Conversation, mpsc::Receiver<Outgoing>, Arc<Shared>) {
        let (outbox, sent) = mpsc::channel(2);
        let (carrier, _) = oneshot::channel();
        let shared = Arc::new(Shared::default());
        (Conversation::new(outbox, Arc::clone(&shared), carrier), sent, shared)
    }

    fn result(id: u64, value: &str) -> Incoming {
        Incoming::Answer(id, Answer::Result(json!(value)))
    }

    #[tokio::test]
    async fn each_answer_finds_its_own_request_once() {
        let (talk, mut sent, shared) = conversation();
        let (one, two) = (talk.begin("a", None, "").await.unwrap(), talk.begin("b", None, "").await.unwrap());
        assert_eq!(sent.recv().await.unwrap().text, r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{}}"#);
        shared.take("s", result(2, "second"));
        shared.take("s", result(2, "again"));
        shared.take("s", result(9, "nobody's"));
        shared.take("s", result(1, "first"));
        assert_eq!(one.answer().await, Ok(Answer::Result(json!("first"))));
        assert_eq!(two.answer().await, Ok(Answer::Result(json!("second"))));
        assert!(shared.waiting().answers.is_empty());
    }

    #[tokio::test]
    async fn the_end_tells_what_was_sent_from_what_was_not() {
        let (talk, sent, shared) = conversation();
        let asked = talk.begin("a", None, "").await.unwrap();
        shared.end("it crashed".to_owned());
        shared.end("a second reason".to_owned());
        assert_eq!(asked.answer().await, Err(Broken::Lost("it crashed".to_owned())));
        assert_eq!(talk.ask("b", "").await, Err(Broken::NotSent("it crashed".to_owned())));
        assert_eq!(talk.ended().await, "it crashed");
        drop(sent);
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_nothing_behind() {
        let (talk, _sent, shared) = conversation();
        drop(talk.begin("a", None, "").await.unwrap());
        assert!(shared.waiting().answers.is_empty());
        assert_eq!(shared.take("s", result(1, "late")), None);
    }

    #[tokio::test]
    async fn what_a_server_asks_is_answered_honestly() {
        let (_talk, _sent, shared) = conversation();
        let asks = |method: &str| {
            let request = Incoming::Request { id: json!("x"), method: method.to_owned() };
            shared.take("s", request).unwrap()
        };
        assert_eq!(asks("ping"), r#"{"jsonrpc":"2.0","id":"x","result":{}}"#);
        for method in ["elicitation/create", "sampling/createMessage", "roots/list"] {
            assert!(asks(method).contains("has declared no such capability"), "{method}");
        }
    }
}

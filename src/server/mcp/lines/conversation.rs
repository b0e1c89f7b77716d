//! One conversation over lines: who speaks, in which era, and what is under way.

mod answering;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::api::mcp::{Fault, HELLO, Version, salvage};
use crate::pipeline::port::Presented;
use crate::server::mcp::exchange::{Asking, Exchange, Outlet, Text};
use crate::server::mcp::message::{self, Message, Request};
use crate::server::mcp::params::Params;
use crate::server::mcp::talk::{Envelope, name_and_version};
use crate::server::{Limits, Shutdown};
use crate::transport::lines::Line;

use super::Lines;
use answering::{Answering, Landing, Turn};

/// Requests of one conversation that run at once; more wait for their turn.
const AT_ONCE: usize = 64;

/// Streams of changes that one conversation may have open at once.
const LISTENS: usize = 16;

/// How long a request may take before it counts among the waiters, as over HTTP.
const PATIENCE: Duration = Duration::from_secs(1);

/// Room for the requests of one conversation that run or wait, in bytes; one that finds none is refused.
const ROOM: usize = 16 << 20;

/// The least that a request counts for, in bytes.
const LEAST: usize = 4 << 10;

/// What is under way, by the id of its request.
type Flights = Arc<Mutex<HashMap<String, Flight>>>;

/// One conversation.
pub struct Conversation {
    lines: Arc<Lines>,
    presented: Presented,
    caller: Caller,
    is_refused: bool,
    legacy: Legacy,
    asking: Asking,
    out: mpsc::Sender<Text>,
    flights: Flights,
    turns: Arc<Semaphore>,
    listens: Arc<Semaphore>,
    room: Arc<Semaphore>,
    /// Given when the client says no more: nothing is left to be told about changes.
    silent: Shutdown,
}

/// Who speaks.
enum Caller {
    /// Nobody has asked yet: a hello may still say so.
    Unasked,
    /// Somebody we know.
    Known,
    /// Nobody we know.
    Refused(Fault),
}

/// What `initialize` settled for messages without metadata of their own.
struct Legacy {
    version: Version,
    client: Option<String>,
    capabilities: Arc<Map<String, Value>>,
    /// Ends the telling of changes that an earlier `initialize` began.
    telling: Shutdown,
}

/// A request under way.
struct Flight {
    gone: Shutdown,
    /// Whether its client wants no answer any more.
    cancelled: Arc<AtomicBool>,
    is_stream: bool,
}

impl Conversation {
    pub fn new(lines: Arc<Lines>, name: &str, presented: Presented, out: mpsc::Sender<Text>) -> Self {
        let asking = lines.mcp.asks.of(name);
        let legacy =
            Legacy { version: Version::UNSAID, client: None, capabilities: Arc::default(), telling: Shutdown::new() };
        Self {
            lines,
            presented,
            caller: Caller::Unasked,
            is_refused: false,
            legacy,
            asking,
            out,
            flights: Arc::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            listens: Arc::new(Semaphore::new(LISTENS)),
            room: Arc::new(Semaphore::new(ROOM)),
            silent: Shutdown::new(),
        }
    }

    /// What this conversation may take.
    pub fn limits(&self) -> Limits {
        self.lines.limits
    }

    /// Whether the other end is a user of this machine, whom our socket let in.
    pub const fn is_local(&self) -> bool {
        self.presented.uid.is_some()
    }

    /// Whether a request was refused because nobody we know speaks.
    pub const fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Whether it is known who speaks.
    pub const fn is_known(&self) -> bool {
        matches!(self.caller, Caller::Known)
    }

    /// Waits until there is nothing more to listen for: nobody takes answers, or the daemon stops.
    pub async fn ended(&self) {
        tokio::select! {
            () = self.out.closed() => {}
            () = self.lines.mcp.shutdown.begun() => {}
        }
    }

    /// The client says no more. Calls go on.
    pub fn end(self) {
        self.silent.begin();
        self.asking.end();
        for flight in self.flights.lock().unwrap_or_else(PoisonError::into_inner).values() {
            if flight.is_stream {
                flight.gone.begin();
            }
        }
    }

    /// Takes one line.
    pub async fn take(&mut self, line: Line) {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong { head, tail } => {
                let most = if self.is_local() || self.is_known() {
                    self.limits().body_bytes
                } else {
                    self.limits().header_bytes
                };
                let fault = Fault::own(413, format!("a line of more than {most} bytes is not read"));
                return self.say(fault.answer(&salvage::id(&head, &tail))).await;
            }
        };
        if message::is_batch(&bytes) {
            return self.batch(&bytes).await;
        }
        match message::read(&bytes) {
            Ok(message) => self.message(message, bytes.len()).await,
            Err(refused) => self.say(refused.fault.answer(&refused.id)).await,
        }
    }

    async fn message(&mut self, message: Message, length: usize) {
        match message {
            Message::Request(request) => match self.begin(request, length).await {
                Some(Begun::Answered(text)) => self.say(text).await,
                Some(Begun::Running(answering)) => {
                    let out = self.out.clone();
                    tokio::spawn(async move {
                        let answered = answering.answer().await;
                        if let Some(text) = answered.text {
                            let _gone = out.send(text.into()).await;
                        }
                    });
                }
                None => {}
            },
            Message::Notification { method, params } => self.notified(&method, params).await,
            Message::Response { id, result } => {
                self.asking.answered(&id, result);
            }
        }
    }

    /// A batch (2025-03-26 and older) is answered by a batch.
    async fn batch(&mut self, bytes: &[u8]) {
        if self.legacy.version > Version::V2025_03_26 {
            let fault = Fault::invalid_request("a batch is not part of this revision");
            return self.say(fault.answer("null")).await;
        }
        let parts = match message::batch(bytes) {
            Ok(parts) => parts,
            Err(refused) => return self.say(refused.fault.answer(&refused.id)).await,
        };
        let (mut answers, mut running) = (Vec::new(), Vec::new());
        for part in parts {
            match message::read(part.get().as_bytes()) {
                Ok(Message::Request(request)) if request.method == "initialize" => {
                    answers.push(Fault::invalid_request("`initialize` cannot be in a batch").answer(&request.id));
                }
                Ok(Message::Request(request)) => match self.begin(request, part.get().len()).await {
                    Some(Begun::Answered(text)) => answers.push(text),
                    Some(Begun::Running(answering)) => running.push(tokio::spawn(answering.answer())),
                    None => {}
                },
                Ok(other) => self.message(other, 0).await,
                Err(refused) => answers.push(refused.fault.answer(&refused.id)),
            }
        }
        let out = self.out.clone();
        tokio::spawn(async move {
            let mut held = Vec::with_capacity(running.len());
            for running in running {
                if let Ok(answered) = running.await {
                    answers.extend(answered.text);
                    held.push(answered.held);
                }
            }
            if !answers.is_empty() {
                let _gone = out.send(format!("[{}]", answers.join(",")).into()).await;
            }
        });
    }

    async fn notified(&mut self, method: &str, params: Params) {
        match method {
            HELLO => self.hello(params).await,
            "notifications/cancelled" => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Cancelled {
                    request_id: Value,
                }
                let Ok(Cancelled { request_id }) = params.read() else { return };
                let flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(flight) = flights.get(&request_id.to_string()) {
                    flight.cancelled.store(true, Ordering::Relaxed);
                    flight.gone.begin();
                }
            }
            _ => {}
        }
    }

    /// Takes the key that is shown. One that cannot be read never falls through to the socket's user.
    async fn hello(&mut self, params: Params) {
        #[derive(Deserialize)]
        struct Hello {
            key: String,
        }
        if !matches!(self.caller, Caller::Unasked) {
            let fault = Fault::invalid_request(format!("`{HELLO}` must be the first message"));
            return self.say(fault.answer("null")).await;
        }
        match params.read() {
            Ok(Hello { key }) => {
                self.presented.key = Some(key);
                self.ask_who();
            }
            Err(_) => self.caller = Caller::Refused(Fault::own(401, format!("the `{HELLO}` message holds no key"))),
        }
        if let Caller::Refused(fault) = &self.caller {
            let text = fault.answer("null");
            self.say(text).await;
        }
    }

    fn ask_who(&mut self) {
        self.caller = match self.lines.mcp.service.recognise(&self.presented) {
            Ok(_) => Caller::Known,
            Err(fault) => Caller::Refused(fault),
        };
    }

    /// Begins to answer a request. None when it needs no more than that.
    async fn begin(&mut self, request: Request, length: usize) -> Option<Begun> {
        if matches!(self.caller, Caller::Unasked) {
            self.ask_who();
        }
        let refuse = |fault: &Fault| Some(Begun::Answered(fault.answer(&request.id)));
        if let Caller::Refused(fault) = &self.caller {
            self.is_refused = true;
            return refuse(fault);
        }
        let envelope = match Envelope::of(&request) {
            Ok(envelope) => envelope,
            Err(fault) => return refuse(&fault),
        };
        if request.method == "ping" && !envelope.is_modern(&request.method, None) {
            // At once, however many calls wait for their turn: it asks whether anybody is there.
            return Some(Begun::Answered(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, request.id)));
        }
        let cost = u32::try_from(length.max(LEAST)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(cost) else {
            return refuse(&Fault::own(503, "too many requests of this conversation are under way"));
        };
        if envelope.is_modern(&request.method, None) {
            let said = match envelope.said() {
                Ok(said) => said,
                Err(fault) => return refuse(&fault),
            };
            let mut exchange = self.exchange(said.version, said.meta);
            (exchange.client, exchange.capabilities) = (said.client, Arc::new(said.capabilities));
            exchange.asks = None;
            return self.fly(request, exchange, room);
        }
        if request.method == "initialize" {
            if let Err(fault) = self.initialize(&request, envelope.meta).await {
                return refuse(&fault);
            }
            return None;
        }
        let exchange = self.exchange(self.legacy.version, envelope.meta);
        self.fly(request, exchange, room)
    }

    /// The exchange of a request in the words of the whole conversation.
    fn exchange(&self, version: Version, meta: Map<String, Value>) -> Exchange {
        Exchange {
            version,
            presented: self.presented.clone(),
            client: self.legacy.client.clone(),
            capabilities: Arc::clone(&self.legacy.capabilities),
            meta: Arc::new(meta),
            header_key: None,
            header_trace: None,
            outlet: Outlet::to(self.out.clone()),
            gone: Shutdown::new(),
            shows_leaving: true,
            asks: Some(self.asking.clone()),
        }
    }

    /// Puts the conversation into legacy mode, answers, and tells what changes from here on.
    async fn initialize(&mut self, request: &Request, meta: Map<String, Value>) -> Result<(), Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Initialize {
            protocol_version: String,
            #[serde(default)]
            capabilities: Map<String, Value>,
            #[serde(default)]
            client_info: Option<Box<RawValue>>,
        }
        let asked: Initialize = request.params.read()?;
        self.legacy.telling.begin();
        self.legacy = Legacy {
            version: Version::negotiate(&asked.protocol_version),
            client: asked.client_info.as_deref().and_then(name_and_version),
            capabilities: Arc::new(asked.capabilities),
            telling: Shutdown::new(),
        };
        let mcp = Arc::clone(&self.lines.mcp);
        // Followed before it is answered: what changes in between is told.
        let changes = mcp.service.follow(&self.presented);
        let mut exchange = self.exchange(self.legacy.version, meta);
        let request = Request { id: request.id.clone(), method: request.method.clone(), params: Params::default() };
        let (_, text) = mcp.respond(request, exchange.clone()).await;
        self.say(text).await;
        exchange.gone = self.legacy.telling.clone();
        let silent = self.silent.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = mcp.tell_changes(changes, &exchange) => {}
                () = silent.begun() => {}
            }
        });
        Ok(())
    }

    /// Enters a request among those under way.
    fn fly(&self, request: Request, exchange: Exchange, room: OwnedSemaphorePermit) -> Option<Begun> {
        let is_stream = request.method == "subscriptions/listen";
        let cancelled = Arc::new(AtomicBool::new(false));
        let flight = Flight { gone: exchange.gone.clone(), cancelled: Arc::clone(&cancelled), is_stream };
        let name = serde_json::from_str::<Value>(&request.id).unwrap_or_default().to_string();
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.contains_key(&name) {
            let fault = Fault::invalid_request("a request with this id is still under way");
            return Some(Begun::Answered(fault.answer(&request.id)));
        }
        let turn = if is_stream {
            match self.listen() {
                Ok(turn) => turn,
                Err(fault) => return Some(Begun::Answered(fault.answer(&request.id))),
            }
        } else {
            Turn::Awaited(Arc::clone(&self.turns))
        };
        flights.insert(name.clone(), flight);
        drop(flights);
        Some(Begun::Running(Box::new(Answering {
            request,
            exchange,
            lines: Arc::clone(&self.lines),
            turn,
            cancelled,
            landing: Landing { flights: Arc::clone(&self.flights), name },
            room,
        })))
    }

    /// The places of one more stream of changes.
    ///
    /// # Errors
    /// 503 when this conversation has enough of them, or the daemon has.
    fn listen(&self) -> Result<Turn, Fault> {
        let of_conversation = Arc::clone(&self.listens).try_acquire_owned().map_err(|_| {
            Fault::own(503, format!("this conversation listens {LISTENS} times already: end one of them first"))
        })?;
        let of_daemon = Arc::clone(&self.lines.waiters)
            .try_acquire_owned()
            .map_err(|_| Fault::own(503, "too many streams are open already: try again later"))?;
        Ok(Turn::Given { of_conversation, of_daemon })
    }

    /// Says one message; nobody may be there to hear it.
    async fn say(&self, text: String) {
        let _gone = self.out.send(text.into()).await;
    }
}

/// What becomes of a request.
enum Begun {
    /// It is answered at once.
    Answered(String),
    /// It runs.
    Running(Box<Answering>),
}

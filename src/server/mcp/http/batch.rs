//! Batches: several messages in one array, which only 2025-03-26 knows. Their requests run at the same time,
//! and their answers stand in one array, in the order of the requests.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::api::mcp::{Fault, Version};
use crate::pipeline::port::Wait;
use crate::server::respond::Reply;

use super::super::exchange::Outlet;
use super::super::message::{self, Message, Refused, Request};
use super::super::talk::Envelope;
use super::headers::Accepts;
use super::legacy::{Ground, is_modern};
use super::stream::{Finished, Work};
use super::{Arrival, Endpoint, Open, heard, refusal, unaddressed};

/// The answers to a batch, in the making.
pub(super) type All = Wait<'static, Finished>;

/// Messages in one batch; each request of it runs on its own.
const MOST: usize = 100;

impl Endpoint {
    /// Begins the answers to a batch, where its revision has them.
    ///
    /// # Errors
    /// What it is answered with at once.
    pub(super) fn batch(&self, arrival: Arrival) -> Result<Open<All>, Reply> {
        let taken = self.taken(&arrival);
        let (ground, messages) = taken.map_err(|refused| refusal(&refused.id, &refused.fault))?;
        let accepts = Accepts::of(&arrival.headers);
        let mut answers = Vec::new();
        for text in messages {
            match message::read(text.get().as_bytes()) {
                Ok(Message::Request(request)) => answers.push(self.begin(request, &ground, &arrival)),
                Ok(Message::Notification { method, params }) => {
                    self.notified(&arrival, &method, &params).map_err(|fault| unaddressed(&fault))?;
                }
                Ok(Message::Response { id, result }) => {
                    self.answered(&arrival, &id, result).map_err(|fault| unaddressed(&fault))?;
                }
                Err(refused) => answers.push(Begun::Answer(refused.fault.answer(&refused.id))),
            }
        }
        if answers.is_empty() {
            return Err(heard(Ok(())));
        }
        let all: All = Box::pin(async move {
            let mut texts = Vec::with_capacity(answers.len());
            for answer in answers {
                texts.push(answer.end().await);
            }
            (200, format!("[{}]", texts.join(",")))
        });
        let (_, messages) = Outlet::none();
        Ok(Open { work: Work::new(all, arrival.slot, None), messages, accepts, session: None })
    }

    /// The messages of a batch, and what they stand on.
    fn taken(&self, arrival: &Arrival) -> Result<(Ground, Vec<Box<RawValue>>), Refused> {
        let refuse = |why: &str| Err(Refused::nobody(Fault::invalid_request(why)));
        if is_modern(&arrival.headers).map_err(Refused::nobody)? {
            return refuse("a batch: send one message a request");
        }
        let ground = self.ground(&arrival.headers, &arrival.presented).map_err(Refused::nobody)?;
        if ground.version != Version::V2025_03_26 {
            return refuse("a batch: only 2025-03-26 has them; send one message a request");
        }
        let messages = message::batch(&arrival.body)?;
        if messages.len() > MOST {
            return refuse(&format!("{} messages in one batch; at most {MOST} are taken", messages.len()));
        }
        Ok((ground, messages))
    }

    /// Begins one request of a batch.
    fn begin(&self, request: Request, ground: &Ground, arrival: &Arrival) -> Begun {
        let refuse = |fault: Fault| Begun::Answer(fault.answer(&request.id));
        if request.method == "initialize" {
            return refuse(Fault::invalid_request("`initialize` stands alone, not in a batch"));
        }
        let envelope = match Envelope::of(&request) {
            Ok(envelope) if !envelope.is_modern(&request.method, None) => envelope,
            Ok(_) => return refuse(Fault::invalid_request("a modern request in a batch: send one message a request")),
            Err(fault) => return refuse(fault),
        };
        // What could be sent before an answer has no place among the answers.
        let (outlet, _) = Outlet::none();
        let ground = Ground { version: ground.version, session: ground.session.clone() };
        let (exchange, running) = match self.exchange(ground, arrival, &request.id, envelope, outlet, Accepts::DOCUMENT)
        {
            Ok(exchange) => exchange,
            Err(fault) => return refuse(fault),
        };
        let (mcp, id) = (Arc::clone(&self.mcp), request.id.clone());
        let running = tokio::spawn(async move {
            let (_, message) = mcp.respond(request, exchange).await;
            drop(running);
            message
        });
        Begun::Running(id, running)
    }
}

/// A request of a batch.
enum Begun {
    /// It was answered at once.
    Answer(String),
    /// It runs.
    Running(String, tokio::task::JoinHandle<String>),
}

impl Begun {
    async fn end(self) -> String {
        match self {
            Self::Answer(text) => text,
            Self::Running(id, task) => match task.await {
                Ok(text) => text,
                Err(error) => {
                    tracing::warn!("a request of a batch: {error}");
                    Fault::own(500, "something went wrong while answering").answer(&id)
                }
            },
        }
    }
}

//! What a caller is told while its call waits for people. One durable record stands behind it; the ladder only
//! chooses how this client hears of it, from the best that it can do down to what every client can:
//!
//! 1. A rule takes the caller's consent and the client can show a form: it is asked (`consent`).
//! 2. The client knows tasks: it gets one, and polls (`tasks`, `legacy_tasks`).
//! 3. The client knows `input_required` and forms: it is sent away and comes back a few times, each short.
//! 4. Every other client is held for a moment, if we would notice that it leaves.
//!
//! Then, or when nobody was there to ask, the result says that nothing has run yet and how to go on.

use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, interval_at};

use crate::api::mcp::{Era, Fault, Version};
use crate::domain::call::{Call, CallState};
use crate::domain::denial::{Code, Denial};
use crate::domain::digest::Digest;
use crate::pipeline::submission::Reply;
use crate::server::mcp::exchange::Exchange;
use crate::server::mcp::service::{Body, ResultType};

use super::consent::{self, Said};
use super::result::{self, Reader};
use super::state::{State, Step};
use super::{Governed, call, hold, legacy_tasks, tasks};

/// Into how many legs the wait of a client that comes back is cut. Clients give up after ten rounds.
const LEGS: u8 = 5;
/// How often somebody may type something else than the digest before the client is told to wait.
const TRIES: u8 = 2;

/// What a request says about the exchange it is part of.
pub(super) struct Turn<'a> {
    /// The tool, as sent.
    pub tool: &'a str,
    /// Its arguments, as sent.
    pub arguments: Option<&'a RawValue>,
    /// `requestState`: what we gave the client to bring back.
    pub state: Option<&'a Value>,
    /// `inputResponses`.
    pub responses: Option<&'a Map<String, Value>>,
    /// `task` of 2025-11-25: the client wants a task.
    pub task: bool,
    /// Its key came from our own bridge: an earlier request with that key was this one, sent before.
    pub resent: bool,
}

impl Turn<'_> {
    /// Digest of the request. Taken only when an exchange goes on, as most do not.
    fn request(&self) -> Digest {
        State::about(self.tool, &call::arguments(self.arguments).unwrap_or_default())
    }
}

/// A call that goes on, for the request that waits for it.
struct Waiting {
    call: Call,
    /// This request opened it, as an earlier part of the same exchange: with the request the call is taken back.
    opened: bool,
    /// It was opened by an earlier request with the same key.
    replayed: bool,
    audit: Option<u64>,
}

impl Waiting {
    fn reply(self) -> Reply {
        let Self { call, replayed, audit, .. } = self;
        if call.is_closed() {
            Reply::Done { call, replayed, audit }
        } else {
            Reply::Pending { call, attached: replayed, audit }
        }
    }
}

/// What the client is told.
enum Rung {
    /// How the call stands: a result like any other.
    Reply(Box<Reply>),
    /// Something else.
    Body(Body),
}

impl Rung {
    fn reply(reply: Reply) -> Self {
        Self::Reply(Box::new(reply))
    }
}

impl Governed {
    /// The result of a submission; of a call that goes on, what this client can make the most of.
    pub(super) async fn climb(
        &self,
        turn: &Turn<'_>,
        exchange: &Exchange,
        reply: Box<Reply>,
        reader: Reader,
    ) -> Result<Body, Fault> {
        let rung = match &*reply {
            Reply::Pending { call, attached, audit } if goes_on(call) => {
                let opened = !attached || (turn.resent && self.is_own(exchange, call));
                let waiting = Waiting { call: call.clone(), opened, replayed: *attached, audit: *audit };
                Box::pin(self.stand_by(turn, exchange, waiting)).await
            }
            _ => Ok(Rung::Reply(reply)),
        };
        match rung {
            Ok(Rung::Reply(reply)) if turn.task => Ok(legacy_tasks::created(self, &reply)),
            Ok(Rung::Reply(reply)) => Ok(result::reply(&reply, reader)),
            Ok(Rung::Body(body)) => Ok(body),
            Err(no) if turn.task => Err(legacy_tasks::refused(&no, reader)),
            Err(no) => result::refused(&no, reader),
        }
    }

    fn is_own(&self, exchange: &Exchange, call: &Call) -> bool {
        self.pipeline.recognised(&exchange.presented).is_ok_and(|who| who.id == call.principal)
    }

    /// Goes on with an exchange: the call is the one of its first request, and nothing is submitted again.
    ///
    /// # Errors
    /// -32602 for a state that is not this caller's for this request.
    pub(super) async fn resume(
        &self,
        turn: &Turn<'_>,
        state: &Value,
        exchange: &Exchange,
        reader: Reader,
    ) -> Result<Body, Fault> {
        let text = state.as_str().ok_or_else(|| Fault::invalid_params("`requestState` is not a string"))?;
        let who = match self.pipeline.recognised(&exchange.presented) {
            Ok(who) => who,
            Err(no) => return result::refused(&no, reader),
        };
        let state = State::open(&self.seal, text, &who.id, turn.request(), self.pipeline.now())?;
        match self.go_on(turn, state, exchange).await {
            Ok(Rung::Reply(reply)) => Ok(result::reply(&reply, reader)),
            Ok(Rung::Body(body)) => Ok(body),
            Err(no) => result::refused(&no, reader),
        }
    }

    async fn go_on(&self, turn: &Turn<'_>, state: State, exchange: &Exchange) -> Result<Rung, Denial> {
        let presented = exchange.presented.clone();
        let reply = self.pipeline.show(presented, state.call, Duration::ZERO).await.result?;
        let Reply::Pending { call, audit, .. } = reply else { return Ok(Rung::reply(reply)) };
        let waiting = Waiting { call, opened: state.opened, replayed: false, audit };
        match state.step {
            _ if !goes_on(&waiting.call) => Ok(Rung::reply(waiting.reply())),
            Step::Held(legs) => self.leg(turn, exchange, waiting, legs.saturating_add(1)).await,
            Step::Asked(times) => match Said::of(turn.responses.and_then(|said| said.get(consent::QUESTION))) {
                Said::Typed(typed) => match self.typed(exchange, waiting, &typed).await? {
                    Ok(reply) => Ok(Rung::reply(reply)),
                    Err(wrong) if times < TRIES && consent::is_wanted(&wrong.call) => {
                        Ok(Rung::Body(self.form(turn, exchange, &wrong, times + 1)))
                    }
                    Err(wrong) => Ok(Rung::reply(wrong.reply())),
                },
                Said::Declined => self.take_back(exchange, waiting).await.map(Rung::reply),
                Said::Nobody => Ok(Rung::reply(waiting.reply())),
            },
        }
    }

    async fn stand_by(&self, turn: &Turn<'_>, exchange: &Exchange, waiting: Waiting) -> Result<Rung, Denial> {
        let modern = exchange.era() == Era::Modern;
        if consent::is_wanted(&waiting.call) && consent::can_ask(exchange) {
            return if modern {
                Ok(Rung::Body(self.form(turn, exchange, &waiting, 1)))
            } else {
                self.ask(exchange, waiting).await.map(Rung::reply)
            };
        }
        if turn.task {
            return Ok(Rung::reply(waiting.reply()));
        }
        if tasks::are_known(exchange) {
            return Ok(Rung::Body(tasks::created(self, &waiting.call, waiting.audit)));
        }
        if modern && exchange.shows_leaving && exchange.capability("elicitation").is_some() {
            return self.leg(turn, exchange, waiting, 1).await;
        }
        self.held(exchange, waiting, self.patience).await.map(Rung::reply)
    }

    /// One short wait of a client that comes back, the `nth`.
    async fn leg(&self, turn: &Turn<'_>, exchange: &Exchange, waiting: Waiting, nth: u8) -> Result<Rung, Denial> {
        let opened = waiting.opened;
        let reply = self.held(exchange, waiting, self.patience / u32::from(LEGS)).await?;
        match &reply {
            Reply::Pending { call, .. } if nth < LEGS && goes_on(call) => {
                Ok(Rung::Body(self.come_again(turn, call, opened, Step::Held(nth), None)))
            }
            _ => Ok(Rung::reply(reply)),
        }
    }

    /// Asks a modern client, by a result, to let somebody type the digest.
    fn form(&self, turn: &Turn<'_>, exchange: &Exchange, waiting: &Waiting, times: u8) -> Body {
        let question = json!({
            "method": "elicitation/create",
            "params": consent::question(&waiting.call, exchange.version, times > 1),
        });
        let ask = json!({ (consent::QUESTION): question });
        self.come_again(turn, &waiting.call, waiting.opened, Step::Asked(times), Some(ask))
    }

    fn come_again(&self, turn: &Turn<'_>, call: &Call, opened: bool, step: Step, ask: Option<Value>) -> Body {
        let state = State { call: call.id, caller: call.principal.clone(), request: turn.request(), step, opened };
        let mut members = json!({ "requestState": state.close(&self.seal, self.pipeline.now()) });
        if let (Some(ask), Some(members)) = (ask, members.as_object_mut()) {
            members.insert("inputRequests".to_owned(), ask);
        }
        result::about(Body::of(&members).kind(ResultType::InputRequired), call, None)
    }

    /// Asks a legacy client, on the stream of its own request. What people decide meanwhile counts as ever.
    async fn ask(&self, exchange: &Exchange, mut waiting: Waiting) -> Result<Reply, Denial> {
        for times in 1..=TRIES {
            let question = consent::question(&waiting.call, exchange.version, times > 1);
            let said = tokio::select! {
                answer = exchange.ask("elicitation/create", question) => Said::answered(answer),
                () = self.keep_company(exchange, &waiting.call) => Said::Nobody,
                ended = self.pipeline.await_end(waiting.call.clone(), self.asking) => {
                    // Where it cannot be waited for, it stands as it stood.
                    waiting.call = ended.unwrap_or(waiting.call);
                    return Ok(waiting.reply());
                }
            };
            match said {
                Said::Typed(typed) => match self.typed(exchange, waiting, &typed).await? {
                    Ok(reply) => return Ok(reply),
                    Err(wrong) => waiting = wrong,
                },
                Said::Declined => return self.take_back(exchange, waiting).await,
                Said::Nobody if exchange.gone.has_begun() && waiting.opened => {
                    return self.take_back(exchange, waiting).await;
                }
                Said::Nobody => break,
            }
            if !consent::is_wanted(&waiting.call) {
                break;
            }
        }
        Ok(waiting.reply())
    }

    /// Tells the client that its request goes on, for as long as a form stands there.
    async fn keep_company(&self, exchange: &Exchange, call: &Call) {
        let begun = Instant::now();
        let mut tell = interval_at(begun + hold::TELL, hold::TELL);
        while begun.elapsed() < self.asking {
            tell.tick().await;
            let passed = begun.elapsed().as_secs_f64().floor();
            exchange.progress(passed, Some(self.asking.as_secs_f64()), &format!("asking about {}", call.id)).await;
        }
    }

    /// Counts what somebody typed; gives the call back, unchanged, when it was not its digest.
    async fn typed(
        &self,
        exchange: &Exchange,
        waiting: Waiting,
        typed: &str,
    ) -> Result<Result<Reply, Waiting>, Denial> {
        let (id, presented) = (waiting.call.id, || exchange.presented.clone());
        match self.pipeline.consent(presented(), id, typed, Duration::ZERO).await.result {
            Ok(reply) => self.held(exchange, waiting.now(reply), self.patience).await.map(Ok),
            Err(no) => match self.pipeline.show(presented(), id, Duration::ZERO).await.result {
                // It ended otherwise meanwhile: that is the answer.
                Ok(reply @ Reply::Done { .. }) => Ok(Ok(reply)),
                Ok(reply) if no.code == Code::ApprovalStale => Ok(Err(waiting.now(reply))),
                Ok(_) | Err(_) => Err(no),
            },
        }
    }

    /// Waits up to `wait` for the end; not for people when nobody would notice that the client has left, for it
    /// could not take its call back by that. When the client takes its request back and this request opened the call,
    /// the call goes with it, if it has not started.
    async fn held(&self, exchange: &Exchange, waiting: Waiting, wait: Duration) -> Result<Reply, Denial> {
        if !goes_on(&waiting.call) {
            return Ok(waiting.reply());
        }
        let for_people = matches!(waiting.call.state, CallState::AwaitingApproval);
        let wait = if for_people && !exchange.shows_leaving { Duration::ZERO } else { wait };
        let waiting = match self.hold(exchange, waiting.call.id, wait).await.result {
            Ok(reply) => waiting.now(reply),
            Err(no) if no.code == Code::Unauthenticated => return Err(no),
            // It could not be waited for: it stands as it stood.
            Err(_) => waiting,
        };
        if waiting.opened && exchange.gone.has_begun() && goes_on(&waiting.call) {
            return self.take_back(exchange, waiting).await;
        }
        Ok(waiting.reply())
    }

    /// Takes the call back for its requester; one that started meanwhile goes on.
    async fn take_back(&self, exchange: &Exchange, waiting: Waiting) -> Result<Reply, Denial> {
        let (id, presented) = (waiting.call.id, || exchange.presented.clone());
        match self.pipeline.cancel(presented(), id).await.result {
            Ok(reply) => Ok(waiting.now(reply).reply()),
            Err(no) if no.code == Code::ApprovalAlreadyDecided => {
                let reply = self.pipeline.show(presented(), id, Duration::ZERO).await.result?;
                Ok(waiting.now(reply).reply())
            }
            Err(no) => Err(no),
        }
    }
}

impl Waiting {
    /// The same, as the call now stands.
    fn now(self, reply: Reply) -> Self {
        match reply {
            Reply::Done { call, audit, .. } | Reply::Pending { call, audit, .. } => {
                Self { call, audit: audit.or(self.audit), ..self }
            }
            Reply::DryRun { .. } => self,
        }
    }
}

/// Whether waiting for this call can end.
pub(super) const fn goes_on(call: &Call) -> bool {
    matches!(call.state, CallState::AwaitingApproval | CallState::Ready | CallState::Running { .. })
}

/// Whether a legacy request asks for a task, in the one revision that has such requests.
pub(super) fn wants_task(exchange: &Exchange, task: Option<&Value>) -> bool {
    exchange.version == Version::V2025_11_25 && task.is_some_and(Value::is_object)
}

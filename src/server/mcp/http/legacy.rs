//! The legacy era over HTTP: `initialize` and its sessions, requests with and without one, what clients tell
//! and answer, the stream of changes (GET) and the end of a session (DELETE).

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::api::mcp::{Era, Fault, Version};
use crate::pipeline::port::Presented;
use crate::server::Shutdown;
use crate::server::respond::{self, Reply};
use crate::server::visit::overloaded;

use super::super::exchange::{Exchange, Outlet};
use super::super::message::{Refused, Request};
use super::super::params::Params;
use super::super::session::{Opening, Session};
use super::super::talk::{Envelope, name_and_version};
use super::headers::{self, Accepts};
use super::stream::{self, Work};
use super::{Answer, Arrival, Endpoint, Open, RunningRequest, empty, legacy_version, not_allowed, unaddressed};

/// What a legacy request stands on.
pub(super) struct Ground {
    /// The revision it is in.
    pub(super) version: Version,
    /// Its session, when it has one.
    pub(super) session: Option<Arc<Session>>,
}

impl Endpoint {
    /// Begins the answer to a legacy request.
    pub(super) fn legacy(
        &self,
        request: Request,
        envelope: Envelope,
        arrival: Arrival,
    ) -> Result<Open<Answer>, Refused> {
        let accepts = Accepts::of(&arrival.headers);
        let begun = if request.method == "initialize" {
            self.initialize(&request, &arrival).map(|(ground, session)| (ground, Some(session), Accepts::DOCUMENT))
        } else {
            self.ground(&arrival.headers, &arrival.presented).map(|ground| (ground, None, accepts))
        };
        let (outlet, messages) = Outlet::new();
        let begun = begun.and_then(|(ground, session, accepts)| {
            let (exchange, running) = self.exchange(ground, &arrival, &request.id, envelope, outlet, accepts)?;
            Ok((exchange, running, session, accepts))
        });
        match begun {
            Ok((exchange, running, session, accepts)) => {
                let responding = self.mcp.respond(request, exchange);
                let answer = Answer { responding, era: Era::Legacy, _running: running };
                // A client that hangs up has not taken its request back: in this era it says so.
                Ok(Open { work: Work::new(answer, arrival.slot, None), messages, accepts, session })
            }
            Err(fault) => Err(Refused { id: request.id, fault }),
        }
    }

    /// One exchange of a legacy client; with a session it can be taken back, and its client asked.
    pub(super) fn exchange(
        &self,
        ground: Ground,
        arrival: &Arrival,
        id: &str,
        envelope: Envelope,
        outlet: Outlet,
        accepts: Accepts,
    ) -> Result<(Exchange, Option<RunningRequest>), Fault> {
        let gone = Shutdown::new();
        let Ground { version, session } = ground;
        let asks = session.as_ref().filter(|_| accepts.stream).map(|session| self.mcp.asks.of(&session.nonce));
        let running = session.as_ref().map(|session| self.running.begin(&session.nonce, id, gone.clone()));
        let (client, capabilities) =
            session.map(|session| (session.client.clone(), session.capabilities.clone())).unwrap_or_default();
        let exchange = Exchange {
            version,
            presented: arrival.presented.clone(),
            client,
            capabilities: Arc::new(capabilities),
            meta: Arc::new(envelope.meta),
            header_key: headers::owned(&arrival.headers, &headers::KEY)?,
            header_trace: headers::owned(&arrival.headers, &headers::TRACE).unwrap_or_default(),
            outlet,
            gone,
            shows_leaving: true,
            asks,
        };
        Ok((exchange, running))
    }

    /// Begins a session: what its first request stands on, and its name.
    fn initialize(&self, request: &Request, arrival: &Arrival) -> Result<(Ground, HeaderValue), Fault> {
        let (version, opening) = opening(request)?;
        let caller = self.mcp.service.recognise(&arrival.presented)?;
        let id = self.sessions.begin(version, &opening, caller);
        let id = HeaderValue::from_str(&id).map_err(|_| Fault::own(500, "the session cannot be named"))?;
        Ok((Ground { version, session: None }, id))
    }

    /// The revision and the session of a legacy request. Without a session it stands for itself, in the
    /// revision of its header.
    ///
    /// # Errors
    /// 400 for a revision we do not speak; 404 for a session that is not, or no longer, this caller's.
    pub(super) fn ground(&self, headers: &HeaderMap, presented: &Presented) -> Result<Ground, Fault> {
        let said = legacy_version(headers)?;
        let Some(id) = headers::text(headers, &headers::SESSION)? else {
            return Ok(Ground { version: said.unwrap_or(Version::UNSAID), session: None });
        };
        let caller = self.mcp.service.recognise(presented)?;
        let found = self.sessions.find(id, &caller);
        let (session, version) = found.ok_or_else(no_session)?;
        Ok(Ground { version, session: Some(session) })
    }

    /// Takes note of what a client tells: that it takes a request back. Everything else needs nothing done. Over
    /// HTTP modern clients tell nothing, and are not refused for it.
    ///
    /// # Errors
    /// As [`Endpoint::ground`].
    pub(super) fn notified(&self, arrival: &Arrival, method: &str, params: &Params) -> Result<(), Fault> {
        #[derive(Deserialize)]
        struct Cancelled {
            #[serde(rename = "requestId")]
            request: Box<RawValue>,
        }
        if is_modern(&arrival.headers)? {
            return Ok(());
        }
        let Ground { session, .. } = self.ground(&arrival.headers, &arrival.presented)?;
        if let ("notifications/cancelled", Some(session)) = (method, session)
            && let Ok(Cancelled { request }) = params.read()
        {
            self.running.take_back(&session.nonce, request.get());
        }
        Ok(())
    }

    /// Hands over an answer to one of our own requests. One that nobody waits for any more is taken all the same.
    ///
    /// # Errors
    /// As [`Endpoint::ground`]; 400 for a client that was never asked anything.
    pub(super) fn answered(
        &self,
        arrival: &Arrival,
        id: &str,
        answer: Result<Box<RawValue>, Box<RawValue>>,
    ) -> Result<(), Fault> {
        let never = || Fault::invalid_request("an answer, but nothing was asked outside a session");
        if is_modern(&arrival.headers)? {
            return Err(never());
        }
        let Ground { session, .. } = self.ground(&arrival.headers, &arrival.presented)?;
        let session = session.ok_or_else(never)?;
        self.mcp.asks.of(&session.nonce).answered(id, answer);
        Ok(())
    }

    /// Opens the stream of changes of a session, the newest in place of an older one.
    pub fn get(&self, arrival: Arrival) -> Reply {
        let (session, version) = match self.session_of(&arrival) {
            Ok(Some(found)) if Accepts::of(&arrival.headers).stream_at_need => found,
            Ok(Some(_)) => return not_allowed("POST", "GET is an event stream: `Accept` must list text/event-stream"),
            Ok(None) => return without_session(&arrival.headers),
            Err(fault) => return unaddressed(&fault),
        };
        let Ok(place) = Arc::clone(&self.waiters).try_acquire_owned() else {
            return respond::problem(&overloaded("too many streams are open already"));
        };
        let (outlet, messages) = Outlet::new();
        let gone = Shutdown::new();
        let held = self.sessions.stream(&session, gone.clone());
        let changes = self.mcp.service.follow(&arrival.presented);
        let exchange = Exchange {
            version,
            presented: arrival.presented,
            client: session.client.clone(),
            capabilities: Arc::new(session.capabilities.clone()),
            meta: Arc::default(),
            header_key: None,
            header_trace: None,
            outlet,
            gone: gone.clone(),
            shows_leaving: true,
            asks: None,
        };
        let mcp = Arc::clone(&self.mcp);
        let told = Box::pin(async move {
            mcp.tell_changes(changes, &exchange).await;
            drop(held);
            (200, String::new())
        });
        stream::stream(Work::new(told, place, Some(gone)), messages, self.limits.heartbeat)
    }

    /// Ends a session.
    pub fn delete(&self, arrival: &Arrival) -> Reply {
        match self.session_of(arrival) {
            Ok(Some((session, _))) => {
                self.mcp.asks.of(&session.nonce).end();
                self.sessions.end(&session);
                empty(StatusCode::NO_CONTENT)
            }
            Ok(None) => without_session(&arrival.headers),
            Err(fault) => unaddressed(&fault),
        }
    }

    /// The session that a request without a body is about; none when it is about none, or of a modern client.
    fn session_of(&self, arrival: &Arrival) -> Result<Option<(Arc<Session>, Version)>, Fault> {
        if is_modern(&arrival.headers)? {
            return Ok(None);
        }
        let Ground { version, session } = self.ground(&arrival.headers, &arrival.presented)?;
        Ok(session.map(|session| (session, version)))
    }
}

/// `GET` and `DELETE` are about a session, and this one names none.
fn without_session(headers: &HeaderMap) -> Reply {
    if is_modern(headers).unwrap_or_default() {
        return not_allowed("POST", "from 2026-07-28 on there are no sessions: only POST is taken");
    }
    not_allowed("POST", "GET and DELETE need `Mcp-Session-Id`, which the answer to `initialize` carries")
}

/// Whether a message without metadata of its own is a modern client's, by its header.
pub(super) fn is_modern(headers: &HeaderMap) -> Result<bool, Fault> {
    Ok(headers::text(headers, &headers::VERSION)?.is_some_and(|said| said >= Version::V2026_07_28.word()))
}

fn no_session() -> Fault {
    Fault::own(404, "there is no such session of yours: send `initialize` again")
}

/// What `initialize` asks for. What a client leaves out it does not have.
fn opening(request: &Request) -> Result<(Version, Opening), Fault> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Initialize {
        protocol_version: String,
        capabilities: Map<String, Value>,
        client_info: Option<Box<RawValue>>,
    }
    let params: Initialize = request.params.read()?;
    let client = params.client_info.as_deref().and_then(name_and_version);
    let opening = Opening { capabilities: params.capabilities, client };
    Ok((Version::negotiate(&params.protocol_version), opening))
}

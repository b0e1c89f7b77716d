//! Requests of 2026-07-28: each says everything itself, in its body and again in its headers.

use std::sync::Arc;

use crate::api::mcp::{Era, Fault};
use crate::server::Shutdown;

use super::super::envelope::{Envelope, Said};
use super::super::exchange::{Exchange, Outlet};
use super::super::message::{Refused, Request};
use super::headers::{self, Accepts};
use super::stream::Work;
use super::{Answer, Arrival, Endpoint, Open};

/// Is answered by a stream of changes.
const LISTEN: &str = "subscriptions/listen";

impl Endpoint {
    /// Begins the answer to a modern request. A session id is ignored.
    ///
    /// # Errors
    /// In the order in which the specification has it refused: what is missing in the body, headers that differ,
    /// a revision we do not speak; then what cannot be answered.
    pub(super) fn modern(
        &self,
        request: Request,
        envelope: Envelope,
        mut arrival: Arrival,
    ) -> Result<Open<Answer>, Refused> {
        let (said, accepts) = match self.checked(&request, envelope, &mut arrival) {
            Ok(checked) => checked,
            Err(fault) => return Err(Refused { id: request.id, fault }),
        };
        let Arrival { headers, presented, slot, .. } = arrival;
        let header_key = match headers::owned(&headers, &headers::KEY) {
            Ok(key) => key,
            Err(fault) => return Err(Refused { id: request.id, fault }),
        };
        let speaks = request.method == LISTEN || self.mcp.service.may_speak(&said.meta);
        let (outlet, messages) = if speaks { Outlet::new() } else { Outlet::none() };
        let gone = Shutdown::new();
        let exchange = Exchange {
            version: said.version,
            presented,
            client: said.client,
            capabilities: Arc::new(said.capabilities),
            meta: Arc::new(said.meta),
            header_key,
            header_trace: headers::owned(&headers, &headers::TRACE).unwrap_or_default(),
            outlet,
            gone: gone.clone(),
            shows_leaving: accepts.stream,
            asks: None,
        };
        let answer = Answer { responding: self.mcp.respond(request, exchange), era: Era::Modern, _running: None };
        Ok(Open { work: Work::new(answer, slot, Some(gone)), messages, accepts, session: None })
    }

    fn checked(&self, request: &Request, envelope: Envelope, arrival: &mut Arrival) -> Result<(Said, Accepts), Fault> {
        headers::check(&arrival.headers, envelope.must()?, &request.method, envelope.name.as_deref())?;
        let said = envelope.said()?;
        let accepts = Accepts::of(&arrival.headers);
        match (request.method.as_str(), &said.name) {
            ("tools/call", Some(tool)) => {
                let mirrored = self.mcp.service.mirrored_parameters(&arrival.presented, tool);
                headers::check_parameters(&arrival.headers, &mirrored, request)?;
            }
            (LISTEN, _) if !accepts.stream_at_need => {
                return Err(Fault::own(406, "`subscriptions/listen` is answered by `text/event-stream` only"));
            }
            (LISTEN, _) => {
                // A stream from the start: it never counts among the requests.
                arrival.slot = Arc::clone(&self.waiters)
                    .try_acquire_owned()
                    .map_err(|_| Fault::own(503, "too many streams are open already: try again later"))?;
                return Ok((said, Accepts { stream: true, ..accepts }));
            }
            _ => {}
        }
        Ok((said, accepts))
    }
}

//! Requests of 2026-07-28: each says everything itself, in its body and again in its headers.

use std::sync::Arc;

use crate::api::mcp::Fault;
use crate::server::Shutdown;
use crate::server::respond::Reply;

use super::super::envelope::{Envelope, Said};
use super::super::exchange::{Exchange, Outlet};
use super::super::message::Request;
use super::headers::{self, Accepts};
use super::stream::{self, Work};
use super::{Arrival, Endpoint, challenge, refusal};

impl Endpoint {
    /// Answers a modern request. A session id is ignored.
    pub(super) async fn modern(&self, request: Request, envelope: Envelope, mut arrival: Arrival) -> Reply {
        let accepts = Accepts::of(&arrival.headers);
        let checked = self.checked(&request, &envelope, &arrival).and_then(|said| {
            let listens = request.method == "subscriptions/listen";
            if listens && !accepts.stream_at_need {
                return Err(Fault::own(406, "`subscriptions/listen` is answered by `text/event-stream` only"));
            }
            Ok((said, Accepts { stream: accepts.stream || listens, ..accepts }))
        });
        let (said, accepts) = match checked {
            Ok(checked) => checked,
            Err(fault) => return refusal(&request.id, &fault),
        };
        if request.method == "subscriptions/listen" {
            // A stream from the start: it never counts among the requests.
            match Arc::clone(&self.waiters).try_acquire_owned() {
                Ok(place) => arrival.slot = place,
                Err(_) => {
                    let fault = Fault::own(503, "too many streams are open already: try again later");
                    return refusal(&request.id, &fault);
                }
            }
        }
        let (outlet, messages) = Outlet::new();
        let gone = Shutdown::new();
        let exchange = Exchange {
            version: said.version,
            presented: arrival.presented,
            client: said.client,
            capabilities: Arc::new(said.capabilities),
            meta: Arc::new(envelope.meta),
            header_key: match headers::owned(&arrival.headers, &headers::KEY) {
                Ok(key) => key,
                Err(fault) => return refusal(&request.id, &fault),
            },
            header_trace: headers::owned(&arrival.headers, &headers::TRACE).unwrap_or_default(),
            outlet,
            gone: gone.clone(),
            shows_leaving: accepts.stream,
            asks: None,
        };
        let mcp = Arc::clone(&self.mcp);
        let answer = async move {
            let (status, message) = mcp.respond(request, exchange).await;
            (status, Some(message))
        };
        let work = Work::new(answer, arrival.slot, Some(gone));
        let mut reply = stream::answer(work, messages, accepts, &self.waiters, self.limits.heartbeat).await;
        challenge(&mut reply);
        reply
    }

    /// What it must say, in the order in which the specification has it refused: what is missing in the body,
    /// headers that differ, a revision we do not speak.
    fn checked(&self, request: &Request, envelope: &Envelope, arrival: &Arrival) -> Result<Said, Fault> {
        let (version, _) = envelope.must()?;
        headers::check(&arrival.headers, version, &request.method, envelope.name.as_deref())?;
        let said = envelope.said()?;
        if request.method == "tools/call"
            && let Some(tool) = &envelope.name
        {
            let mirrored = self.mcp.service.mirrored_parameters(&arrival.presented, tool);
            headers::check_parameters(&arrival.headers, &mirrored, request)?;
        }
        Ok(said)
    }
}

//! The governed tools behind the door: what a caller may call, each call through the one pipeline, and its
//! reply as a result that a model can act on. Nothing is decided here.

mod approvals;
mod call;
mod carrier;
mod consent;
mod definition;
mod follow;
mod hold;
mod legacy_tasks;
mod list;
mod own;
mod pending;
pub mod result;
mod state;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::api::mcp::{self, Era, Fault, Version};
use crate::domain::denial::Denial;
use crate::pipeline::Pipeline;
use crate::pipeline::port::{Presented, Wait};

use super::exchange::Exchange;
use super::message::Request;
use super::seal::Seal;
use super::service::{Body, Changes, MirroredParameter, Service};

use list::Listing;

/// toolctl's own tools, for every caller what policy lets it see.
pub struct Governed {
    pipeline: Arc<Pipeline>,
    seal: Seal,
    listing: Listing,
    /// For how long a call that waits for people is held.
    patience: Duration,
    /// For how long a form may stand in a client.
    asking: Duration,
}

/// For how long a form stands in a legacy client before we take it that nobody is there.
const ASKING: Duration = Duration::from_secs(120);

impl Governed {
    /// The tools of `pipeline`; what clients bring back is sealed with `seal`. A call that waits for people is
    /// held for `patience` before its caller is told so.
    pub fn new(pipeline: Arc<Pipeline>, seal: Seal, patience: Duration) -> Self {
        Self { pipeline, seal, listing: Listing::default(), patience, asking: ASKING }
    }
}

impl Service for Governed {
    fn capabilities(&self, version: Version) -> Map<String, Value> {
        mcp::capabilities(version)
    }

    fn instructions(&self) -> &str {
        mcp::INSTRUCTIONS
    }

    fn answer(self: Arc<Self>, request: Request, exchange: Exchange) -> Wait<'static, Result<Body, Fault>> {
        let legacy_tasks = exchange.version == Version::V2025_11_25;
        // Each method is a future of its own: the one that is asked most is not to be as large as the largest.
        match (request.method.as_str(), exchange.era()) {
            ("tools/call", _) => Box::pin(async move { self.call(&request, &exchange).await }),
            ("tools/list", _) => Box::pin(async move { self.list(&request, &exchange).await }),
            ("tasks/get", Era::Modern) => Box::pin(async move { self.get_task(&request, &exchange).await }),
            ("tasks/cancel", Era::Modern) => Box::pin(async move { self.cancel_task(&request, &exchange).await }),
            ("tasks/update", Era::Modern) => Box::pin(async move { self.update_task(&request, &exchange).await }),
            (_, Era::Legacy) if legacy_tasks => {
                Box::pin(async move { self.about_legacy_task(&request, &exchange).await })
            }
            (other, _) => {
                let fault = Fault::method_not_found(other);
                Box::pin(async move { Err(fault) })
            }
        }
    }

    fn may_speak(&self, meta: &Map<String, Value>) -> bool {
        meta.contains_key(mcp::meta::PROGRESS_TOKEN)
    }

    fn recognise(&self, presented: &Presented) -> Result<String, Fault> {
        self.pipeline.recognised(presented).map(|principal| principal.id.to_string()).map_err(|no| fault(&no))
    }

    fn follow(&self, presented: &Presented) -> Box<dyn Changes> {
        Box::new(follow::Follower::new(Arc::clone(&self.pipeline), presented.clone()))
    }

    fn mirrored_parameters(&self, presented: &Presented, tool: &str) -> Vec<MirroredParameter> {
        let rules = self.pipeline.rules();
        let Some(tool) = rules.catalog.get(tool) else { return Vec::new() };
        let mirrored = self.listing.of(&rules).mirrored(tool);
        if mirrored.is_empty() {
            return mirrored;
        }
        let seen = self.pipeline.recognised(presented).and_then(|who| rules.find(tool.name.as_str(), &who));
        seen.map(|_| mirrored).unwrap_or_default()
    }
}

/// A no to a request that has no result to say it in.
fn fault(no: &Denial) -> Fault {
    if let Some(log) = &no.log {
        tracing::warn!(code = no.code.slug(), stage = ?no.stage, "{log}");
    }
    let status = crate::server::status::status(no).as_u16();
    let said = result::Envelope::of(no);
    Fault::own(status, no.detail.clone()).data(serde_json::to_value(said).unwrap_or_default())
}

#[cfg(test)]
mod tests;

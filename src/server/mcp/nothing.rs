//! A service without methods: what stands behind the door until there is something to govern.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::api::mcp::{self, Fault, Version};
use crate::pipeline::Pipeline;
use crate::pipeline::port::{Presented, Wait};

use super::exchange::Exchange;
use super::message::Request;
use super::service::{Body, Change, Changes, Service};

/// No methods.
pub struct Nothing(pub Arc<Pipeline>);

impl Service for Nothing {
    fn capabilities(&self, version: Version) -> Map<String, Value> {
        mcp::capabilities(version)
    }

    fn instructions(&self) -> &str {
        mcp::INSTRUCTIONS
    }

    fn answer(self: Arc<Self>, request: Request, _: Exchange) -> Wait<'static, Result<Body, Fault>> {
        Box::pin(async move { Err(Fault::method_not_found(&request.method)) })
    }

    fn recognise(&self, presented: &Presented) -> Result<String, Fault> {
        let known = self.0.recognised(presented);
        known.map(|who| who.id.to_string()).map_err(|denial| Fault::own(401, denial.detail))
    }

    fn follow(&self, _: &Presented) -> Box<dyn Changes> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

impl Changes for Nothing {
    fn next(&mut self) -> Wait<'_, Option<Change>> {
        Box::pin(std::future::pending())
    }
}

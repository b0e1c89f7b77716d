//! `/v1/tools` and `/mcp/tools`: what a caller may see.

use crate::api;
use crate::api::endpoint::Nothing;
use crate::api::tools::{Discovered, Tool, ToolRef, Tools};
use crate::pipeline::submission::Answer;

use super::visit::Visit;
use super::wire;

/// Lists tools.
pub async fn list(visit: Visit, _: Nothing) -> Answer<Tools> {
    let catalog = visit.door.pipeline.catalog_digest();
    visit
        .door
        .pipeline
        .tools(visit.presented)
        .await
        .map(|tools| Tools { tools: tools.iter().map(wire::tool).collect(), catalog })
}

/// Shows one tool.
pub async fn show(visit: Visit, request: ToolRef) -> Answer<Tool> {
    visit.door.pipeline.tool(visit.presented, &request.name).await.map(|view| wire::tool(&view))
}

/// Lists tools as the original demo server did.
pub async fn discover(visit: Visit, _: Nothing) -> Answer<Discovered> {
    let tools = visit.door.pipeline.tools(visit.presented).await;
    tools.map(|tools| Discovered { tools: tools.iter().map(wire::discovered).collect() })
}

/// Operations on tools.
pub fn routes() -> Vec<super::route::Route> {
    use super::route::on;
    vec![on::<api::tools::List, _>(list), on::<api::tools::Show, _>(show), on::<api::tools::Discover, _>(discover)]
}

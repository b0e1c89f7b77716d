//! `/mcp` among the other operations of the HTTP doors.

use std::sync::Arc;

use hyper::Method;

use crate::server::respond::{self, Reply};
use crate::server::route::{Route, plain};
use crate::server::visit::Visit;

use super::http::Arrival;

const PATH: &str = "/mcp";

async fn answer(method: Method, visit: Visit) -> Reply {
    let Visit { door, presented, headers, body, slot, .. } = visit;
    // A `GET` comes here before anybody has looked at who sends it; the others do not.
    if method == Method::GET
        && let Err(denial) = door.pipeline.must_know(&presented)
    {
        return respond::problem(&denial);
    }
    let endpoint = Arc::clone(&door.mcp);
    endpoint.answer(Arrival { method, headers, presented, body, slot }).await
}

/// The one endpoint, for each of its methods. It looks after its requests when their caller hangs up.
pub fn routes() -> Vec<Route> {
    let methods = [Method::POST, Method::GET, Method::DELETE];
    methods
        .map(|method| plain(method.clone(), PATH, move |visit| answer(method.clone(), visit)).safe_to_drop())
        .into_iter()
        .collect()
}

//! `/mcp` among the other operations of the HTTP doors.

use std::sync::Arc;

use hyper::Method;

use crate::server::respond::{self, Reply};
use crate::server::route::{Route, plain};
use crate::server::visit::Visit;

use super::http::{Arrival, Endpoint};

const PATH: &str = "/mcp";

/// A visit as the endpoint sees it.
fn arrival(visit: Visit) -> (Arc<Endpoint>, Arrival) {
    let Visit { door, presented, headers, body, slot, .. } = visit;
    (Arc::clone(&door.mcp), Arrival { headers, presented, body, slot })
}

async fn get(visit: Visit) -> Reply {
    // A `GET` comes here before anybody has looked at who sends it; the others do not.
    if let Err(denial) = visit.door.pipeline.must_know(&visit.presented) {
        return respond::problem(&denial);
    }
    let (endpoint, arrival) = arrival(visit);
    endpoint.get(arrival)
}

/// The one endpoint, for each of its methods. It looks after its requests when their caller hangs up.
pub fn routes() -> Vec<Route> {
    let post = plain(Method::POST, PATH, |visit| {
        let (endpoint, arrival) = arrival(visit);
        endpoint.post(arrival)
    });
    let delete = plain(Method::DELETE, PATH, |visit| {
        let (endpoint, arrival) = arrival(visit);
        async move { endpoint.delete(&arrival) }
    });
    vec![post.safe_to_drop(), plain(Method::GET, PATH, get), delete.safe_to_drop()]
}

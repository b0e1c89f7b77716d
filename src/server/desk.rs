//! Loading data into the customer desk.

use crate::api;
use crate::api::desk::{Load, Loaded};
use crate::pipeline::port::{Customer, Edge};
use crate::pipeline::submission::Answer;

use super::visit::Visit;

async fn import(visit: Visit, request: Load) -> Answer<Loaded> {
    let (count, edge_count) = (request.customers.len(), request.edges.len());
    let customer = |row: api::desk::Customer| Customer { id: row.id, name: row.name, status: row.status };
    let edge = |row: api::desk::Edge| Edge { from: row.from, kind: row.kind, to: row.to };
    let customers = request.customers.into_iter().map(customer).collect();
    let edges = request.edges.into_iter().map(edge).collect();
    let answer = visit.door.pipeline.import_desk(visit.presented, customers, edges).await;
    answer.map(|audit| Loaded { customers: count, edges: edge_count, audit })
}

/// Operations on the desk.
pub fn routes() -> Vec<super::route::Route> {
    vec![super::route::on::<api::desk::Import, _>(import)]
}

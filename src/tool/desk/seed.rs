//! What a new store starts with, so that every tool of the desk can be tried at once: three customers and a
//! small incident graph.

use crate::pipeline::port::{Customer, Edge};

/// Customers and edges of a new store.
///
/// ```text
/// INC-1001 ─▶ payments ─▶ checkout ─▶ storefront      (needed by)
///                 ▲│          │            │
///                 │▼          ▼            ▼
///               ledger    customer 1   customer 2
///
/// INC-1002 ─▶ search ─▶ storefront
///                │
///                ▼
///            customer 3
/// ```
pub fn seed() -> (Vec<Customer>, Vec<Edge>) {
    let customers = [(1, "ACME AB"), (2, "Nordic Widgets"), (3, "Beta Logistics")].map(|(id, name)| Customer {
        id,
        name: name.to_owned(),
        status: "Active".to_owned(),
    });
    let edges = [
        ("incident:INC-1001", "affects", "service:payments"),
        ("incident:INC-1002", "affects", "service:search"),
        ("service:payments", "needed_by", "service:checkout"),
        ("service:payments", "needed_by", "service:ledger"),
        ("service:ledger", "needed_by", "service:payments"),
        ("service:checkout", "needed_by", "service:storefront"),
        ("service:search", "needed_by", "service:storefront"),
        ("service:checkout", "serves", "customer:1"),
        ("service:storefront", "serves", "customer:2"),
        ("service:search", "serves", "customer:3"),
    ]
    .map(|(from, kind, to)| Edge { from: from.to_owned(), kind: kind.to_owned(), to: to.to_owned() });
    (customers.into(), edges.into())
}

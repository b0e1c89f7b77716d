//! Loading data into the customer desk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::endpoints;

endpoints! {
    /// Add or replace customers and edges of the incident graph, all in one transaction.
    Import = Post "/v1/desk/import", "importDesk", Load => Loaded;
}

/// The most rows of one request: a file is sent in parts.
pub const MOST_ROWS: usize = 5_000;

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// Its number, within ±(2^53−1).
    pub id: i64,
    /// Its name; at most 200 characters.
    pub name: String,
    /// Its status; at most 100 characters.
    pub status: String,
}

/// An edge of the incident graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// `incident:ID` or `service:ID`.
    pub from: String,
    /// `affects`, `needed_by` or `serves`.
    pub kind: String,
    /// `service:ID` or `customer:NUMBER`.
    pub to: String,
}

/// What to load.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Customers, added or replaced by their numbers; at most 5 000.
    #[serde(default)]
    pub customers: Vec<Customer>,
    /// Edges, added; at most 5 000.
    #[serde(default)]
    pub edges: Vec<Edge>,
}

/// What was loaded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Loaded {
    /// How many customers.
    pub customers: usize,
    /// How many edges.
    pub edges: usize,
    /// Index of the audit record.
    pub audit: u64,
}

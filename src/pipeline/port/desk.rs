//! The customer desk's data: its rows, its tables inside a write, reading and loading it.

use super::{Unavailable, Wait};
use crate::domain::audit::AuditRecord;
use crate::domain::call::Call;
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;

/// An effect that lives in our own store and runs inside the transaction of its record. It checks before
/// it writes: an `Ok` outcome that is a failure has written nothing.
pub trait InStore: Send + Sync {
    /// Runs once, from a call that is running.
    ///
    /// # Errors
    /// [`Unavailable`] ends the whole transaction.
    fn apply(&self, call: &Call, desk: &mut dyn DeskTables, now: Timestamp) -> Result<Outcome, Unavailable>;
}

/// A customer of the desk.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Customer {
    /// Number of the customer.
    pub id: i64,
    /// Name as shown.
    pub name: String,
    /// Status as shown, for example `Active`.
    pub status: String,
}

/// A ticket of the desk.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ticket {
    /// Number of the ticket, from 1.
    pub id: i64,
    /// The customer it is about.
    pub customer_id: i64,
    /// One line.
    pub title: String,
    /// The rest.
    pub description: String,
    /// A word such as `medium`.
    pub priority: String,
    /// When.
    pub created_at: Timestamp,
}

/// A message in the desk's outbox.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Where to.
    pub channel: String,
    /// What.
    pub message: String,
    /// When.
    pub sent_at: Timestamp,
}

/// An edge of the incident graph, `from` → `to`. Nodes are named `incident:ID`, `service:ID` and
/// `customer:NUMBER`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Edge {
    /// Where it starts.
    pub from: String,
    /// What it means: `affects`, `needed_by`, `serves`.
    pub kind: String,
    /// Where it ends.
    pub to: String,
}

/// The desk's tables inside one write transaction.
pub trait DeskTables {
    /// The customer of this number.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn customer(&mut self, id: i64) -> Result<Option<Customer>, Unavailable>;

    /// Adds or replaces a customer, and keeps the search index true.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn put_customer(&mut self, customer: &Customer) -> Result<(), Unavailable>;

    /// Adds a ticket under the next number, which it gives back; `ticket.id` is ignored.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn add_ticket(&mut self, ticket: Ticket) -> Result<i64, Unavailable>;

    /// Adds a message to the outbox.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn add_message(&mut self, message: &Message) -> Result<(), Unavailable>;

    /// Adds an edge of the incident graph; one that is there stays.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn add_edge(&mut self, edge: &Edge) -> Result<(), Unavailable>;
}

/// Reading the desk, outside any write.
pub trait DeskRead: Send + Sync {
    /// Customers whose name contains `query`, letter case aside, in the order of their numbers; at most
    /// `limit`.
    fn search<'a>(&'a self, query: &'a str, limit: usize) -> Wait<'a, Result<Vec<Customer>, Unavailable>>;

    /// The customer of this number.
    fn find_customer(&self, id: i64) -> Wait<'_, Result<Option<Customer>, Unavailable>>;

    /// Edges that start at `node`, in order.
    fn edges_from<'a>(&'a self, node: &'a str) -> Wait<'a, Result<Vec<Edge>, Unavailable>>;

    /// Tickets, newest first, at most `limit`.
    fn tickets(&self, limit: usize) -> Wait<'_, Result<Vec<Ticket>, Unavailable>>;

    /// Messages in the outbox, newest first, at most `limit`.
    fn messages(&self, limit: usize) -> Wait<'_, Result<Vec<Message>, Unavailable>>;
}

/// Loading data into the desk, many rows a transaction.
pub trait DeskImport: Send + Sync {
    /// Adds or replaces customers and edges in one transaction with its record.
    fn import(
        &self,
        customers: Vec<Customer>,
        edges: Vec<Edge>,
        record: AuditRecord,
    ) -> Wait<'_, Result<u64, Unavailable>>;
}

//! Loading data into the customer desk: an administrator's act, recorded with its sizes in the transaction of
//! the data.

use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::denial::{Code, Denial, Stage, Violation};

use super::admin::must_administer;
use super::port::{Customer, Edge, Presented};
use super::submission::Answer;
use super::{Pipeline, unavailable};

/// The most rows of one request.
const MOST_ROWS: usize = 5_000;
/// Characters of a name at most.
const LONGEST_NAME: usize = 200;
/// Characters of a status or a node at most; nodes carry a prefix of at most 9 more.
const LONGEST_WORD: usize = 109;
/// The largest number of a customer: beyond it JSON readers would round it.
const LARGEST_ID: u64 = (1 << 53) - 1;

impl Pipeline {
    /// Adds or replaces customers and edges in one transaction; gives the index of its record.
    pub async fn import_desk(&self, presented: Presented, customers: Vec<Customer>, edges: Vec<Edge>) -> Answer<u64> {
        self.looking(&presented, async |principal| {
            must_administer(&principal)?;
            check(&customers, &edges)?;
            let mut record = AuditRecord::new(RecordType::DeskImported, self.ports.clock.now())
                .detail("customers", customers.len().to_string())
                .detail("edges", edges.len().to_string());
            record.actor = Some(principal.id.clone());
            record.credential = Some(principal.credential.to_string());
            self.ports.desk.import(customers, edges, record).await.map_err(|why| unavailable(&why))
        })
        .await
    }
}

fn check(customers: &[Customer], edges: &[Edge]) -> Result<(), Denial> {
    let mut wrong = Vec::new();
    let mut say = |path: String, message: &str| wrong.push(Violation { path, message: message.to_owned() });
    if customers.len() > MOST_ROWS || edges.len() > MOST_ROWS {
        say(String::new(), "more than 5000 rows; send them in parts");
    }
    for (at, customer) in customers.iter().enumerate() {
        if customer.id.unsigned_abs() > LARGEST_ID {
            say(format!("/customers/{at}/id"), "is outside ±(2^53−1)");
        }
        if customer.name.is_empty() || customer.name.chars().count() > LONGEST_NAME {
            say(format!("/customers/{at}/name"), "must have 1 to 200 characters");
        }
        if customer.status.is_empty() || customer.status.chars().count() > LONGEST_WORD {
            say(format!("/customers/{at}/status"), "must have 1 to 100 characters");
        }
    }
    for (at, edge) in edges.iter().enumerate() {
        let node = |text: &str| text.contains(':') && text.chars().count() <= LONGEST_WORD;
        if !node(&edge.from) || !node(&edge.to) || !matches!(edge.kind.as_str(), "affects" | "needed_by" | "serves") {
            say(format!("/edges/{at}"), "is no edge between `incident:`, `service:` and `customer:` nodes");
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.truncate(100);
    Err(Denial::new(Stage::Arguments, Code::ArgumentsInvalid, "the data is not taken").violations(wrong))
}

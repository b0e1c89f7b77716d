//! Reading what others wrote: customers from CSV and the incident graph from JSON for the desk, and tools from OpenAPI
//! documents. A file of data is taken whole or not at all, and a refusal names the place, the value and what would be
//! right.

mod customers;
mod incidents;
pub mod openapi;

pub use self::customers::customers_csv;
pub use self::incidents::incidents_json;

/// Customers in one file at most.
pub const MOST_CUSTOMERS: usize = 5_000_000;
/// Bytes of one graph at most: 64 MiB.
pub const MOST_GRAPH_BYTES: usize = 64 << 20;
/// Characters of a customer's name at most.
pub const LONGEST_NAME: usize = 200;
/// Characters of a status at most; at least 2, as for the tool that changes it.
pub const LONGEST_STATUS: usize = 100;
/// Characters of the name of a service or an incident at most.
pub const LONGEST_NODE: usize = 100;
/// The largest number of a customer, either side of 0: beyond 2^53 − 1 JSON would round it (RFC 7493
/// section 2.2).
pub const LARGEST_ID: i64 = (1 << 53) - 1;

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportProblem {
    /// Reading failed.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// A column that must be there is not.
    #[error("line 1: there is no column `{0}`")]
    MissingColumn(&'static str),
    /// A column that means nothing here.
    #[error("line 1: the column `{found}` is not known")]
    UnknownColumn {
        /// The header, cut to 80 characters.
        found: String,
        /// The column that was perhaps meant.
        nearest: Option<String>,
    },
    /// Two columns of one name.
    #[error("line 1: the column `{0}` stands twice")]
    RepeatedColumn(String),
    /// A line that is no record of this file.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// A value that does not fit its column.
    #[error("line {line}, column `{column}`: `{value}` {why}")]
    Value {
        /// Counted from 1.
        line: u64,
        /// Its header.
        column: &'static str,
        /// The value, cut to 80 characters.
        value: String,
        /// What is wrong.
        why: String,
    },
    /// More rows than the limit.
    #[error("the file has more than {0} customers")]
    TooMany(usize),
    /// Not strict JSON.
    #[error("{0}")]
    NotJson(crate::domain::json::NotStrict),
    /// A place in the graph that is wrong.
    #[error("at `{path}`: {why}")]
    Graph {
        /// JSON Pointer (RFC 6901).
        path: String,
        /// What is wrong.
        why: String,
        /// What was perhaps meant.
        nearest: Option<String>,
    },
}

impl ImportProblem {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownColumn { nearest: Some(nearest), .. } | Self::Graph { nearest: Some(nearest), .. } => {
                Some(format!("did you mean `{nearest}`?"))
            }
            Self::MissingColumn(_) | Self::UnknownColumn { nearest: None, .. } | Self::RepeatedColumn(_) => {
                Some("the first line names the columns: `id`, `name` and, if you like, `status`".to_owned())
            }
            Self::TooMany(_) => Some("split the file and import its parts one after the other".to_owned()),
            Self::Unreadable(_)
            | Self::Line { .. }
            | Self::Value { .. }
            | Self::NotJson(_)
            | Self::Graph { nearest: None, .. } => None,
        }
    }
}

/// The candidate most like `word`, if it is like it at all: a third of its letters may differ.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// Input as an error shows it.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

//! Judges a history of kills: what clients were told against what is on disk. It is plain data in and
//! reasons out, so that it can be shown bad histories and must name what is wrong with each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toolctl::domain::audit::Verifier;
use toolctl::domain::digest::Digest;
use toolctl::domain::merkle::{Frontier, leaf_hash};

/// One answer that a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The idempotency key it was sent with.
    pub key: String,
    /// The call it was about.
    pub call: String,
    /// The tool's output, byte for byte.
    pub output: String,
    /// The ticket it told, if it was about one.
    pub ticket: Option<Ticket>,
    /// The index of the record it rested on, if it told one.
    pub record: Option<u64>,
}

/// A ticket, as far as it matters. Titles are unique by request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// Its number.
    pub id: i64,
    /// Its title.
    pub title: String,
}

/// A call on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its idempotency key.
    pub key: String,
    /// Where it stands.
    pub state: String,
}

/// The size and root of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How many records.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

/// Everything that is known after the last kill.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Titles that were asked for, answered or not.
    pub asked: BTreeSet<String>,
    /// Every answer, in the order of its client.
    pub answers: Vec<Answer>,
    /// Tickets on disk.
    pub tickets: Vec<Ticket>,
    /// Calls on disk.
    pub calls: Vec<Row>,
    /// Records on disk with their stored hashes.
    pub log: Vec<(String, Digest)>,
    /// What the store says of its log.
    pub head: Option<Head>,
    /// What clients were told of the log, in the order of time.
    pub remembered: Vec<Head>,
}

/// One thing that must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// An effect happened twice.
    TicketTwice(String),
    /// An acknowledged effect is gone.
    TicketLost(String),
    /// An acknowledged effect is another than was told.
    TicketChanged(String),
    /// An effect that nobody asked for.
    TicketPhantom(String),
    /// One key got two different answers.
    AnswersDiffer(String),
    /// One key opened two calls.
    CallsOfOneKey(String),
    /// An acknowledged call is gone, or has not ended as was told.
    CallLost(String),
    /// A call is in doubt.
    InDoubt(String),
    /// A call was left in the middle.
    Unfinished(String),
    /// A record that an answer rested on is not at its index.
    RecordLost(String),
    /// The log was longer before.
    LogShrank(u64),
    /// The log has another past than was told.
    LogRewritten(u64),
    /// What the verifier of the library says.
    LogFaulty(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Finds everything that is wrong with a history.
pub fn broken(history: &History) -> BTreeSet<Broken> {
    let mut found = BTreeSet::new();
    effects(history, &mut found);
    answers(history, &mut found);
    calls(history, &mut found);
    log(history, &mut found);
    found
}

/// No effect twice, none lost, none that nobody asked for.
fn effects(history: &History, found: &mut BTreeSet<Broken>) {
    let mut on_disk: BTreeMap<&str, i64> = BTreeMap::new();
    for ticket in &history.tickets {
        if on_disk.insert(&ticket.title, ticket.id).is_some() {
            found.insert(Broken::TicketTwice(ticket.title.clone()));
        }
        if !history.asked.contains(&ticket.title) {
            found.insert(Broken::TicketPhantom(ticket.title.clone()));
        }
    }
    for told in history.answers.iter().filter_map(|answer| answer.ticket.as_ref()) {
        match on_disk.get(told.title.as_str()) {
            None => found.insert(Broken::TicketLost(told.title.clone())),
            Some(id) if *id != told.id => found.insert(Broken::TicketChanged(told.title.clone())),
            Some(_) => continue,
        };
    }
}

/// The same key always gets the same bytes, and rests on a record that is there.
fn answers(history: &History, found: &mut BTreeSet<Broken>) {
    let mut first: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for answer in &history.answers {
        let told = (answer.call.as_str(), answer.output.as_str());
        if *first.entry(&answer.key).or_insert(told) != told {
            found.insert(Broken::AnswersDiffer(answer.key.clone()));
        }
        let Some(index) = answer.record else { continue };
        let record = usize::try_from(index).ok().and_then(|index| history.log.get(index));
        if !record.is_some_and(|(leaf, _)| leaf.contains(&answer.call)) {
            found.insert(Broken::RecordLost(answer.key.clone()));
        }
    }
}

/// One call a key; acknowledged ones succeeded, and none hangs.
fn calls(history: &History, found: &mut BTreeSet<Broken>) {
    let mut keys = BTreeSet::new();
    let mut succeeded = BTreeSet::new();
    for row in &history.calls {
        if !keys.insert(&row.key) {
            found.insert(Broken::CallsOfOneKey(row.key.clone()));
        }
        match row.state.as_str() {
            "succeeded" => {
                succeeded.insert(row.id.as_str());
            }
            "in_doubt" => {
                found.insert(Broken::InDoubt(row.id.clone()));
            }
            "running" | "ready" | "awaiting_approval" => {
                found.insert(Broken::Unfinished(row.id.clone()));
            }
            _ => {}
        }
    }
    for answer in &history.answers {
        if !succeeded.contains(answer.call.as_str()) {
            found.insert(Broken::CallLost(answer.key.clone()));
        }
    }
}

/// The log verifies, and every size and root that was told is a prefix of it.
fn log(history: &History, found: &mut BTreeSet<Broken>) {
    let mut verifier = Verifier::default();
    let mut frontier = Frontier::default();
    let mut roots = vec![frontier.root()];
    for (leaf, stored) in &history.log {
        verifier.leaf(leaf.as_bytes(), Some(stored));
        frontier.push(leaf_hash(leaf.as_bytes()));
        roots.push(frontier.root());
    }
    if let Some(head) = &history.head {
        let report = verifier.finish(head.size, &head.root);
        found.extend(report.faults.into_iter().map(|fault| Broken::LogFaulty(fault.what)));
    }
    let mut before = 0;
    for head in &history.remembered {
        if head.size < before {
            found.insert(Broken::LogShrank(head.size));
        }
        before = head.size;
        match usize::try_from(head.size).ok().and_then(|size| roots.get(size)) {
            None => found.insert(Broken::LogShrank(head.size)),
            Some(root) if *root != head.root => found.insert(Broken::LogRewritten(head.size)),
            Some(_) => continue,
        };
    }
}

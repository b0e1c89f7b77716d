//! The customer desk's tables. Mutating tools of the desk write here inside the transaction of their audit
//! record, so effect and record are one; searching goes through an index of n-grams (`grams.rs`) that is
//! kept true in the same transaction.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `desk_customers` | number | name, status |
//! | `desk_grams` | n-gram, occurrence, block of 4096 numbers | which of them have it |
//! | `desk_tickets` | number, from 1 | customer, title, description, priority, time |
//! | `desk_messages` | position, from 1 | channel, message, time |
//! | `desk_edges` | from, kind, to | nothing yet |
//!
//! Every value is a version byte and the postcard form of a private struct, so the format on disk changes
//! only on purpose; a test pins the bytes.

mod grams;
mod row;

use redb::{
    Key, ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableError, Value, WriteTransaction,
};

pub(in crate::store) use self::grams::fold;
use self::grams::{Candidates, Changes};
use self::row::{CustomerRow, MessageRow, TicketRow, decode, encode, not_found_in_index};
use crate::pipeline::port::{Customer, DeskTables, Edge, Message, Ticket, Unavailable};

type Bytes = &'static [u8];
/// From, kind, to.
type EdgeKey = (&'static str, &'static str, &'static str);

const CUSTOMERS: TableDefinition<i64, Bytes> = TableDefinition::new("desk_customers");
const TICKETS: TableDefinition<i64, Bytes> = TableDefinition::new("desk_tickets");
const MESSAGES: TableDefinition<u64, Bytes> = TableDefinition::new("desk_messages");
const EDGES: TableDefinition<EdgeKey, Bytes> = TableDefinition::new("desk_edges");

/// The desk inside one write transaction. Tables are opened on first use and stay open.
///
/// INVARIANT: changes of the search index wait in memory, so that an import writes each block of the index
/// once; [`DeskWrite::finish`] must run before the transaction commits.
#[must_use = "the search index is written by `finish`"]
pub struct DeskWrite<'txn> {
    txn: &'txn WriteTransaction,
    customers: Option<Table<'txn, i64, Bytes>>,
    postings: Option<Table<'txn, grams::PostingKey, Bytes>>,
    tickets: Option<Table<'txn, i64, Bytes>>,
    messages: Option<Table<'txn, u64, Bytes>>,
    edges: Option<Table<'txn, EdgeKey, Bytes>>,
    changes: Changes,
    last_ticket: Option<i64>,
    last_message: Option<u64>,
}

impl<'txn> DeskWrite<'txn> {
    /// Starts with no table open.
    pub fn new(txn: &'txn WriteTransaction) -> Self {
        Self {
            txn,
            customers: None,
            postings: None,
            tickets: None,
            messages: None,
            edges: None,
            changes: Changes::default(),
            last_ticket: None,
            last_message: None,
        }
    }

    /// Writes what is still in memory and closes the tables: the last thing before the commit.
    ///
    /// # Errors
    /// When the store cannot be written; the transaction must not be committed then.
    pub fn finish(mut self) -> Result<(), Unavailable> {
        self.write_changes()
    }

    fn write_changes(&mut self) -> Result<(), Unavailable> {
        if self.changes.is_empty() {
            return Ok(());
        }
        self.changes.write(opened(&mut self.postings, self.txn, grams::TABLE)?)
    }
}

impl DeskTables for DeskWrite<'_> {
    fn customer(&mut self, id: i64) -> Result<Option<Customer>, Unavailable> {
        let table = opened(&mut self.customers, self.txn, CUSTOMERS)?;
        customer_in(table, id)
    }

    fn put_customer(&mut self, customer: &Customer) -> Result<(), Unavailable> {
        let bytes = encode(&CustomerRow::of(customer))?;
        let name = fold(&customer.name);
        let table = opened(&mut self.customers, self.txn, CUSTOMERS)?;
        match table.insert(customer.id, bytes.as_slice()).map_err(Unavailable::new)? {
            None => self.changes.add(customer.id, &name),
            Some(before) => {
                let before = fold(decode::<CustomerRow<'_>>(before.value())?.name);
                if before != name {
                    self.changes.remove(customer.id, &before);
                    self.changes.add(customer.id, &name);
                }
            }
        }
        if self.changes.are_many() { self.write_changes() } else { Ok(()) }
    }

    fn add_ticket(&mut self, ticket: Ticket) -> Result<i64, Unavailable> {
        let table = opened(&mut self.tickets, self.txn, TICKETS)?;
        let last = match self.last_ticket {
            Some(last) => last,
            None => table.last().map_err(Unavailable::new)?.map_or(0, |(key, _)| key.value()),
        };
        let id = last.checked_add(1).ok_or_else(|| Unavailable::new("the numbers of tickets are used up"))?;
        table.insert(id, encode(&TicketRow::of(&ticket))?.as_slice()).map_err(Unavailable::new)?;
        self.last_ticket = Some(id);
        Ok(id)
    }

    fn add_message(&mut self, message: &Message) -> Result<(), Unavailable> {
        let table = opened(&mut self.messages, self.txn, MESSAGES)?;
        let last = match self.last_message {
            Some(last) => last,
            None => table.last().map_err(Unavailable::new)?.map_or(0, |(key, _)| key.value()),
        };
        let position = last.checked_add(1).ok_or_else(|| Unavailable::new("the outbox is full"))?;
        table.insert(position, encode(&MessageRow::of(message))?.as_slice()).map_err(Unavailable::new)?;
        self.last_message = Some(position);
        Ok(())
    }

    fn add_edge(&mut self, edge: &Edge) -> Result<(), Unavailable> {
        let table = opened(&mut self.edges, self.txn, EDGES)?;
        let key = (edge.from.as_str(), edge.kind.as_str(), edge.to.as_str());
        table.insert(key, encode(&())?.as_slice()).map_err(Unavailable::new)?;
        Ok(())
    }
}

/// Customers whose name contains `query`, letter case aside, in the order of their numbers; at most
/// `limit`.
///
/// # Errors
/// When the store cannot be read.
pub fn search(txn: &ReadTransaction, query: &str, limit: usize) -> Result<Vec<Customer>, Unavailable> {
    let mut found = Vec::new();
    let Some(customers) = existing(txn, CUSTOMERS)? else { return Ok(found) };
    let wanted = fold(query);
    if wanted.is_empty() {
        for row in customers.iter().map_err(Unavailable::new)?.take(limit) {
            let (id, bytes) = row.map_err(Unavailable::new)?;
            found.push(decode::<CustomerRow<'_>>(bytes.value())?.into_customer(id.value()));
        }
        return Ok(found);
    }
    let Some(postings) = existing(txn, grams::TABLE)? else { return Ok(found) };
    let mut candidates = Candidates::new(&postings, &wanted);
    while found.len() < limit
        && let Some(block) = candidates.next_block()?
    {
        for id in block.ids() {
            let bytes = customers.get(id).map_err(Unavailable::new)?.ok_or_else(|| not_found_in_index(id))?;
            let row = decode::<CustomerRow<'_>>(bytes.value())?;
            // The grams say that all pieces of the query are there, not that they stand together.
            if fold(row.name).contains(&wanted) {
                found.push(row.into_customer(id));
                if found.len() == limit {
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// The customer of this number.
///
/// # Errors
/// When the store cannot be read.
pub fn find_customer(txn: &ReadTransaction, id: i64) -> Result<Option<Customer>, Unavailable> {
    existing(txn, CUSTOMERS)?.map_or(Ok(None), |table| customer_in(&table, id))
}

/// Edges that start at `node`, in order.
///
/// # Errors
/// When the store cannot be read.
pub fn edges_from(txn: &ReadTransaction, node: &str) -> Result<Vec<Edge>, Unavailable> {
    let Some(table) = existing(txn, EDGES)? else { return Ok(Vec::new()) };
    let mut edges = Vec::new();
    for row in table.range((node, "", "")..).map_err(Unavailable::new)? {
        let (key, value) = row.map_err(Unavailable::new)?;
        let (from, kind, to) = key.value();
        if from != node {
            break;
        }
        decode::<()>(value.value())?;
        edges.push(Edge { from: from.to_owned(), kind: kind.to_owned(), to: to.to_owned() });
    }
    Ok(edges)
}

/// Tickets, newest first, at most `limit`.
///
/// # Errors
/// When the store cannot be read.
pub fn tickets(txn: &ReadTransaction, limit: usize) -> Result<Vec<Ticket>, Unavailable> {
    let Some(table) = existing(txn, TICKETS)? else { return Ok(Vec::new()) };
    let newest = table.iter().map_err(Unavailable::new)?.rev().take(limit);
    newest
        .map(|row| {
            let (id, bytes) = row.map_err(Unavailable::new)?;
            Ok(decode::<TicketRow<'_>>(bytes.value())?.into_ticket(id.value()))
        })
        .collect()
}

/// Messages in the outbox, newest first, at most `limit`.
///
/// # Errors
/// When the store cannot be read.
pub fn messages(txn: &ReadTransaction, limit: usize) -> Result<Vec<Message>, Unavailable> {
    let Some(table) = existing(txn, MESSAGES)? else { return Ok(Vec::new()) };
    let newest = table.iter().map_err(Unavailable::new)?.rev().take(limit);
    newest
        .map(|row| {
            let (_, bytes) = row.map_err(Unavailable::new)?;
            Ok(decode::<MessageRow<'_>>(bytes.value())?.into_message())
        })
        .collect()
}

fn customer_in(table: &impl ReadableTable<i64, Bytes>, id: i64) -> Result<Option<Customer>, Unavailable> {
    let Some(bytes) = table.get(id).map_err(Unavailable::new)? else { return Ok(None) };
    Ok(Some(decode::<CustomerRow<'_>>(bytes.value())?.into_customer(id)))
}

fn opened<'a, 'txn, K: Key + 'static, V: Value + 'static>(
    slot: &'a mut Option<Table<'txn, K, V>>,
    txn: &'txn WriteTransaction,
    definition: TableDefinition<K, V>,
) -> Result<&'a mut Table<'txn, K, V>, Unavailable> {
    match slot {
        Some(table) => Ok(table),
        None => Ok(slot.insert(txn.open_table(definition).map_err(Unavailable::new)?)),
    }
}

/// A table that no write has made yet is as good as empty.
pub(super) fn existing<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    definition: TableDefinition<K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, Unavailable> {
    match txn.open_table(definition) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(other) => Err(Unavailable::new(other)),
    }
}

#[cfg(test)]
mod measurements;
#[cfg(test)]
mod tests;

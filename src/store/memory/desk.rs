//! The customer desk in memory.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::AuditRecord;
use crate::pipeline::port::{Customer, DeskImport, DeskRead, DeskTables, Edge, Message, Ticket, Unavailable, Wait};

use crate::store::redb::desk::fold;

use super::MemoryStore;

#[derive(Debug, Default)]
pub(super) struct Desk {
    customers: BTreeMap<i64, Customer>,
    edges: BTreeSet<Edge>,
    tickets: Vec<Ticket>,
    messages: Vec<Message>,
}

impl DeskTables for Desk {
    fn customer(&mut self, id: i64) -> Result<Option<Customer>, Unavailable> {
        Ok(self.customers.get(&id).cloned())
    }

    fn put_customer(&mut self, customer: &Customer) -> Result<(), Unavailable> {
        self.customers.insert(customer.id, customer.clone());
        Ok(())
    }

    fn add_ticket(&mut self, ticket: Ticket) -> Result<i64, Unavailable> {
        let id = self.tickets.last().map_or(1, |last| last.id + 1);
        self.tickets.push(Ticket { id, ..ticket });
        Ok(id)
    }

    fn add_message(&mut self, message: &Message) -> Result<(), Unavailable> {
        self.messages.push(message.clone());
        Ok(())
    }

    fn add_edge(&mut self, edge: &Edge) -> Result<(), Unavailable> {
        self.edges.insert(edge.clone());
        Ok(())
    }
}

impl DeskRead for MemoryStore {
    fn search<'a>(&'a self, query: &'a str, limit: usize) -> Wait<'a, Result<Vec<Customer>, Unavailable>> {
        Box::pin(async move {
            let query = fold(query);
            let hit = |customer: &&Customer| fold(&customer.name).contains(&query);
            Ok(self.look(|state| state.desk.customers.values().filter(hit).take(limit).cloned().collect()))
        })
    }

    fn find_customer(&self, id: i64) -> Wait<'_, Result<Option<Customer>, Unavailable>> {
        Box::pin(async move { Ok(self.look(|state| state.desk.customers.get(&id).cloned())) })
    }

    fn edges_from<'a>(&'a self, node: &'a str) -> Wait<'a, Result<Vec<Edge>, Unavailable>> {
        Box::pin(async move {
            Ok(self.look(|state| state.desk.edges.iter().filter(|edge| edge.from == node).cloned().collect()))
        })
    }

    fn tickets(&self, limit: usize) -> Wait<'_, Result<Vec<Ticket>, Unavailable>> {
        Box::pin(async move { Ok(self.look(|state| state.desk.tickets.iter().rev().take(limit).cloned().collect())) })
    }

    fn messages(&self, limit: usize) -> Wait<'_, Result<Vec<Message>, Unavailable>> {
        Box::pin(async move { Ok(self.look(|state| state.desk.messages.iter().rev().take(limit).cloned().collect())) })
    }
}

impl DeskImport for MemoryStore {
    fn import(
        &self,
        customers: Vec<Customer>,
        edges: Vec<Edge>,
        record: AuditRecord,
    ) -> Wait<'_, Result<u64, Unavailable>> {
        Box::pin(async move {
            self.write(|state| {
                for customer in &customers {
                    state.desk.put_customer(customer)?;
                }
                for edge in &edges {
                    state.desk.add_edge(edge)?;
                }
                Ok(state.append(&record))
            })
        })
    }
}

//! The tools that write. Each checks before it writes, as a failure must have written nothing, and each runs
//! inside the transaction that records it.

use serde_json::{Value, json};

use super::{customer_json, integer, not_found, text};
use crate::domain::call::Call;
use crate::domain::json::Canonical;
use crate::domain::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::pipeline::port::{Customer, DeskTables, InStore, Message, Ticket, Unavailable};

/// Opens a ticket for a customer.
pub(super) struct CreateTicket;

/// Replaces the status of a customer.
pub(super) struct UpdateCustomerStatus;

/// Puts a message into the outbox.
pub(super) struct SendMessage;

impl InStore for CreateTicket {
    fn apply(&self, call: &Call, desk: &mut dyn DeskTables, now: Timestamp) -> Result<Outcome, Unavailable> {
        settle(|| {
            let arguments = call.arguments.value();
            let ticket = Ticket {
                id: 0,
                customer_id: existing(desk, integer(&arguments, "customer_id")?)?.id,
                title: text(&arguments, "title")?.to_owned(),
                description: text(&arguments, "description")?.to_owned(),
                priority: text(&arguments, "priority")?.to_owned(),
                created_at: now,
            };
            let id = desk.add_ticket(ticket.clone())?;
            Ok(json!({"ticket": {
                "id": id,
                "customer_id": ticket.customer_id,
                "title": ticket.title,
                "priority": ticket.priority,
                "created_at": now.to_string(),
            }}))
        })
    }
}

impl InStore for UpdateCustomerStatus {
    fn apply(&self, call: &Call, desk: &mut dyn DeskTables, _now: Timestamp) -> Result<Outcome, Unavailable> {
        settle(|| {
            let arguments = call.arguments.value();
            let status = text(&arguments, "new_status")?.to_owned();
            let customer = Customer { status, ..existing(desk, integer(&arguments, "customer_id")?)? };
            desk.put_customer(&customer)?;
            Ok(json!({
                "requires_confirmation": false,
                "pending_action_id": null,
                "customer": customer_json(&customer),
            }))
        })
    }
}

impl InStore for SendMessage {
    fn apply(&self, call: &Call, desk: &mut dyn DeskTables, now: Timestamp) -> Result<Outcome, Unavailable> {
        settle(|| {
            let arguments = call.arguments.value();
            let channel = text(&arguments, "channel")?.to_owned();
            let message = Message { channel, message: text(&arguments, "message")?.to_owned(), sent_at: now };
            desk.add_message(&message)?;
            Ok(json!({"sent": true, "channel": message.channel}))
        })
    }
}

/// Why an effect has no output: the tool failed, or the store did and takes everything back.
enum Stop {
    Failed(Outcome),
    Unavailable(Unavailable),
}

impl From<Outcome> for Stop {
    fn from(outcome: Outcome) -> Self {
        Self::Failed(outcome)
    }
}

impl From<Unavailable> for Stop {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error)
    }
}

fn settle(work: impl FnOnce() -> Result<Value, Stop>) -> Result<Outcome, Unavailable> {
    match work() {
        Ok(output) => Ok(Outcome::Succeeded { output: Canonical::of(&output) }),
        Err(Stop::Failed(outcome)) => Ok(outcome),
        Err(Stop::Unavailable(error)) => Err(error),
    }
}

fn existing(desk: &mut dyn DeskTables, id: i64) -> Result<Customer, Stop> {
    desk.customer(id)?.ok_or_else(|| not_found(format!("there is no customer `{id}`")).into())
}

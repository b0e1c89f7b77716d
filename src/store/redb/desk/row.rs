//! What a value of the desk's tables looks like on disk: a version byte and the postcard form of one of
//! these structs. They are not the types of the ports, so that those may change without old files becoming
//! unreadable.

use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;
use crate::pipeline::port::{Customer, Message, Ticket, Unavailable};

/// The only version so far.
pub(super) const VERSION: u8 = 1;

/// A customer; the number is the key.
#[derive(Serialize, Deserialize)]
pub(super) struct CustomerRow<'a> {
    pub(super) name: &'a str,
    status: &'a str,
}

impl<'a> CustomerRow<'a> {
    pub(super) fn of(customer: &'a Customer) -> Self {
        Self { name: &customer.name, status: &customer.status }
    }

    pub(super) fn into_customer(self, id: i64) -> Customer {
        Customer { id, name: self.name.to_owned(), status: self.status.to_owned() }
    }
}

/// A ticket; the number is the key.
#[derive(Serialize, Deserialize)]
pub(super) struct TicketRow<'a> {
    customer_id: i64,
    title: &'a str,
    description: &'a str,
    priority: &'a str,
    created_at_micros: i64,
}

impl<'a> TicketRow<'a> {
    pub(super) fn of(ticket: &'a Ticket) -> Self {
        Self {
            customer_id: ticket.customer_id,
            title: &ticket.title,
            description: &ticket.description,
            priority: &ticket.priority,
            created_at_micros: ticket.created_at.micros(),
        }
    }

    pub(super) fn into_ticket(self, id: i64) -> Ticket {
        Ticket {
            id,
            customer_id: self.customer_id,
            title: self.title.to_owned(),
            description: self.description.to_owned(),
            priority: self.priority.to_owned(),
            created_at: Timestamp::from_micros(self.created_at_micros),
        }
    }
}

/// A message; its position in the outbox is the key.
#[derive(Serialize, Deserialize)]
pub(super) struct MessageRow<'a> {
    channel: &'a str,
    message: &'a str,
    sent_at_micros: i64,
}

impl<'a> MessageRow<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        Self { channel: &message.channel, message: &message.message, sent_at_micros: message.sent_at.micros() }
    }

    pub(super) fn into_message(self) -> Message {
        Message {
            channel: self.channel.to_owned(),
            message: self.message.to_owned(),
            sent_at: Timestamp::from_micros(self.sent_at_micros),
        }
    }
}

/// Writes the version byte and the row.
pub(super) fn encode(row: &impl Serialize) -> Result<Vec<u8>, Unavailable> {
    postcard::to_extend(row, vec![VERSION]).map_err(Unavailable::new)
}

/// Reads what [`encode`] wrote. A row of a later version, and one with bytes left over, is refused.
pub(super) fn decode<'a, R: Deserialize<'a>>(bytes: &'a [u8]) -> Result<R, Unavailable> {
    match bytes.split_first() {
        Some((&VERSION, row)) => match postcard::take_from_bytes(row).map_err(Unavailable::new)? {
            (row, []) => Ok(row),
            (_, rest) => Err(Unavailable::new(format!("a row of the desk has {} bytes too many", rest.len()))),
        },
        Some((version, _)) => {
            Err(Unavailable::new(format!("a row of the desk has format {version}; this program reads {VERSION}")))
        }
        None => Err(Unavailable::new("a row of the desk is empty")),
    }
}

/// The index and the customers are written in one transaction, so they cannot differ in a sound file.
pub(super) fn not_found_in_index(id: i64) -> Unavailable {
    Unavailable::new(format!("the search index names customer `{id}`, who is not there"))
}

//! Arguments as one exact sequence of bytes. A strict reader lets in only what has one meaning, and the
//! canonical form (RFC 8785) of what it let in is what is hashed, shown to approvers, checked by policy
//! and handed to the tool. `serde_json` alone would not do: it keeps the last of two equal members and
//! rounds numbers silently, so that two different requests could share one digest.

mod number;
mod read;
mod write;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub use read::{Limits, NotStrict, Reason, parse};
pub use write::canonical;

/// Canonical JSON (RFC 8785): the only form in which arguments and outputs are kept and hashed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Canonical(Arc<str>);

impl Canonical {
    /// Writes `value` in canonical form. `value` is expected to come from [`parse`] or from our own
    /// code; numbers outside binary64 become `null`, as JSON has no other word for them.
    pub fn of(value: &Value) -> Self {
        Self(canonical(value).into())
    }

    /// Takes text that this program wrote before in canonical form, from its own store.
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value the text stands for.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or(Value::Null)
    }
}

impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! What a row looks like on disk: one version byte, then postcard (its wire format is fixed) of the types in
//! this file. They are no domain types, so the format changes only on purpose: a change here needs a new
//! version byte and a reader for the old one, and a test pins the bytes.

use serde::ser::SerializeTupleVariant as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::audit::key_digest;
use crate::domain::call::{Again, Call, CallState};
use crate::domain::digest::Digest;
use crate::domain::id::CallId;
use crate::domain::json::Canonical;
use crate::domain::outcome::{Effect, FailureKind, Outcome};
use crate::domain::time::Timestamp;
use crate::domain::tool::EffectClass;
use crate::pipeline::port::Unavailable;

use super::row_word::{self, CredentialRow};

mod approval;

use approval::{ApprovalRow, PreviewRow};

/// The version of rows that this program writes.
pub(super) const VERSION: u8 = 1;

/// What stands under the id of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CallRow<'a> {
    /// The call with its body.
    Whole(Box<Body<'a>>),
    /// What is left when its body is pruned: the key stays used.
    Tombstone(Tombstone<'a>),
}

/// What is left of a pruned call.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tombstone<'a> {
    /// Digest of principal and idempotency key.
    pub(super) key: [u8; 32],
    /// Of its request.
    pub(super) fingerprint: [u8; 32],
    /// How it ended.
    pub(super) outcome: &'a str,
    /// When, in microseconds.
    pub(super) closed_at: i64,
}

/// The forms of [`CallRow`] on disk: a body with a preview came later and is a form of its own, so that the bytes of
/// every other row are what they always were.
#[derive(Deserialize)]
enum Written<'a> {
    #[serde(borrow)]
    Whole(Box<Body<'a>>),
    Tombstone(Tombstone<'a>),
    Previewed(Box<Body<'a>>, PreviewRow<'a>),
}

impl Serialize for CallRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const NAME: &str = "CallRow";
        match self {
            Self::Whole(body) => match &body.preview {
                None => serializer.serialize_newtype_variant(NAME, 0, "Whole", body),
                Some(preview) => {
                    let mut both = serializer.serialize_tuple_variant(NAME, 2, "Previewed", 2)?;
                    both.serialize_field(body)?;
                    both.serialize_field(preview)?;
                    both.end()
                }
            },
            Self::Tombstone(left) => serializer.serialize_newtype_variant(NAME, 1, "Tombstone", left),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for CallRow<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Whole(body) => Self::Whole(body),
            Written::Tombstone(left) => Self::Tombstone(left),
            Written::Previewed(body, preview) => Self::Whole(Box::new(Body { preview: Some(preview), ..*body })),
        })
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body<'a> {
    pub(super) tool: &'a str,
    tool_digest: [u8; 32],
    effect: u8,
    pub(super) principal: &'a str,
    #[serde(borrow)]
    credential: CredentialRow<'a>,
    #[serde(borrow)]
    chain: Vec<&'a str>,
    pub(super) key: &'a str,
    fingerprint: [u8; 32],
    arguments: &'a str,
    effective: [u8; 32],
    salt: [u8; 16],
    #[serde(borrow)]
    reason: Option<&'a str>,
    pub(super) created_at: i64,
    changed_at: i64,
    attempts: u32,
    #[serde(borrow)]
    approval: Option<ApprovalRow<'a>>,
    #[serde(borrow)]
    state: StateRow<'a>,
    #[serde(skip)]
    preview: Option<PreviewRow<'a>>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StateRow<'a> {
    AwaitingApproval,
    Ready,
    Running {
        epoch: u64,
        again: AgainRow,
    },
    InDoubt,
    Succeeded {
        output: &'a str,
    },
    Failed {
        kind: u8,
        message: &'a str,
        #[serde(borrow)]
        output: Option<&'a str>,
        effect: u8,
    },
    Rejected {
        by: &'a str,
        #[serde(borrow)]
        reason: Option<&'a str>,
    },
    Expired,
    Cancelled {
        by: &'a str,
    },
    Stale {
        changed: &'a str,
    },
    Settled {
        by: &'a str,
        happened: bool,
        #[serde(borrow)]
        note: Option<&'a str>,
    },
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum AgainRow {
    Harmless,
    Until(i64),
    Never,
}

/// Writes any row.
pub(super) fn encode(row: &impl Serialize) -> Result<Vec<u8>, Unavailable> {
    encode_as(VERSION, row)
}

/// Writes any row behind a version of its own.
pub(super) fn encode_as(version: u8, row: &impl Serialize) -> Result<Vec<u8>, Unavailable> {
    postcard::to_extend(row, vec![version]).map_err(|error| Unavailable::new(format!("encoding a row: {error}")))
}

/// Reads any row.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unavailable> {
    decode_as(VERSION, bytes)
}

/// Reads any row that has this version.
pub(super) fn decode_as<'a, T: Deserialize<'a>>(expected: u8, bytes: &'a [u8]) -> Result<T, Unavailable> {
    match bytes.split_first() {
        Some((version, rest)) if *version == expected => {
            postcard::from_bytes(rest).map_err(|error| Unavailable::new(format!("a row is damaged: {error}")))
        }
        Some((version, _)) => Err(Unavailable::new(format!("a row has version {version}, newer than this program"))),
        None => Err(Unavailable::new("a row is empty")),
    }
}

/// Writes a call.
pub(super) fn encode_call(call: &Call) -> Result<Vec<u8>, Unavailable> {
    encode(&CallRow::Whole(Box::new(Body::of(call))))
}

/// Writes what is left of a closed call.
pub(super) fn encode_tombstone(call: &Call) -> Result<Vec<u8>, Unavailable> {
    encode(&CallRow::Tombstone(Tombstone {
        key: key_digest(&call.principal, &call.key).0,
        fingerprint: call.fingerprint.0,
        outcome: call.state.word(),
        closed_at: call.changed_at.micros(),
    }))
}

/// Reads a call; none when only its tombstone is left.
pub(super) fn decode_call(id: CallId, bytes: &[u8]) -> Result<Option<Call>, Unavailable> {
    match decode::<CallRow<'_>>(bytes)? {
        CallRow::Whole(body) => body.call(id).map(Some),
        CallRow::Tombstone(_) => Ok(None),
    }
}

impl<'a> Body<'a> {
    fn of(call: &'a Call) -> Self {
        Self {
            tool: call.tool.as_str(),
            tool_digest: call.tool_digest.0,
            effect: row_word::effect_class(call.effect),
            principal: call.principal.as_str(),
            credential: CredentialRow::of(&call.credential),
            chain: call.chain.iter().map(crate::domain::id::PrincipalId::as_str).collect(),
            key: call.key.as_str(),
            fingerprint: call.fingerprint.0,
            arguments: call.arguments.as_str(),
            effective: call.effective.0,
            salt: call.salt,
            reason: call.reason.as_deref(),
            created_at: call.created_at.micros(),
            changed_at: call.changed_at.micros(),
            attempts: call.attempts,
            approval: call.approval.as_ref().map(ApprovalRow::of),
            state: StateRow::of(&call.state),
            preview: call.approval.as_ref().and_then(|approval| approval.preview.as_ref()).map(PreviewRow::of),
        }
    }

    /// The call of this row.
    pub(super) fn call(self, id: CallId) -> Result<Call, Unavailable> {
        Ok(Call {
            id,
            tool: row_word::text(self.tool)?,
            tool_digest: Digest(self.tool_digest),
            effect: row_word::read::<EffectClass>(self.effect, &row_word::EFFECT_CLASSES)?,
            principal: row_word::text(self.principal)?,
            credential: self.credential.credential()?,
            chain: self.chain.into_iter().map(row_word::text).collect::<Result<_, _>>()?,
            key: row_word::text(self.key)?,
            fingerprint: Digest(self.fingerprint),
            arguments: Canonical::trusted(self.arguments),
            effective: Digest(self.effective),
            salt: self.salt,
            reason: self.reason.map(str::to_owned),
            created_at: Timestamp::from_micros(self.created_at),
            changed_at: Timestamp::from_micros(self.changed_at),
            attempts: self.attempts,
            approval: self.approval.map(|row| row.approval(self.preview)).transpose()?,
            state: self.state.state()?,
        })
    }
}

impl<'a> StateRow<'a> {
    fn of(state: &'a CallState) -> Self {
        match state {
            CallState::AwaitingApproval => Self::AwaitingApproval,
            CallState::Ready => Self::Ready,
            CallState::Running { epoch, again } => Self::Running {
                epoch: *epoch,
                again: match again {
                    Again::Harmless => AgainRow::Harmless,
                    Again::Until(end) => AgainRow::Until(end.micros()),
                    Again::Never => AgainRow::Never,
                },
            },
            CallState::InDoubt => Self::InDoubt,
            CallState::Closed(Outcome::Succeeded { output }) => Self::Succeeded { output: output.as_str() },
            CallState::Closed(Outcome::Failed { kind, message, output, effect }) => Self::Failed {
                kind: row_word::failure(*kind),
                message,
                output: output.as_ref().map(Canonical::as_str),
                effect: row_word::effect(*effect),
            },
            CallState::Closed(Outcome::Rejected { by, reason }) => {
                Self::Rejected { by: by.as_str(), reason: reason.as_deref() }
            }
            CallState::Closed(Outcome::Expired) => Self::Expired,
            CallState::Closed(Outcome::Cancelled { by }) => Self::Cancelled { by: by.as_str() },
            CallState::Closed(Outcome::Stale { changed }) => Self::Stale { changed },
            CallState::Closed(Outcome::Settled { by, happened, note }) => {
                Self::Settled { by: by.as_str(), happened: *happened, note: note.as_deref() }
            }
        }
    }

    fn state(self) -> Result<CallState, Unavailable> {
        let outcome = match self {
            Self::AwaitingApproval => return Ok(CallState::AwaitingApproval),
            Self::Ready => return Ok(CallState::Ready),
            Self::Running { epoch, again } => {
                let again = match again {
                    AgainRow::Harmless => Again::Harmless,
                    AgainRow::Until(end) => Again::Until(Timestamp::from_micros(end)),
                    AgainRow::Never => Again::Never,
                };
                return Ok(CallState::Running { epoch, again });
            }
            Self::InDoubt => return Ok(CallState::InDoubt),
            Self::Succeeded { output } => Outcome::Succeeded { output: Canonical::trusted(output) },
            Self::Failed { kind, message, output, effect } => Outcome::Failed {
                kind: row_word::read::<FailureKind>(kind, &row_word::FAILURES)?,
                message: message.to_owned(),
                output: output.map(Canonical::trusted),
                effect: row_word::read::<Effect>(effect, &row_word::EFFECTS)?,
            },
            Self::Rejected { by, reason } => {
                Outcome::Rejected { by: row_word::text(by)?, reason: reason.map(str::to_owned) }
            }
            Self::Expired => Outcome::Expired,
            Self::Cancelled { by } => Outcome::Cancelled { by: row_word::text(by)? },
            Self::Stale { changed } => Outcome::Stale { changed: changed.to_owned() },
            Self::Settled { by, happened, note } => {
                Outcome::Settled { by: row_word::text(by)?, happened, note: note.map(str::to_owned) }
            }
        };
        Ok(CallState::Closed(outcome))
    }
}

#[cfg(test)]
mod tests;

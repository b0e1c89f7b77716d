//! The small codes and texts inside rows. A code is the place in a list that only ever grows at its end.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::approval::{Assurance, Evidence};
use crate::domain::outcome::{Effect, FailureKind};
use crate::domain::principal::{Credential, PrincipalKind};
use crate::domain::tool::EffectClass;
use crate::pipeline::port::Unavailable;

/// What a caller showed to be recognised.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum CredentialRow<'a> {
    /// An API key, by its handle.
    Key(&'a str),
    /// A uid.
    Peer(u32),
    /// The daemon's environment.
    Environment,
}

impl<'a> CredentialRow<'a> {
    pub(super) fn of(credential: &'a Credential) -> Self {
        match credential {
            Credential::Key(id) => Self::Key(id.as_str()),
            Credential::Peer(uid) => Self::Peer(*uid),
            Credential::Environment => Self::Environment,
        }
    }

    pub(super) fn credential(self) -> Result<Credential, Unavailable> {
        Ok(match self {
            Self::Key(id) => Credential::Key(text(id)?),
            Self::Peer(uid) => Credential::Peer(uid),
            Self::Environment => Credential::Environment,
        })
    }
}

/// Codes of effect classes.
pub(super) const EFFECT_CLASSES: [EffectClass; 4] =
    [EffectClass::ReadOnly, EffectClass::Idempotent, EffectClass::Keyed, EffectClass::Once];

/// Codes of effects.
pub(super) const EFFECTS: [Effect; 3] = [Effect::None, Effect::Done, Effect::Unknown];

/// Codes of failures.
pub(super) const FAILURES: [FailureKind; 5] = [
    FailureKind::Failed,
    FailureKind::NotFound,
    FailureKind::Timeout,
    FailureKind::OutputInvalid,
    FailureKind::EgressForbidden,
];

/// Codes of what a rule asks for: the least assurance, and whether the caller's consent is enough.
pub(super) const DEMANDS: [(Assurance, bool); 4] =
    [(Assurance::A0, false), (Assurance::A1, false), (Assurance::A0, true), (Assurance::A1, true)];

/// Codes of how sure a decision is: its assurance, and what stands behind it.
pub(super) const SURETIES: [(Assurance, Evidence); 4] = [
    (Assurance::A0, Evidence::Person),
    (Assurance::A1, Evidence::Person),
    (Assurance::A0, Evidence::ClientElicitation),
    (Assurance::A1, Evidence::ClientElicitation),
];

/// Codes of kinds of principals.
pub(super) const PRINCIPAL_KINDS: [PrincipalKind; 3] =
    [PrincipalKind::User, PrincipalKind::Agent, PrincipalKind::Service];

pub(super) const fn effect_class(class: EffectClass) -> u8 {
    match class {
        EffectClass::ReadOnly => 0,
        EffectClass::Idempotent => 1,
        EffectClass::Keyed => 2,
        EffectClass::Once => 3,
    }
}

pub(super) const fn effect(effect: Effect) -> u8 {
    match effect {
        Effect::None => 0,
        Effect::Done => 1,
        Effect::Unknown => 2,
    }
}

pub(super) const fn failure(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Failed => 0,
        FailureKind::NotFound => 1,
        FailureKind::Timeout => 2,
        FailureKind::OutputInvalid => 3,
        FailureKind::EgressForbidden => 4,
    }
}

pub(super) const fn demand(least: Assurance, consent: bool) -> u8 {
    match (least, consent) {
        (Assurance::A0, false) => 0,
        (Assurance::A1, false) => 1,
        (Assurance::A0, true) => 2,
        (Assurance::A1, true) => 3,
    }
}

pub(super) const fn surety(assurance: Assurance, evidence: Evidence) -> u8 {
    match (assurance, evidence) {
        (Assurance::A0, Evidence::Person) => 0,
        (Assurance::A1, Evidence::Person) => 1,
        (Assurance::A0, Evidence::ClientElicitation) => 2,
        (Assurance::A1, Evidence::ClientElicitation) => 3,
    }
}

pub(super) const fn principal_kind(kind: PrincipalKind) -> u8 {
    match kind {
        PrincipalKind::User => 0,
        PrincipalKind::Agent => 1,
        PrincipalKind::Service => 2,
    }
}

/// Reads a code.
pub(super) fn read<T: Copy>(code: u8, list: &[T]) -> Result<T, Unavailable> {
    list.get(usize::from(code)).copied().ok_or_else(|| Unavailable::new(format!("a row holds the unknown code {code}")))
}

/// Reads an identifier that was checked when it was written.
pub(super) fn text<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Unavailable> {
    text.parse().map_err(|error| Unavailable::new(format!("a row is damaged: {error}")))
}

//! Who is calling: what they show, who recognises them, and the keys they have.

use super::{Unavailable, Wait};
use crate::domain::audit::AuditRecord;
use crate::domain::denial::Denial;
use crate::domain::id::KeyId;
use crate::domain::principal::{Credential, Principal, PrincipalKind};
use crate::domain::time::Timestamp;

/// An API key as it is stored: never the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public handle.
    pub id: KeyId,
    /// HMAC-SHA-256 of the whole key under the pepper.
    pub hash: [u8; 32],
    /// The principal as this key presents it, its credential included.
    pub principal: Principal,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The key it was made from: it dies with it.
    pub parent: Option<KeyId>,
}

impl std::fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRecord").field("id", &self.id).field("principal", &self.principal.id).finish_non_exhaustive()
    }
}

impl KeyRecord {
    /// Whether the key itself is good at `now`; its parents are another question.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Storing API keys. Reading happens once, at the start; the authenticator keeps them in memory.
pub trait Keys: Send + Sync {
    /// Every key that was not removed.
    fn all(&self) -> Wait<'_, Result<Vec<KeyRecord>, Unavailable>>;

    /// Writes a key (new or changed) with its record.
    fn put(&self, key: KeyRecord, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>>;
}

/// What a caller showed.
#[derive(Clone, Default)]
pub struct Presented {
    /// An API key from a header. A secret: it has no `Debug`.
    pub key: Option<String>,
    /// The uid at the other end of a socket.
    pub uid: Option<u32>,
    /// Names the peer for limiting failed attempts: an address or a uid.
    pub peer: String,
}

/// How the tokens begin that are lent to what drives a run: they stand for a credential, and die with their daemon.
pub const LENT: &str = "tctl_token_";

impl Presented {
    /// Whether it is such a token. What outlives a token must not be made with one.
    pub fn is_lent(&self) -> bool {
        self.key.as_deref().is_some_and(|key| key.starts_with(LENT))
    }
}

/// Recognises callers. Schemes are tried in order; a wrong key is refused and never falls through to the
/// socket's uid.
pub trait Authenticator: Send + Sync {
    /// Who it is, or the one constant denial.
    ///
    /// # Errors
    /// Unauthenticated, or rate-limited after repeated failures.
    fn identify(&self, presented: &Presented, now: Timestamp) -> Result<Principal, Denial>;

    /// The people who could decide for `group` with a live credential at `now`.
    fn people_in(&self, group: &str, now: Timestamp) -> Vec<Principal>;

    /// The principal that this credential stands for, if it is still good.
    fn recall(&self, credential: &Credential, now: Timestamp) -> Option<Principal>;

    /// Failed attempts since the last call, by peer: what goes into the log.
    fn take_failures(&self) -> Vec<(String, u64)>;

    /// Every key it knows, newest first.
    fn keys(&self) -> Vec<KeyRecord>;

    /// Makes the secret of a new key of this kind; it is good only once [`Authenticator::adopt`] has its
    /// record.
    fn mint(&self, kind: PrincipalKind) -> Minted;

    /// Takes a new or changed key into use.
    fn adopt(&self, key: KeyRecord);

    /// Makes a token that stands for `credential` for as long as that is good, until it is taken back or this process
    /// ends; none when it is good no more. It is nowhere on disk, and lets nobody approve or administer.
    fn lend(&self, credential: &Credential, now: Timestamp) -> Option<String>;

    /// Makes a token that was lent worth nothing.
    fn take_back(&self, token: &str);
}

/// The secret of a new key. It has no `Debug`.
pub struct Minted {
    /// The public handle.
    pub id: KeyId,
    /// The whole key, shown once.
    pub text: String,
    /// HMAC-SHA-256 of the whole key under the pepper.
    pub hash: [u8; 32],
}

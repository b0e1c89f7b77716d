//! Keys and the daemon itself: what administrators do.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::upstreams::Summary;
use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::call::{Call, CallState};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::{GroupName, KeyId, PrincipalId};
use crate::domain::principal::{Credential, Principal, PrincipalKind};
use crate::domain::time::Timestamp;

use super::port::{CallFilter, DaemonFacts, KeyRecord, Presented};
use super::read::sees_all;
use super::submission::{Answer, NewKey};
use super::{Pipeline, unavailable};

/// The most keys of one principal that are good at the same time: the old and the new one.
pub const MOST_LIVE_KEYS: usize = 2;

/// The most keys made from those of one principal, and from these in turn, that are good at the same time: each
/// has limits of its own, which would otherwise limit nothing.
pub const MOST_MADE_KEYS: usize = 64;
/// The most globs of one key, and the longest of them, in bytes.
const MOST_GLOBS: usize = 64;
/// Calls in doubt that a status names.
const MOST_DOUBTS: usize = 10;
const LONGEST_GLOB: usize = 128;

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What the daemon says about itself.
    pub daemon: DaemonFacts,
    /// How many tools it has.
    pub tools: usize,
    /// Calls that wait for people.
    pub pending: u64,
    /// Calls nobody knows the outcome of.
    pub in_doubt: u64,
    /// The newest of those, as far as the caller may see them.
    pub doubts: Vec<Call>,
    /// Calls running now.
    pub running: u64,
    /// Runs of workflows that were left to the daemon.
    pub detached: usize,
    /// Records in the log.
    pub records: u64,
    /// Root of the log.
    pub root: String,
    /// Digest of the policies in force.
    pub policy: String,
    /// `ok`, or what is wrong with the store.
    pub store: String,
    /// The servers of others, in a few words.
    pub upstreams: Vec<Summary>,
}

impl Pipeline {
    /// Keys the caller may see, newest first: all for administrators, else its own.
    pub async fn keys(&self, presented: Presented) -> Answer<Vec<KeyRecord>> {
        self.looking(&presented, async |principal| {
            let mut keys = self.ports.authn.keys();
            keys.retain(|key| principal.is_administrator() || key.principal.id == principal.id);
            Ok(keys)
        })
        .await
    }

    /// Makes a key; gives its text, which is not kept.
    pub async fn create_key(&self, presented: Presented, wanted: NewKey) -> Answer<(String, KeyRecord)> {
        self.looking(&presented, async |principal| {
            let _one_at_a_time = self.changing_keys.lock().await;
            must_not_be_lent(&presented)?;
            let now = self.ports.clock.now();
            self.must_still_be_good(&principal, now)?;
            let parent = if wanted.from_current { Some(self.parent(&principal, now)?) } else { None };
            if parent.is_none() {
                must_administer(&principal)?;
            }
            let owner = owner(&wanted, parent.as_ref(), &principal)?;
            must_be_free(&owner, parent.is_some(), &self.ports.authn.keys(), now)?;
            self.must_have_room(&owner.id, now)?;
            must_not_be_many(&owner, &self.ports.authn.keys(), now)?;
            let latest = parent.as_ref().and_then(|parent| parent.expires_at);
            let expires_at = match (wanted.expires_in.map(|span| now.plus(span)), latest) {
                (Some(wanted), Some(latest)) => Some(wanted.min(latest)),
                (wanted, latest) => wanted.or(latest),
            };
            self.issue(&principal, owner, expires_at, parent.map(|parent| parent.id), now).await
        })
        .await
    }

    /// Makes a new key like this one, which stays good for `overlap`.
    pub async fn rotate_key(&self, presented: Presented, id: KeyId, overlap: Duration) -> Answer<(String, KeyRecord)> {
        self.looking(&presented, async |principal| {
            let _one_at_a_time = self.changing_keys.lock().await;
            must_not_be_lent(&presented)?;
            let now = self.ports.clock.now();
            self.must_still_be_good(&principal, now)?;
            let old = self.manageable(&principal, &id)?;
            if !old.is_live(now) {
                return Err(refused(format!("`key_{id}` is no longer good, so it cannot be rotated")));
            }
            self.must_have_room(&old.principal.id, now)?;
            // Only an administrator prolongs: a holder who could rotate for ever would have a key without an end.
            let lifetime = match old.expires_at {
                Some(end) if principal.is_administrator() => Some(now.plus(end.since(old.created_at))),
                end => end,
            };
            let parent = old.parent.clone();
            let issued = self.issue(&principal, old.principal.clone(), lifetime, parent, now).await?;
            let until = now.plus(overlap);
            let ends = old.expires_at.map_or(until, |end| end.min(until));
            let old = KeyRecord { expires_at: Some(ends), ..old };
            let record =
                key_record(RecordType::KeyRevoked, &principal, &old, now).detail("good_until", ends.to_string());
            self.put_key(old, record).await?;
            Ok(issued)
        })
        .await
    }

    /// Revokes a key; all keys made from it are refused from then on.
    pub async fn revoke_key(&self, presented: Presented, id: KeyId) -> Answer<KeyRecord> {
        self.looking(&presented, async |principal| {
            let _one_at_a_time = self.changing_keys.lock().await;
            must_not_be_lent(&presented)?;
            let now = self.ports.clock.now();
            self.must_still_be_good(&principal, now)?;
            let old = self.manageable(&principal, &id)?;
            if old.revoked_at.is_some() {
                return Ok(old);
            }
            let revoked = KeyRecord { revoked_at: Some(now), ..old };
            let record = key_record(RecordType::KeyRevoked, &principal, &revoked, now);
            self.put_key(revoked.clone(), record).await?;
            Ok(revoked)
        })
        .await
    }

    /// The record of a new key comes first, then the key is good.
    async fn issue(
        &self,
        by: &Principal,
        owner: Principal,
        expires_at: Option<Timestamp>,
        parent: Option<KeyId>,
        now: Timestamp,
    ) -> Result<(String, KeyRecord), Denial> {
        let minted = self.ports.authn.mint(owner.kind);
        let principal = Principal { credential: Credential::Key(minted.id.clone()), ..owner };
        let key = KeyRecord {
            id: minted.id,
            hash: minted.hash,
            principal,
            created_at: now,
            expires_at,
            revoked_at: None,
            parent,
        };
        let record = key_record(RecordType::KeyCreated, by, &key, now);
        self.put_key(key.clone(), record).await?;
        Ok((minted.text, key))
    }

    async fn put_key(&self, key: KeyRecord, record: AuditRecord) -> Result<(), Denial> {
        self.ports.keys.put(key.clone(), record).await.map_err(|why| unavailable(&why))?;
        self.ports.authn.adopt(key);
        Ok(())
    }

    /// The caller may have waited for a change that revoked its own key.
    fn must_still_be_good(&self, principal: &Principal, now: Timestamp) -> Result<(), Denial> {
        let known = self.ports.authn.recall(&principal.credential, now);
        known
            .map(drop)
            .ok_or_else(|| Denial::new(Stage::Authentication, Code::Unauthenticated, "the key is no longer good"))
    }

    fn parent(&self, principal: &Principal, now: Timestamp) -> Result<KeyRecord, Denial> {
        let Credential::Key(id) = &principal.credential else {
            return Err(refused("only a caller with a key can make a key from it".to_owned())
                .hint("without --from-current an administrator can make any key"));
        };
        self.ports.authn.keys().into_iter().find(|key| key.id == *id && key.is_live(now)).ok_or_else(|| no_key(id))
    }

    fn manageable(&self, principal: &Principal, id: &KeyId) -> Result<KeyRecord, Denial> {
        let key = self.ports.authn.keys().into_iter().find(|key| key.id == *id);
        key.filter(|key| principal.is_administrator() || key.principal.id == principal.id).ok_or_else(|| no_key(id))
    }

    fn must_have_room(&self, owner: &PrincipalId, now: Timestamp) -> Result<(), Denial> {
        let live =
            self.ports.authn.keys().into_iter().filter(|key| key.principal.id == *owner && key.is_live(now)).count();
        if live < MOST_LIVE_KEYS {
            return Ok(());
        }
        Err(refused(format!("`{owner}` already has {live} keys that are good; at most {MOST_LIVE_KEYS} may be"))
            .hint("revoke one first: toolctl keys list, toolctl keys revoke KEY"))
    }

    /// How the daemon is. A store that cannot be read or takes no writes is said, not hidden behind an error.
    pub async fn status(&self, presented: Presented) -> Answer<Status> {
        self.looking(&presented, async |principal| {
            let (counts, frontier) = (self.ports.ledger.counts().await, self.ports.log.frontier().await);
            let wrong =
                self.ports.ledger.refused().or_else(|| counts.as_ref().err().or(frontier.as_ref().err()).cloned());
            let store = wrong.map_or_else(|| "ok".to_owned(), |why| why.to_string());
            let (counts, frontier) = (counts.unwrap_or_default(), frontier.unwrap_or_default());
            let rules = self.rules();
            let doubts = if counts.in_doubt > 0 { self.doubts(principal).await } else { Vec::new() };
            Ok(Status {
                daemon: self.ports.control.facts(),
                tools: rules.catalog.len(),
                pending: counts.pending,
                in_doubt: counts.in_doubt,
                doubts,
                running: self.running(),
                detached: self.ports.runners.driven(),
                records: frontier.size(),
                root: frontier.root().to_string(),
                policy: rules.policies.digest().to_string(),
                store,
                upstreams: self.ports.control.upstreams().iter().map(|upstream| upstream.summary()).collect(),
            })
        })
        .await
    }

    /// The newest calls in doubt that this caller may see; a store that cannot be read shows none.
    async fn doubts(&self, principal: Principal) -> Vec<Call> {
        let state = Some(CallState::InDoubt.word().to_owned());
        let of = (!sees_all(&principal)).then_some(principal.id);
        let filter = CallFilter { principal: of, state, limit: MOST_DOUBTS, ..CallFilter::default() };
        self.ports.ledger.calls(filter).await.unwrap_or_default()
    }

    /// Loads config, policies and tools again.
    pub async fn reload(&self, presented: Presented) -> Answer<Vec<String>> {
        self.looking(&presented, async |principal| {
            must_administer(&principal)?;
            self.ports.control.reload().await
        })
        .await
    }

    /// Begins to stop; gives the number of running calls.
    pub async fn stop(&self, presented: Presented) -> Answer<u64> {
        self.looking(&presented, async |principal| {
            must_administer(&principal)?;
            self.ports.control.stop(&principal.id);
            Ok(self.running())
        })
        .await
    }
}

pub(super) fn must_administer(principal: &Principal) -> Result<(), Denial> {
    if principal.is_administrator() {
        return Ok(());
    }
    Err(Denial::new(Stage::Authentication, Code::NotAllowed, format!("`{}` is no administrator", principal.id))
        .hint("a member of the group `administrators` can do this"))
}

/// The principal of a new key. A key made from another never gets more than that one, and never the right
/// to approve or administer.
fn owner(wanted: &NewKey, parent: Option<&KeyRecord>, asking: &Principal) -> Result<Principal, Denial> {
    let globs = &wanted.scope.tools;
    if globs.len() > MOST_GLOBS || globs.iter().any(|glob| glob.len() > LONGEST_GLOB) {
        let detail = format!("a key names at most {MOST_GLOBS} tools or globs, each of at most {LONGEST_GLOB} bytes");
        return Err(refused(detail));
    }
    let id = format!("{}:{}", wanted.kind.word(), wanted.name);
    let id: PrincipalId = id.parse().map_err(|bad: crate::domain::id::BadId| refused(bad.to_string()))?;
    let usual = match wanted.kind {
        PrincipalKind::User => Principal::OPERATORS,
        PrincipalKind::Agent | PrincipalKind::Service => Principal::AGENTS,
    };
    let named = wanted.groups.clone();
    let mut groups = BTreeSet::new();
    for name in named.clone().unwrap_or_else(|| vec![usual.to_owned()]) {
        groups.insert(name.parse::<GroupName>().map_err(|bad| refused(bad.to_string()))?);
    }
    let Some(parent) = parent else {
        return Ok(Principal {
            id,
            kind: wanted.kind,
            groups,
            may_self_approve: wanted.may_self_approve,
            credential: asking.credential.clone(),
            scope: wanted.scope.clone(),
            chain: Vec::new(),
        });
    };
    if wanted.kind == PrincipalKind::User {
        return Err(refused("a person cannot be made from another key".to_owned()).hint("use --kind agent"));
    }
    let never = [Principal::ADMINISTRATORS, Principal::APPROVERS];
    let passed: BTreeSet<GroupName> =
        parent.principal.groups.iter().filter(|group| !never.contains(&group.as_str())).cloned().collect();
    let groups = if named.is_some() { groups } else { passed.clone() };
    if let Some(more) = groups.iter().find(|group| !passed.contains(*group)) {
        return Err(refused(format!("a key made from another cannot have the group `{more}`")));
    }
    if wanted.may_self_approve || !parent.principal.scope.contains(&wanted.scope) {
        return Err(refused("a key made from another cannot allow more than that one".to_owned())
            .hint("narrow --tools and --greatest-effect, and leave out --allow-self-approval"));
    }
    let mut chain = vec![parent.principal.id.clone()];
    chain.extend(parent.principal.chain.iter().cloned());
    Ok(Principal {
        id,
        kind: wanted.kind,
        groups,
        may_self_approve: false,
        credential: asking.credential.clone(),
        scope: wanted.scope.clone(),
        chain,
    })
}

/// Whether the name of `owner` is nobody else's. What a principal may do follows from its name: policies name
/// it, and calls, keys and results belong to it. So whoever makes a key from their own must not choose the
/// name of another, and no other may be given a name so chosen.
fn must_be_free(owner: &Principal, is_made: bool, keys: &[KeyRecord], now: Timestamp) -> Result<(), Denial> {
    let taken = keys
        .iter()
        .any(|key| key.principal.id == owner.id && key.principal.chain != owner.chain && (is_made || key.is_live(now)));
    if !taken {
        return Ok(());
    }
    Err(refused(format!("the name `{}` belongs to somebody else", owner.id)).hint("choose another name"))
}

/// Whether the principal at the root of a made key may have one more.
fn must_not_be_many(owner: &Principal, keys: &[KeyRecord], now: Timestamp) -> Result<(), Denial> {
    let Some(root) = owner.chain.last() else { return Ok(()) };
    let made = keys.iter().filter(|key| key.principal.chain.last() == Some(root) && key.is_live(now)).count();
    if made < MOST_MADE_KEYS {
        return Ok(());
    }
    Err(refused(format!("{made} keys made from those of `{root}` are good; at most {MOST_MADE_KEYS} may be"))
        .hint("revoke one first, or let it expire: toolctl keys create --expires-in"))
}

fn key_record(kind: RecordType, by: &Principal, key: &KeyRecord, now: Timestamp) -> AuditRecord {
    let groups = key.principal.groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(" ");
    let mut record = AuditRecord::new(kind, now)
        .detail("key", format!("key_{}", key.id))
        .detail("principal", key.principal.id.as_str())
        .detail("groups", groups);
    if let Some(parent) = &key.parent {
        record = record.detail("parent", format!("key_{parent}"));
    }
    if key.principal.may_self_approve {
        record = record.detail("may_self_approve", "true");
    }
    record.actor = Some(by.id.clone());
    record.credential = Some(by.credential.to_string());
    record
}

/// Keys outlive the tokens that are lent to what drives a run.
fn must_not_be_lent(presented: &Presented) -> Result<(), Denial> {
    if presented.is_lent() {
        let detail = "a token that was lent to what drives a run makes, rotates and revokes no keys";
        return Err(Denial::new(Stage::Authentication, Code::NotAllowed, detail));
    }
    Ok(())
}

fn refused(detail: String) -> Denial {
    Denial::new(Stage::Authentication, Code::RequestMalformed, detail)
}

fn no_key(id: &KeyId) -> Denial {
    Denial::new(Stage::Authentication, Code::NotFound, format!("there is no key `key_{id}` that you may manage"))
        .hint("`toolctl keys list` shows them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::principal::Scope;

    fn principal(id: &str, chain: &[&str]) -> Principal {
        Principal {
            id: id.parse().unwrap(),
            kind: PrincipalKind::Agent,
            groups: BTreeSet::new(),
            may_self_approve: false,
            credential: Credential::Environment,
            scope: Scope::default(),
            chain: chain.iter().map(|id| id.parse().unwrap()).collect(),
        }
    }

    fn key(principal: Principal, revoked_at: Option<Timestamp>) -> KeyRecord {
        KeyRecord {
            id: "0123456789ab".parse().unwrap(),
            hash: [0; 32],
            principal,
            created_at: Timestamp::EPOCH,
            expires_at: None,
            revoked_at,
            parent: None,
        }
    }

    #[test]
    fn what_is_lent_to_a_run_makes_no_keys() {
        let shown = |key: &str| Presented { key: Some(key.to_owned()), uid: Some(1), peer: "uid 1".to_owned() };
        let refused = must_not_be_lent(&shown("tctl_token_0123456789"));
        assert_eq!(refused.map_err(|denial| denial.code), Err(Code::NotAllowed));
        assert!(must_not_be_lent(&shown("tctl_a_0123456789ab_x_y")).is_ok());
        assert!(must_not_be_lent(&Presented { key: None, ..shown("") }).is_ok());
    }

    #[test]
    fn a_key_made_from_another_never_bears_the_name_of_somebody_else() {
        let now = Timestamp::from_micros(9);
        let keys = [
            key(principal("agent:payments", &[]), None),
            key(principal("agent:gone", &[]), Some(now)),
            key(principal("agent:triage", &[]), None),
            key(principal("agent:sub", &["agent:triage"]), None),
            key(principal("agent:dead", &["agent:triage"]), Some(now)),
        ];
        let free =
            |id: &str, chain: &[&str]| must_be_free(&principal(id, chain), !chain.is_empty(), &keys, now).is_ok();
        let from = ["agent:triage"];
        assert!(free("agent:new", &from));
        assert!(free("agent:sub", &from), "its own, again");
        for taken in ["agent:payments", "agent:gone", "agent:triage"] {
            assert!(!free(taken, &from), "{taken}");
        }
        assert!(!free("agent:sub", &["agent:other"]), "another parent's");
        assert!(free("agent:payments", &[]), "an administrator makes the second key of a principal");
        assert!(!free("agent:sub", &[]), "a name an agent chose gets no rights of its own");
        assert!(free("agent:dead", &[]));
    }

    #[test]
    fn one_principal_cannot_make_itself_many() {
        let (now, made) = (Timestamp::from_micros(9), |name: &str| principal(name, &["agent:sub", "agent:triage"]));
        let mut keys = vec![key(principal("agent:triage", &[]), None); 100];
        keys.extend(vec![key(made("agent:a"), None); MOST_MADE_KEYS - 1]);
        keys.extend(vec![key(made("agent:a"), Some(now)); 100]);
        let new = principal("agent:new", &["agent:triage"]);
        assert!(must_not_be_many(&new, &keys, now).is_ok());
        keys.push(key(made("agent:b"), None));
        assert!(must_not_be_many(&new, &keys, now).is_err());
        assert!(must_not_be_many(&principal("agent:new", &["agent:other"]), &keys, now).is_ok());
        assert!(must_not_be_many(&principal("agent:new", &[]), &keys, now).is_ok(), "an administrator's");
    }
}

//! L3, who is it: schemes in order, each not presented, identified or rejected. A key that is wrong is
//! refused and never falls through to the socket's uid, and every refusal has the same words.

pub mod key;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::{GroupName, KeyId, PrincipalId};
use crate::domain::principal::{Credential, Principal, PrincipalKind, Scope};
use crate::domain::time::Timestamp;
use crate::guard::quota::Limiter;
use crate::pipeline::port::{Authenticator, KeyRecord, Minted, Presented};

use key::Pepper;

/// A local user that the operator named: what its uid is worth at the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// The uid.
    pub uid: u32,
    /// Groups of `os:<uid>`.
    pub groups: BTreeSet<GroupName>,
    /// Whether it may approve its own calls.
    pub may_self_approve: bool,
}

/// The schemes and what they know.
pub struct Schemes {
    pepper: Pepper,
    environment: Option<[u8; 32]>,
    local: BTreeMap<u32, LocalUser>,
    keys: RwLock<HashMap<KeyId, KeyRecord>>,
    attempts: Limiter<String>,
    failures: Mutex<BTreeMap<String, u64>>,
    /// Peers that failed too often, and until when they may not guess at the environment's key, which an
    /// operator may have chosen short.
    paused: Mutex<BTreeMap<String, Timestamp>>,
    /// What tokens that were lent stand for, by their hash. They are good for this process only.
    lent: RwLock<HashMap<[u8; 32], Credential>>,
    random: Mutex<Random>,
}

/// Gives the next random byte.
pub type Random = Box<dyn FnMut() -> u8 + Send>;

/// What one scheme says.
enum Verdict {
    NotPresented,
    Identified(Principal),
    Rejected,
}

/// Keys made from keys made from keys: deeper is refused.
const DEEPEST_CHAIN: usize = 4;
/// Peers whose failures are counted apart; more are counted together.
const MOST_PEERS: usize = 1_024;

impl Schemes {
    /// Sets up the schemes. `environment` is the key of `API_KEY`; `local` says which uids are known.
    pub fn new(
        pepper: Pepper,
        environment: Option<&str>,
        local: Vec<LocalUser>,
        keys: Vec<KeyRecord>,
        attempts: Limiter<String>,
        random: Random,
    ) -> Self {
        Self {
            environment: environment.map(|key| pepper.hash(key)),
            pepper,
            local: local.into_iter().map(|user| (user.uid, user)).collect(),
            keys: RwLock::new(keys.into_iter().map(|key| (key.id.clone(), key)).collect()),
            attempts,
            failures: Mutex::default(),
            paused: Mutex::default(),
            lent: RwLock::default(),
            random: Mutex::new(random),
        }
    }

    /// Whoever shows a token stands for the one it was lent by, less the right to approve and to administer: as with
    /// keys made from keys, that is not passed on. Tokens are for processes of this machine.
    fn token(&self, presented: &Presented, now: Timestamp) -> Verdict {
        let Some(text) = presented.key.as_deref().filter(|text| key::is_token(text)) else {
            return Verdict::NotPresented;
        };
        let lent = self.lent.read().unwrap_or_else(PoisonError::into_inner).get(&self.pepper.hash(text)).cloned();
        let lent = lent.filter(|_| presented.uid.is_some());
        let Some(principal) = lent.and_then(|credential| self.recall(&credential, now)) else {
            return Verdict::Rejected;
        };
        let kept = |group: &GroupName| ![Principal::ADMINISTRATORS, Principal::APPROVERS].contains(&group.as_str());
        let groups = principal.groups.iter().filter(|group| kept(group)).cloned().collect();
        Verdict::Identified(Principal { groups, may_self_approve: false, ..principal })
    }

    fn environment(&self, presented: &Presented) -> Verdict {
        match (&presented.key, &self.environment) {
            (Some(key), Some(hash)) if self.pepper.matches(key, hash) => Verdict::Identified(environment_principal()),
            _ => Verdict::NotPresented,
        }
    }

    fn api_key(&self, presented: &Presented, now: Timestamp) -> Verdict {
        let Some(text) = &presented.key else { return Verdict::NotPresented };
        // Work is the same whether the handle is known or not.
        let known = key::handle(text).and_then(|id| self.record(&id));
        let hash = known.as_ref().map_or([0; 32], |key| key.hash);
        let matches = self.pepper.matches(text, &hash);
        match known {
            Some(key) if matches && self.is_good(&key, now) => Verdict::Identified(key.principal),
            _ => Verdict::Rejected,
        }
    }

    fn peer(&self, presented: &Presented) -> Verdict {
        match (presented.uid, &presented.key) {
            (Some(uid), None) => {
                self.local.get(&uid).map_or(Verdict::Rejected, |user| Verdict::Identified(user.principal()))
            }
            _ => Verdict::NotPresented,
        }
    }

    fn record(&self, id: &KeyId) -> Option<KeyRecord> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// A key is good while it and all keys it was made from are.
    fn is_good(&self, key: &KeyRecord, now: Timestamp) -> bool {
        let mut current = Some(key.clone());
        for _ in 0..=DEEPEST_CHAIN {
            let Some(key) = current else { return true };
            if !key.is_live(now) {
                return false;
            }
            let Some(parent) = &key.parent else { return true };
            current = self.record(parent);
            if current.is_none() {
                return false;
            }
        }
        false
    }

    fn failed(&self, peer: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = if failures.len() < MOST_PEERS || failures.contains_key(peer) { peer } else { "others" };
        *failures.entry(peer.to_owned()).or_default() += 1;
    }

    fn paused_until(&self, peer: &str, now: Timestamp) -> Option<Timestamp> {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        paused.get(peer).copied().filter(|until| now < *until)
    }

    fn pause(&self, peer: &str, now: Timestamp, span: Duration) {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.len() >= MOST_PEERS {
            paused.retain(|_, until| now < *until);
        }
        if paused.len() < MOST_PEERS {
            paused.insert(peer.to_owned(), now.plus(span));
        }
    }

    fn everybody(&self, now: Timestamp) -> Vec<Principal> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let live: Vec<KeyRecord> = keys.values().filter(|key| key.is_live(now)).cloned().collect();
        drop(keys);
        live.into_iter()
            .filter(|key| self.is_good(key, now))
            .map(|key| key.principal)
            .chain(self.local.values().map(LocalUser::principal))
            .chain(self.environment.map(|_| environment_principal()))
            .collect()
    }
}

impl LocalUser {
    fn principal(&self) -> Principal {
        Principal {
            id: PrincipalId::of_uid(self.uid),
            kind: PrincipalKind::User,
            groups: self.groups.clone(),
            may_self_approve: self.may_self_approve,
            credential: Credential::Peer(self.uid),
            scope: Scope::default(),
            chain: Vec::new(),
        }
    }
}

fn too_many(after: Duration) -> Denial {
    Denial::new(Stage::Authentication, Code::RateLimited, "too many failed attempts").retry_after(after)
}

/// The principal of `API_KEY`: it may use the desk and approve its own calls, as with the original demo
/// server; each such approval is marked in the log.
fn environment_principal() -> Principal {
    Principal {
        id: PrincipalId::environment(),
        kind: PrincipalKind::User,
        groups: [Principal::OPERATORS, Principal::APPROVERS].iter().filter_map(|group| group.parse().ok()).collect(),
        may_self_approve: true,
        credential: Credential::Environment,
        scope: Scope::default(),
        chain: Vec::new(),
    }
}

impl Authenticator for Schemes {
    fn identify(&self, presented: &Presented, now: Timestamp) -> Result<Principal, Denial> {
        let guesses = presented.key.as_deref().is_some_and(|text| key::handle(text).is_none() && !key::is_token(text));
        if let Some(until) = self.paused_until(&presented.peer, now).filter(|_| guesses) {
            return Err(too_many(until.since(now)));
        }
        let schemes: [&dyn Fn() -> Verdict; 4] = [
            &|| self.token(presented, now),
            &|| self.environment(presented),
            &|| self.api_key(presented, now),
            &|| self.peer(presented),
        ];
        let said = schemes.iter().map(|scheme| scheme()).find(|said| !matches!(said, Verdict::NotPresented));
        match said.unwrap_or(Verdict::NotPresented) {
            Verdict::Identified(principal) => Ok(principal),
            Verdict::NotPresented | Verdict::Rejected => {
                self.failed(&presented.peer);
                // Only failures are counted: nobody can lock out a peer that has a good key.
                if let Err(too_fast) = self.attempts.take(&presented.peer, now) {
                    self.pause(&presented.peer, now, too_fast.retry_after);
                    return Err(too_many(too_fast.retry_after));
                }
                Err(Denial::new(Stage::Authentication, Code::Unauthenticated, "the key is missing, wrong, expired or revoked")
                    .hint("send a key as `Authorization: Bearer` or `X-API-Key`; an administrator makes one with `toolctl keys create`"))
            }
        }
    }

    fn people_in(&self, group: &str, now: Timestamp) -> Vec<Principal> {
        self.everybody(now).into_iter().filter(|who| who.is_human() && who.is_in(group)).collect()
    }

    fn recall(&self, credential: &Credential, now: Timestamp) -> Option<Principal> {
        match credential {
            Credential::Key(id) => self.record(id).filter(|key| self.is_good(key, now)).map(|key| key.principal),
            Credential::Peer(uid) => self.local.get(uid).map(LocalUser::principal),
            Credential::Environment => self.environment.map(|_| environment_principal()),
        }
    }

    fn take_failures(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }

    fn keys(&self) -> Vec<KeyRecord> {
        let mut keys: Vec<KeyRecord> =
            self.keys.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        keys.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        keys
    }

    fn mint(&self, kind: PrincipalKind) -> Minted {
        loop {
            let made = key::make(kind, &mut *self.random.lock().unwrap_or_else(PoisonError::into_inner));
            if let Some((id, text)) = made.filter(|(id, _)| self.record(id).is_none()) {
                return Minted { hash: self.pepper.hash(&text), id, text };
            }
        }
    }

    fn adopt(&self, key: KeyRecord) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(key.id.clone(), key);
    }

    fn lend(&self, credential: &Credential, now: Timestamp) -> Option<String> {
        self.recall(credential, now)?;
        let token = key::token(&mut *self.random.lock().unwrap_or_else(PoisonError::into_inner));
        let mut lent = self.lent.write().unwrap_or_else(PoisonError::into_inner);
        lent.insert(self.pepper.hash(&token), credential.clone());
        Some(token)
    }

    fn take_back(&self, token: &str) {
        self.lent.write().unwrap_or_else(PoisonError::into_inner).remove(&self.pepper.hash(token));
    }
}

#[cfg(test)]
mod tests;

//! What a write does, decided once for every backend: given what is already recorded, which answer an
//! opening gets, what a call becomes and which records say so. A backend stores what comes out of here in
//! one transaction and decides nothing itself.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::audit::AuditRecord;
use crate::domain::call::{Again, Call, CallEvent, CallState};
use crate::domain::digest::Digest;
use crate::domain::id::{CallId, IdempotencyKey, PrincipalId, ToolName};
use crate::domain::outcome::Outcome;
use crate::domain::principal::Credential;
use crate::domain::run::{Detached, Run};
use crate::domain::time::Timestamp;
use crate::pipeline::opening::{Opening, Start};
use crate::pipeline::port::{
    Advanced, Conditions, Fatigue, InStore, KeyRecord, Opened, Recorded, Retention, Unavailable,
};

/// How many rejections of one principal and tool are remembered: more than any [`Fatigue`] needs.
pub(super) const REJECTIONS_KEPT: usize = 16;

/// Parents of a key that are followed; a longer chain counts as dead.
const DEEPEST_KEY: usize = 32;

/// What is recorded under an idempotency key.
pub(super) enum Known {
    /// A call with its body.
    Call(Box<Call>),
    /// What is left of a call whose body was pruned.
    Tombstone {
        /// Of its request.
        fingerprint: Digest,
    },
    /// The key is taken by something else; the two digests share their first half.
    Other,
}

/// What a backend knows inside a transaction, earlier writes of the same transaction included.
pub(super) trait Facts {
    /// What is recorded under this key.
    fn known(&mut self, principal: &PrincipalId, key: &IdempotencyKey) -> Result<Option<Known>, Unavailable>;
    /// The call of this id.
    fn call(&mut self, id: CallId) -> Result<Option<Call>, Unavailable>;
    /// Digest of the policy set in force.
    fn policy(&self) -> Option<Digest>;
    /// The key of this credential, if it is one.
    fn key_record(&self, credential: &Credential) -> Option<KeyRecord>;
    /// A waiting call of the same principal, tool and effective digest.
    fn identical(&mut self, call: &Call) -> Result<Option<Call>, Unavailable>;
    /// How many calls of this principal wait for people.
    fn pending_of(&self, principal: &PrincipalId) -> usize;
    /// When calls of this principal and tool were rejected, oldest first, the last [`REJECTIONS_KEPT`].
    fn rejections(&mut self, principal: &PrincipalId, tool: &ToolName) -> Result<Vec<Timestamp>, Unavailable>;
    /// Takes the next approval number.
    fn take_number(&mut self) -> u64;
    /// Runs an effect on the desk's tables.
    fn run(&mut self, effect: &dyn InStore, call: &Call, now: Timestamp) -> Result<Outcome, Unavailable>;
}

/// What has to be written, all of it or nothing.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// The call as it was; none when it is new.
    pub(super) before: Option<Call>,
    /// The call as it will be.
    pub(super) after: Call,
    /// The records that say so, in order; at least one.
    pub(super) records: Vec<AuditRecord>,
}

/// What a check led to.
pub(super) enum Judged<T> {
    /// Nothing is written.
    Answer(T),
    /// This is written.
    Write(Box<Change>),
}

/// What an opening finds before a call is made.
pub(super) enum Found {
    /// Nothing is in its way.
    Nothing,
    /// The answer, and nothing is written.
    Answer(Opened),
    /// The same request waits for people already. The key is bound to that call by this record, so that it is
    /// answered like the first one for ever.
    Waiting(Call, Box<AuditRecord>),
}

/// Whether the call of an opening may be made.
pub(super) fn find(facts: &mut dyn Facts, opening: &Opening) -> Result<Found, Unavailable> {
    let refused = refuse(facts, opening)?;
    if let Some(Opened::Attached(waiting)) = refused {
        let record = AuditRecord::attached(opening.call(), &waiting, opening.policy().clone());
        return Ok(Found::Waiting(waiting, Box::new(record)));
    }
    let nothing = if opening.is_tentative() { Found::Answer(Opened::Nothing) } else { Found::Nothing };
    Ok(refused.map_or(nothing, Found::Answer))
}

fn refuse(facts: &mut dyn Facts, opening: &Opening) -> Result<Option<Opened>, Unavailable> {
    let call = opening.call();
    let now = call.created_at;
    if let Some(known) = facts.known(&call.principal, &call.key)? {
        return Ok(Some(seen_before(known, &call.fingerprint)));
    }
    if facts.policy() != Some(opening.policy().digest) {
        return Ok(Some(Opened::PolicyChanged));
    }
    if !is_live(facts, opening.credential(), now) {
        return Ok(Some(Opened::CredentialGone));
    }
    if call.state != CallState::AwaitingApproval || opening.confirmation().is_some() {
        return Ok(None);
    }
    // Only the same request as it was sent, for which as many people are asked: the key must stand for it ever after.
    let same = |waiting: &Call| waiting.fingerprint == call.fingerprint && asks_as_much(waiting, call);
    if let Some(waiting) = facts.identical(call)?.filter(same) {
        return Ok(Some(Opened::Attached(waiting)));
    }
    if facts.pending_of(&call.principal) >= opening.fatigue().most_pending {
        return Ok(Some(Opened::TooManyPending));
    }
    let rejected = facts.rejections(&call.principal, &call.tool)?;
    Ok(circuit(&rejected, opening.fatigue(), now).map(|until| Opened::CircuitOpen { until }))
}

/// Whether everything that `call` asks for is asked for `waiting`.
fn asks_as_much(waiting: &Call, call: &Call) -> bool {
    let needs = |call: &Call| call.approval.as_ref().map(|approval| approval.requirements.clone()).unwrap_or_default();
    let asked = needs(waiting);
    needs(call).iter().all(|need| asked.contains(need))
}

/// The write of an opening that was not refused and runs outside the store; none when it takes facts to
/// know. As it needs none, it can be encoded before it reaches the transaction.
pub(super) fn dispatch(opening: &Opening) -> Option<Change> {
    let Start::Dispatch { epoch, again } = opening.start() else { return None };
    let call = opening.call().clone();
    let now = call.created_at;
    if call.state != CallState::Ready {
        return None;
    }
    let after = call.apply(&CallEvent::Dispatched { epoch: *epoch, again: *again }, now).ok()?;
    let record = opening.record(&after);
    Some(Change { before: None, after, records: vec![record] })
}

/// The write of an opening that was not refused.
pub(super) fn begin(facts: &mut dyn Facts, opening: &Opening) -> Result<Change, Unavailable> {
    if let Some(change) = dispatch(opening) {
        return Ok(change);
    }
    let mut call = opening.call().clone();
    let (now, policy) = (call.created_at, opening.policy());
    if call.approval.is_none() {
        let after = match opening.start() {
            Start::InStore { epoch, effect } => settle(facts, call, *epoch, effect.as_ref(), now)?.0,
            Start::Dispatch { .. } => call,
        };
        let record = opening.record(&after);
        return Ok(Change { before: None, after, records: vec![record] });
    }
    if let Some(approval) = call.approval.as_mut() {
        approval.number = facts.take_number();
    }
    let mut records = vec![opening.record(&call)];
    if let Some(decision) = opening.confirmation() {
        let event = CallEvent::Decided(decision.clone());
        if let Ok(decided) = call.clone().apply(&event, now) {
            records.push(AuditRecord::changed(&decided, &event, None));
            call = decided;
        }
    }
    if call.state == CallState::Ready {
        let (after, event) = match opening.start() {
            Start::Dispatch { epoch, again } => {
                let event = CallEvent::Dispatched { epoch: *epoch, again: *again };
                (call.clone().apply(&event, now).ok(), event)
            }
            Start::InStore { epoch, effect } => {
                let (after, event) = settle(facts, call.clone(), *epoch, effect.as_ref(), now)?;
                (Some(after), event)
            }
        };
        if let Some(after) = after {
            records.push(AuditRecord::changed(&after, &event, Some(policy.clone())).consuming(&after));
            call = after;
        }
    }
    Ok(Change { before: None, after: call, records })
}

/// What the caller of `open` learns once `after` is durable.
pub(super) fn opened(after: Call, index: u64) -> Opened {
    let recorded = Recorded { call: after, index };
    match recorded.call.state {
        CallState::AwaitingApproval | CallState::Ready | CallState::InDoubt => Opened::Waiting(recorded),
        CallState::Running { .. } => Opened::Started(recorded),
        CallState::Closed(_) => Opened::Settled(recorded),
    }
}

/// What `event` does to the call `id`.
pub(super) fn advance(
    facts: &mut dyn Facts,
    id: CallId,
    event: CallEvent,
    conditions: &Conditions,
    now: Timestamp,
) -> Result<Judged<Advanced>, Unavailable> {
    let Some(call) = facts.call(id)? else { return Ok(Judged::Answer(Advanced::NotFound)) };
    let after = match call.clone().apply(&event, now) {
        Ok(after) => after,
        Err(error) => return Ok(Judged::Answer(Advanced::Illegal(error, call))),
    };
    if conditions.policy.as_ref().is_some_and(|policy| facts.policy() != Some(policy.digest)) {
        return Ok(Judged::Answer(Advanced::PolicyChanged));
    }
    if let Some(gone) = conditions.credentials.iter().find(|credential| !is_live(facts, credential, now)) {
        return Ok(Judged::Answer(Advanced::CredentialGone(gone.clone())));
    }
    let (after, record) = match (&event, &conditions.effect) {
        (CallEvent::Dispatched { .. }, Some(effect)) => {
            let (after, event) = finish(facts, after, effect.as_ref(), now)?;
            let record = AuditRecord::changed(&after, &event, conditions.policy.clone()).consuming(&after);
            (after, record)
        }
        _ => {
            let record = AuditRecord::changed(&after, &event, conditions.policy.clone());
            (after, record)
        }
    };
    let record = conditions.facts.iter().fold(record, |record, (name, value)| record.detail(name, value));
    Ok(Judged::Write(Box::new(Change { before: Some(call), after, records: vec![record] })))
}

/// The tools of one start, by name, each with the digest of its definition.
pub(super) type Tools = BTreeMap<ToolName, Digest>;

/// The records of what became of the tools between two starts or reloads.
pub(super) fn registered(before: &Tools, after: &Tools, now: Timestamp) -> Vec<AuditRecord> {
    use crate::domain::audit::RecordType;
    let record = |kind, tool: &ToolName, digest: &Digest| AuditRecord {
        tool: Some(tool.clone()),
        tool_digest: Some(*digest),
        ..AuditRecord::new(kind, now)
    };
    let here = after.iter().filter_map(|(tool, digest)| match before.get(tool) {
        None => Some(record(RecordType::ToolRegistered, tool, digest)),
        Some(known) if known != digest => {
            Some(record(RecordType::ToolChanged, tool, digest).detail("before", known.to_string()))
        }
        Some(_) => None,
    });
    let gone = before.iter().filter(|(tool, _)| !after.contains_key(*tool));
    here.chain(gone.map(|(tool, digest)| record(RecordType::ToolRemoved, tool, digest))).collect()
}

/// What becomes of a row when old results are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays.
    Keep,
    /// Its body goes, its key stays used.
    Bury,
    /// It goes altogether.
    Remove,
}

/// The fate of a call: only what ended gets old.
pub(super) fn fate_of_call(call: &Call, now: Timestamp, retention: Retention) -> Fate {
    if call.is_closed() && is_older(call.changed_at, now, retention.bodies) { Fate::Bury } else { Fate::Keep }
}

/// The fate of the tombstone of a call that ended at `closed_at`.
pub(super) fn fate_of_tombstone(closed_at: Timestamp, now: Timestamp, retention: Retention) -> Fate {
    if is_older(closed_at, now, retention.tombstones) { Fate::Remove } else { Fate::Keep }
}

/// Whether a run is to be forgotten: with the bodies of its calls once it has ended, and with what is left of them
/// when it never did or the daemon is not done with it.
pub(super) fn is_old_run(run: &Run, now: Timestamp, retention: Retention) -> bool {
    match &run.end {
        Some(end) if run.detached.is_none() => is_older(end.at, now, retention.bodies),
        Some(end) => is_older(end.at, now, retention.tombstones),
        None => is_older(run.began_at, now, retention.tombstones),
    }
}

/// Whether a run can be left to the daemon like this, and was not before.
pub(super) fn takes(run: &Run, detached: &Detached) -> bool {
    run.may_go_on() && run.detached.as_ref().is_none_or(|before| before.credential != detached.credential)
}

/// Whether the daemon can be done with a run: an open one goes on.
pub(super) const fn is_to_be_released(run: &Run) -> bool {
    run.detached.is_some() && run.end.is_some()
}

/// The record of a removal.
pub(super) fn pruned(bodies: usize, tombstones: usize, now: Timestamp) -> AuditRecord {
    use crate::domain::audit::RecordType;
    AuditRecord::new(RecordType::LogPruned, now)
        .detail("bodies", bodies.to_string())
        .detail("tombstones", tombstones.to_string())
}

fn is_older(closed_at: Timestamp, now: Timestamp, age: Duration) -> bool {
    closed_at.plus(age) <= now
}

fn seen_before(known: Known, fingerprint: &Digest) -> Opened {
    match known {
        Known::Call(call) if call.fingerprint == *fingerprint => Opened::Seen(*call),
        Known::Tombstone { fingerprint: known } if known == *fingerprint => Opened::ResultExpired,
        Known::Call(_) | Known::Tombstone { .. } | Known::Other => Opened::KeyReused,
    }
}

/// Whether a credential is good: a key and all its parents must be; peers and the environment are told
/// by the door.
fn is_live(facts: &dyn Facts, credential: &Credential, now: Timestamp) -> bool {
    let mut credential = match credential {
        Credential::Key(_) => credential.clone(),
        Credential::Peer(_) | Credential::Environment => return true,
    };
    for _ in 0..DEEPEST_KEY {
        match facts.key_record(&credential) {
            Some(key) if key.is_live(now) => match key.parent {
                Some(parent) => credential = Credential::Key(parent),
                None => return true,
            },
            Some(_) | None => return false,
        }
    }
    false
}

/// Until when the circuit is open: the last rejections came within the time that opens it, and its pause is
/// not over.
fn circuit(rejected: &[Timestamp], fatigue: Fatigue, now: Timestamp) -> Option<Timestamp> {
    let last = *rejected.last()?;
    let first = *rejected.len().checked_sub(fatigue.rejections).and_then(|at| rejected.get(at))?;
    let until = last.plus(fatigue.pause);
    (last.since(first) <= fatigue.within && now < until).then_some(until)
}

fn settle(
    facts: &mut dyn Facts,
    call: Call,
    epoch: u64,
    effect: &dyn InStore,
    now: Timestamp,
) -> Result<(Call, CallEvent), Unavailable> {
    let event = CallEvent::Dispatched { epoch, again: Again::of(call.effect, None, now) };
    let running = call.apply(&event, now).map_err(Unavailable::new)?;
    finish(facts, running, effect, now)
}

fn finish(
    facts: &mut dyn Facts,
    running: Call,
    effect: &dyn InStore,
    now: Timestamp,
) -> Result<(Call, CallEvent), Unavailable> {
    let event = CallEvent::Finished(facts.run(effect, &running, now)?);
    let after = running.apply(&event, now).map_err(Unavailable::new)?;
    Ok((after, event))
}

//! What the stories are made of: fixed times and ids, openings, effects, and the check that follows each
//! story: the log verifies, and says of every call what its row says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::domain::approval::{Approval, Assurance, Decision, Evidence, Requirement, Verdict};
use crate::domain::audit::{AuditRecord, PolicyFact, RecordType, Verifier};
use crate::domain::call::{Again, Call, CallEvent, CallState};
use crate::domain::digest::Digest;
use crate::domain::id::{CallId, KeyId};
use crate::domain::json::Canonical;
use crate::domain::outcome::{Effect, FailureKind, Outcome};
use crate::domain::principal::{Credential, Principal, PrincipalKind, Scope};
use crate::domain::time::Timestamp;
use crate::domain::tool::EffectClass;
use crate::pipeline::opening::{Opening, Start};
use crate::pipeline::port::{
    Advanced, Conditions, DeskTables, Fatigue, InStore, KeyRecord, Opened, Recorded, Store, Ticket, Unavailable,
};

pub(in crate::store) type Any = Arc<dyn Store>;

/// Seconds after the beginning of the story.
pub(in crate::store) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_795_420_800_000_000).plus(Duration::from_secs(seconds))
}

pub(in crate::store) fn policy() -> PolicyFact {
    PolicyFact { digest: Digest::plain(b"policy 1"), rules: vec!["shipped".to_owned()] }
}

/// Puts the policy of [`policy`] into force.
pub(in crate::store) async fn begun(store: &Any) {
    let record = AuditRecord::new(RecordType::PolicyActivated, at(0));
    store.activate_policy(policy().digest, record).await.expect("written");
}

/// The id of a call made at `when`, the `nth` of its millisecond.
pub(in crate::store) fn id(when: Timestamp, nth: u64) -> CallId {
    let millis = u128::try_from(when.micros() / 1_000).expect("after 1970");
    CallId::new(Uuid::from_u128((millis << 80) | (0x7 << 76) | (0x2 << 62) | u128::from(nth)))
}

/// A call by `agent:a` of `ticket.create`, ready to start; `nth` makes it another request.
pub(in crate::store) fn call(nth: u64, when: Timestamp) -> Call {
    let arguments = Canonical::of(&json!({"customer_id": 1, "title": format!("ticket {nth}")}));
    Call {
        id: id(when, nth),
        tool: "ticket.create".parse().expect("a name"),
        tool_digest: Digest::plain(b"tool"),
        effect: EffectClass::Once,
        principal: "agent:a".parse().expect("a principal"),
        credential: Credential::Peer(1000),
        chain: Vec::new(),
        key: format!("key-{nth}").parse().expect("a key"),
        fingerprint: Digest::plain(arguments.as_str().as_bytes()),
        effective: Digest::of("effective", &[arguments.as_str().as_bytes()]),
        arguments,
        salt: [7; 16],
        reason: Some("the customer asked".to_owned()),
        created_at: when,
        changed_at: when,
        attempts: 0,
        approval: None,
        state: CallState::Ready,
    }
}

/// The same, but one of the approvers must agree.
pub(in crate::store) fn asking(nth: u64, when: Timestamp) -> Call {
    let mut call = call(nth, when);
    let requirement = Requirement {
        group: "approvers".parse().expect("a group"),
        quorum: 1,
        assurance: Assurance::A0,
        rule: "ask".to_owned(),
        ttl: Some(Duration::from_secs(3600)),
        consent: false,
    };
    let mut approval = Approval {
        number: 0,
        nonce: [9; 16],
        requirements: vec![requirement],
        asked_at: when,
        decide_by: when.plus(Duration::from_secs(3600)),
        execute_within: Duration::from_secs(600),
        round: 1,
        binding: Digest::plain(b""),
        preview: None,
        decisions: Vec::new(),
        approved_at: None,
    };
    approval.binding = approval.bind(&call);
    call.approval = Some(approval);
    call.state = CallState::AwaitingApproval;
    call
}

pub(in crate::store) fn decision(call: &Call, verdict: Verdict, when: Timestamp) -> Decision {
    Decision {
        by: "user:bo".parse().expect("a principal"),
        credential: Credential::Peer(1001),
        groups: BTreeSet::from(["approvers".parse().expect("a group")]),
        verdict,
        reason: Some("looked at it".to_owned()),
        assurance: Assurance::A0,
        evidence: Evidence::Person,
        self_approved: false,
        binding: call.approval.as_ref().expect("it asks people").binding,
        at: when,
    }
}

pub(in crate::store) fn decided(call: &Call, verdict: Verdict, when: Timestamp) -> CallEvent {
    CallEvent::Decided(decision(call, verdict, when))
}

pub(in crate::store) fn dispatched() -> CallEvent {
    CallEvent::Dispatched { epoch: 1, again: Again::Never }
}

pub(in crate::store) fn succeeded() -> CallEvent {
    CallEvent::Finished(Outcome::Succeeded { output: Canonical::of(&json!({"ok": true})) })
}

/// An opening that starts outside the store.
pub(in crate::store) fn running(call: Call) -> Opening {
    let start = Start::Dispatch { epoch: 1, again: Again::Never };
    Opening::from_parts(call, policy(), start, None, Fatigue::default())
}

/// An opening whose effect is in the store.
pub(in crate::store) fn settling(call: Call, effect: impl InStore + 'static) -> Opening {
    let start = Start::InStore { epoch: 1, effect: Arc::new(effect) };
    Opening::from_parts(call, policy(), start, None, Fatigue::default())
}

/// Adds a ticket.
pub(in crate::store) struct AddTicket;

impl InStore for AddTicket {
    fn apply(&self, call: &Call, desk: &mut dyn DeskTables, now: Timestamp) -> Result<Outcome, Unavailable> {
        let id = desk.add_ticket(Ticket {
            id: 0,
            customer_id: 1,
            title: call.id.to_string(),
            description: String::new(),
            priority: "medium".to_owned(),
            created_at: now,
        })?;
        Ok(Outcome::Succeeded { output: Canonical::of(&json!({"ticket_id": id})) })
    }
}

/// Finds no customer, and writes nothing.
pub(in crate::store) struct FindNobody;

impl InStore for FindNobody {
    fn apply(&self, _: &Call, _: &mut dyn DeskTables, _: Timestamp) -> Result<Outcome, Unavailable> {
        let message = "no such customer".to_owned();
        Ok(Outcome::Failed { kind: FailureKind::NotFound, message, output: None, effect: Effect::None })
    }
}

/// Cannot write.
pub(in crate::store) struct Break;

impl InStore for Break {
    fn apply(&self, _: &Call, _: &mut dyn DeskTables, _: Timestamp) -> Result<Outcome, Unavailable> {
        Err(Unavailable::new("the disk is full"))
    }
}

pub(in crate::store) fn api_key(handle: &str, parent: Option<&str>) -> KeyRecord {
    let id: KeyId = handle.parse().expect("a handle");
    let principal = Principal {
        id: "agent:a".parse().expect("a principal"),
        kind: PrincipalKind::Agent,
        groups: BTreeSet::from(["agents".parse().expect("a group")]),
        may_self_approve: false,
        credential: Credential::Key(id.clone()),
        scope: Scope { tools: vec!["ticket.*".to_owned()], greatest_effect: Some(EffectClass::Once) },
        chain: vec!["user:anna".parse().expect("a principal")],
    };
    KeyRecord {
        id,
        hash: [3; 32],
        principal,
        created_at: at(0),
        expires_at: None,
        revoked_at: None,
        parent: parent.map(|parent| parent.parse().expect("a handle")),
    }
}

pub(in crate::store) async fn put_key(store: &Any, key: KeyRecord) {
    store.put(key, AuditRecord::new(RecordType::KeyCreated, at(0))).await.expect("written");
}

pub(in crate::store) async fn open(store: &Any, opening: Opening) -> Opened {
    store.open(opening).await.expect("the store works")
}

pub(in crate::store) async fn advance(store: &Any, id: CallId, event: CallEvent, now: Timestamp) -> Advanced {
    store.advance(id, event, Conditions::default(), now).await.expect("the store works")
}

/// Opens a call that waits for people, and gives it as it is stored.
pub(in crate::store) async fn waiting(store: &Any, call: Call) -> Call {
    match open(store, running(call)).await {
        Opened::Waiting(Recorded { call, .. }) => call,
        other => panic!("it does not wait: {other:?}"),
    }
}

pub(in crate::store) fn done(advanced: Advanced) -> Call {
    match advanced {
        Advanced::Done(recorded) => recorded.call,
        other => panic!("not done: {other:?}"),
    }
}

/// The kinds and states of all records.
pub(in crate::store) async fn story(store: &Any) -> Vec<String> {
    let entries = store.read(0, 10_000).await.expect("the store works");
    entries.iter().map(|entry| record(&entry.leaf)).map(|r| line(&r)).collect()
}

pub(in crate::store) fn record(leaf: &str) -> AuditRecord {
    serde_json::from_str(leaf).expect("a record")
}

fn line(record: &AuditRecord) -> String {
    match &record.state {
        Some(state) => format!("{} {state}", record.kind.word()),
        None => record.kind.word().to_owned(),
    }
}

/// Checks what must hold after every story: the log is whole and legal, and its last word on each call is the
/// state of that call; no call is without a record.
pub(in crate::store) async fn sound(store: &Any) {
    let frontier = store.frontier().await.expect("the store works");
    let entries = store.read(0, usize::MAX).await.expect("the store works");
    let mut verifier = Verifier::default();
    let mut states = BTreeMap::new();
    for entry in &entries {
        verifier.leaf(entry.leaf.as_bytes(), Some(&entry.hash));
        let record = record(&entry.leaf);
        if let (Some(call), Some(state)) = (record.call, record.state) {
            states.insert(call, state);
        }
    }
    let report = verifier.finish(frontier.size(), &frontier.root());
    assert!(report.verified, "{report:#?}");
    assert_eq!(*store.grown().borrow(), frontier.size());

    let filter = crate::pipeline::port::CallFilter { limit: usize::MAX, ..Default::default() };
    let calls = store.calls(filter).await.expect("the store works");
    for call in &calls {
        assert_eq!(states.get(&call.id).map(String::as_str), Some(call.state.word()), "{}", call.id);
        let by_key = store.find_key(&call.principal, &call.key).await.expect("the store works");
        assert_eq!(by_key.as_ref(), Some(call), "found by its key");
    }
    for id in states.keys() {
        let is_there = calls.iter().any(|call| call.id == *id);
        assert!(is_there || has_pruned(&entries), "{id} has a record and no row");
    }
}

fn has_pruned(entries: &[crate::pipeline::port::Entry]) -> bool {
    entries.iter().any(|entry| entry.leaf.contains("\"type\":\"log.pruned\""))
}

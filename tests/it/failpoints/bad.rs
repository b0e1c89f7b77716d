//! The checker is shown a good history and bad ones, and must accept the one and name what is wrong with
//! each of the others. A checker that cannot fail proves nothing.

use std::collections::BTreeSet;

use toolctl::domain::audit::{AuditRecord, RecordType};
use toolctl::domain::digest::Digest;
use toolctl::domain::id::CallId;
use toolctl::domain::merkle::{Frontier, leaf_hash};
use toolctl::domain::time::Timestamp;

use super::check::{Broken, Expected, History, Row, Told, broken};

fn id(number: u8) -> CallId {
    CallId::from_bytes([number; 16])
}

fn append(history: &mut History, kind: RecordType, call: u8, state: &str) {
    let mut record = AuditRecord::new(kind, Timestamp::EPOCH);
    record.call = Some(id(call));
    record.state = Some(state.to_owned());
    write(history, &record);
}

fn write(history: &mut History, record: &AuditRecord) {
    let leaf = record.leaf();
    let hash = leaf_hash(leaf.as_bytes());
    history.log.push((leaf, hash));
    let mut frontier = Frontier::default();
    history.log.iter().for_each(|(_, hash)| frontier.push(*hash));
    history.head = Some((frontier.size(), frontier.root()));
}

fn row(number: u8, state: &str, output: &str) -> Row {
    let (key, call) = (format!("k{number}"), id(number).to_string());
    Row { key, call, state: state.to_owned(), output: output.to_owned(), once: true }
}

fn expected(number: u8, end: &str, effect: Option<&str>) -> Expected {
    Expected { key: format!("k{number}"), ends: vec![end.to_owned()], effect: effect.map(str::to_owned) }
}

/// A ticket that was made and told twice, a call in doubt, and a key.
fn good() -> History {
    let told = Told {
        key: "k1".into(),
        call: id(1).to_string(),
        state: "succeeded".into(),
        result: "{\"ticket\":1} null".into(),
    };
    let mut history = History {
        told: vec![Told { state: "running".into(), result: "null null".into(), ..told.clone() }, told.clone(), told],
        expected: vec![expected(1, "succeeded", Some("ticket A")), expected(2, "in_doubt", Some("ticket B"))],
        rows: vec![row(1, "succeeded", "{\"ticket\":1}"), row(2, "in_doubt", "null")],
        effects: vec!["ticket A".into()],
        keys: vec!["key_a".into()],
        ..History::default()
    };
    append(&mut history, RecordType::CallCompleted, 1, "succeeded");
    append(&mut history, RecordType::CallDispatched, 2, "running");
    append(&mut history, RecordType::CallInDoubt, 2, "in_doubt");
    write(&mut history, &AuditRecord::new(RecordType::KeyCreated, Timestamp::EPOCH).detail("key", "key_a"));
    history
}

#[track_caller]
fn spoiled(spoil: impl FnOnce(&mut History), found: &[Broken]) {
    let mut history = good();
    spoil(&mut history);
    assert_eq!(broken(&history), found.iter().cloned().collect::<BTreeSet<_>>());
}

#[test]
fn a_good_history_is_accepted() {
    spoiled(|_| {}, &[]);
}

#[test]
fn effects_are_counted() {
    spoiled(|history| history.effects.push("ticket A".into()), &[Broken::Effect("ticket A".into(), 2, 1)]);
    spoiled(|history| history.effects.clear(), &[Broken::Effect("ticket A".into(), 0, 1)]);
    spoiled(|history| history.effects.push("ticket B".into()), &[Broken::Effect("ticket B".into(), 1, 0)]);
    spoiled(|history| history.effects.push("ticket C".into()), &[Broken::Phantom("ticket C".into())]);
}

#[test]
fn what_was_told_is_held_against_the_disk() {
    let changed = [Broken::Changed("k1".into())];
    spoiled(|history| history.told[2].result = "{\"ticket\":2} null".into(), &changed);
    spoiled(|history| history.told[2].result = "{\"ticket\":1} {}".into(), &changed);
    spoiled(|history| history.told[0].call = id(9).to_string(), &changed);
    spoiled(|history| history.rows[0].output = "{\"ticket\":7}".into(), &changed);
    let lost = [Broken::Lost("k1".into()), Broken::End("k1".into(), "gone".into())];
    spoiled(|history| drop(history.rows.remove(0)), &lost);
}

#[test]
fn calls_end_where_they_must() {
    let end = |state: &str| Broken::End("k1".into(), state.into());
    spoiled(
        |history| history.rows[0].state = "running".into(),
        &[end("running"), Broken::Changed("k1".into()), Broken::Effect("ticket A".into(), 1, 0)],
    );
    spoiled(|history| history.rows[1].once = false, &[Broken::Doubt("k2".into())]);
    let again = row(1, "succeeded", "{\"ticket\":1}");
    spoiled(|history| history.rows.push(again), &[Broken::CallsOfOneKey("k1".into())]);
    spoiled(|history| append(history, RecordType::CallCompleted, 2, "succeeded"), &[Broken::Doubt("k2".into())]);
}

#[test]
fn the_log_and_the_keys_agree_with_the_rest() {
    let again = "call.completed says `succeeded` of call_01040g2081040g2081040g2081, which was closed";
    let found = [Broken::Completed("k1".into(), 2), Broken::Log(again.into())];
    spoiled(|history| append(history, RecordType::CallCompleted, 1, "succeeded"), &found);
    spoiled(|history| history.keys.clear(), &[Broken::Key("key_a".into())]);
    spoiled(|history| history.keys.push("key_b".into()), &[Broken::Key("key_b".into())]);
    let mut history = good();
    history.log[1].1 = Digest([0; 32]);
    assert!(matches!(broken(&history).first(), Some(Broken::Log(_))));
}

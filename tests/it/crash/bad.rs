//! The checker is shown a good history and many bad ones, and must accept the one and name what is wrong
//! with each of the others. A checker that cannot fail proves nothing.

use toolctl::domain::approval::Assurance;
use toolctl::domain::audit::{ApprovalFact, AuditRecord, RecordType, RequirementFact};
use toolctl::domain::digest::Digest;
use toolctl::domain::merkle::{Frontier, leaf_hash};
use toolctl::domain::time::Timestamp;

use super::check::{Answer, Broken, Head, History, Row, Ticket, broken};

fn id(number: usize) -> String {
    format!("call_01m84nsgrtfqka7av5h1rf{number:04}")
}

fn record(kind: RecordType, call: usize, state: &str) -> AuditRecord {
    let mut record = AuditRecord::new(kind, Timestamp::EPOCH);
    record.call = Some(id(call).parse().expect("a call id"));
    record.state = Some(state.to_owned());
    record
}

fn ticket(number: usize) -> Ticket {
    Ticket { id: i64::try_from(number).expect("a number"), title: format!("Ticket {number}") }
}

/// Three tickets, each acknowledged, and a log of three records of which clients saw sizes 1 and 3.
fn good() -> History {
    let mut history = History::default();
    for number in 1..=3 {
        history.asked.insert(ticket(number).title);
        history.tickets.push(ticket(number));
        history.calls.push(Row { id: id(number), key: format!("k{number}"), state: "succeeded".into() });
        history.answers.push(Answer {
            key: format!("k{number}"),
            call: id(number),
            output: format!("{{\"ticket\":{number}}}"),
            ticket: Some(ticket(number)),
            record: Some(number as u64 - 1),
        });
        append(&mut history, &record(RecordType::CallCompleted, number, "succeeded"));
    }
    history.remembered = vec![head(&history, 1), head(&history, 3)];
    history
}

fn append(history: &mut History, record: &AuditRecord) {
    let leaf = record.leaf();
    let hash = leaf_hash(leaf.as_bytes());
    history.log.push((leaf, hash));
    history.head = Some(head(history, history.log.len()));
}

fn head(history: &History, size: usize) -> Head {
    let mut frontier = Frontier::default();
    history.log.iter().take(size).for_each(|(leaf, _)| frontier.push(leaf_hash(leaf.as_bytes())));
    Head { size: frontier.size(), root: frontier.root() }
}

/// What is found when a good history is spoiled.
fn spoiled(spoil: impl FnOnce(&mut History)) -> Vec<Broken> {
    let mut history = good();
    spoil(&mut history);
    broken(&history).into_iter().collect()
}

#[test]
fn a_good_history_is_accepted() {
    assert_eq!(spoiled(|_| {}), []);
}

#[test]
fn an_effect_that_happened_twice_is_found() {
    let twice = spoiled(|history| history.tickets.push(Ticket { id: 4, ..ticket(2) }));
    assert!(twice.contains(&Broken::TicketTwice("Ticket 2".into())), "{twice:?}");
}

#[test]
fn a_lost_effect_is_found() {
    assert_eq!(spoiled(|history| drop(history.tickets.remove(1))), [Broken::TicketLost("Ticket 2".into())]);
}

#[test]
fn an_effect_under_another_number_is_found() {
    assert_eq!(spoiled(|history| history.tickets[1].id = 7), [Broken::TicketChanged("Ticket 2".into())]);
}

#[test]
fn an_effect_nobody_asked_for_is_found() {
    assert_eq!(spoiled(|history| history.tickets.push(ticket(9))), [Broken::TicketPhantom("Ticket 9".into())]);
}

#[test]
fn two_answers_for_one_key_are_found() {
    let other = |history: &mut History| {
        let answer = Answer { output: "{}".into(), ..history.answers[0].clone() };
        history.answers.push(answer);
    };
    assert_eq!(spoiled(other), [Broken::AnswersDiffer("k1".into())]);
}

#[test]
fn two_calls_of_one_key_are_found() {
    let two = |history: &mut History| history.calls.push(Row { id: id(8), ..history.calls[0].clone() });
    assert_eq!(spoiled(two), [Broken::CallsOfOneKey("k1".into())]);
}

#[test]
fn an_acknowledged_call_that_ended_otherwise_is_found() {
    assert_eq!(spoiled(|history| history.calls[2].state = "failed".into()), [Broken::CallLost("k3".into())]);
    assert_eq!(spoiled(|history| drop(history.calls.pop())), [Broken::CallLost("k3".into())]);
}

#[test]
fn calls_left_in_the_middle_are_found() {
    let more = |state: &'static str| {
        move |history: &mut History| history.calls.push(Row { id: id(8), key: "k8".into(), state: state.into() })
    };
    assert_eq!(spoiled(more("in_doubt")), [Broken::InDoubt(id(8))]);
    assert_eq!(spoiled(more("running")), [Broken::Unfinished(id(8))]);
    assert_eq!(spoiled(more("ready")), [Broken::Unfinished(id(8))]);
}

#[test]
fn a_log_that_was_longer_is_found() {
    let lost = spoiled(|history| {
        history.log.pop();
        history.head = Some(head(history, 2));
    });
    assert_eq!(lost, [Broken::RecordLost("k3".into()), Broken::LogShrank(3)]);
    assert_eq!(spoiled(|history| history.remembered.reverse()), [Broken::LogShrank(1)]);
}

#[test]
fn a_rewritten_past_is_found() {
    let rewritten = spoiled(|history| {
        let mut other = History::default();
        let mut first = record(RecordType::CallCompleted, 1, "succeeded");
        first.detail.insert("edited".into(), "yes".into());
        append(&mut other, &first);
        append(&mut other, &record(RecordType::CallCompleted, 2, "succeeded"));
        append(&mut other, &record(RecordType::CallCompleted, 3, "succeeded"));
        (history.log, history.head) = (other.log, other.head);
    });
    assert_eq!(rewritten, [Broken::LogRewritten(1), Broken::LogRewritten(3)]);
}

#[test]
fn an_edited_record_is_found() {
    let edited = spoiled(|history| history.log[1].0 = history.log[1].0.replace("succeeded", "failed"));
    assert!(
        edited.iter().any(|broken| matches!(broken, Broken::LogFaulty(what) if what.contains("hash differs"))),
        "{edited:?}"
    );
}

#[test]
fn a_head_that_is_not_the_logs_is_found() {
    let other = spoiled(|history| history.head = Some(Head { size: 3, root: Digest::plain(b"x") }));
    assert!(matches!(other.as_slice(), [Broken::LogFaulty(what)] if what.contains("another root")), "{other:?}");
}

#[test]
fn a_record_that_an_answer_rested_on_must_be_there() {
    assert_eq!(spoiled(|history| history.answers[0].record = Some(2)), [Broken::RecordLost("k1".into())]);
    assert_eq!(spoiled(|history| history.answers[0].record = Some(99)), [Broken::RecordLost("k1".into())]);
}

#[test]
fn a_call_that_ran_without_its_people_is_found() {
    let alone = spoiled(|history| {
        let mut asked = record(RecordType::ApprovalRequested, 4, "awaiting_approval");
        let need = RequirementFact {
            assurance: Assurance::A0,
            consent: false,
            group: "approvers".parse().expect("a group"),
            quorum: 1,
            rule: "people".into(),
        };
        asked.approval = Some(ApprovalFact {
            assurance: None,
            binding: Digest::plain(b"b"),
            evidence: None,
            groups: Vec::new(),
            requirements: vec![need],
            self_approved: false,
            verdict: None,
        });
        append(history, &asked);
        append(history, &record(RecordType::CallDispatched, 4, "running"));
        append(history, &record(RecordType::CallCompleted, 4, "succeeded"));
    });
    assert!(alone.iter().any(|broken| matches!(broken, Broken::LogFaulty(_))), "{alone:?}");
}

use super::*;
use crate::domain::json::{self, Limits};
use crate::domain::merkle::{Frontier, leaf_hash};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn id(n: u8) -> CallId {
    CallId::from_bytes([n; 16])
}

fn record(kind: RecordType, call: u8, state: &str) -> AuditRecord {
    AuditRecord { call: Some(id(call)), state: Some(state.to_owned()), ..AuditRecord::new(kind, NOW) }
}

fn asked(call: u8, quorum: u32) -> AuditRecord {
    let group: GroupName = "approvers".parse().unwrap();
    let need = RequirementFact { assurance: Assurance::A0, consent: false, group, quorum, rule: "r".into() };
    let fact = ApprovalFact { requirements: vec![need], ..ApprovalFact::consumed(Digest::plain(&[call])) };
    AuditRecord { approval: Some(fact), ..record(RecordType::ApprovalRequested, call, "awaiting_approval") }
}

fn vote(call: u8, who: &str, state: &str) -> AuditRecord {
    let fact = ApprovalFact {
        assurance: Some(Assurance::A0),
        groups: vec!["approvers".parse().unwrap()],
        verdict: Some(Verdict::Approve),
        ..ApprovalFact::consumed(Digest::plain(&[call]))
    };
    let actor = Some(who.parse().unwrap());
    AuditRecord { approval: Some(fact), actor, ..record(RecordType::ApprovalDecided, call, state) }
}

fn ran(call: u8) -> AuditRecord {
    let approval = Some(ApprovalFact::consumed(Digest::plain(&[call])));
    AuditRecord { approval, ..record(RecordType::CallDispatched, call, "running") }
}

fn good() -> Vec<AuditRecord> {
    vec![
        record(RecordType::CallDispatched, 1, "running"),
        asked(2, 2),
        vote(2, "user:a", "awaiting_approval"),
        record(RecordType::CallCompleted, 1, "succeeded"),
        vote(2, "user:b", "ready"),
        ran(2),
        record(RecordType::CallInDoubt, 2, "in_doubt"),
        record(RecordType::CallCompleted, 3, "failed"),
        record(RecordType::CallResolved, 2, "succeeded"),
        AuditRecord::new(RecordType::DaemonStopped, NOW),
    ]
}

fn verify(leaves: &[String], claimed: &[String]) -> Report {
    let mut frontier = Frontier::default();
    claimed.iter().for_each(|leaf| frontier.push(leaf_hash(leaf.as_bytes())));
    let mut verifier = Verifier::default();
    leaves.iter().for_each(|leaf| verifier.leaf(leaf.as_bytes(), None));
    verifier.finish(frontier.size(), &frontier.root())
}

fn leaves(records: &[AuditRecord]) -> Vec<String> {
    records.iter().map(AuditRecord::leaf).collect()
}

#[test]
fn a_leaf_is_written_in_canonical_form() {
    let mut full = vote(1, "user:a", "ready").detail("a\"\\\n\u{1}\u{7f}\u{2028}", "é\u{1f600}");
    full.attempt = Some(1);
    full.chain = vec!["agent:x".parse().unwrap()];
    full.commit.insert("/arguments".into(), Digest::plain(b""));
    full.commit.insert("/Z".into(), Digest::plain(b""));
    full.credential = Some("key_x".into());
    full.effect = Some(Effect::Unknown);
    full.error = Some("e".into());
    full.key = Some(Digest::plain(b"k"));
    full.policy = Some(PolicyFact { digest: Digest::plain(b"p"), rules: vec!["a".into()] });
    full.stage = Some(Stage::Policy);
    full.tool = Some("t".parse().unwrap());
    full.tool_digest = Some(Digest::plain(b"t"));
    for record in good().into_iter().chain([full]) {
        let leaf = record.leaf();
        let value = json::parse(leaf.as_bytes(), Limits::default()).unwrap();
        assert_eq!(json::canonical(&value), leaf);
        assert_eq!(serde_json::from_str::<AuditRecord>(&leaf).unwrap(), record);
    }
}

#[test]
fn a_clean_log_is_not_accused() {
    let good = leaves(&good());
    let report = verify(&good, &good);
    assert_eq!((report.records, report.verified, report.faults), (10, true, Vec::new()));
}

#[test]
fn every_edit_drop_reorder_and_insertion_is_found() {
    let good = leaves(&good());
    for at in 0..good.len() {
        let mut dropped = good.clone();
        dropped.remove(at);
        assert!(!verify(&dropped, &good).verified, "dropped {at}");
        let mut doubled = good.clone();
        doubled.insert(at, good[at].clone());
        assert!(!verify(&doubled, &good).verified, "doubled {at}");
        for to in (0..good.len()).filter(|to| *to != at) {
            let mut swapped = good.clone();
            swapped.swap(at, to);
            assert!(!verify(&swapped, &good).verified, "swapped {at} and {to}");
        }
        for byte in 0..good[at].len() {
            let mut edited = good.clone();
            let mut bytes = edited[at].clone().into_bytes();
            bytes[byte] ^= 1;
            edited[at] = String::from_utf8_lossy(&bytes).into_owned();
            assert!(!verify(&edited, &good).verified, "edited {at} at {byte}");
        }
    }
}

#[test]
fn a_call_that_ran_on_another_preview_is_found() {
    let story = |asked_about: &[(&str, &str)], seen: &[(&str, &str)]| {
        let say = |record: AuditRecord, facts: &[(&str, &str)]| {
            facts.iter().fold(record, |record, (name, value)| record.detail(name, *value))
        };
        let records = [say(asked(1, 1), asked_about), vote(1, "user:b", "ready"), say(ran(1), seen)];
        let leaves = leaves(&records);
        verify(&leaves, &leaves).faults.into_iter().map(|fault| fault.what).collect::<Vec<_>>()
    };
    let fault = "the call ran although its preview was not seen to say what people agreed to";
    assert_eq!(story(&[("preview", "a")], &[("preview", "a")]), [""; 0]);
    assert_eq!(story(&[("preview", "a")], &[("preview", "b")]), [fault]);
    assert_eq!(story(&[("preview", "a")], &[]), [fault], "nobody looked");
    assert_eq!(story(&[("preview_not_compared", "a")], &[]), [""; 0]);
    assert_eq!(story(&[("preview_failed", "a")], &[]), [""; 0]);
}

/// A call of `user:a` under a rule that takes its consent.
fn consenting(call: u8) -> AuditRecord {
    let mut asked = AuditRecord { actor: Some("user:a".parse().unwrap()), ..asked(call, 1) };
    asked.approval.iter_mut().flat_map(|fact| &mut fact.requirements).for_each(|need| need.consent = true);
    asked
}

fn consent(call: u8, who: &str) -> AuditRecord {
    let mut given = vote(call, who, "ready");
    if let Some(fact) = &mut given.approval {
        (fact.evidence, fact.groups) = (Some(Evidence::ClientElicitation), Vec::new());
    }
    given
}

#[test]
fn consent_carries_a_call_only_where_a_rule_said_so() {
    let history = leaves(&[consenting(2), consent(2, "user:a"), ran(2)]);
    assert_eq!(verify(&history, &history).faults, []);
    assert!(history[0].contains(r#"{"assurance":"A0","consent":true,"group""#), "{}", history[0]);
    assert!(history[1].contains(r#""evidence":"client-elicitation","verdict""#), "{}", history[1]);
    let own = |record: AuditRecord| AuditRecord { actor: Some("user:a".parse().unwrap()), ..record };
    let in_group = |mut record: AuditRecord| {
        record.approval.as_mut().unwrap().groups = vec!["approvers".parse().unwrap()];
        record
    };
    let signed = |mut record: AuditRecord| {
        let fact = record.approval.as_mut().unwrap();
        fact.requirements.iter_mut().for_each(|need| need.assurance = Assurance::A1);
        record
    };
    let cases = [
        ("no rule takes that", vec![own(asked(2, 1)), consent(2, "user:a"), ran(2)]),
        ("not its own", vec![consenting(2), consent(2, "user:b"), ran(2)]),
        ("as if it were a person", vec![consenting(2), in_group(consent(2, "user:a")), ran(2)]),
        ("without the 1 of", vec![signed(consenting(2)), consent(2, "user:a"), ran(2)]),
    ];
    for (expected, history) in cases {
        let history = leaves(&history);
        let report = verify(&history, &history);
        assert!(report.faults.iter().any(|fault| fault.what.contains(expected)), "{expected}: {report:?}");
    }
}

/// Histories whose hashes are right and which cannot have happened: a daemon that lies.
#[test]
fn what_cannot_have_happened_is_named_even_when_all_hashes_agree() {
    let foreign = AuditRecord { approval: Some(ApprovalFact::consumed(Digest::plain(b"x"))), ..ran(2) };
    let twice = vec![asked(2, 2), vote(2, "user:a", "awaiting_approval"), vote(2, "user:a", "ready"), ran(2)];
    let cases: Vec<(&str, Vec<AuditRecord>)> = vec![
        ("was not open", vec![record(RecordType::CallInDoubt, 1, "in_doubt")]),
        ("which was running", vec![record(RecordType::CallDispatched, 1, "running"); 2]),
        (
            "without the 1 of",
            vec![asked(2, 1), AuditRecord { state: Some("ready".into()), ..vote(2, "user:a", "") }, ran(2)]
                .into_iter()
                .map(|mut record| {
                    if let Some(fact) = record.approval.as_mut().filter(|fact| fact.verdict.is_some()) {
                        fact.verdict = Some(Verdict::Reject);
                    }
                    record
                })
                .collect(),
        ),
        ("without the 2 of", twice),
        ("another approval", vec![asked(2, 1), vote(2, "user:a", "ready"), foreign]),
        ("which was awaiting_approval", vec![asked(2, 1), ran(2)]),
        ("which was awaiting_approval", vec![asked(2, 1), record(RecordType::CallCompleted, 2, "succeeded")]),
        (
            "about its own call",
            vec![AuditRecord { actor: Some("user:a".parse().unwrap()), ..asked(2, 1) }, vote(2, "user:a", "ready")],
        ),
        ("other contents", vec![asked(2, 1), AuditRecord { call: Some(id(2)), ..vote(3, "user:a", "ready") }]),
        (
            "which was closed",
            vec![record(RecordType::CallCompleted, 1, "succeeded"), record(RecordType::CallResolved, 1, "failed")],
        ),
        ("which was closed", vec![record(RecordType::CallCompleted, 1, "succeeded"); 2]),
        (
            "which was closed",
            vec![
                asked(2, 1),
                record(RecordType::CallClosed, 2, "expired"),
                record(RecordType::CallDispatched, 2, "running"),
            ],
        ),
    ];
    for (expected, history) in cases {
        let history = leaves(&history);
        let report = verify(&history, &history);
        assert!(
            !report.verified && report.faults.iter().any(|fault| fault.what.contains(expected)),
            "{expected}: {report:?}"
        );
    }
}

#[test]
fn a_disclosure_opens_its_commitment_and_no_other() {
    let (salt, other) = ([1; 16], [2; 16]);
    let digest = commitment(&salt, "/arguments", r#"{"a":1}"#);
    assert_eq!(Digest::plain(disclosure(&salt, "/arguments", r#"{"a":1}"#).as_bytes()), digest);
    assert_ne!(commitment(&salt, "/output", r#"{"a":1}"#), digest);
    assert_ne!(commitment(&other, "/arguments", r#"{"a":1}"#), digest);
}

#[test]
fn what_a_failing_rule_says_of_the_arguments_stays_out_of_the_log() {
    use crate::domain::denial::Code;
    let denial = Denial::new(Stage::Policy, Code::PolicyEvaluationError, "denied")
        .log("integer overflow while attempting to add `4111111111111111` and `1`")
        .rules(vec!["big".to_owned(), "small".to_owned()]);
    let leaf = AuditRecord::denied(&denial, None, None, Some("pay"), NOW).leaf();
    assert!(!leaf.contains("4111"), "{leaf}");
    assert!(leaf.contains(r#""detail":{"rules":"big small"}"#), "{leaf}");
}

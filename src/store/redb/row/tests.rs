//! Rows read back what was written, and their bytes never change by accident.

use super::super::keys;
use super::super::table::{self, State};
use super::*;
use crate::domain::approval::{Decision, Evidence, Verdict};
use crate::domain::id::PrincipalId;
use crate::domain::merkle::Frontier;
use crate::domain::preview::Preview;
use crate::store::conformance::kit::{api_key, asking, at, call, decision, id};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn somebody() -> PrincipalId {
    "user:bo".parse().expect("a principal")
}

/// A call in every state, with every kind of outcome.
fn every_call() -> Vec<Call> {
    let output = Canonical::trusted("{}");
    let states = [
        CallState::Ready,
        CallState::Running { epoch: 3, again: Again::Harmless },
        CallState::Running { epoch: 300, again: Again::Until(at(5)) },
        CallState::Running { epoch: 3, again: Again::Never },
        CallState::InDoubt,
        CallState::Closed(Outcome::Succeeded { output: output.clone() }),
        CallState::Closed(Outcome::Failed {
            kind: FailureKind::Timeout,
            message: "too slow".to_owned(),
            output: Some(output),
            effect: Effect::Unknown,
        }),
        CallState::Closed(Outcome::Rejected { by: somebody(), reason: Some("no".to_owned()) }),
        CallState::Closed(Outcome::Expired),
        CallState::Closed(Outcome::Cancelled { by: somebody() }),
        CallState::Closed(Outcome::Stale { changed: "policy".to_owned() }),
        CallState::Closed(Outcome::Settled { by: somebody(), happened: true, note: None }),
    ];
    let mut calls: Vec<Call> = states.into_iter().map(|state| Call { state, ..call(1, at(1)) }).collect();
    let mut asked = asking(2, at(2));
    let yes = decision(&asked, Verdict::Approve, at(3));
    if let Some(approval) = asked.approval.as_mut() {
        approval.number = 17;
        approval.decisions.push(yes);
        approval.approved_at = Some(at(3));
    }
    calls.push(asked);
    calls.push(consented());
    calls.push(previewed(Ok(Canonical::trusted("[1]"))));
    calls.push(previewed(Err("it is not there".to_owned())));
    calls
}

/// A call whose people were shown a preview.
fn previewed(said: Result<Canonical, String>) -> Call {
    let mut asked = asking(4, at(2));
    if let Some(approval) = asked.approval.as_mut() {
        let binding = said.is_ok();
        approval.preview = Some(Preview { tool: "ticket.plan".parse().expect("a name"), said, binding });
    }
    asked
}

/// A call whose rule takes the caller's consent, and got it.
fn consented() -> Call {
    let mut asked = asking(3, at(2));
    let yes = decision(&asked, Verdict::Approve, at(3));
    if let Some(approval) = asked.approval.as_mut() {
        approval.requirements.iter_mut().for_each(|need| need.consent = true);
        approval.decisions.push(Decision { evidence: Evidence::ClientElicitation, ..yes });
    }
    asked
}

#[test]
fn a_call_reads_back_as_it_was() {
    for call in every_call() {
        let row = encode_call(&call).expect("encoded");
        assert_eq!(decode_call(call.id, &row), Ok(Some(call)));
    }
}

#[test]
fn a_damaged_or_newer_row_is_no_panic() {
    let row = encode_call(&call(1, at(1))).expect("encoded");
    for length in 0..row.len() {
        assert!(decode_call(id(at(1), 1), &row[..length]).is_err(), "{length}");
    }
    let mut newer = row;
    newer[0] = 2;
    let error = decode_call(id(at(1), 1), &newer).expect_err("newer");
    assert_eq!(error.why, "a row has version 2, newer than this program");
}

/// If this fails, stores that people have cannot be read any more: write a new version of the row instead.
#[test]
fn the_bytes_of_rows_stay_as_they_are() {
    let calls = every_call();
    let rows: Vec<Vec<u8>> = calls.iter().map(|call| encode_call(call).expect("encoded")).collect();
    let digests: Vec<String> = rows.iter().map(|row| Digest::plain(row).short()).collect();
    assert_eq!(digests, DIGESTS, "the digests of the rows of calls");
    let mut frontier = Frontier::default();
    frontier.push(Digest([5; 32]));
    let state = State { frontier, numbers: 300, epoch: 2, policy: Some(Digest([6; 32])), indexed: 1 };
    let found = [
        hex(&rows[0]),
        hex(&encode_tombstone(&calls[5]).expect("encoded")),
        hex(&keys::encode(&api_key("childchild00", Some("parentparent"))).expect("encoded")),
        hex(&state.encode().expect("encoded")),
        hex(&table::encode_leaf("{}", &Digest([8; 32]))),
    ];
    assert_eq!(found, BYTES);
    assert_eq!(State::decode(&state.encode().expect("encoded")), Ok(state));
}

const DIGESTS: [&str; 16] = [
    "ad475a44", "01495fe4", "61cab867", "a166614a", "08e48222", "4e943c2c", "5f06c590", "b2b73e86", "80ceb1d8",
    "231ea733", "3274f264", "7abed247", "a53bbc8e", "a3864adc", "bf832abe", "ae50fced",
];

/// A ready call, a tombstone, an API key, the state, and a record.
const BYTES: [&str; 5] = [
    "01000d7469636b65742e6372656174657c9bbe5ec9b3fb774e8fa0f54247e93c34ddf8e5d16fe3073420de0ae81a262d0307\
     6167656e743a6101e80700056b65792d3186caf044b1b0a2baa9bc7d4cbd4f033f9781ea1715ee407bf4187258db47427924\
     7b22637573746f6d65725f6964223a312c227469746c65223a227469636b65742031227dfb6c4e8765af0bfcc4b0af332c04\
     d18a128d7382d67d784f7756c84933f8cfec07070707070707070707070707070707011274686520637573746f6d65722061\
     736b6564808987b19fbbb006808987b19fbbb006000001",
    "01010ddd001335db9a5d8e5d227e2ebf6092801a8a119cc42b2648f33aba96db3b5c86caf044b1b0a2baa9bc7d4cbd4f033f\
     9781ea1715ee407bf4187258db47427909737563636565646564808987b19fbbb006",
    "010303030303030303030303030303030303030303030303030303030303030303076167656e743a610101066167656e7473\
     00000c6368696c646368696c64303001087469636b65742e2a01030109757365723a616e6e6180808db09fbbb0060000010c\
     706172656e74706172656e74",
    "0101010505050505050505050505050505050505050505050505050505050505050505ac0202010606060606060606060606\
     06060606060606060606060606060606060606060601",
    "0108080808080808080808080808080808080808080808080808080808080808087b7d",
];

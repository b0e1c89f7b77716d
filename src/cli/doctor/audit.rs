//! The log: its last records are those that were written, as far as can be said in a few seconds. A small log is
//! verified whole.

use std::time::Duration;

use super::{Exam, Finding, Health};
use crate::api::audit::{self, Head, Line, ReadAudit};
use crate::api::endpoint::Nothing;
use crate::cli::error::{CliError, Exit};
use crate::cli::text::relative;
use crate::client::ClientError;
use crate::domain::audit::{AuditRecord, Verifier};
use crate::domain::digest::Digest;
use crate::domain::merkle::leaf_hash;

/// Records looked at, at most.
const MOST: u64 = 2_000;
/// How long that may take.
const BUDGET: Duration = Duration::from_secs(5);

/// The last records are those that were written.
pub fn records(exam: &Exam<'_>) -> Vec<Finding> {
    if exam.healthy.is_err() || exam.me.is_err() {
        return Vec::new();
    }
    let answer = exam.cx.client().and_then(|client| {
        let tail = async {
            let head = client.send::<audit::Checkpoint>(&Nothing {}, BUDGET).await?;
            let from = head.size.saturating_sub(MOST);
            let request = ReadAudit { from: Some(from), limit: Some(head.size - from), ..ReadAudit::default() };
            let mut stream = client.stream::<audit::Read>(&request, BUDGET).await?;
            let mut lines = Vec::new();
            while let Some(line) = stream.next().await? {
                lines.push(line);
            }
            Ok::<(Head, Vec<Line>), ClientError>((head, lines))
        };
        exam.cx.run(async { tokio::time::timeout(BUDGET, tail).await })
    });
    vec![match answer {
        Ok(Ok(Ok((head, lines)))) => judge(exam, &head, &lines),
        Ok(Ok(Err(error))) => {
            let error = CliError::from(error);
            // Who may not read the log cannot check it, which is nobody's fault.
            let health = if error.exit == Exit::Denied { Health::Ok } else { Health::Warning };
            Finding::failed("audit", health, &error)
        }
        Ok(Err(_)) => {
            Finding::warning("audit", format!("not read within {} s", BUDGET.as_secs())).fix("toolctl audit verify")
        }
        Err(error) => Finding::failed("audit", Health::Warning, &error),
    }]
}

fn judge(exam: &Exam<'_>, head: &Head, lines: &[Line]) -> Finding {
    let faults = faults(head, lines);
    if let Some(fault) = faults.first() {
        return Finding::problem("audit", format!("the log is not what it claims to be: {fault}"))
            .fix("toolctl audit verify, and keep a copy of the store as it is");
    }
    let last = lines.last().and_then(|line| serde_json::from_str::<AuditRecord>(&line.leaf).ok());
    let age = last.map(|record| format!(", the last one {}", relative(&record.at.to_string(), exam.cx.now())));
    let age = age.unwrap_or_default();
    if head.size <= MOST {
        return Finding::ok("audit", format!("{} records verified{age}", head.size));
    }
    let message = format!("the last {MOST} of {} records have their hashes{age}", head.size);
    Finding::ok("audit", format!("{message}; `toolctl audit verify` looks at all of them"))
}

/// What is wrong with the last records of a log.
fn faults(head: &Head, lines: &[Line]) -> Vec<String> {
    let hash = |line: &Line| line.hash.parse::<Digest>().unwrap_or(Digest([0; 32]));
    if head.size <= MOST {
        let Ok(root) = head.root.parse() else { return vec!["its root is malformed".to_owned()] };
        let mut verifier = Verifier::default();
        for line in lines {
            verifier.leaf(line.leaf.as_bytes(), Some(&hash(line)));
        }
        return verifier.finish(head.size, &root).faults.into_iter().map(|fault| fault.what).collect();
    }
    let mut faults = Vec::new();
    for (line, index) in lines.iter().zip(head.size - MOST..) {
        if line.index != index {
            faults.push(format!("record {index} is missing"));
            return faults;
        }
        if leaf_hash(line.leaf.as_bytes()) != hash(line) {
            faults.push(format!("record {index} is not the one that was written: its hash differs"));
        }
    }
    if lines.len() as u64 != MOST {
        faults.push(format!("it claims {} records, and the last are missing", head.size));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(size: u64) -> (Head, Vec<Line>) {
        let lines = (size - MOST..size).map(|index| {
            let leaf = format!("{{\"n\":{index}}}");
            Line { index, hash: leaf_hash(leaf.as_bytes()).to_string(), leaf }
        });
        (Head { size, root: "sha256:00".into() }, lines.collect())
    }

    #[test]
    fn the_end_of_a_long_log_is_held_against_its_hashes() {
        let (head, lines) = log(5_000);
        assert_eq!(faults(&head, &lines), Vec::<String>::new());
        let mut altered = lines.clone();
        altered[7].leaf = "{}".into();
        assert_eq!(faults(&head, &altered), ["record 3007 is not the one that was written: its hash differs"]);
        let mut short = lines.clone();
        short.remove(9);
        assert_eq!(faults(&head, &short), ["record 3009 is missing"]);
        assert_eq!(faults(&head, &lines[..9]), ["it claims 5000 records, and the last are missing"]);
    }
}

//! `audit`: read the log, take it away, and re-derive everything from it without trusting the daemon.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::record;
use crate::api::audit::{self, Head, Line, ReadAudit};
use crate::api::endpoint::Nothing;
use crate::cli::args::{AuditCommand, AuditFilter};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::table::Table;
use crate::cli::text::escape_untrusted;
use crate::cli::ui::Tone;
use crate::domain::audit::{Report, Verifier};
use crate::domain::denial::Violation;
use crate::domain::digest::Digest;

/// Bytes of one line of an export at most: far above any record.
const LONGEST_LINE: u64 = 4 << 20;

/// Reads, exports or verifies.
///
/// # Errors
/// Exit 13 when the log does not verify; the daemon's own.
pub fn run(cx: &Context, command: AuditCommand) -> Result<Exit, CliError> {
    match command {
        AuditCommand::Tail { follow, lines, filter } => {
            let request = ReadAudit { last: Some(lines), follow: follow.then_some(true), ..filtered(cx, filter)? };
            cx.stream::<audit::Read>(&request, follow, |line| {
                cx.ui.stream(&record::document(&line), || {
                    let mut table = Table::new(record::HEADER, "");
                    table.row(record::cells(&line, cx.now()));
                    if cx.ui.for_people() { table.one_line() } else { table.for_programs().trim_end().to_owned() }
                })
            })?;
        }
        AuditCommand::Query { until, call, limit, filter } => {
            let until = cx.moment(until.as_deref())?;
            let request = ReadAudit { until, call, limit: Some(limit), ..filtered(cx, filter)? };
            let mut documents = Vec::new();
            let mut table = Table::new(record::HEADER, "no records");
            cx.stream::<audit::Read>(&request, false, |line| {
                table.row(record::cells(&line, cx.now()));
                documents.push(record::document(&line));
                Ok(())
            })?;
            cx.ui.list(&documents, &documents, &table)?;
        }
        AuditCommand::Show { index } => {
            let request = ReadAudit { from: Some(index), limit: Some(1), ..ReadAudit::default() };
            let mut found = None;
            cx.stream::<audit::Read>(&request, false, |line| {
                found = Some(line).filter(|line| line.index == index);
                Ok(())
            })?;
            let Some(line) = found else { return Err(CliError::usage(format!("there is no record {index}"))) };
            cx.ui.document(&record::document(&line))?;
        }
        AuditCommand::Export { out } => export(cx, out.as_deref())?,
        AuditCommand::Verify { file, data_dir } => return verify(cx, file.as_deref(), data_dir.as_deref()),
    }
    Ok(Exit::Done)
}

/// The first line of an export.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// Version of this format: 1.
    toolctl_log: u8,
    /// How many records follow.
    size: u64,
    /// The Merkle root over them.
    root: Digest,
}

impl Header {
    fn of(head: &Head) -> Result<Self, CliError> {
        let root = head.root.parse().map_err(|error| {
            CliError::new(Exit::VerifyFailed, "verification-failed", format!("the daemon's root is malformed: {error}"))
        })?;
        Ok(Self { toolctl_log: 1, size: head.size, root })
    }
}

fn filtered(cx: &Context, filter: AuditFilter) -> Result<ReadAudit, CliError> {
    let since = cx.moment(filter.since.as_deref())?;
    Ok(ReadAudit { since, tool: filter.tool, actor: filter.actor, kind: filter.kind, ..ReadAudit::default() })
}

fn export(cx: &Context, out: Option<&Path>) -> Result<(), CliError> {
    let head = cx.send::<audit::Checkpoint>(&Nothing {})?;
    let header = Header::of(&head)?;
    match out {
        None => leaves(cx, &header, |bytes| cx.ui.out_bytes(bytes, false))?,
        Some(path) => {
            let failed = |error| CliError::io(format!("cannot write `{}`", path.display()), &error);
            let mut file = BufWriter::new(File::create(path).map_err(failed)?);
            leaves(cx, &header, |bytes| file.write_all(bytes).map_err(failed))?;
            file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
        }
    }
    cx.ui.out_bytes(b"", true)?;
    cx.ui.note(&format!("{} records, root {}", header.size, header.root));
    Ok(())
}

/// Hands on the header and every leaf, a line each.
fn leaves(cx: &Context, header: &Header, mut write: impl FnMut(&[u8]) -> Result<(), CliError>) -> Result<(), CliError> {
    let line = serde_json::to_string(header).unwrap_or_default();
    write(line.as_bytes())?;
    write(b"\n")?;
    all(cx, header.size, |line| {
        write(line.leaf.as_bytes())?;
        write(b"\n")
    })
}

/// The first `size` records, in as many pages as the daemon makes of them.
fn all(cx: &Context, size: u64, mut take: impl FnMut(Line) -> Result<(), CliError>) -> Result<(), CliError> {
    let mut next = 0;
    while next < size {
        let before = next;
        let request = ReadAudit { from: Some(next), limit: Some(size - next), ..ReadAudit::default() };
        cx.stream::<audit::Read>(&request, false, |line| {
            next += 1;
            take(line)
        })?;
        if next == before {
            // The verifier and the reader of an export see that records are missing.
            break;
        }
    }
    Ok(())
}

fn verify(cx: &Context, file: Option<&Path>, data_dir: Option<&Path>) -> Result<Exit, CliError> {
    let report = match (file, data_dir) {
        (None, Some(state)) => offline(state)?,
        (Some(path), _) if path == Path::new("-") => verify_export(io::stdin().lock())?,
        (Some(path), _) => {
            let file =
                File::open(path).map_err(|error| CliError::io(format!("cannot read `{}`", path.display()), &error))?;
            verify_export(BufReader::new(file))?
        }
        (None, None) => {
            let header = Header::of(&cx.send::<audit::Checkpoint>(&Nothing {})?)?;
            let mut verifier = Verifier::default();
            all(cx, header.size, |line| {
                // A hash that cannot be read is as wrong as another one.
                let stored = line.hash.parse().unwrap_or(Digest([0; 32]));
                verifier.leaf(line.leaf.as_bytes(), Some(&stored));
                Ok(())
            })?;
            verifier.finish(header.size, &header.root)
        }
    };
    cx.ui.show(&report, || {
        let word =
            if report.verified { cx.ui.paint(Tone::Good, "verified") } else { cx.ui.paint(Tone::Bad, "not verified") };
        format!("{word}: {} records, root {}", report.records, report.root)
    })?;
    judge(&report)
}

/// Verifies the store of a daemon that is not running.
fn offline(state: &Path) -> Result<Report, CliError> {
    crate::daemon::inspect::verify(state)
        .map_err(|cannot| CliError::new(Exit::Failure, "store", cannot.to_string()).hint(cannot.hint()))
}

fn judge(report: &Report) -> Result<Exit, CliError> {
    if report.verified {
        return Ok(Exit::Done);
    }
    let faults = report
        .faults
        .iter()
        .map(|fault| Violation {
            path: fault.index.map_or_else(|| "log".to_owned(), |index| format!("record {index}")),
            message: escape_untrusted(&fault.what),
        })
        .collect();
    Err(CliError::new(Exit::VerifyFailed, "verification-failed", "the log is not what it claims to be")
        .hint("keep this copy as it is, and compare it with an earlier export or checkpoint")
        .errors(faults))
}

/// Verifies an export, from its own bytes alone.
fn verify_export(mut export: impl BufRead) -> Result<Report, CliError> {
    let broken =
        |what: &str| CliError::new(Exit::VerifyFailed, "verification-failed", format!("this is no export: {what}"));
    let Some(first) = next_line(&mut export)? else { return Err(broken("it is empty")) };
    let header: Header = serde_json::from_slice(&first).map_err(|_| broken("its first line is not a header"))?;
    if header.toolctl_log != 1 {
        return Err(broken("its version is not 1"));
    }
    let mut verifier = Verifier::default();
    while let Some(leaf) = next_line(&mut export)? {
        verifier.leaf(&leaf, None);
    }
    Ok(verifier.finish(header.size, &header.root))
}

fn next_line(export: &mut impl BufRead) -> Result<Option<Vec<u8>>, CliError> {
    let mut line = Vec::new();
    let read = io::Read::take(&mut *export, LONGEST_LINE).read_until(b'\n', &mut line);
    if read.map_err(|error| CliError::io("cannot read the export", &error))? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command::script::play;
    use crate::cli::ui::Seen;
    use crate::domain::audit::{AuditRecord, RecordType};
    use crate::domain::merkle::{Frontier, leaf_hash};
    use crate::domain::time::Timestamp;

    fn sample() -> String {
        let leaves: Vec<String> = (0..5)
            .map(|n| {
                AuditRecord::new(RecordType::DaemonStarted, Timestamp::from_micros(n)).detail("n", n.to_string()).leaf()
            })
            .collect();
        let mut frontier = Frontier::default();
        for leaf in &leaves {
            frontier.push(leaf_hash(leaf.as_bytes()));
        }
        let header = Header { toolctl_log: 1, size: frontier.size(), root: frontier.root() };
        format!("{}\n{}\n", serde_json::to_string(&header).expect("JSON"), leaves.join("\n"))
    }

    #[test]
    fn an_export_verifies_as_it_was_written() {
        let report = verify_export(sample().as_bytes()).expect("read");
        assert!(report.verified, "{report:?}");
        assert_eq!((report.records, judge(&report)), (5, Ok(Exit::Done)));
        assert!(sample().starts_with("{\"toolctl_log\":1,\"size\":5,\"root\":\"sha256:"), "{}", sample());
    }

    #[test]
    fn every_kind_of_tampering_is_found() {
        let whole = sample();
        let lines: Vec<&str> = whole.lines().collect();
        let join = |lines: &[&str]| lines.join("\n") + "\n";
        let mut swapped = lines.clone();
        swapped.swap(2, 3);
        let mut repeated = lines.clone();
        repeated.insert(2, lines[2]);
        for (what, export) in [
            ("an edit", whole.replacen("\"n\":\"3\"", "\"n\":\"4\"", 1)),
            ("a dropped record", join(&[&lines[..3], &lines[4..]].concat())),
            ("a cut end", join(&lines[..5])),
            ("two records swapped", join(&swapped)),
            ("a record repeated", join(&repeated)),
            ("white space", whole.replacen("{\"at\"", "{ \"at\"", 1)),
            ("another root", whole.replacen("sha256:", "sha256:0", 1)),
            ("an empty file", String::new()),
            ("no header", join(&lines[1..])),
        ] {
            let exit = verify_export(export.as_bytes()).and_then(|report| judge(&report)).map_err(|error| error.exit);
            assert_eq!(exit, Err(Exit::VerifyFailed), "{what}");
        }
    }

    /// What a daemon with the sample's log answers: its head, and its records in two pages.
    fn daemon(spoil: Option<usize>) -> Vec<crate::cli::command::script::Answer> {
        let whole = sample();
        let (header, leaves) = whole.split_once('\n').expect("a header");
        let header: Header = serde_json::from_str(header).expect("JSON");
        let lines: Vec<String> = leaves
            .lines()
            .enumerate()
            .map(|(index, leaf)| {
                let hash = if spoil == Some(index) { Digest([0; 32]) } else { leaf_hash(leaf.as_bytes()) };
                let line = Line { index: index as u64, hash: hash.to_string(), leaf: leaf.to_owned() };
                serde_json::to_string(&line).expect("JSON") + "\n"
            })
            .collect();
        let head = serde_json::json!(Head { size: header.size, root: header.root.to_string() });
        let page = |lines: &[String]| Some((200, serde_json::Value::String(lines.concat())));
        vec![Some((200, head)), page(&lines[..3]), page(&lines[3..])]
    }

    #[test]
    fn the_log_of_a_daemon_is_verified_page_by_page() {
        let played = play(Seen::default(), daemon(None), |cx| verify(cx, None, None));
        assert_eq!(played.result, Ok(Exit::Done));
        assert_eq!(played.asked[1..], ["GET /v1/audit?from=0&limit=5", "GET /v1/audit?from=3&limit=2"]);
        let played = play(Seen::default(), daemon(Some(4)), |cx| verify(cx, None, None));
        let error = played.result.expect_err("another hash is stored");
        assert_eq!((error.exit, error.details.errors[0].path.as_str()), (Exit::VerifyFailed, "record 4"));
        assert!(played.out.contains("\"verified\":false"), "{}", played.out);
    }

    #[test]
    fn an_export_is_the_log_byte_for_byte() {
        let played = play(Seen::default(), daemon(None), |cx| export(cx, None));
        assert_eq!((played.result, played.out), (Ok(()), sample()));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let played = play(Seen::default(), daemon(None), |cx| export(cx, Some(&path)));
        assert_eq!((played.result, played.out.as_str()), (Ok(()), ""));
        assert_eq!(std::fs::read_to_string(path).expect("written"), sample());
    }
}

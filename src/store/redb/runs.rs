//! Runs of workflows in redb: a row each, small and few beside those of calls.

use redb::{ReadTransaction, ReadableTable as _};
use serde::{Deserialize, Serialize};

use crate::domain::audit::AuditRecord;
use crate::domain::id::{PrincipalId, RunId};
use crate::domain::json::Canonical;
use crate::domain::run::{Detached, Run, RunEnd, RunVerdict};
use crate::domain::time::Timestamp;
use crate::pipeline::port::{Retention, Runs, Unavailable, Wait};

use super::super::decide;
use super::super::failpoint::Point;
use super::RedbStore;
use super::batch::{Batch, Leaf};
use super::row;
use super::row_word::CredentialRow;
use super::table::RUNS;

/// The most rows that one listing reads.
const MOST_READ: usize = 100_000;

/// What stands in front of a [`LeftRow`] in place of the usual version: rows of this kind only.
const LEFT: u8 = 2;

#[derive(Debug, Serialize, Deserialize)]
struct RunRow<'a> {
    workflow: &'a str,
    plan: &'a str,
    began_at: i64,
    #[serde(borrow)]
    end: Option<EndRow<'a>>,
}

/// A run that was left to the daemon; others are rows as they were before there was such a thing.
#[derive(Debug, Serialize, Deserialize)]
struct LeftRow<'a> {
    #[serde(borrow)]
    run: RunRow<'a>,
    #[serde(borrow)]
    credential: CredentialRow<'a>,
    at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct EndRow<'a> {
    verdict: u8,
    detail: &'a str,
    at: i64,
}

impl Runs for RedbStore {
    fn begin_run(&self, run: Run, record: AuditRecord) -> Wait<'_, Result<(Run, bool), Unavailable>> {
        Box::pin(async move {
            let (key, bytes, leaf) = (key(&run.principal, &run.id), encode(&run)?, Leaf::of(&record));
            let write = self.writer.write(move |batch| {
                if let Some(known) = find(batch, &key)? {
                    return Ok((known, false));
                }
                batch.mark(Point::Run);
                batch.put_run(&key, &bytes)?;
                batch.append(&leaf)?;
                Ok((run, true))
            });
            write.await
        })
    }

    fn end_run(
        &self,
        principal: PrincipalId,
        id: RunId,
        end: RunEnd,
        record: AuditRecord,
    ) -> Wait<'_, Result<Option<(Run, bool)>, Unavailable>> {
        let leaf = Leaf::of(&record);
        Box::pin(self.writer.write(move |batch| {
            let key = key(&principal, &id);
            let Some(mut run) = find(batch, &key)? else { return Ok(None) };
            if run.end.is_some() {
                return Ok(Some((run, false)));
            }
            run.finish(end);
            batch.mark(Point::Run);
            batch.put_run(&key, &encode(&run)?)?;
            batch.append(&leaf)?;
            Ok(Some((run, true)))
        }))
    }

    fn detach_run(
        &self,
        principal: PrincipalId,
        id: RunId,
        detached: Detached,
        record: AuditRecord,
    ) -> Wait<'_, Result<Option<(Run, bool)>, Unavailable>> {
        let leaf = Leaf::of(&record);
        Box::pin(self.writer.write(move |batch| {
            let key = key(&principal, &id);
            let Some(mut run) = find(batch, &key)? else { return Ok(None) };
            if !decide::takes(&run, &detached) {
                return Ok(Some((run, false)));
            }
            run.detached = Some(detached);
            batch.mark(Point::Run);
            batch.put_run(&key, &encode(&run)?)?;
            batch.append(&leaf)?;
            Ok(Some((run, true)))
        }))
    }

    fn release_run(&self, principal: PrincipalId, id: RunId, record: AuditRecord) -> Wait<'_, Result<(), Unavailable>> {
        let leaf = Leaf::of(&record);
        Box::pin(self.writer.write(move |batch| {
            let key = key(&principal, &id);
            let Some(run) = find(batch, &key)?.filter(decide::is_to_be_released) else { return Ok(()) };
            batch.mark(Point::Run);
            batch.put_run(&key, &encode(&Run { detached: None, ..run })?)?;
            batch.append(&leaf)?;
            Ok(())
        }))
    }

    fn detached(&self) -> Wait<'_, Result<Vec<Run>, Unavailable>> {
        self.scan(|core| core.read(|txn| every(txn, |run| run.detached.is_some())))
    }

    fn find_run<'a>(&'a self, principal: &'a PrincipalId, id: &'a RunId) -> Wait<'a, Result<Option<Run>, Unavailable>> {
        self.look(move |txn| {
            let Some(runs) = super::desk::existing(txn, RUNS)? else { return Ok(None) };
            let key = key(principal, id);
            let row = runs.get(key.as_str()).map_err(Unavailable::new)?;
            row.map(|row| decode(&key, row.value())).transpose()
        })
    }

    fn runs(&self, principal: Option<PrincipalId>, limit: usize) -> Wait<'_, Result<Vec<Run>, Unavailable>> {
        self.scan(move |core| {
            let mut runs =
                core.read(|txn| every(txn, |run| principal.as_ref().is_none_or(|who| run.principal == *who)))?;
            runs.sort_by(|a, b| b.began_at.cmp(&a.began_at).then_with(|| b.id.cmp(&a.id)));
            runs.truncate(limit);
            Ok(runs)
        })
    }
}

/// Keys of runs that are old enough to be forgotten.
pub(super) fn old(txn: &ReadTransaction, now: Timestamp, retention: Retention) -> Result<Vec<String>, Unavailable> {
    let runs = every(txn, |run| decide::is_old_run(run, now, retention))?;
    Ok(runs.iter().map(|run| key(&run.principal, &run.id)).collect())
}

/// Forgets a run if it is old.
pub(super) fn forget(
    batch: &mut Batch<'_>,
    key: &str,
    now: Timestamp,
    retention: Retention,
) -> Result<bool, Unavailable> {
    let is_old = find(batch, key)?.is_some_and(|run| decide::is_old_run(&run, now, retention));
    if is_old {
        batch.remove_run(key)?;
    }
    Ok(is_old)
}

fn every(txn: &ReadTransaction, wanted: impl Fn(&Run) -> bool) -> Result<Vec<Run>, Unavailable> {
    let Some(runs) = super::desk::existing(txn, RUNS)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for row in runs.iter().map_err(Unavailable::new)?.take(MOST_READ) {
        let (key, row) = row.map_err(Unavailable::new)?;
        let run = decode(key.value(), row.value())?;
        if wanted(&run) {
            found.push(run);
        }
    }
    Ok(found)
}

fn find(batch: &mut Batch<'_>, key: &str) -> Result<Option<Run>, Unavailable> {
    batch.run_row(key, |row| decode(key, row))
}

fn key(principal: &PrincipalId, id: &RunId) -> String {
    format!("{principal}\n{id}")
}

fn encode(run: &Run) -> Result<Vec<u8>, Unavailable> {
    let end = run.end.as_ref().map(|end| EndRow {
        verdict: match end.verdict {
            RunVerdict::Succeeded => 0,
            RunVerdict::Failed => 1,
            RunVerdict::Cancelled => 2,
        },
        detail: end.detail.as_str(),
        at: end.at.micros(),
    });
    let row = RunRow { workflow: &run.workflow, plan: run.plan.as_str(), began_at: run.began_at.micros(), end };
    let Some(detached) = &run.detached else { return row::encode(&row) };
    let (credential, at) = (CredentialRow::of(&detached.credential), detached.at.micros());
    row::encode_as(LEFT, &LeftRow { run: row, credential, at })
}

fn decode(key: &str, bytes: &[u8]) -> Result<Run, Unavailable> {
    let (row, detached) = match bytes.first() {
        Some(&LEFT) => {
            let LeftRow { run, credential, at } = row::decode_as(LEFT, bytes)?;
            (run, Some(Detached { credential: credential.credential()?, at: Timestamp::from_micros(at) }))
        }
        _ => (row::decode(bytes)?, None),
    };
    let (principal, id) = key.split_once('\n').ok_or_else(|| Unavailable::new("a run has no id"))?;
    let end = row.end.map(|end| {
        let verdict = match end.verdict {
            0 => RunVerdict::Succeeded,
            1 => RunVerdict::Failed,
            2 => RunVerdict::Cancelled,
            other => return Err(Unavailable::new(format!("a run ended in the unknown way {other}"))),
        };
        Ok(RunEnd { verdict, detail: Canonical::trusted(end.detail), at: Timestamp::from_micros(end.at) })
    });
    Ok(Run {
        principal: principal.parse().map_err(Unavailable::new)?,
        id: id.parse().map_err(Unavailable::new)?,
        workflow: row.workflow.to_owned(),
        plan: Canonical::trusted(row.plan),
        began_at: Timestamp::from_micros(row.began_at),
        end: end.transpose()?,
        detached,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::principal::Credential;

    #[test]
    fn the_bytes_of_rows_stay_as_they_are() {
        let run = Run {
            principal: "os:7".parse().unwrap(),
            id: "r".parse().unwrap(),
            workflow: "w".to_owned(),
            plan: Canonical::trusted("{}"),
            began_at: Timestamp::from_micros(1),
            end: None,
            detached: None,
        };
        let at = Timestamp::from_micros(2);
        let left = Run { detached: Some(Detached { credential: Credential::Peer(7), at }), ..run.clone() };
        for (run, bytes) in
            [(run, b"\x01\x01w\x02{}\x02\x00".as_slice()), (left, b"\x02\x01w\x02{}\x02\x00\x01\x07\x04".as_slice())]
        {
            assert_eq!(encode(&run).unwrap(), bytes);
            assert_eq!(decode("os:7\nr", bytes).unwrap(), run);
            assert!(decode("os:7\nr", &bytes[..bytes.len() - 1]).is_err());
        }
        let newer = decode("os:7\nr", b"\x03\x01w").unwrap_err();
        assert!(newer.why.contains("newer than this program"), "{newer}");
    }
}

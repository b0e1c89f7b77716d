//! What happens without a caller: a starting daemon takes over what the last one left, deadlines pass, old
//! results go, and counted refusals reach the log. Nothing is ever approved, retried or allowed here because
//! time passed.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::call::{CallEvent, CallState};
use crate::domain::denial::Denial;
use crate::domain::time::Timestamp;

use super::port::{Advanced, Conditions, Unavailable};
use super::{Pipeline, unavailable};

/// How often old results are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How many calls one transaction prunes.
const PRUNE_MOST: usize = 1_000;
/// How often counted refusals reach the log.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// What a starting daemon found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Calls that start again, as that is harmless or they had not started.
    pub restarted: usize,
    /// Calls nobody knows the outcome of.
    pub in_doubt: usize,
}

impl Pipeline {
    /// Takes over the calls that an earlier daemon left: what was running has lost its runner; what was
    /// ready starts. Called once, before any door opens.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn recover(self: &Arc<Self>) -> Result<Recovered, Unavailable> {
        let mut found = Recovered::default();
        for call in self.ports.ledger.unfinished().await? {
            let state = match call.state {
                CallState::Running { epoch, .. } if epoch != self.epoch => {
                    let now = self.ports.clock.now();
                    match self.ports.ledger.advance(call.id, CallEvent::Lost, Conditions::default(), now).await? {
                        Advanced::Done(recorded) => recorded.call.state,
                        Advanced::Illegal(_, call) => call.state,
                        Advanced::NotFound | Advanced::PolicyChanged | Advanced::CredentialGone(_) => continue,
                    }
                }
                state => state,
            };
            match state {
                CallState::Ready => {
                    found.restarted += 1;
                    self.spawn_ready(call.id);
                }
                CallState::InDoubt => found.in_doubt += 1,
                CallState::AwaitingApproval | CallState::Running { .. } | CallState::Closed(_) => {}
            }
        }
        Ok(found)
    }

    /// Runs until it is dropped. An error is logged and tried again: no deadline is lost, as what is late
    /// counts as expired wherever it is read.
    pub async fn sweep_for_ever(self: Arc<Self>) {
        let mut prune_at = tokio::time::Instant::now();
        loop {
            let now = self.ports.clock.now();
            let next = match self.expire(now).await {
                Ok(next) => next.map(|deadline| deadline.since(now)),
                Err(denial) => {
                    tracing::error!(code = %denial.code, log = denial.log, "deadlines could not be looked at");
                    None
                }
            };
            if tokio::time::Instant::now() >= prune_at {
                prune_at = tokio::time::Instant::now() + PRUNE_EVERY;
                self.prune(now).await;
            }
            self.report(now).await;
            let nap = next.unwrap_or(REPORT_EVERY).clamp(Duration::from_millis(1), REPORT_EVERY);
            tokio::select! {
                () = tokio::time::sleep(nap) => {}
                () = self.sweep.notified() => {}
            }
        }
    }

    /// Closes what is past its deadline; gives the next one.
    pub async fn expire(&self, now: Timestamp) -> Result<Option<Timestamp>, Denial> {
        let (due, next) = self.ports.ledger.due(now).await.map_err(|why| unavailable(&why))?;
        for id in due {
            self.close(id, CallEvent::Expired).await?;
        }
        Ok(next)
    }

    async fn prune(&self, now: Timestamp) {
        loop {
            match self.ports.ledger.prune(now, self.rules().settings.retention, PRUNE_MOST).await {
                Ok(removed) if removed == PRUNE_MOST => {}
                Ok(_) => return,
                Err(why) => {
                    tracing::error!(%why, "old results could not be removed");
                    return;
                }
            }
        }
    }

    /// Writes what was counted since the last time: refused credentials and refused rates.
    async fn report(&self, now: Timestamp) {
        let failures = self.ports.authn.take_failures().into_iter().map(|(peer, count)| {
            AuditRecord::new(RecordType::AuthFailed, now).detail("peer", peer).detail("count", count.to_string())
        });
        let exceeded = self.take_refusals().into_iter().map(|(who, count)| {
            let mut record = AuditRecord::new(RecordType::LimitExceeded, now).detail("count", count.to_string());
            record.actor = Some(who);
            record
        });
        let records: Vec<AuditRecord> = failures.chain(exceeded).collect();
        if records.is_empty() {
            return;
        }
        if let Err(why) = self.ports.ledger.record(records).await {
            tracing::error!(%why, "counted refusals could not be recorded");
        }
    }
}

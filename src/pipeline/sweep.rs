//! What happens without a caller: a starting daemon takes over what the last one left, deadlines pass, old
//! results go, and counted refusals reach the log. Nothing is ever approved, retried or allowed here because
//! time passed.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::call::{Call, CallEvent, CallState};
use crate::domain::denial::Denial;
use crate::domain::outcome::{Ending, Ran};
use crate::domain::time::Timestamp;

use super::port::{Advanced, Conditions, Trace, Unavailable};
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
    /// Calls whose runs have outlived their daemon.
    pub adopted: usize,
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
        let unfinished = self.ports.ledger.unfinished().await?;
        self.ports.executors.settled_but(unfinished.iter().map(|call| call.id).collect());
        for call in unfinished {
            let id = call.id;
            let asked = call.clone();
            let state = match call.state {
                CallState::Running { epoch, .. } if epoch != self.epoch => self.take_over(call, &mut found).await?,
                CallState::InDoubt => self.look_again(call).await?,
                state => state,
            };
            match state {
                CallState::Ready => {
                    found.restarted += 1;
                    self.spawn_ready(id);
                }
                CallState::InDoubt => {
                    found.in_doubt += 1;
                    self.spawn_probe(Call { state, ..asked });
                }
                CallState::AwaitingApproval | CallState::Running { .. } | CallState::Closed(_) => {}
            }
        }
        Ok(found)
    }

    /// What becomes of a call whose daemon is gone: its run may have left its end, may go on, or may provably
    /// never have started. Only where nothing is left does the tool's declared effect decide.
    async fn take_over(self: &Arc<Self>, call: Call, found: &mut Recovered) -> Result<CallState, Unavailable> {
        let event = match self.trace(&call).await {
            Trace::Ended(ran) => {
                found.adopted += 1;
                return self.end_adopted(&call, ran).await;
            }
            Trace::Running(end) => {
                found.adopted += 1;
                let state = call.state.clone();
                self.adopt(call, end);
                return Ok(state);
            }
            Trace::NotStarted => CallEvent::NotStarted,
            Trace::Nothing => CallEvent::Lost,
        };
        Ok(match self.ports.ledger.advance(call.id, event, Conditions::default(), self.ports.clock.now()).await? {
            Advanced::Done(recorded) => recorded.call.state,
            Advanced::Illegal(_, call) => call.state,
            Advanced::NotFound | Advanced::PolicyChanged | Advanced::CredentialGone(_) => call.state,
        })
    }

    async fn trace(&self, call: &Call) -> Trace {
        let rules = self.rules();
        let tool = rules.catalog.get(call.tool.as_str()).filter(|tool| tool.digest == call.tool_digest);
        self.ports.executors.trace(call, tool.map(|tool| tool.kind())).await
    }

    /// A run may have come to its end, or may still go on, though its daemon gave it up.
    async fn look_again(self: &Arc<Self>, call: Call) -> Result<CallState, Unavailable> {
        match self.trace(&call).await {
            Trace::Ended(Ran { ending: Ending::Known(outcome), facts }) => {
                self.end_adopted(&call, Ran { ending: Ending::Known(outcome), facts }).await
            }
            Trace::Running(end) => {
                let state = call.state.clone();
                self.adopt(call, end);
                Ok(state)
            }
            Trace::Ended(_) | Trace::NotStarted | Trace::Nothing => Ok(call.state),
        }
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

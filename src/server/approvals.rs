//! `/v1/approvals`: what waits for people, and what they say.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;

use crate::api;
use crate::api::approvals::{ApprovalRef, Approvals, Dossier, ListApprovals, NewDecision};
use crate::domain::approval::Assurance;
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id;
use crate::pipeline;
use crate::pipeline::port::Presented;
use crate::pipeline::submission::{Answer, Ballot, LookedAt, Reply};

use super::decode::malformed;
use super::respond::{self, Lines};
use super::visit::{Visit, overloaded};
use super::{Door, no, page, wire};

/// How long a decision waits for the end of its call, when it does not say.
pub const DECISION_WAIT: Duration = Duration::from_secs(30);

/// Lists what waits for people, oldest first.
pub async fn list(visit: Visit, request: ListApprovals) -> Answer<Approvals> {
    let asked = page::limit(request.limit).and_then(|limit| {
        let after: Option<u64> = page::parse("cursor", request.cursor.as_deref())?;
        Ok((limit, after.unwrap_or(0)))
    });
    let (limit, after) = match asked {
        Ok(asked) => asked,
        Err(denial) => return no(denial),
    };
    visit.door.pipeline.pending(visit.presented, after, limit + 1).await.map(|waiting| {
        let (waiting, next_cursor) = page::cut(waiting, limit, |last| number(last).to_string());
        Approvals { approvals: waiting.iter().map(wire::dossier).collect(), next_cursor }
    })
}

fn number(dossier: &pipeline::Dossier) -> u64 {
    dossier.call.approval.as_ref().map_or(0, |approval| approval.number)
}

/// Shows one approval.
pub async fn show(visit: Visit, request: ApprovalRef) -> Answer<Dossier> {
    match reference(&request.id) {
        Ok(approval) => {
            visit.door.pipeline.dossier(visit.presented, approval).await.map(|dossier| wire::dossier(&dossier))
        }
        Err(denial) => no(denial),
    }
}

/// Says yes or no.
pub async fn decide(mut visit: Visit, request: NewDecision) -> Answer<Reply> {
    let ballot = match ballot(&mut visit, request) {
        Ok(ballot) => ballot,
        Err(denial) => return no(denial),
    };
    visit.door.pipeline.decide(ballot).await
}

fn ballot(visit: &mut Visit, request: NewDecision) -> Result<Ballot, Denial> {
    let looked_at = match page::parse("digest", request.digest.as_deref())? {
        Some(binding) => LookedAt::Binding(binding),
        None => {
            return Err(Denial::new(
                Stage::Approval,
                Code::ApprovalStale,
                "`digest` is missing: a decision says what was looked at",
            )
            .hint("send the `digest` of the approval as you were shown it"));
        }
    };
    Ok(Ballot {
        approval: reference(&request.id)?,
        wait: visit.wait(request.wait.as_deref(), DECISION_WAIT)?,
        presented: visit.presented.clone(),
        verdict: request.decision,
        looked_at,
        reason: request.reason,
        assurance: Assurance::A0,
        own_calls: true,
    })
}

/// Reads any form in which an approval may be named.
///
/// # Errors
/// Names the text.
pub fn reference(text: &str) -> Result<id::ApprovalRef, Denial> {
    text.parse().map_err(|error| malformed(format!("`id`: {error}")))
}

/// Follows approvals: first all that wait, then each that changes. A caller that falls behind gets all that
/// wait again.
pub async fn watch(visit: Visit) -> respond::Reply {
    let Ok(slot) = Arc::clone(&visit.door.waiters).try_acquire_owned() else {
        return respond::problem(&overloaded("too many requests wait already"));
    };
    // Subscribed before the first look: what changes in between is seen twice rather than never.
    let changes = visit.door.pipeline.approvals_changed();
    let first = visit.door.pipeline.pending(visit.presented.clone(), 0, MOST_AT_ONCE).await;
    respond::answer_with(first, |waiting| {
        let (lines, reply) = respond::stream();
        let watch = Watch { door: visit.door, presented: visit.presented, changes, lines };
        tokio::spawn(async move {
            watch.run(waiting).await;
            drop(slot);
        });
        reply
    })
}

const MOST_AT_ONCE: usize = 1_000;

struct Watch {
    door: Arc<Door>,
    presented: Presented,
    changes: tokio::sync::broadcast::Receiver<id::CallId>,
    lines: Lines,
}

impl Watch {
    async fn run(mut self, waiting: Vec<pipeline::Dossier>) {
        if self.tell_all(waiting).await.is_none() {
            return;
        }
        let shutdown = self.door.shutdown.clone();
        loop {
            let told = tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(self.door.limits.heartbeat) => self.lines.send_data(respond::HEARTBEAT).await.ok(),
                change = self.changes.recv() => match change {
                    Ok(call) => self.tell(call).await,
                    Err(RecvError::Lagged(_)) => self.catch_up().await,
                    Err(RecvError::Closed) => return,
                },
            };
            if told.is_none() {
                return;
            }
        }
    }

    /// What this caller may not see is left out.
    async fn tell(&mut self, call: id::CallId) -> Option<()> {
        let shown = self.door.pipeline.dossier(self.presented.clone(), id::ApprovalRef::Id(call)).await;
        match shown.result {
            Ok(dossier) => self.send(respond::line(&wire::dossier(&dossier))).await,
            Err(_) => Some(()),
        }
    }

    async fn catch_up(&mut self) -> Option<()> {
        let waiting = self.door.pipeline.pending(self.presented.clone(), 0, MOST_AT_ONCE).await;
        self.tell_all(waiting.result.ok()?).await
    }

    async fn tell_all(&mut self, mut waiting: Vec<pipeline::Dossier>) -> Option<()> {
        loop {
            for dossier in &waiting {
                self.send(respond::line(&wire::dossier(dossier))).await?;
            }
            let last = waiting.last().filter(|_| waiting.len() == MOST_AT_ONCE).map(number);
            let Some(after) = last else { return Some(()) };
            waiting = self.door.pipeline.pending(self.presented.clone(), after, MOST_AT_ONCE).await.result.ok()?;
        }
    }

    async fn send(&mut self, line: Bytes) -> Option<()> {
        self.lines.send_data(line).await.ok()
    }
}

/// Operations on approvals.
pub fn routes() -> Vec<super::route::Route> {
    use super::route::{call, described, on};
    vec![
        on::<api::approvals::List, _>(list),
        described::<api::approvals::Watch, _>(|visit, _| watch(visit)),
        on::<api::approvals::Show, _>(show),
        call::<api::approvals::Decide, _>(decide),
    ]
}

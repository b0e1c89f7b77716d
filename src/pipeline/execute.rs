//! Running what is cleared, and waiting for what runs. A run is a task of its own: a client that hangs up
//! does not stop it, and its outcome is durable before anybody sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::domain::call::{Call, CallEvent, CallState};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::CallId;
use crate::domain::outcome::{Effect, Ending, FailureKind, Outcome, Ran};

use super::caught::{Unended, caught};
use super::cleared::Cleared;
use super::opening::{Opening, Start};
use super::port::{Advanced, Conditions, DeskTables, InStore, Recorded, Unavailable, Wait};
use super::submission::Reply;
use super::{Carried, Case, LONGEST_WAIT, Pipeline, unavailable};
use crate::domain::time::Timestamp;
use crate::domain::tool::EffectClass;

impl Pipeline {
    /// Runs a cleared call and records how it ended.
    pub(super) async fn execute(self: &Arc<Self>, cleared: Cleared) -> Result<Recorded, Denial> {
        let (_running, _unended) = (Running::begin(self), Unended::hold(self, cleared.call()));
        let ran = self.run(&cleared).await;
        self.end(cleared.call(), ran, cleared.index()).await
    }

    /// Records how a run ended.
    async fn end(&self, call: &Call, ran: Ran, index: u64) -> Result<Recorded, Denial> {
        let (id, has_effect) = (call.id, call.effect != EffectClass::ReadOnly);
        let (event, conditions) = event_of(ran);
        match self.ports.ledger.advance(id, event, conditions, self.ports.clock.now()).await {
            Ok(Advanced::Done(recorded)) => {
                if recorded.call.is_closed() {
                    self.ports.executors.settled(id);
                }
                // Who waits is told what the probe knows, and not a moment before that there is doubt.
                let call = recorded.call.clone();
                let ended = if call.state == CallState::InDoubt {
                    Box::pin(self.ask_probe(recorded)).await
                } else {
                    Ok(recorded)
                };
                self.changed(&call);
                ended
            }
            // Somebody else closed it: what is recorded counts.
            Ok(Advanced::Illegal(_, call)) => Ok(Recorded { call, index }),
            Ok(Advanced::NotFound | Advanced::PolicyChanged | Advanced::CredentialGone(_)) => {
                Err(Denial::new(Stage::Store, Code::Internal, "the running call is gone from the store").about(id))
            }
            Err(why) => {
                self.waiters.abandon(id);
                let effect = if has_effect { Effect::Unknown } else { Effect::None };
                Err(unavailable(&why).about(id).effect(effect))
            }
        }
    }

    pub(super) async fn run(&self, cleared: &Cleared) -> Ran {
        let tool = cleared.tool();
        let executor = self.ports.executors.of(tool.kind());
        // What panics before it gives a future is caught too.
        let run = caught(async { executor.run(cleared).await });
        match tokio::time::timeout(executor.patience(tool), run).await {
            Ok(Ok(ran)) => ran,
            Ok(Err(panic)) => self.broke_off(cleared, &panic).await,
            Err(_) => {
                let message = format!("`{}` did not end within {:?}", tool.name, tool.timeout);
                Ending::cut_off(tool.effect, FailureKind::Timeout, message).into()
            }
        }
    }

    /// Takes over a run that has outlived the daemon that began it, and records how it ends.
    pub(super) fn adopt(self: &Arc<Self>, call: Call, end: Wait<'static, Ran>) {
        let path = Arc::clone(self);
        tokio::spawn(async move {
            let (_running, _unended) = (Running::begin(&path), Unended::hold(&path, &call));
            let ran = end.await;
            if let Err(denial) = path.end(&call, ran, 0).await {
                tracing::error!(call = %call.id, code = %denial.code, log = denial.log, "{}", denial.detail);
            }
        });
    }

    /// Records the end of a run that ended without the daemon that began it.
    pub(super) async fn end_adopted(&self, call: &Call, ran: Ran) -> Result<CallState, Unavailable> {
        let (event, conditions) = event_of(ran);
        match self.ports.ledger.advance(call.id, event, conditions, self.ports.clock.now()).await? {
            Advanced::Done(recorded) => {
                if recorded.call.is_closed() {
                    self.ports.executors.settled(call.id);
                }
                Ok(recorded.call.state)
            }
            Advanced::Illegal(_, call) => Ok(call.state),
            Advanced::NotFound | Advanced::PolicyChanged | Advanced::CredentialGone(_) => Ok(call.state.clone()),
        }
    }

    /// A call that only reads: run first, as there is nothing a record would have to precede, then one
    /// durable write, then the answer. With a key of the caller's it also leaves a row to replay.
    pub(super) async fn read(self: &Arc<Self>, case: &Case<'_>, opening: Opening) -> Result<Carried, Denial> {
        let ledger = &self.ports.ledger;
        if let Some(call) = self.known(case).await? {
            return Box::pin(self.attach(call, case.asked.wait, true, None)).await.map(Carried::reply);
        }
        let id = opening.call().id;
        let ran = {
            let cleared = Cleared::read_only(opening.call().clone(), case.tool)?.traced(opening.trace());
            self.run(&cleared).await
        };
        let (outcome, opening) = (ran.ending.of_read(), opening.stating(ran.facts));
        if case.asked.key.is_some() {
            let effect = Arc::new(AlreadyRead(outcome));
            let opened = ledger.open(opening.starting(Start::InStore { epoch: self.epoch, effect })).await;
            let opened = opened.map_err(|why| unavailable(&why))?;
            self.ports.executors.settled(id);
            return match Box::pin(self.settle(opened, case.asked.wait)).await? {
                done @ Carried::Reply(_) => Ok(done),
                Carried::PolicyChanged => {
                    Err(Denial::new(Stage::Policy, Code::Overloaded, "the policies changed meanwhile; ask again"))
                }
            };
        }
        let (call, record) = opening.read(outcome, self.ports.clock.now());
        let index = ledger.record(vec![record]).await.map_err(|why| unavailable(&why))?;
        self.ports.executors.settled(id);
        Ok(Carried::reply(Reply::Done { call, replayed: false, audit: Some(index) }))
    }

    /// The call that the same request with the same key made before.
    pub(super) async fn known(&self, case: &Case<'_>) -> Result<Option<Call>, Denial> {
        let Some(key) = case.asked.key.as_ref().filter(|_| !case.asked.dry_run) else { return Ok(None) };
        let known = self.ports.ledger.find_key(&case.principal.id, key).await.map_err(|why| unavailable(&why))?;
        Ok(known.filter(|call| call.fingerprint == case.arguments.fingerprint()))
    }

    /// Waits for the end of a call, at most `wait`.
    pub(super) async fn attach(
        &self,
        call: Call,
        wait: Duration,
        attached: bool,
        audit: Option<u64>,
    ) -> Result<Reply, Denial> {
        let call = self.await_end(call, wait).await?;
        Ok(if call.is_closed() {
            Reply::Done { call, replayed: attached, audit }
        } else {
            Reply::Pending { call, attached, audit }
        })
    }

    /// The call, closed if it closes within `wait`, else as it then stands. Whoever holds the call was let see
    /// it, so nothing is checked or charged.
    ///
    /// # Errors
    /// Too many wait for it, or the store cannot be read.
    pub async fn await_end(&self, call: Call, wait: Duration) -> Result<Call, Denial> {
        if wait.is_zero() || self.waiters.is_closed() || call.is_closed() || matches!(call.state, CallState::InDoubt) {
            return Ok(call);
        }
        let mut waiter = self.waiters.join(call.id).ok_or_else(|| {
            Denial::new(Stage::Execution, Code::Overloaded, "too many callers wait for this call")
                .about(call.id)
                .effect(call.effect_so_far())
                .retry_after(Duration::from_secs(1))
        })?;
        let deadline = tokio::time::Instant::now() + wait.min(LONGEST_WAIT);
        loop {
            // The place is taken before the call is read, so no change falls between.
            let now = self.find(call.id).await?.unwrap_or_else(|| call.clone());
            if now.is_closed() || matches!(now.state, CallState::InDoubt) {
                return Ok(now);
            }
            if !tokio::time::timeout_at(deadline, waiter.changed()).await.unwrap_or(false) {
                return Ok(self.find(call.id).await?.unwrap_or(now));
            }
        }
    }

    pub(super) async fn find(&self, id: CallId) -> Result<Option<Call>, Denial> {
        self.ports.ledger.find(id).await.map_err(|why| unavailable(&why))
    }

    /// Wakes everybody who waits for this call or follows approvals.
    pub(super) fn changed(&self, call: &Call) {
        self.waiters.wake(call.id);
        if call.approval.is_some() {
            self.waiters.approval_changed(call.id);
        }
    }

    /// Runs a call whose last approval came, or that a starting daemon found ready.
    pub(super) fn spawn_ready(self: &Arc<Self>, id: CallId) {
        let path = Arc::clone(self);
        tokio::spawn(async move {
            let ended = match caught(path.run_ready(id)).await {
                Ok(ended) => ended,
                Err(panic) => path.not_started(id, &panic).await,
            };
            if let Err(denial) = ended {
                path.waiters.abandon(id);
                tracing::error!(call = %id, code = %denial.code, log = denial.log, "{}", denial.detail);
            }
        });
    }
}

/// What a run's end is to its call, and what the record of it says.
pub(super) fn event_of(ran: Ran) -> (CallEvent, Conditions) {
    let event = match ran.ending {
        Ending::Known(outcome) => CallEvent::Finished(outcome),
        Ending::InDoubt { why } => CallEvent::Doubted { why },
    };
    (event, Conditions { facts: ran.facts, ..Conditions::default() })
}

/// Counts a run as long as it lives.
struct Running<'a>(&'a Pipeline);

impl<'a> Running<'a> {
    fn begin(path: &'a Pipeline) -> Self {
        path.running.fetch_add(1, Ordering::AcqRel);
        Self(path)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

/// The outcome of a read that was made before its record: nothing is left to do in the transaction.
struct AlreadyRead(Outcome);

impl InStore for AlreadyRead {
    fn apply(&self, _: &Call, _: &mut dyn DeskTables, _: Timestamp) -> Result<Outcome, Unavailable> {
        Ok(self.0.clone())
    }
}

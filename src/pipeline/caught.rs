//! Runs that break off in a way that nobody foresaw. A panic of ours must cost one call and no other: whoever waits for
//! it is answered, and the record says what is known. It is never begun again by itself, whatever its class, because
//! it would break off again.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::domain::call::{Call, CallEvent};
use crate::domain::denial::Denial;
use crate::domain::id::CallId;
use crate::domain::outcome::{Effect, Ending, FailureKind, Outcome, Ran};
use crate::domain::tool::{EffectClass, Registered};

use super::Pipeline;
use super::cleared::Cleared;
use super::execute::event_of;
use super::port::{Advanced, Trace};

/// What a panic said: for the operator's log, never for callers.
pub(super) struct Panic(String);

impl Panic {
    fn of(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        Self(text.or_else(|| payload.downcast_ref().cloned()).unwrap_or_else(|| "it said nothing".to_owned()))
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs to the end, or to where it panics.
///
/// # Errors
/// The panic.
pub(super) async fn caught<T>(run: impl Future<Output = T>) -> Result<T, Panic> {
    let mut run = pin!(run);
    // A future that has panicked is dropped and never polled again, so nobody sees it half done.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => Poll::Ready(Err(Panic::of(&*payload))),
    })
    .await
}

impl Pipeline {
    /// What became of a run whose executor panicked: what it has left says so, and otherwise its declared effect does.
    pub(super) async fn broke_off(&self, cleared: &Cleared, panic: &Panic) -> Ran {
        let (call, tool) = (cleared.call(), cleared.tool());
        tracing::error!(call = %call.id, tool = %tool.name, %panic, "the daemon failed while a call ran");
        if tool.is_read_only() {
            return cut_off(tool);
        }
        match caught(self.ports.executors.trace(call, Some(tool.kind()))).await {
            Ok(Trace::Ended(ran)) => ran,
            Ok(Trace::Running(end)) => caught(end).await.unwrap_or_else(|_| cut_off(tool)),
            Ok(Trace::NotStarted) => {
                let message = format!("the daemon failed before `{}` was started", tool.name);
                Outcome::Failed { kind: FailureKind::Failed, message, output: None, effect: Effect::None }.into()
            }
            Ok(Trace::Nothing) | Err(_) => cut_off(tool),
        }
    }
}

fn cut_off(tool: &Registered) -> Ran {
    Ending::cut_off(tool.effect, FailureKind::Failed, format!("the daemon failed while `{}` ran", tool.name)).into()
}

/// Holds a run until its end is recorded. When it is dropped by a panic on the way there, the end that the run had is
/// lost, and that is recorded.
pub(super) struct Unended {
    path: Arc<Pipeline>,
    call: CallId,
    effect: EffectClass,
}

impl Unended {
    pub(super) fn hold(path: &Arc<Pipeline>, call: &Call) -> Self {
        Self { path: Arc::clone(path), call: call.id, effect: call.effect }
    }
}

impl Drop for Unended {
    fn drop(&mut self) {
        let (true, Ok(runtime)) = (std::thread::panicking(), tokio::runtime::Handle::try_current()) else { return };
        let (path, call, effect) = (Arc::clone(&self.path), self.call, self.effect);
        runtime.spawn(async move {
            let told = caught(path.lose(call, effect)).await;
            if !matches!(told, Ok(true)) {
                path.waiters.abandon(call);
            }
        });
    }
}

impl Pipeline {
    /// Closes a call that was about to start when something panicked. One that was dispatched is not closed by this.
    pub(super) async fn not_started(&self, id: CallId, panic: &Panic) -> Result<(), Denial> {
        tracing::error!(call = %id, %panic, "the daemon failed while it was about to start a call");
        self.close(id, CallEvent::Stale { changed: "the daemon failed when it was about to start it".to_owned() }).await
    }

    /// Records that nobody knows how a call ended, unless that is recorded after all; gives whether who waits for it
    /// was told.
    async fn lose(&self, id: CallId, effect: EffectClass) -> bool {
        let why = "the daemon failed before it had recorded how the call ended".to_owned();
        let (event, conditions) = event_of(Ending::cut_off(effect, FailureKind::Failed, why).into());
        match self.ports.ledger.advance(id, event, conditions, self.ports.clock.now()).await {
            Ok(Advanced::Done(recorded)) => self.changed(&recorded.call),
            Ok(Advanced::Illegal(_, call)) => self.changed(&call),
            Ok(Advanced::NotFound | Advanced::PolicyChanged | Advanced::CredentialGone(_)) | Err(_) => return false,
        }
        true
    }
}

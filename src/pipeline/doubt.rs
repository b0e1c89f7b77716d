//! Calls in doubt. What can be known without people is asked first: what the run has left (its executor), then
//! the probe that the operator declared, a tool that only reads and says whether it happened. Whoever cannot say
//! decides nothing, and then a person does.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::call::{Call, CallEvent, Resolution};
use crate::domain::denial::Denial;
use crate::domain::id::PrincipalId;
use crate::domain::outcome::Outcome;
use crate::domain::tool::Registered;

use super::port::{Advanced, Conditions, Recorded};
use super::{Pipeline, unavailable};

/// How often a probe that cannot say is asked.
const ASKED: usize = 3;
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);

impl Pipeline {
    /// Asks the probe about a call in doubt, and records what it says. Without a probe, or when it cannot say,
    /// the call stays as it is.
    pub(super) async fn ask_probe(&self, recorded: Recorded) -> Result<Recorded, Denial> {
        let Some((probe, happened)) = self.probe(&recorded.call).await else { return Ok(recorded) };
        let id = recorded.call.id;
        let Ok(by) = format!("tool:{}", probe.name).parse::<PrincipalId>() else { return Ok(recorded) };
        let (resolution, answer) =
            if happened { (Resolution::Succeeded, "it happened") } else { (Resolution::Failed, "it did not happen") };
        let note = Some(format!("the probe `{}` says that {answer}", probe.name));
        let event = CallEvent::Resolved { by, resolution, note, preview: None };
        let facts = vec![("probe", probe.name.to_string()), ("answer", answer.to_owned())];
        let conditions = Conditions { facts, ..Conditions::default() };
        match self.ports.ledger.advance(id, event, conditions, self.ports.clock.now()).await {
            Ok(Advanced::Done(settled)) => {
                self.ports.executors.settled(id);
                self.changed(&settled.call);
                Ok(settled)
            }
            // Somebody else said how it ended: what is recorded counts.
            Ok(Advanced::Illegal(_, call)) => Ok(Recorded { call, ..recorded }),
            Ok(Advanced::NotFound | Advanced::PolicyChanged | Advanced::CredentialGone(_)) => Ok(recorded),
            Err(why) => Err(unavailable(&why).about(id).effect(recorded.call.effect_so_far())),
        }
    }

    /// The same for a call that an earlier daemon left, in the background.
    pub(super) fn spawn_probe(self: &Arc<Self>, call: Call) {
        let path = Arc::clone(self);
        tokio::spawn(async move {
            let id = call.id;
            if let Err(denial) = path.ask_probe(Recorded { call, index: 0 }).await {
                tracing::error!(call = %id, code = %denial.code, log = denial.log, "{}", denial.detail);
            }
        });
    }

    /// What the probe says; none when there is none, or it cannot say.
    async fn probe(&self, call: &Call) -> Option<(Arc<Registered>, bool)> {
        let rules = self.rules();
        // A tool whose definition changed may have another probe, which knows nothing of this call.
        let tool = rules.catalog.get(call.tool.as_str()).filter(|tool| tool.digest == call.tool_digest)?;
        let probe = rules.catalog.get(tool.extras.probe.as_ref()?.as_str())?;
        for attempt in 0..ASKED {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let outcome = self.ask(call, probe).await.ok()?;
            if let Some(happened) = answer(&outcome) {
                return Some((Arc::clone(probe), happened));
            }
        }
        None
    }
}

/// `{"happened": true}` or `{"happened": false}`; everything else says nothing.
fn answer(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Outcome::Succeeded { output } => output.value().get("happened")?.as_bool(),
        Outcome::Failed { .. }
        | Outcome::Rejected { .. }
        | Outcome::Expired
        | Outcome::Cancelled { .. }
        | Outcome::Stale { .. }
        | Outcome::Settled { .. } => None,
    }
}

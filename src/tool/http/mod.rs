//! Requests to servers as tools. A request has no shim that outlives the daemon: what it did while nobody looked only the
//! server knows. So everything here is about telling apart what certainly did not happen, what certainly did, and the
//! rest, and about sending again only where that is harmless.

mod attempt;
mod reading;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::attempt::{Job, Met};
use self::reading::{Again, Reader};
use crate::domain::digest::Digest;
use crate::domain::id::ToolName;
use crate::domain::outcome::{Effect, Ending, FailureKind, Outcome, Ran};
use crate::domain::tool::command::{Pinned, SecretRef};
use crate::domain::tool::http::{HttpAction, Secrets};
use crate::domain::tool::{Action, EffectClass, Tool};
use crate::pipeline::cleared::Cleared;
use crate::pipeline::port::{Executor, InStore, Wait};
use crate::tool::outbound::Outbound;
use crate::tool::secret;

/// How long it may take beyond the tool's time to say how the last attempt ended.
const MARGIN: Duration = Duration::from_secs(5);
/// The longest wait between two attempts that nobody asked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Runs tools that are requests.
#[derive(Default)]
pub struct HttpExecutor {
    outbound: Outbound,
    /// Where `env:` secrets are looked for. It has no `Debug`.
    environment: Arc<BTreeMap<String, String>>,
}

impl HttpExecutor {
    /// Sends requests; secrets come from `environment`.
    pub fn new(environment: BTreeMap<String, String>) -> Self {
        Self { outbound: Outbound::default(), environment: Arc::new(environment) }
    }

    /// The same with connections made by `outbound`.
    #[must_use]
    pub fn through(self, outbound: Outbound) -> Self {
        Self { outbound, ..self }
    }

    async fn attempts(&self, cleared: &Cleared, http: &HttpAction) -> Result<Ran, String> {
        let (tool, call) = (cleared.tool(), cleared.call());
        let begun = Instant::now();
        let secrets = secrets(http, &self.environment)?;
        let key = call.downstream_key();
        let request = http.request(&cleared.arguments(), Secrets::Told { values: &secrets, key: &key });
        let request = request.map_err(|error| error.to_string())?;
        let reader = Reader::of(tool, http, &secrets);
        let job =
            Job { request: &request, reach: &http.reach, most: tool.output_limit, deadline: begun + tool.timeout };
        // An attempt of an earlier daemon, of which nobody knows what it did.
        let mut doubt = call.attempts > 1 && matches!(tool.effect, EffectClass::Idempotent | EffectClass::Keyed);
        let (mut number, mut pause) = (1, Duration::from_millis(http.retry.wait_ms));
        loop {
            let (met, peer) = job.attempt(&self.outbound).await;
            let status = match &met {
                Met::Answered { status, .. } => Some(*status),
                Met::Unsent { .. } | Met::Lost { .. } => None,
            };
            let read = reader.read(met);
            doubt |= read.may_have_happened && tool.effect != EffectClass::ReadOnly;
            let wait = read.wait.unwrap_or_default().max(pause);
            let may = number < http.retry.attempts
                && Instant::now().checked_add(wait).is_some_and(|then| then < job.deadline)
                && match read.again {
                    Again::Never => false,
                    Again::Harmless => !doubt || repeatable(tool, call.attempts, begun),
                    Again::IfRepeatable => repeatable(tool, call.attempts, begun),
                };
            if !may {
                let facts = [
                    ("status", status.map(|status| status.to_string())),
                    ("peer", peer.map(|peer| peer.to_string())),
                    ("attempts", (number > 1).then(|| number.to_string())),
                ];
                let facts = facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
                return Ok(Ran { ending: honest(read.ending, doubt, tool.effect), facts });
            }
            sleep(wait).await;
            number += 1;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Executor for HttpExecutor {
    fn run<'a>(&'a self, cleared: &'a Cleared) -> Wait<'a, Ran> {
        Box::pin(async move {
            let Action::Http(http) = &cleared.tool().action else {
                return nothing_ran(format!("`{}` is no request", cleared.tool().name));
            };
            self.attempts(cleared, http).await.unwrap_or_else(nothing_ran)
        })
    }

    fn patience(&self, tool: &Tool) -> Duration {
        tool.timeout.saturating_add(MARGIN)
    }

    fn unchanged<'a>(&'a self, tool: &'a Tool) -> Wait<'a, Result<(), String>> {
        Box::pin(async move {
            let Action::Http(http) = &tool.action else { return Ok(()) };
            let Some(ca) = http.reach.ca.clone() else { return Ok(()) };
            let looked = tokio::task::spawn_blocking(move || same(&ca)).await;
            looked.unwrap_or_else(|error| Err(error.to_string()))
        })
    }

    fn in_store(&self, _: &ToolName) -> Option<Arc<dyn InStore>> {
        None
    }
}

fn same(ca: &Pinned) -> Result<(), String> {
    let path = ca.path.display();
    match std::fs::read(&ca.path) {
        Ok(bytes) if Digest::plain(&bytes) == ca.digest => Ok(()),
        Ok(_) => Err(format!("the certificates in `{path}` were replaced")),
        Err(error) => Err(format!("the certificates in `{path}` cannot be read: {error}")),
    }
}

/// Every secret of a request.
fn secrets(http: &HttpAction, environment: &BTreeMap<String, String>) -> Result<BTreeMap<SecretRef, String>, String> {
    let mut values = BTreeMap::new();
    for reference in http.secrets() {
        let value = secret::read(reference, environment)?;
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(format!("the secret `{reference}` is empty or has a line break in it"));
        }
        values.insert(reference.clone(), value);
    }
    Ok(values)
}

/// Whether a request that may have been heard may be sent again in the run that began then.
fn repeatable(tool: &Tool, attempts: u32, begun: Instant) -> bool {
    match tool.effect {
        EffectClass::ReadOnly | EffectClass::Idempotent => true,
        // The last tenth of the window is left alone, as the other side's clock is another; and of a run that is not
        // the call's first, half of that tenth is all that is certainly left.
        EffectClass::Keyed => tool.extras.dedupe_window.is_some_and(|window| {
            let left = if attempts > 1 { window / 20 } else { window - window / 10 };
            begun.elapsed() < left
        }),
        EffectClass::Once => false,
    }
}

/// After an attempt that may have been heard, a later no says nothing of that one.
fn honest(ending: Ending, doubt: bool, effect: EffectClass) -> Ending {
    match ending {
        Ending::Known(Outcome::Failed { kind, message, output, effect: Effect::None }) if doubt => {
            match Ending::cut_off(effect, kind, format!("{message}; an earlier attempt may have been heard")) {
                Ending::Known(Outcome::Failed { kind, message, effect, .. }) => {
                    Ending::Known(Outcome::Failed { kind, message, output, effect })
                }
                other => other,
            }
        }
        other => other,
    }
}

fn nothing_ran(message: String) -> Ran {
    Outcome::Failed { kind: FailureKind::Failed, message, output: None, effect: Effect::None }.into()
}

//! The life of a call, toolctl's one idea: idempotency, approval and audit are three views of this state
//! machine. [`Call::apply`] is its law: pure, total, one `match`.
//!
//! ```text
//!  opened, people must agree     opened, nobody must
//!          ▼                              ▼
//!  AwaitingApproval ── approved ──────▶ Ready ── Dispatched, one winner ──▶ Running(epoch)
//!    │ rejected · expired · cancelled     │ expired · cancelled · stale       │ finished    │ lost
//!    ▼                                    ▼                                   ▼             ▼
//!  Closed(outcome) ◀──────────────────────┴───────────────────────────────────┘          InDoubt
//!         ▲                                                                                 │
//!         └────────── a probe, or a person, says what happened ◀────────────────────────────┘
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::approval::{Approval, Decision, Tally, Verdict};
use super::digest::Digest;
use super::id::{CallId, IdempotencyKey, PrincipalId, ToolName};
use super::json::Canonical;
use super::outcome::{Effect, Outcome};
use super::preview::Preview;
use super::principal::Credential;
use super::time::Timestamp;
use super::tool::EffectClass;

/// One call of one tool, from the moment it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its id, which also orders calls by acceptance.
    pub id: CallId,
    /// The tool.
    pub tool: ToolName,
    /// Digest of the tool's definition at that time.
    pub tool_digest: Digest,
    /// What running it again would do.
    pub effect: EffectClass,
    /// Who asked.
    pub principal: PrincipalId,
    /// What they showed to be recognised.
    pub credential: Credential,
    /// Principals on whose behalf the requester acts.
    pub chain: Vec<PrincipalId>,
    /// The idempotency key.
    pub key: IdempotencyKey,
    /// Digest of tool and arguments as they were sent.
    pub fingerprint: Digest,
    /// The arguments with defaults: what is shown, judged and run.
    pub arguments: Canonical,
    /// Digest of tool definition and [`Call::arguments`].
    pub effective: Digest,
    /// 16 random bytes behind the commitments in the log; without them nothing there can be guessed.
    pub salt: [u8; 16],
    /// Why, in the caller's words: never to be trusted.
    pub reason: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// How often it was dispatched.
    pub attempts: u32,
    /// The approval, if people must agree.
    pub approval: Option<Approval>,
    /// Where it stands.
    pub state: CallState,
}

/// Where a call stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallState {
    /// People must agree.
    AwaitingApproval,
    /// It may start.
    Ready,
    /// It was started by the daemon of this epoch.
    Running {
        /// Counts the daemon's starts; a call of an earlier epoch has lost its runner.
        epoch: u64,
        /// Whether it may be started again if its runner is lost.
        again: Again,
    },
    /// It was started, its runner is gone, and nobody knows what happened.
    InDoubt,
    /// It ended.
    Closed(Outcome),
}

/// Whether starting a call again is harmless, fixed when it is dispatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Again {
    /// Always.
    Harmless,
    /// Until then, as the other side removes duplicates that long.
    Until(Timestamp),
    /// Never without a person.
    Never,
}

impl Again {
    /// What `effect` allows for a call first dispatched at `now`. Nine tenths of the dedupe window are
    /// used, so that clocks that differ a little do not matter.
    pub fn of(effect: EffectClass, dedupe_window: Option<Duration>, now: Timestamp) -> Self {
        match (effect, dedupe_window) {
            (EffectClass::ReadOnly | EffectClass::Idempotent, _) => Self::Harmless,
            (EffectClass::Keyed, Some(window)) => Self::Until(now.plus(window - window / 10)),
            (EffectClass::Keyed, None) | (EffectClass::Once, _) => Self::Never,
        }
    }

    fn allows(self, now: Timestamp) -> bool {
        match self {
            Self::Harmless => true,
            Self::Until(end) => now < end,
            Self::Never => false,
        }
    }
}

/// Something that happened to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEvent {
    /// A person said yes or no.
    Decided(Decision),
    /// The daemon of this epoch is about to start it.
    Dispatched {
        /// The epoch that owns the run.
        epoch: u64,
        /// Whether it may be started again if its runner is lost.
        again: Again,
    },
    /// It ran to its end.
    Finished(Outcome),
    /// A deadline passed.
    Expired,
    /// Somebody took it back.
    Cancelled {
        /// Who.
        by: PrincipalId,
    },
    /// What was approved is no longer what would run.
    Stale {
        /// What changed.
        changed: String,
    },
    /// Its runner is gone.
    Lost,
    /// Its runner is gone, and had provably not started it.
    NotStarted,
    /// Its runner came back without knowing whether it happened.
    Doubted {
        /// Why nobody knows.
        why: String,
    },
    /// Somebody said how an uncertain call ended.
    Resolved {
        /// Who.
        by: PrincipalId,
        /// What they said.
        resolution: Resolution,
        /// In their words.
        note: Option<String>,
        /// What the tool's preview says now, for the people who are asked again about a rerun.
        preview: Option<Preview>,
    },
}

/// How an uncertain call is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resolution {
    /// It happened.
    Succeeded,
    /// It did not happen.
    Failed,
    /// It did not happen and shall be started again, after the same approvals.
    Rerun,
}

/// An event that the state does not allow. The call is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalTransition {
    /// The call is past the point where this could happen.
    #[error("the call is {state}")]
    State {
        /// The word for where it stands.
        state: &'static str,
    },
    /// A deadline passed.
    #[error("the time to decide or to start is over")]
    TooLate,
    /// The deadline has not passed.
    #[error("the deadline has not passed")]
    TooEarly,
    /// The approver looked at something else.
    #[error("the decision is about other contents")]
    Binding,
    /// The same person said the same before.
    #[error("this person has said the same before")]
    Repeated,
    /// The same person said something else before.
    #[error("this person has decided otherwise before")]
    Contradicted,
}

impl CallState {
    /// The word for listings, the wire and the log.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Ready => "ready",
            Self::Running { .. } => "running",
            Self::InDoubt => "in_doubt",
            Self::Closed(outcome) => outcome.word(),
        }
    }
}

impl Call {
    /// Whether it ended.
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, CallState::Closed(_))
    }

    /// What the other side of a [keyed](EffectClass::Keyed) tool dedupes by: the same for every attempt of this
    /// call, made of nothing that the caller sent.
    pub fn downstream_key(&self) -> String {
        Digest::of("toolctl/down/v1", &[&self.salt, &self.id.bytes()]).hex()
    }

    /// How it ended.
    pub const fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            CallState::Closed(outcome) => Some(outcome),
            CallState::AwaitingApproval | CallState::Ready | CallState::Running { .. } | CallState::InDoubt => None,
        }
    }

    /// What it has done to the world so far.
    pub fn effect_so_far(&self) -> Effect {
        let has_effect = self.effect != EffectClass::ReadOnly;
        match &self.state {
            CallState::AwaitingApproval | CallState::Ready => Effect::None,
            CallState::Running { .. } | CallState::InDoubt if has_effect => Effect::Unknown,
            CallState::Running { .. } | CallState::InDoubt => Effect::None,
            CallState::Closed(outcome) => outcome.effect(has_effect),
        }
    }

    /// When the state ends by itself, if it does: the deadline to decide, or to start after approval.
    pub fn deadline(&self) -> Option<Timestamp> {
        let approval = self.approval.as_ref()?;
        match self.state {
            CallState::AwaitingApproval => Some(approval.decide_by),
            CallState::Ready => approval.execute_by(),
            CallState::Running { .. } | CallState::InDoubt | CallState::Closed(_) => None,
        }
    }

    /// Applies one event.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the state does not allow the event; the caller keeps the old call.
    pub fn apply(mut self, event: &CallEvent, now: Timestamp) -> Result<Self, IllegalTransition> {
        let state = self.state.word();
        let past = self.deadline().is_some_and(|deadline| now >= deadline);
        let before = std::mem::replace(&mut self.state, CallState::InDoubt);
        self.state = match (before, event) {
            (CallState::AwaitingApproval, CallEvent::Decided(decision)) => {
                let approval = self.approval.as_mut().ok_or(IllegalTransition::State { state })?;
                decide(approval, decision, past, now)?
            }
            (CallState::AwaitingApproval | CallState::Ready, CallEvent::Expired) => {
                if !past {
                    return Err(IllegalTransition::TooEarly);
                }
                CallState::Closed(Outcome::Expired)
            }
            (CallState::AwaitingApproval | CallState::Ready, CallEvent::Cancelled { by }) => {
                CallState::Closed(Outcome::Cancelled { by: by.clone() })
            }
            (CallState::AwaitingApproval | CallState::Ready, CallEvent::Stale { changed }) => {
                CallState::Closed(Outcome::Stale { changed: changed.clone() })
            }
            (CallState::Ready, CallEvent::Dispatched { epoch, again }) => {
                if past {
                    return Err(IllegalTransition::TooLate);
                }
                self.attempts = self.attempts.saturating_add(1);
                CallState::Running { epoch: *epoch, again: *again }
            }
            (CallState::Running { .. }, CallEvent::Finished(outcome)) => CallState::Closed(outcome.clone()),
            (CallState::Running { again, .. }, CallEvent::Lost) if again.allows(now) => {
                self.may_have_changed_its_preview();
                self.start_again(now)
            }
            (CallState::Running { .. }, CallEvent::NotStarted) => self.start_again(now),
            (CallState::Running { .. }, CallEvent::Lost | CallEvent::Doubted { .. }) => CallState::InDoubt,
            // A runner that outlived its daemon may still report what happened.
            (CallState::InDoubt, CallEvent::Finished(outcome)) => CallState::Closed(outcome.clone()),
            (CallState::InDoubt, CallEvent::Resolved { by, resolution, note, preview }) => {
                let settled =
                    |happened| CallState::Closed(Outcome::Settled { by: by.clone(), happened, note: note.clone() });
                match resolution {
                    Resolution::Succeeded => settled(true),
                    Resolution::Failed => settled(false),
                    Resolution::Rerun => self.ask_again(preview.clone(), now),
                }
            }
            (
                CallState::AwaitingApproval,
                CallEvent::Dispatched { .. }
                | CallEvent::Finished(_)
                | CallEvent::Lost
                | CallEvent::NotStarted
                | CallEvent::Doubted { .. }
                | CallEvent::Resolved { .. },
            )
            | (
                CallState::Ready,
                CallEvent::Decided(_)
                | CallEvent::Finished(_)
                | CallEvent::Lost
                | CallEvent::NotStarted
                | CallEvent::Doubted { .. }
                | CallEvent::Resolved { .. },
            )
            | (
                CallState::Running { .. },
                CallEvent::Decided(_)
                | CallEvent::Dispatched { .. }
                | CallEvent::Expired
                | CallEvent::Cancelled { .. }
                | CallEvent::Stale { .. }
                | CallEvent::Resolved { .. },
            )
            | (
                CallState::InDoubt,
                CallEvent::Decided(_)
                | CallEvent::Dispatched { .. }
                | CallEvent::Expired
                | CallEvent::Cancelled { .. }
                | CallEvent::Stale { .. }
                | CallEvent::Lost
                | CallEvent::NotStarted
                | CallEvent::Doubted { .. },
            )
            | (CallState::Closed(_), _) => return Err(IllegalTransition::State { state }),
        };
        self.changed_at = now;
        Ok(self)
    }

    /// Starting again is harmless, so the deadline of the approval, which was met, is behind us.
    fn start_again(&mut self, now: Timestamp) -> CallState {
        if let Some(approval) = self.approval.as_mut() {
            approval.approved_at = Some(now);
        }
        CallState::Ready
    }

    /// What the lost run has done may be what the preview shows: it is not compared any more.
    fn may_have_changed_its_preview(&mut self) {
        if let Some(preview) = self.approval.as_mut().and_then(|approval| approval.preview.as_mut()) {
            preview.binding = false;
        }
    }

    /// Starts a new round of approvals, or none if nobody had to agree.
    fn ask_again(&mut self, preview: Option<Preview>, now: Timestamp) -> CallState {
        let Some(mut approval) = self.approval.take() else { return CallState::Ready };
        let window = approval.decide_by.since(approval.asked_at);
        approval.asked_at = now;
        approval.decide_by = now.plus(window);
        approval.round = approval.round.saturating_add(1);
        approval.decisions.clear();
        approval.approved_at = None;
        approval.preview = preview;
        approval.binding = approval.bind(self);
        self.approval = Some(approval);
        CallState::AwaitingApproval
    }
}

fn decide(
    approval: &mut Approval,
    decision: &Decision,
    past: bool,
    now: Timestamp,
) -> Result<CallState, IllegalTransition> {
    if decision.binding != approval.binding {
        return Err(IllegalTransition::Binding);
    }
    // A client's word is not its person's own: the same principal may give one of each.
    let same = |earlier: &&Decision| earlier.by == decision.by && earlier.evidence == decision.evidence;
    if let Some(earlier) = approval.decisions.iter().find(same) {
        let same = earlier.verdict == decision.verdict;
        return Err(if same { IllegalTransition::Repeated } else { IllegalTransition::Contradicted });
    }
    if past {
        return Err(IllegalTransition::TooLate);
    }
    approval.decisions.push(decision.clone());
    Ok(match approval.tally() {
        Tally::Open => CallState::AwaitingApproval,
        Tally::Approved => {
            approval.approved_at = Some(now);
            CallState::Ready
        }
        Tally::Rejected => {
            debug_assert_eq!(decision.verdict, Verdict::Reject);
            CallState::Closed(Outcome::Rejected { by: decision.by.clone(), reason: decision.reason.clone() })
        }
    })
}

#[cfg(test)]
mod tests;

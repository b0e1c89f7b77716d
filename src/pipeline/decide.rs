//! People decide, and what they agreed to runs: after everything that allowed it is checked again, because
//! rules may have changed while a person thought.

use std::sync::Arc;

use crate::domain::approval::Verdict;
use crate::domain::call::{Again, Call, CallEvent, CallState, IllegalTransition, Resolution};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::digest::Digest;
use crate::domain::id::{ApprovalRef, CallId};
use crate::domain::outcome::Outcome;
use crate::domain::principal::{Credential, Principal};
use crate::domain::time::Timestamp;
use crate::domain::tool::Registered;
use crate::guard::approval::{self, Eligible};
use crate::guard::policy::Request;

use super::cleared::{Cleared, Started};
use super::port::{Advanced, Conditions, Presented};
use super::submission::{Answer, Ballot, LookedAt, Reply};
use super::{POLICY_ATTEMPTS, Pipeline, Seen, must_be_short, not_known, unavailable};

/// What became of the wish to start a ready call.
enum Attempt {
    Ran,
    PolicyChanged,
    Stale(String),
}

impl Pipeline {
    /// A person's yes or no; on the last yes the call runs, and the decider gets its outcome.
    pub async fn decide(self: &Arc<Self>, ballot: Ballot) -> Answer<Reply> {
        let now = self.ports.clock.now();
        let mut seen = Seen::default();
        let result = match self.count(&ballot, &mut seen, now).await {
            Err(denial) => self.refuse(denial, &seen, None, now).await,
            done => done,
        };
        Answer { quota: seen.quota, result }
    }

    async fn count(self: &Arc<Self>, ballot: &Ballot, seen: &mut Seen, now: Timestamp) -> Result<Reply, Denial> {
        let reviewer = self.recognise(&ballot.presented, seen, now)?;
        self.charge(&reviewer, seen, now)?;
        must_be_short(ballot.reason.as_deref())?;
        let call = self.find_approval(ballot.approval).await?;
        let Some(asked) = &call.approval else { return Err(no_approval(ballot.approval)) };
        let eligible = approval::eligible(&reviewer, &call.principal, &call.chain, &asked.requirements)
            .map_err(|no| no.about(call.id))?;
        if eligible.is_own() && !ballot.own_calls {
            return Err(Denial::new(
                Stage::Approval,
                Code::NotAllowed,
                format!("`{}` cannot decide about its own calls in this way", reviewer.id),
            )
            .hint("decide on a terminal: toolctl approve")
            .about(call.id));
        }
        let binding = looked_at(ballot.looked_at, asked.binding, &call)?;
        let decision = eligible.decision(&reviewer, ballot.verdict, binding, ballot.reason.clone(), now);
        let conditions = Conditions { credentials: vec![reviewer.credential.clone()], ..Conditions::default() };
        let counted = self.ports.ledger.advance(call.id, CallEvent::Decided(decision), conditions, now).await;
        match counted.map_err(|why| unavailable(&why))? {
            Advanced::Done(recorded) => {
                self.changed(&recorded.call);
                self.sweep.notify_one();
                if matches!(recorded.call.state, CallState::Ready) {
                    self.spawn_ready(recorded.call.id);
                    return self.attach(recorded.call, ballot.wait, false, Some(recorded.index)).await;
                }
                self.attach(recorded.call, std::time::Duration::ZERO, false, Some(recorded.index)).await
            }
            // The same again is no error, whatever became of the call meanwhile.
            Advanced::Illegal(_, call) if has_said(&call, &reviewer, ballot.verdict) => {
                self.attach(call, ballot.wait, true, None).await
            }
            Advanced::Illegal(why, call) => Err(undecidable(&why, &call, ballot.verdict)),
            Advanced::CredentialGone(_) => {
                Err(Denial::new(Stage::Authentication, Code::Unauthenticated, "the key is no longer good"))
            }
            Advanced::NotFound | Advanced::PolicyChanged => Err(no_approval(ballot.approval)),
        }
    }

    pub(super) async fn find_approval(&self, wanted: ApprovalRef) -> Result<Call, Denial> {
        let found = match wanted {
            ApprovalRef::Number(number) => self.ports.ledger.find_number(number).await,
            ApprovalRef::Id(id) => self.ports.ledger.find(id).await,
        };
        let call = found.map_err(|why| unavailable(&why))?;
        call.filter(|call| call.approval.is_some()).ok_or_else(|| no_approval(wanted))
    }

    /// Starts a call that is ready: decides by the policies of now, checks that what people agreed to still
    /// covers it, and dispatches it in one transaction with all of that. Any miss closes it as stale.
    pub(super) async fn run_ready(self: &Arc<Self>, id: CallId) -> Result<(), Denial> {
        for _ in 0..POLICY_ATTEMPTS {
            let Some(call) = self.find(id).await? else { return Ok(()) };
            if !matches!(call.state, CallState::Ready) {
                return Ok(());
            }
            match self.start_ready(&call).await? {
                Attempt::Ran => return Ok(()),
                Attempt::PolicyChanged => {}
                Attempt::Stale(changed) => return self.close(id, CallEvent::Stale { changed }).await,
            }
        }
        self.close(id, CallEvent::Stale { changed: "the policies change too fast to decide by them".to_owned() }).await
    }

    async fn start_ready(self: &Arc<Self>, call: &Call) -> Result<Attempt, Denial> {
        let now = self.ports.clock.now();
        let rules = self.rules();
        let stale = |changed: &str| Ok(Attempt::Stale(changed.to_owned()));
        let Some(tool) = rules.catalog.get(call.tool.as_str()) else { return stale("the tool is gone") };
        let arguments = match rules.schemas.restore(tool, call) {
            Ok(arguments) => arguments,
            Err(changed) => return Ok(Attempt::Stale(changed)),
        };
        let recall = |credential: &Credential| self.ports.authn.recall(credential, now);
        let Some(requester) = recall(&call.credential).filter(|who| who.id == call.principal) else {
            return stale("the requester's key is no longer good");
        };
        if let Err(no) = rules.find(call.tool.as_str(), &requester) {
            return Ok(Attempt::Stale(no.detail));
        }
        let request =
            Request { principal: &requester, tool, arguments: &arguments, now, dry_run: false, transport: "approved" };
        let permit = match rules.policies.decide_attended(&request) {
            Ok(permit) => permit,
            Err(no) => return Ok(Attempt::Stale(format!("policy no longer allows it: {}", no.detail))),
        };
        let still = approval::still_covers(call, &permit, |decision| {
            recall(&decision.credential).filter(|who| who.id == decision.by)
        });
        if let Err(changed) = still {
            return Ok(Attempt::Stale(changed));
        }
        let mut credentials = vec![call.credential.clone()];
        credentials.extend(call.approval.iter().flat_map(|a| a.decisions.iter().map(|d| d.credential.clone())));
        let executor = self.ports.executors.of(tool.kind());
        if let Err(changed) = executor.unchanged(tool).await {
            return Ok(Attempt::Stale(changed));
        }
        if let Err(no) = executor.fits(tool, arguments.value()).await {
            return Ok(Attempt::Stale(no.message));
        }
        let facts = match self.preview_holds(call).await {
            Ok(facts) => facts,
            Err(changed) => return Ok(Attempt::Stale(changed)),
        };
        let effect = executor.in_store(&tool.name);
        let conditions = Conditions { policy: Some(permit.fact()), credentials, effect, facts };
        self.dispatch(call, tool, conditions, now).await
    }

    async fn dispatch(
        self: &Arc<Self>,
        call: &Call,
        tool: &Arc<Registered>,
        conditions: Conditions,
        now: Timestamp,
    ) -> Result<Attempt, Denial> {
        let event =
            CallEvent::Dispatched { epoch: self.epoch, again: Again::of(tool.effect, tool.extras.dedupe_window, now) };
        let started = Cleared::start(&*self.ports.ledger, call.id, event, conditions, tool, now).await;
        match started.map_err(|why| not_known(&why, tool).about(call.id))? {
            Started::Cleared(cleared) => self.execute(cleared).await.map(|_| Attempt::Ran),
            Started::Settled(recorded) => {
                self.changed(&recorded.call);
                Ok(Attempt::Ran)
            }
            Started::Other(Advanced::PolicyChanged) => Ok(Attempt::PolicyChanged),
            Started::Other(Advanced::CredentialGone(gone)) => Ok(Attempt::Stale(format!("`{gone}` is no longer good"))),
            Started::Other(Advanced::Illegal(IllegalTransition::TooLate, _)) => {
                self.close(call.id, CallEvent::Expired).await.map(|()| Attempt::Ran)
            }
            // Another start won, or somebody closed it: nothing is left to do here.
            Started::Other(Advanced::Illegal(..) | Advanced::NotFound | Advanced::Done(_)) => Ok(Attempt::Ran),
        }
    }

    /// Ends a call that did not start. That it ended otherwise meanwhile is no error.
    pub(super) async fn close(&self, id: CallId, event: CallEvent) -> Result<(), Denial> {
        let now = self.ports.clock.now();
        let closed = self.ports.ledger.advance(id, event, Conditions::default(), now).await;
        if let Advanced::Done(recorded) = closed.map_err(|why| unavailable(&why))? {
            self.changed(&recorded.call);
        }
        Ok(())
    }

    /// Takes a call back before it starts: whose it is, an administrator, or a person who may decide about it.
    /// Who may only look, as auditors may, cannot.
    pub async fn cancel(self: &Arc<Self>, presented: Presented, id: CallId) -> Answer<Reply> {
        let by = |principal: &Principal, call: &Call| {
            let is_theirs = call.principal == principal.id || call.chain.contains(&principal.id);
            if !is_theirs && !principal.is_administrator() && may_decide(principal, call).is_err() {
                let detail = format!("`{}` may not take back a call of `{}`", principal.id, call.principal);
                return Err(Denial::new(Stage::Approval, Code::NotAllowed, detail)
                    .hint("its requester, an administrator or one of its approvers can"));
            }
            Ok(CallEvent::Cancelled { by: principal.id.clone() })
        };
        self.change(presented, id, by).await
    }

    /// Says how a call in doubt ended. Only an administrator, or a person who may decide about the call.
    pub async fn resolve(
        self: &Arc<Self>,
        presented: Presented,
        id: CallId,
        resolution: Resolution,
        note: Option<String>,
    ) -> Answer<Reply> {
        let by = |principal: &Principal, call: &Call| {
            must_be_short(note.as_deref())?;
            if !principal.is_administrator() && may_decide(principal, call).is_err() {
                let detail = format!("`{}` may not say how a call in doubt ended", principal.id);
                return Err(Denial::new(Stage::Approval, Code::NotAllowed, detail)
                    .hint("an administrator or one of the call's approvers can"));
            }
            Ok(CallEvent::Resolved { by: principal.id.clone(), resolution, note, preview: None })
        };
        self.change(presented, id, by).await
    }

    async fn change(
        self: &Arc<Self>,
        presented: Presented,
        id: CallId,
        event: impl FnOnce(&Principal, &Call) -> Result<CallEvent, Denial>,
    ) -> Answer<Reply> {
        let now = self.ports.clock.now();
        let mut seen = Seen::default();
        let result = async {
            let principal = self.recognise(&presented, &mut seen, now)?;
            self.charge(&principal, &mut seen, now)?;
            let call = self.visible(&principal, id).await?;
            let mut event = event(&principal, &call)?;
            let is_resolved = matches!(event, CallEvent::Resolved { .. });
            if let CallEvent::Resolved { resolution: Resolution::Rerun, preview, .. } = &mut event
                && call.approval.is_some()
                && call.state == CallState::InDoubt
            {
                // The people who are asked again see what it would do now.
                *preview = self.preview(&call).await;
            }
            let advanced = self.ports.ledger.advance(id, event, Conditions::default(), now).await;
            match advanced.map_err(|why| unavailable(&why))? {
                Advanced::Done(recorded) => {
                    self.changed(&recorded.call);
                    if matches!(recorded.call.state, CallState::Ready) {
                        self.spawn_ready(id);
                    }
                    let audit = Some(recorded.index);
                    self.attach(recorded.call, std::time::Duration::ZERO, false, audit).await
                }
                Advanced::Illegal(_, call) => Err(too_late(&call, is_resolved)),
                Advanced::NotFound | Advanced::PolicyChanged | Advanced::CredentialGone(_) => {
                    Err(super::read::no_call(id))
                }
            }
        }
        .await;
        let result = match result {
            Err(denial) => self.refuse(denial, &seen, None, now).await,
            done => done,
        };
        Answer { quota: seen.quota, result }
    }
}

/// Why a call cannot be resolved, or taken back.
fn too_late(call: &Call, is_resolved: bool) -> Denial {
    let (id, state) = (call.id, call.state.word());
    let denial = if is_resolved {
        let detail = match call.outcome() {
            Some(Outcome::Settled { by, .. }) => format!("{id} is not in doubt: `{by}` said that it {state}"),
            Some(_) | None => format!("{id} is not in doubt: it is `{state}`"),
        };
        Denial::new(Stage::Execution, Code::CallNotInDoubt, detail)
    } else {
        let detail = format!("{id} is `{state}`, so it cannot be taken back any more");
        Denial::new(Stage::Execution, Code::ApprovalAlreadyDecided, detail)
    };
    denial.hint(format!("`toolctl calls show {id}` says more")).about(id).effect(call.effect_so_far())
}

/// Whether `principal` may decide about `call`.
pub(super) fn may_decide(principal: &Principal, call: &Call) -> Result<Eligible, Denial> {
    let requirements = call.approval.as_ref().map_or(&[][..], |approval| approval.requirements.as_slice());
    approval::eligible(principal, &call.principal, &call.chain, requirements)
}

fn has_said(call: &Call, reviewer: &Principal, verdict: Verdict) -> bool {
    let decisions = call.approval.iter().flat_map(|approval| &approval.decisions);
    decisions.into_iter().any(|d| d.by == reviewer.id && d.verdict == verdict && d.evidence.is_person())
}

fn looked_at(looked_at: LookedAt, asked: Digest, call: &Call) -> Result<Digest, Denial> {
    match looked_at {
        LookedAt::Whatever => Ok(asked),
        LookedAt::Binding(binding) if binding == asked => Ok(binding),
        LookedAt::Binding(_) => Err(undecidable(&IllegalTransition::Binding, call, Verdict::Approve)),
    }
}

fn no_approval(wanted: ApprovalRef) -> Denial {
    Denial::new(Stage::Approval, Code::NotFound, format!("there is no approval {wanted}"))
        .hint("`toolctl approvals list` shows what waits")
}

/// Why a decision does not count, for the one who made it.
pub(super) fn undecidable(why: &IllegalTransition, call: &Call, verdict: Verdict) -> Denial {
    let state = call.state.word();
    let (code, detail) = match why {
        IllegalTransition::Binding => {
            (Code::ApprovalStale, "this is not what you looked at: look again and decide anew".to_owned())
        }
        IllegalTransition::TooLate => (Code::ApprovalExpired, "the time to decide is over".to_owned()),
        IllegalTransition::State { .. } if state == "expired" => {
            (Code::ApprovalExpired, "the time to decide is over".to_owned())
        }
        IllegalTransition::State { .. } if state == "stale" => {
            (Code::ApprovalStale, "what was asked for has changed meanwhile".to_owned())
        }
        IllegalTransition::State { .. } => (Code::ApprovalAlreadyDecided, format!("the call is already `{state}`")),
        IllegalTransition::Contradicted => {
            (Code::ApprovalAlreadyDecided, format!("you decided otherwise before, so `{verdict}` does not count"))
        }
        IllegalTransition::Repeated | IllegalTransition::TooEarly => (Code::ApprovalAlreadyDecided, why.to_string()),
    };
    Denial::new(Stage::Approval, code, detail).about(call.id).effect(call.effect_so_far())
}

//! Looking at calls, approvals, tools, policies and the log: who may see what, and nothing written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast;

use crate::api::tools::Standing;
use crate::domain::call::{Call, CallState};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::{ApprovalRef, CallId};
use crate::domain::preview::Preview;
use crate::domain::principal::Principal;
use crate::domain::tool::Registered;
use crate::guard::policy::{Answer as PolicyAnswer, Request, StandingAnswer};

use super::port::{CallFilter, Log, Presented};
use super::submission::{Answer, PolicyVerdict, Reply};
use super::{Pipeline, Seen, decide, unavailable};

/// A tool as one caller sees it.
#[derive(Debug, Clone)]
pub struct ToolView {
    /// The tool.
    pub tool: Arc<Registered>,
    /// What policy says, as far as it can be said without arguments.
    pub standing: Standing,
    /// Groups that must agree.
    pub approvers: Vec<String>,
    /// The caller may know what runs it.
    pub open: bool,
}

/// What an approver needs beside the call itself.
#[derive(Debug, Clone)]
pub struct Dossier {
    /// The call with its approval.
    pub call: Call,
    /// Its tool, unless it is gone.
    pub tool: Option<Arc<Registered>>,
    /// The last approved call of this tool by this caller.
    pub previous: Option<Call>,
    /// What the tool's preview said when people were asked; none when it has none, or this caller may not see it.
    pub preview: Option<Preview>,
    /// Why this caller may not decide; none when it may.
    pub you_may_not: Option<String>,
}

impl Pipeline {
    /// Recognises the caller and charges its rate limit: the guards of everything that only looks.
    pub(super) async fn looking<T>(
        &self,
        presented: &Presented,
        look: impl AsyncFnOnce(Principal) -> Result<T, Denial>,
    ) -> Answer<T> {
        let now = self.ports.clock.now();
        let mut seen = Seen::default();
        let result = async {
            let principal = self.recognise(presented, &mut seen, now)?;
            self.charge(&principal, &mut seen, now)?;
            look(principal).await
        }
        .await;
        let result = match result {
            Err(denial) if denial.code == Code::NotAllowed => self.refuse(denial, &seen, None, now).await,
            other => other,
        };
        Answer { quota: seen.quota, result }
    }

    /// Refuses a caller nobody knows before any work is done for it. It is no guard: each operation recognises
    /// its caller itself.
    ///
    /// # Errors
    /// Unauthenticated, or rate-limited after repeated failures.
    pub fn must_know(&self, presented: &Presented) -> Result<(), Denial> {
        self.ports.authn.identify(presented, self.ports.clock.now()).map(drop)
    }

    /// Who the caller is, or the no of a caller nobody knows. It charges nothing.
    ///
    /// # Errors
    /// Unauthenticated, or rate-limited after repeated failures.
    pub fn recognised(&self, presented: &Presented) -> Result<Principal, Denial> {
        self.ports.authn.identify(presented, self.ports.clock.now())
    }

    /// The tools that this caller may see, without charging its rate limit: for following their changes.
    ///
    /// # Errors
    /// As [`Pipeline::recognised`].
    pub fn visible_tools(&self, presented: &Presented) -> Result<Vec<ToolView>, Denial> {
        self.recognised(presented).map(|principal| self.seen_by(&principal))
    }

    fn seen_by(&self, principal: &Principal) -> Vec<ToolView> {
        let rules = self.rules();
        let seen = rules.catalog.iter().filter(|tool| rules.find(tool.name.as_str(), principal).is_ok());
        seen.map(|tool| self.view(principal, tool)).filter(|view| view.standing != Standing::Denied).collect()
    }

    /// One call; waits up to `wait` for its end.
    pub async fn show(&self, presented: Presented, id: CallId, wait: Duration) -> Answer<Reply> {
        self.looking(&presented, async |principal| {
            let call = self.visible(&principal, id).await?;
            self.attach(call, wait, false, None).await
        })
        .await
    }

    /// Calls the caller may see, newest first.
    pub async fn calls(&self, presented: Presented, mut filter: CallFilter) -> Answer<Vec<Call>> {
        self.looking(&presented, async |principal| {
            if !sees_all(&principal) {
                if filter.principal.as_ref().is_some_and(|wanted| *wanted != principal.id) {
                    return Ok(Vec::new());
                }
                filter.principal = Some(principal.id);
            }
            self.ports.ledger.calls(filter).await.map_err(|why| unavailable(&why))
        })
        .await
    }

    /// What waits for people, by number, larger than `after`: what this caller may decide or asked for.
    pub async fn pending(&self, presented: Presented, after: u64, limit: usize) -> Answer<Vec<Dossier>> {
        self.looking(&presented, async |principal| {
            let (mut dossiers, mut after) = (Vec::new(), after);
            // A page of what others wait for is not the end of what this caller may see.
            while dossiers.len() < limit {
                let calls = self.ports.ledger.pending(after, limit).await.map_err(|why| unavailable(&why))?;
                let Some(last) = calls.last().and_then(|call| call.approval.as_ref()) else { break };
                after = last.number;
                let room = limit - dossiers.len();
                for call in calls.into_iter().filter(|call| may_see(&principal, call)).take(room) {
                    dossiers.push(self.compile(&principal, call).await?);
                }
            }
            Ok(dossiers)
        })
        .await
    }

    /// One approval with everything an approver needs; what its preview said only for those who decide, as a
    /// requester may see less than the preview's tool does.
    pub async fn dossier(&self, presented: Presented, approval: ApprovalRef) -> Answer<Dossier> {
        self.looking(&presented, async |principal| {
            let call = self.find_approval(approval).await?;
            if !may_see(&principal, &call) {
                return Err(no_call(call.id));
            }
            let mut dossier = self.compile(&principal, call).await?;
            if decide::may_decide(&principal, &dossier.call).is_ok() {
                dossier.preview = dossier.call.approval.as_ref().and_then(|approval| approval.preview.clone());
            }
            Ok(dossier)
        })
        .await
    }

    async fn compile(&self, principal: &Principal, call: Call) -> Result<Dossier, Denial> {
        let previous = self.ports.ledger.last_approved(&call.principal, &call.tool).await;
        let previous = previous.map_err(|why| unavailable(&why))?.filter(|previous| previous.id != call.id);
        let tool = self.rules().catalog.get(call.tool.as_str()).map(Arc::clone);
        let you_may_not = match (&call.state, decide::may_decide(principal, &call)) {
            (CallState::AwaitingApproval, Ok(_)) => None,
            (CallState::AwaitingApproval, Err(no)) => Some(no.detail),
            (state, _) => Some(format!("the call is already `{}`", state.word())),
        };
        Ok(Dossier { call, tool, previous, preview: None, you_may_not })
    }

    /// Sees every change of an approval: asked for, decided, ended.
    pub fn approvals_changed(&self) -> broadcast::Receiver<CallId> {
        self.waiters.follow_approvals()
    }

    /// Who the caller is.
    pub async fn whoami(&self, presented: Presented) -> Answer<Principal> {
        self.looking(&presented, async |principal| Ok(principal)).await
    }

    /// The tools the caller may see: inside its credential's scope, on the allowlist, and not surely denied.
    pub async fn tools(&self, presented: Presented) -> Answer<Vec<ToolView>> {
        self.looking(&presented, async |principal| Ok(self.seen_by(&principal))).await
    }

    /// One tool, if the caller may see it.
    pub async fn tool(&self, presented: Presented, name: &str) -> Answer<ToolView> {
        self.looking(&presented, async |principal| {
            let tool = self.rules().find(name, &principal)?;
            Ok(ToolView { open: sees_all(&principal), ..self.view(&principal, &tool) })
        })
        .await
    }

    fn view(&self, principal: &Principal, tool: &Arc<Registered>) -> ToolView {
        let said = self.rules().policies.standing(principal, tool);
        let standing = match said.answer {
            StandingAnswer::Allowed => Standing::Allowed,
            StandingAnswer::NeedsApproval => Standing::NeedsApproval,
            StandingAnswer::Denied => Standing::Denied,
            StandingAnswer::Depends => Standing::Depends,
        };
        let approvers = said.groups.iter().map(ToString::to_string).collect();
        ToolView { tool: Arc::clone(tool), standing, approvers, open: false }
    }

    /// Digest of the catalog.
    pub fn catalog_digest(&self) -> String {
        self.rules().catalog.digest().to_string()
    }

    /// What policy would decide; `other` asks for somebody else, which only administrators may.
    pub async fn check(
        &self,
        presented: Presented,
        tool: &str,
        arguments: Value,
        other: Option<String>,
    ) -> Answer<PolicyVerdict> {
        self.looking(&presented, async |principal| {
            let now = self.ports.clock.now();
            let principal = match other {
                Some(other) if other != principal.id.as_str() => self.somebody(&principal, &other)?,
                _ => principal,
            };
            let rules = self.rules();
            let tool = rules.find(tool, &principal)?;
            let arguments = rules.schemas.check(&tool, &arguments)?;
            let request = Request {
                principal: &principal,
                tool: &tool,
                arguments: &arguments,
                now,
                dry_run: true,
                transport: "check",
            };
            let said = rules.policies.explain(&request);
            let decision = match said.answer {
                PolicyAnswer::Deny => {
                    Err(Denial::new(Stage::Policy, Code::PolicyDenied, said.sentence.clone()).rules(said.rules.clone()))
                }
                PolicyAnswer::Allow | PolicyAnswer::NeedsApproval => Ok(said.requirements),
            };
            let policy = rules.policies.digest();
            Ok(PolicyVerdict { principal, decision, rules: said.rules, sentence: said.sentence, policy })
        })
        .await
    }

    fn somebody(&self, asking: &Principal, wanted: &str) -> Result<Principal, Denial> {
        let no = |code, detail: String| Denial::new(Stage::Authentication, code, detail);
        if !asking.is_administrator() {
            let detail = format!("`{}` may not ask what policy says to others", asking.id);
            return Err(no(Code::NotAllowed, detail).hint("an administrator can"));
        }
        let now = self.ports.clock.now();
        let known =
            self.ports.authn.keys().into_iter().find(|key| key.principal.id.as_str() == wanted && key.is_live(now));
        known.map(|key| key.principal).ok_or_else(|| {
            no(Code::NotFound, format!("nobody named `{wanted}` has a live key"))
                .hint("`toolctl keys list` shows the principals")
        })
    }

    /// The policies in force.
    pub async fn policies(&self, presented: Presented) -> Answer<Arc<super::rulebook::Rulebook>> {
        self.looking(&presented, async |_| Ok(self.rules())).await
    }

    /// The log, for a caller that may read it: administrators, approvers and auditors.
    pub async fn log(&self, presented: Presented) -> Answer<Arc<dyn Log>> {
        self.looking(&presented, async |principal| {
            if sees_all(&principal) {
                return Ok(Arc::clone(&self.ports.log));
            }
            Err(Denial::new(
                Stage::Authentication,
                Code::NotAllowed,
                format!("`{}` may not read the audit log", principal.id),
            )
            .hint("members of `administrators`, `approvers` and `auditors` may"))
        })
        .await
    }

    /// Whether a reader of the log still may: asked again and again by what follows it. It charges nothing, as
    /// others make the log grow.
    pub fn may_still_read_log(&self, presented: &Presented) -> bool {
        self.ports.authn.identify(presented, self.ports.clock.now()).is_ok_and(|principal| sees_all(&principal))
    }

    pub(super) async fn visible(&self, principal: &Principal, id: CallId) -> Result<Call, Denial> {
        self.find(id).await?.filter(|call| may_see(principal, call)).ok_or_else(|| no_call(id))
    }
}

/// Whether `principal` may see everybody's calls and the log.
pub(super) fn sees_all(principal: &Principal) -> bool {
    [Principal::ADMINISTRATORS, Principal::APPROVERS, "auditors"].iter().any(|group| principal.is_in(group))
}

/// Whether `principal` may see `call`: its own, one made on its behalf, or one it could decide about.
fn may_see(principal: &Principal, call: &Call) -> bool {
    let asked: BTreeSet<_> =
        call.approval.iter().flat_map(|approval| approval.requirements.iter().map(|need| &need.group)).collect();
    call.principal == principal.id
        || call.chain.contains(&principal.id)
        || sees_all(principal)
        || asked.iter().any(|group| principal.groups.contains(*group))
}

pub(super) fn no_call(id: CallId) -> Denial {
    Denial::new(Stage::Catalog, Code::NotFound, format!("there is no call {id} that you may see"))
        .hint("a read-only call without a key leaves only its record: toolctl audit query --call ID")
}

//! The requester's own consent, where a rule takes it: typed in its client, counted like a decision and never as
//! one of a person. Everything else about the call stays as it is with people.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::approval::{Decision, Evidence, Verdict};
use crate::domain::call::{Call, CallEvent, CallState};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::CallId;
use crate::guard::approval;

use super::decide::undecidable;
use super::port::{Advanced, Conditions, Presented};
use super::read::no_call;
use super::submission::{Answer, Reply};
use super::{Pipeline, Seen, unavailable};

impl Pipeline {
    /// What somebody typed in the requester's client to agree to call `id`: the short digest of B. When nobody
    /// else has to agree the call runs; waits up to `wait` for its end. The same again is no error. Something
    /// else typed is `approval-stale`, and changes nothing.
    pub async fn consent(
        self: &Arc<Self>,
        presented: Presented,
        id: CallId,
        typed: &str,
        wait: Duration,
    ) -> Answer<Reply> {
        let now = self.ports.clock.now();
        let mut seen = Seen::default();
        let result = async {
            let requester = self.recognise(&presented, &mut seen, now)?;
            self.charge(&requester, &mut seen, now)?;
            let call = self.visible(&requester, id).await?;
            let asked = call.approval.as_ref().ok_or_else(|| no_call(id))?;
            let given = approval::consent(&requester, &call, asked, typed, now)?;
            self.count_consent(given, id, wait).await
        }
        .await;
        let result = match result {
            Err(denial) => self.refuse(denial, &seen, None, now).await,
            done => done,
        };
        Answer { quota: seen.quota, result }
    }

    async fn count_consent(self: &Arc<Self>, given: Decision, id: CallId, wait: Duration) -> Result<Reply, Denial> {
        let (at, binding) = (given.at, given.binding);
        let conditions = Conditions { credentials: vec![given.credential.clone()], ..Conditions::default() };
        let counted = self.ports.ledger.advance(id, CallEvent::Decided(given), conditions, at).await;
        match counted.map_err(|why| unavailable(&why))? {
            Advanced::Done(recorded) => {
                self.changed(&recorded.call);
                self.sweep.notify_one();
                if matches!(recorded.call.state, CallState::Ready) {
                    self.spawn_ready(id);
                }
                self.attach(recorded.call, wait, false, Some(recorded.index)).await
            }
            Advanced::Illegal(_, call) if has_consented(&call) && is_bound_by(&call, binding) => {
                self.attach(call, wait, true, None).await
            }
            Advanced::Illegal(why, call) => Err(undecidable(&why, &call, Verdict::Approve)),
            Advanced::CredentialGone(_) => {
                Err(Denial::new(Stage::Authentication, Code::Unauthenticated, "the key is no longer good"))
            }
            Advanced::NotFound | Advanced::PolicyChanged => Err(no_call(id)),
        }
    }
}

fn has_consented(call: &Call) -> bool {
    let decisions = call.approval.iter().flat_map(|approval| &approval.decisions);
    decisions.into_iter().any(|decision| decision.evidence == Evidence::ClientElicitation)
}

fn is_bound_by(call: &Call, binding: crate::domain::digest::Digest) -> bool {
    call.approval.as_ref().is_some_and(|approval| approval.binding == binding)
}

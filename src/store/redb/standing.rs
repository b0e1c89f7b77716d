//! Calls that have not ended, in memory: what listings and the sweeper ask without reading every row. Only
//! committed changes enter, so nobody sees what is not durable. Rebuilt at the start from the `live` table.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::call::{Call, CallState};
use crate::domain::digest::Digest;
use crate::domain::id::{CallId, PrincipalId, ToolName};
use crate::domain::time::Timestamp;
use crate::pipeline::port::Counts;

/// Where live calls stand.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Waiting for people, by number.
    pub(super) pending: BTreeMap<u64, CallId>,
    /// Not ended and not waiting for people.
    pub(super) unfinished: BTreeSet<CallId>,
    in_doubt: u64,
    deadlines: BTreeSet<(Timestamp, CallId)>,
}

impl Standing {
    /// Follows one change.
    pub(super) fn follow(&mut self, before: Option<&Call>, after: &Call) {
        if let Some(call) = before {
            self.forget(call);
        }
        match call_number(after) {
            Some(number) => drop(self.pending.insert(number, after.id)),
            None if !after.is_closed() => drop(self.unfinished.insert(after.id)),
            None => {}
        }
        self.in_doubt += u64::from(after.state == CallState::InDoubt);
        if let Some(deadline) = after.deadline() {
            self.deadlines.insert((deadline, after.id));
        }
    }

    fn forget(&mut self, call: &Call) {
        match call_number(call) {
            Some(number) => drop(self.pending.remove(&number)),
            None => drop(self.unfinished.remove(&call.id)),
        }
        self.in_doubt = self.in_doubt.saturating_sub(u64::from(call.state == CallState::InDoubt));
        if let Some(deadline) = call.deadline() {
            self.deadlines.remove(&(deadline, call.id));
        }
    }

    /// How many calls stand where.
    pub(super) fn counts(&self) -> Counts {
        Counts { pending: self.pending.len() as u64, in_doubt: self.in_doubt }
    }

    /// Calls whose deadline is over, and the next deadline.
    pub(super) fn due(&self, now: Timestamp) -> (Vec<CallId>, Option<Timestamp>) {
        let due = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).map(|(_, id)| *id).collect();
        let next = self.deadlines.iter().map(|(deadline, _)| *deadline).find(|deadline| *deadline > now);
        (due, next)
    }
}

/// Who waits for people, in the writer's memory: what an opening is checked against. Unlike [`Standing`] it
/// includes the changes of the transaction under way; if that fails, the writer stops for good.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_principal: HashMap<PrincipalId, usize>,
    identical: HashMap<(PrincipalId, ToolName, Digest), BTreeSet<CallId>>,
}

impl Waiting {
    /// Follows one change.
    pub(super) fn follow(&mut self, before: Option<&Call>, after: &Call) {
        if let Some(call) = before.filter(|call| call.state == CallState::AwaitingApproval) {
            self.remove(call);
        }
        if after.state == CallState::AwaitingApproval {
            *self.by_principal.entry(after.principal.clone()).or_default() += 1;
            self.identical.entry(sameness(after)).or_default().insert(after.id);
        }
    }

    fn remove(&mut self, call: &Call) {
        if let Some(count) = self.by_principal.get_mut(&call.principal) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_principal.remove(&call.principal);
            }
        }
        let sameness = sameness(call);
        if let Some(ids) = self.identical.get_mut(&sameness) {
            ids.remove(&call.id);
            if ids.is_empty() {
                self.identical.remove(&sameness);
            }
        }
    }

    /// How many calls of this principal wait.
    pub(super) fn of(&self, principal: &PrincipalId) -> usize {
        self.by_principal.get(principal).copied().unwrap_or(0)
    }

    /// The first call that waits for the same.
    pub(super) fn identical(&self, call: &Call) -> Option<CallId> {
        self.identical.get(&sameness(call))?.first().copied()
    }
}

fn sameness(call: &Call) -> (PrincipalId, ToolName, Digest) {
    (call.principal.clone(), call.tool.clone(), call.effective)
}

/// The number under which a call waits, if it waits for people.
fn call_number(call: &Call) -> Option<u64> {
    match call.state {
        CallState::AwaitingApproval => call.approval.as_ref().map(|approval| approval.number),
        CallState::Ready | CallState::Running { .. } | CallState::InDoubt | CallState::Closed(_) => None,
    }
}

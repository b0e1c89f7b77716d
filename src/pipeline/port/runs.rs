//! Remembering runs of workflows: a row when one begins, that it was left to the daemon, and how it ended.

use super::{Unavailable, Wait};
use crate::domain::audit::AuditRecord;
use crate::domain::id::{CallId, IdempotencyKey, PrincipalId, RunId};
use crate::domain::run::{Detached, Run, RunEnd};

/// A key that stands for a call which was made with another one, as the same request waited for people already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The key.
    pub key: IdempotencyKey,
    /// The one that the call was made with.
    pub opener: IdempotencyKey,
    /// The call.
    pub call: CallId,
}

/// Runs of workflows.
pub trait Runs: Send + Sync {
    /// Remembers a run and records it, unless this principal has one of this id: then nothing is written. Gives the
    /// run that counts, and whether it is the new one.
    fn begin_run(&self, run: Run, record: AuditRecord) -> Wait<'_, Result<(Run, bool), Unavailable>>;

    /// Notes how a run ended and records it, unless it has ended before: then nothing is written. Gives the run as
    /// it counts, and whether this ended it; none when there is no such run.
    fn end_run(
        &self,
        principal: PrincipalId,
        id: RunId,
        end: RunEnd,
        record: AuditRecord,
    ) -> Wait<'_, Result<Option<(Run, bool)>, Unavailable>>;

    /// Notes that a run was left to the daemon and records it, if there may be something left to do for it and it was
    /// not left with this credential before: else nothing is written. Gives the run as it counts, and whether this
    /// changed it; none when there is no such run.
    fn detach_run(
        &self,
        principal: PrincipalId,
        id: RunId,
        detached: Detached,
        record: AuditRecord,
    ) -> Wait<'_, Result<Option<(Run, bool)>, Unavailable>>;

    /// Notes that the daemon has done all there was to do for a run and records it, if the run has ended and was left
    /// to it: else nothing is written.
    fn release_run(&self, principal: PrincipalId, id: RunId, record: AuditRecord) -> Wait<'_, Result<(), Unavailable>>;

    /// Every run that was left to the daemon, by its principal and id.
    fn detached(&self) -> Wait<'_, Result<Vec<Run>, Unavailable>>;

    /// The run of this principal and id.
    fn find_run<'a>(&'a self, principal: &'a PrincipalId, id: &'a RunId) -> Wait<'a, Result<Option<Run>, Unavailable>>;

    /// Runs, newest first; of one principal, or of all.
    fn runs(&self, principal: Option<PrincipalId>, limit: usize) -> Wait<'_, Result<Vec<Run>, Unavailable>>;
}

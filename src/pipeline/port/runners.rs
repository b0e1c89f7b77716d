//! Driving runs of workflows that were left to the daemon. The daemon knows no steps: something outside of it, a client
//! like any other, drives a run; this port starts it, watches over it and ends it.

use super::Wait;
use crate::domain::id::{PrincipalId, RunId};
use crate::domain::principal::Credential;
use crate::domain::time::Timestamp;

/// What drives runs.
pub trait Runners: Send + Sync {
    /// Begins to drive a run, as whoever showed this credential. When it is driven already, a pause is over.
    fn drive(&self, principal: &PrincipalId, id: &RunId, credential: &Credential);

    /// Ends whatever drives a run; calls that were made go on.
    fn let_go(&self, principal: &PrincipalId, id: &RunId);

    /// How the driver of a run stands; none when it has none.
    fn standing(&self, principal: &PrincipalId, id: &RunId) -> Option<Standing>;

    /// How many runs it drives.
    fn driven(&self) -> usize;

    /// Ends all drivers and starts no more: the daemon is stopping. The next one goes on.
    fn close(&self) -> Wait<'_, ()>;
}

/// How the driver of a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is at work.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It could not go on, and is started again later.
    Resting {
        /// What it said last.
        why: String,
        /// When it is started again.
        until: Timestamp,
    },
    /// It is not started again by itself.
    Stopped {
        /// Why.
        why: String,
    },
}

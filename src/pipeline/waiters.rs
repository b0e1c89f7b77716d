//! Who waits for which call. Waiters are woken when their call changes and read it again; nothing is
//! decided here, so a missed or extra wake-up is harmless.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{broadcast, watch};

use crate::domain::id::CallId;

/// The most waiters of one call; more are told to come back.
pub const MOST_PER_CALL: usize = 256;
/// The most waiters of all calls.
pub const MOST: usize = 16_384;
/// Changes that a slow follower may fall behind before it has to look for itself.
const CHANGES: usize = 1_024;

/// The registry.
#[derive(Debug)]
pub struct Waiters {
    calls: Mutex<HashMap<CallId, watch::Sender<()>>>,
    approvals: broadcast::Sender<CallId>,
    closed: AtomicBool,
}

impl Default for Waiters {
    fn default() -> Self {
        Self { calls: Mutex::default(), approvals: broadcast::channel(CHANGES).0, closed: AtomicBool::new(false) }
    }
}

/// One place in the registry; it is given up on drop.
pub struct Waiter<'a> {
    waiters: &'a Waiters,
    call: CallId,
    changes: watch::Receiver<()>,
}

impl Waiters {
    /// Takes a place; none when there are too many.
    pub fn join(&self, call: CallId) -> Option<Waiter<'_>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= MOST {
            return None;
        }
        let sender = calls.entry(call).or_insert_with(|| watch::channel(()).0);
        if sender.receiver_count() >= MOST_PER_CALL {
            return None;
        }
        Some(Waiter { waiters: self, call, changes: sender.subscribe() })
    }

    /// How many wait for `call`.
    #[cfg(test)]
    pub fn count(&self, call: CallId) -> usize {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(&call).map_or(0, watch::Sender::receiver_count)
    }

    /// Wakes who waits for `call`.
    pub fn wake(&self, call: CallId) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = calls.get(&call) {
            sender.send_replace(());
        }
    }

    /// Lets go of who waits for `call`: nothing will change it any more in this daemon's life.
    pub fn abandon(&self, call: CallId) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&call);
    }

    /// Lets go of everybody, and of everybody who comes: the daemon is stopping, and none of them shall hold
    /// it up.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether nobody may wait any more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Tells followers that the approval of `call` changed.
    pub fn approval_changed(&self, call: CallId) {
        // Nobody may be following: that is no error.
        let _followers = self.approvals.send(call);
    }

    /// Follows approvals.
    pub fn follow_approvals(&self) -> broadcast::Receiver<CallId> {
        self.approvals.subscribe()
    }
}

impl Waiter<'_> {
    /// Waits for the next change; false when there will be none.
    pub async fn changed(&mut self) -> bool {
        self.changes.changed().await.is_ok()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut calls = self.waiters.calls.lock().unwrap_or_else(PoisonError::into_inner);
        // This waiter's own receiver is still counted.
        if calls.get(&self.call).is_some_and(|sender| sender.receiver_count() <= 1) {
            calls.remove(&self.call);
        }
    }
}

//! The order to stop: given once, seen by everybody who holds a handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A handle to the one order to stop. Cloning it gives another handle to the same order. Every request has one of
/// its own, so it is no more than a flag and those who wait for it.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<Order>);

#[derive(Debug)]
struct Order {
    given: AtomicBool,
    waiting: Notify,
}

impl Shutdown {
    /// An order not yet given.
    pub fn new() -> Self {
        Self(Arc::new(Order { given: AtomicBool::new(false), waiting: Notify::new() }))
    }

    /// Gives the order. Again is harmless.
    pub fn begin(&self) {
        self.0.given.store(true, Ordering::Release);
        self.0.waiting.notify_waiters();
    }

    /// Whether the order was given.
    pub fn has_begun(&self) -> bool {
        self.0.given.load(Ordering::Acquire)
    }

    /// Waits for the order. Cancel-safe.
    pub async fn begun(&self) {
        // Made before the look: it hears every `notify_waiters` from here on, so none falls between.
        let told = self.0.waiting.notified();
        if !self.has_begun() {
            told.await;
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

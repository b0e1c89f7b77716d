//! The order to stop: given once, seen by everybody who holds a handle.

use std::sync::Arc;

use tokio::sync::watch;

/// A handle to the one order to stop. Cloning it gives another handle to the same order.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// An order not yet given.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Gives the order. Again is harmless.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether the order was given.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the order. Cancel-safe.
    pub async fn begun(&self) {
        let mut orders = self.0.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = orders.wait_for(|given| *given).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

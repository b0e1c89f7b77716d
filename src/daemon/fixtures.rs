//! Serves the fixtures of the MCP conformance suite in place of a daemon: a listener on loopback, a clock and
//! chance, and nothing else. No store, no socket, no keys, no tools.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::clock::{self, SystemChance, SystemClock};
use crate::server::{self, Seal, Shutdown};
use crate::transport::{CannotListen, Listener};

/// The fixtures, about to be served.
pub struct Fixtures {
    listener: Listener,
    shutdown: Shutdown,
}

/// Why the fixtures are not served.
#[derive(Debug, thiserror::Error)]
pub enum CannotServe {
    /// Other machines could reach what has no key.
    #[error("the conformance fixtures have no key and are served on loopback only, not on `{0}`")]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] CannotListen),
}

impl Fixtures {
    /// Listens at `address`.
    ///
    /// # Errors
    /// When it is not a loopback address, or the system does not give it.
    pub async fn listen(address: SocketAddr) -> Result<Self, CannotServe> {
        if !address.ip().is_loopback() {
            return Err(CannotServe::NotLoopback(address));
        }
        Ok(Self { listener: Listener::tcp(address).await?, shutdown: Shutdown::new() })
    }

    /// Where it listens: `http://ADDRESS`.
    pub fn url(&self) -> String {
        self.listener.to_string()
    }

    /// Stops it, from anywhere.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Serves until it is told to stop. What clients bring back is sealed under a key of this run.
    pub async fn serve(self) {
        let mut key = [0; 32];
        clock::fill(&mut key);
        let (clock, chance) = (Arc::new(SystemClock::default()), Arc::new(SystemChance));
        server::serve_fixtures(self.listener, Seal::new(key), clock, chance, self.shutdown).await;
    }
}

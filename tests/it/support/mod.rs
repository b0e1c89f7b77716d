//! A real daemon in a folder of its own, and the ways to talk to it. Everything waits for a state, never for
//! a time.

use std::time::{Duration, Instant};

pub mod daemon;
pub mod http;
pub mod server;
pub mod store;
pub mod story;

pub use daemon::Daemon;
pub use http::{Door, Exchange, Response};
pub use server::{Heard, Server};
pub use story::{Ending, Story};

/// Asks until there is an answer, at most for a minute.
#[track_caller]
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "it did not happen within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

//! Every limit of the doors in one place, each with its name. What a peer can make us hold or wait for is
//! bounded before we know who it is.

use std::time::Duration;

/// What one daemon takes on at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once over all listeners, at most three quarters of them over TCP; one more is told so
    /// (503) and closed.
    pub connections: usize,
    /// Callers beyond [`Limits::connections`] that are told so at once; one more is closed without a word.
    pub refusals: usize,
    /// From the first byte of a request to the end of its header block; over TCP also from the beginning of a
    /// connection to its first byte, and from there until a conversation over lines has shown who speaks.
    pub header_time: Duration,
    /// Bytes of a header block; more is 431.
    pub header_bytes: usize,
    /// Bytes of a body; more is 413.
    pub body_bytes: usize,
    /// From the end of the header block to the end of the body.
    pub body_time: Duration,
    /// For how long a peer may refuse to take bytes of an answer.
    pub stall: Duration,
    /// Requests that run at once; one more is 503.
    pub requests: usize,
    /// Requests that wait at once for people or for a running call, and streams; one more is 503.
    pub waiters: usize,
    /// The longest wait; a longer one is answered when this is over.
    pub wait: Duration,
    /// For how long the MCP door holds a call that waits for people before it says so.
    pub hold: Duration,
    /// How often a quiet stream shows that it is alive.
    pub heartbeat: Duration,
    /// For how long a stopping daemon lets requests end.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            refusals: 64,
            header_time: Duration::from_secs(10),
            header_bytes: 64 << 10,
            body_bytes: 1 << 20,
            body_time: Duration::from_secs(30),
            stall: Duration::from_secs(300),
            requests: 4_096,
            waiters: 16_384,
            wait: Duration::from_secs(600),
            hold: Duration::from_secs(20),
            heartbeat: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}

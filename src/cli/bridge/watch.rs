//! Whether a daemon that is connected is alive: one that was stopped (or swapped out, or debugged) keeps its
//! connections and says nothing. When something is awaited and it has been silent, it is asked; what is alive
//! answers that, however long its calls take or wait for people.

use std::time::{Duration, Instant};

/// For how long nothing is heard before the daemon is asked, and again before it is given up.
pub const SILENCE: Duration = Duration::from_secs(5);

/// What was heard on one connection.
#[derive(Debug, Default)]
pub struct Watch {
    heard: bool,
    /// Since when nothing was heard that was waited for.
    since: Option<Instant>,
    /// When it was asked.
    asked: Option<Instant>,
}

/// What to do about the silence.
#[derive(Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing.
    Short,
    /// Ask.
    Long,
    /// Give it up.
    TooLong,
}

impl Watch {
    /// A connection on which nothing was heard.
    pub const fn of(now: Instant) -> Self {
        Self { heard: false, since: Some(now), asked: None }
    }

    /// Something begins to be waited for.
    pub const fn begin(&mut self, now: Instant) {
        (self.since, self.asked) = (Some(now), None);
    }

    /// A message arrived; whether it is the first.
    pub const fn hear(&mut self, now: Instant) -> bool {
        self.begin(now);
        !std::mem::replace(&mut self.heard, true)
    }

    /// Whether anything was ever heard.
    pub const fn has_heard(&self) -> bool {
        self.heard
    }

    /// When to look again.
    pub fn deadline(&self) -> Option<Instant> {
        self.asked.or(self.since).map(|since| since + SILENCE)
    }

    /// Looks how long the silence is. To be asked is told once.
    pub fn look(&mut self, now: Instant) -> Silence {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Silence::Short;
        }
        if self.asked.replace(now).is_none() { Silence::Long } else { Silence::TooLong }
    }
}

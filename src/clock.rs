//! L3, the one place that asks what time it is and rolls dice.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::id::CallId;
use crate::domain::time::Timestamp;
use crate::pipeline::port::{Chance, Clock, Draw};

/// The system's clock, held so that it never goes back: a clock that is set back stands still until it has
/// caught up, and so cannot reopen a deadline or refill a limit.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicI64,
}

impl SystemClock {
    /// Keeps the clock from saying less than `time`, such as that of the last record of an earlier daemon.
    pub fn not_before(&self, time: Timestamp) {
        self.latest.fetch_max(time.micros(), Ordering::AcqRel);
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let wall = i64::try_from(wall).unwrap_or(i64::MAX);
        let before = self.latest.fetch_max(wall, Ordering::AcqRel);
        Timestamp::from_micros(wall.max(before))
    }
}

/// The system's random numbers.
#[derive(Debug, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn draw(&self, now: Timestamp) -> Draw {
        let millis = u64::try_from(now.micros() / 1_000).unwrap_or(0);
        let mut random = [0; 42];
        fill(&mut random);
        let (mut tail, mut salt, mut nonce) = ([0; 10], [0; 16], [0; 16]);
        let parts = tail.iter_mut().chain(&mut salt).chain(&mut nonce);
        parts.zip(random).for_each(|(to, from)| *to = from);
        let id = CallId::new(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid());
        Draw { id, salt, nonce }
    }
}

/// Fills `bytes` with random ones. A system that has none to give cannot run this program safely.
pub fn fill(bytes: &mut [u8]) {
    #[expect(clippy::panic, reason = "keys, salts and ids without randomness would be guessable")]
    if let Err(error) = getrandom::fill(bytes) {
        panic!("the system gives no random numbers: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_their_time_and_do_not_repeat() {
        let now = SystemClock::default().now();
        let (one, other) = (SystemChance.draw(now), SystemChance.draw(now));
        assert!(one.salt != other.salt && one.nonce != other.nonce && one.salt != one.nonce);
        let (first, second) = (one.id, other.id);
        assert_ne!(first, second);
        assert_eq!(first.bytes()[..6], second.bytes()[..6]);
        assert!(SystemChance.draw(now.plus(std::time::Duration::from_millis(1))).id > first);
    }

    #[test]
    fn the_clock_never_goes_back() {
        let clock = SystemClock::default();
        clock.not_before(Timestamp::from_micros(i64::MAX));
        assert_eq!(clock.now(), Timestamp::from_micros(i64::MAX));
    }
}

//! How fast? Traffic shaping in memory, so that one caller cannot keep the daemon from the others: GCRA
//! (the generic cell rate algorithm of ITU-T I.371), one theoretical arrival time per caller. The time is
//! given, never asked for, and a time earlier than one seen before counts as that one: a clock that steps
//! back gives nobody anything twice.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::{Clock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::PrincipalId;
use crate::domain::time::Timestamp;

/// How often callers with a full allowance are forgotten, by the time that is given.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How fast each caller may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaSettings {
    /// Requests a minute, in the long run; at least 1.
    pub per_minute: u32,
    /// Requests at once; at least 1.
    pub burst: u32,
    /// The most callers kept apart. Further ones share one allowance until others are forgotten.
    pub most_principals: usize,
}

impl Default for QuotaSettings {
    /// 600 a minute, 100 at once, 10 000 callers.
    fn default() -> Self {
        Self { per_minute: 600, burst: 100, most_principals: 10_000 }
    }
}

/// What is left, as the fields `RateLimit` and `RateLimit-Policy` tell it
/// (draft-ietf-httpapi-ratelimit-headers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaState {
    /// Requests a minute, in the long run.
    pub limit: u32,
    /// Requests at once when nothing is used: `q`.
    pub burst: u32,
    /// Requests left now: `r`.
    pub remaining: u32,
    /// Until the whole burst is there again: `t`.
    pub reset: Duration,
}

/// A request that came too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFast {
    /// What is left: nothing.
    pub state: QuotaState,
    /// When the next one is let through.
    pub retry_after: Duration,
}

impl QuotaState {
    /// The time in which the whole burst comes back: `w`.
    pub fn window(&self) -> Duration {
        interval(self.limit) * self.burst
    }
}

impl TooFast {
    /// The denial of a call.
    pub fn denial(&self, who: &PrincipalId) -> Denial {
        let QuotaState { limit, burst, .. } = self.state;
        let detail = format!("`{who}` may make {limit} requests a minute, {burst} at once, and made more");
        Denial::new(Stage::Quota, Code::RateLimited, detail)
            .hint("wait as long as `retry_after` says, then send it again with the same key")
            .retry_after(self.retry_after)
    }
}

/// The allowance of each principal.
pub type Quotas = Limiter<PrincipalId>;

/// One allowance per key: a principal, or the peer behind failed attempts to authenticate.
#[derive(Debug)]
pub struct Limiter<K: Hash + Eq + Clone> {
    settings: QuotaSettings,
    limiter: RateLimiter<K, Seats<K>, Told, StateInformationMiddleware>,
    swept_at: AtomicU64,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// Starts with every allowance full.
    pub fn new(settings: QuotaSettings) -> Self {
        let per_minute = settings.per_minute.max(1);
        let burst = NonZeroU32::new(settings.burst).unwrap_or(NonZeroU32::MIN);
        let settings = QuotaSettings { per_minute, burst: burst.get(), ..settings };
        let quota = governor::Quota::per_minute(NonZeroU32::MIN).allow_burst(burst);
        let quota = governor::Quota::with_period(interval(per_minute)).unwrap_or(quota).allow_burst(burst);
        let seats = Seats { most: settings.most_principals, taken: Mutex::default() };
        let limiter = RateLimiter::new(quota, seats, Told::default());
        Self { settings, limiter, swept_at: AtomicU64::new(0) }
    }

    /// The limit.
    pub const fn settings(&self) -> QuotaSettings {
        self.settings
    }

    /// Takes one request of `key` out of its allowance.
    ///
    /// # Errors
    /// When nothing is left; then nothing is taken.
    pub fn take(&self, key: &K, now: Timestamp) -> Result<QuotaState, TooFast> {
        let now = self.limiter.clock().tell(now);
        self.sweep(now);
        match self.limiter.check_key(key) {
            Ok(left) => Ok(self.state(left.remaining_burst_capacity())),
            Err(not_until) => Err(TooFast { state: self.state(0), retry_after: not_until.wait_time_from(Moment(now)) }),
        }
    }

    /// How many keys are kept apart now.
    pub fn len(&self) -> usize {
        self.limiter.len()
    }

    /// Whether every allowance is full.
    pub fn is_empty(&self) -> bool {
        self.limiter.is_empty()
    }

    fn state(&self, remaining: u32) -> QuotaState {
        let QuotaSettings { per_minute, burst, .. } = self.settings;
        let reset = interval(per_minute) * burst.saturating_sub(remaining);
        QuotaState { limit: per_minute, burst, remaining, reset }
    }

    /// Forgets keys whose allowance is full again: they are as good as new.
    fn sweep(&self, now: u64) {
        let swept_at = self.swept_at.load(Ordering::Relaxed);
        let due = u128::from(now.saturating_sub(swept_at)) >= SWEEP_EVERY.as_nanos();
        if due && self.swept_at.compare_exchange(swept_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.limiter.retain_recent();
        }
    }
}

fn interval(per_minute: u32) -> Duration {
    Duration::from_secs(60) / per_minute.max(1)
}

/// The latest time that was told, in nanoseconds since the epoch.
#[derive(Debug, Default)]
struct Told(AtomicU64);

impl Told {
    fn tell(&self, now: Timestamp) -> u64 {
        let now = u64::try_from(now.micros()).unwrap_or(0).saturating_mul(1000);
        self.0.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

impl Clock for Told {
    type Instant = Moment;

    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }
}

/// Nanoseconds since the epoch, saturating at both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl std::ops::Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, span: Nanos) -> Self {
        Self(self.0.saturating_add(span.as_u64()))
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Nanos::new(self.0.saturating_sub(earlier.0))
    }

    fn saturating_sub(&self, span: Nanos) -> Self {
        Self(self.0.checked_sub(span.as_u64()).unwrap_or(self.0))
    }
}

/// Theoretical arrival times by key, at most `most` of them; whoever finds no seat shares the last one.
#[derive(Debug)]
struct Seats<K> {
    most: usize,
    taken: Mutex<Arrivals<K>>,
}

#[derive(Debug)]
struct Arrivals<K> {
    own: HashMap<K, Nanos>,
    shared: Option<Nanos>,
}

impl<K> Default for Arrivals<K> {
    fn default() -> Self {
        Self { own: HashMap::new(), shared: None }
    }
}

impl<K> Seats<K> {
    /// A thread that panicked between two assignments of plain numbers has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, Arrivals<K>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> StateStore for Seats<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut arrivals = self.lock();
        if let Some(arrival) = arrivals.own.get_mut(key) {
            let (answer, next) = decide(Some(*arrival))?;
            *arrival = next;
            return Ok(answer);
        }
        if arrivals.own.len() >= self.most {
            let (answer, next) = decide(arrivals.shared)?;
            arrivals.shared = Some(next);
            return Ok(answer);
        }
        let (answer, next) = decide(None)?;
        arrivals.own.insert(key.clone(), next);
        Ok(answer)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Seats<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut arrivals = self.lock();
        arrivals.own.retain(|_, arrival| *arrival > drop_below);
        if arrivals.own.is_empty() {
            arrivals.own.shrink_to_fit();
        }
    }

    fn shrink_to_fit(&self) {
        self.lock().own.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.lock().own.len()
    }

    fn is_empty(&self) -> bool {
        self.lock().own.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    const START: i64 = 1_795_420_800_000_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(START + millis * 1000)
    }

    fn limiter(per_minute: u32, burst: u32, most_principals: usize) -> Limiter<&'static str> {
        Limiter::new(QuotaSettings { per_minute, burst, most_principals })
    }

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let quota = limiter(600, 3, 10);
        let state = |remaining, reset_ms| QuotaState {
            limit: 600,
            burst: 3,
            remaining,
            reset: Duration::from_millis(reset_ms),
        };
        assert_eq!(quota.take(&"a", at(0)), Ok(state(2, 100)));
        assert_eq!(quota.take(&"a", at(0)), Ok(state(1, 200)));
        assert_eq!(quota.take(&"a", at(0)), Ok(state(0, 300)));
        let refused = TooFast { state: state(0, 300), retry_after: Duration::from_millis(60) };
        assert_eq!(quota.take(&"a", at(40)), Err(refused));
        assert_eq!(quota.take(&"b", at(40)), Ok(state(2, 100)), "others are not affected");
        assert_eq!(quota.take(&"a", at(99)).map_err(|e| e.retry_after), Err(Duration::from_millis(1)));
        assert_eq!(quota.take(&"a", at(100)), Ok(state(0, 300)));
        assert_eq!(state(0, 0).window(), Duration::from_millis(300));
    }

    #[test]
    fn the_denial_says_who_and_when() {
        let quota = Quotas::new(QuotaSettings { per_minute: 60, burst: 1, most_principals: 10 });
        let who: PrincipalId = "agent:triage".parse().unwrap();
        quota.take(&who, at(0)).unwrap();
        let denial = quota.take(&who, at(0)).unwrap_err().denial(&who);
        assert_eq!(denial.code, Code::RateLimited);
        assert_eq!(denial.detail, "`agent:triage` may make 60 requests a minute, 1 at once, and made more");
        assert_eq!(denial.retry_after, Some(Duration::from_secs(1)));
    }

    // P10, small: every try is counted, and the count is exact.
    #[test]
    fn thirty_two_threads_get_exactly_what_there_is_however_the_clock_steps() {
        const THREADS: u32 = 32;
        const TRIES: u32 = 1_600;
        let quota = limiter(600, 500, 10);
        quota.take(&"other", at(10_000)).unwrap();
        let admitted = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (quota, admitted) = (&quota, &admitted);
                scope.spawn(move || {
                    for attempt in 0..TRIES {
                        // Back by up to 10 s and forth again, never past the time that was told first.
                        let step = i64::from((attempt * 7919 + thread * 104_729) % 10_001);
                        if quota.take(&"one", at(step)).is_ok() {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        println!("{} tries, {} admitted", THREADS * TRIES, admitted.load(Ordering::Relaxed));
        assert_eq!(admitted.load(Ordering::Relaxed), 500);

        // 20 s later exactly 200 more.
        let more = (0..1_000).filter(|_| quota.take(&"one", at(30_000)).is_ok()).count();
        assert_eq!(more, 200);
    }

    #[test]
    fn idle_callers_are_forgotten_and_strangers_share_when_all_seats_are_taken() {
        let quota = limiter(60, 2, 3);
        for key in ["a", "b", "c"] {
            quota.take(&key, at(0)).unwrap();
        }
        assert!(quota.take(&"d", at(0)).is_ok() && quota.take(&"e", at(0)).is_ok());
        assert!(quota.take(&"f", at(0)).is_err(), "d, e and f share one allowance of two");
        assert_eq!(quota.len(), 3);
        quota.take(&"f", at(20_000)).unwrap();
        assert_eq!(quota.len(), 1, "a, b and c are as good as new");
    }
}

//! Faults on purpose: named points in the write path of the redb store where a test makes the daemon die,
//! fail or panic, so that what it promises about crashes can be tried at every kind of write.
//!
//! | point | the write |
//! | --- | --- |
//! | `begin_epoch` | a start of the daemon is counted |
//! | `activate_policy` | a policy set comes into force |
//! | `record` | records that change no call: reads without a key, denials, counted refusals, the clean stop |
//! | `open_settled` | a call is opened and runs to its end in the same write |
//! | `open_started` | a call is opened and dispatched |
//! | `open_waiting` | a call is opened and waits for people |
//! | `open_confirmed` | a call is opened with the requester's own approval, and whatever follows from it |
//! | `decided` | a person says yes or no |
//! | `dispatched` | an approved or recovered call is dispatched |
//! | `settled_after_approval` | such a call is dispatched and runs to its end in the same write |
//! | `finished` | a dispatched call ended |
//! | `closed` | a call expired, was cancelled or went stale |
//! | `lost` | a call lost its runner |
//! | `resolved` | somebody said how a call in doubt ended |
//! | `keys_put` | an API key is made or changed |
//! | `import` | data is loaded into the desk |
//! | `run` | a run of a workflow begins or ends |
//! | `prune` | old results are removed |
//!
//! Each is met `before` its transaction is committed and `after` it, when it is durable and nobody was told.
//! The fault is `kill` (the process ends at once, as by kill -9), `error` (the write answers [`Unavailable`]
//! and nothing is written from then on) or `panic` (on the writer's thread; the same must follow from it).
//! One fault is armed, once, when the store is opened, by a text such as `decided:after:kill` or
//! `open_settled:before:error:2`, where the number says which write of that kind it strikes. Writes that
//! share a transaction share its fate, so it strikes if any of them is of that kind.
//!
//! Builds without debug assertions refuse to arm one.

use std::fmt;
use std::str::FromStr;

use crate::pipeline::port::Unavailable;

/// A fault that waits for its write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailPoint {
    point: Point,
    side: Side,
    fault: Fault,
    nth: u32,
}

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A start of the daemon is counted.
    BeginEpoch,
    /// A policy set comes into force.
    ActivatePolicy,
    /// Records that change no call.
    Record,
    /// A call is opened and runs to its end.
    OpenSettled,
    /// A call is opened and dispatched.
    OpenStarted,
    /// A call is opened and waits for people.
    OpenWaiting,
    /// A call is opened with the requester's own approval.
    OpenConfirmed,
    /// A person says yes or no.
    Decided,
    /// A ready call is dispatched.
    Dispatched,
    /// A ready call is dispatched and runs to its end.
    SettledAfterApproval,
    /// A dispatched call ended.
    Finished,
    /// A call expired, was cancelled or went stale.
    Closed,
    /// A call lost its runner.
    Lost,
    /// Somebody said how a call in doubt ended.
    Resolved,
    /// An API key is made or changed.
    KeysPut,
    /// Data is loaded into the desk.
    Import,
    /// A run of a workflow begins or ends.
    Run,
    /// Old results are removed.
    Prune,
}

/// Where in the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The transaction is not committed yet.
    Before,
    /// It is durable, and nobody was told.
    After,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process ends at once.
    Kill,
    /// The write fails.
    Error,
    /// The writer panics.
    Panic,
}

/// Why no fault is armed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotArmed {
    /// This build has no fail points.
    #[error("this build has no fail points")]
    Release,
    /// The text is none.
    #[error("`{0}` is no fail point; it reads NAME:before|after:kill|error|panic[:NTH]")]
    Form(String),
    /// There is no such point.
    #[error("there is no fail point `{0}`")]
    Unknown(String),
}

impl NotArmed {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Release => "unset TOOLCTL_FAILPOINT, or use a build with debug assertions".to_owned(),
            Self::Form(_) => "for example decided:after:kill, or open_settled:before:error:2".to_owned(),
            Self::Unknown(_) => format!("the known ones: {}", Point::ALL.map(Point::word).join(", ")),
        }
    }
}

impl Point {
    /// Every point.
    pub const ALL: [Self; 18] = [
        Self::BeginEpoch,
        Self::ActivatePolicy,
        Self::Record,
        Self::OpenSettled,
        Self::OpenStarted,
        Self::OpenWaiting,
        Self::OpenConfirmed,
        Self::Decided,
        Self::Dispatched,
        Self::SettledAfterApproval,
        Self::Finished,
        Self::Closed,
        Self::Lost,
        Self::Resolved,
        Self::KeysPut,
        Self::Import,
        Self::Run,
        Self::Prune,
    ];

    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BeginEpoch => "begin_epoch",
            Self::ActivatePolicy => "activate_policy",
            Self::Record => "record",
            Self::OpenSettled => "open_settled",
            Self::OpenStarted => "open_started",
            Self::OpenWaiting => "open_waiting",
            Self::OpenConfirmed => "open_confirmed",
            Self::Decided => "decided",
            Self::Dispatched => "dispatched",
            Self::SettledAfterApproval => "settled_after_approval",
            Self::Finished => "finished",
            Self::Closed => "closed",
            Self::Lost => "lost",
            Self::Resolved => "resolved",
            Self::KeysPut => "keys_put",
            Self::Import => "import",
            Self::Run => "run",
            Self::Prune => "prune",
        }
    }
}

impl FailPoint {
    /// Whether this is the write it waits for; `seen` counts writes of its kind.
    pub(super) fn meets(self, point: Point, seen: &mut u32) -> bool {
        if self.point != point {
            return false;
        }
        *seen = seen.saturating_add(1);
        *seen == self.nth
    }

    /// Does what it is for, when the write is on this side.
    ///
    /// # Errors
    /// When the fault is an error.
    pub(super) fn strike(self, side: Side) -> Result<(), Unavailable> {
        if self.side != side {
            return Ok(());
        }
        match self.fault {
            Fault::Kill => std::process::abort(),
            Fault::Error => Err(Unavailable::new(format!("the fail point `{self}` was armed"))),
            #[expect(clippy::panic, reason = "the fault that was asked for; only builds for tests can arm it")]
            Fault::Panic => panic!("the fail point `{self}` was armed"),
        }
    }
}

impl fmt::Display for FailPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        let fault = match self.fault {
            Fault::Kill => "kill",
            Fault::Error => "error",
            Fault::Panic => "panic",
        };
        write!(f, "{}:{side}:{fault}:{}", self.point.word(), self.nth)
    }
}

impl FromStr for FailPoint {
    type Err = NotArmed;

    fn from_str(text: &str) -> Result<Self, NotArmed> {
        if !cfg!(debug_assertions) {
            return Err(NotArmed::Release);
        }
        let form = || NotArmed::Form(text.to_owned());
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let side = match parts.next() {
            Some("before") => Side::Before,
            Some("after") => Side::After,
            Some(_) | None => return Err(form()),
        };
        let fault = match parts.next() {
            Some("kill") => Fault::Kill,
            Some("error") => Fault::Error,
            Some("panic") => Fault::Panic,
            Some(_) | None => return Err(form()),
        };
        let nth = parts.next().map_or(Ok(1), str::parse).ok().filter(|nth| *nth > 0).ok_or_else(form)?;
        if parts.next().is_some() {
            return Err(form());
        }
        let point = Point::ALL.into_iter().find(|point| point.word() == name);
        let point = point.ok_or_else(|| NotArmed::Unknown(name.to_owned()))?;
        Ok(Self { point, side, fault, nth })
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FailPoint, NotArmed> {
        text.parse()
    }

    #[test]
    fn a_fail_point_reads_back_what_it_writes() {
        for point in Point::ALL {
            let text = format!("{}:after:panic:3", point.word());
            assert_eq!(read(&text).map(|armed| armed.to_string()), Ok(text));
        }
        assert_eq!(read("lost:before:kill").map(|armed| armed.to_string()), Ok("lost:before:kill:1".to_owned()));
    }

    #[test]
    fn what_is_none_is_refused_and_the_names_are_told() {
        for text in ["", "lost", "lost:before", "lost:during:kill", "lost:after:kill:0", "lost:after:kill:1:2"] {
            assert_eq!(read(text), Err(NotArmed::Form(text.to_owned())));
        }
        let unknown = read("lots:after:kill").unwrap_err();
        assert_eq!(unknown.to_string(), "there is no fail point `lots`");
        assert!(unknown.hint().starts_with("the known ones: begin_epoch, activate_policy, record, open_settled,"));
    }

    #[test]
    fn only_the_nth_write_of_its_kind_is_met() {
        let (armed, mut seen) = (read("closed:before:error:2").unwrap(), 0);
        let met = [Point::Closed, Point::Lost, Point::Closed, Point::Closed].map(|point| armed.meets(point, &mut seen));
        assert_eq!(met, [false, false, true, false]);
        assert_eq!(armed.strike(Side::After), Ok(()));
        assert!(armed.strike(Side::Before).is_err());
    }
}

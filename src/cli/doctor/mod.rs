//! Looking over a whole set-up: one small function a check, each of which says what it saw and, where something is
//! amiss, what mends it. Checks change nothing, and what cannot be found out is said, not guessed.
//!
//! To add one: a function from [`Exam`] to findings, and its line in [`CHECKS`].

mod audit;
mod clients;
mod daemon;
mod exam;
mod keys;
mod shell;
mod socket;
mod state;

use serde::Serialize;

pub use exam::Exam;

use super::error::CliError;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warning,
    /// It does not work, or is not safe.
    Problem,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check.
    pub check: String,
    /// How it is.
    pub health: Health,
    /// What was seen.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn new(check: impl Into<String>, health: Health, message: impl Into<String>) -> Self {
        Self { check: check.into(), health, message: message.into(), fix: None }
    }

    fn ok(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(check, Health::Ok, message)
    }

    fn warning(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(check, Health::Warning, message)
    }

    fn problem(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(check, Health::Problem, message)
    }

    /// Something that kept a check from its answer.
    fn failed(check: impl Into<String>, health: Health, error: &CliError) -> Self {
        // Where nothing is amiss there is nothing to mend.
        let fix = error.tries.first().or(error.hint.as_ref()).filter(|_| health != Health::Ok).cloned();
        Self { fix, ..Self::new(check, health, error.message.clone()) }
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// A check.
type Check = fn(&Exam<'_>) -> Vec<Finding>;

/// All checks, in the order in which they are shown.
const CHECKS: [Check; 15] = [
    daemon::version,
    daemon::config,
    socket::path,
    socket::access,
    daemon::answers,
    daemon::identity,
    daemon::servers,
    state::folder,
    state::secrets,
    state::room,
    audit::records,
    keys::stored,
    clients::entries,
    clients::separation,
    shell::completions,
];

/// Looks everything over.
pub fn examine(exam: &Exam<'_>) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(exam)).collect()
}

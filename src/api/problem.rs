//! Problem details (RFC 9457), the one form of every error on the wire.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::denial::{Code, Denial, Retryable, Stage, Violation};
use crate::domain::outcome::Effect;

/// An error as the wire carries it, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// URI of the problem type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The type in a few words, always the same.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened, on which input.
    pub detail: String,
    /// The stable code.
    pub code: String,
    /// What happened to the world.
    pub effect: Effect,
    /// Whether and how asking again can help.
    pub retryable: Retryable,
    /// Which guard said no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The call this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// Seconds after which asking again can help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Ids of the policies that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// All places in the arguments that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Violation>,
}

impl Problem {
    /// The wire form of a denial; the status is the door's business.
    pub fn of(denial: &Denial, status: u16) -> Self {
        Self {
            kind: denial.code.uri(),
            title: denial.code.title().to_owned(),
            status,
            detail: denial.detail.clone(),
            code: denial.code.slug().to_owned(),
            effect: denial.effect,
            retryable: denial.code.retryable(),
            stage: Some(denial.stage),
            hint: denial.hint.clone(),
            call_id: denial.call.map(|call| call.to_string()),
            retry_after: denial.retry_after.map(whole_seconds),
            rules: denial.rules.clone(),
            errors: denial.violations.clone(),
        }
    }

    /// The code, when this version knows it.
    pub fn known_code(&self) -> Option<Code> {
        self.code.parse().ok()
    }
}

/// Seconds, rounded up: `Retry-After` must never be early.
pub fn whole_seconds(span: std::time::Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

//! The contract's own words as values of flags.

use std::time::Duration;

use crate::domain::call::Resolution;
use crate::domain::principal::PrincipalKind;
use crate::domain::time::parse_span;
use crate::domain::tool::EffectClass;

/// A span of time.
///
/// # Errors
/// In words.
pub fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|error| error.to_string())
}

/// How a call in doubt ended.
///
/// # Errors
/// In words.
pub fn resolution(text: &str) -> Result<Resolution, String> {
    word(text, "succeeded, failed or rerun")
}

/// What a principal is.
///
/// # Errors
/// In words.
pub fn kind(text: &str) -> Result<PrincipalKind, String> {
    word(text, "user, agent or service")
}

/// What running a tool again would do.
///
/// # Errors
/// In words.
pub fn effect(text: &str) -> Result<EffectClass, String> {
    word(text, "readonly, idempotent, keyed or once")
}

/// Reads one of the contract's words.
fn word<T: serde::de::DeserializeOwned>(text: &str, expected: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| format!("expected {expected}"))
}

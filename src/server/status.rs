//! From a denial to an HTTP status: the only place. Doors look at the class; two codes have a status of
//! their own because HTTP does (RFC 9110 sections 15.5.6 and 15.5.16).

use std::time::Duration;

use hyper::StatusCode;

use crate::domain::denial::{Code, Denial, DenialClass};

/// The status of a denial.
pub const fn status(denial: &Denial) -> StatusCode {
    of_code(denial.code)
}

/// The status of every denial with this code.
pub const fn of_code(code: Code) -> StatusCode {
    if matches!(code, Code::MethodNotAllowed) {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    if matches!(code, Code::UnsupportedMediaType) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    match code.class() {
        DenialClass::Unauthenticated => StatusCode::UNAUTHORIZED,
        DenialClass::Forbidden => StatusCode::FORBIDDEN,
        DenialClass::NotFound => StatusCode::NOT_FOUND,
        DenialClass::Throttled => StatusCode::TOO_MANY_REQUESTS,
        DenialClass::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        DenialClass::Conflict => StatusCode::CONFLICT,
        DenialClass::Gone => StatusCode::GONE,
        DenialClass::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        DenialClass::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        DenialClass::Failed => StatusCode::BAD_GATEWAY,
        DenialClass::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        DenialClass::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// When asking again can help, where the denial or its class says so.
pub fn retry_after(denial: &Denial) -> Option<Duration> {
    const SOON: Duration = Duration::from_secs(1);
    denial.retry_after.or(match denial.class() {
        DenialClass::Throttled | DenialClass::Unavailable => Some(SOON),
        _ => None,
    })
}

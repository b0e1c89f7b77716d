//! Answers: JSON documents, problems and streams, with the headers that each of them carries.

use std::io;

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use http_body_util::{Either, Full};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::api::problem::{Problem, whole_seconds};
use crate::domain::denial::{Code, Denial, Stage};
use crate::guard::quota::QuotaState;
use crate::pipeline::submission::Answer;

use super::status::{retry_after, status};

/// The bytes of an answer: all at once, or as they come.
pub type Body = Either<Full<Bytes>, Channel<Bytes, io::Error>>;

/// An answer.
pub type Reply = Response<Body>;

/// The writing end of a stream.
pub type Lines = Sender<Bytes, io::Error>;

/// Names the call an answer is about.
pub const CALL: HeaderName = HeaderName::from_static("toolctl-call");
/// Index of the audit record an answer rests on.
pub const AUDIT: HeaderName = HeaderName::from_static("toolctl-audit");
/// The answer was given before, to an earlier request with the same key.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const JSON_LINES: HeaderValue = HeaderValue::from_static("application/jsonl");

/// Shows a quiet stream's reader, and us, that the other end is there: white space before the next line, which
/// every JSON reader skips.
pub const HEARTBEAT: Bytes = Bytes::from_static(b" ");

/// A JSON document.
pub fn json(status: StatusCode, document: &impl Serialize) -> Reply {
    match serde_json::to_vec(document) {
        Ok(bytes) => written(status, JSON, bytes),
        Err(error) => {
            problem(&Denial::new(Stage::Door, Code::Internal, "the answer could not be written").log(error.to_string()))
        }
    }
}

/// A JSON document that was written before.
pub fn json_text(status: StatusCode, text: String) -> Reply {
    written(status, JSON, text.into_bytes())
}

/// A no: problem details (RFC 9457) with the status of its class.
pub fn problem(denial: &Denial) -> Reply {
    if let Some(log) = &denial.log {
        tracing::warn!(code = denial.code.slug(), stage = ?denial.stage, "{log}");
    }
    let status = status(denial);
    let mut details = Problem::of(denial, status.as_u16());
    let wait = retry_after(denial).map(whole_seconds);
    details.retry_after = wait;
    let mut reply = written(status, PROBLEM, serde_json::to_vec(&details).unwrap_or_default());
    let headers = reply.headers_mut();
    if let Some(seconds) = wait {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(call) = denial.call {
        put(headers, CALL, &call.to_string());
    }
    reply
}

/// A stream of JSON lines, and the end to write them to. At most a few lines wait for the peer.
pub fn stream() -> (Lines, Reply) {
    const LINES_IN_FLIGHT: usize = 16;
    let (lines, body) = Channel::new(LINES_IN_FLIGHT);
    let mut reply = Response::new(Either::Right(body));
    reply.headers_mut().insert(CONTENT_TYPE, JSON_LINES);
    (lines, reply)
}

/// One object and the end of its line.
pub fn line(object: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(object).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

/// The answer to a question that has a document for an answer.
pub fn answer<T: Serialize>(answer: Answer<T>) -> Reply {
    answer_with(answer, |document| json(StatusCode::OK, &document))
}

/// An answer encoded by `encode`, or its problem; both with the state of the rate limit.
pub fn answer_with<T>(answer: Answer<T>, encode: impl FnOnce(T) -> Reply) -> Reply {
    let mut reply = match answer.result {
        Ok(given) => encode(given),
        Err(denial) => problem(&denial),
    };
    if let Some(quota) = answer.quota {
        rate_limit(reply.headers_mut(), quota);
    }
    reply
}

/// Sets a header whose text we made ourselves.
pub fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// The fields of draft-ietf-httpapi-ratelimit-headers: the policy's quota and window, what remains of it and
/// when it is whole again.
fn rate_limit(headers: &mut HeaderMap, quota: QuotaState) {
    let window = (u64::from(quota.burst) * 60).div_ceil(u64::from(quota.limit.max(1)));
    put(headers, RATE_LIMIT_POLICY, &format!("\"default\";q={};w={}", quota.burst, window.max(1)));
    put(headers, RATE_LIMIT, &format!("\"default\";r={};t={}", quota.remaining, whole_seconds(quota.reset)));
}

fn written(status: StatusCode, kind: HeaderValue, bytes: Vec<u8>) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(bytes.into())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// What every answer carries: nobody may keep it or guess its type.
pub fn finish(headers: &mut HeaderMap, traceparent: Option<HeaderValue>) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    if let Some(parent) = traceparent {
        headers.insert(HeaderName::from_static("traceparent"), parent);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_class_has_one_status_and_its_headers() {
        let table = [
            (Code::Unauthenticated, 401, None),
            (Code::PolicyDenied, 403, None),
            (Code::ToolNotFound, 404, None),
            (Code::MethodNotAllowed, 405, None),
            (Code::IdempotencyInProgress, 409, None),
            (Code::IdempotencyResultExpired, 410, None),
            (Code::PayloadTooLarge, 413, None),
            (Code::UnsupportedMediaType, 415, None),
            (Code::ArgumentsInvalid, 422, None),
            (Code::RateLimited, 429, Some("1")),
            (Code::OutcomeUnknown, 500, None),
            (Code::ToolFailed, 502, None),
            (Code::Overloaded, 503, Some("1")),
            (Code::ToolTimeout, 504, None),
        ];
        for (code, status, wait) in table {
            let reply = problem(&Denial::new(Stage::Door, code, "x"));
            assert_eq!(reply.status(), status, "{code}");
            assert_eq!(reply.headers().get(RETRY_AFTER).map(|v| v.to_str().unwrap()), wait, "{code}");
            assert_eq!(reply.headers()[CONTENT_TYPE], "application/problem+json");
            assert_eq!(reply.headers().contains_key(WWW_AUTHENTICATE), status == 401);
        }
    }

    #[test]
    fn the_rate_limit_is_told_in_structured_fields() {
        let quota = QuotaState { burst: 100, limit: 600, remaining: 7, reset: Duration::from_millis(9_300) };
        let reply = answer(Answer { quota: Some(quota), result: Ok("x") });
        assert_eq!(reply.headers()[RATE_LIMIT_POLICY], "\"default\";q=100;w=10");
        assert_eq!(reply.headers()[RATE_LIMIT], "\"default\";r=7;t=10");
    }
}

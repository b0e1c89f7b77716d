//! Reading a body: JSON only, bounded in bytes and in time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HeaderMap};
use tokio::time::timeout;

use crate::domain::denial::{Code, Denial, Stage};

use super::decode::malformed;
use super::limits::Limits;

/// Reads the whole body.
///
/// # Errors
/// `unsupported-media-type`, `payload-too-large`, or `request-malformed` when it breaks off or is too slow.
pub async fn read(headers: &HeaderMap, mut body: Incoming, limits: &Limits) -> Result<Bytes, Denial> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let read = match media_type(headers) {
        Ok(()) if body.size_hint().lower() > limits.body_bytes as u64 => Err(too_large(limits)),
        Ok(()) => collect(&mut body, limits).await,
        Err(denial) => Err(denial),
    };
    if read.is_err() && !headers.contains_key(EXPECT) {
        discard(&mut body, limits).await;
    }
    read
}

async fn collect(body: &mut Incoming, limits: &Limits) -> Result<Bytes, Denial> {
    match timeout(limits.body_time, Limited::new(body, limits.body_bytes).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits)),
        Ok(Err(_)) => Err(malformed("the body broke off")),
        Err(_) => Err(malformed("the body did not arrive in time")),
    }
}

/// Takes the rest off the wire for a moment, so that a caller which is still writing can read the answer
/// instead of a broken connection.
pub async fn discard(body: &mut Incoming, limits: &Limits) {
    const MOMENT: Duration = Duration::from_secs(1);
    let mut left = limits.body_bytes.saturating_mul(8);
    let _ = timeout(MOMENT, async {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
            left = rest;
        }
    })
    .await;
}

fn too_large(limits: &Limits) -> Denial {
    let detail = format!("the body is longer than {} bytes", limits.body_bytes);
    Denial::new(Stage::Door, Code::PayloadTooLarge, detail)
}

/// `application/json`, or a type that is written in JSON (RFC 6839 section 3.1).
fn media_type(headers: &HeaderMap) -> Result<(), Denial> {
    let refuse = |detail: String| {
        Err(Denial::new(Stage::Door, Code::UnsupportedMediaType, detail).hint("send `Content-Type: application/json`"))
    };
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return refuse("the body is compressed".to_owned());
    }
    let Some(kind) = headers.get(CONTENT_TYPE) else { return refuse("the body has no content type".to_owned()) };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if json { Ok(()) } else { refuse(format!("the body is `{}`", kind.chars().take(100).collect::<String>())) }
}

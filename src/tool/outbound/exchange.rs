//! One request and its answer over one [`Line`], in HTTP/1.1. Everything that the other side sends has a limit; only the
//! time of the answer has none here, as that is the caller's.

use std::error::Error;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use super::line::Line;

/// The most headers of an answer.
const MOST_HEADERS: usize = 128;
/// The most bytes before the body, and of what is read of it at once.
const MOST_BUFFERED: usize = 64 << 10;

/// An answer whose body has not been read.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it comes.
    pub body: Incoming,
    /// What drives the connection, as long as the answer is looked at.
    driver: Driver,
}

/// A request without an answer.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Broken {
    /// Nothing had been written: the other side cannot have heard of it.
    pub unsent: bool,
    /// What went wrong.
    pub why: String,
}

/// A body that could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It says itself that it is longer than may be.
    #[error("the answer has {length} bytes, and at most {most} are read")]
    Longer {
        /// How long it says it is.
        length: u64,
        /// The limit.
        most: usize,
    },
    /// It did not end where it had to.
    #[error("the answer did not end within {most} bytes")]
    Endless {
        /// The limit.
        most: usize,
    },
    /// It was cut off.
    #[error("the answer was cut off: {0}")]
    Cut(String),
}

/// Ends the task of a connection with whoever looked at it.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends a request and waits for the beginning of its answer.
///
/// # Errors
/// When there is none.
pub async fn send<B>(line: Line, request: Request<B>) -> Result<Answer, Broken>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let sent = line.sent();
    let broken = |error: hyper::Error| Broken { unsent: sent.nothing(), why: told(&error) };
    let mut builder = http1::Builder::new();
    builder.max_headers(MOST_HEADERS).max_buf_size(MOST_BUFFERED);
    let (mut sender, connection) = builder.handshake(TokioIo::new(line)).await.map_err(broken)?;
    let driver = Driver(tokio::spawn(connection).abort_handle());
    let answer = sender.send_request(request).await.map_err(broken)?;
    let (head, body) = answer.into_parts();
    Ok(Answer { status: head.status, headers: head.headers, body, driver })
}

impl Answer {
    /// A header as text, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Reads the whole body, if it has at most `most` bytes.
    ///
    /// # Errors
    /// When it is longer or breaks off.
    pub async fn read(self, most: usize) -> Result<Vec<u8>, Unread> {
        let Self { headers, mut body, driver, .. } = self;
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if let Some(length) = length.filter(|length| !usize::try_from(*length).is_ok_and(|length| length <= most))
            && !body.is_end_stream()
        {
            return Err(Unread::Longer { length, most });
        }
        let mut whole: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Unread::Cut(told(&error)))?;
            let bytes: Bytes = frame.into_data().unwrap_or_default();
            if whole.len() + bytes.len() > most {
                return Err(Unread::Endless { most });
            }
            whole.extend_from_slice(&bytes);
        }
        drop(driver);
        Ok(whole)
    }
}

/// What went wrong, with what is behind it.
fn told(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

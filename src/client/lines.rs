//! Reads a reply of JSON lines, one object at a time, as it arrives.

use std::collections::VecDeque;
use std::marker::PhantomData;

use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::ClientError;

/// The longest line, in bytes: a record is far below it.
const LONGEST_LINE: usize = 4 << 20;

/// A stream of objects.
#[derive(Debug)]
pub struct Lines<T> {
    body: Incoming,
    target: String,
    buffer: BytesMut,
    ready: VecDeque<BytesMut>,
    item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    pub(super) fn new(body: Incoming, target: String) -> Self {
        Self { body, target, buffer: BytesMut::new(), ready: VecDeque::new(), item: PhantomData }
    }

    /// The next object; none at the clean end of the stream.
    ///
    /// # Errors
    /// [`ClientError::Broken`] when the connection ends in the middle, [`ClientError::Foreign`] for a line
    /// that is not what the contract says.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            while let Some(line) = self.ready.pop_front() {
                if !line.trim_ascii().is_empty() {
                    return serde_json::from_slice(&line).map(Some).map_err(|error| self.foreign(error.to_string()));
                }
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.take(&bytes)?;
                    }
                }
                Some(Err(error)) => return Err(self.broken(error.to_string())),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => return Err(self.broken("it ended in the middle of a line".to_owned())),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        // Only what is new can hold the end of a line.
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, tail) = rest.split_at(end);
            self.buffer.extend_from_slice(line);
            self.ready.push_back(self.buffer.split());
            rest = tail.get(1..).unwrap_or_default();
        }
        self.buffer.extend_from_slice(rest);
        if self.buffer.len() > LONGEST_LINE {
            return Err(self.foreign(format!("a line is longer than {LONGEST_LINE} bytes")));
        }
        Ok(())
    }

    fn foreign(&self, reason: String) -> ClientError {
        ClientError::Foreign { target: self.target.clone(), reason }
    }

    fn broken(&self, reason: String) -> ClientError {
        ClientError::Broken { target: self.target.clone(), reason }
    }
}

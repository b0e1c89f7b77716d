//! One message a line: how MCP is framed over stdio and over raw streams (MCP 2026-07-28, "Transports"). Half
//! lines wait; a line longer than its reader takes is skipped to its end, and what follows is read as ever.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How much of each end of a line that is too long is kept, in bytes.
const ENDS: usize = 256;

/// How much is read at once, in bytes.
const READ: usize = 8 << 10;

/// A line, without its end and the blanks around it. Empty ones are skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// All of it.
    Whole(Bytes),
    /// It is longer than the limit; its two ends.
    TooLong {
        /// Its first bytes.
        head: Bytes,
        /// Its last bytes.
        tail: Bytes,
    },
}

/// Cuts what arrives into lines.
#[derive(Debug)]
pub struct Splitter {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no end of a line.
    scanned: usize,
    longest: usize,
    /// The first bytes of the line that is being skipped.
    skipped: Option<Bytes>,
}

impl Splitter {
    /// Takes lines of at most `longest` bytes.
    pub fn new(longest: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, longest, skipped: None }
    }

    /// Takes lines of at most `longest` bytes from here on.
    pub const fn set_longest(&mut self, longest: usize) {
        self.longest = longest;
    }

    /// Where to put what arrives, with room for a good read.
    pub fn room(&mut self) -> &mut BytesMut {
        self.buffer.reserve(READ);
        &mut self.buffer
    }

    /// The next line that is whole.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            let new = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(end) = new.iter().position(|byte| *byte == b'\n') else {
                self.scanned = self.buffer.len();
                self.skip_if_too_long();
                return None;
            };
            let mut line = self.buffer.split_to(self.scanned + end);
            self.buffer.advance(1);
            self.scanned = 0;
            if let Some(line) = self.finish(&mut line) {
                return Some(line);
            }
        }
    }

    /// What is left at the end of the stream: a last line without an end.
    pub fn rest(&mut self) -> Option<Line> {
        self.scanned = 0;
        let mut line = self.buffer.split();
        self.finish(&mut line)
    }

    fn finish(&mut self, line: &mut BytesMut) -> Option<Line> {
        if let Some(head) = self.skipped.take() {
            return Some(Line::TooLong { head, tail: last(line) });
        }
        let blank = |byte: &u8| byte.is_ascii_whitespace();
        let start = line.iter().position(|byte| !blank(byte))?;
        line.advance(start);
        let end = line.iter().rposition(|byte| !blank(byte))? + 1;
        line.truncate(end);
        if line.len() > self.longest {
            return Some(Line::TooLong { head: first(line), tail: last(line) });
        }
        Some(Line::Whole(line.split().freeze()))
    }

    /// Begins to skip a line that is too long already; of one that is skipped, only its last bytes stay.
    fn skip_if_too_long(&mut self) {
        if self.skipped.is_none() {
            if self.buffer.len() <= self.longest {
                return;
            }
            self.skipped = Some(first(&self.buffer));
        }
        self.buffer = BytesMut::from(last(&self.buffer).as_ref());
        self.scanned = self.buffer.len();
    }
}

fn first(line: &[u8]) -> Bytes {
    Bytes::copy_from_slice(line.get(..ENDS).unwrap_or(line))
}

fn last(line: &[u8]) -> Bytes {
    Bytes::copy_from_slice(line.len().checked_sub(ENDS).and_then(|start| line.get(start..)).unwrap_or(line))
}

/// The lines of a stream.
#[derive(Debug)]
pub struct Lines<R> {
    stream: R,
    splitter: Splitter,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads lines of at most `longest` bytes.
    pub fn new(stream: R, longest: usize) -> Self {
        Self { stream, splitter: Splitter::new(longest), ended: false }
    }

    /// Takes lines of at most `longest` bytes from here on.
    pub const fn set_longest(&mut self, longest: usize) {
        self.splitter.set_longest(longest);
    }

    /// Waits for the next line; none at the end of the stream, whose last line needs no end. Cancel-safe.
    ///
    /// # Errors
    /// What the stream says.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        Ok(self.next_ended().await?.or_else(|| self.splitter.rest()))
    }

    /// Waits for the next line that has an end; none at the end of the stream, whatever was begun there: what
    /// the other side was writing when it died is not what it wanted to say. Cancel-safe.
    ///
    /// # Errors
    /// What the stream says.
    pub async fn next_ended(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.splitter.next_line() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            self.ended = self.stream.read_buf(self.splitter.room()).await? == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines of what arrives in these pieces, each at most 8 bytes long.
    fn lines(pieces: &[&[u8]]) -> Vec<Result<String, (String, String)>> {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let mut splitter = Splitter::new(8);
        let mut found = Vec::new();
        for piece in pieces {
            splitter.room().extend_from_slice(piece);
            while let Some(line) = splitter.next_line() {
                found.push(line);
            }
        }
        found.extend(splitter.rest());
        let told = |line| match line {
            Line::Whole(bytes) => Ok(text(bytes)),
            Line::TooLong { head, tail } => Err((text(head), text(tail))),
        };
        found.into_iter().map(told).collect()
    }

    fn whole(text: &str) -> Result<String, (String, String)> {
        Ok(text.to_owned())
    }

    #[test]
    fn half_lines_wait_and_empty_ones_do_not_count() {
        assert_eq!(
            lines(&[b"{\"a\"", b":1}", b"\r\n\n \r\n{}\n[", b"]"]),
            [whole("{\"a\":1}"), whole("{}"), whole("[]")]
        );
        assert_eq!(lines(&[b"\n", b""]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_to_its_end_however_it_arrives() {
        let long = Err(("123456789".to_owned(), "123456789".to_owned()));
        assert_eq!(lines(&[b"12345678\n123456789\n1\n"]), [whole("12345678"), long.clone(), whole("1")]);
        assert_eq!(lines(&[b"12345", b"6789", b"\n1\n"]), [long.clone(), whole("1")]);
        assert_eq!(lines(&[b"123456789"]), [long]);
        let dots = ".".repeat(10_000);
        let found = lines(&[b"head", dots.as_bytes(), dots.as_bytes(), b"tail\nnext"]);
        let Some(Err((head, tail))) = found.first() else { panic!("too long") };
        assert!(head.starts_with("head.") && tail.ends_with(".tail") && head.len() <= ENDS && tail.len() <= ENDS);
        assert_eq!(found.get(1), Some(&whole("next")));
    }

    #[tokio::test]
    async fn a_stream_is_read_to_its_end() {
        let mut lines = Lines::new(&b"a\nb"[..], 8);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(line);
        }
        assert_eq!(found, [Line::Whole(Bytes::from("a")), Line::Whole(Bytes::from("b"))]);
    }

    #[tokio::test]
    async fn a_line_that_was_begun_is_not_one_that_has_an_end() {
        let mut lines = Lines::new(&b"a\nb"[..], 8);
        assert_eq!(lines.next_ended().await.unwrap(), Some(Line::Whole(Bytes::from("a"))));
        assert_eq!(lines.next_ended().await.unwrap(), None);
    }
}

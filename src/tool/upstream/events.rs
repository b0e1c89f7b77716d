//! Server-sent events (the HTML standard, "Server-sent events"), as far as MCP uses them: the data of each event, whole,
//! and never more of it than may be.

/// Cuts what arrives into events.
#[derive(Debug)]
pub struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    most: usize,
}

/// An event that is longer than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl Events {
    /// Takes events of at most `most` bytes.
    pub const fn new(most: usize) -> Self {
        Self { line: Vec::new(), data: Vec::new(), most }
    }

    /// Takes what arrived; gives the data of each event that ended with it.
    ///
    /// # Errors
    /// When an event is too long: nothing that follows can be understood.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            if self.line.len() + self.data.len() + text.len() > self.most {
                return Err(TooLong);
            }
            self.line.extend_from_slice(text);
            if ended {
                let line = std::mem::take(&mut self.line);
                let line = line.strip_suffix(b"\r").unwrap_or(&line);
                if line.is_empty() {
                    let data = std::mem::take(&mut self.data);
                    events.extend((!data.is_empty()).then_some(data));
                } else if let Some(data) = line.strip_prefix(b"data:") {
                    if !self.data.is_empty() {
                        self.data.push(b'\n');
                    }
                    self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
                }
            }
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_its_data_however_it_arrives() {
        let text = b": hello\r\nevent: message\r\nid: 1\r\ndata: {\"a\":\r\ndata:1}\r\n\r\nretry: 3\n\ndata: second\n\ndata: half";
        for size in [1, 2, 7, 500] {
            let mut events = Events::new(40);
            let mut all = Vec::new();
            for piece in text.chunks(size) {
                all.extend(events.take(piece).expect("short enough"));
            }
            assert_eq!(all, [b"{\"a\":\n1}".to_vec(), b"second".to_vec()], "{size}");
        }
    }

    #[test]
    fn an_event_that_does_not_end_takes_no_more_room_than_it_may() {
        let mut events = Events::new(10);
        assert_eq!(events.take(b"data: 123"), Ok(Vec::new()));
        assert_eq!(events.take(b"45678"), Err(TooLong));
        let mut lines = Events::new(10);
        assert_eq!(lines.take(b"data: 1234\ndata: 5678\n"), Err(TooLong));
    }
}

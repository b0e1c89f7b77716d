//! What a program writes, kept as far as it may be: the beginning up to a limit and the last of what came
//! after. Nothing that is written ever blocks the program, and nothing can fill the memory.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::mpsc::Sender;

/// Bytes of the end that are kept of what is too long.
const TAIL: usize = 16 << 10;

/// How much is kept, and how much is too much.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Bytes of the beginning that are kept.
    pub keep: usize,
    /// Bytes after which the program floods.
    pub most: u64,
}

/// What was written.
#[derive(Debug, Default)]
pub struct Kept {
    /// The beginning.
    head: Vec<u8>,
    /// The end, when there was more than the beginning.
    tail: VecDeque<u8>,
    /// All bytes, kept or not.
    pub total: u64,
}

impl Kept {
    fn take(&mut self, bytes: &[u8], keep: usize) {
        self.total += bytes.len() as u64;
        let fits = keep.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(fits);
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
    }

    /// Whether something between beginning and end is missing.
    #[cfg(test)]
    pub fn is_cut(&self) -> bool {
        self.total > (self.head.len() + self.tail.len()) as u64
    }

    /// Beginning and end, with a line between them that says how much is missing. Where something is, `margin` more
    /// bytes go on both sides: what is recognised whole must not stay in part.
    pub fn bytes(mut self, margin: usize) -> Vec<u8> {
        if self.total > (self.head.len() + self.tail.len()) as u64 {
            self.head.truncate(self.head.len().saturating_sub(margin));
            self.tail.drain(..margin.min(self.tail.len()));
        }
        let missing = self.total - (self.head.len() + self.tail.len()) as u64;
        let mut whole = self.head;
        if missing > 0 {
            whole.extend(format!("\n[{missing} bytes left out]\n").bytes());
        }
        whole.extend(self.tail);
        whole
    }
}

/// Reads until the end; tells once when it was too much. Reading goes on all the same, so that a program that
/// is about to be killed is not stuck before.
pub fn read<E>(mut from: impl Read, measure: Measure, tell: &Sender<E>, flood: impl FnOnce() -> E) -> Kept {
    let mut kept = Kept::default();
    let mut flood = Some(flood);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return kept,
            Ok(length) => kept.take(buffer.get(..length).unwrap_or_default(), measure.keep),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return kept,
        }
        if kept.total > measure.most
            && let Some(flood) = flood.take()
        {
            // The shim may be past caring.
            let _gone = tell.send(flood());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept_and_a_flood_is_told_once() {
        let (tell, told) = mpsc::channel();
        let text = format!("{}{}", "a".repeat(100), "z".repeat(200_000));
        let kept = read(text.as_bytes(), Measure { keep: 100, most: 1_000 }, &tell, || "flood");
        drop(tell);
        assert_eq!(told.iter().collect::<Vec<_>>(), ["flood"]);
        assert!(kept.is_cut());
        let expected = format!("{}\n[{} bytes left out]\n{}", "a".repeat(100), 200_000 - TAIL, "z".repeat(TAIL));
        assert_eq!(String::from_utf8(kept.bytes(0)).expect("text"), expected);
    }

    #[test]
    fn what_could_be_half_of_a_secret_goes_with_what_is_left_out() {
        let (tell, _told) = mpsc::channel();
        let text = format!("{}{}", "a".repeat(100), "z".repeat(200_000));
        let kept = read(text.as_bytes(), Measure { keep: 100, most: 1_000 }, &tell, || "flood");
        let missing = 200_000 - TAIL + 60;
        let expected = format!("{}\n[{missing} bytes left out]\n{}", "a".repeat(70), "z".repeat(TAIL - 30));
        assert_eq!(String::from_utf8(kept.bytes(30)).expect("text"), expected);
    }

    #[test]
    fn what_fits_is_kept_byte_for_byte() {
        let (tell, told) = mpsc::channel::<()>();
        let kept = read(&b"\x00\xff\x1b[0m"[..], Measure { keep: 100, most: 100 }, &tell, || ());
        drop(tell);
        assert_eq!((kept.bytes(9), told.iter().count()), (b"\x00\xff\x1b[0m".to_vec(), 0));
    }
}

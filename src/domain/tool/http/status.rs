//! What a status says of the world. The usual meaning is as careful as can be: only where the other side must have
//! refused a request before it did anything is nothing taken to have happened.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A status, or a range of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Statuses {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// What a status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// It was done.
    Success,
    /// The object that the arguments name is not there; nothing happened.
    NotFound,
    /// Not now; nothing happened.
    Temporary,
    /// No; nothing happened.
    NoEffect,
    /// It failed, and perhaps it happened.
    Unknown,
}

/// A text that is no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no status: write 404, \"4xx\" or \"500-504\"")]
pub struct NotAStatus(String);

impl FromStr for Statuses {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, NotAStatus> {
        let bad = || NotAStatus(text.to_owned());
        let number =
            |text: &str| text.parse::<u16>().ok().filter(|status| (100..=599).contains(status)).ok_or_else(bad);
        let statuses = if let Some(class) = text.strip_suffix("xx") {
            let first = number(&format!("{class}00"))?;
            Self { first, last: first + 99 }
        } else if let Some((first, last)) = text.split_once('-') {
            Self { first: number(first)?, last: number(last)? }
        } else {
            let status = number(text)?;
            Self { first: status, last: status }
        };
        if statuses.first <= statuses.last { Ok(statuses) } else { Err(bad()) }
    }
}

impl Statuses {
    /// Whether this status is one of them.
    pub const fn contains(&self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }

    /// How many they are, less one: fewer count before more.
    pub const fn width(&self) -> u16 {
        self.last - self.first
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl Serialize for Statuses {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Meaning {
    /// What a status means when nothing else was declared.
    ///
    /// * 2xx: done.
    /// * 404 and 410: not there. 425 and 429: refused for now, before anything was done.
    /// * The other 4xx: refused. Not 408, which a gateway also says when the server behind it took too long.
    /// * 307 and 308: ask for the same elsewhere, so it was not done here.
    /// * The other 3xx: a 303 is how many say "done, look there". 5xx: a gateway may have lost a server that had done it, and
    ///   a server that failed may have failed after the effect. Of both nobody knows.
    pub const fn usual(status: u16) -> Self {
        match status {
            200..=299 => Self::Success,
            404 | 410 => Self::NotFound,
            425 | 429 => Self::Temporary,
            408 => Self::Unknown,
            307 | 308 | 400..=499 => Self::NoEffect,
            _ => Self::Unknown,
        }
    }
}

impl super::Reading {
    /// What this status means here.
    pub fn meaning(&self, status: u16) -> Meaning {
        let declared = self.statuses.iter().filter(|(statuses, _)| statuses.contains(status));
        let narrowest = declared.min_by_key(|(statuses, _)| statuses.width());
        narrowest.map_or(Meaning::usual(status), |(_, meaning)| *meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_written_in_three_ways() {
        let read = |text: &str| text.parse::<Statuses>().map(|statuses| (statuses.first, statuses.last));
        assert_eq!(read("404"), Ok((404, 404)));
        assert_eq!(read("4xx"), Ok((400, 499)));
        assert_eq!(read("500-504"), Ok((500, 504)));
        for text in ["", "xx", "6xx", "0xx", "99", "600", "504-500", "-", "4x", "a-b"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_was_certainly_refused_is_nothing() {
        let words = |statuses: &[u16]| statuses.iter().map(|status| Meaning::usual(*status)).collect::<Vec<_>>();
        assert_eq!(words(&[200, 202, 299]), [Meaning::Success; 3]);
        assert_eq!(words(&[307, 308, 400, 401, 403, 409, 412, 422]), [Meaning::NoEffect; 8]);
        assert_eq!(words(&[404, 410]), [Meaning::NotFound; 2]);
        assert_eq!(words(&[425, 429]), [Meaning::Temporary; 2]);
        assert_eq!(words(&[101, 301, 302, 303, 408, 500, 502, 503, 504, 599]), [Meaning::Unknown; 10]);
    }

    #[test]
    fn what_is_declared_more_narrowly_counts() {
        let declared = [("5xx", Meaning::NoEffect), ("503", Meaning::Temporary), ("202", Meaning::Unknown)];
        let statuses = declared.map(|(text, meaning)| (text.parse().expect(text), meaning)).into();
        let reading = super::super::Reading {
            statuses,
            form: super::super::Form::Json,
            output: super::super::Pick::Whole,
            error: None,
        };
        let all: Vec<_> = [200, 202, 500, 503].map(|status| reading.meaning(status)).into();
        assert_eq!(all, [Meaning::Success, Meaning::Unknown, Meaning::NoEffect, Meaning::Temporary]);
    }
}

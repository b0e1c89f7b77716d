//! `toolctl.toml` as it is written: every member optional, every unknown one an error.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::domain::id::GroupName;
use crate::domain::time::parse_span;

use super::{Invalid, Place};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    pub server: Server,
    pub limits: Limits,
    pub approval: Approval,
    pub mcp: Mcp,
    pub retention: Retention,
    pub store: Store,
    pub tools: Tools,
    pub local: Local,
    pub local_user: Vec<LocalUser>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    pub socket: Option<PathBuf>,
    pub listen: Option<Spanned<SocketAddr>>,
    pub allow_remote: Option<bool>,
    pub drain: Option<Span>,
    pub allowed_hosts: Option<Vec<String>>,
    pub most_connections: Option<Within<1_000_000>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub rate_per_minute: Option<Within<1_000_000>>,
    pub burst: Option<Within<1_000_000>>,
    pub failed_attempts_per_minute: Option<Within<1_000_000>>,
    pub pending_per_principal: Option<Within<10_000>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    pub decide_by: Option<Span>,
    pub execute_within: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mcp {
    pub hold: Option<Spanned<SpanOrNone>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    pub results: Option<Spanned<Span>>,
    pub tombstones: Option<Spanned<Span>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tools {
    pub folder: Option<PathBuf>,
    pub servers: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Local {
    pub allow_self_approval: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalUser {
    pub uid: Spanned<u32>,
    pub groups: Spanned<Vec<GroupName>>,
    #[serde(default)]
    pub allow_self_approval: bool,
}

/// A span of time with its unit, where `0s` turns off what it is for.
#[derive(Debug, Clone, Copy)]
pub struct SpanOrNone(pub Duration);

impl<'de> Deserialize<'de> for SpanOrNone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_span(&text).map(Self).map_err(de::Error::custom)
    }
}

/// A span of time with its unit, `30s` or `1h 30m`; longer than none.
#[derive(Debug, Clone, Copy)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = parse_span(&text).map_err(de::Error::custom)?;
        if span.is_zero() { Err(de::Error::custom("it must be longer than nothing")) } else { Ok(Self(span)) }
    }
}

/// A whole number from 1 to `MOST`.
#[derive(Debug, Clone, Copy)]
pub struct Within<const MOST: u32>(pub u32);

impl<const MOST: u32> Within<MOST> {
    /// Checks the bounds.
    pub fn new(number: i64) -> Result<Self, String> {
        u32::try_from(number)
            .ok()
            .filter(|number| (1..=MOST).contains(number))
            .map(Self)
            .ok_or_else(|| format!("`{number}` is outside 1–{MOST}"))
    }
}

impl<'de, const MOST: u32> Deserialize<'de> for Within<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Reads the text of `path`.
pub fn read(path: &Path, text: &str) -> Result<File, Invalid> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().trim().to_owned();
        let hint = nearest(&message).map(|name| format!("did you mean `{name}`?"));
        Invalid { place: Place::in_text(path, text, error.span().unwrap_or(0..0)), message, hint }
    })
}

/// A name that is none of those that could stand there.
pub(super) struct Unknown<'a> {
    /// `field` or `variant`.
    pub what: &'a str,
    /// The name.
    pub name: &'a str,
    /// Those that could.
    pub known: Vec<&'a str>,
}

/// What serde says of an unknown name: it names all in its message, each in backticks, the unknown one first.
pub(super) fn unknown(message: &str) -> Option<Unknown<'_>> {
    let (what, rest) = message.strip_prefix("unknown ")?.split_once(' ')?;
    let mut names = rest.split('`').skip(1).step_by(2);
    let name = names.next()?;
    Some(Unknown { what, name, known: names.collect() })
}

/// The known name that is most like the unknown one.
fn nearest(message: &str) -> Option<&str> {
    let Unknown { name, known, .. } = unknown(message)?;
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

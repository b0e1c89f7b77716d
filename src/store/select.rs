//! Which calls and records a listing shows, decided once for every backend. A record is first searched as
//! text: leaves are canonical JSON, in which a member and its plain value stand in exactly one way, so most
//! records are passed over without being parsed.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use crate::domain::call::Call;
use crate::domain::time::Timestamp;
use crate::pipeline::port::{CallFilter, LogFilter, Unavailable};

/// How far records may stand out of the order of their times: many calls are made at once, and each is
/// recorded when its turn comes.
pub(super) const DISORDER: Duration = Duration::from_secs(60);

/// The members of a record that can be asked for.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(borrow, default)]
    actor: Option<Cow<'a, str>>,
    at: Timestamp,
    #[serde(borrow, default)]
    call: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// The time of a record, without parsing the rest of it. Members stand in the order of their names, and
/// neither `actor` nor `approval`, which may stand before it, has a member `at`; a quote inside a text is
/// escaped, so the first place that reads like the member is the member.
pub(super) fn time_of(leaf: &str) -> Result<Timestamp, Unavailable> {
    let time = leaf.split_once("\"at\":\"").and_then(|(_, rest)| rest.split_once('"')).map(|(time, _)| time);
    let time = time.ok_or_else(|| Unavailable::new("a record has no time"))?;
    time.parse().map_err(|error| Unavailable::new(format!("a record: {error}")))
}

/// A filter made ready for many records.
pub(super) struct Wanted {
    actor: Option<String>,
    tool: Option<String>,
    call: Option<String>,
    kind: Option<Kind>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    needles: Vec<String>,
}

enum Kind {
    Exactly(String),
    Class(String),
}

/// What a look at a record said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is shown.
    Shown,
    /// It is not.
    Hidden,
    /// Neither it nor any later one is.
    Past,
}

impl Wanted {
    /// Reads a filter.
    pub(super) fn new(filter: &LogFilter) -> Self {
        let actor = filter.actor.as_ref().map(ToString::to_string);
        let tool = filter.tool.as_ref().map(ToString::to_string);
        let call = filter.call.as_ref().map(ToString::to_string);
        let kind = filter.kind.as_deref().map(|kind| match kind.strip_suffix('*') {
            Some(class) => Kind::Class(class.to_owned()),
            None => Kind::Exactly(kind.to_owned()),
        });
        let member = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("\"{name}\":\"{value}\""));
        let mut needles: Vec<String> =
            [member("actor", &actor), member("call", &call), member("tool", &tool)].into_iter().flatten().collect();
        match &kind {
            Some(Kind::Exactly(kind)) => needles.push(format!("\"type\":\"{kind}\"")),
            Some(Kind::Class(class)) => needles.push(format!("\"type\":\"{class}")),
            None => {}
        }
        Self { actor, tool, call, kind, since: filter.since, until: filter.until, needles }
    }

    /// Whether the filter asks for anything at all.
    pub(super) fn is_everything(&self) -> bool {
        self.needles.is_empty() && self.since.is_none() && self.until.is_none()
    }

    /// Looks at one record.
    pub(super) fn look(&self, leaf: &str) -> Result<Look, Unavailable> {
        if self.is_everything() {
            return Ok(Look::Shown);
        }
        if let Some(until) = self.until
            && time_of(leaf)? >= until.plus(DISORDER)
        {
            return Ok(Look::Past);
        }
        if !self.needles.iter().all(|needle| leaf.contains(needle.as_str())) {
            return Ok(Look::Hidden);
        }
        let glance: Glance<'_> =
            serde_json::from_str(leaf).map_err(|error| Unavailable::new(format!("a record: {error}")))?;
        let same = |wanted: &Option<String>, found: &Option<Cow<'_, str>>| {
            wanted.as_ref().is_none_or(|wanted| found.as_deref() == Some(wanted.as_str()))
        };
        let kind = match &self.kind {
            None => true,
            Some(Kind::Exactly(kind)) => glance.kind == kind.as_str(),
            Some(Kind::Class(class)) => glance.kind.starts_with(class.as_str()),
        };
        let shown = kind
            && same(&self.actor, &glance.actor)
            && same(&self.tool, &glance.tool)
            && same(&self.call, &glance.call)
            && self.since.is_none_or(|since| glance.at >= since)
            && self.until.is_none_or(|until| glance.at < until);
        Ok(if shown { Look::Shown } else { Look::Hidden })
    }
}

/// Whether a listing shows this call; its cursor and length are the backend's business.
pub(super) fn shows(filter: &CallFilter, call: &Call) -> bool {
    filter.principal.as_ref().is_none_or(|principal| call.principal == *principal)
        && filter.tool.as_ref().is_none_or(|tool| call.tool == *tool)
        && filter.state.as_deref().is_none_or(|state| call.state.word() == state)
        && filter.run.as_ref().is_none_or(|run| run.has(call.key.as_str()))
        && filter.since.is_none_or(|since| call.created_at >= since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{AuditRecord, RecordType};

    fn look(filter: LogFilter, leaf: &str) -> Look {
        Wanted::new(&filter).look(leaf).expect("a record")
    }

    #[test]
    fn a_text_that_quotes_a_member_is_not_the_member() {
        let record = AuditRecord::new(RecordType::DaemonStarted, Timestamp::from_micros(5))
            .detail("actor", "user:anna")
            .detail("note", "\"tool\":\"x\"");
        let leaf = record.leaf();
        assert_eq!(look(LogFilter { actor: "user:anna".parse().ok(), ..LogFilter::default() }, &leaf), Look::Hidden);
        assert_eq!(look(LogFilter { tool: "x".parse().ok(), ..LogFilter::default() }, &leaf), Look::Hidden);
        for kind in ["daemon.started", "daemon.*"] {
            assert_eq!(look(LogFilter { kind: Some(kind.to_owned()), ..LogFilter::default() }, &leaf), Look::Shown);
        }
    }

    #[test]
    fn the_time_of_a_record_is_its_own() {
        let mut record = AuditRecord::new(RecordType::DaemonStarted, Timestamp::from_micros(5));
        record.actor = "env".parse().ok();
        let record = record.detail("at", "1999-01-01T00:00:00Z").detail("a", "\"at\":\"");
        assert_eq!(time_of(&record.leaf()), Ok(Timestamp::from_micros(5)));
        assert!(time_of("{}").is_err());
    }

    #[test]
    fn a_record_past_the_end_and_its_slack_ends_the_search() {
        let end = Timestamp::from_micros(1_000);
        let filter = LogFilter { until: Some(end), ..LogFilter::default() };
        let at = |time| AuditRecord::new(RecordType::DaemonStarted, time).leaf();
        assert_eq!(look(filter.clone(), &at(Timestamp::from_micros(999))), Look::Shown);
        assert_eq!(look(filter.clone(), &at(end)), Look::Hidden);
        assert_eq!(look(filter, &at(end.plus(DISORDER))), Look::Past);
    }
}

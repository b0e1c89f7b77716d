//! What a try means: from what was met, by what the tool declared, to what happened to the world. A pure function, so
//! that every way a server can go wrong is one row of a table.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::attempt::{Cut, Met};
use crate::domain::json::Canonical;
use crate::domain::outcome::{Effect, Ending, FailureKind, Outcome};
use crate::domain::tool::command::SecretRef;
use crate::domain::tool::http::{HttpAction, Meaning, Origin, Pick, Reading};
use crate::domain::tool::{EffectClass, Tool};
use crate::guard::schema::OutputSchema;
use crate::tool::outbound::Unread;
use crate::tool::output::{object, parse, strict, told};
use crate::tool::scrub;

/// The longest of what a server says for itself in a message, in characters.
const LONGEST_WORDS: usize = 300;
/// Where servers usually say why, when the tool does not declare it (RFC 9457 first).
const USUAL_WORDS: [&str; 5] = ["/detail", "/message", "/error/message", "/error", "/title"];

/// Reads what tries of one call come to.
pub struct Reader<'a> {
    tool: &'a Tool,
    reading: &'a Reading,
    origin: &'a Origin,
    secrets: Vec<(String, String)>,
}

/// What a try came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// How the call ends if this was the last one.
    pub ending: Ending,
    /// Whether another may follow.
    pub again: Again,
    /// It may have been heard, and nobody knows what came of it.
    pub may_have_happened: bool,
    /// How long the server asks to be left alone.
    pub wait: Option<Duration>,
}

/// Whether another try may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It would end the same.
    Never,
    /// Nothing happened.
    Harmless,
    /// Only if what may have happened may happen again.
    IfRepeatable,
}

impl<'a> Reader<'a> {
    /// Reads for this tool; `secrets` are taken out of everything that came back.
    pub fn of(tool: &'a Tool, http: &'a HttpAction, secrets: &BTreeMap<SecretRef, String>) -> Self {
        let secrets = secrets.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        Self { tool, reading: &http.reading, origin: &http.origin, secrets }
    }

    /// What was met, as what happened.
    pub fn read(&self, met: Met) -> Read {
        let name = &self.tool.name;
        match met {
            Met::Unsent { why, kind, again } => {
                let message = format!("`{name}` sent nothing: {why}");
                let again = if again { Again::Harmless } else { Again::Never };
                self.known(self.failed(kind, message, None, Effect::None), again)
            }
            Met::Lost { why, kind } => {
                let message = format!("`{name}` has no answer from {}: {why}", self.origin);
                let again = if kind == FailureKind::Timeout { Again::Never } else { Again::IfRepeatable };
                self.unknown(kind, message, None, again)
            }
            Met::Answered { status, body, encoding, location, retry_after } => {
                let body = body.map(|body| scrub::Secrets::of(&self.secrets).scrub(body));
                let wait = retry_after.and_then(|(after, date)| wait(&after, date.as_deref()));
                let read = match self.reading.meaning(status) {
                    Meaning::Success => self.succeeded(status, body, encoding),
                    meaning => self.refused(status, meaning, body.ok(), location, wait),
                };
                Read { wait, ..read }
            }
        }
    }

    fn succeeded(&self, status: u16, body: Result<Vec<u8>, Cut>, encoding: Option<String>) -> Read {
        let name = &self.tool.name;
        let done = if self.tool.effect == EffectClass::ReadOnly { Effect::None } else { Effect::Done };
        let invalid = |why: String, bytes: Option<&[u8]>| {
            let message = format!("`{name}` was answered {}, but {why}", status_in_words(status));
            let output = bytes.map(|bytes| Canonical::of(&json!({"status": status, "body": told(bytes)})));
            self.known(self.failed(FailureKind::OutputInvalid, message, output, done), Again::Never)
        };
        let cut_off = |kind, why: String, again| {
            self.unknown(kind, format!("`{name}` was answered {}, but {why}", status_in_words(status)), None, again)
        };
        let bytes = match body {
            Ok(bytes) => bytes,
            // Who knows how long the answer is has made it.
            Err(Cut::Unread(long @ Unread::Longer { .. })) => return invalid(long.to_string(), None),
            Err(Cut::Unread(endless @ Unread::Endless { .. })) => {
                return cut_off(FailureKind::OutputInvalid, endless.to_string(), Again::Never);
            }
            Err(Cut::Unread(cut @ Unread::Cut(_))) => {
                return cut_off(FailureKind::Failed, cut.to_string(), Again::IfRepeatable);
            }
            Err(Cut::TooSlow) => {
                return cut_off(FailureKind::Timeout, "the answer did not end in time".to_owned(), Again::Never);
            }
        };
        if let Some(encoding) = encoding {
            let encoding = self.scrubbed(&encoding);
            let encoding = clean(&encoding);
            return invalid(format!("the answer is encoded as `{encoding}`, which was not asked for"), None);
        }
        match self.output(&bytes) {
            Ok(output) => self.known(Outcome::Succeeded { output: Canonical::of(&output) }, Again::Never),
            Err(why) => invalid(format!("the answer is not what was declared: {why}"), Some(&bytes)),
        }
    }

    fn output(&self, bytes: &[u8]) -> Result<Value, String> {
        let most = self.tool.output_limit;
        let output = match &self.reading.output {
            // Nothing at all is the empty object; the schema says whether that will do.
            _ if bytes.is_empty() && self.reading.form == crate::domain::tool::command::Form::Json => json!({}),
            Pick::Whole => parse(self.reading.form, bytes, most)?,
            Pick::One(pointer) => {
                let value = strict(bytes, most)?;
                object(value.pointer(pointer).cloned().ok_or_else(|| format!("it has nothing at `{pointer}`"))?)
            }
            Pick::Members(members) => {
                let value = strict(bytes, most)?;
                let found =
                    members.iter().filter_map(|(name, pointer)| Some((name.clone(), value.pointer(pointer)?.clone())));
                Value::Object(found.collect::<Map<_, _>>())
            }
        };
        OutputSchema::compile(&self.tool.output_schema)?.check(&output)?;
        Ok(output)
    }

    fn refused(
        &self,
        status: u16,
        meaning: Meaning,
        body: Option<Vec<u8>>,
        location: Option<String>,
        wait: Option<Duration>,
    ) -> Read {
        let bytes = body.unwrap_or_default();
        let document = strict(&bytes, self.tool.output_limit).ok();
        let words = document.as_ref().and_then(|document| self.words(document)).map(|words| format!(": {words}"));
        let meant = match meaning {
            Meaning::NotFound => ", which means that it is not there",
            Meaning::Temporary => ", which means: not now, and nothing happened",
            Meaning::NoEffect => ", which means that nothing happened",
            Meaning::Unknown | Meaning::Success => "",
        };
        let leads = if (300..400).contains(&status) { self.leads(location.as_deref()) } else { String::new() };
        let later = wait.map(|wait| format!("; it asks to be left alone for {} s", wait.as_secs())).unwrap_or_default();
        let message = format!(
            "`{}` was answered {}{meant}{leads}{}{later}",
            self.tool.name,
            status_in_words(status),
            words.unwrap_or_default()
        );
        let told = document.filter(|_| bytes.len() <= 8 << 10).unwrap_or_else(|| Value::String(told(&bytes)));
        let output = Some(Canonical::of(&json!({"status": status, "body": told})));
        let no = |kind, again| self.known(self.failed(kind, message.clone(), output.clone(), Effect::None), again);
        match meaning {
            Meaning::NotFound => no(FailureKind::NotFound, Again::Never),
            Meaning::Temporary => no(FailureKind::Failed, Again::Harmless),
            Meaning::NoEffect => no(FailureKind::Failed, Again::Never),
            Meaning::Unknown | Meaning::Success => {
                let again = if matches!(status, 408 | 502..=504) { Again::IfRepeatable } else { Again::Never };
                self.unknown(FailureKind::Failed, message.clone(), output.clone(), again)
            }
        }
    }

    /// Why, in the words of the server.
    fn words(&self, document: &Value) -> Option<String> {
        let declared = self.reading.error.as_deref();
        let mut pointers = declared.into_iter().chain(USUAL_WORDS.into_iter().filter(|_| declared.is_none()));
        let text = pointers.find_map(|pointer| document.pointer(pointer)?.as_str())?;
        Some(clean(text)).filter(|text| !text.is_empty())
    }

    /// Where a redirect would lead: the host only, as the rest may be anything.
    fn leads(&self, location: Option<&str>) -> String {
        let location = location.map(|location| self.scrubbed(location));
        match location.as_deref().map(Origin::split) {
            Some(Ok((origin, _))) => format!("; it would lead to {origin}, and redirects are not followed"),
            Some(Err(_)) => "; redirects are not followed".to_owned(),
            None => String::new(),
        }
    }

    /// Words of the server without the secrets that it was sent.
    fn scrubbed(&self, words: &str) -> String {
        let clean = scrub::Secrets::of(&self.secrets).scrub(words.as_bytes().to_vec());
        String::from_utf8_lossy(&clean).into_owned()
    }

    fn failed(&self, kind: FailureKind, message: String, output: Option<Canonical>, effect: Effect) -> Outcome {
        Outcome::Failed { kind, message, output, effect }
    }

    const fn known(&self, outcome: Outcome, again: Again) -> Read {
        Read { ending: Ending::Known(outcome), again, may_have_happened: false, wait: None }
    }

    fn unknown(&self, kind: FailureKind, message: String, output: Option<Canonical>, again: Again) -> Read {
        let ending = match Ending::cut_off(self.tool.effect, kind, message) {
            Ending::Known(Outcome::Failed { kind, message, effect, .. }) => {
                Ending::Known(Outcome::Failed { kind, message, output, effect })
            }
            other => other,
        };
        Read { ending, again, may_have_happened: true, wait: None }
    }
}

/// How long a server asks to be left alone (RFC 9110 section 10.2.3): seconds, or a date, which is counted from the
/// server's own.
fn wait(after: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = after.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let read = |text: &str| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok();
    let seconds = read(after)?.as_second() - read(date?)?.as_second();
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// A status and its usual words.
fn status_in_words(status: u16) -> String {
    let words = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    words.map_or_else(|| status.to_string(), |words| format!("{status} {words}"))
}

/// One line of bearable length.
fn clean(text: &str) -> String {
    text.chars()
        .map(|sign| if sign.is_control() { ' ' } else { sign })
        .take(LONGEST_WORDS)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests;

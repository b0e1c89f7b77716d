//! The part of a tool that says which request runs it, and what the answer means.

mod auth;
mod fields;
mod path;
mod schema;
pub mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use toml::Spanned;

use self::fields::Holes;
pub use self::schema::schema;
use self::written::{HttpTable, KeyTable, PickTable, ResponseTable, RetryTable};
use super::tool::Desk;
use crate::domain::tool::EffectClass;
use crate::domain::tool::command::Form;
use crate::domain::tool::http::{
    Allowed, Auth, Body, Host, HttpAction, KeyForm, KeyIn, KeyPlace, Meaning, Origin, Pick, Reach, Reading, Retry,
    Statuses,
};
use crate::guard::address;

/// The longest that one connection may take to be made, in milliseconds.
const LONGEST_CONNECT: u64 = 300_000;
/// The most attempts.
const MOST_ATTEMPTS: u32 = 10;
/// The longest wait before the second, in milliseconds.
const LONGEST_WAIT: u64 = 60_000;
/// Says in `json` that all other arguments are the body.
const REST: &str = "arguments";

/// Reads `[tool.http]`; `input` is the schema of the arguments.
pub fn read(desk: &mut Desk<'_>, table: &Spanned<HttpTable>, input: &Value, effect: EffectClass) -> Option<HttpAction> {
    let table = table.get_ref();
    let auth = auth::read(desk, &table.auth.0);
    let mut holes = Holes { input, used: BTreeSet::new() };
    let url = path::read(desk, &table.url, &mut holes, &auth, &table.slashes);
    let query = holes.fields(desk, &table.query);
    let headers = holes.headers(desk, &table.headers, table.has_body());
    let body = body(desk, table, &mut holes);
    let idempotency = idempotency(desk, table.idempotency.as_ref(), effect, &body);
    taken_twice(desk, table, &auth, idempotency.as_ref());
    let reach = reach(desk, table);
    let reading = reading(desk, &table.response);
    let retry = retry(desk, &table.retry);
    if table.method.only_reads() && effect != EffectClass::ReadOnly {
        let hint = "say effect = \"readonly\" if it changes nothing".to_owned();
        desk.warn(table.url.span(), format!("a {} request usually only reads", table.method.word()), Some(hint));
    }
    let (origin, path) = url?;
    target(desk, table, &origin, &reach, !auth.is_empty());
    Some(HttpAction {
        method: table.method,
        origin,
        path,
        slashes: table.slashes.iter().map(|name| name.get_ref().clone()).collect(),
        query,
        headers,
        body,
        auth,
        idempotency,
        reading,
        retry,
        reach,
    })
}

impl HttpTable {
    const fn has_body(&self) -> bool {
        self.json.is_some() || self.form.is_some() || self.text.is_some()
    }
}

fn body(desk: &mut Desk<'_>, table: &HttpTable, holes: &mut Holes<'_>) -> Body {
    let places = [
        table.json.as_ref().map(Spanned::span),
        table.form.as_ref().map(Spanned::span),
        table.text.as_ref().map(Spanned::span),
    ];
    let mut places = places.into_iter().flatten();
    if let Some(place) = places.next()
        && table.method.only_reads()
    {
        let hint = "say method = \"POST\", or put it under `query`".to_owned();
        desk.wrong(place, format!("a {} request carries no body", table.method.word()), Some(hint));
    }
    if let Some(second) = places.next() {
        desk.wrong(second, "a request carries one body", Some("keep one of json, form and text".to_owned()));
    }
    let rest = table.json.as_ref().is_some_and(|json| json.get_ref().as_str() == Some(REST));
    let body = match table {
        HttpTable { json: Some(_), .. } if rest => Body::Rest(holes.rest()),
        HttpTable { json: Some(json), .. } => Body::Json(holes.json(desk, &json.span(), json.get_ref())),
        HttpTable { form: Some(form), .. } => Body::Form(holes.fields(desk, form.get_ref())),
        HttpTable { text: Some(text), .. } => {
            let kinds = table.headers.iter().filter(|(name, _)| name.get_ref().eq_ignore_ascii_case("content-type"));
            for (_, kind) in kinds {
                let kind = kind.get_ref().text.to_ascii_lowercase();
                if ["json", "xml", "urlencoded"].iter().any(|structured| kind.contains(structured)) {
                    let hint = "use `json` or `form`, which write each value so that it stays a value".to_owned();
                    desk.wrong(text.span(), "a value could change what stands around it in this text", Some(hint));
                }
            }
            holes.text(desk, &text.span(), text.get_ref()).map_or(Body::None, Body::Text)
        }
        HttpTable { json: None, form: None, text: None, .. } => Body::None,
    };
    let unused = holes.unused();
    if !rest && !unused.is_empty() {
        let hint = "name it as {name}, or send all that is left: json = \"arguments\"".to_owned();
        desk.warn(table.url.span(), format!("the request never uses the argument {}", unused.join(", ")), Some(hint));
    }
    body
}

fn idempotency(
    desk: &mut Desk<'_>,
    table: Option<&Spanned<KeyTable>>,
    effect: EffectClass,
    body: &Body,
) -> Option<KeyPlace> {
    let Some(written) = table else {
        let usual = KeyPlace { place: KeyIn::Header("Idempotency-Key".to_owned()), form: KeyForm::Hex };
        return (effect == EffectClass::Keyed).then_some(usual);
    };
    if effect != EffectClass::Keyed {
        let hint = "say effect = \"keyed\", or leave it out".to_owned();
        desk.wrong(written.span(), "only a keyed tool sends a key", Some(hint));
    }
    let KeyTable { header, query, member, form } = written.get_ref();
    let place = match (header, query, member) {
        (Some(name), None, None) => {
            fields::header_name(desk, name)?;
            KeyIn::Header(name.get_ref().clone())
        }
        (None, Some(name), None) => KeyIn::Query(name.get_ref().clone()),
        (None, None, Some(name)) => {
            use crate::domain::tool::http::Json;
            if !matches!(body, Body::Json(Json::Object(_)) | Body::Rest(_)) {
                desk.wrong(name.span(), "there is no JSON object for the key to be a member of", None);
            }
            KeyIn::Member(name.get_ref().clone())
        }
        (None, None, None) if *form != KeyForm::Hex => KeyIn::Header("Idempotency-Key".to_owned()),
        _ => {
            let hint = "say { header = \"Idempotency-Key\" }, { query = … } or { member = … }".to_owned();
            desk.wrong(written.span(), "the key goes to one place", Some(hint));
            return None;
        }
    };
    Some(KeyPlace { place, form: *form })
}

/// Headers that two parts of the definition would set.
fn taken_twice(desk: &mut Desk<'_>, table: &HttpTable, auth: &[Auth], key: Option<&KeyPlace>) {
    let mut ours: Vec<String> = auth
        .iter()
        .filter_map(|auth| match auth {
            Auth::Header { name, .. } => Some(name.to_ascii_lowercase()),
            Auth::Basic { .. } => Some("authorization".to_owned()),
            Auth::Cookie { .. } => Some("cookie".to_owned()),
            Auth::Query { .. } | Auth::Path { .. } => None,
        })
        .collect();
    if let Some(KeyPlace { place: KeyIn::Header(name), .. }) = key {
        ours.push(name.to_ascii_lowercase());
    }
    for name in table.headers.keys() {
        if ours.contains(&name.get_ref().to_ascii_lowercase()) {
            let message = format!("the header `{}` is set by `auth` or by the key", name.get_ref());
            desk.wrong(name.span(), message, Some("leave it out here".to_owned()));
        }
    }
}

fn reach(desk: &mut Desk<'_>, table: &HttpTable) -> Reach {
    let mut allow: Vec<Allowed> = Vec::new();
    for written in &table.allow {
        match written.get_ref().parse() {
            Ok(allowed) => allow.push(allowed),
            Err(error) => {
                let error: crate::domain::tool::http::origin::BadOrigin = error;
                desk.wrong(written.span(), error.to_string(), None);
            }
        }
    }
    let folder = desk.source.path.parent().unwrap_or(Path::new("/")).to_owned();
    let ca = table.ca.as_ref().and_then(|written| match desk.programs.file(&folder.join(written.get_ref())) {
        Ok(pinned) => Some(pinned),
        Err(why) => {
            desk.wrong(written.span(), why, Some("give the path of a PEM file".to_owned()));
            None
        }
    });
    let usual = Reach::default();
    let connect_ms = match &table.connect_timeout {
        None => usual.connect_ms,
        Some(written) => {
            let span = u64::try_from(written.get_ref().0.as_millis()).unwrap_or(u64::MAX);
            if span == 0 || span > LONGEST_CONNECT {
                desk.wrong(written.span(), "a connection may take 1 ms to 5 minutes", None);
            }
            span
        }
    };
    Reach { allow, ca, connect_ms }
}

/// What can be told of the target before anything is resolved.
fn target(desk: &mut Desk<'_>, table: &HttpTable, origin: &Origin, reach: &Reach, secrets: bool) {
    let mut here = false;
    if let Host::Address(address) = origin.host {
        here = address.is_loopback();
        if let Err(what) = address::permit(&reach.allow, &origin.host, origin.port, address) {
            let hint = format!("list it if it is meant: allow = [\"{}:{}\"]", origin.host, origin.port);
            desk.wrong(table.url.span(), format!("`{}` is a {what} address", origin.host), Some(hint));
        }
    }
    if secrets && !origin.tls && !here {
        let hint = "say https".to_owned();
        desk.warn(table.url.span(), "its secrets go over the network for everybody to read", Some(hint));
    }
    if let (Some(ca), false) = (&table.ca, origin.tls) {
        desk.warn(ca.span(), "certificates are of no use without https", None);
    }
}

fn reading(desk: &mut Desk<'_>, table: &ResponseTable) -> Reading {
    let lists = [
        (&table.success, Meaning::Success),
        (&table.not_found, Meaning::NotFound),
        (&table.temporary, Meaning::Temporary),
        (&table.no_effect, Meaning::NoEffect),
        (&table.unknown, Meaning::Unknown),
    ];
    let mut statuses: BTreeMap<Statuses, Meaning> = BTreeMap::new();
    for (list, meaning) in lists {
        for written in list {
            match written.get_ref().0.parse::<Statuses>() {
                Ok(read) => {
                    let known = statuses.insert(read, meaning);
                    if known.is_some_and(|known| known != meaning) {
                        desk.wrong(written.span(), format!("the status {read} is given two meanings"), None);
                    }
                }
                Err(error) => desk.wrong(written.span(), error.to_string(), None),
            }
        }
    }
    let form = table.form.unwrap_or(Form::Json);
    let mut pointer = |written: &Spanned<()>, text: &str| {
        if !text.is_empty() && !text.starts_with('/') {
            let hint = format!("write /{text}");
            desk.wrong(written.span(), format!("`{text}` is not a JSON Pointer"), Some(hint));
        }
    };
    let output = match &table.output {
        None => Pick::Whole,
        Some(written) => {
            let place = Spanned::new(written.span(), ());
            match written.get_ref() {
                PickTable::One(text) => {
                    pointer(&place, text);
                    Pick::One(text.clone())
                }
                PickTable::Members(members) => {
                    members.values().for_each(|text| pointer(&place, text));
                    Pick::Members(members.clone())
                }
            }
        }
    };
    if let Some(error) = &table.error {
        pointer(&Spanned::new(error.span(), ()), error.get_ref());
    }
    if let (Some(written), Form::Text | Form::Lines) = (&table.output, form) {
        let hint = "say form = \"json\", or leave it out".to_owned();
        desk.wrong(written.span(), "only of JSON can a part be taken", Some(hint));
    }
    Reading { statuses, form, output, error: table.error.as_ref().map(|error| error.get_ref().clone()) }
}

fn retry(desk: &mut Desk<'_>, table: &RetryTable) -> Retry {
    let usual = Retry::default();
    let attempts = match &table.attempts {
        None => usual.attempts,
        Some(written) => {
            if !(1..=MOST_ATTEMPTS).contains(written.get_ref()) {
                desk.wrong(written.span(), format!("there are 1 to {MOST_ATTEMPTS} attempts"), None);
            }
            *written.get_ref()
        }
    };
    let wait_ms = match &table.wait {
        None => usual.wait_ms,
        Some(written) => {
            let span = u64::try_from(written.get_ref().0.as_millis()).unwrap_or(u64::MAX);
            if span > LONGEST_WAIT {
                desk.wrong(written.span(), "the first wait is a minute at most", None);
            }
            span
        }
    };
    Retry { attempts, wait_ms }
}

#[cfg(test)]
mod tests;

//! The holes of a request: every template names arguments that the tool has, of kinds that have a place there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::Value;
use toml::Spanned;

use super::super::command::{kinds, no_argument, property};
use super::super::tool::Desk;
use super::written::{FieldTable, Fields};
use crate::domain::tool::http::{Field, Json};
use crate::domain::tool::template::Text;

/// Headers that no definition sets: what frames a message or belongs to one connection, and what shows who asks.
const OURS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
];

/// How TOML's dates look once they are no TOML any more.
const DATE: &str = "$__toml_private_datetime";

/// The arguments, and which of them some template has named.
pub struct Holes<'a> {
    /// The schema of the arguments.
    pub input: &'a Value,
    /// Those that were named.
    pub used: BTreeSet<String>,
}

impl Holes<'_> {
    /// Parameters of a query or a form.
    pub fn fields(&mut self, desk: &mut Desk<'_>, written: &Fields) -> Vec<Field> {
        written.iter().filter_map(|(name, value)| self.field(desk, name.get_ref(), value)).collect()
    }

    /// Headers.
    pub fn headers(&mut self, desk: &mut Desk<'_>, written: &Fields, has_body: bool) -> Vec<Field> {
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        for (name, value) in written {
            if header_name(desk, name).is_none() {
                continue;
            }
            let lower = name.get_ref().to_ascii_lowercase();
            if lower == "authorization" {
                let hint = "say auth = { bearer = \"env:NAME\" }, which keeps the secret out of this file".to_owned();
                desk.wrong(name.span(), "who asks is shown by `auth`", Some(hint));
            }
            if lower == "content-type" && !has_body {
                desk.wrong(name.span(), "the request carries nothing that could have a type", None);
            }
            if !seen.insert(lower) {
                desk.wrong(name.span(), format!("the header `{}` is there twice", name.get_ref()), None);
            }
            let field = self.field(desk, name.get_ref(), value);
            if value.get_ref().deep {
                desk.wrong(value.span(), "an object has no place in a header", None);
            }
            let literals = field.iter().flat_map(|field| &field.value.0).filter_map(|piece| match piece {
                crate::domain::tool::template::Piece::Literal(text) => Some(text),
                crate::domain::tool::template::Piece::Argument(_) => None,
            });
            if literals.into_iter().any(|text| text.chars().any(|sign| !(' '..='~').contains(&sign))) {
                desk.wrong(value.span(), "a header has visible ASCII letters and spaces only", None);
            }
            all.extend(field);
        }
        all
    }

    fn field(&mut self, desk: &mut Desk<'_>, name: &str, written: &Spanned<FieldTable>) -> Option<Field> {
        let FieldTable { text, join, deep } = written.get_ref();
        let (value, list) = match Text::parse(text) {
            Ok(read) => read,
            Err(error) => {
                desk.wrong(written.span(), error.to_string(), None);
                return None;
            }
        };
        if join.is_some() && list.is_none() {
            desk.wrong(written.span(), "`each` needs a list", Some("write {name...}".to_owned()));
        }
        for argument in value.arguments() {
            if *deep {
                self.known(desk, &written.span(), argument);
            } else {
                self.has(desk, &written.span(), argument, list.is_some());
            }
        }
        if *deep && (value.0.len() != 1 || value.literal().is_some() || list.is_some()) {
            desk.wrong(
                written.span(),
                "`deep` is one argument and nothing else",
                Some("write { deep = \"{name}\" }".to_owned()),
            );
        }
        Some(Field { name: name.to_owned(), value, list, join: join.clone(), deep: *deep })
    }

    /// Text with arguments in it.
    pub fn text(&mut self, desk: &mut Desk<'_>, place: &Range<usize>, written: &str) -> Option<Text> {
        match Text::parse(written) {
            Ok((text, None)) => {
                for argument in text.arguments() {
                    self.has(desk, place, argument, false);
                }
                Some(text)
            }
            Ok((_, Some(list))) => {
                desk.wrong(place.clone(), format!("the list `{list}` has no place in text"), None);
                None
            }
            Err(error) => {
                desk.wrong(place.clone(), error.to_string(), None);
                None
            }
        }
    }

    /// A JSON document with holes.
    pub fn json(&mut self, desk: &mut Desk<'_>, place: &Range<usize>, written: &Value) -> Json {
        match written {
            Value::String(text) => match Text::parse(text) {
                Ok((parsed, None)) => {
                    let mut names = parsed.arguments();
                    let whole = names.next().filter(|name| *text == format!("{{{name}}}")).map(ToOwned::to_owned);
                    if let Some(name) = whole {
                        self.known(desk, place, &name);
                        return Json::Argument(name);
                    }
                    match parsed.literal() {
                        Some(literal) => Json::Fixed(Value::String(literal.to_owned())),
                        None => self.text(desk, place, text).map_or(Json::Fixed(Value::Null), Json::Text),
                    }
                }
                Ok((_, Some(list))) => {
                    let hint = format!("write {{{list}}}: a list stays a list in JSON");
                    desk.wrong(place.clone(), format!("`{{{list}...}}` has no place in JSON"), Some(hint));
                    Json::Fixed(Value::Null)
                }
                Err(error) => {
                    desk.wrong(place.clone(), error.to_string(), None);
                    Json::Fixed(Value::Null)
                }
            },
            Value::Array(items) => Json::List(items.iter().map(|item| self.json(desk, place, item)).collect()),
            Value::Object(members) if members.contains_key(DATE) => {
                desk.wrong(place.clone(), "JSON has no dates", Some("write it as text, in quotes".to_owned()));
                Json::Fixed(Value::Null)
            }
            Value::Object(members) => {
                let filled: BTreeMap<_, _> =
                    members.iter().map(|(name, member)| (name.clone(), self.json(desk, place, member))).collect();
                Json::Object(filled)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Json::Fixed(written.clone()),
        }
    }

    /// An argument that must be there, and be one value.
    pub fn needed(&mut self, desk: &mut Desk<'_>, place: &Range<usize>, name: &str) {
        self.has(desk, place, name, false);
        let Some(property) = property(self.input, name) else { return };
        let required = self.input.get("required").and_then(Value::as_array);
        let is_required = required.is_some_and(|all| all.iter().any(|one| one == name));
        if !is_required && property.get("default").is_none() {
            let hint = "make it required, or give it a default".to_owned();
            desk.wrong(place.clone(), format!("the argument `{name}` may be missing"), Some(hint));
        }
    }

    /// Every argument that nothing has named yet; they count as named from here on.
    pub fn rest(&mut self) -> BTreeSet<String> {
        let rest: BTreeSet<String> = self.names().filter(|name| !self.used.contains(*name)).cloned().collect();
        self.used.extend(rest.iter().cloned());
        rest
    }

    /// The same, for a warning.
    pub fn unused(&self) -> Vec<String> {
        self.names().filter(|name| !self.used.contains(*name)).map(|name| format!("`{name}`")).collect()
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.input.get("properties").and_then(Value::as_object).into_iter().flat_map(|known| known.keys())
    }

    /// The tool has this argument, and it is a list where a list is meant, and otherwise one value.
    fn has(&mut self, desk: &mut Desk<'_>, place: &Range<usize>, name: &str, list: bool) {
        let Some(kinds) = self.known(desk, place, name) else { return };
        let is_list = kinds.iter().any(|kind| kind == "array");
        if list && !is_list {
            desk.wrong(place.clone(), format!("the argument `{name}` is no list"), Some(format!("write {{{name}}}")));
        }
        if !list && is_list {
            desk.wrong(place.clone(), format!("the argument `{name}` is a list"), Some(format!("write {{{name}...}}")));
        }
        if kinds.iter().any(|kind| kind == "object") {
            let hint = "objects have a place in `json`, and in queries and forms as { deep = \"{name}\" }".to_owned();
            desk.wrong(place.clone(), format!("the argument `{name}` is an object and has no place here"), Some(hint));
        }
    }

    fn known(&mut self, desk: &mut Desk<'_>, place: &Range<usize>, name: &str) -> Option<Vec<String>> {
        self.used.insert(name.to_owned());
        let found = property(self.input, name).map(kinds);
        if found.is_none() {
            no_argument(desk, place.clone(), name, self.input);
        }
        found
    }
}

/// A token (RFC 9110 section 5.6.2).
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether a definition may set a header of this name.
pub fn header_name(desk: &mut Desk<'_>, name: &Spanned<String>) -> Option<()> {
    let text = name.get_ref();
    if !is_token(text) {
        desk.wrong(name.span(), format!("`{text}` is no name of a header"), None);
        return None;
    }
    let lower = text.to_ascii_lowercase();
    if OURS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
        let message = format!("the header `{text}` cannot be set: it belongs to the connection");
        desk.wrong(name.span(), message, None);
        return None;
    }
    Some(())
}

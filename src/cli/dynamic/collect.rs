//! From what was typed to the arguments object: `--input`, then pairs and flags on top, converted by the
//! schema. Reports everything that is wrong at once.

use std::collections::BTreeSet;
use std::io;

use clap::ArgMatches;
use serde_json::{Map, Value};

use super::build::{PAIRS, id};
use super::convert::{convert, strict_json};
use super::schema::{Arguments, Property, Shape};
use crate::cli::error::CliError;
use crate::cli::text::nearest;
use crate::domain::denial::Violation;

/// What an argument may refer to: files, stdin and variables.
pub trait Outside {
    /// The contents of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    fn file(&mut self, path: &str) -> io::Result<Vec<u8>>;
    /// All of stdin; it can be read once.
    ///
    /// # Errors
    /// When it was read before, or cannot be.
    fn stdin(&mut self) -> io::Result<Vec<u8>>;
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
}

/// What our own flags say about the arguments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// `--input FILE|-`.
    pub input: Option<&'a str>,
    /// `--arg NAME VALUE`, flattened.
    pub arg: &'a [String],
}

/// Puts the object together.
///
/// # Errors
/// Exit 2 with every place that is wrong.
pub fn collect(
    tool: &str,
    arguments: &Arguments,
    matches: &ArgMatches,
    given: Given<'_>,
    outside: &mut dyn Outside,
) -> Result<Map<String, Value>, CliError> {
    let object = match given.input {
        Some(place) => input(place, outside)?,
        None => Map::new(),
    };
    let mut gathering = Gathering { arguments, outside, object, set: BTreeSet::new(), wrong: Vec::new() };
    for (place, property) in arguments.properties.iter().enumerate() {
        let Some(flag) = &property.flag else { continue };
        for text in matches.get_many::<String>(&id(place)).into_iter().flatten() {
            gathering.text(property, &format!("--{flag}"), text);
        }
    }
    for pair in given.arg.chunks(2) {
        if let [name, value] = pair {
            match arguments.find(name) {
                Some(property) => gathering.text(property, &format!("--arg {name}"), value),
                None => gathering.unknown(name, &format!("--arg {name}")),
            }
        }
    }
    for pair in matches.get_many::<String>(PAIRS).into_iter().flatten() {
        gathering.pair(pair);
    }
    let Gathering { object, wrong, .. } = gathering;
    if wrong.is_empty() {
        return Ok(object);
    }
    Err(CliError::usage(format!("arguments of `{tool}` are wrong"))
        .errors(wrong)
        .attempt(format!("toolctl call {tool} --help")))
}

/// The error that lists all that is missing; `typed` is a command with all that is there.
pub fn missing(tool: &str, typed: &str, missing: &[&Property]) -> CliError {
    let errors = missing
        .iter()
        .map(|property| {
            let description =
                if property.description.is_empty() { String::new() } else { format!(": {}", property.description) };
            Violation { path: property.pointer(), message: format!("missing {}{description}", property.usage()) }
        })
        .collect();
    let flags: Vec<String> = missing.iter().map(|property| property.usage()).collect();
    CliError::usage(format!(
        "`{tool}` needs {} more argument{}",
        missing.len(),
        if missing.len() == 1 { "" } else { "s" }
    ))
    .errors(errors)
    .attempt(format!("{typed} {}", flags.join(" ")))
}

fn input(place: &str, outside: &mut dyn Outside) -> Result<Map<String, Value>, CliError> {
    let read = if place == "-" { outside.stdin() } else { outside.file(place) };
    let bytes = read.map_err(|error| CliError::usage(format!("cannot read `{place}` for `--input`: {error}")))?;
    match strict_json(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(CliError::usage(format!("`{place}` is not a JSON object"))
            .hint("`--input` takes all arguments as one object")),
        Err(error) => Err(CliError::usage(format!("`{place}` is no arguments: {error}"))),
    }
}

struct Gathering<'a> {
    arguments: &'a Arguments,
    outside: &'a mut dyn Outside,
    object: Map<String, Value>,
    set: BTreeSet<String>,
    wrong: Vec<Violation>,
}

impl Gathering<'_> {
    /// One value given as text.
    fn text(&mut self, property: &Property, origin: &str, text: &str) {
        let converted = if property.secret {
            self.secret(origin, text).and_then(|text| convert(property, &text))
        } else {
            convert(property, text)
        };
        self.value(property, origin, converted);
    }

    fn value(&mut self, property: &Property, origin: &str, converted: Result<Value, String>) {
        match converted {
            Ok(value) => self.put(property, origin, value),
            Err(message) => self.fault(property.pointer(), format!("{origin}: {message}")),
        }
    }

    fn pair(&mut self, pair: &str) {
        let Some((key, text)) = pair.split_once('=') else {
            let hint = nearest(pair, self.arguments.properties.iter().filter_map(|p| p.flag.as_deref()));
            let advice = hint.map_or_else(String::new, |flag| format!("; did you mean `--{flag}`?"));
            return self.fault(String::new(), format!("`{pair}` is neither a flag nor KEY=VALUE{advice}"));
        };
        let (key, raw) = key.strip_suffix(':').map_or((key, false), |key| (key, true));
        let property = self.arguments.find(key).cloned();
        if property.is_none() && !(self.arguments.open && !key.is_empty() && !key.contains('.')) {
            return self.unknown(key, &format!("{key}="));
        }
        if property.as_ref().is_some_and(|property| property.secret)
            && (raw || !text.starts_with('@'))
            && !text.starts_with("env:")
        {
            let pointer = property.map(|property| property.pointer()).unwrap_or_default();
            return self.fault(pointer, format!("{key}=: {SECRET}"));
        }
        let converted = self.resolve(text).and_then(|text| match (&property, raw) {
            (_, true) => strict_json(text.as_bytes()),
            (Some(property), false) => convert(property, &text),
            (None, false) => Ok(Value::String(text)),
        });
        match property {
            // Raw JSON of a list is the whole list.
            Some(property) if raw => match converted {
                Ok(value) => self.put_whole(&property, &format!("{key}:="), value),
                Err(message) => self.fault(property.pointer(), format!("{key}:=: {message}")),
            },
            Some(property) => self.value(&property, &format!("{key}="), converted),
            None => match converted {
                Ok(value) => {
                    self.object.insert(key.to_owned(), value);
                }
                Err(message) => self.fault(format!("/{key}"), format!("{key}=: {message}")),
            },
        }
    }

    /// `@FILE`, `@-`, `env:NAME` only where it is a secret, `@@…` for a literal `@…`.
    fn resolve(&mut self, text: &str) -> Result<String, String> {
        match text.strip_prefix('@') {
            None => Ok(text.to_owned()),
            Some(literal) if literal.starts_with('@') => Ok(literal.to_owned()),
            Some(place) => self.read(place),
        }
    }

    fn read(&mut self, place: &str) -> Result<String, String> {
        let bytes = if place == "-" { self.outside.stdin() } else { self.outside.file(place) };
        let bytes = bytes.map_err(|error| format!("cannot read `{place}`: {error}"))?;
        String::from_utf8(bytes).map_err(|_| format!("`{place}` is not UTF-8"))
    }

    fn secret(&mut self, _origin: &str, text: &str) -> Result<String, String> {
        let value = if let Some(name) = text.strip_prefix("env:") {
            self.outside.variable(name).ok_or_else(|| format!("the variable `{name}` is not set"))?
        } else if let Some(place) = text.strip_prefix('@') {
            self.read(place)?
        } else {
            return Err(SECRET.to_owned());
        };
        Ok(value.trim_end_matches(['\n', '\r']).to_owned())
    }

    fn put(&mut self, property: &Property, origin: &str, value: Value) {
        let fresh = self.set.insert(property.key());
        if let Shape::List(_) = property.shape {
            let Some(slot) = self.slot(property) else {
                return self.fault(property.pointer(), format!("{origin}: a parent of it is not an object"));
            };
            match slot {
                Value::Array(items) if !fresh => items.push(value),
                slot => *slot = if value.is_null() { value } else { Value::Array(vec![value]) },
            }
            return;
        }
        self.store(property, origin, value, fresh);
    }

    fn put_whole(&mut self, property: &Property, origin: &str, value: Value) {
        let fresh = self.set.insert(property.key());
        self.store(property, origin, value, fresh);
    }

    fn store(&mut self, property: &Property, origin: &str, value: Value, fresh: bool) {
        if !fresh {
            return self.fault(property.pointer(), format!("{origin}: given twice"));
        }
        match self.slot(property) {
            Some(slot) => *slot = value,
            None => self.fault(property.pointer(), format!("{origin}: a parent of it is not an object")),
        }
    }

    /// Where the property's value stands, its parents made if need be.
    fn slot(&mut self, property: &Property) -> Option<&mut Value> {
        let (last, parents) = property.path.split_last()?;
        let mut object = &mut self.object;
        for name in parents {
            let parent = object.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            object = parent.as_object_mut()?;
        }
        Some(object.entry(last.clone()).or_insert(Value::Null))
    }

    fn unknown(&mut self, key: &str, origin: &str) {
        let keys: Vec<String> = self.arguments.properties.iter().map(Property::key).collect();
        let near = nearest(key, keys.iter().map(String::as_str));
        let advice = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        self.fault(String::new(), format!("{origin}: there is no argument `{key}`{advice}"));
    }

    fn fault(&mut self, path: String, message: String) {
        self.wrong.push(Violation { path, message });
    }
}

const SECRET: &str = "a secret is not typed on a command line; give env:NAME, @FILE or @- for stdin";

#[cfg(test)]
mod tests;

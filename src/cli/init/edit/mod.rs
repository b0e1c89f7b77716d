//! Changing one entry of somebody else's config, and nothing else. Each syntax has an editor that keeps comments,
//! order and layout; whatever it made is parsed again here and must say what was meant and nothing more, so a
//! text that an editor misreads is refused, never damaged.

mod json;
mod mask;
mod toml;
mod yaml;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use mask::mask;

/// Names and values of an entry, in the order in which they are written.
pub type Members = Vec<(&'static str, Value)>;

/// Members that are the person's to choose: written with a new entry, and then left as they are.
const CHOICES: [&str; 3] = ["enabled", "name", "timeout"];

/// The language of a config file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// JSON, with comments and trailing commas where they are.
    Json,
    /// TOML 1.0.
    Toml,
    /// YAML 1.2, one document.
    Yaml,
}

/// Where an entry stands: a table of the root, and a name in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The table of servers.
    pub table: &'static str,
    /// The entry's name.
    pub name: String,
}

/// Why a text is left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotEdit {
    /// It is not of its syntax.
    #[error("line {line}: {message}")]
    Malformed {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// Something else stands where a table should.
    #[error("{0} is not a table of names and values")]
    NotATable(String),
    /// Its layout is one that the editor cannot change safely.
    #[error("it is laid out in a way that cannot be edited safely")]
    Layout,
}

/// A change of an entry.
struct Change<'a> {
    slot: &'a Slot,
    /// The members to be written, in order.
    members: &'a [(&'static str, Value)],
    /// Whether the entry is to have these members only.
    whole: bool,
}

/// What a text says. No text at all says nothing, like an empty table.
///
/// # Errors
/// [`CannotEdit::Malformed`] with the place.
pub fn read(syntax: Syntax, text: &str) -> Result<Value, CannotEdit> {
    let value = parse(syntax, &Style::of(text).plain(text))?;
    if value.is_object() { Ok(value) } else { Err(CannotEdit::NotATable("the file".to_owned())) }
}

/// The entry in what a text says.
pub fn entry<'a>(read: &'a Value, slot: &Slot) -> Option<&'a Value> {
    read.get(slot.table)?.get(&slot.name)
}

/// The text with the entry having these members; other members it has stay, unless it is to be made `whole`
/// anew. A text that says so already comes back as it is.
///
/// # Errors
/// [`CannotEdit`]; nothing is ever half done.
pub fn put(syntax: Syntax, text: &str, slot: &Slot, members: &Members, whole: bool) -> Result<String, CannotEdit> {
    let style = Style::of(text);
    let plain = style.plain(text);
    let before = read(syntax, &plain)?;
    let mut expected = before.clone();
    let root = expected.as_object_mut().ok_or(CannotEdit::Layout)?;
    let table = table_of(root, slot)?;
    let old = table.get(&slot.name).and_then(Value::as_object).filter(|_| !whole);
    let merged: Vec<(&'static str, Value)> = members.iter().map(|member| merge(old, member)).collect();
    let mut wanted = old.cloned().unwrap_or_default();
    for (name, value) in &merged {
        wanted.insert((*name).to_owned(), value.clone());
    }
    if table.get(&slot.name).and_then(Value::as_object) == Some(&wanted) {
        return Ok(text.to_owned());
    }
    let changed: Vec<(&'static str, Value)> =
        merged.into_iter().filter(|(name, value)| old.and_then(|old| old.get(*name)) != Some(value)).collect();
    let change = Change { slot, members: &changed, whole: old.is_none() };
    table.insert(slot.name.clone(), Value::Object(wanted));
    let made = match syntax {
        Syntax::Json => json::put(&plain, &change),
        Syntax::Toml => toml::put(&plain, &change),
        Syntax::Yaml => yaml::put(&plain, &change),
    }?;
    prove(syntax, &made, &expected)?;
    Ok(style.restore(&made))
}

/// The text without the entry. A text that has none comes back as it is.
///
/// # Errors
/// [`CannotEdit`]; nothing is ever half done.
pub fn remove(syntax: Syntax, text: &str, slot: &Slot) -> Result<String, CannotEdit> {
    let style = Style::of(text);
    let plain = style.plain(text);
    let mut expected = read(syntax, &plain)?;
    if entry(&expected, slot).is_none() {
        return Ok(text.to_owned());
    }
    let root = expected.as_object_mut().ok_or(CannotEdit::Layout)?;
    table_of(root, slot)?.remove(&slot.name);
    let made = match syntax {
        Syntax::Json => json::remove(&plain, slot),
        Syntax::Toml => toml::remove(&plain, slot),
        Syntax::Yaml => yaml::remove(&plain, slot),
    }?;
    prove(syntax, &made, &expected)?;
    Ok(style.restore(&made))
}

/// The members of the root as one text: what a person would add by hand.
///
/// # Errors
/// Never for members of ours.
pub fn snippet(syntax: Syntax, slot: &Slot, members: &Members) -> Result<String, CannotEdit> {
    put(syntax, "", slot, members, true)
}

fn parse(syntax: Syntax, plain: &str) -> Result<Value, CannotEdit> {
    match syntax {
        Syntax::Json => json::parse(plain),
        Syntax::Toml => toml::parse(plain),
        Syntax::Yaml => yaml::parse(plain),
    }
}

/// Holds a text against what it must say. An empty table and none at all say the same.
fn prove(syntax: Syntax, made: &str, expected: &Value) -> Result<(), CannotEdit> {
    let full = |value: &Value| {
        let members = value.as_object().into_iter().flatten();
        let full = members.filter(|(_, value)| !value.as_object().is_some_and(Map::is_empty) && !value.is_null());
        full.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<String, Value>>()
    };
    match read(syntax, made) {
        Ok(read) if full(&read) == full(expected) => Ok(()),
        Ok(_) | Err(_) => Err(CannotEdit::Layout),
    }
}

/// The table of servers, which is made if it is not there.
fn table_of<'a>(root: &'a mut Map<String, Value>, slot: &Slot) -> Result<&'a mut Map<String, Value>, CannotEdit> {
    let table = root.entry(slot.table).or_insert_with(|| Value::Object(Map::new()));
    if table.is_null() {
        *table = Value::Object(Map::new());
    }
    table.as_object_mut().ok_or_else(|| CannotEdit::NotATable(format!("`{}`", slot.table)))
}

/// A member as it shall be: variables are added to those that are there, and a person's choices stay.
fn merge(old: Option<&Map<String, Value>>, (name, value): &(&'static str, Value)) -> (&'static str, Value) {
    match (old.and_then(|old| old.get(*name)), value) {
        (Some(old), _) if CHOICES.contains(name) => (name, old.clone()),
        (Some(Value::Object(old)), Value::Object(new)) => {
            let both = old.iter().chain(new).map(|(name, value)| (name.clone(), value.clone()));
            (name, Value::Object(both.collect()))
        }
        _ => (name, value.clone()),
    }
}

/// What editors need not know: a byte order mark, and lines that end as on Windows.
struct Style {
    mark: bool,
    carriage_returns: bool,
}

impl Style {
    fn of(text: &str) -> Self {
        let feeds = text.matches('\n').count();
        Self {
            mark: text.starts_with('\u{feff}'),
            carriage_returns: feeds > 0 && feeds == text.matches("\r\n").count(),
        }
    }

    fn plain(&self, text: &str) -> String {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if self.carriage_returns { text.replace("\r\n", "\n") } else { text.to_owned() }
    }

    fn restore(&self, text: &str) -> String {
        let mark = if self.mark { "\u{feff}" } else { "" };
        if self.carriage_returns { format!("{mark}{}", text.replace('\n', "\r\n")) } else { format!("{mark}{text}") }
    }
}

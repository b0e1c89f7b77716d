//! TOML with its comments and order, by `toml_edit`, the editor under cargo's own `cargo add`.

use std::ops::Range;

use serde_json::Value;
use toml_edit::{Array, Document, DocumentMut, InlineTable, Item, RawString, Table, TableLike};

use super::{CannotEdit, Change, Slot};

/// What the text says.
pub fn parse(text: &str) -> Result<Value, CannotEdit> {
    let malformed = |error: ::toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        CannotEdit::Malformed { line: before.matches('\n').count() + 1, message: error.message().trim().to_owned() }
    };
    let table: ::toml::Table = ::toml::from_str(text).map_err(malformed)?;
    serde_json::to_value(table).map_err(|_| CannotEdit::Layout)
}

/// Adds or changes an entry. Lines that end in two ways would all end in one afterwards, so such a text is refused.
pub fn put(text: &str, change: &Change<'_>) -> Result<String, CannotEdit> {
    if text.contains('\r') {
        return Err(CannotEdit::Layout);
    }
    let mut document: DocumentMut = text.parse().map_err(|_| CannotEdit::Layout)?;
    if !document.contains_key(change.slot.table) {
        let mut servers = Table::new();
        servers.set_implicit(true);
        document.insert(change.slot.table, Item::Table(servers));
        return Ok(append(document, change));
    }
    let servers = document.get_mut(change.slot.table).ok_or(CannotEdit::Layout)?;
    let inline = servers.is_inline_table();
    let servers = servers.as_table_like_mut().ok_or(CannotEdit::Layout)?;
    match servers.get_mut(&change.slot.name).filter(|_| !change.whole) {
        Some(entry) => {
            let entry = entry.as_table_like_mut().ok_or(CannotEdit::Layout)?;
            for (name, value) in change.members {
                set(entry, name, value);
            }
        }
        None if inline => {
            let mut entry: toml_edit::Value = inline_table(change.members).into();
            // The space before the closing brace stays there.
            if let Some((_, Item::Value(last))) = servers.iter_mut().last() {
                entry.decor_mut().set_suffix(last.decor().suffix().cloned().unwrap_or_default());
                last.decor_mut().set_suffix("");
            }
            servers.insert(&change.slot.name, Item::Value(entry));
        }
        None => {
            servers.insert(&change.slot.name, Item::Table(table(change.members)));
        }
    }
    Ok(document.to_string())
}

/// The entry at the end of the text, below the comments there.
fn append(mut document: DocumentMut, change: &Change<'_>) -> String {
    let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
    let mut entry = table(change.members);
    if !trailing.trim().is_empty() {
        let gap = if trailing.ends_with('\n') { "\n" } else { "\n\n" };
        entry.decor_mut().set_prefix(format!("{trailing}{gap}"));
        document.set_trailing(RawString::default());
    }
    if let Some(servers) = document.get_mut(change.slot.table).and_then(Item::as_table_mut) {
        servers.insert(&change.slot.name, Item::Table(entry));
    }
    let made = document.to_string();
    // In a file of its own, the entry starts on the first line.
    if trailing.trim().is_empty() && made.trim_start().starts_with('[') { made.trim_start().to_owned() } else { made }
}

/// Takes an entry out: the lines of its tables, so that comments above them, which are their owner's, stay.
pub fn remove(text: &str, slot: &Slot) -> Result<String, CannotEdit> {
    let document: Document<&str> = Document::parse(text).map_err(|_| CannotEdit::Layout)?;
    let entry = document.get(slot.table).and_then(|servers| servers.get(&slot.name)).ok_or(CannotEdit::Layout)?;
    let mut spans = Vec::new();
    if let Item::Table(table) = entry {
        headers(table, &mut spans);
    }
    if spans.is_empty() {
        let mut document = document.into_mut();
        let servers = document.get_mut(slot.table).and_then(Item::as_table_like_mut).ok_or(CannotEdit::Layout)?;
        servers.remove(&slot.name);
        return Ok(document.to_string());
    }
    spans.sort_by_key(|span| span.start);
    let mut made = text.to_owned();
    for span in spans.into_iter().rev() {
        let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |feed| feed + 1);
        let end = text.get(span.end..).and_then(|after| after.find('\n')).map_or(text.len(), |at| span.end + at + 1);
        let (before, after) = (made.get(..start).unwrap_or_default(), made.get(end..).unwrap_or_default());
        // The blank line that set the entry apart goes with it.
        let gap = before.ends_with("\n\n") && (after.is_empty() || after.starts_with('\n'));
        made = format!("{}{after}", if gap { before.strip_suffix('\n').unwrap_or(before) } else { before });
    }
    Ok(made)
}

/// Where a table and the tables under it stand, each from its header to the end of its last value.
fn headers(table: &Table, spans: &mut Vec<Range<usize>>) {
    if let Some(header) = table.span().filter(|_| !table.is_implicit() && !table.is_dotted()) {
        spans.push(header.start..end_of_values(table).max(header.end));
    }
    for (_, item) in table {
        if let Item::Table(child) = item {
            headers(child, spans);
        }
    }
}

/// The end of the last value under a table's own header, 0 when there is none.
fn end_of_values(table: &Table) -> usize {
    let ends = table.iter().map(|(_, item)| match item {
        Item::Value(value) => value.span().map_or(0, |span| span.end),
        Item::Table(child) if child.is_dotted() => end_of_values(child),
        Item::Table(_) | Item::ArrayOfTables(_) | Item::None => 0,
    });
    ends.max().unwrap_or_default()
}

fn set(entry: &mut dyn TableLike, name: &str, value: &Value) {
    match (entry.get_mut(name), value) {
        (Some(Item::Table(old)), Value::Object(members)) => {
            for (name, value) in members {
                set(old, name, value);
            }
        }
        (Some(Item::Value(old)), value) => {
            let mut new = toml_value(value);
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        _ => drop(entry.insert(name, Item::Value(toml_value(value)))),
    }
}

fn table(members: &[(&'static str, Value)]) -> Table {
    let mut table = Table::new();
    for (name, value) in members {
        table.insert(name, Item::Value(toml_value(value)));
    }
    table
}

fn inline_table(members: &[(&'static str, Value)]) -> InlineTable {
    members.iter().map(|(name, value)| (*name, toml_value(value))).collect()
}

fn toml_value(value: &Value) -> toml_edit::Value {
    match value {
        Value::Bool(yes) => (*yes).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(toml_value).collect::<Array>().into(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.as_str(), toml_value(value))).collect::<InlineTable>().into()
        }
        // TOML has no null, and no member of ours is one.
        Value::Null => "".into(),
    }
}

//! JSON as editors keep it: comments, trailing commas and layout stay. The concrete syntax tree is that of
//! `jsonc-parser`, which Deno and dprint edit config files with.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use jsonc_parser::errors::ParseError;
use serde_json::{Map, Value};

use super::{CannotEdit, Change, Slot};

/// Comments and trailing commas, and no other liberty.
const LENIENT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// What the text says.
pub fn parse(text: &str) -> Result<Value, CannotEdit> {
    let root = CstRootNode::parse(text, &LENIENT).map_err(malformed)?;
    match root.value() {
        None => Ok(Value::Object(Map::new())),
        Some(value) => value.to_serde_value().ok_or(CannotEdit::Layout),
    }
}

/// Adds or changes an entry.
pub fn put(text: &str, change: &Change<'_>) -> Result<String, CannotEdit> {
    let root = CstRootNode::parse(text, &LENIENT).map_err(malformed)?;
    let is_new = root.value().is_none();
    let object = root.object_value_or_create().ok_or(CannotEdit::Layout)?;
    let table = table(&object, change.slot)?;
    match table.get(&change.slot.name) {
        None => drop(table.append(&change.slot.name, input_object(change.members))),
        Some(entry) if change.whole => entry.set_value(input_object(change.members)),
        Some(entry) => {
            let entry = entry.object_value().ok_or(CannotEdit::Layout)?;
            for (name, value) in change.members {
                match entry.get(name) {
                    Some(member) => member.set_value(input(value)),
                    None => drop(entry.append(name, input(value))),
                }
            }
        }
    }
    let made = root.to_string();
    Ok(if is_new && !made.ends_with('\n') { made + "\n" } else { made })
}

/// Takes an entry out.
pub fn remove(text: &str, slot: &Slot) -> Result<String, CannotEdit> {
    let root = CstRootNode::parse(text, &LENIENT).map_err(malformed)?;
    let table = root.object_value().and_then(|object| object.object_value(slot.table)).ok_or(CannotEdit::Layout)?;
    table.get(&slot.name).ok_or(CannotEdit::Layout)?.remove();
    Ok(root.to_string())
}

fn table(root: &CstObject, slot: &Slot) -> Result<CstObject, CannotEdit> {
    if let Some(member) = root.get(slot.table).filter(|member| member.object_value().is_none()) {
        // `null` is an empty table to its reader.
        member.set_value(CstInputValue::Object(Vec::new()));
    }
    root.object_value_or_create(slot.table).ok_or(CannotEdit::Layout)
}

fn input_object(members: &[(&'static str, Value)]) -> CstInputValue {
    CstInputValue::Object(members.iter().map(|(name, value)| ((*name).to_owned(), input(value))).collect())
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(yes) => CstInputValue::Bool(*yes),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(members) => {
            CstInputValue::Object(members.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}

fn malformed(error: ParseError) -> CannotEdit {
    let kind = error.kind().to_string();
    let mut letters = kind.chars();
    let message = letters.next().map(|first| first.to_lowercase().collect::<String>() + letters.as_str());
    CannotEdit::Malformed { line: error.line_display(), message: message.unwrap_or_default() }
}

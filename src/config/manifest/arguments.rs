//! What a tool takes and gives: JSON Schema, written as a table or as JSON text, or, for arguments, a short form
//! with a line for each.

use std::ops::Range;

use serde_json::{Map, Value, json};
use toml::Spanned;

use super::tool::{Desk, nothing};
use super::written::ToolTable;
use crate::domain::json;
use crate::domain::tool::command::Form;
use crate::domain::tool::path;
use crate::guard::schema::OutputSchema;

/// What a line of the short form may say: JSON Schema (2020-12), and `required = true`.
pub const KEYWORDS: &[&str] = &[
    "type",
    "description",
    "title",
    "enum",
    "const",
    "default",
    "examples",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "items",
    "minItems",
    "maxItems",
    "uniqueItems",
    "properties",
    "additionalProperties",
    "required",
    "writeOnly",
    "path_under",
];

/// Forms of text that are checked (JSON Schema 2020-12 section 7.3); another word would check nothing.
pub const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Types of values (JSON Schema 2020-12 section 6.1.1).
const TYPES: &[&str] = &["array", "boolean", "integer", "null", "number", "object", "string"];

/// The schema of a tool's arguments.
pub fn input(desk: &mut Desk<'_>, table: &ToolTable) -> Option<Value> {
    let (schema, place) = match (&table.arguments, &table.input) {
        (Some(short), Some(_)) => {
            desk.wrong(
                short.span(),
                "the arguments are declared twice: here and as `input`",
                Some("keep one".to_owned()),
            );
            return None;
        }
        (Some(short_form), None) => {
            let schema = short(desk, table)?;
            return only_here(desk, table, &schema, short_form.span()).then_some(schema);
        }
        (None, Some(input)) => (written(desk, input)?, input.span()),
        (None, None) => return Some(nothing()),
    };
    if schema.get("type") != Some(&json!("object")) {
        let hint = "say type = \"object\" and list them under properties".to_owned();
        desk.wrong(place, "the arguments of a tool are an object", Some(hint));
        return None;
    }
    let is_plain = only_here(desk, table, &schema, place.clone());
    must_be_schema(desk, &schema, place).filter(|_| is_plain)
}

/// Whether the paths of a schema are in folders, and whoever runs the tool looks where they lead.
fn only_here(desk: &mut Desk<'_>, table: &ToolTable, schema: &Value, place: Range<usize>) -> bool {
    let paths = path::declared(schema);
    if let Some(root) = paths.values().find(|root| !root.to_str().is_some_and(is_root)) {
        desk.wrong(place.clone(), format!("`{}` is no whole path of a folder", root.display()), None);
    }
    if !paths.is_empty() && table.command.is_none() {
        desk.wrong(place, "only the arguments of a command can be paths of this machine", None);
        return false;
    }
    paths.values().all(|root| root.to_str().is_some_and(is_root))
}

/// The schema of a tool's output: what was written, or what its form gives anyway. `to_say` makes it JSON.
pub fn output(desk: &mut Desk<'_>, table: Option<&Spanned<Value>>, form: Form, to_say: &str) -> Value {
    let usual = match form {
        Form::Json => json!({"type": "object"}),
        Form::Text => json!({
            "type": "object", "required": ["text"],
            "properties": {
                "text": {"type": "string", "description": "What it answered."},
                "base64": {"type": "string", "description": "Its bytes, where they are not UTF-8."},
            },
        }),
        Form::Lines => json!({
            "type": "object", "required": ["lines"],
            "properties": {"lines": {"type": "array", "items": {"type": "string"}}},
        }),
    };
    let Some(table) = table else { return usual };
    if form != Form::Json {
        let hint = format!("say {to_say}, or leave the schema out");
        desk.wrong(table.span(), "only an output that is JSON has a schema of its own", Some(hint));
        return usual;
    }
    let Some(schema) = written(desk, table) else { return usual };
    if schema.get("type").is_some_and(|kind| *kind != json!("object")) {
        let hint = "what is no object becomes its member `result`: describe that".to_owned();
        desk.wrong(table.span(), "the output of a tool is an object", Some(hint));
    }
    must_be_schema(desk, &schema, table.span()).unwrap_or(usual)
}

/// A schema as a table, or as JSON text.
fn written(desk: &mut Desk<'_>, table: &Spanned<Value>) -> Option<Value> {
    match table.get_ref() {
        Value::Object(_) => Some(table.get_ref().clone()),
        Value::String(text) => match json::parse(text.as_bytes(), json::Limits::default()) {
            Ok(schema) => Some(schema),
            Err(error) => {
                desk.wrong(table.span(), format!("the schema is not strict JSON: {error}"), None);
                None
            }
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            desk.wrong(table.span(), "a schema is a table, or JSON as text", None);
            None
        }
    }
}

/// A whole path that is written plainly.
fn is_root(root: &str) -> bool {
    root.starts_with('/') && !root.split('/').any(|part| matches!(part, "." | ".."))
}

fn must_be_schema(desk: &mut Desk<'_>, schema: &Value, place: Range<usize>) -> Option<Value> {
    match OutputSchema::compile(schema) {
        Ok(_) => Some(schema.clone()),
        Err(why) => {
            desk.wrong(place, format!("this is no JSON Schema: {why}"), None);
            None
        }
    }
}

/// The types that a line names. One that is none is told, and taken for the one that is near to it; none when nothing
/// is.
fn types(desk: &mut Desk<'_>, written: &Value, place: &Range<usize>) -> Option<Value> {
    let mut known = |word: &Value| match word.as_str() {
        Some(word) if TYPES.contains(&word) => Some(json!(word)),
        _ => {
            let shown = word.as_str().map_or_else(|| word.to_string(), ToOwned::to_owned);
            let near = crate::pipeline::rulebook::nearest(&shown, TYPES.iter().copied());
            let hint = near
                .map_or_else(|| format!("there is `{}`", TYPES.join("`, `")), |near| format!("did you mean `{near}`?"));
            desk.wrong(place.clone(), format!("there is no type `{shown}`"), Some(hint));
            near.map(|near| json!(near))
        }
    };
    match written {
        Value::Array(words) => words.iter().map(known).collect::<Option<Vec<_>>>().map(Value::Array),
        one => known(one),
    }
}

fn short(desk: &mut Desk<'_>, table: &ToolTable) -> Option<Value> {
    let short = table.arguments.as_ref()?;
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, line) in short.get_ref() {
        let mut property = Map::new();
        for (keyword, value) in line.get_ref() {
            let word = keyword.get_ref().as_str();
            if !KEYWORDS.contains(&word) {
                let near = crate::pipeline::rulebook::nearest(word, KEYWORDS.iter().copied());
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                desk.wrong(keyword.span(), format!("an argument has no `{word}`"), hint);
                continue;
            }
            match (word, value.get_ref()) {
                ("required", Value::Bool(true)) => required.push(name.clone()),
                ("required", Value::Bool(false)) => {}
                ("path_under", Value::String(root)) if is_root(root) => {
                    property.insert(path::KEYWORD.to_owned(), json!(root));
                }
                ("path_under", _) => {
                    let hint = "write the whole path of a folder: path_under = \"/srv/data\"".to_owned();
                    desk.wrong(value.span(), "this is no folder that a path could be in", Some(hint));
                }
                ("format", Value::String(format)) if !FORMATS.contains(&format.as_str()) => {
                    let near = crate::pipeline::rulebook::nearest(format, FORMATS.iter().copied());
                    let hint = near.map(|near| format!("did you mean `{near}`?"));
                    desk.wrong(value.span(), format!("there is no format `{format}`"), hint);
                }
                ("type", written) => {
                    property.insert(word.to_owned(), types(desk, written, &value.span())?);
                }
                // A whole value or none: a pattern that matches somewhere inside lets everything in.
                ("pattern", Value::String(pattern)) => {
                    property.insert(word.to_owned(), json!(format!("^(?:{pattern})$")));
                }
                (_, value) => {
                    property.insert(word.to_owned(), value.clone());
                }
            }
        }
        let is_path = property.contains_key(path::KEYWORD);
        if is_path && !matches!(property.get("type").and_then(Value::as_str), Some("string" | "array")) {
            let hint = "say type = \"string\", or \"array\" with items = { type = \"string\" }".to_owned();
            desk.wrong(
                line.span(),
                format!("the argument `{name}` is a path and so text, or a list of texts"),
                Some(hint),
            );
        }
        if !["type", "enum", "const"].iter().any(|keyword| property.contains_key(*keyword)) {
            let hint = "say type = \"string\", \"integer\", \"number\", \"boolean\" or \"array\"".to_owned();
            desk.wrong(line.span(), format!("the argument `{name}` has no type"), Some(hint));
        }
        properties.insert(name.clone(), Value::Object(property));
    }
    let schema =
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    must_be_schema(desk, &schema, short.span())
}

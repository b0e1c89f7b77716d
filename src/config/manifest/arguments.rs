//! What a tool takes and gives: JSON Schema, written as a table or as JSON text, or, for arguments, a short form
//! with a line for each.

use std::ops::Range;

use serde_json::{Map, Value, json};
use toml::Spanned;

use super::tool::{Desk, nothing};
use super::written::ToolTable;
use crate::domain::json;
use crate::domain::tool::command::Form;
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
];

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
        (Some(_), None) => return short(desk, table),
        (None, Some(input)) => (written(desk, input)?, input.span()),
        (None, None) => return Some(nothing()),
    };
    if schema.get("type") != Some(&json!("object")) {
        let hint = "say type = \"object\" and list them under properties".to_owned();
        desk.wrong(place, "the arguments of a tool are an object", Some(hint));
        return None;
    }
    must_be_schema(desk, &schema, place)
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

fn must_be_schema(desk: &mut Desk<'_>, schema: &Value, place: Range<usize>) -> Option<Value> {
    match OutputSchema::compile(schema) {
        Ok(_) => Some(schema.clone()),
        Err(why) => {
            desk.wrong(place, format!("this is no JSON Schema: {why}"), None);
            None
        }
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
                // A whole value or none: a pattern that matches somewhere inside lets everything in.
                ("pattern", Value::String(pattern)) => {
                    property.insert(word.to_owned(), json!(format!("^(?:{pattern})$")));
                }
                (_, value) => {
                    property.insert(word.to_owned(), value.clone());
                }
            }
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

//! What a schema says of a value itself: its type, the values it may be, its bounds. Words that say nothing a value
//! could fulfil are left out, such as a pattern that no engine here reads or a bound that JSON numbers do not reach.

use serde_json::{Map, Number, Value, json};

use super::super::document::Dialect;

/// Words that say which values are right.
pub const CONSTRAINTS: &[&str] = &[
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "prefixItems",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];
/// Words under which there are other schemas.
const NESTING: &[&str] =
    &["$ref", "properties", "additionalProperties", "items", "prefixItems", "allOf", "anyOf", "oneOf", "not"];
/// Bytes of a schema that is written out where it is referred to.
const SMALL: usize = 400;
/// Letters of a pattern or a format at most.
const LONGEST_PATTERN: usize = 500;
/// The largest whole number that JSON holds exactly (RFC 7493 section 2.2).
const LARGEST: u64 = (1 << 53) - 1;

/// What is said of the value itself.
pub fn plain(words: &Map<String, Value>, dialect: Dialect) -> Map<String, Value> {
    let mut out = Map::new();
    let nullable = dialect == Dialect::Own && words.get("nullable") == Some(&Value::Bool(true));
    let mut types = types(words);
    if nullable && !types.is_empty() && !types.contains(&"null") {
        types.push("null");
    }
    let mut values = values(words);
    if nullable && !values.is_empty() && !values.contains(&Value::Null) {
        values.push(Value::Null);
    }
    // Values that contradict their type: what is listed is what is meant.
    if !values.iter().all(|value| types.iter().any(|word| is_a(value, word))) {
        types.clear();
    }
    match types.as_slice() {
        [] => {}
        [one] => drop(out.insert("type".to_owned(), json!(one))),
        several => drop(out.insert("type".to_owned(), json!(several))),
    }
    if !values.is_empty() {
        out.insert("enum".to_owned(), Value::Array(values));
    }
    numbers(&mut out, words);
    for word in ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"] {
        if let Some(count) = words.get(word).and_then(Value::as_u64).filter(|count| *count <= LARGEST) {
            out.insert(word.to_owned(), json!(count));
        }
    }
    for word in ["uniqueItems", "writeOnly"] {
        if words.get(word) == Some(&Value::Bool(true)) {
            out.insert(word.to_owned(), json!(true));
        }
    }
    let text = |word: &str| words.get(word).and_then(Value::as_str).filter(|text| text.len() <= LONGEST_PATTERN);
    // What OpenAPI calls the format of a number says how it is held, not which numbers there are.
    let is_text = types.is_empty() || types.contains(&"string");
    if let Some(format) = text("format").filter(|format| is_text && !format.is_empty()) {
        out.insert("format".to_owned(), json!(format));
    }
    if let Some(pattern) = text("pattern").filter(|pattern| is_pattern(pattern)) {
        out.insert("pattern".to_owned(), json!(pattern));
    }
    out
}

/// The types that are named, in JSON's words; what is left unsaid but plain from the other words too.
fn types(words: &Map<String, Value>) -> Vec<&str> {
    const KNOWN: [&str; 7] = ["string", "number", "integer", "boolean", "array", "object", "null"];
    let named: Vec<&str> = match words.get("type") {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ if words.contains_key("properties") => vec!["object"],
        _ if words.contains_key("items") => vec!["array"],
        _ => Vec::new(),
    };
    let mut types = Vec::new();
    for word in named {
        match word {
            // Words of Swagger 2.0 that live on.
            "file" => types.push("string"),
            word if KNOWN.contains(&word) && !types.contains(&word) => types.push(word),
            _ => {}
        }
    }
    types
}

/// The values that are listed.
fn values(words: &Map<String, Value>) -> Vec<Value> {
    let listed = match (words.get("const"), words.get("enum")) {
        (Some(value), _) => std::slice::from_ref(value),
        (None, Some(Value::Array(values))) => values,
        (None, _) => &[],
    };
    let mut values = Vec::new();
    for value in listed {
        if is_exact(value) && !values.contains(value) {
            values.push(value.clone());
        }
    }
    values
}

/// Bounds. In 3.0 `exclusiveMinimum` is true or false and belongs to `minimum`; in 2020-12 it is a bound itself.
fn numbers(out: &mut Map<String, Value>, words: &Map<String, Value>) {
    let bound = |word: &str| words.get(word).filter(|bound| bound.is_number() && is_exact(bound)).cloned();
    for (inclusive, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        if let Some(bound) = bound(inclusive) {
            let word = if words.get(exclusive) == Some(&Value::Bool(true)) { exclusive } else { inclusive };
            out.insert(word.to_owned(), bound);
        }
        if let Some(bound) = bound(exclusive) {
            out.insert(exclusive.to_owned(), bound);
        }
    }
    // Of fractions the remainder is never exact.
    if let Some(step) = words.get("multipleOf").and_then(Value::as_u64).filter(|step| (1..=LARGEST).contains(step)) {
        out.insert("multipleOf".to_owned(), json!(step));
    }
}

/// Whether JSON holds every number of a value exactly.
fn is_exact(value: &Value) -> bool {
    let exact = |number: &Number| match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => whole.unsigned_abs() <= LARGEST,
        (None, Some(float)) => float.fract() != 0.0 || float.abs() <= LARGEST as f64,
        (None, None) => false,
    };
    match value {
        Value::Number(number) => exact(number),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn is_a(value: &Value, word: &str) -> bool {
    match (value, word) {
        (Value::Number(_), "number") => true,
        (Value::Number(number), "integer") => number.as_f64().is_some_and(|float| float.fract() == 0.0),
        (Value::Null, "null") | (Value::Bool(_), "boolean") | (Value::String(_), "string") => true,
        (Value::Array(_), "array") | (Value::Object(_), "object") => true,
        _ => false,
    }
}

/// Whether the validator can read a pattern.
fn is_pattern(pattern: &str) -> bool {
    jsonschema::options().offline().build(&json!({"pattern": pattern})).is_ok()
}

/// Whether a schema says so little that it is written out where it is referred to.
pub fn is_small(schema: &Value) -> bool {
    let Some(words) = schema.as_object() else { return true };
    !words.keys().any(|word| NESTING.contains(&word.as_str()))
        && words
            .iter()
            .filter(|(word, _)| *word != "description")
            .map(|(_, value)| value.to_string().len())
            .sum::<usize>()
            <= SMALL
}

/// What a schema says of itself.
pub fn description(words: &Map<String, Value>) -> &str {
    words.get("description").and_then(Value::as_str).unwrap_or_default()
}

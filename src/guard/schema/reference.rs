//! Local references inside a JSON Schema. A schema may point into itself and nowhere else: a daemon that
//! fetched what a tool's definition names could be sent anywhere.

use serde_json::Value;

/// How many references are followed in a row, so that a circle ends.
const LONGEST_CHAIN: usize = 16;

/// Follows `$ref` (JSON Schema 2020-12 section 8.2.3.1) inside `root` until a schema without one. None
/// when it leads nowhere, in a circle, or through an anchor.
pub fn resolve<'a>(node: &'a Value, root: &'a Value) -> Option<&'a Value> {
    let mut node = node;
    for _ in 0..LONGEST_CHAIN {
        let Some(target) = node.get("$ref").and_then(Value::as_str) else { return Some(node) };
        node = root.pointer(target.strip_prefix('#')?)?;
    }
    None
}

/// The default of a schema: its own, else that of the schema it refers to.
pub fn default<'a>(node: &'a Value, root: &'a Value) -> Option<&'a Value> {
    node.get("default").or_else(|| resolve(node, root)?.get("default"))
}

/// The first reference that leaves the schema.
pub fn leaving(schema: &Value) -> Option<&str> {
    match schema {
        Value::Object(members) => members.iter().find_map(|(name, value)| match (name.as_str(), value) {
            ("$ref" | "$dynamicRef", Value::String(target)) => (!target.starts_with('#')).then_some(target.as_str()),
            ("const" | "enum" | "default" | "examples", _) => None,
            _ => leaving(value),
        }),
        Value::Array(items) => items.iter().find_map(leaving),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

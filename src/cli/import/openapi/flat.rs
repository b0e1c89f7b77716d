//! Values in queries and forms, which know text and lists of text alone: how a value of a schema is sent there, and the
//! schema of what can be.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::document::Document;
use super::problem::Stop;
use super::schema::plain;

/// Schemas of one value looked at, and levels of them.
const MOST_LOOKS: usize = 200;
const DEEPEST: usize = 8;
/// Types that have a place.
const TYPES: &[&str] = &["string", "integer", "number", "boolean"];
/// Words of cases.
const CASES: &[&str] = &["allOf", "anyOf", "oneOf"];

/// Where the value of an argument goes in a query or a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Text that the document fixes.
    Fixed(String),
    /// The value of an argument.
    One(String),
    /// Each item of a list by itself.
    Each(String),
    /// The items of a list with something between them.
    Joined(String, &'static str),
    /// The members of an object, each by itself, with their names in brackets.
    Deep(String),
}

/// How a value is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As text.
    One,
    /// As a list of text.
    List,
    /// As an object, or a list of them.
    Object,
}

/// Where a value goes by its style. Lists of the style `deepObject` have `[]` behind their name: the specification
/// leaves them open, and this is what those who use them read.
pub fn sink(name: &str, argument: String, form: Form, style: &str, explode: bool) -> (String, Sink) {
    let sink = match (form, style, explode) {
        (Form::One, _, _) => Sink::One(argument),
        (Form::Object, _, _) => Sink::Deep(argument),
        (Form::List, "deepObject", _) => {
            let name = if name.ends_with("[]") { name.to_owned() } else { format!("{name}[]") };
            return (name, Sink::Each(argument));
        }
        (Form::List, _, true) => Sink::Each(argument),
        (Form::List, "spaceDelimited", false) => Sink::Joined(argument, " "),
        (Form::List, "pipeDelimited", false) => Sink::Joined(argument, "|"),
        (Form::List, _, false) => Sink::Joined(argument, ","),
    };
    (name.to_owned(), sink)
}

/// How a value of this schema is sent. Of several cases a list comes before a text, as who can send a list can send one,
/// and an object comes first where it can be sent at all, and else last.
///
/// # Errors
/// When a reference leaves the document or leads nowhere.
pub fn form(document: &Document, schema: &Value, style: &str) -> Result<Form, Stop> {
    form_at(document, schema, style, DEEPEST)
}

fn form_at(document: &Document, schema: &Value, style: &str, depth: usize) -> Result<Form, Stop> {
    let mut forms = Vec::new();
    for case in cases(document, schema)? {
        let list = is(case, "array") || case.get("items").is_some();
        let object =
            ["properties", "additionalProperties"].iter().any(|word| case.get(*word).is_some_and(Value::is_object));
        forms.push(match (list, case.get("items"), depth.checked_sub(1)) {
            (true, Some(items), Some(depth)) if form_at(document, items, style, depth)? != Form::One => Form::Object,
            (true, _, _) => Form::List,
            (false, _, _) if object || is(case, "object") => Form::Object,
            (false, _, _) => Form::One,
        });
    }
    let has = |form: Form| forms.contains(&form);
    Ok(match (has(Form::List), has(Form::One), has(Form::Object)) {
        (_, _, true) if style == "deepObject" => Form::Object,
        (true, _, _) => Form::List,
        (false, true, _) | (false, false, false) => Form::One,
        (false, false, true) => Form::Object,
    })
}

/// The schema of one text, number or truth value.
///
/// # Errors
/// When a reference leaves the document or leads nowhere.
pub fn one(document: &Document, schema: &Value) -> Result<Value, Stop> {
    let cases = cases(document, schema)?;
    if let [case] = cases.as_slice() {
        let mut out = plain(case.as_object().unwrap_or(&Map::new()), document.dialect);
        // There is no way to send nothing but to leave it out.
        if let Some(Value::Array(values)) = out.get_mut("enum") {
            values.retain(|value| !value.is_null() && !value.is_array() && !value.is_object());
        }
        let types = types([*case]);
        if !types.is_empty() || !out.contains_key("enum") {
            out.insert("type".to_owned(), worded(&types));
        }
        return Ok(Value::Object(out));
    }
    Ok(json!({"type": worded(&types(cases))}))
}

/// The schema of a list of such.
///
/// # Errors
/// When a reference leaves the document or leads nowhere.
pub fn list(document: &Document, schema: &Value) -> Result<Value, Stop> {
    let cases = cases(document, schema)?;
    let list = cases.into_iter().find(|case| is(case, "array") || case.get("items").is_some());
    let items = match list.and_then(|list| list.get("items")) {
        Some(items) => one(document, items)?,
        None => json!({"type": "string"}),
    };
    let words = list.and_then(Value::as_object).map(|words| plain(words, document.dialect)).unwrap_or_default();
    let mut out: Map<String, Value> = words
        .into_iter()
        .filter(|(word, _)| ["minItems", "maxItems", "uniqueItems"].contains(&word.as_str()))
        .collect();
    out.insert("type".to_owned(), json!("array"));
    out.insert("items".to_owned(), items);
    Ok(Value::Object(out))
}

fn is(case: &Value, word: &str) -> bool {
    match case.get("type") {
        Some(Value::String(one)) => one == word,
        Some(Value::Array(several)) => several.iter().any(|one| one == word),
        _ => false,
    }
}

/// The types of some cases that have a place.
fn types<'a>(cases: impl IntoIterator<Item = &'a Value>) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for case in cases {
        found.extend(TYPES.iter().copied().filter(|word| is(case, word)));
    }
    // Every whole number is a number.
    if found.contains("number") {
        found.remove("integer");
    }
    found
}

fn worded(types: &BTreeSet<&'static str>) -> Value {
    let types: Vec<&str> = types.iter().copied().collect();
    match types.as_slice() {
        [] => json!("string"),
        [one] => json!(one),
        several => json!(several),
    }
}

/// Every case of a schema that has no cases itself, but the one that there is no value.
fn cases<'a>(document: &'a Document, schema: &'a Value) -> Result<Vec<&'a Value>, Stop> {
    let mut found = Vec::new();
    let mut waiting = vec![(schema, DEEPEST)];
    let mut looks = 0;
    while let Some((schema, depth)) = waiting.pop() {
        looks += 1;
        if looks > MOST_LOOKS {
            break;
        }
        let schema = document.follow(schema)?;
        let inside = CASES.iter().filter_map(|word| schema.get(*word)).filter_map(Value::as_array).flatten();
        let before = waiting.len();
        if let Some(depth) = depth.checked_sub(1) {
            waiting.extend(inside.map(|case| (case, depth)));
        }
        if waiting.len() == before && schema.get("type").and_then(Value::as_str) != Some("null") {
            found.push(schema);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::document::Dialect;
    use super::*;

    fn document() -> Document {
        let ring = json!({"anyOf": [{"$ref": "#/ring"}, {"$ref": "#/ring"}, {"type": "string"}]});
        Document {
            root: json!({"colour": {"enum": ["red", "blue"], "type": "string"}, "ring": ring}),
            dialect: Dialect::Own,
        }
    }

    #[test]
    fn a_value_is_sent_as_what_its_cases_allow() {
        for (schema, expected) in [
            (json!({"type": "string"}), Form::One),
            (json!({}), Form::One),
            (json!({"type": "array", "items": {"type": "integer"}}), Form::List),
            (json!({"type": "array", "items": {"type": "object"}}), Form::Object),
            (json!({"type": "object"}), Form::Object),
            (json!({"additionalProperties": {"type": "string"}}), Form::Object),
            (json!({"anyOf": [{"type": "object"}, {"enum": [""]}]}), Form::One),
            (json!({"oneOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/colour"}}]}), Form::List),
            (json!({"type": ["array", "null"], "items": {"type": "string"}}), Form::List),
            (json!({"$ref": "#/ring"}), Form::One),
        ] {
            assert_eq!(form(&document(), &schema, "form"), Ok(expected), "{schema}");
        }
        let unset = json!({"anyOf": [{"type": "object"}, {"enum": [""]}]});
        assert_eq!(form(&document(), &unset, "deepObject"), Ok(Form::Object));
    }

    #[test]
    fn what_can_be_sent_is_described() {
        for (schema, expected) in [
            (
                json!({"allOf": [{"$ref": "#/colour"}], "default": "red"}),
                json!({"type": "string", "enum": ["red", "blue"]}),
            ),
            (json!({"type": "integer", "nullable": true, "minimum": 1}), json!({"type": "integer", "minimum": 1})),
            (json!({"type": ["string", "null"]}), json!({"type": "string"})),
            (json!({"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]}), json!({"type": "number"})),
            (
                json!({"oneOf": [{"type": "string", "format": "date"}, {"type": "integer"}]}),
                json!({"type": ["integer", "string"]}),
            ),
            (json!({"enum": [1, null, "a"]}), json!({"enum": [1, "a"]})),
            (json!({}), json!({"type": "string"})),
        ] {
            assert_eq!(one(&document(), &schema), Ok(expected), "{schema}");
        }
        let either =
            json!({"oneOf": [{"type": "string"}, {"type": "array", "maxItems": 3, "items": {"$ref": "#/colour"}}]});
        let expected = json!({"type": "array", "maxItems": 3, "items": {"type": "string", "enum": ["red", "blue"]}});
        assert_eq!(list(&document(), &either), Ok(expected));
    }
}

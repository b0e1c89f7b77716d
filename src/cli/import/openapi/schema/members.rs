//! The members of an object that is written in several parts: `allOf` is how documents add members to a thing, and
//! most often all of its parts are plain objects. As one list of members they can be arguments, flags, and words of
//! policies, which parts never are.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::document::Document;
use super::super::problem::Stop;

/// Parts looked at.
const MOST_PARTS: usize = 64;
/// Words of a branch that only says what must be there, so that nothing is lost without it but a check.
const REQUIRES: &[&str] = &["required", "type", "title", "description"];

/// Members by name.
#[derive(Debug, Default)]
pub struct Members<'a> {
    /// In the order of the document; a later part replaces an earlier one's.
    pub properties: Vec<(&'a str, &'a Value)>,
    /// What must be there.
    pub required: BTreeSet<&'a str>,
    /// What it says of itself.
    pub description: &'a str,
}

impl<'a> Members<'a> {
    /// The members of a schema, or none when it is not made of plain objects.
    ///
    /// # Errors
    /// When a reference leaves the document or leads nowhere.
    pub fn of(document: &'a Document, schema: &'a Value) -> Result<Option<Self>, Stop> {
        let mut gathering = Gathering { document, seen: Vec::new(), parts: 0, members: Self::default() };
        let plain = gathering.part(schema)?;
        Ok(Some(gathering.members).filter(|members| plain && !members.properties.is_empty()))
    }
}

struct Gathering<'a> {
    document: &'a Document,
    seen: Vec<&'a str>,
    parts: usize,
    members: Members<'a>,
}

impl<'a> Gathering<'a> {
    /// Whether this part is a plain object.
    fn part(&mut self, schema: &'a Value) -> Result<bool, Stop> {
        self.parts += 1;
        let Some(words) = schema.as_object() else { return Ok(false) };
        if self.parts > MOST_PARTS {
            return Ok(false);
        }
        if let Some(reference) = words.get("$ref").and_then(Value::as_str) {
            if self.seen.contains(&reference) {
                return Ok(false);
            }
            self.seen.push(reference);
            let plain = self.part(self.document.at(reference)?)?;
            self.seen.pop();
            return Ok(plain);
        }
        if !is_object(words) || has_cases(words) {
            return Ok(false);
        }
        for part in words.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            if !self.part(part)? {
                return Ok(false);
            }
        }
        for (name, property) in words.get("properties").and_then(Value::as_object).into_iter().flatten() {
            match self.members.properties.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = property,
                None => self.members.properties.push((name, property)),
            }
        }
        let required = words.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        self.members.required.extend(required);
        if let Some(description) = words.get("description").and_then(Value::as_str) {
            self.members.description = description;
        }
        Ok(true)
    }
}

fn is_object(words: &Map<String, Value>) -> bool {
    match words.get("type") {
        None => !words.contains_key("enum") && !words.contains_key("items"),
        Some(Value::String(word)) => word == "object",
        Some(Value::Array(words)) => words.iter().any(|word| word == "object"),
        Some(_) => false,
    }
}

/// Whether what is right depends on the value in more than what must be there.
fn has_cases(words: &Map<String, Value>) -> bool {
    let requires = |branch: &Value| {
        branch.as_object().is_some_and(|branch| branch.keys().all(|word| REQUIRES.contains(&word.as_str())))
    };
    let only_requires = |list: &Value| list.as_array().is_some_and(|list| list.iter().all(requires));
    ["anyOf", "oneOf"].iter().filter_map(|word| words.get(*word)).any(|list| !only_requires(list))
        || words.contains_key("not")
        || words.contains_key("if")
}

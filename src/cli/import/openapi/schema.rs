//! Schemas of a document as JSON Schema 2020-12. Only words that are known are taken over, and only where they say
//! something that can be true: whatever else stands there (examples, vendors' words, patterns of another language)
//! would at best be ignored and at worst refuse every call. Where a document could mean more than it says the looser
//! reading is taken, because the other side judges again and knows better: of `oneOf` any will do, and what no schema
//! can hold is left to it.
//!
//! References become `$defs` of the tool, so that circles end and nothing is written twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value, json};

use super::document::{Dialect, Document};
use super::problem::{Skip, Stop};
use super::words::{INSIDE, described};

mod circle;
mod members;
mod value;

pub use members::Members;
pub use value::plain;

/// How deep objects and lists inside one another are described, references not counted.
const DEEPEST: usize = 24;
/// The same for what is too large otherwise.
const DEEPEST_TERSE: usize = 5;
/// Schemas inside those of one tool at most, each counted as often as it is looked at.
const MOST_SCHEMAS: usize = 50_000;
/// Branches of one `anyOf` at most; a value that must be one of more is not checked.
const MOST_BRANCHES: usize = 64;

/// How much of a schema is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// All of it.
    Full,
    /// Without descriptions inside arguments, and not as deep.
    Terse,
}

/// Which way values go: what is read-only is not sent, what is write-only not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the other side.
    Sent,
    /// From it.
    Answered,
}

/// Converts the schemas of one tool, and remembers what they refer to.
#[derive(Debug)]
pub struct Converter<'a> {
    /// Where references lead.
    pub document: &'a Document,
    detail: Detail,
    way: Way,
    names: BTreeMap<&'a str, String>,
    taken: BTreeSet<String>,
    looks: usize,
    waiting: VecDeque<(String, &'a Value)>,
}

impl<'a> Converter<'a> {
    /// Nothing is converted yet.
    pub fn new(document: &'a Document, detail: Detail, way: Way) -> Self {
        let (names, taken, waiting) = (BTreeMap::new(), BTreeSet::new(), VecDeque::new());
        Self { document, detail, way, names, taken, looks: 0, waiting }
    }

    /// A schema.
    ///
    /// # Errors
    /// When a reference leaves the document or leads nowhere.
    pub fn schema(&mut self, schema: &'a Value) -> Result<Value, Stop> {
        self.at(schema, 0)
    }

    /// Everything that what was converted refers to, by name, and whether all of it is told: what has no room in
    /// `room` bytes takes anything. What is referred to first is told first.
    ///
    /// # Errors
    /// As [`Self::schema`].
    pub fn definitions(&mut self, room: usize) -> Result<(Map<String, Value>, bool), Stop> {
        let (mut all, mut used, mut whole) = (Map::new(), 0, true);
        while let Some((name, schema)) = self.waiting.pop_front() {
            let before = self.waiting.len();
            let told = if used < room { Some(self.at(schema, 0)?) } else { None };
            let told = told.filter(|told| used + told.to_string().len() <= room);
            whole &= told.is_some();
            let told = told.unwrap_or_else(|| {
                // Nor has what it alone refers to.
                for (unused, _) in self.waiting.drain(before..) {
                    self.taken.remove(&unused);
                    self.names.retain(|_, name| *name != unused);
                }
                loose(schema)
            });
            used += told.to_string().len() + name.len();
            all.insert(name, told);
        }
        circle::open(&mut all);
        Ok((all, whole))
    }

    fn at(&mut self, schema: &'a Value, depth: usize) -> Result<Value, Stop> {
        self.looks += 1;
        if self.looks > MOST_SCHEMAS {
            return Err(Skip::TooLarge.into());
        }
        let Some(words) = schema.as_object() else { return Ok(Value::Bool(schema.as_bool().unwrap_or(true))) };
        if let Some(reference) = words.get("$ref").and_then(Value::as_str) {
            return self.reference(reference, words, depth);
        }
        let deepest = match self.detail {
            Detail::Full => DEEPEST,
            Detail::Terse => DEEPEST_TERSE,
        };
        if depth > deepest {
            return Ok(loose(schema));
        }
        // The way of 3.0 to add a description to a reference.
        if let Some([one]) = words.get("allOf").and_then(Value::as_array).map(Vec::as_slice)
            && !words.keys().any(|word| value::CONSTRAINTS.contains(&word.as_str()) && word != "allOf")
        {
            let mut out = self.at(one, depth + 1)?;
            self.describe(&mut out, words);
            if self.is_nullable(words) {
                out = json!({"anyOf": [out, {"type": "null"}]});
            }
            return Ok(out);
        }
        if words.contains_key("allOf")
            && let Some(members) = Members::of(self.document, schema)?
        {
            let mut out = self.object(&members, depth)?;
            self.describe(&mut out, words);
            return Ok(out);
        }
        let mut out = value::plain(words, self.document.dialect);
        self.branches(&mut out, words, depth)?;
        self.inside(&mut out, words, depth)?;
        let mut out = Value::Object(out);
        if self.is_nullable(words) && out.get("type").is_none() && out.get("anyOf").is_some() {
            out = json!({"anyOf": [out, {"type": "null"}]});
        }
        self.describe(&mut out, words);
        Ok(out)
    }

    fn is_nullable(&self, words: &Map<String, Value>) -> bool {
        self.document.dialect == Dialect::Own && words.get("nullable") == Some(&Value::Bool(true))
    }

    /// A reference by the name of its definition; what says little by itself is written out.
    fn reference(&mut self, reference: &'a str, words: &'a Map<String, Value>, depth: usize) -> Result<Value, Stop> {
        let target = self.document.at(reference)?;
        let mut out = if value::is_small(target) {
            self.at(target, depth + 1)?
        } else {
            let name = match self.names.get(reference) {
                Some(name) => name.clone(),
                None => self.name(reference, target),
            };
            json!({"$ref": format!("#/$defs/{name}")})
        };
        // In 3.0 nothing beside a reference counts; descriptions there are meant all the same.
        if self.document.dialect == Dialect::JsonSchema
            && words.keys().any(|word| value::CONSTRAINTS.contains(&word.as_str()))
        {
            let mut beside = value::plain(words, self.document.dialect);
            self.branches(&mut beside, words, depth)?;
            self.inside(&mut beside, words, depth)?;
            if let (Value::Object(out), false) = (&mut out, beside.is_empty()) {
                let both = json!([out, beside]);
                *out = Map::from_iter([("allOf".to_owned(), both)]);
            }
        }
        self.describe(&mut out, words);
        Ok(out)
    }

    fn name(&mut self, reference: &'a str, target: &'a Value) -> String {
        let last = reference.rsplit('/').next().unwrap_or_default();
        let plain: String = last
            .chars()
            .map(|sign| if sign.is_ascii_alphanumeric() || "_.-".contains(sign) { sign } else { '_' })
            .collect();
        let plain = if plain.is_empty() { "schema".to_owned() } else { plain };
        let mut names = std::iter::once(plain.clone()).chain((2_u32..).map(|number| format!("{plain}_{number}")));
        let name = names.find(|name| !self.taken.contains(name)).unwrap_or(plain);
        self.taken.insert(name.clone());
        self.names.insert(reference, name.clone());
        self.waiting.push_back((name.clone(), target));
        name
    }

    /// `allOf`, `anyOf`, `oneOf` and `not`.
    fn branches(
        &mut self,
        out: &mut Map<String, Value>,
        words: &'a Map<String, Value>,
        depth: usize,
    ) -> Result<(), Stop> {
        let list = |word: &str| words.get(word).and_then(Value::as_array).filter(|list| !list.is_empty());
        let mut all = Vec::new();
        for branch in list("allOf").into_iter().flatten() {
            all.push(self.closed_only_as_a_whole(branch, depth)?);
        }
        for either in ["anyOf", "oneOf"] {
            let Some(list) = list(either).filter(|list| list.len() <= MOST_BRANCHES) else { continue };
            let mut branches = Vec::new();
            for branch in list {
                let branch = self.at(branch, depth + 1)?;
                if !branches.contains(&branch) {
                    branches.push(branch);
                }
            }
            // Where anything will do, there is nothing to say.
            if branches.iter().any(|branch| *branch == json!(true) || *branch == json!({})) {
                continue;
            }
            match branches.as_slice() {
                [Value::Object(one)] if out.is_empty() && all.is_empty() => out.extend(one.clone()),
                _ if out.contains_key("anyOf") => all.push(json!({"anyOf": branches})),
                _ => {
                    out.insert("anyOf".to_owned(), Value::Array(branches));
                }
            }
        }
        if !all.is_empty() {
            out.insert("allOf".to_owned(), Value::Array(all));
        }
        if let Some(not) = words.get("not") {
            out.insert("not".to_owned(), self.at(not, depth + 1)?);
        }
        Ok(())
    }

    /// A branch of `allOf`. Two that each allow nothing beside their own members would allow nothing at all.
    fn closed_only_as_a_whole(&mut self, branch: &'a Value, depth: usize) -> Result<Value, Stop> {
        let target = self.document.follow(branch)?;
        let closed = target.get("additionalProperties") == Some(&Value::Bool(false));
        let mut out = self.at(if closed { target } else { branch }, depth + 1)?;
        if let Value::Object(out) = &mut out
            && out.get("additionalProperties") == Some(&Value::Bool(false))
        {
            out.remove("additionalProperties");
        }
        Ok(out)
    }

    /// Members and items.
    fn inside(
        &mut self,
        out: &mut Map<String, Value>,
        words: &'a Map<String, Value>,
        depth: usize,
    ) -> Result<(), Stop> {
        if let Some(properties) = words.get("properties").and_then(Value::as_object) {
            let mut told = Map::new();
            for (name, property) in properties {
                if !self.goes_the_other_way(property) {
                    told.insert(name.clone(), self.at(property, depth + 1)?);
                }
            }
            self.require(out, words.get("required"), |name| told.contains_key(name) || !properties.contains_key(name));
            out.insert("properties".to_owned(), Value::Object(told));
        } else {
            self.require(out, words.get("required"), |_| true);
        }
        match words.get("additionalProperties") {
            Some(Value::Bool(false)) if self.way == Way::Sent => {
                out.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            Some(more @ Value::Object(_)) => {
                let more = self.at(more, depth + 1)?;
                if more != json!({}) {
                    out.insert("additionalProperties".to_owned(), more);
                }
            }
            _ => {}
        }
        match words.get("items") {
            Some(items @ Value::Object(_)) => {
                let items = self.at(items, depth + 1)?;
                out.insert("items".to_owned(), items);
            }
            // A tuple of the drafts before 2020-12.
            Some(Value::Array(items)) if !items.is_empty() => {
                let items = items.iter().map(|item| self.at(item, depth + 1)).collect::<Result<Vec<_>, _>>()?;
                out.insert("prefixItems".to_owned(), Value::Array(items));
            }
            _ => {}
        }
        if let Some(items) = words.get("prefixItems").and_then(Value::as_array).filter(|items| !items.is_empty()) {
            let items = items.iter().map(|item| self.at(item, depth + 1)).collect::<Result<Vec<_>, _>>()?;
            out.insert("prefixItems".to_owned(), Value::Array(items));
        }
        Ok(())
    }

    /// An object of merged members.
    fn object(&mut self, members: &Members<'a>, depth: usize) -> Result<Value, Stop> {
        let mut out = Map::from_iter([("type".to_owned(), json!("object"))]);
        let mut told = Map::new();
        for (name, property) in &members.properties {
            if !self.goes_the_other_way(property) {
                told.insert((*name).to_owned(), self.at(property, depth + 1)?);
            }
        }
        let required: Vec<Value> = members.required.iter().map(|name| json!(name)).collect();
        self.require(&mut out, Some(&Value::Array(required)), |name| told.contains_key(name));
        out.insert("properties".to_owned(), Value::Object(told));
        Ok(Value::Object(out))
    }

    /// Whether a member is not for this way.
    pub fn goes_the_other_way(&self, property: &Value) -> bool {
        let word = match self.way {
            Way::Sent => "readOnly",
            Way::Answered => "writeOnly",
        };
        let says = |value: &Value| value.get(word) == Some(&Value::Bool(true));
        says(property) || self.document.follow(property).is_ok_and(says)
    }

    /// What must be there. Of answers nothing must: APIs leave out what they have not got.
    fn require(&self, out: &mut Map<String, Value>, required: Option<&Value>, is_told: impl Fn(&str) -> bool) {
        let names = required.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let names: BTreeSet<&str> = names.filter(|name| is_told(name)).collect();
        if self.way == Way::Sent && !names.is_empty() {
            out.insert("required".to_owned(), json!(names));
        }
    }

    fn describe(&self, out: &mut Value, words: &Map<String, Value>) {
        let (Value::Object(out), Detail::Full) = (out, self.detail) else { return };
        let text = described(value::description(words), words.get("default"), INSIDE);
        if !text.is_empty() {
            out.insert("description".to_owned(), text.into());
        }
    }
}

/// What a schema that has no room becomes: its type, when it has one.
fn loose(schema: &Value) -> Value {
    match schema.get("type").and_then(Value::as_str) {
        Some(word @ ("object" | "array" | "string" | "integer" | "number" | "boolean")) => json!({"type": word}),
        _ if schema.get("properties").is_some() => json!({"type": "object"}),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests;

//! Reads a JSON Schema as far as a command line needs it: which properties there are, what kind of value
//! each takes, which must be given. What it does not understand becomes text or JSON, never an error.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::convert::choice_text;

/// Objects inside objects that get flags of their own (`--a.b.c`); below that, JSON.
const DEEPEST: usize = 3;
/// References followed before giving up: a schema may refer to itself.
const MOST_REFERENCES: usize = 16;

/// What kind of value a property takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Text, taken as it is.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// One of these.
    Choice(Vec<Value>),
    /// Several of one kind.
    List(Box<Shape>),
    /// An object, given as JSON or by its members.
    Object,
    /// Anything that is not text, given as JSON.
    Json,
}

impl Shape {
    /// The word for help texts.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Integer => "INTEGER",
            Self::Number => "NUMBER",
            Self::Boolean => "true|false",
            Self::Choice(_) => "CHOICE",
            Self::List(item) => item.word(),
            Self::Object | Self::Json => "JSON",
        }
    }
}

/// One property that can be given.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    /// The names that lead to it.
    pub path: Vec<String>,
    /// Its flag without dashes, such as `customer-id` or `address.city`; none when one of ours has that name.
    pub flag: Option<String>,
    /// What it takes.
    pub shape: Shape,
    /// `null` is a value too.
    pub nullable: bool,
    /// It must be given when its parent is.
    pub required: bool,
    /// What it is.
    pub description: String,
    /// What is taken when it is not given.
    pub default: Option<Value>,
    /// Bounds, in words.
    pub bounds: String,
    /// Its value is never taken from the command line, where other users can read it.
    pub secret: bool,
}

impl Property {
    /// Its names joined by dots, as in `address.city=Berlin`.
    pub fn key(&self) -> String {
        self.path.join(".")
    }

    /// JSON Pointer (RFC 6901).
    pub fn pointer(&self) -> String {
        self.path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
    }

    /// How a person gives it: `--customer-id <INTEGER>` or `--arg reason <TEXT>`.
    pub fn usage(&self) -> String {
        let kind = match &self.shape {
            Shape::Choice(choices) if (1..=4).contains(&choices.len()) => {
                choices.iter().map(choice_text).collect::<Vec<_>>().join("|")
            }
            shape => shape.word().to_owned(),
        };
        match &self.flag {
            Some(flag) => format!("--{flag} <{kind}>"),
            None => format!("--arg {} <{kind}>", self.key()),
        }
    }
}

/// What a tool takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Arguments {
    /// Each property, parents before their members.
    pub properties: Vec<Property>,
    /// Whether names that are not listed are allowed.
    pub open: bool,
}

impl Arguments {
    /// Reads `schema`. `reserved` are flags that are ours: a property of that name gets none.
    pub fn of(schema: &Value, reserved: &BTreeSet<String>) -> Self {
        let mut reader = Reader { root: schema, reserved, taken: reserved.clone(), properties: Vec::new() };
        reader.object(schema, &mut Vec::new());
        let open =
            matches!(reader.resolve(schema).get("additionalProperties"), Some(Value::Bool(true) | Value::Object(_)));
        Self { properties: reader.properties, open }
    }

    /// A tool that takes nothing.
    pub const fn none() -> Self {
        Self { properties: Vec::new(), open: false }
    }

    /// Finds a property by its key, in the exact form or as a flag.
    pub fn find(&self, key: &str) -> Option<&Property> {
        self.properties
            .iter()
            .find(|property| property.key() == key)
            .or_else(|| self.properties.iter().find(|property| property.flag.as_deref() == Some(key)))
    }

    /// What must be given and is not in `given`, parents' members only where the parent is there or must be.
    pub fn missing(&self, given: &Map<String, Value>) -> Vec<&Property> {
        self.properties
            .iter()
            .filter(|property| {
                let Some((last, parents)) = property.path.split_last() else { return false };
                if !property.required
                    || property.default.is_some()
                    || property.shape == Shape::Object && self.has_members(property)
                {
                    return false;
                }
                let mut parent_required = true;
                let mut object = Some(given);
                for (depth, name) in parents.iter().enumerate() {
                    let here = parents.get(..=depth).unwrap_or_default();
                    parent_required &= self.properties.iter().any(|p| p.path == here && p.required);
                    object = object.and_then(|object| object.get(name)).and_then(Value::as_object);
                }
                match object {
                    Some(object) => !object.contains_key(last),
                    None => parent_required,
                }
            })
            .collect()
    }

    fn has_members(&self, parent: &Property) -> bool {
        self.properties
            .iter()
            .any(|p| p.required && p.path.len() > parent.path.len() && p.path.starts_with(&parent.path))
    }
}

struct Reader<'a> {
    root: &'a Value,
    reserved: &'a BTreeSet<String>,
    taken: BTreeSet<String>,
    properties: Vec<Property>,
}

impl<'a> Reader<'a> {
    fn object(&mut self, schema: &'a Value, path: &mut Vec<String>) {
        let schema = self.resolve(schema);
        let Some(members) = schema.get("properties").and_then(Value::as_object) else { return };
        let required: BTreeSet<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, member) in members {
            path.push(name.clone());
            let (shape, nullable) = self.shape(member, 0);
            let resolved = self.resolve(member);
            let text = |key: &str| {
                let found = member.get(key).or_else(|| resolved.get(key));
                found.and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            let flag = self.flag(path);
            let nested = shape == Shape::Object && path.len() < DEEPEST;
            self.properties.push(Property {
                path: path.clone(),
                flag,
                shape,
                nullable,
                required: required.contains(name.as_str()),
                description: text("description"),
                default: member.get("default").or_else(|| resolved.get("default")).cloned(),
                bounds: bounds(resolved),
                secret: resolved.get("writeOnly") == Some(&Value::Bool(true))
                    || member.get("writeOnly") == Some(&Value::Bool(true))
                    || text("format") == "password",
            });
            if nested {
                self.object(member, path);
            }
            path.pop();
        }
    }

    /// A flag is ours, or taken by an earlier property, at most once.
    fn flag(&mut self, path: &[String]) -> Option<String> {
        let kebab = path.iter().map(|name| kebab(name)).collect::<Vec<_>>().join(".");
        let exact = path.join(".");
        [kebab, exact]
            .into_iter()
            .find(|flag| is_flag(flag) && self.taken.insert(flag.clone()))
            .filter(|flag| !self.reserved.contains(flag))
    }

    fn shape(&self, schema: &'a Value, depth: usize) -> (Shape, bool) {
        let schema = self.resolve(schema);
        if depth > DEEPEST {
            return (Shape::Json, false);
        }
        if let Some(value) = schema.get("const") {
            return (Shape::Choice(vec![value.clone()]), false);
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            let choices = values.iter().filter(|value| !value.is_null()).cloned().collect();
            return (Shape::Choice(choices), values.contains(&Value::Null));
        }
        if let Some(branches) = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array) {
            return self.union(branches, depth);
        }
        let words: Vec<&str> = match schema.get("type") {
            Some(Value::String(word)) => vec![word],
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            _ if schema.get("properties").is_some() => vec!["object"],
            _ => vec!["string"],
        };
        let nullable = words.contains(&"null");
        let kinds: Vec<&str> = words.into_iter().filter(|word| *word != "null").collect();
        let shape = match kinds.as_slice() {
            ["string"] => Shape::Text,
            ["integer"] => Shape::Integer,
            ["number"] | ["integer", "number"] | ["number", "integer"] => Shape::Number,
            ["boolean"] => Shape::Boolean,
            ["array"] => {
                let item = schema.get("items").map_or(Shape::Text, |items| self.shape(items, depth + 1).0);
                Shape::List(Box::new(if matches!(item, Shape::List(_)) { Shape::Json } else { item }))
            }
            ["object"] => Shape::Object,
            kinds if kinds.contains(&"string") => Shape::Text,
            _ => Shape::Json,
        };
        (shape, nullable)
    }

    fn union(&self, branches: &'a [Value], depth: usize) -> (Shape, bool) {
        let null = |branch: &&Value| self.resolve(branch).get("type").and_then(Value::as_str) == Some("null");
        let nullable = branches.iter().any(|branch| null(&branch));
        let mut shapes: Vec<Shape> =
            branches.iter().filter(|branch| !null(branch)).map(|branch| self.shape(branch, depth + 1).0).collect();
        if shapes.iter().all(|shape| matches!(shape, Shape::Choice(_))) {
            let all = shapes.into_iter().flat_map(|shape| match shape {
                Shape::Choice(values) => values,
                _ => Vec::new(),
            });
            return (Shape::Choice(all.collect()), nullable);
        }
        if shapes.len() == 1 {
            return (shapes.pop().unwrap_or(Shape::Json), nullable);
        }
        let text = shapes.contains(&Shape::Text);
        (if text { Shape::Text } else { Shape::Json }, nullable)
    }

    /// Follows `$ref` inside the document, and an `allOf` of one.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let mut here = schema;
        for _ in 0..MOST_REFERENCES {
            let reference = here.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
            let single = here.get("allOf").and_then(Value::as_array).filter(|all| all.len() == 1);
            let next = match (reference, single) {
                (Some(pointer), _) => self.root.pointer(pointer),
                (None, Some(all)) => all.first(),
                (None, None) => None,
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        here
    }
}

fn is_flag(flag: &str) -> bool {
    !flag.is_empty() && !flag.starts_with('-') && flag.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// `customerId` and `customer_id` are both typed as `customer-id`.
fn kebab(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    let mut lower = false;
    for symbol in name.chars() {
        if symbol.is_ascii_uppercase() && lower {
            out.push('-');
        }
        lower = symbol.is_ascii_lowercase() || symbol.is_ascii_digit();
        out.push(if symbol == '_' { '-' } else { symbol.to_ascii_lowercase() });
    }
    out
}

fn bounds(schema: &Value) -> String {
    let number = |key: &str| schema.get(key).filter(|value| value.is_number()).map(ToString::to_string);
    let mut words = Vec::new();
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => words.push(format!("{least}..={most}")),
        (Some(least), None) => words.push(format!("at least {least}")),
        (None, Some(most)) => words.push(format!("at most {most}")),
        (None, None) => {}
    }
    match (number("minLength"), number("maxLength")) {
        (Some(least), Some(most)) => words.push(format!("{least}–{most} characters")),
        (Some(least), None) => words.push(format!("at least {least} characters")),
        (None, Some(most)) => words.push(format!("at most {most} characters")),
        (None, None) => {}
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str) {
        words.push(format.to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::dynamic::sample;

    fn read() -> Arguments {
        Arguments::of(&sample::tool().input_schema, &BTreeSet::from(["reason".to_owned()]))
    }

    #[test]
    fn every_property_becomes_a_flag_of_its_kind() {
        let lines: Vec<String> = read().properties.iter().map(|p| format!("{} {:?}", p.usage(), p.nullable)).collect();
        assert_eq!(
            lines.join("\n"),
            "--customer-id <INTEGER> false\n--title <TEXT> false\n--priority <low|medium|high> false\n--zip <TEXT> false\n\
             --ratio <NUMBER> false\n--notify <true|false> false\n--tags <TEXT> false\n--levels <INTEGER> false\n\
             --address <JSON> false\n--address.city <TEXT> false\n--address.geo <JSON> false\n\
             --address.geo.lat <NUMBER> false\n--address.geo.deep <JSON> false\n--arg reason <TEXT> false\n\
             --maybe <INTEGER> true\n--meta <TEXT> false\n--api-key <TEXT> false\n--either <JSON> false"
        );
    }

    #[test]
    fn what_is_missing_follows_the_objects_that_are_there() {
        let arguments = read();
        let missing = |given: Value| {
            let Value::Object(given) = given else { panic!("an object") };
            arguments.missing(&given).iter().map(|property| property.key()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(missing(json!({})), "customer_id title");
        assert_eq!(missing(json!({"customer_id": 1, "title": "abc", "address": {}})), "address.city");
        assert_eq!(missing(json!({"customer_id": 1, "title": "abc", "address": {"city": "B"}})), "");
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"properties": {"a": {"$ref": "#/properties/a"}, "b": {"$ref": "#"}}});
        let arguments = Arguments::of(&schema, &BTreeSet::new());
        assert!(arguments.properties.iter().all(|property| property.path.len() <= DEEPEST));
    }

    #[test]
    fn two_properties_never_share_a_flag() {
        let schema = json!({"properties": {"userId": {"type": "string"}, "user_id": {"type": "string"}}});
        let arguments = Arguments::of(&schema, &BTreeSet::new());
        let flags: Vec<_> = arguments.properties.iter().map(|property| property.flag.clone()).collect();
        assert_eq!(flags, [Some("user-id".to_owned()), Some("user_id".to_owned())]);
    }
}

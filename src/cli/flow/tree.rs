//! A workflow file as a tree in which every value knows its place, whichever of the two languages it is written
//! in. What the values mean is read from the tree, so that TOML and YAML cannot come to mean different things.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;
use toml::de::{DeTable, DeValue};

use crate::cli::fault::{Fault, Span};

/// The largest file that is read, in bytes.
pub const LARGEST_FILE: usize = 1 << 20;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its place.
    pub span: Span,
    /// What it is.
    pub tree: Tree,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// YAML alone has it.
    Null,
    /// True or false.
    Bool(bool),
    /// A number that JSON can hold.
    Number(Number),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Values by name, in the order of the file.
    Table(Vec<(Name, Node)>),
}

/// The name of a member and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// Reads a file by its language: YAML when its name says so, else TOML.
///
/// # Errors
/// The place where it cannot be read.
pub fn read(file: &str, text: &str) -> Result<Node, Fault> {
    if text.len() > LARGEST_FILE {
        return Err(Fault::new(&(0..0), format!("the file has {} bytes; at most {LARGEST_FILE} are read", text.len())));
    }
    let is_yaml = [".yaml", ".yml", ".json"].iter().any(|end| file.to_ascii_lowercase().ends_with(end));
    if is_yaml { yaml(text) } else { toml(text) }
}

fn toml(text: &str) -> Result<Node, Fault> {
    let table = DeTable::parse(text).map_err(|error| {
        Fault::new(&error.span().unwrap_or(0..0), format!("this is not TOML: {}", error.message().trim()))
    })?;
    let span = table.span();
    Ok(Node { span: span.clone(), tree: toml_table(table.into_inner())? })
}

fn toml_table(table: DeTable<'_>) -> Result<Tree, Fault> {
    let mut members = Vec::with_capacity(table.len());
    for (name, value) in table {
        let name = Name { span: name.span(), text: name.into_inner().into_owned() };
        members.push((name, toml_value(value.span(), value.into_inner())?));
    }
    // The parser sorts by name; people read by place.
    members.sort_by_key(|(name, _)| name.span.start);
    Ok(Tree::Table(members))
}

fn toml_value(span: Span, value: DeValue<'_>) -> Result<Node, Fault> {
    let tree = match value {
        DeValue::String(text) => Tree::Text(text.into_owned()),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix());
            Tree::Number(number.map(Number::from).map_err(|_| Fault::new(&span, "the integer is too large"))?)
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            Tree::Number(number.ok_or_else(|| Fault::new(&span, "JSON has no such number"))?)
        }
        DeValue::Boolean(value) => Tree::Bool(value),
        // JSON has no dates; as text it is what a tool's schema expects.
        DeValue::Datetime(time) => Tree::Text(time.to_string()),
        DeValue::Array(items) => {
            let items = items.into_iter().map(|item| toml_value(item.span(), item.into_inner()));
            Tree::List(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => toml_table(table)?,
    };
    Ok(Node { span, tree })
}

fn yaml(text: &str) -> Result<Node, Fault> {
    match serde_saphyr::from_str::<Spanned<Yaml>>(text) {
        Ok(found) => Ok(found.node()),
        Err(error) => {
            let span = error.location().map_or(0..0, |at| place(&at));
            let said = error.without_snippet().to_string();
            let said = said.lines().next().unwrap_or_default();
            Err(Fault::new(&span, format!("this is not YAML that can be read: {said}")))
        }
    }
}

/// A YAML value on its way to a [`Node`].
enum Yaml {
    Leaf(Tree),
    List(Vec<Spanned<Yaml>>),
    Table(Vec<(Spanned<String>, Spanned<Yaml>)>),
}

trait Place {
    fn node(self) -> Node;
}

impl Place for Spanned<Yaml> {
    fn node(self) -> Node {
        let span = place(&self.referenced);
        let tree = match self.value {
            Yaml::Leaf(tree) => tree,
            Yaml::List(items) => Tree::List(items.into_iter().map(Place::node).collect()),
            Yaml::Table(members) => {
                let member = |(name, value): (Spanned<String>, Self)| {
                    (Name { span: place(&name.referenced), text: name.value }, value.node())
                };
                Tree::Table(members.into_iter().map(member).collect())
            }
        };
        Node { span, tree }
    }
}

fn place(at: &serde_saphyr::Location) -> Span {
    let number = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok()).unwrap_or_default();
    let start = number(at.span().byte_offset());
    start..start.saturating_add(number(at.span().byte_len()))
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can hold")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Leaf(Tree::Null))
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Leaf(Tree::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Leaf(Tree::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Leaf(Tree::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Leaf(Tree::Number(value.into())))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Yaml, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("JSON has no such number"))?;
        Ok(Yaml::Leaf(Tree::Number(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Leaf(Tree::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Yaml, A::Error> {
        let mut table = Vec::new();
        while let Some(member) = members.next_entry()? {
            table.push(member);
        }
        Ok(Yaml::Table(table))
    }
}

impl Node {
    /// The value without its places.
    pub fn value(&self) -> Value {
        match &self.tree {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(*value),
            Tree::Number(number) => Value::Number(number.clone()),
            Tree::Text(text) => Value::String(text.clone()),
            Tree::List(items) => Value::Array(items.iter().map(Self::value).collect()),
            Tree::Table(members) => {
                let members = members.iter().map(|(name, value)| (name.text.clone(), value.value()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    /// What it is, in a word for people.
    pub const fn word(&self) -> &'static str {
        match &self.tree {
            Tree::Null => "nothing",
            Tree::Bool(_) => "true or false",
            Tree::Number(_) => "a number",
            Tree::Text(_) => "a text",
            Tree::List(_) => "a list",
            Tree::Table(_) => "a table",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_languages_give_the_same_tree_and_true_places() {
        let toml = "name = \"x\"\n[[step]]\nid = \"a\"\nwith = { n = 0x10, t = [1.5, true] }\n";
        let yaml = "name: x\nstep:\n  - id: a\n    with: {n: 16, t: [1.5, true]}\n";
        let expected = json!({"name": "x", "step": [{"id": "a", "with": {"n": 16, "t": [1.5, true]}}]});
        for (file, text) in [("a.toml", toml), ("a.yaml", yaml)] {
            let node = read(file, text).expect("read");
            assert_eq!(node.value(), expected, "{file}");
            let Tree::Table(members) = &node.tree else { panic!("no table") };
            let (name, value) = members.iter().find(|(name, _)| name.text == "name").expect("a name");
            assert_eq!((&text[name.span.clone()], text[value.span.clone()].trim_matches('"')), ("name", "x"), "{file}");
        }
    }

    #[test]
    fn what_cannot_be_read_has_a_place() {
        for (file, text, line) in [
            ("a.toml", "name = \"x\"\nname = \"y\"\n", 2),
            ("a.toml", "a = 99999999999999999999\n", 1),
            ("a.yml", "a: 1\na: 2\n", 2),
            ("a.yml", "a: [1\n", 1),
        ] {
            let fault = read(file, text).expect_err("refused");
            let found = text[..fault.span.start].matches('\n').count() + 1;
            assert!(found >= line, "{file} {text:?}: {fault:?}");
        }
    }
}

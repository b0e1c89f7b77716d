//! JSON with arguments in it. It is a tree, never text: a value is put in as a value, so that nothing a caller sends
//! can end a string, add a member or change what stands beside it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::super::template::{BadArgument, Text};
use super::encode::fill;

/// A JSON document with holes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Json {
    /// As it stands.
    Fixed(Value),
    /// An argument, whatever its type.
    Argument(String),
    /// Text with arguments in it.
    Text(Text),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Puts the arguments in. A member or an item whose argument is absent is left out; none is left of a document
    /// that is nothing but an absent argument.
    ///
    /// # Errors
    /// An argument that cannot stand in text.
    pub fn fill(&self, arguments: &Value) -> Result<Option<Value>, BadArgument> {
        Ok(match self {
            Self::Fixed(value) => Some(value.clone()),
            Self::Argument(name) => arguments.get(name).cloned(),
            Self::Text(text) => fill(text, arguments, |_, value| Ok(value.to_owned()))?.map(Value::String),
            Self::List(items) => {
                let filled: Result<Vec<_>, _> = items.iter().map(|item| item.fill(arguments)).collect();
                Some(Value::Array(filled?.into_iter().flatten().collect()))
            }
            Self::Object(members) => {
                let mut object = Map::new();
                for (name, member) in members {
                    if let Some(value) = member.fill(arguments)? {
                        object.insert(name.clone(), value);
                    }
                }
                Some(Value::Object(object))
            }
        })
    }

    /// Every argument it names.
    pub fn arguments(&self) -> Vec<&str> {
        match self {
            Self::Fixed(_) => Vec::new(),
            Self::Argument(name) => vec![name],
            Self::Text(text) => text.arguments().collect(),
            Self::List(items) => items.iter().flat_map(Self::arguments).collect(),
            Self::Object(members) => members.values().flat_map(Self::arguments).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(text: &str) -> Json {
        Json::Text(Text::parse(text).expect("a template").0)
    }

    #[test]
    fn values_keep_their_types_and_what_is_absent_is_left_out() {
        let document = Json::Object(BTreeMap::from([
            ("id".to_owned(), Json::Argument("id".to_owned())),
            ("note".to_owned(), Json::Argument("note".to_owned())),
            ("by".to_owned(), text("bot for {id}")),
            ("why".to_owned(), text("as {note}")),
            ("urgent".to_owned(), Json::Fixed(json!(false))),
            ("list".to_owned(), Json::List(vec![Json::Argument("note".to_owned()), Json::Argument("id".to_owned())])),
        ]));
        let filled = document.fill(&json!({"id": 7})).expect("arguments");
        assert_eq!(filled, Some(json!({"id": 7, "by": "bot for 7", "urgent": false, "list": [7]})));
        let filled = document.fill(&json!({"id": "a\",\"admin\":true,\"x\":\"", "note": null})).expect("arguments");
        let expected = json!({
            "id": "a\",\"admin\":true,\"x\":\"", "note": null, "by": "bot for a\",\"admin\":true,\"x\":\"",
            "urgent": false, "list": [null, "a\",\"admin\":true,\"x\":\""],
        });
        assert_eq!(filled, Some(expected));
        assert_eq!(Json::Argument("body".to_owned()).fill(&json!({})), Ok(None));
        assert!(text("{id}").fill(&json!({"id": {"a": 1}})).is_err());
    }
}

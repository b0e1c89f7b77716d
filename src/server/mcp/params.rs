//! The parameters of a request, taken apart in the one pass in which the message is read: each member is still text,
//! so that what is only passed on (arguments above all) is neither copied into values nor read again.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::mcp::Fault;

/// The members of `params`; none when there were no parameters. No name stands twice.
#[derive(Debug, Default)]
pub struct Params(Vec<(Box<str>, Box<RawValue>)>);

impl Params {
    /// The text of a member.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.as_ref())
    }

    /// Reads one member; `null` is none.
    ///
    /// # Errors
    /// -32602 for one of another kind, by its name.
    pub fn member<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<Option<T>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        serde_json::from_str(value.get()).map_err(|error| Fault::invalid_params(format!("`params.{name}`: {error}")))
    }

    /// Reads them as a whole.
    ///
    /// # Errors
    /// -32602 with what does not fit.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Fault> {
        let members = self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        T::deserialize(MapDeserializer::new(members))
            .map_err(|error: serde_json::Error| Fault::invalid_params(format!("`params`: {error}")))
    }

    /// From the text of an object, for tests.
    #[cfg(test)]
    pub fn of(text: &str) -> Self {
        let Written::Members(members) = serde_json::from_str(text).expect("JSON") else { panic!("no object: {text}") };
        Self::from(members)
    }
}

impl From<Members<'_>> for Params {
    fn from(members: Members<'_>) -> Self {
        Self(members.into_iter().map(|(name, value)| (name.into(), value.to_owned())).collect())
    }
}

type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// What stood under `params`.
#[derive(Default)]
pub enum Written<'a> {
    /// Nothing, or `null`.
    #[default]
    Nothing,
    /// An object.
    Members(Members<'a>),
    /// An object in which this name stands twice.
    Twice(String),
    /// Another kind of value.
    Other,
}

/// The name of a member, borrowed where it is written plainly.
#[derive(serde::Deserialize)]
pub struct Name<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Written<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Taking;

        impl<'de> Visitor<'de> for Taking {
            type Value = Written<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::with_capacity(4);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                // Sorted, as a message has room for a hundred thousand of them.
                let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
                names.sort_unstable();
                let twice = names.iter().zip(names.iter().skip(1)).find(|(one, next)| one == next);
                Ok(match twice {
                    Some((name, _)) => Written::Twice((*name).to_owned()),
                    None => Written::Members(members),
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Written::Other)
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Written::Nothing)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Written::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Written::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Written::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Written::Other)
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Written::Other)
            }
        }

        deserializer.deserialize_any(Taking)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn members_are_read_one_by_one_or_as_a_whole() {
        #[derive(Deserialize)]
        struct Whole<'a> {
            name: String,
            #[serde(borrow)]
            arguments: &'a RawValue,
            more: Option<Value>,
        }
        let params = Params::of(r#"{"name":"\u0061","arguments":{ "n":1.0 },"more":null,"_meta":{"x":[1]}}"#);
        assert_eq!(params.member::<String>("name").unwrap().as_deref(), Some("a"));
        assert_eq!(params.member::<Value>("more").unwrap(), None);
        assert_eq!(params.get("arguments").unwrap().get(), r#"{ "n":1.0 }"#, "as it was sent");
        let Whole { name, arguments, more } = params.read().unwrap();
        assert_eq!((name.as_str(), arguments.get(), more), ("a", r#"{ "n":1.0 }"#, None));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let params = Params::of(r#"{"name":7}"#);
        let said = |fault: Fault| (fault.code, fault.message);
        let (code, message) = said(params.member::<String>("name").unwrap_err());
        assert_eq!(code, -32_602);
        assert!(message.starts_with("`params.name`: invalid type: integer `7`, expected a string"), "{message}");
        let (_, message) = said(params.read::<std::collections::HashMap<String, String>>().unwrap_err());
        assert!(message.starts_with("`params`: invalid type: integer `7`"), "{message}");
        #[derive(Deserialize, Debug)]
        struct Task {
            #[serde(rename = "taskId")]
            _id: String,
        }
        let (_, message) = said(Params::default().read::<Task>().unwrap_err());
        assert_eq!(message, "`params`: missing field `taskId`");
    }

    #[test]
    fn every_kind_of_value_is_told_apart() {
        let kind = |value: Value| match serde_json::from_str(&value.to_string()).unwrap() {
            Written::Nothing => "nothing",
            Written::Members(_) => "members",
            Written::Twice(_) => "twice",
            Written::Other => "other",
        };
        assert_eq!((kind(json!(null)), kind(json!({}))), ("nothing", "members"));
        for other in [json!([1, [2]]), json!("x"), json!("\n"), json!(1), json!(-1), json!(1.5), json!(true)] {
            assert_eq!(kind(other), "other");
        }
        assert!(matches!(serde_json::from_str(r#"{"a":1,"\u0061":2}"#), Ok(Written::Twice(name)) if name == "a"));
        assert!(matches!(serde_json::from_str(r#"{"b":1,"a":1,"b":2}"#), Ok(Written::Twice(name)) if name == "b"));
        let many: Vec<_> = (0..100_000).map(|number| format!(r#""{number}":1"#)).collect();
        let many = format!("{{{}}}", many.join(","));
        assert!(matches!(serde_json::from_str(&many), Ok(Written::Members(members)) if members.len() == 100_000));
    }
}

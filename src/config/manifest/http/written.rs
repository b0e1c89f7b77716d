//! `[tool.http]` as it is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use toml::Spanned;

use super::super::written::VariableTable;
use crate::config::file::Span;
use crate::domain::tool::command::Form;
use crate::domain::tool::http::{KeyForm, Method};

/// `[tool.http]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTable {
    #[serde(default)]
    pub method: Method,
    pub url: Spanned<String>,
    #[serde(default)]
    pub slashes: Vec<Spanned<String>>,
    #[serde(default)]
    pub query: Fields,
    #[serde(default)]
    pub headers: Fields,
    pub json: Option<Spanned<Value>>,
    pub form: Option<Spanned<Fields>>,
    pub text: Option<Spanned<String>>,
    #[serde(default)]
    pub auth: OneOrMany,
    pub idempotency: Option<Spanned<KeyTable>>,
    #[serde(default)]
    pub allow: Vec<Spanned<String>>,
    pub ca: Option<Spanned<String>>,
    pub connect_timeout: Option<Spanned<Span>>,
    #[serde(default)]
    pub response: ResponseTable,
    #[serde(default)]
    pub retry: RetryTable,
}

/// Parameters or headers by name.
pub type Fields = BTreeMap<Spanned<String>, Spanned<FieldTable>>;

/// The value of a parameter or a header: a template, `{ each = "{list...}", join = "," }` or `{ deep = "{object}" }`.
#[derive(Debug)]
pub struct FieldTable {
    pub text: String,
    pub join: Option<String>,
    pub deep: bool,
}

/// `{ each = "{list...}", join = "," }` or `{ deep = "{object}" }`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct EachTable {
    each: Option<String>,
    join: Option<String>,
    deep: Option<String>,
}

/// One way to show who asks.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthTable {
    pub bearer: Option<Spanned<String>>,
    pub basic: Option<BasicTable>,
    pub header: Option<Spanned<String>>,
    pub query: Option<Spanned<String>>,
    pub cookie: Option<Spanned<String>>,
    pub path: Option<Spanned<String>>,
    pub secret: Option<Spanned<String>>,
    pub prefix: Option<Spanned<String>>,
}

/// `basic = { user = …, password = "env:NAME" }`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicTable {
    pub user: Spanned<VariableTable>,
    pub password: Spanned<String>,
}

/// One way to show who asks, or several.
#[derive(Debug, Default)]
pub struct OneOrMany(pub Vec<AuthTable>);

/// Where the key of a keyed tool goes.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyTable {
    pub header: Option<Spanned<String>>,
    pub query: Option<Spanned<String>>,
    pub member: Option<Spanned<String>>,
    #[serde(default)]
    pub form: KeyForm,
}

/// `[tool.http.response]`
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseTable {
    #[serde(default)]
    pub success: Vec<Spanned<StatusTable>>,
    #[serde(default)]
    pub not_found: Vec<Spanned<StatusTable>>,
    #[serde(default)]
    pub temporary: Vec<Spanned<StatusTable>>,
    #[serde(default)]
    pub no_effect: Vec<Spanned<StatusTable>>,
    #[serde(default)]
    pub unknown: Vec<Spanned<StatusTable>>,
    pub form: Option<Form>,
    pub output: Option<Spanned<PickTable>>,
    pub error: Option<Spanned<String>>,
}

/// A status: a number, or text such as `4xx`.
#[derive(Debug)]
pub struct StatusTable(pub String);

/// A JSON Pointer, or several by name.
#[derive(Debug)]
pub enum PickTable {
    /// One.
    One(String),
    /// Several.
    Members(BTreeMap<String, String>),
}

/// `[tool.http.retry]`
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryTable {
    pub attempts: Option<Spanned<u32>>,
    pub wait: Option<Spanned<Span>>,
}

impl<'de> Deserialize<'de> for FieldTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = FieldTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, { each = \"{list...}\", join = \",\" } or { deep = \"{object}\" }")
            }

            fn visit_str<E>(self, text: &str) -> Result<FieldTable, E> {
                Ok(FieldTable { text: text.to_owned(), join: None, deep: false })
            }

            fn visit_i64<E>(self, number: i64) -> Result<FieldTable, E> {
                Ok(FieldTable { text: number.to_string(), join: None, deep: false })
            }

            fn visit_bool<E>(self, truth: bool) -> Result<FieldTable, E> {
                Ok(FieldTable { text: truth.to_string(), join: None, deep: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldTable, A::Error> {
                match EachTable::deserialize(MapAccessDeserializer::new(map))? {
                    EachTable { each: Some(text), join: Some(join), deep: None } => {
                        Ok(FieldTable { text, join: Some(join), deep: false })
                    }
                    EachTable { each: None, join: None, deep: Some(text) } => {
                        Ok(FieldTable { text, join: None, deep: true })
                    }
                    EachTable { .. } => {
                        Err(A::Error::custom("write { each = \"{list...}\", join = \",\" } or { deep = \"{object}\" }"))
                    }
                }
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ways;
        impl<'de> Visitor<'de> for Ways {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ bearer = \"env:NAME\" } or another way to show who asks, or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany, A::Error> {
                Ok(OneOrMany(vec![AuthTable::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<OneOrMany, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(OneOrMany)
            }
        }
        deserializer.deserialize_any(Ways)
    }
}

impl<'de> Deserialize<'de> for StatusTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Status;
        impl Visitor<'_> for Status {
            type Value = StatusTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 404, \"4xx\" or \"500-504\"")
            }

            fn visit_i64<E>(self, number: i64) -> Result<StatusTable, E> {
                Ok(StatusTable(number.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<StatusTable, E> {
                Ok(StatusTable(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Status)
    }
}

impl<'de> Deserialize<'de> for PickTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Picks;
        impl<'de> Visitor<'de> for Picks {
            type Value = PickTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON Pointer such as \"/data\", or { name = \"/pointer\" }")
            }

            fn visit_str<E>(self, text: &str) -> Result<PickTable, E> {
                Ok(PickTable::One(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PickTable, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(PickTable::Members)
            }
        }
        deserializer.deserialize_any(Picks)
    }
}

//! The tables of a file of tools as they are written: every member optional but a few, every unknown one an error.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use toml::Spanned;

use super::http::written::HttpTable;
use crate::config::file::Span;
use crate::domain::tool::command::{Form, Input, SandboxLevel};
use crate::domain::tool::{EffectClass, Risk};

/// `[tool]` or `[[tool]]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolTable {
    pub name: Spanned<String>,
    pub title: Option<String>,
    pub description: Spanned<String>,
    pub enabled: Option<Spanned<bool>>,
    pub effect: Option<EffectClass>,
    pub destructive: Option<Spanned<bool>>,
    pub open_world: Option<bool>,
    pub risk: Option<Risk>,
    pub timeout: Option<Spanned<Span>>,
    pub output_limit: Option<Spanned<Size>>,
    #[serde(default)]
    pub idempotency_ignore: Vec<Spanned<String>>,
    pub dedupe_window: Option<Spanned<Span>>,
    pub probe: Option<Spanned<String>>,
    pub preview: Option<Spanned<String>>,
    pub preview_varies: Option<Spanned<bool>>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub arguments: Option<Spanned<BTreeMap<String, Spanned<ArgumentTable>>>>,
    pub input: Option<Spanned<Value>>,
    pub output: Option<Spanned<Value>>,
    #[serde(default)]
    pub example: Vec<Spanned<ExampleTable>>,
    pub command: Option<Spanned<CommandTable>>,
    pub http: Option<Spanned<HttpTable>>,
}

/// One line of `[tool.arguments]`: JSON Schema's words, each with its place.
pub type ArgumentTable = BTreeMap<Spanned<String>, Spanned<Value>>;

/// `[[tool.example]]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleTable {
    pub arguments: Value,
    pub output: Option<Value>,
}

/// `[tool.command]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandTable {
    pub program: Spanned<String>,
    #[serde(default)]
    pub arguments: Vec<Spanned<ElementTable>>,
    #[serde(default)]
    pub stdin: Input,
    #[serde(default)]
    pub output: Form,
    pub success_exit: Option<Vec<u8>>,
    #[serde(default)]
    pub no_effect_exit: Vec<u8>,
    #[serde(default)]
    pub tempfail_exit: Vec<u8>,
    pub retry: Option<Spanned<RetryTable>>,
    pub folder: Option<Spanned<String>>,
    #[serde(default)]
    pub environment: BTreeMap<Spanned<String>, Spanned<VariableTable>>,
    #[serde(default)]
    pub limits: LimitsTable,
    pub sandbox: Option<SandboxTable>,
    #[serde(default)]
    pub allow_interpreter: bool,
}

/// One element of `arguments`: text, or `{ if = "name", then = […] }`.
#[derive(Debug)]
pub enum ElementTable {
    /// A template.
    Text(String),
    /// Elements for when an argument is given.
    When(WhenTable),
}

/// `{ if = "name", then = […] }`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhenTable {
    pub r#if: Spanned<String>,
    pub then: Vec<Spanned<ElementTable>>,
}

/// One variable: text, or `{ secret = "env:NAME" }`, perhaps with `as = "file"`.
#[derive(Debug)]
pub enum VariableTable {
    /// A template.
    Text(String),
    /// A reference.
    Secret(SecretTable),
}

/// `{ secret = "env:NAME", as = "file" }`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretTable {
    pub secret: Spanned<String>,
    #[serde(default)]
    pub r#as: SecretAs,
}

/// How a program is given a secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretAs {
    /// The variable holds it.
    #[default]
    Value,
    /// The variable holds the path of a file that holds it.
    File,
}

/// `retry = { attempts = 3, wait = "250ms" }`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryTable {
    pub attempts: Option<u32>,
    pub wait: Option<Span>,
}

/// `[tool.command.limits]`
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsTable {
    pub grace: Option<Span>,
    pub memory: Option<Size>,
    pub file_size: Option<Size>,
    pub files: Option<u64>,
    pub processes: Option<u64>,
    pub cpu: Option<Span>,
}

/// `[tool.command.sandbox]`
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxTable {
    pub level: Option<SandboxLevel>,
    #[serde(default)]
    pub read: Vec<Spanned<String>>,
    #[serde(default)]
    pub write: Vec<Spanned<String>>,
    #[serde(default)]
    pub network: Vec<u16>,
    #[serde(default)]
    pub best_effort: bool,
}

/// `[upstream]` or `[[upstream]]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTable {
    pub name: Spanned<String>,
    pub enabled: Option<Spanned<bool>>,
    pub command: Option<Spanned<Vec<Spanned<String>>>>,
    pub folder: Option<Spanned<String>>,
    #[serde(default)]
    pub environment: BTreeMap<Spanned<String>, Spanned<VariableTable>>,
    pub url: Option<Spanned<String>>,
    pub auth: Option<Spanned<AuthTable>>,
    #[serde(default)]
    pub headers: BTreeMap<Spanned<String>, Spanned<VariableTable>>,
    #[serde(default)]
    pub allow: Vec<Spanned<String>>,
    pub timeout: Option<Spanned<Span>>,
    pub start_timeout: Option<Spanned<Span>>,
    pub output_limit: Option<Spanned<Size>>,
    pub concurrency: Option<Spanned<i64>>,
    #[serde(default)]
    pub include: Vec<String>,
    #[serde(default)]
    pub exclude: Vec<String>,
    #[serde(default)]
    pub tools: BTreeMap<Spanned<String>, Spanned<DeclaredTable>>,
}

/// `auth = { bearer = "env:NAME" }`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthTable {
    pub bearer: Spanned<String>,
}

/// `[upstream.tools.NAME]`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredTable {
    pub effect: Option<EffectClass>,
    pub destructive: Option<Spanned<bool>>,
    pub open_world: Option<bool>,
    pub risk: Option<Risk>,
    pub timeout: Option<Spanned<Span>>,
    pub output_limit: Option<Spanned<Size>>,
    #[serde(default)]
    pub idempotency_ignore: Vec<Spanned<String>>,
    pub dedupe_window: Option<Spanned<Span>>,
    pub probe: Option<Spanned<String>>,
    pub preview: Option<Spanned<String>>,
    pub preview_varies: Option<Spanned<bool>>,
    #[serde(default)]
    pub tags: Vec<String>,
}

/// A number of bytes: a whole number, or text such as `512 KiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;
        impl Visitor<'_> for Sizes {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes such as 4096 or \"512 KiB\"")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Size, E> {
                u64::try_from(number).map(Size).map_err(|_| E::custom("it must not be negative"))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
                let digits = text.trim_end_matches(|sign: char| !sign.is_ascii_digit());
                let unit = text.get(digits.len()..).unwrap_or_default().trim();
                let factor = match unit {
                    "" | "B" => Some(1),
                    "KiB" => Some(1 << 10),
                    "MiB" => Some(1 << 20),
                    "GiB" => Some(1 << 30),
                    "kB" | "KB" => Some(1_000),
                    "MB" => Some(1_000_000),
                    "GB" => Some(1_000_000_000),
                    _ => None,
                };
                let number: Option<u64> = digits.trim().parse().ok();
                let size = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
                size.map(Size).ok_or_else(|| E::custom(format!("`{text}` is not a number of bytes such as 512 KiB")))
            }
        }
        deserializer.deserialize_any(Sizes)
    }
}

impl<'de> Deserialize<'de> for ElementTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = ElementTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, or { if = \"argument\", then = [\"--flag\", \"{argument}\"] }")
            }

            fn visit_str<E>(self, text: &str) -> Result<ElementTable, E> {
                Ok(ElementTable::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ElementTable, A::Error> {
                WhenTable::deserialize(MapAccessDeserializer::new(map)).map(ElementTable::When)
            }
        }
        deserializer.deserialize_any(Elements)
    }
}

impl<'de> Deserialize<'de> for VariableTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Variables;
        impl<'de> Visitor<'de> for Variables {
            type Value = VariableTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, or { secret = \"env:NAME\" }")
            }

            fn visit_str<E>(self, text: &str) -> Result<VariableTable, E> {
                Ok(VariableTable::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<VariableTable, A::Error> {
                SecretTable::deserialize(MapAccessDeserializer::new(map)).map(VariableTable::Secret)
            }
        }
        deserializer.deserialize_any(Variables)
    }
}

//! Tools: described operations, and the catalog that holds them. What a tool does to the world is
//! declared by the operator, and everything a person approves is part of its digest.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::digest::Digest;
use super::id::ToolName;
use super::json::Canonical;

pub mod action;
pub mod command;
pub mod http;
pub mod path;
pub mod template;
pub mod upstream;

pub use action::{Action, ToolKind};

/// The names of the tools that are built in; nobody else's tool may have one.
pub const BUILT_IN: [&str; 5] =
    ["create_ticket", "get_incident_impact", "search_customer", "send_message", "update_customer_status"];

/// What running a tool a second time would do. Ordered from harmless to harmful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EffectClass {
    /// No effect at all.
    ReadOnly,
    /// Again is harmless.
    Idempotent,
    /// The other side removes duplicates by a key we send.
    Keyed,
    /// Again may harm.
    Once,
}

impl EffectClass {
    /// The word used in manifests, policies and listings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ReadOnly => "readonly",
            Self::Idempotent => "idempotent",
            Self::Keyed => "keyed",
            Self::Once => "once",
        }
    }

    /// What an approver reads.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::ReadOnly => "changes nothing",
            Self::Idempotent => "changes something; doing it again is harmless",
            Self::Keyed => "changes something; the other side ignores a repeat",
            Self::Once => "changes something and must happen only once",
        }
    }
}

impl fmt::Display for EffectClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How much harm a call could do, as the operator judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much: the shipped policy asks a person first.
    High,
}

impl Risk {
    /// The word used in manifests, policies and listings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A described operation.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Its name, unique in the catalog.
    pub name: ToolName,
    /// A short title for people.
    pub title: String,
    /// What it does, for people and models.
    pub description: String,
    /// What runs it.
    pub action: Action,
    /// What running it again would do.
    pub effect: EffectClass,
    /// It may destroy something.
    pub destructive: bool,
    /// It reaches beyond this machine.
    pub open_world: bool,
    /// How much harm a call could do.
    pub risk: Risk,
    /// JSON Schema (2020-12) of the arguments; the top is an object.
    pub input_schema: Value,
    /// JSON Schema (2020-12) of the output.
    pub output_schema: Value,
    /// A boolean argument by which the caller asks to approve its own call; heeded only for principals
    /// that may.
    pub confirm_argument: Option<String>,
    /// JSON Pointers of arguments that do not count when two requests are compared.
    pub idempotency_ignore: Vec<String>,
    /// One example of arguments.
    pub example: Option<Value>,
    /// How long one run may take.
    pub timeout: Duration,
    /// The longest output kept, in bytes.
    pub output_limit: usize,
    /// What else an operator declared.
    pub extras: Extras,
}

/// What only some tools have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// How long the other side remembers the key of a [keyed](EffectClass::Keyed) tool.
    pub dedupe_window: Option<Duration>,
    /// A read-only tool that says whether a call in doubt happened.
    pub probe: Option<ToolName>,
    /// A read-only tool that shows what a call would do.
    pub preview: Option<ToolName>,
    /// What the preview says changes by itself, so an approved call is not stale when it says something else.
    pub preview_varies: bool,
    /// Words to find it by.
    pub tags: Vec<String>,
}

impl Tool {
    /// The digest of everything that was declared: an approval is for one definition.
    pub fn digest(&self) -> Digest {
        let mut declared = json!({
            "confirm_argument": self.confirm_argument,
            "description": self.description,
            "destructive": self.destructive,
            "effect": self.effect.word(),
            "idempotency_ignore": self.idempotency_ignore,
            "input_schema": self.input_schema,
            "kind": self.kind().word(),
            "name": self.name.as_str(),
            "open_world": self.open_world,
            "output_limit": self.output_limit,
            "output_schema": self.output_schema,
            "risk": self.risk.word(),
            "timeout_ms": u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
            "title": self.title,
        });
        // What a tool does not have is not there, so that the digests of older definitions stay what they were.
        let Extras { dedupe_window, probe, preview, preview_varies, tags } = &self.extras;
        let extra = [
            ("action", self.action.declared()),
            (
                "dedupe_window_ms",
                dedupe_window.map(|window| json!(u64::try_from(window.as_millis()).unwrap_or(u64::MAX))),
            ),
            ("preview", preview.as_ref().map(|name| json!(name.as_str()))),
            ("preview_varies", preview_varies.then_some(json!(true))),
            ("probe", probe.as_ref().map(|name| json!(name.as_str()))),
            ("tags", (!tags.is_empty()).then(|| json!(tags))),
        ];
        if let Value::Object(members) = &mut declared {
            members.extend(extra.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        Digest::of("toolctl/tool/v1", &[Canonical::of(&declared).as_str().as_bytes()])
    }

    /// The kind of what runs it.
    pub const fn kind(&self) -> ToolKind {
        self.action.kind()
    }

    /// Whether it has no effect.
    pub fn is_read_only(&self) -> bool {
        self.effect == EffectClass::ReadOnly
    }

    /// Whether its output is the `content` of MCP, which such clients are given as it came.
    pub fn answers_content(&self) -> bool {
        match &self.action {
            Action::Upstream(upstream) => !upstream.structured,
            Action::Desk | Action::Command(_) | Action::Http(_) => false,
        }
    }

    /// Whether its effect lives in our own store and so shares the transaction of its record.
    pub fn runs_in_store(&self) -> bool {
        match self.kind() {
            ToolKind::Desk => !self.is_read_only(),
            ToolKind::Command | ToolKind::Http | ToolKind::Upstream => false,
        }
    }
}

/// A tool with what is derived from it once: its digest.
#[derive(Debug)]
pub struct Registered {
    /// The definition.
    pub tool: Tool,
    /// [`Tool::digest`], computed once.
    pub digest: Digest,
}

impl Registered {
    /// Computes the digest.
    pub fn new(tool: Tool) -> Self {
        Self { digest: tool.digest(), tool }
    }
}

impl std::ops::Deref for Registered {
    type Target = Tool;

    fn deref(&self) -> &Tool {
        &self.tool
    }
}

/// Every tool by name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    tools: BTreeMap<ToolName, Arc<Registered>>,
}

/// Names that start so are for tools of toolctl itself, which are in no catalog.
pub const RESERVED: &str = "toolctl_";

/// Tools that make no catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCatalog {
    /// Two tools of one name.
    #[error("two tools are named `{0}`")]
    Duplicate(ToolName),
    /// A name that is toolctl's own.
    #[error("the tool `{0}` needs another name: those that start with `{RESERVED}` are toolctl's own")]
    Reserved(ToolName),
}

impl Catalog {
    /// Collects tools.
    ///
    /// # Errors
    /// Names the tool that is defined twice, or whose name is reserved.
    pub fn new(tools: impl IntoIterator<Item = Tool>) -> Result<Self, BadCatalog> {
        Self::of(tools.into_iter().map(|tool| Arc::new(Registered::new(tool))))
    }

    /// Collects tools whose digests are known; they are shared and not copied.
    ///
    /// # Errors
    /// As [`Catalog::new`].
    pub fn of(tools: impl IntoIterator<Item = Arc<Registered>>) -> Result<Self, BadCatalog> {
        let mut catalog = Self::default();
        for tool in tools {
            let name = tool.name.clone();
            if name.as_str().starts_with(RESERVED) {
                return Err(BadCatalog::Reserved(name));
            }
            if catalog.tools.insert(name.clone(), tool).is_some() {
                return Err(BadCatalog::Duplicate(name));
            }
        }
        Ok(catalog)
    }

    /// The tool of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Registered>> {
        self.tools.get(name)
    }

    /// All tools in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Registered>> {
        self.tools.values()
    }

    /// How many tools there are.
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// Whether there is no tool.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// One digest over all definitions: clients cache listings by it.
    pub fn digest(&self) -> Digest {
        let parts: Vec<&[u8]> = self.tools.values().map(|tool| tool.digest.0.as_slice()).collect();
        Digest::of("toolctl/catalog/v1", &parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Tool {
        Tool {
            name: name.parse().unwrap(),
            title: "T".to_owned(),
            description: "d".to_owned(),
            action: Action::Desk,
            extras: Extras::default(),
            effect: EffectClass::Once,
            destructive: true,
            open_world: true,
            risk: Risk::High,
            input_schema: json!({"type": "object"}),
            output_schema: json!({}),
            confirm_argument: None,
            idempotency_ignore: Vec::new(),
            example: None,
            timeout: Duration::from_secs(1),
            output_limit: 1,
        }
    }

    #[test]
    fn a_catalog_has_each_name_once_and_none_of_ours() {
        let refusal = |names: [&str; 2]| Catalog::new(names.map(named)).map(drop).map_err(|error| error.to_string());
        assert_eq!(refusal(["a", "toolctl"]), Ok(()));
        assert_eq!(refusal(["a", "a"]), Err("two tools are named `a`".to_owned()));
        assert_eq!(
            refusal(["a", "toolctl_wait"]),
            Err("the tool `toolctl_wait` needs another name: those that start with `toolctl_` are toolctl's own"
                .to_owned())
        );
    }
}

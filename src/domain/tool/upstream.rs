//! MCP servers of others as tools. What their tools are is what a person agreed to, byte for byte, and what they do to
//! the world is what the operator declares; what a server says of itself can only make its tools be treated more
//! strictly.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::command::{Pinned, SecretRef};
use super::http::{self, Origin};
use super::{Action, EffectClass, Extras, Risk, Tool};
use crate::domain::digest::Digest;
use crate::domain::id::{ServerName, ToolName};
use crate::domain::json::Canonical;
use crate::domain::principal::glob_matches;

/// The most bytes of one definition.
const LONGEST_DEFINITION: usize = 256 << 10;

/// One server, as its operator declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its name; those of its tools begin with it.
    pub name: ServerName,
    /// How it is reached.
    pub reach: Reach,
    /// How long one call may take, where a tool does not say.
    pub timeout: Duration,
    /// How long it may take to be there after it was started or connected to.
    pub start_timeout: Duration,
    /// The longest output kept, in bytes, where a tool does not say.
    pub output_limit: usize,
    /// Calls that it is asked at the same time; more wait.
    pub concurrency: usize,
    /// Only tools whose names match one of these; all, when there is none.
    pub include: Vec<String>,
    /// Not the tools whose names match one of these.
    pub exclude: Vec<String>,
    /// What the operator says of single tools, by their names at the server.
    pub declared: BTreeMap<String, Declared>,
}

/// How a server is reached. It is part of the definition of each of its tools: who approves a call approves this too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// A program of this machine, by its stdin and stdout.
    Program(ProgramReach),
    /// Streamable HTTP.
    Web(WebReach),
}

/// A program that is a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgramReach {
    /// The program.
    pub program: Pinned,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The folder it runs in; none means the daemon user's home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Variables beside those that every server gets.
    pub environment: BTreeMap<String, Given>,
}

/// A server at a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebReach {
    /// Where.
    pub origin: Origin,
    /// Its path there, with its query if it has one.
    pub path: String,
    /// Headers of each request.
    pub headers: BTreeMap<String, Given>,
    /// The bearer token of each request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer: Option<SecretRef>,
    /// What a connection may lead to.
    pub reach: http::Reach,
}

impl WebReach {
    /// The server at `url`, which may not be at a private address.
    ///
    /// # Errors
    /// Says why that is no URL of a server.
    pub fn at(url: &str) -> Result<Self, String> {
        let (origin, rest) = Origin::split(url).map_err(|error| error.to_string())?;
        let fits = rest.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && !b"#\\".contains(&byte));
        if !fits {
            return Err("its path has characters that must be percent-encoded, or a `#`".to_owned());
        }
        let path = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        let (headers, reach) = (BTreeMap::new(), http::Reach::default());
        Ok(Self { origin, path, headers, bearer: None, reach })
    }
}

/// The value of a variable or header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Given {
    /// Text as it stands.
    Text(String),
    /// A secret, by where it is.
    Secret(SecretRef),
}

impl Reach {
    /// Where it is, for people: each argument of a program by itself, or the URL.
    pub fn place(&self) -> Vec<String> {
        match self {
            Self::Program(program) => {
                let path = program.program.path.display().to_string();
                std::iter::once(path).chain(program.arguments.iter().cloned()).collect()
            }
            Self::Web(web) => vec![format!("{}{}", web.origin, web.path)],
        }
    }
}

/// What an operator says of one tool. What is left out is taken for the worst.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Declared {
    /// What running it again would do.
    pub effect: Option<EffectClass>,
    /// It may destroy something.
    pub destructive: Option<bool>,
    /// It reaches beyond this machine.
    pub open_world: Option<bool>,
    /// How much harm a call could do.
    pub risk: Option<Risk>,
    /// How long one call may take.
    pub timeout: Option<Duration>,
    /// The longest output kept, in bytes.
    pub output_limit: Option<usize>,
    /// JSON Pointers of arguments that do not count when two requests are compared.
    pub idempotency_ignore: Vec<String>,
    /// The rest.
    pub extras: Extras,
}

/// The definition of a tool as a server gave it. Two are the same when their digests are: names, descriptions,
/// schemas, hints, everything but `_meta`, which nobody is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The tool's name at the server.
    pub name: String,
    /// SHA-256 over [`Definition::text`].
    pub digest: Digest,
    /// The whole definition, canonical.
    pub text: Canonical,
}

impl Definition {
    /// Takes what a server listed.
    ///
    /// # Errors
    /// Says why it is no definition.
    pub fn of(listed: &Value) -> Result<Self, String> {
        let mut members = listed.as_object().ok_or("a tool that is no object")?.clone();
        members.remove("_meta");
        let name = members.get("name").and_then(Value::as_str).ok_or("a tool without a name")?.to_owned();
        let text = Canonical::of(&Value::Object(members));
        if text.as_str().len() > LONGEST_DEFINITION {
            let shown: String = name.chars().take(80).collect();
            return Err(format!("the definition of `{shown}` has more than {LONGEST_DEFINITION} bytes"));
        }
        let digest = Digest::of("toolctl/pin/v1", &[text.as_str().as_bytes()]);
        Ok(Self { name, digest, text })
    }
}

/// Why a tool of a server is not in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quarantine {
    /// Nobody has agreed to it yet.
    New,
    /// It is not what somebody agreed to.
    Changed,
    /// The server does not list it any more.
    Gone,
    /// It cannot be used at all.
    Unusable(String),
}

impl Quarantine {
    /// The word in listings.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Gone => "gone",
            Self::Unusable(_) => "unusable",
        }
    }

    /// Why nothing runs, of the tool `name`; and what to do about it.
    pub fn told(&self, name: &str) -> (String, String) {
        let look = format!("an administrator can look at it and agree: toolctl tools trust {name}");
        match self {
            Self::New => (format!("`{name}` is quarantined: nobody has agreed to it yet"), look),
            Self::Changed => (format!("`{name}` is quarantined: it is not what somebody agreed to"), look),
            Self::Gone => (
                format!("`{name}` is gone: its server does not list it any more"),
                "`toolctl tools list` shows the tools you may use".to_owned(),
            ),
            Self::Unusable(why) => (
                format!("`{name}` cannot be used: {why}"),
                "whoever keeps its server can mend the definition".to_owned(),
            ),
        }
    }
}

/// What calls a tool of a server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UpstreamAction {
    /// The server.
    pub server: ServerName,
    /// The tool's name there.
    pub tool: String,
    /// How the server is reached.
    pub reach: Reach,
    /// The definition somebody agreed to.
    pub definition: Digest,
    /// It declares the schema of its output: `structuredContent` is the output. Otherwise that is `content`.
    pub structured: bool,
}

impl UpstreamAction {
    /// What exactly is asked of whom, for people.
    pub fn runs(&self) -> Vec<String> {
        let mut all = self.reach.place();
        all.extend(["tools/call".to_owned(), self.tool.clone()]);
        all
    }
}

impl Upstream {
    /// Whether the operator wants the tool of this name.
    pub fn wants(&self, tool: &str) -> bool {
        let is_in = |globs: &[String]| globs.iter().any(|glob| glob_matches(glob, tool));
        (self.include.is_empty() || is_in(&self.include)) && !is_in(&self.exclude)
    }

    /// The name in the catalog of its tool `tool`.
    ///
    /// # Errors
    /// When that is no name.
    pub fn name_of(&self, tool: &str) -> Result<ToolName, String> {
        let name = format!("{}.{tool}", self.name);
        name.parse().map_err(|error: crate::domain::id::BadId| error.to_string())
    }

    /// The tool that `definition` and the operator's word make.
    ///
    /// # Errors
    /// Says why it cannot be used.
    pub fn tool(&self, definition: &Definition) -> Result<Tool, String> {
        let listed = definition.text.value();
        let text = |name: &str| listed.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let hint = |name: &str| listed.get("annotations").and_then(|hints| hints.get(name));
        let title = Some(text("title")).filter(|title| !title.is_empty());
        let title = title.or_else(|| hint("title").and_then(Value::as_str).map(ToOwned::to_owned)).unwrap_or_default();
        let input_schema = listed.get("inputSchema").cloned().ok_or("it has no schema of its arguments")?;
        if input_schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err("the schema of its arguments is none of an object".to_owned());
        }
        let output_schema = listed.get("outputSchema").filter(|schema| schema.is_object()).cloned();
        let structured = output_schema.is_some();
        let none = Declared::default();
        let declared = self.declared.get(&definition.name).unwrap_or(&none);
        let effect = declared.effect.unwrap_or(EffectClass::Once);
        let reads = effect == EffectClass::ReadOnly;
        // A hint counts over an operator's silence, and only towards the stricter side.
        let warns = hint("destructiveHint").and_then(Value::as_bool) == Some(true);
        let destructive = declared.destructive.unwrap_or(!reads || warns);
        Ok(Tool {
            name: self.name_of(&definition.name)?,
            title,
            description: text("description"),
            action: Action::Upstream(Box::new(UpstreamAction {
                server: self.name.clone(),
                tool: definition.name.clone(),
                reach: self.reach.clone(),
                definition: definition.digest,
                structured,
            })),
            effect,
            destructive,
            open_world: declared.open_world.unwrap_or(true),
            risk: declared.risk.unwrap_or(match (reads, destructive) {
                (true, false) => Risk::Low,
                (false, false) => Risk::Medium,
                (_, true) => Risk::High,
            }),
            input_schema,
            output_schema: output_schema.unwrap_or_else(content_schema),
            confirm_argument: None,
            idempotency_ignore: declared.idempotency_ignore.clone(),
            example: None,
            timeout: declared.timeout.unwrap_or(self.timeout),
            output_limit: declared.output_limit.unwrap_or(self.output_limit),
            extras: declared.extras.clone(),
        })
    }
}

/// The output of a tool that declares none.
fn content_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "content": {"type": "array", "items": {"type": "object"}, "description": "Blocks of MCP content."},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(declared: Declared) -> Upstream {
        Upstream {
            name: "files".parse().unwrap(),
            reach: Reach::Web(WebReach::at("https://mcp.example").unwrap()),
            timeout: Duration::from_secs(30),
            start_timeout: Duration::from_secs(60),
            output_limit: 1 << 20,
            concurrency: 8,
            include: Vec::new(),
            exclude: Vec::new(),
            declared: [("read".to_owned(), declared)].into(),
        }
    }

    fn definition(more: Value) -> Definition {
        let mut listed = json!({"name": "read", "inputSchema": {"type": "object"}});
        listed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Definition::of(&listed).unwrap()
    }

    #[test]
    fn what_a_server_says_of_itself_only_makes_a_tool_stricter() {
        let kind = |declared: Declared, hints: Value| {
            let tool = upstream(declared).tool(&definition(json!({"annotations": hints}))).unwrap();
            (tool.effect, tool.destructive, tool.open_world, tool.risk)
        };
        let harmless = json!({"readOnlyHint": true, "destructiveHint": false, "openWorldHint": false});
        let worst = (EffectClass::Once, true, true, Risk::High);
        assert_eq!(kind(Declared::default(), harmless.clone()), worst);
        let reads = Declared { effect: Some(EffectClass::ReadOnly), ..Declared::default() };
        assert_eq!(kind(reads.clone(), json!({})), (EffectClass::ReadOnly, false, true, Risk::Low));
        assert_eq!(
            kind(reads.clone(), json!({"destructiveHint": true})),
            (EffectClass::ReadOnly, true, true, Risk::High),
            "the operator was silent about it, the server was not"
        );
        let said = Declared { destructive: Some(false), open_world: Some(false), ..reads };
        assert_eq!(kind(said, json!({"destructiveHint": true})), (EffectClass::ReadOnly, false, false, Risk::Low));
    }

    #[test]
    fn every_member_of_a_definition_counts_but_what_nobody_is_shown() {
        let plain = definition(json!({"description": "Reads."}));
        for change in [
            json!({"description": "Reads. "}),
            json!({"description": "Reads.", "title": "R"}),
            json!({"description": "Reads.", "annotations": {"readOnlyHint": true}}),
            json!({"description": "Reads.", "inputSchema": {"type": "object", "properties": {"x": {}}}}),
            json!({"description": "Reads.", "outputSchema": {"type": "object"}}),
            json!({"description": "Reads.", "execution": {"taskSupport": "optional"}}),
        ] {
            assert_ne!(definition(change.clone()).digest, plain.digest, "{change}");
        }
        assert_eq!(definition(json!({"description": "Reads.", "_meta": {"at": 1}})).digest, plain.digest);
    }

    #[test]
    fn another_definition_or_another_server_is_another_tool() {
        let (one, plain) = (upstream(Declared::default()), definition(json!({})));
        let digest = |upstream: &Upstream, definition: &Definition| upstream.tool(definition).unwrap().digest();
        let mut moved = one.clone();
        if let Reach::Web(web) = &mut moved.reach {
            web.path.push('2');
        }
        assert_ne!(digest(&one, &plain), digest(&moved, &plain));
        assert_ne!(digest(&one, &plain), digest(&one, &definition(json!({"description": "x"}))));
    }

    #[test]
    fn a_definition_that_cannot_be_used_says_why() {
        let refused = |listed: Value| {
            let definition = Definition::of(&listed)?;
            upstream(Declared::default()).tool(&definition).map(drop)
        };
        let why = |listed: Value| refused(listed).unwrap_err();
        assert_eq!(why(json!(1)), "a tool that is no object");
        assert_eq!(why(json!({"title": "x"})), "a tool without a name");
        assert_eq!(why(json!({"name": "x"})), "it has no schema of its arguments");
        assert_eq!(why(json!({"name": "x", "inputSchema": true})), "the schema of its arguments is none of an object");
        assert!(why(json!({"name": "a b", "inputSchema": {"type": "object"}})).contains("a tool name"));
        assert!(why(json!({"name": "x", "description": "x".repeat(300_000)})).contains("more than 262144 bytes"));
    }

    #[test]
    fn globs_say_which_tools_are_wanted() {
        let mut upstream = upstream(Declared::default());
        assert!(upstream.wants("anything"));
        upstream.include = vec!["read_*".to_owned(), "list".to_owned()];
        upstream.exclude = vec!["*_secret".to_owned()];
        let wanted = ["read_file", "list", "write_file", "read_secret"].map(|name| upstream.wants(name));
        assert_eq!(wanted, [true, true, false, false]);
    }
}

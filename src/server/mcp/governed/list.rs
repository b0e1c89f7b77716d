//! `tools/list`: what policy lets this caller call, in the words of its revision.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::api::mcp::{Fault, Version, meta};
use crate::api::tools::Standing;
use crate::domain::denial::Code;
use crate::domain::digest::Digest;
use crate::domain::principal::Principal;
use crate::domain::tool::{EffectClass, Registered};
use crate::pipeline::port::{Presented, Wait};
use crate::pipeline::rulebook::Rulebook;
use crate::pipeline::{Pipeline, ToolView};

use super::super::exchange::Exchange;
use super::super::message::Request;
use super::super::service::{Body, Change, Changes};
use super::result::tells_output_schema;
use super::{Governed, carrier, fault};

/// Tools on a page: nearly everybody gets all at once.
const PAGE: usize = 500;
/// For how long a list may be kept, in milliseconds.
const TTL_MS: u64 = 60_000;
/// The label of cursors under our seal.
const CURSOR: &str = "tools/list";

/// What a model reads about the argument that is offered to it.
const KEY_HELP: &str = "Optional. Names this one intent so that it cannot happen twice: choose a new value (a UUID, \
    say) for each new intent, and when you retry the same call after an error, a time-out or a lost answer, send the \
    same value again. It is not passed on to the tool.";

impl Governed {
    /// Answers `tools/list`.
    pub(super) async fn list(&self, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        let after = self.cursor(request)?;
        let views = self.pipeline.tools(exchange.presented.clone()).await.result.map_err(|no| fault(&no))?;
        let texts = self.listing.of(&self.pipeline.rules());
        let mut tools: BTreeMap<&str, String> = BTreeMap::new();
        for view in &views {
            let name = view.tool.name.as_str();
            if after.as_deref().is_none_or(|after| name > after) {
                tools.insert(name, texts.tool(view, exchange.version));
            }
        }
        let next = tools.keys().nth(PAGE - 1).filter(|_| tools.len() > PAGE);
        let next = next.map(|last| format!(r#","nextCursor":"{}""#, self.seal.close(CURSOR, last)));
        let page: Vec<String> = tools.into_values().take(PAGE).collect();
        let members = format!(r#""tools":[{}]{}"#, page.join(","), next.unwrap_or_default());
        Ok(Body::written(members).ttl_ms(TTL_MS))
    }

    /// The name after which the page starts; none for the first.
    fn cursor(&self, request: &Request) -> Result<Option<String>, Fault> {
        #[derive(Deserialize)]
        struct Params {
            cursor: Option<String>,
        }
        let text = request.params.as_ref().map_or("{}", |params| params.get());
        let Params { cursor } =
            serde_json::from_str(text).map_err(|error| Fault::invalid_params(format!("`params`: {error}")))?;
        match cursor.as_deref() {
            None | Some("") => Ok(None),
            Some(cursor) => {
                let after = self.seal.open(CURSOR, cursor);
                after.map(Some).ok_or_else(|| Fault::invalid_params("`cursor` is not one that this server gave"))
            }
        }
    }
}

/// The written definitions of the tools in force: what does not depend on the caller, written once.
#[derive(Default)]
pub struct Listing(Mutex<Option<Arc<Texts>>>);

impl Listing {
    /// The definitions of the tools in `rules`.
    fn of(&self, rules: &Arc<Rulebook>) -> Arc<Texts> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(texts) = known.as_ref().filter(|texts| Arc::ptr_eq(&texts.rules, rules)) {
            return Arc::clone(texts);
        }
        let written = rules.catalog.iter().map(|tool| (tool.digest, Definition::of(tool))).collect();
        let texts = Arc::new(Texts { rules: Arc::clone(rules), written });
        *known = Some(Arc::clone(&texts));
        texts
    }
}

struct Texts {
    rules: Arc<Rulebook>,
    /// By the digest of the tool, which covers all that is written.
    written: HashMap<Digest, Definition>,
}

impl Texts {
    fn tool(&self, view: &ToolView, version: Version) -> String {
        match self.written.get(&view.tool.digest) {
            Some(definition) => definition.text(view, version),
            // The rules were replaced between the two looks.
            None => Definition::of(&view.tool).text(view, version),
        }
    }
}

/// One tool, in the words of each revision but for what depends on the caller; without the closing brace.
struct Definition {
    oldest: String,
    annotated: String,
    object_output: String,
    any_output: String,
}

impl Definition {
    fn of(tool: &Registered) -> Self {
        let text = |value: &str| Value::String(value.to_owned());
        let (name, title) = (text(tool.name.as_str()), text(&tool.title));
        let description = text(&tool.description);
        let input = input_schema(tool);
        let oldest = format!(r#"{{"name":{name},"description":{description},"inputSchema":{input}"#);
        let annotations = annotations(tool);
        let annotated = format!(r#"{oldest},"annotations":{annotations}"#);
        let titled = format!(
            r#"{{"name":{name},"title":{title},"description":{description},"inputSchema":{input},"annotations":{annotations}"#
        );
        let with_output = |version| {
            if tells_output_schema(version, tool) {
                format!(r#"{titled},"outputSchema":{}"#, tool.output_schema)
            } else {
                titled.clone()
            }
        };
        Self {
            object_output: with_output(Version::NEWEST_LEGACY),
            any_output: with_output(Version::V2026_07_28),
            oldest,
            annotated,
        }
    }

    fn text(&self, view: &ToolView, version: Version) -> String {
        let said = match version {
            Version::V2024_11_05 => return format!("{}}}", self.oldest),
            Version::V2025_03_26 => return format!("{}}}", self.annotated),
            Version::V2025_06_18 | Version::V2025_11_25 => &self.object_output,
            Version::V2026_07_28 => &self.any_output,
        };
        let execution = match version {
            Version::V2025_11_25 if may_wait(view) => r#","execution":{"taskSupport":"optional"}"#,
            _ => "",
        };
        let tool = &view.tool;
        let ours = json!({
            "effect": tool.effect,
            "risk": tool.risk,
            "standing": view.standing,
            "approvers": view.approvers,
            "digest": tool.digest.to_string(),
        });
        format!(r#"{said}{execution},"_meta":{{"{}":{ours}}}}}"#, meta::TOOL)
    }
}

/// Whether a call may have to wait for people.
pub fn may_wait(view: &ToolView) -> bool {
    match view.standing {
        Standing::NeedsApproval | Standing::Depends => true,
        Standing::Allowed | Standing::Denied => false,
    }
}

/// The schema of the arguments, and the offered key where there is one.
fn input_schema(tool: &Registered) -> Value {
    let mut schema = tool.input_schema.clone();
    if carrier::is_offered(tool)
        && let Some(members) = schema.as_object_mut()
    {
        let properties = members.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        if let Some(properties) = properties.as_object_mut() {
            let offered = json!({ "type": "string", "minLength": 1, "maxLength": 255, "description": KEY_HELP });
            properties.insert(carrier::ARGUMENT.to_owned(), offered);
        }
    }
    schema
}

/// The hints of the protocol, true to what the operator declared.
fn annotations(tool: &Registered) -> Value {
    let again_is_harmless = match tool.effect {
        EffectClass::ReadOnly | EffectClass::Idempotent => true,
        // The other side removes duplicates of one call, not of two.
        EffectClass::Keyed | EffectClass::Once => false,
    };
    json!({
        "title": tool.title,
        "readOnlyHint": tool.is_read_only(),
        "destructiveHint": tool.destructive,
        "idempotentHint": again_is_harmless,
        "openWorldHint": tool.open_world,
    })
}

/// How often a follower looks whether its caller is still known.
const LOOK: Duration = Duration::from_secs(30);

/// Follows what one caller may see.
pub struct Follower {
    pipeline: Arc<Pipeline>,
    presented: Presented,
    edition: watch::Receiver<u64>,
    look: tokio::time::Interval,
    who: Option<Principal>,
    seen: Digest,
}

impl Follower {
    /// Follows from now on.
    pub fn new(pipeline: Arc<Pipeline>, presented: Presented) -> Self {
        // Subscribed before the first look: what changes in between is told.
        let edition = pipeline.rules_replaced();
        let who = pipeline.recognised(&presented).ok();
        let seen = pipeline.visible_tools(&presented).map_or(Digest([0; 32]), |views| seen(&views));
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { pipeline, presented, edition, look, who, seen }
    }

    async fn changed(&mut self) -> Option<Change> {
        loop {
            let replaced = tokio::select! {
                replaced = self.edition.changed() => { replaced.ok()?; true },
                _ = self.look.tick() => false,
            };
            let who = match self.pipeline.recognised(&self.presented) {
                Ok(who) => Some(who),
                Err(no) if no.code == Code::Unauthenticated => return None,
                Err(_) => continue,
            };
            // What policy says of a caller changes with the policies and with its groups and scope.
            if !replaced && who == self.who {
                continue;
            }
            self.who = who;
            let seen = seen(&self.pipeline.visible_tools(&self.presented).ok()?);
            if std::mem::replace(&mut self.seen, seen) != seen {
                return Some(Change::Tools);
            }
        }
    }
}

impl Changes for Follower {
    fn next(&mut self) -> Wait<'_, Option<Change>> {
        Box::pin(self.changed())
    }
}

/// One digest over what a caller is told of its tools.
fn seen(views: &[ToolView]) -> Digest {
    let mut parts: Vec<Vec<u8>> = Vec::with_capacity(views.len());
    for view in views {
        let said = json!([view.tool.name, view.tool.digest.to_string(), view.standing, view.approvers]);
        parts.push(said.to_string().into_bytes());
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Digest::of("toolctl/mcp/seen/v1", &parts)
}

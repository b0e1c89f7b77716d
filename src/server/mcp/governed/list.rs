//! `tools/list`: what policy lets this caller call, in the words of its revision.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::mcp::{Fault, Version, meta};
use crate::api::tools::Standing;
use crate::domain::denial::Denial;
use crate::domain::digest::Digest;
use crate::domain::id::PrincipalId;
use crate::domain::principal::Principal;
use crate::domain::tool::{EffectClass, Registered};
use crate::pipeline::ToolView;
use crate::pipeline::rulebook::Rulebook;

use super::super::exchange::Exchange;
use super::super::message::Request;
use super::super::service::{Body, MirroredParameter};
use super::result::tells_output_schema;
use super::{Governed, carrier, fault, own::Own};

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
        let principal = self.pipeline.whoami(exchange.presented.clone()).await.result.map_err(|no| fault(&no))?;
        let texts = self.listing.of(&self.pipeline.rules());
        let views = texts.views(&principal, || self.pipeline.visible_tools(&exchange.presented));
        let views = views.map_err(|no| fault(&no))?;
        let own = Own::offered(&principal, &views, &texts.rules);
        let governed = views.iter().map(|view| (view.tool.name.as_str(), Item::Governed(view)));
        let items: BTreeMap<&str, Item<'_>> =
            governed.chain(own.iter().map(|own| (own.name(), Item::Own(*own)))).collect();
        let mut rest = items.iter().filter(|(name, _)| after.as_deref().is_none_or(|after| **name > after));
        let page: Vec<_> = rest.by_ref().take(PAGE).collect();
        let last = page.last().filter(|_| rest.next().is_some());
        let next = last.map(|(last, _)| format!(r#","nextCursor":"{}""#, self.seal.close(CURSOR, last)));
        let page: Vec<String> = page
            .iter()
            .map(|(_, item)| match item {
                Item::Governed(view) => texts.tool(view, exchange.version),
                Item::Own(own) => own.text(exchange.version),
            })
            .collect();
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

/// A tool on the list.
enum Item<'a> {
    Governed(&'a ToolView),
    Own(Own),
}

/// The written definitions of the tools in force: what does not depend on the caller, written once.
#[derive(Default)]
pub struct Listing(Mutex<Option<Arc<Texts>>>);

impl Listing {
    /// The definitions of the tools in `rules`.
    pub(super) fn of(&self, rules: &Arc<Rulebook>) -> Arc<Texts> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(texts) = known.as_ref().filter(|texts| Arc::ptr_eq(&texts.rules, rules)) {
            return Arc::clone(texts);
        }
        let written = rules.catalog.iter().map(|tool| (tool.digest, Definition::of(tool))).collect();
        let texts = Arc::new(Texts { rules: Arc::clone(rules), written, callers: Mutex::default() });
        *known = Some(Arc::clone(&texts));
        texts
    }
}

/// See [`Listing`].
pub(super) struct Texts {
    rules: Arc<Rulebook>,
    /// By the digest of the tool, which covers all that is written.
    written: HashMap<Digest, Definition>,
    /// What callers see: nothing but the rules and the caller decide it.
    callers: Mutex<HashMap<PrincipalId, Known>>,
}

/// A caller and what it sees.
type Known = (Principal, Arc<Vec<ToolView>>);

/// The most callers remembered; then all are forgotten.
const MOST_CALLERS: usize = 64;

impl Texts {
    /// What a caller sees, from memory when this very caller was here before.
    fn views(
        &self,
        principal: &Principal,
        look: impl FnOnce() -> Result<Vec<ToolView>, Denial>,
    ) -> Result<Arc<Vec<ToolView>>, Denial> {
        let known = self.callers.lock().unwrap_or_else(PoisonError::into_inner).get(&principal.id).cloned();
        if let Some((_, views)) = known.filter(|(who, _)| who == principal) {
            return Ok(views);
        }
        let views = Arc::new(look()?);
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MOST_CALLERS {
            callers.clear();
        }
        callers.insert(principal.id.clone(), (principal.clone(), Arc::clone(&views)));
        Ok(views)
    }

    /// The arguments of a tool that modern callers mirror in headers.
    pub(super) fn mirrored(&self, tool: &Registered) -> Vec<MirroredParameter> {
        self.written.get(&tool.digest).map(|definition| definition.mirrored.clone()).unwrap_or_default()
    }

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
    mirrored: Vec<MirroredParameter>,
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
            mirrored: MirroredParameter::of(&tool.input_schema),
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

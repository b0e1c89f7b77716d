//! One tool as `tools/list` tells it, in the words of each revision.

use serde_json::{Map, Value, json};

use crate::api::mcp::{Version, meta};
use crate::api::tools::Standing;
use crate::domain::tool::{EffectClass, Registered};
use crate::pipeline::ToolView;

use super::super::service::MirroredParameter;
use super::carrier;
use super::result::tells_output_schema;

/// What a model reads about the argument that is offered to it.
const KEY_HELP: &str = "Optional. Names this one intent so that it cannot happen twice: choose a new value (a UUID, \
    say) for each new intent, and when you retry the same call after an error, a time-out or a lost answer, send the \
    same value again. It is not passed on to the tool.";

/// What does not depend on who asks, written once: the members of the definition.
pub struct Definition {
    name: String,
    title: String,
    /// The description and the schema of the arguments.
    plain: String,
    annotations: String,
    output: String,
    /// Legacy clients know the schema of the output.
    legacy_output: bool,
    mirrored: Vec<MirroredParameter>,
}

impl Definition {
    /// Writes the definition of `tool`.
    pub fn of(tool: &Registered) -> Self {
        let text = |value: &str| serde_json::to_string(value).unwrap_or_default();
        let output = tells_output_schema(Version::V2026_07_28, tool);
        Self {
            name: format!(r#""name":{}"#, text(tool.name.as_str())),
            title: format!(r#","title":{}"#, text(&tool.title)),
            plain: format!(r#","description":{},"inputSchema":{}"#, text(&tool.description), input_schema(tool)),
            annotations: format!(r#","annotations":{}"#, annotations(tool)),
            output: if output { format!(r#","outputSchema":{}"#, tool.output_schema) } else { String::new() },
            legacy_output: tells_output_schema(Version::NEWEST_LEGACY, tool),
            mirrored: MirroredParameter::of(&tool.input_schema),
        }
    }

    /// The arguments that modern callers mirror in headers.
    pub fn mirrored(&self) -> &[MirroredParameter] {
        &self.mirrored
    }

    /// The whole definition, for a caller to whom policy says what `view` has.
    pub fn text(&self, view: &ToolView, version: Version) -> String {
        let ours = ours(view);
        let knows_output = version == Version::V2026_07_28 || self.legacy_output;
        let parts = [
            ("{", true),
            (&self.name, true),
            (&self.title, version >= Version::V2025_06_18),
            (&self.plain, true),
            (&self.annotations, version >= Version::V2025_03_26),
            (&self.output, version >= Version::V2025_06_18 && knows_output),
            (execution(view, version), true),
            (&ours, version >= Version::V2025_06_18),
            ("}", true),
        ];
        parts.into_iter().filter(|(_, said)| *said).map(|(part, _)| part).collect()
    }
}

/// Tasks of 2025-11-25: for calls that may have to wait.
fn execution(view: &ToolView, version: Version) -> &'static str {
    match version {
        Version::V2025_11_25 if may_wait(view) => r#","execution":{"taskSupport":"optional"}"#,
        _ => "",
    }
}

/// What the operator and policy say.
fn ours(view: &ToolView) -> String {
    let tool = &view.tool;
    let said = json!({
        "effect": tool.effect,
        "risk": tool.risk,
        "standing": view.standing,
        "approvers": view.approvers,
        "digest": tool.digest.to_string(),
    });
    format!(r#","_meta":{{"{}":{said}}}"#, meta::TOOL)
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

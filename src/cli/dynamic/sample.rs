//! A tool with one property of every kind, for the tests of this folder.

use serde_json::json;

use crate::api::tools::{Standing, Tool};
use crate::domain::tool::{EffectClass, Risk};

/// The tool.
pub fn tool() -> Tool {
    Tool {
        name: "create_ticket".into(),
        title: "Create ticket".into(),
        description: "Open a support ticket.".into(),
        source: "built in".into(),
        risk: Risk::Medium,
        effect: EffectClass::Once,
        destructive: false,
        open_world: false,
        standing: Standing::NeedsApproval,
        approvers: vec!["approvers".into()],
        input_schema: json!({
            "type": "object",
            "required": ["customer_id", "title"],
            "additionalProperties": false,
            "properties": {
                "customer_id": {"type": "integer", "minimum": 1, "description": "Whose ticket it is."},
                "title": {"type": "string", "minLength": 3},
                "priority": {"enum": ["low", "medium", "high"], "default": "medium"},
                "zip": {"type": "string"},
                "ratio": {"type": "number"},
                "notify": {"type": "boolean"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "levels": {"type": "array", "items": {"type": "integer"}},
                "address": {"$ref": "#/$defs/Address"},
                "reason": {"type": "string"},
                "maybe": {"type": ["integer", "null"]},
                "meta": {},
                "apiKey": {"type": "string", "writeOnly": true},
                "either": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]},
            },
            "$defs": {"Address": {"type": "object", "required": ["city"], "properties": {
                "city": {"type": "string"},
                "geo": {"type": "object", "properties": {
                    "lat": {"type": "number"},
                    "deep": {"type": "object", "properties": {"x": {"type": "integer"}}},
                }},
            }}},
        }),
        output_schema: json!({"type": "object", "properties": {"ticket": {"type": "object", "properties": {
            "id": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}}}}}),
        example: Some(json!({"customer_id": 1, "title": "Login broken"})),
        tags: vec!["support".into(), "desk".into()],
        timeout_ms: 30_000,
        output_limit: 1 << 20,
        probe: None,
        preview: None,
        definition: None,
        digest: "sha256:00".into(),
    }
}

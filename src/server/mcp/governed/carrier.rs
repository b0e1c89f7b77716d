//! From where a call gets its idempotency key. No revision of the protocol has a member for it, so five places
//! are looked at, in this order, and the record says which one it was:
//!
//! 1. `_meta["dev.toolctl/idempotency-key"]`, 2. `params.idempotencyKey` (SEP-3182), 3. the `Idempotency-Key`
//!    header: set by the client's author. When more than one is there they must be equal, as over REST.
//! 4. The argument `idempotency_key`: the only one a model can set in a stock client.
//! 5. An id that the client gives each call of its model, made into a key: good for a request sent twice. Last,
//!    what our own stdio bridge adds so that it can send again. Neither is used for tools that only read: for
//!    those, again is harmless, and a fresh answer is better than a kept one.

use serde_json::{Map, Value};

use crate::api::mcp::meta;
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::digest::Digest;
use crate::domain::id::IdempotencyKey;
use crate::domain::tool::Tool;

use super::super::exchange::Exchange;

/// The argument that is offered to models.
pub const ARGUMENT: &str = "idempotency_key";

/// The word for a key that our own stdio bridge added.
pub const BRIDGE: &str = "bridge";

/// A key and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The key.
    pub key: IdempotencyKey,
    /// The word for its place.
    pub from: &'static str,
}

/// Whether the argument [`ARGUMENT`] is offered for `tool`: it changes something, and its own schema takes no
/// argument of that name, so that none of the tool's own can be meant.
pub fn is_offered(tool: &Tool) -> bool {
    !tool.is_read_only() && is_closed(&tool.input_schema) && !names(&tool.input_schema)
}

/// Whether a schema refuses every argument that it does not name.
fn is_closed(schema: &Value) -> bool {
    let says_no = |word: &str| schema.get(word) == Some(&Value::Bool(false));
    if schema.get("patternProperties").is_some() {
        return false;
    }
    // `unevaluatedProperties` leaves alone what any part of the schema lets in.
    says_no("additionalProperties") || (says_no("unevaluatedProperties") && !opens(schema))
}

/// Whether any part of a schema lets in names that it does not spell out.
fn opens(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(word, value)| match word.as_str() {
            "patternProperties" => true,
            "additionalProperties" | "unevaluatedProperties" => *value != Value::Bool(false),
            _ => opens(value),
        }),
        Value::Array(items) => items.iter().any(opens),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a schema speaks of [`ARGUMENT`] anywhere, or counts or restricts the names of arguments.
fn names(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            let restricts = ["propertyNames", "maxProperties"].iter().any(|word| members.contains_key(*word));
            restricts || members.contains_key(ARGUMENT) || members.values().any(names)
        }
        Value::Array(items) => items.iter().any(names),
        Value::String(text) => text == ARGUMENT,
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Finds the key of a call. The offered argument is taken out of `arguments` in any case.
///
/// # Errors
/// `idempotency-key-invalid` for a key that is malformed, or two different ones from the client's author.
pub fn find(
    tool: Option<&Tool>,
    arguments: &mut Value,
    member: Option<&Value>,
    exchange: &Exchange,
) -> Result<Option<Carried>, Denial> {
    let argument = match (tool, arguments.as_object_mut()) {
        (Some(tool), Some(members)) if members.contains_key(ARGUMENT) && is_offered(tool) => members.remove(ARGUMENT),
        _ => None,
    };
    if let Some(carried) = authored(member, exchange)? {
        return Ok(Some(carried));
    }
    if let Some(value) = argument {
        return text("the argument `idempotency_key`", &value).map(|key| Some(Carried { key, from: "argument" }));
    }
    match tool {
        Some(tool) if !tool.is_read_only() => derived(tool, &exchange.meta),
        _ => Ok(None),
    }
}

/// What the client's author set.
fn authored(member: Option<&Value>, exchange: &Exchange) -> Result<Option<Carried>, Denial> {
    let in_meta = exchange.meta.get(meta::IDEMPOTENCY_KEY);
    let in_meta = in_meta.map(|value| text("`_meta[\"dev.toolctl/idempotency-key\"]`", value));
    let in_params = member.map(|value| text("`params.idempotencyKey`", value));
    let in_header = exchange.header_key.as_ref().map(|header| {
        IdempotencyKey::from_header(header.trim())
            .map_err(|error| refuse(format!("the `Idempotency-Key` header: {error}")))
    });
    let mut found: Option<Carried> = None;
    for (key, from) in [(in_meta, "_meta"), (in_params, "params"), (in_header, "header")] {
        let Some(key) = key.transpose()? else { continue };
        match &found {
            Some(first) if first.key != key => {
                return Err(refuse("the request has two different idempotency keys").hint("send one of them"));
            }
            Some(_) => {}
            None => found = Some(Carried { key, from }),
        }
    }
    Ok(found)
}

/// What identifies this call of the model, hashed so that no client's id can be another's key.
fn derived(tool: &Tool, said: &Map<String, Value>) -> Result<Option<Carried>, Denial> {
    let of = |name: &str| said.get(name).and_then(Value::as_str).filter(|id| !id.is_empty());
    let hashed = |from: &'static str, parts: &[&str]| {
        let mut all: Vec<&[u8]> = vec![from.as_bytes(), tool.name.as_str().as_bytes()];
        all.extend(parts.iter().map(|part| part.as_bytes()));
        let key = format!("{from}:{}", Digest::of("toolctl/mcp/derived-key/v1", &all).hex());
        key.parse().map(|key| Some(Carried { key, from })).map_err(|error| refuse(format!("{error}")))
    };
    if let Some(id) = of("claudecode/toolUseId") {
        return hashed("claudecode", &[id]);
    }
    if let (Some(call), Some(thread)) = (of("callId"), of("threadId")) {
        return hashed("codex", &[thread, call]);
    }
    match said.get(meta::BRIDGE_KEY) {
        Some(value) => {
            let key = text("`_meta[\"dev.toolctl/bridge-key\"]`", value)?;
            Ok(Some(Carried { key, from: BRIDGE }))
        }
        None => Ok(None),
    }
}

fn text(place: &str, value: &Value) -> Result<IdempotencyKey, Denial> {
    let text = value.as_str().ok_or_else(|| refuse(format!("{place} is not a string")))?;
    text.parse().map_err(|error| refuse(format!("{place}: {error}")))
}

fn refuse(detail: impl Into<String>) -> Denial {
    Denial::new(Stage::Idempotency, Code::IdempotencyKeyInvalid, detail)
}

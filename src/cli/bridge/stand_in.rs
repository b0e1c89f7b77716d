//! What the bridge says itself: the two answers that open a conversation, which are the same whether there is
//! a daemon or not, and the truth about a daemon that is not there. A model reads the text or the structure,
//! depending on its client, so that both say the same.

use serde_json::{Map, Value, json};

use crate::api::mcp::{self, Era, Fault, INSTRUCTIONS, Version, meta};

use super::trouble::Trouble;

/// The tool that is there when no other is.
pub const STATUS_TOOL: &str = "toolctl_status";

/// What became of a request that got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It never reached a daemon.
    Never,
    /// A daemon may have carried it out; the key under which it would know it again.
    Perhaps(Option<String>),
}

impl Sent {
    const fn effect(&self) -> &'static str {
        match self {
            Self::Never => "none",
            Self::Perhaps(_) => "unknown",
        }
    }
}

/// Opens a legacy conversation.
pub fn initialize(id: &str, asked: &str) -> String {
    let version = Version::negotiate(asked);
    result(id, Era::Legacy, &mcp::initialize(version, &mcp::capabilities(version), INSTRUCTIONS))
}

/// Opens a modern conversation.
pub fn discover(id: &str) -> String {
    result(id, Era::Legacy, &mcp::discover(&mcp::capabilities(Version::V2026_07_28), INSTRUCTIONS))
}

/// Answers `ping`.
pub fn pong(id: &str) -> String {
    result(id, Era::Legacy, &json!({}))
}

/// The tools there are without a daemon: one that says why there are no others.
pub fn tools(id: &str, era: Era, trouble: &Trouble) -> String {
    let tool = json!({
        "name": STATUS_TOOL,
        "title": "Why the tools are missing",
        "description": format!("{} Until then this is the only tool here.", trouble.sentences()),
        "inputSchema": { "type": "object", "additionalProperties": false },
        "annotations": {
            "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false,
        },
    });
    let mut members = json!({ "tools": [tool] });
    if let (Era::Modern, Some(members)) = (era, members.as_object_mut()) {
        members.insert("ttlMs".to_owned(), 0.into());
        members.insert("cacheScope".to_owned(), "private".into());
    }
    result(id, era, &members)
}

/// Says how the daemon is: the result of a call of [`STATUS_TOOL`].
pub fn status(id: &str, era: Era, trouble: Option<&Trouble>) -> String {
    let said = trouble.map_or_else(
        || json!({ "status": "running", "message": "The toolctl daemon is running.", "help": "List the tools again." }),
        |trouble| json!({ "status": trouble.status(), "code": trouble.code, "message": trouble.why, "help": trouble.help }),
    );
    tool_result(id, era, &said, false)
}

/// The result of a call that got no answer.
pub fn no_answer(id: &str, era: Era, trouble: &Trouble, sent: &Sent) -> String {
    let mut said = json!({
        "status": trouble.status(),
        "code": trouble.code,
        "effect": sent.effect(),
        "message": trouble.why,
        "help": trouble.help,
    });
    if let Some(members) = said.as_object_mut() {
        let (executed, help) = match sent {
            Sent::Never => (Value::Bool(false), format!("Nothing was executed. {}", trouble.help)),
            Sent::Perhaps(key) => {
                let again = match key {
                    Some(key) => {
                        members.insert("idempotency_key".to_owned(), key.as_str().into());
                        "Then send the same call with this `idempotency_key`: it will not run twice."
                    }
                    None => {
                        "Before you repeat the call, look with `toolctl_wait`, or ask the person to look at `toolctl calls list`."
                    }
                };
                (Value::Null, format!("It is not known whether it was executed. {} {again}", trouble.help))
            }
        };
        members.insert("executed".to_owned(), executed);
        members.insert("help".to_owned(), help.into());
    }
    tool_result(id, era, &said, true)
}

/// The error of any other request that got no answer.
pub fn fault(trouble: &Trouble, sent: &Sent) -> Fault {
    Fault::own(503, trouble.sentences())
        .data(json!({ "status": trouble.status(), "code": trouble.code, "effect": sent.effect() }))
}

/// Confirms `subscriptions/listen`: changes will be told once there is a daemon.
pub fn acknowledged(id: &str, tools: bool) -> String {
    let honoured = if tools { json!({ "toolsListChanged": true }) } else { json!({}) };
    let params = json!({ "notifications": honoured });
    notification("notifications/subscriptions/acknowledged", tagged(params, id))
}

/// Says that the list of tools is another one: to a legacy client, or on a modern client's subscription.
pub fn list_changed(subscription: Option<&str>) -> String {
    let params = match subscription {
        Some(id) => tagged(json!({}), id),
        None => json!({}),
    };
    notification("notifications/tools/list_changed", params)
}

/// Takes a question to the client back.
pub fn cancelled(id: &str) -> String {
    notification("notifications/cancelled", json!({ "requestId": id, "reason": "the daemon restarted" }))
}

fn tagged(mut params: Value, id: &str) -> Value {
    let id: Value = serde_json::from_str(id).unwrap_or_default();
    if let Some(members) = params.as_object_mut() {
        members.insert("_meta".to_owned(), json!({ (meta::SUBSCRIPTION): id }));
    }
    params
}

fn notification(method: &str, params: Value) -> String {
    json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()
}

/// A result of a tool, as text; as structure too for modern clients. (Old ones hold the structure of an error
/// against the tool's output schema, which this is not.)
fn tool_result(id: &str, era: Era, said: &Value, is_error: bool) -> String {
    let mut members = json!({ "content": [{ "type": "text", "text": said.to_string() }], "isError": is_error });
    if let (Era::Modern, Some(members)) = (era, members.as_object_mut()) {
        members.insert("structuredContent".to_owned(), said.clone());
    }
    result(id, era, &members)
}

fn result(id: &str, era: Era, members: &Value) -> String {
    let mut members: Map<String, Value> = members.as_object().cloned().unwrap_or_default();
    if era == Era::Modern {
        members.insert("resultType".to_owned(), "complete".into());
        members.insert("_meta".to_owned(), json!({ (meta::SERVER_INFO): mcp::server_info() }));
    }
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{}}}"#, Value::Object(members))
}

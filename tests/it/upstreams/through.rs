//! What an MCP client gets of a server behind the daemon: the same facts, in the same blocks.

use serde_json::{Value, json};

use super::fake::{self, tool};
use crate::support::{Daemon, Door};

/// A request of the modern era by the daemon's own user; its result.
fn ask(daemon: &Daemon, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    });
    let door: Door = daemon.door();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let asked = door.http("POST", "/mcp").header("Accept", "application/json, text/event-stream").json(&body);
    let asked = asked.header("MCP-Protocol-Version", "2026-07-28").header("Mcp-Method", method);
    let asked = match body["params"]["name"].as_str() {
        Some(name) => asked.header("Mcp-Name", name),
        None => asked,
    };
    asked.send().json()["result"].clone()
}

#[test]
fn content_arrives_block_for_block_and_structure_with_its_schema() {
    let schema = json!({"type": "object", "properties": {"arguments": {"type": "object"}}});
    let structured =
        json!({"name": "structured", "title": "S", "inputSchema": {"type": "object"}, "outputSchema": schema});
    let (daemon, _) = fake::daemon("legacy", "", &[tool("picture", "Draws."), structured]);
    let listed = ask(&daemon, "tools/list", json!({}));
    let tools = listed["tools"].as_array().expect("tools");
    let found = |name: &str| tools.iter().find(|tool| tool["name"] == name).cloned().unwrap_or_default();
    assert_eq!(found("fake.structured")["outputSchema"], schema);
    assert_eq!(found("fake.picture")["outputSchema"], Value::Null, "nothing is promised that nobody declared");
    assert_eq!(found("fake.picture")["annotations"]["destructiveHint"], true);

    let picture = ask(&daemon, "tools/call", json!({"name": "fake.picture", "arguments": {}}));
    let expected = json!([
        {"type": "text", "text": "a picture"}, {"type": "image", "data": "aGk=", "mimeType": "image/png"}, {"type": "of-tomorrow", "x": 1},
    ]);
    assert_eq!((&picture["content"], &picture["isError"]), (&expected, &json!(false)), "{picture}");
    assert_eq!(picture["structuredContent"], Value::Null);
    let answer = ask(&daemon, "tools/call", json!({"name": "fake.structured", "arguments": {"a": 1}}));
    assert_eq!(answer["structuredContent"], json!({"arguments": {"a": 1}}), "{answer}");
}

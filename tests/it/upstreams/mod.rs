//! MCP servers of others behind a daemon: what they list is quarantined until somebody agreed, what they do is guarded
//! and recorded like everything else, and whatever they do wrong has the outcome that the declared effect allows.

pub mod fake;
mod faults;
mod import;
mod kills;
mod lives;
mod through;
mod trust;
mod web;

use serde_json::{Value, json};

use crate::support::{Daemon, until};

/// A call by the daemon's own user, and the whole answer.
fn call(daemon: &Daemon, tool: &str, arguments: &Value) -> Value {
    daemon.http("POST", "/v1/calls").json(&json!({"tool": tool, "arguments": arguments, "wait": "30s"})).send().json()
}

/// The only server, as an administrator sees it.
fn server(daemon: &Daemon) -> Value {
    let listed = daemon.http("GET", "/v1/upstreams").send();
    listed.is(200);
    listed.json()["upstreams"][0].clone()
}

/// Waits until the server answers.
fn until_up(daemon: &Daemon) -> Value {
    until(|| Some(server(daemon)).filter(|server| server["state"] == "up"))
}

/// Each tool of the server with its state.
fn states(daemon: &Daemon) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().expect("text").to_owned();
    let server = server(daemon);
    let tools = server["tools"].as_array().expect("tools");
    tools.iter().map(|tool| (word(&tool["name"]), word(&tool["state"]))).collect()
}

/// The names of the tools in the catalog that are a server's.
fn published(daemon: &Daemon) -> Vec<String> {
    let listed = daemon.http("GET", "/v1/tools").send().json();
    let tools = listed["tools"].as_array().expect("tools").iter().filter(|tool| tool["source"] == "mcp");
    tools.map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

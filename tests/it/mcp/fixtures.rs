//! `serve --conformance-fixtures`: what the official suite is run against, and nobody else should meet.
//! `scripts/mcp-conformance` runs the suite itself.

use serde_json::{Value, json};

use super::{error, modern, request};
use crate::support::{Daemon, Door};

const FIXTURES: [&str; 3] = ["--conformance-fixtures", "--listen", "127.0.0.1:0"];

/// The fixtures, and where they said they are.
fn fixtures() -> (Daemon, Door) {
    let mut daemon = Daemon::prepared(&FIXTURES, &[]);
    let said = daemon.restart().join("\n");
    let address = said.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
    let address = address.unwrap_or_else(|| panic!("no address in:\n{said}")).parse().expect("an address");
    (daemon, Door::Tcp(address))
}

/// A modern request of a client that can show forms.
fn with_forms(door: &Door, name: &str, params: Value) -> Value {
    let mut params = params;
    params["name"] = json!(name);
    params["_meta"] = super::said(super::MODERN);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}});
    let sent = super::post(door, &request("tools/call", params)).header("MCP-Protocol-Version", super::MODERN);
    sent.header("Mcp-Method", "tools/call").header("Mcp-Name", name).send().json()
}

#[test]
fn anybody_on_this_machine_is_answered_and_nothing_is_kept() {
    let (mut daemon, door) = fixtures();
    let called = modern(&door, "tools/call", json!({"name": "test_simple_text"})).send().is(200).json();
    assert_eq!(called["result"]["content"][0]["text"], "This is a simple text response for testing.");
    assert_eq!(door.http("GET", "/health").send().is(200).json()["ok"], true);
    for path in ["/v1/status", "/v1/calls", "/tools", "/openapi.json", "/"] {
        door.http("GET", path).send().is_problem(404, "not-found");
    }
    assert_eq!(daemon.terminate(), Some(0));
    let left: Vec<_> = std::fs::read_dir(daemon.dir()).expect("its folder").collect();
    assert!(left.is_empty(), "no store, no socket, no log: {left:?}");
}

#[test]
fn pages_of_other_hosts_are_kept_out() {
    let (_daemon, door) = fixtures();
    let discover = || modern(&door, "server/discover", json!({}));
    discover().header("Origin", "http://localhost:3000").send().is(200);
    discover().header("Origin", "http://evil.example").send().is_problem(403, "not-allowed");
}

#[test]
fn they_are_served_on_loopback_alone() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8000"] {
        let (code, said) = Daemon::prepared(&["--conformance-fixtures", "--listen", address], &[]).refuses();
        let why = "the conformance fixtures have no key and are served on loopback only";
        assert!(code == 2 && said.contains(why), "{address}: {code}: {said}");
    }
    for more in
        [&[][..], &["--listen", "127.0.0.1:0", "--allow-remote"], &["--listen", "127.0.0.1:0", "--data-dir", "x"]]
    {
        let args: Vec<&str> = ["--conformance-fixtures"].iter().chain(more).copied().collect();
        let (code, said) = Daemon::prepared(&args, &[]).refuses();
        assert_eq!(code, 2, "{more:?}: {said}");
    }
}

#[test]
fn a_daemon_has_none_of_them() {
    let daemon = Daemon::start();
    let door = daemon.door();
    let listed = modern(&door, "tools/list", json!({})).send().is(200).json();
    let names: Vec<&str> =
        listed["result"]["tools"].as_array().expect("tools").iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert!(!names.is_empty() && !names.iter().any(|name| name.starts_with("test_")), "{names:?}");
    let called = modern(&door, "tools/call", json!({"name": "test_simple_text"})).send().json();
    assert!(called.get("error").is_some() || called["result"]["isError"] == true, "{called}");
    assert_eq!(error(&modern(&door, "prompts/list", json!({})).send()).0, -32_601);
    let help = daemon.cli(&["serve", "--help"]).succeeds();
    assert!(!help.contains("conformance"), "it is hidden: {help}");
}

#[test]
fn a_request_state_is_good_for_what_it_was_given_for() {
    let (_daemon, door) = fixtures();
    let (one, other) = ("test_input_required_result_request_state", "test_input_required_result_tampered_state");
    let asked = with_forms(&door, one, json!({}))["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let answer = |state: &Value| {
        let confirmed = json!({"action": "accept", "content": {"ok": true}});
        json!({"inputResponses": {"confirm": confirmed}, "requestState": state})
    };
    let state = &asked["requestState"];
    let done = with_forms(&door, one, answer(state));
    assert_eq!(done["result"]["content"][0]["text"], "state-ok: the state came back as it was", "{done}");
    assert_eq!(with_forms(&door, other, answer(state))["error"]["code"], -32_602, "another tool's");
    let changed = json!(format!("{}x", state.as_str().expect("a state")));
    assert_eq!(with_forms(&door, one, answer(&changed))["error"]["code"], -32_602, "not ours");
}

//! Files of tools in a running daemon: what is wrong keeps it from starting, or the old tools in force.

use serde_json::json;

use super::{call, daemon, put};
use crate::support::Daemon;

fn tool(name: &str, more: &str) -> String {
    format!(
        "[tool]\nname = \"{name}\"\ndescription = \"A test.\"\neffect = \"readonly\"\n{more}\n[tool.command]\nprogram = \"echo\"\narguments = [\"hello\"]\n"
    )
}

#[test]
fn a_daemon_does_not_start_with_a_wrong_file_and_says_where_it_is_wrong() {
    let daemon = Daemon::prepared(&[], &[]);
    put(&daemon, &[("a.toml", &tool("a", "efect = \"once\"")), ("b.toml", &tool("create_ticket", ""))]);
    let (code, said) = daemon.refuses();
    assert_eq!(code, 2, "{said}");
    for expected in [
        "a.toml:5:1: unknown field `efect`",
        "did you mean `effect`?",
        "b.toml:2:8: `create_ticket` is the name of a tool that is built in",
    ] {
        assert!(said.contains(expected), "`{expected}` is not in:\n{said}");
    }
}

#[test]
fn a_reload_takes_new_tools_and_keeps_the_old_ones_when_something_is_wrong() {
    let daemon = daemon(&[("a.toml", &tool("a", ""))]);
    assert_eq!(call(&daemon, "a", &json!({}))["output"], json!({"text": "hello\n"}));
    put(&daemon, &[("b.toml", &tool("b", ""))]);
    daemon.cli(&["reload"]).exits(0);
    assert_eq!(call(&daemon, "b", &json!({}))["output"], json!({"text": "hello\n"}));
    put(&daemon, &[("a.toml", "[tool]\n")]);
    let refused = daemon.cli(&["reload"]).ends();
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("a.toml:1:1: missing field `name`"), "{}", refused.stderr);
    assert_eq!(call(&daemon, "a", &json!({}))["output"], json!({"text": "hello\n"}), "the old one is in force");
    let changed: Vec<_> = daemon
        .audit("kind=tool.*")
        .iter()
        .filter_map(|record| record["tool"].as_str().map(ToOwned::to_owned))
        .collect();
    assert_eq!(changed.last().map(String::as_str), Some("b"), "{changed:?}");
}

#[test]
fn any_json_schema_will_do() {
    let schema = r#"{
        "type": "object", "required": ["a-b.c"],
        "properties": {
            "a-b.c": {"type": ["string", "null"], "maxLength": 9},
            "when": {"anyOf": [{"type": "integer"}, {"const": "now"}]},
            "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}},
            "någon": {"enum": [1, "two", null]},
            "type": true
        }
    }"#;
    let text = format!(
        "[[tool]]\nname = \"odd.one\"\ndescription = \"Odd.\"\neffect = \"readonly\"\ninput = '''{schema}'''\n[tool.command]\n\
         program = \"cat\"\nstdin = \"json\"\noutput = \"json\"\n[[tool]]\nname = \"none\"\ndescription = \"None.\"\n\
         effect = \"readonly\"\n[tool.command]\nprogram = \"echo\"\n"
    );
    let daemon = daemon(&[("odd.toml", &text)]);
    let arguments = json!({"a-b.c": null, "when": "now", "list": [{"x": 0.5}], "någon": "two", "type": [1]});
    assert_eq!(call(&daemon, "odd.one", &arguments)["output"], arguments);
    assert_eq!(call(&daemon, "odd.one", &json!({"a-b.c": "0123456789"}))["code"], "arguments-invalid");
    assert_eq!(call(&daemon, "none", &json!({}))["output"], json!({"text": "\n"}));
    assert_eq!(call(&daemon, "none", &json!({"x": 1}))["code"], "arguments-invalid");
    daemon.http("GET", "/openapi.json").send().is(200);
    daemon.cli(&["tools", "show", "odd.one"]).exits(0);
    daemon.cli(&["call", "odd.one", "--help"]).exits(0);
}

#[test]
fn a_file_that_changed_waits_for_a_reload_and_status_says_so() {
    let daemon = daemon(&[("a.toml", &tool("a", ""))]);
    let waits = || {
        let report = daemon.http("GET", "/v1/status").send().json();
        let notes = report["notes"].as_array().expect("notes").clone();
        notes
            .iter()
            .filter_map(|note| note.as_str())
            .find(|note| note.contains("toolctl reload"))
            .map(ToOwned::to_owned)
    };
    assert_eq!(waits(), None);
    put(&daemon, &[("b.toml", &tool("b", ""))]);
    assert!(waits().is_some_and(|note| note.contains("b.toml")));
    assert_eq!(call(&daemon, "b", &json!({}))["code"], "tool-not-found", "it is not taken while it is written");
    daemon.cli(&["reload"]).exits(0);
    assert_eq!(waits(), None);
    put(&daemon, &[("a.toml", "[tool]\n")]);
    assert_ne!(daemon.cli(&["reload"]).ends().code, Some(0));
    assert!(waits().is_some_and(|note| note.contains("a.toml")), "what was refused is not in force");
    std::fs::remove_file(super::path(&daemon, "a.toml")).expect("removed");
    assert!(waits().is_some_and(|note| note.contains("a.toml")));
    daemon.signal("HUP");
    crate::support::until(|| waits().is_none().then_some(()));
    assert_eq!(call(&daemon, "a", &json!({}))["code"], "tool-not-found");
}

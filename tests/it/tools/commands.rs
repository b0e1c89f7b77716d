//! Commands: what they are given, what they give back, and everything they can do wrong.

use serde_json::json;

use super::{call, daemon};

const GREET: &str = r#"
[tool]
name = "greet"
title = "Greet"
description = "Greets somebody."
effect = "once"
destructive = false
risk = "low"
timeout = "20s"

[tool.arguments]
name = { type = "string", required = true, description = "Whom." }

[tool.command]
program = "./greet.sh"
arguments = ["--", "{name}"]
output = "json"
no_effect_exit = [3]
"#;

#[test]
fn a_file_becomes_a_tool_that_is_listed_guarded_called_and_recorded() {
    let daemon = daemon(&[
        ("greet.toml", GREET),
        ("greet.sh", "#!/bin/sh\nprintf '{\"greeting\":\"hello %s\",\"home\":\"%s\"}' \"$2\" \"$HOME\"\n"),
    ]);
    let listed = daemon.cli(&["-o", "json", "tools", "show", "greet"]).json();
    assert_eq!((&listed["source"], &listed["effect"]), (&json!("command"), &json!("once")));

    let answer = call(&daemon, "greet", &json!({"name": "A; rm -rf /"}));
    assert_eq!(answer["output"]["greeting"], "hello A; rm -rf /", "{answer}");
    assert_eq!((&answer["state"], &answer["effect"]), (&json!("succeeded"), &json!("done")));

    let id = answer["id"].as_str().expect("an id");
    let kinds: Vec<_> = daemon.audit(&format!("call={id}")).iter().map(|record| record["type"].clone()).collect();
    assert_eq!(kinds, ["call.dispatched", "call.completed"]);
    let last = daemon.audit(&format!("call={id}")).pop().expect("a record");
    assert_eq!(last["detail"]["sandbox"], "none");
    daemon.cli(&["audit", "verify"]).exits(0);

    let refused = call(&daemon, "greet", &json!({"nome": "x"}));
    assert_eq!(refused["code"], "arguments-invalid", "{refused}");
}

//! What an approver is shown beside the arguments: what exactly would run, and what the tool's preview says.

use serde_json::json;

use super::daemon;

const TOOLS: &str = r#"
[[tool]]
name = "clean"
description = "Removes old files."
effect = "once"
risk = "high"
preview = "old_files"
[tool.arguments]
days = { type = "integer", required = true }
[tool.command]
program = "./clean.sh"
arguments = ["--older-than={days}"]
environment = { TOKEN = { secret = "env:THE_TOKEN" } }

[[tool]]
name = "old_files"
description = "Lists old files."
effect = "readonly"
[tool.arguments]
days = { type = "integer", required = true }
[tool.command]
program = "./old.sh"
arguments = ["{days}"]
"#;

#[test]
fn an_approver_sees_what_would_run_and_what_it_would_do() {
    let old = "#!/bin/sh\nprintf 'older than %s:\\n\\033[31m/var/old\\n' \"$1\"\n";
    let daemon = daemon(&[("clean.toml", TOOLS), ("clean.sh", "#!/bin/sh\nexit 0\n"), ("old.sh", old)]);
    let agent = daemon.agent("bot");
    daemon.cli(&["call", "clean", "--days", "30", "--no-wait"]).key(&agent).exits(8);
    let dossier = daemon.http("GET", "/v1/approvals/1").send().json();
    let program = super::path(&daemon, "clean.sh").display().to_string();
    assert_eq!(dossier["runs"], json!(["TOKEN=‹secret:env:THE_TOKEN›", program, "--older-than=30"]), "{dossier}");
    assert_eq!(dossier["preview"]["output"]["text"], "older than 30:\n\u{1b}[31m/var/old\n");
    let shown = daemon.cli(&["-o", "table", "approvals", "show", "1"]).succeeds();
    for expected in ["\"--older-than=30\"", "preview, as `old_files` gives it now", "/var/old"] {
        assert!(shown.contains(expected), "`{expected}` is not in:\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown}");
    // It was a call of whoever looked, with a record of its own; the requester sees none.
    let records = daemon.audit("tool=old_files&kind=call.completed");
    assert!(!records.is_empty() && records.iter().all(|record| record["actor"] != "agent:bot"), "{records:?}");
    let theirs = daemon.http("GET", "/v1/approvals/1").key(&agent).send().json();
    assert_eq!(theirs["preview"], json!(null));
    daemon.cli(&["audit", "verify"]).exits(0);
}

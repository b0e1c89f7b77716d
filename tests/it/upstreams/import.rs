//! What an editor starts, taken over: shown first, without its secrets, and nothing of its file changed.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::fake;
use crate::support::Daemon;

#[test]
fn the_servers_of_an_editor_are_taken_over_without_their_secrets() {
    let daemon = Daemon::unhurried();
    daemon.configure("policies/all.cedar", "@id(\"everything\")\npermit (principal, action, resource);\n");
    let command = fake::command();
    let folder = daemon.dir().join("fake");
    std::fs::create_dir_all(&folder).expect("a folder");
    fake::lists(&folder, &json!([fake::tool("a", "Does a.")]));
    let config = json!({"mcpServers": {
        "my fake": {"command": command[0], "args": command[1..], "env": {"FAKE_FOLDER": folder, "API_KEY": "s3cr3t-key"}},
        "toolctl": {"command": "toolctl", "args": ["mcp"]},
        "gone": {"command": "no-such-program-here"},
    }});
    let file = daemon.dir().join(".cursor").join("mcp.json");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(&file, config.to_string()).expect("written");

    let shown = daemon.cli(&["tools", "add", "--mcp-from", "cursor"]).exits(2).stderr;
    for expected in ["name = \"my-fake\"", "my-fake.API_KEY", "`gone` is left out", "-y tools add --mcp-from cursor"] {
        assert!(shown.contains(expected), "`{expected}` is not in:\n{shown}");
    }
    assert!(!shown.contains("s3cr3t-key") && !shown.contains("name = \"toolctl\""), "{shown}");
    let secret = daemon.dir().join("config").join("secrets").join("my-fake.API_KEY");
    assert!(!secret.exists(), "nothing was agreed to");

    daemon.cli(&["-y", "tools", "add", "--mcp-from", "cursor"]).exits(0);
    assert_eq!(std::fs::read_to_string(&secret).expect("the secret"), "s3cr3t-key");
    assert_eq!(std::fs::metadata(&secret).expect("a file").permissions().mode() & 0o777, 0o600);
    let written = std::fs::read_to_string(daemon.dir().join("config/tools/mcp-cursor.toml")).expect("the tables");
    assert!(!written.contains("s3cr3t-key"), "{written}");
    super::until_up(&daemon);
    daemon.cli(&["tools", "trust", "my-fake", "--yes"]).exits(0);
    assert_eq!(super::call(&daemon, "my-fake.a", &json!({}))["state"], "succeeded");
    assert_eq!(std::fs::read_to_string(&file).expect("the editor's file"), config.to_string(), "it is the editor's");

    daemon.cli(&["-y", "tools", "add", "--mcp-from", "cursor"]).exits(12);
    daemon.cli(&["tools", "add", "--mcp-from", "goose"]).exits(2);
    daemon.cli(&["tools", "disable", "my-fake"]).exits(0);
    assert_eq!(super::published(&daemon), Vec::<String>::new());
    daemon.cli(&["tools", "enable", "my-fake"]).exits(0);
    assert_eq!(super::published(&daemon), ["my-fake.a"], "what somebody agreed to is remembered");
    daemon.cli(&["tools", "remove", "my-fake"]).exits(0);
}

#[test]
fn the_examples_and_the_template_are_read_without_a_fault() {
    let daemon = Daemon::prepared(&[], &[]);
    let example = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tools").join(name);
        std::fs::read_to_string(path).expect("the example").replace("\"npx\"", "\"true\"")
    };
    let template = daemon.cli(&["tools", "new", "mcp"]).exits(0).stdout.replace("\"npx\"", "\"true\"");
    let template = template.replace("name = \"files\"", "name = \"template\"");
    for (name, text) in
        [("a.toml", example("everything.toml")), ("b.toml", example("filesystem.toml")), ("c.toml", template)]
    {
        daemon.configure(&format!("tools/{name}"), &text);
    }
    let clean = daemon.cli(&["-o", "json", "tools", "lint"]).json();
    assert_eq!((&clean["problems"], &clean["warnings"]), (&json!([]), &json!([])), "{clean}");
}

//! Each syntax before and after: what a person has is there afterwards as it was, byte for byte, beside our entry.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::cli::init::client::McpClient;
use crate::cli::init::entry::Entry;

fn members(client: McpClient) -> Members {
    let args = ["mcp", "--as", "me"].map(ToOwned::to_owned).into();
    client.members(&Entry { name: "toolctl".into(), command: "/bin/toolctl".into(), args, variables: Vec::new() })
}

/// Puts the entry in and holds the result against `after`; a second time must change nothing.
#[track_caller]
fn puts(client: McpClient, before: &str, after: &str) {
    let slot = client.slot("toolctl");
    let made = put(client.syntax(), before, &slot, &members(client), false).expect("put");
    assert_eq!(made, after);
    assert_eq!(put(client.syntax(), &made, &slot, &members(client), false), Ok(made.clone()), "twice");
}

/// The same, and taking the entry out must give the text before.
#[track_caller]
fn goes_both_ways(client: McpClient, before: &str, after: &str) {
    puts(client, before, after);
    assert_eq!(remove(client.syntax(), after, &client.slot("toolctl")).as_deref(), Ok(before), "removed");
}

#[track_caller]
fn refuses(client: McpClient, text: &str) -> CannotEdit {
    put(client.syntax(), text, &client.slot("toolctl"), &members(client), false).expect_err("refused")
}

#[test]
fn json_without_anything_gets_the_entry_alone() {
    let made = "{\n  \"mcpServers\": {\n    \"toolctl\": {\n      \"command\": \"/bin/toolctl\",\n      \
                \"args\": [\"mcp\", \"--as\", \"me\"]\n    }\n  }\n}";
    for (before, end) in [("", "\n"), ("\n", "\n"), ("{}", ""), ("{}\n", "\n")] {
        puts(McpClient::Cursor, before, &format!("{made}{end}"));
    }
    let null = put(Syntax::Json, "{\"mcpServers\": null}", &McpClient::Cursor.slot("toolctl"), &Members::new(), true);
    assert_eq!(null.and_then(|made| read(Syntax::Json, &made)), Ok(json!({"mcpServers": {"toolctl": {}}})));
}

#[test]
fn json_keeps_comments_tabs_order_and_trailing_commas() {
    goes_both_ways(
        McpClient::Cursor,
        "// mine\n{\n\t\"z\": 1, /* why */\n\t\"mcpServers\": {\n\t\t// first\n\t\t\"a\": {\"command\": \"x\"}, // keep\n\t},\n\t\"b\": [1,2],\n}\n",
        "// mine\n{\n\t\"z\": 1, /* why */\n\t\"mcpServers\": {\n\t\t// first\n\t\t\"a\": {\"command\": \"x\"}, // keep\n\t\t\"toolctl\": {\n\
         \t\t\t\"command\": \"/bin/toolctl\",\n\t\t\t\"args\": [\"mcp\", \"--as\", \"me\"],\n\t\t},\n\t},\n\t\"b\": [1,2],\n}\n",
    );
}

#[test]
fn json_of_windows_keeps_its_mark_and_line_ends() {
    goes_both_ways(
        McpClient::VsCode,
        "\u{feff}{\r\n    \"servers\": {\r\n        \"a\": {}\r\n    }\r\n}",
        "\u{feff}{\r\n    \"servers\": {\r\n        \"a\": {},\r\n        \"toolctl\": {\r\n            \"type\": \"stdio\",\r\n            \
         \"command\": \"/bin/toolctl\",\r\n            \"args\": [\"mcp\", \"--as\", \"me\"]\r\n        }\r\n    }\r\n}",
    );
}

#[test]
fn json_of_an_older_entry_is_changed_where_it_differs() {
    puts(
        McpClient::Cursor,
        "{\"mcpServers\": {\n  \"toolctl\": {\n    // why\n    \"command\": \"/old/toolctl\", // old\n    \"args\": [\"mcp\"],\n    \"disabled\": true\n  }\n}}\n",
        "{\"mcpServers\": {\n  \"toolctl\": {\n    // why\n    \"command\": \"/bin/toolctl\", // old\n    \"args\": [\"mcp\", \"--as\", \"me\"],\n    \"disabled\": true\n  }\n}}\n",
    );
}

#[test]
fn variables_are_added_to_those_that_are_there() {
    let slot = McpClient::Cursor.slot("toolctl");
    let members: Members = vec![("env", json!({"B": "2"}))];
    let before = "{\"mcpServers\": {\"toolctl\": {\"env\": {\"A\": \"1\"}}}}";
    let made = put(Syntax::Json, before, &slot, &members, false).expect("put");
    let read = read(Syntax::Json, &made).expect("JSON");
    assert_eq!(entry(&read, &slot), Some(&json!({"env": {"A": "1", "B": "2"}})));
    let made = put(Syntax::Json, before, &slot, &members, true).expect("put");
    let read = super::read(Syntax::Json, &made).expect("JSON");
    assert_eq!(entry(&read, &slot), Some(&json!({"env": {"B": "2"}})), "made anew");
}

#[test]
fn json_that_cannot_be_understood_is_left_alone() {
    let malformed = |line, message: &str| CannotEdit::Malformed { line, message: message.to_owned() };
    assert_eq!(refuses(McpClient::Cursor, "{\n  \"a\": 1\n  \"b\": 2\n}"), malformed(2, "expected comma"));
    assert_eq!(refuses(McpClient::Cursor, "{\n  'a': 1}"), malformed(2, "single-quoted strings are not allowed"));
    assert_eq!(refuses(McpClient::Cursor, "[]"), CannotEdit::NotATable("the file".into()));
    assert_eq!(refuses(McpClient::Cursor, "{\"mcpServers\": []}"), CannotEdit::NotATable("`mcpServers`".into()));
    // Readers differ in which of the two counts.
    assert_eq!(refuses(McpClient::Cursor, "{\"mcpServers\": {\"a\": 1}, \"mcpServers\": {}}"), CannotEdit::Layout);
}

const TOML_ENTRY: &str = "[mcp_servers.toolctl]\ncommand = \"/bin/toolctl\"\nargs = [\"mcp\", \"--as\", \"me\"]\n";

#[test]
fn toml_keeps_comments_and_order() {
    goes_both_ways(McpClient::Codex, "", TOML_ENTRY);
    goes_both_ways(
        McpClient::Codex,
        "# mine\nmodel = \"x\" # why\n",
        &format!("# mine\nmodel = \"x\" # why\n\n{TOML_ENTRY}"),
    );
    goes_both_ways(McpClient::Codex, "# only this\n", &format!("# only this\n\n{TOML_ENTRY}"));
    goes_both_ways(
        McpClient::Codex,
        "[mcp_servers.a]\ncommand = \"a\"\n\n# about x\n[profiles.x]\nk = 1\n# end\n",
        &format!("[mcp_servers.a]\ncommand = \"a\"\n\n{TOML_ENTRY}\n# about x\n[profiles.x]\nk = 1\n# end\n"),
    );
    let windows = |text: &str| text.replace('\n', "\r\n");
    goes_both_ways(McpClient::Codex, &windows("a = 1\n"), &windows(&format!("a = 1\n\n{TOML_ENTRY}")));
}

#[test]
fn toml_in_other_layouts_is_changed_in_its_own() {
    puts(
        McpClient::Codex,
        "mcp_servers = { a = { command = \"a\" } }\n",
        "mcp_servers = { a = { command = \"a\" }, toolctl = { command = \"/bin/toolctl\", args = [\"mcp\", \"--as\", \"me\"] } }\n",
    );
    puts(
        McpClient::Codex,
        "[mcp_servers.toolctl]\ncommand = \"/old/toolctl\" # old\nargs = [\"mcp\"]\ntimeout = 20\n\n[mcp_servers.toolctl.env]\nA = \"b\"\n",
        "[mcp_servers.toolctl]\ncommand = \"/bin/toolctl\" # old\nargs = [\"mcp\", \"--as\", \"me\"]\ntimeout = 20\n\n[mcp_servers.toolctl.env]\nA = \"b\"\n",
    );
    let removed = remove(
        Syntax::Toml,
        "a = 1\n\n# ours\n[mcp_servers.toolctl]\ncommand = \"x\"\nargs = [\n  \"y\",\n] # end\n\n[mcp_servers.toolctl.env]\nA = \"b\"\n\n[z]\nb = 2\n",
        &McpClient::Codex.slot("toolctl"),
    );
    assert_eq!(removed.as_deref(), Ok("a = 1\n\n# ours\n\n[z]\nb = 2\n"));
}

#[test]
fn toml_that_cannot_be_understood_is_left_alone() {
    let CannotEdit::Malformed { line, .. } = refuses(McpClient::Codex, "a = 1\nb =\n") else { panic!("another error") };
    assert_eq!(line, 2);
    assert_eq!(refuses(McpClient::Codex, "a = 1\r\nb = 2\n"), CannotEdit::Layout);
    assert_eq!(refuses(McpClient::Codex, "mcp_servers = 1\n"), CannotEdit::NotATable("`mcp_servers`".into()));
}

/// The entry, its members indented by `step` below `indent`.
fn yaml_entry(indent: usize, step: usize) -> String {
    let members = [
        "type: stdio",
        "name: toolctl",
        "cmd: /bin/toolctl",
        "args: [\"mcp\", \"--as\", \"me\"]",
        "enabled: true",
        "timeout: 300",
    ];
    let members: String = members.iter().map(|member| format!("{:1$}{member}\n", "", indent + step)).collect();
    format!("{:indent$}toolctl:\n{members}", "")
}

#[test]
fn yaml_keeps_comments_and_order() {
    puts(McpClient::Goose, "", &format!("extensions:\n{}", yaml_entry(2, 2)));
    puts(McpClient::Goose, "a: 1 # one", &format!("a: 1 # one\nextensions:\n{}", yaml_entry(2, 2)));
    goes_both_ways(
        McpClient::Goose,
        "# mine\nMODE: auto\nextensions:\n    dev:\n        enabled: true # yes\n        args:\n        - a\n    # last\n\nother: 1\n",
        &format!(
            "# mine\nMODE: auto\nextensions:\n    dev:\n        enabled: true # yes\n        args:\n        - a\n{}    # last\n\nother: 1\n",
            yaml_entry(4, 4)
        ),
    );
    goes_both_ways(
        McpClient::Goose,
        "---\nextensions: {} # none\nz: |\n  # text\n  extensions:\n",
        &format!("---\nextensions: # none\n{}z: |\n  # text\n  extensions:\n", yaml_entry(2, 2)),
    );
    let windows = |text: &str| text.replace('\n', "\r\n");
    puts(McpClient::Goose, &windows("a: 1\n"), &windows(&format!("a: 1\nextensions:\n{}", yaml_entry(2, 2))));
}

#[test]
fn yaml_of_an_older_entry_is_changed_where_it_differs() {
    puts(
        McpClient::Goose,
        "extensions:\n  toolctl:\n    # mine\n    cmd: /old/toolctl\n    args:\n      - mcp\n    enabled: false\n    type: stdio\n    timeout: 9\n  z:\n    enabled: true\n",
        "extensions:\n  toolctl:\n    # mine\n    cmd: /bin/toolctl\n    args: [\"mcp\", \"--as\", \"me\"]\n    enabled: false\n    type: stdio\n    timeout: 9\n    name: toolctl\n  z:\n    enabled: true\n",
    );
}

#[test]
fn yaml_that_lines_cannot_tell_is_left_alone() {
    assert_eq!(refuses(McpClient::Goose, "extensions: {a: {enabled: true}}\n"), CannotEdit::Layout);
    assert_eq!(refuses(McpClient::Goose, "{extensions: {a: 1}}\n"), CannotEdit::Layout);
    assert_eq!(refuses(McpClient::Goose, "extensions: &x\n  a: {}\n"), CannotEdit::Layout);
    let text = "extensions:\n  a:\n    d: |\n      x\n      # not a comment\n";
    assert_eq!(refuses(McpClient::Goose, text), CannotEdit::Layout);
    assert_eq!(refuses(McpClient::Goose, "extensions: []\n"), CannotEdit::NotATable("`extensions`".into()));
    let CannotEdit::Malformed { line, .. } = refuses(McpClient::Goose, "a: 1\nb: [\n") else { panic!("another error") };
    assert!(line >= 2, "{line}");
}

/// A text as people write them, damaged in a few places.
fn damaged() -> impl Strategy<Value = (McpClient, String)> {
    let texts = [
        (
            McpClient::Cursor,
            "// a\n{\n\t\"mcpServers\": {\n\t\t\"a\": {\"command\": \"x\", }, // b\n\t\t\"toolctl\": {\"command\": \"/toolctl\", \"args\": [\"mcp\"]}\n\t},\n\t\"z\": [1, {}]\n}\n",
        ),
        (
            McpClient::Codex,
            "# a\nm = \"x\"\n[mcp_servers.a]\ncommand = 'a' # b\n[mcp_servers.toolctl]\nargs = [\n  \"mcp\",\n]\n[mcp_servers.toolctl.env]\nA = \"b\"\n[[z]]\nk.l = 1\n",
        ),
        (
            McpClient::Goose,
            "# a\nm: \"x\"\nextensions:\n  a:\n    args:\n    - b # c\n    d: |\n      e\n  toolctl:\n    cmd: toolctl\n    args: [mcp]\nz: {k: 1}\n",
        ),
    ];
    let wounds = prop::collection::vec(
        (any::<prop::sample::Index>(), 0..6usize, "[ \\t\\r\\n{}\\[\\]\":,#'a\\-=.|&*]{0,3}"),
        0..4,
    );
    (prop::sample::select(texts.to_vec()), wounds).prop_map(|((client, text), wounds)| {
        let mut symbols: Vec<char> = text.chars().collect();
        for (at, length, with) in wounds {
            let start = at.index(symbols.len() + 1);
            let end = (start + length).min(symbols.len());
            symbols.splice(start..end, with.chars());
        }
        (client, symbols.into_iter().collect())
    })
}

/// What a text says beside the entry.
fn others(read: &Value, slot: &Slot) -> Option<Value> {
    let mut rest = read.clone();
    rest.get_mut(slot.table)?.as_object_mut()?.remove(&slot.name);
    Some(rest)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_text_it_is_refused_or_says_what_is_meant((client, text) in damaged()) {
        let slot = client.slot("toolctl");
        let members = members(client);
        let made = put(client.syntax(), &text, &slot, &members, true);
        if let Ok(made) = made {
            let (before, after) = (read(client.syntax(), &text).expect("was edited"), read(client.syntax(), &made).expect("proved"));
            let wanted: Map<String, Value> = members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            prop_assert_eq!(entry(&after, &slot), Some(&Value::Object(wanted)));
            if let (Some(before), Some(after)) = (others(&before, &slot), others(&after, &slot)) {
                prop_assert_eq!(before, after);
            }
            if let Ok(gone) = remove(client.syntax(), &made, &slot) {
                let read = read(client.syntax(), &gone).expect("proved");
                prop_assert_eq!(entry(&read, &slot), None);
            }
        }
    }
}

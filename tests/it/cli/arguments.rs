//! How arguments are given: flags from the schema, pairs, files and stdin; conversion follows the schema and
//! never the look of a value.

use serde_json::{Value, json};

use super::fails;
use crate::support::{Daemon, Story};

/// What reached the tool.
fn arguments(story: Story) -> Value {
    story.json()["arguments"].clone()
}

fn ticket(daemon: &Daemon, rest: &[&str]) -> Story {
    daemon.cli(&[&["-o", "json", "call", "--receipt", "create_ticket"], rest].concat())
}

#[test]
fn flags_pairs_and_files_say_the_same() {
    let daemon = Daemon::start();
    let expected = json!({"customer_id": 1, "title": "01234", "description": "long", "priority": "high"});
    std::fs::write(daemon.dir().join("text"), "long").expect("a file");
    std::fs::write(daemon.dir().join("all.json"), expected.to_string()).expect("a file");
    let ways: [&[&str]; 6] = [
        &["--customer-id", "1", "--title", "01234", "--description", "long", "--priority", "high"],
        &["--customer-id=1", "--title=01234", "--description=long", "--priority=high"],
        &["customer_id=1", "title=01234", "description=long", "priority=high"],
        &["customer_id:=1", "title:=\"01234\"", "description=@text", "priority=high"],
        &["--input", "all.json"],
        &["--input", "all.json", "--title", "01234"],
    ];
    for way in ways {
        assert_eq!(arguments(ticket(&daemon, way)), expected, "{way:?}");
    }
    assert_eq!(arguments(ticket(&daemon, &["--input", "-"]).input(&expected.to_string())), expected);
    let overridden = arguments(ticket(&daemon, &["--input", "all.json", "--priority", "low"]));
    assert_eq!(overridden["priority"], "low", "flags override members");
}

#[test]
fn text_stays_text_and_numbers_must_be_numbers() {
    let daemon = Daemon::start();
    for title in ["0123", "1e5", "true", "null", "{}", "--help"] {
        let story = ticket(&daemon, &["--customer-id", "1", &format!("--title={title}")]);
        if title.len() >= 3 {
            assert_eq!(arguments(story)["title"], title);
        }
    }
    for id in ["one", "1.5", "", "0x1"] {
        let error = fails(ticket(&daemon, &["--customer-id", id, "--title", "abc"]), 2);
        assert!(error.to_string().contains("customer"), "{id}: {error}");
    }
}

#[test]
fn booleans_are_flags_with_or_without_a_value() {
    let daemon = Daemon::start();
    let change = |flag: &[&str]| {
        let base = [
            "-o",
            "json",
            "call",
            "--dry-run",
            "update_customer_status",
            "--customer-id",
            "1",
            "--new-status",
            "Closed",
        ];
        let ending = daemon.cli(&[&base, flag].concat()).ends();
        ending.json()["arguments"]["confirm"].clone()
    };
    assert_eq!(change(&[]), false);
    assert_eq!(change(&["--confirm"]), true);
    assert_eq!(change(&["--confirm=false"]), false);
    assert_eq!(change(&["--confirm=true"]), true);
}

#[test]
fn an_unknown_flag_names_the_nearest() {
    let daemon = Daemon::start();
    let error = fails(ticket(&daemon, &["--customer-id", "1", "--titel", "abc"]), 2);
    assert!(error.to_string().contains("--title"), "{error}");
    let error = fails(daemon.cli(&["-o", "json", "call", "create_tiket"]), 2);
    assert!(error.to_string().contains("create_ticket"), "{error}");
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let daemon = Daemon::start();
    let error = fails(ticket(&daemon, &[]), 2);
    let text = error.to_string();
    assert!(text.contains("customer") && text.contains("title"), "{text}");
    let plain = daemon.cli(&["call", "create_ticket"]).exits(2);
    assert!(plain.stderr.contains("--customer-id") && plain.stderr.contains("--title"), "{}", plain.stderr);
    assert_eq!(plain.stdout, "");
}

#[test]
fn a_value_outside_its_enum_names_those_inside() {
    let daemon = Daemon::start();
    let error = fails(ticket(&daemon, &["--customer-id", "1", "--title", "abc", "--priority", "soon"]), 2);
    assert!(error.to_string().contains("urgent"), "{error}");
}

#[test]
fn a_document_with_two_meanings_is_refused() {
    let daemon = Daemon::start();
    let twice = r#"{"customer_id":1,"title":"abc","title":"abd"}"#;
    let error = fails(ticket(&daemon, &["--input", "-"]).input(twice), 2);
    assert!(error.to_string().contains("title"), "{error}");
    let large = r#"{"customer_id":9007199254740993,"title":"abc"}"#;
    fails(ticket(&daemon, &["--input", "-"]).input(large), 2);
    fails(ticket(&daemon, &["--input", "-"]).input("[1]"), 2);
    fails(ticket(&daemon, &["--input", "missing.json"]), 2);
}

#[test]
fn stdin_is_read_only_when_asked() {
    let daemon = Daemon::start();
    let story = ticket(&daemon, &["--customer-id", "1", "--title", "abc"]).input(r#"{"title":"from stdin"}"#);
    assert_eq!(arguments(story)["title"], "abc");
}

//! `toolctl audit`: read, export, verify; and every way to tamper with an export is found with exit 13.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{TICKET, asked, fails};
use crate::support::Daemon;

/// A daemon with a few calls of every kind, and an export of its log.
fn exported() -> (Daemon, PathBuf) {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    daemon.cli(&TICKET).exits(0);
    asked(&daemon, &agent);
    daemon.cli(&["approve", "1", "--yes"]).exits(0);
    daemon.cli(&["call", "create_ticket", "--customer-id", "99", "--title", "Nobody's"]).exits(3);
    let path = daemon.dir().join("log.jsonl");
    daemon.cli(&["audit", "export", "--out", path.to_str().expect("UTF-8")]).exits(0);
    (daemon, path)
}

#[test]
fn a_log_verifies_online_and_from_its_export() {
    let (daemon, path) = exported();
    let online = daemon.cli(&["-o", "json", "audit", "verify"]).json();
    assert_eq!((&online["verified"], &online["faults"]), (&json!(true), &json!([])));
    let path = path.to_str().expect("UTF-8");
    let offline = daemon.cli(&["-o", "json", "audit", "verify", "--file", path]).json();
    assert_eq!(offline["verified"], true);
    assert!(offline["records"].as_u64() <= online["records"].as_u64());
    let text = std::fs::read_to_string(path).expect("the export");
    assert_eq!(daemon.cli(&["audit", "verify", "--file", "-"]).input(&text).ends().code, Some(0));
    let stdout = daemon.cli(&["audit", "export"]).exits(0).stdout;
    assert!(stdout.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

#[test]
fn every_tampering_with_an_export_is_found() {
    let (daemon, path) = exported();
    let text = std::fs::read_to_string(&path).expect("the export");
    let lines: Vec<&str> = text.lines().collect();
    let join = |lines: &[&str]| format!("{}\n", lines.join("\n"));
    let without = |index: usize| {
        let mut lines = lines.clone();
        lines.remove(index);
        join(&lines)
    };
    let swapped = |a: usize, b: usize| {
        let mut lines = lines.clone();
        lines.swap(a, b);
        join(&lines)
    };
    let last = lines.len() - 1;
    let cases = [
        ("edited", text.replacen("approve", "reject", 1)),
        ("edited a name", text.replacen("agent:bot", "agent:bob", 1)),
        ("dropped the first", without(1)),
        ("dropped one inside", without(last / 2)),
        ("truncated", without(last)),
        ("reordered", swapped(last - 1, last - 2)),
        ("repeated", join(&[lines.as_slice(), &[lines[last]]].concat())),
        ("blanks inside", join(&[&lines[..last], &[lines[last].replace("\":", "\": ").as_str()]].concat())),
    ];
    for (what, tampered) in cases {
        assert_ne!(tampered, text, "{what} changed nothing");
        let error = fails(daemon.cli(&["-o", "json", "audit", "verify", "--file", "-"]).input(&tampered), 13);
        assert_eq!(error["exit"], 13, "{what}: {error}");
    }
}

#[test]
fn a_file_that_is_no_export_is_refused() {
    let daemon = Daemon::start();
    for text in ["", "hello\n", "{}\n", "[]\n"] {
        let code = daemon.cli(&["audit", "verify", "--file", "-"]).input(text).ends().code;
        assert!(matches!(code, Some(1 | 2 | 13)), "{text:?}: {code:?}");
    }
    assert_ne!(daemon.cli(&["audit", "verify", "--file", "missing"]).ends().code, Some(0));
}

#[test]
fn records_are_found_by_what_they_are_about() {
    let (daemon, _) = exported();
    let lines = |args: &[&str]| {
        let all = super::with(&["-o", "jsonl", "audit"], args);
        let text = daemon.cli(&all).succeeds();
        text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect::<Vec<_>>()
    };
    assert_eq!(lines(&["query", "--kind", "key.created"]).len(), 1);
    assert_eq!(lines(&["query", "--tool", "create_ticket", "--kind", "call.completed"]).len(), 2);
    let actors = lines(&["query", "--actor", "agent:bot"]);
    assert!(!actors.is_empty() && actors.iter().all(|line| line["record"]["actor"] == "agent:bot"), "{actors:?}");
    assert_eq!(lines(&["tail", "-n", "2"]).len(), 2);
    assert_eq!(lines(&["query", "--since", "1h", "--limit", "3"]).len(), 3);
    assert_eq!(lines(&["query", "--until", "2000-01-01T00:00:00Z"]).len(), 0);
    let first = daemon.cli(&["-o", "json", "audit", "show", "0"]).json();
    assert_eq!((&first["index"], &first["record"]["type"]), (&json!(0), &json!("desk.imported")));
    fails(daemon.cli(&["-o", "json", "audit", "show", "100000"]), 2);
}

#[test]
fn a_follower_sees_what_happens() {
    let daemon = Daemon::start();
    let mut tail = daemon.cli(&["-o", "jsonl", "audit", "tail", "-f", "-n", "20", "--kind", "call.completed"]).start();
    tail.catches_interrupts();
    // Whether the record comes before or after the follower is in place: it is shown, once.
    let ticket = daemon.cli(&super::with(&["-o", "json"], &super::with(&TICKET, &["--receipt"]))).json();
    let line: Value = serde_json::from_str(&tail.line()).expect("JSON");
    assert_eq!(line["record"]["call"], ticket["id"]);
    tail.signal("INT");
    assert_eq!(tail.ends().code, Some(130));
}

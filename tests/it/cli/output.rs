//! For scripts: stdout is the result and nothing else, in the form that was asked for.

use serde_json::Value;

use super::{TICKET, with};
use crate::support::Daemon;

const LISTS: [&[&str]; 4] = [&["tools", "list"], &["calls", "list"], &["keys", "list"], &["approvals", "list"]];

fn daemon_with_something_of_everything() -> Daemon {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    daemon.cli(&TICKET).exits(0);
    super::asked(&daemon, &agent);
    daemon
}

#[test]
fn json_is_exactly_one_document_and_jsonl_one_object_a_line() {
    let daemon = daemon_with_something_of_everything();
    let single: [&[&str]; 5] =
        [&["status"], &["whoami"], &["version"], &["policy", "show"], &["tools", "show", "create_ticket"]];
    for command in LISTS.into_iter().chain(single) {
        let text = daemon.cli(&with(&["-o", "json"], command)).succeeds();
        let document: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{command:?}: {text}"));
        assert!(document.is_object() || document.is_array(), "{command:?}: {text}");
        assert!(text.ends_with('\n'), "{command:?}");
    }
    for command in LISTS {
        let text = daemon.cli(&with(&["-o", "jsonl"], command)).succeeds();
        assert!(!text.is_empty(), "{command:?}");
        for line in text.lines() {
            let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{command:?}: {line}"));
            assert!(object.is_object(), "{command:?}: {line}");
        }
    }
}

#[test]
fn yaml_says_the_same_as_json() {
    let daemon = daemon_with_something_of_everything();
    for command in [&["whoami"][..], &["tools", "show", "create_ticket"], &["keys", "list"]] {
        let json: Value = daemon.cli(&with(&["-o", "json"], command)).json();
        let yaml = daemon.cli(&with(&["-o", "yaml"], command)).succeeds();
        let read: Value = serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{command:?}: {error}\n{yaml}"));
        assert_eq!(read, json, "{command:?}");
    }
}

#[test]
fn piped_output_has_no_colour_and_cuts_nothing() {
    let daemon = daemon_with_something_of_everything();
    let long = "x".repeat(500);
    daemon.http("POST", "/v1/keys").json(&serde_json::json!({"name": "n".repeat(60)})).send().is(200);
    daemon.cli(&["call", "create_ticket", "--customer-id", "1", "--title", "abc", "--description", &long]).exits(0);
    for command in LISTS {
        let text = daemon.cli(command).env("COLUMNS", "40").succeeds();
        assert!(!text.contains('\u{1b}') && !text.contains('\u{2026}'), "{command:?}: {text}");
    }
    let keys = daemon.cli(&["keys", "list"]).env("COLUMNS", "20").succeeds();
    assert!(keys.contains(&"n".repeat(60)), "{keys}");
    let always = daemon.cli(&["--color", "always", "whoami"]).exits(0);
    let never = daemon.cli(&["--color", "never", "whoami"]).exits(0);
    assert!(!never.stdout.contains('\u{1b}'));
    drop(always);
}

#[test]
fn an_error_for_programs_is_one_json_line_on_stderr() {
    let daemon = Daemon::start();
    for format in ["json", "jsonl"] {
        let ending = daemon.cli(&["-o", format, "call", "create_ticket", "--customer-id", "one"]).exits(2);
        assert_eq!(ending.stdout, "");
        let error = ending.error();
        for member in ["code", "exit", "message"] {
            assert!(!error[member].is_null(), "`{member}` in {error}");
        }
    }
}

#[test]
fn an_error_for_people_says_what_to_do() {
    let daemon = Daemon::start();
    let ending = daemon.cli(&["call", "create_tiket"]).exits(2);
    assert!(ending.stderr.starts_with("error"), "{}", ending.stderr);
    assert!(ending.stderr.contains("create_ticket"), "{}", ending.stderr);
    for rust in ["Error {", "Err(", "::", "panicked", "os error"] {
        assert!(!ending.stderr.contains(rust), "`{rust}` in {}", ending.stderr);
    }
}

#[test]
fn quiet_prints_results_and_errors_only() {
    let daemon = Daemon::start();
    let keyed = with(&["-q"], &with(&TICKET, &["--idempotency-key", "k"]));
    daemon.cli(&keyed).exits(0);
    let again = daemon.cli(&keyed).exits(0);
    assert_eq!(again.stderr, "", "no note about the replay");
    assert!(!again.stdout.is_empty());
    assert!(!daemon.cli(&["-q", "call", "nothing"]).exits(2).stderr.is_empty());
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let daemon = daemon_with_something_of_everything();
    for number in 0..50 {
        daemon.http("POST", "/v1/keys").json(&serde_json::json!({"name": format!("bot-{number}")})).send().is(200);
    }
    let mut script = crate::support::story::program(daemon.dir());
    let line = format!("{} audit export | head -n 1", script.get_program().to_string_lossy());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &line]).env_clear().current_dir(daemon.dir());
    shell.envs(script.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    script.stdin(std::process::Stdio::null());
}

#[test]
fn nothing_is_asked_where_nobody_can_answer() {
    let daemon = Daemon::start();
    for variable in ["TOOLCTL_NO_INPUT", "CI"] {
        daemon.cli(&["call", "create_ticket"]).env(variable, "1").exits(2);
    }
    daemon.cli(&["--no-input", "approve"]).exits(2);
    daemon.cli(&["approve", "1"]).exits(2);
}

#[test]
fn every_command_has_help() {
    let daemon = Daemon::prepared(&[], &[]);
    let commands: [&[&str]; 16] = [
        &[],
        &["serve"],
        &["call"],
        &["wait"],
        &["approve"],
        &["deny"],
        &["approvals"],
        &["calls"],
        &["tools"],
        &["audit"],
        &["keys"],
        &["policy"],
        &["status"],
        &["reload"],
        &["completions"],
        &["demo"],
    ];
    for command in commands {
        let help = daemon.cli(&with(command, &["--help"])).exits(0);
        assert!(help.stdout.contains("Usage:") && help.stderr.is_empty(), "{command:?}: {help:?}");
    }
    assert!(daemon.cli(&["--version"]).succeeds().contains(env!("CARGO_PKG_VERSION")));
}

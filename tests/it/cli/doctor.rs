//! `toolctl doctor`: every check says what it saw; a problem is exit 1, a warning is not.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::inbox::{ends, terminal};
use crate::support::Daemon;

/// What it found: `health check: message`, a line each.
fn findings(report: &Value) -> Vec<String> {
    let text = |finding: &Value, name: &str| finding[name].as_str().expect("text").to_owned();
    let checks = report["checks"].as_array().expect("checks").iter();
    checks.map(|one| format!("{} {}: {}", text(one, "health"), text(one, "check"), text(one, "message"))).collect()
}

fn examined(daemon: &Daemon, code: i32) -> Vec<String> {
    findings(&daemon.cli(&["-o", "json", "doctor"]).exits(code).json())
}

#[track_caller]
fn has(found: &[String], start: &str, words: &str) {
    let some = found.iter().any(|line| line.starts_with(start) && line.contains(words));
    assert!(some, "no `{start}…{words}` in:\n{}", found.join("\n"));
}

#[test]
fn a_good_set_up_has_nothing_to_mend() {
    let daemon = Daemon::start();
    daemon.cli(&["init", "cursor", "-y"]).exits(0);
    let found = examined(&daemon, 0);
    let amiss: Vec<_> = found.iter().filter(|line| !line.starts_with("ok ")).collect();
    assert!(
        matches!(amiss[..], [one] if one.starts_with("warning approvals: the daemon runs as you")),
        "{}",
        found.join("\n")
    );
    for (start, words) in [
        ("ok version: ", "client 0.1.0 = daemon 0.1.0"),
        ("ok config: ", "the defaults"),
        ("ok socket path: ", "toolctl.sock"),
        ("ok socket: ", "yours alone"),
        ("ok daemon: ", "5 tools"),
        ("ok identity: ", "by uid:"),
        ("ok state: ", "closed to others"),
        ("ok audit: ", "records verified"),
        ("ok key cursor: ", "agent:cursor, good until "),
        ("ok cursor: ", "`toolctl` starts this toolctl as cursor"),
    ] {
        has(&found, start, words);
    }
}

#[test]
fn a_warning_is_no_problem() {
    let daemon = Daemon::start();
    let report = daemon.cli(&["-o", "json", "doctor"]).env("SHELL", "/bin/bash").exits(0).json();
    assert_eq!((&report["problems"], &report["warnings"]), (&0.into(), &1.into()), "{report}");
    has(&findings(&report), "warning completions: ", "bash does not load them");
}

#[test]
fn who_may_not_know_everything_is_told_the_rest() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let found = findings(&daemon.cli(&["-o", "json", "doctor"]).key(&agent).exits(0).json());
    has(&found, "ok identity: ", "you are agent:bot (agents), by key_");
    let dead = agent.replace("tctl_a_", "tctl_a_x");
    let found = findings(&daemon.cli(&["-o", "json", "doctor"]).key(&dead).exits(1).json());
    has(&found, "problem identity: ", "");
    has(&found, "ok daemon: ", "answers");
}

#[test]
fn dead_keys_are_told_once_and_do_not_use_up_failed_attempts() {
    let daemon = Daemon::start();
    for name in ["a", "b", "c", "d", "e"] {
        daemon.cli(&["keys", "create", name, "--save"]).exits(0);
        let me = daemon.cli(&["-o", "json", "--as", name, "whoami"]).json();
        daemon.cli(&["-y", "keys", "revoke", me["credential"].as_str().expect("a key")]).exits(0);
    }
    let dead = daemon.dir().join("config/keys/a");
    let report = daemon.cli(&["-o", "json", "--as", "a", "doctor"]).exits(1).json();
    let found = findings(&report);
    has(&found, "problem identity: ", "");
    assert!(!found.iter().any(|line| line.contains(" key a: ")), "told once: {}", found.join("\n"));
    let fixes = report["checks"].as_array().expect("checks").iter().filter_map(|one| one["fix"].as_str());
    assert_eq!(fixes.filter(|fix| fix.contains(&*dead.to_string_lossy())).count(), 1, "{report}");
    has(&found, "warning key d: ", "no longer good");
    has(&found, "warning key e: ", "not asked about: 3 others");
    assert!(
        report["checks"].as_array().expect("checks").iter().all(|one| one["health"] != "ok" || one["fix"].is_null())
    );
    examined(&daemon, 0);
    let failed = daemon.cli(&["-o", "json", "--as", "a", "whoami"]).exits(4);
    assert_eq!(failed.error()["code"], "unauthenticated", "not limited yet");
}

#[test]
fn a_daemon_that_is_not_there_is_told_from_one_that_died() {
    let mut daemon = Daemon::prepared(&[], &[]);
    let found = examined(&daemon, 1);
    has(&found, "problem daemon: ", "no daemon at ");
    assert!(!found.iter().any(|line| line.contains("left it behind")), "{}", found.join("\n"));
    daemon.restart();
    daemon.cli(&["keys", "create", "bot", "--save"]).exits(0);
    daemon.kill();
    let found = examined(&daemon, 1);
    has(&found, "problem socket: ", "nobody answers: a daemon left it behind");
    has(&found, "ok key bot: ", "no daemon to ask");
}

#[test]
fn what_others_could_read_or_write_is_a_problem() {
    let daemon = Daemon::start();
    daemon.cli(&["keys", "create", "bot", "--save"]).exits(0);
    let open = |path: &str, mode| {
        fs::set_permissions(daemon.dir().join(path), Permissions::from_mode(mode)).expect("a mode");
    };
    open("state/pepper", 0o644);
    open("config/keys/bot", 0o640);
    open("state/toolctl.sock", 0o666);
    open("state", 0o777);
    let found = examined(&daemon, 1);
    has(&found, "problem state files: ", "others can read ");
    has(&found, "problem key bot: ", "others can read the key file");
    has(&found, "problem socket: ", "other users can reach ");
    has(&found, "problem socket folder: ", "other users may write to ");
    has(&found, "problem state: ", "(mode 0777)");
}

#[test]
fn a_config_that_would_not_load_is_found_before_the_next_start() {
    let daemon = Daemon::start();
    daemon.configure("toolctl.toml", "[limits]\nrate_per_minut = 5\n");
    let report = daemon.cli(&["-o", "json", "doctor"]).exits(1).json();
    has(&findings(&report), "problem config: ", "toolctl.toml:2: unknown field");
    assert!(report.to_string().contains("did you mean `rate_per_minute`?"), "{report}");
}

#[test]
fn a_path_too_long_for_a_socket_is_named() {
    let daemon = Daemon::start();
    let path = format!("/{}", "x".repeat(200));
    let found = findings(&daemon.cli(&["-o", "json", "--socket", &path, "doctor"]).exits(1).json());
    has(&found, "problem socket path: ", "has 201 bytes");
}

#[test]
fn an_entry_that_no_longer_works_says_why() {
    let daemon = Daemon::start();
    for client in ["cursor", "gemini", "codex"] {
        daemon.cli(&["init", client, "-y"]).exits(0);
    }
    let change = |path: &str, from: &str, to: &str| {
        let path = daemon.dir().join(path);
        let text = fs::read_to_string(&path).expect("the file");
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).expect("a change");
    };
    change(".cursor/mcp.json", env!("CARGO_BIN_EXE_toolctl"), "/opt/old/toolctl");
    change(".codex/config.toml", "\"--autostart\"", "\"--loud\"");
    let me = daemon.cli(&["-o", "json", "--as", "gemini", "whoami"]).json();
    daemon.cli(&["-y", "keys", "revoke", me["credential"].as_str().expect("a key")]).exits(0);
    fs::write(daemon.dir().join(".mcp.json"), "{oops}").expect("a file");
    let report = daemon.cli(&["-o", "json", "doctor"]).exits(1).json();
    let found = findings(&report);
    has(&found, "problem cursor: ", "points at /opt/old/toolctl, which is not there");
    has(&found, "problem gemini: ", "no longer good");
    assert!(!found.iter().any(|line| line.contains(" key gemini: ")), "told once: {}", found.join("\n"));
    has(&found, "warning codex: ", "flags this version does not know: --loud");
    has(&found, "problem claude-code (project): ", ".mcp.json:1: ");
    assert!(report.to_string().contains("\"fix\":\"toolctl init cursor\""), "{report}");

    daemon.cli(&["init", "cursor", "-y"]).exits(0);
    daemon.cli(&["init", "gemini", "-y"]).exits(0);
    fs::remove_file(daemon.dir().join(".mcp.json")).expect("gone");
    let found = examined(&daemon, 0);
    has(&found, "ok cursor: ", "starts this toolctl");
    has(&found, "ok gemini: ", "starts this toolctl");
}

#[test]
fn people_see_marks_and_fixes() {
    let daemon = Daemon::prepared(&[], &[]);
    let (code, shown) = ends(terminal(&daemon, None, &["doctor"]));
    assert_eq!(code, 1, "{shown}");
    // rexpect reads bytes as characters.
    let shown = String::from_utf8(shown.chars().map(|symbol| symbol as u8).collect()).expect("UTF-8");
    assert!(shown.contains("✔") && shown.contains("✖") && shown.contains("toolctl serve"), "{shown}");
    assert!(shown.contains("1 problem, 0 warnings"), "{shown}");
    let lines = daemon.cli(&["doctor"]).exits(1).stdout;
    assert!(lines.lines().all(|line| line.split('\t').count() == 4), "{lines}");
}

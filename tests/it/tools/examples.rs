//! The files in `examples/tools` do what they say, each against something that looks like the real thing.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{call, daemon};
use crate::support::Daemon;

/// The file of this name, with what stands for the real things put in their place.
fn example(name: &str, places: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join("tools").join(name);
    let text = std::fs::read_to_string(path).expect("the example");
    places.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "`{from}` in {name}");
        text.replace(from, to)
    })
}

/// A program of this machine, where it has it.
fn program(name: &str) -> Option<String> {
    let found = ["/usr/local/bin", "/usr/bin", "/bin"].map(|folder| format!("{folder}/{name}"));
    found.into_iter().find(|path| Path::new(path).exists())
}

#[test]
fn units_are_looked_at_by_all_and_restarted_after_a_person_agrees() {
    let fake = "#!/bin/sh\necho \"$@\" >> \"${0%/*}/asked\"\n[ \"$1\" = show ] && echo ActiveState=active\nexit 0\n";
    let text = example("systemd.toml", &[("program = \"systemctl\"", "program = \"./systemctl\"")]);
    let daemon = daemon(&[("systemd.toml", &text), ("systemctl", fake)]);
    let agent = daemon.agent("bot");
    let shown = daemon.cli(&["call", "unit_state", "--unit", "nginx.service"]).key(&agent).exits(0).json();
    assert_eq!(shown, json!({"lines": ["ActiveState=active"]}));
    daemon.cli(&["call", "unit_state", "--unit", "--all"]).key(&agent).exits(2);
    daemon.cli(&["call", "restart_unit", "--unit", "sshd.service"]).key(&agent).exits(2);
    daemon.cli(&["call", "restart_unit", "--unit", "nginx.service", "--no-wait"]).key(&agent).exits(8);
    let dossier = daemon.http("GET", "/v1/approvals/1").send().json();
    let runs = dossier["runs"].as_array().expect("what would run");
    assert_eq!(runs[1..], [json!("restart"), json!("--"), json!("nginx.service")], "{dossier}");
    daemon.cli(&["approve", "1", "--yes"]).exits(0);
    let asked = std::fs::read_to_string(super::path(&daemon, "asked")).expect("what it was asked");
    assert_eq!(
        asked,
        "show --property=ActiveState,SubState,ActiveEnterTimestamp -- nginx.service\nrestart -- nginx.service\n"
    );
}

#[test]
fn the_log_of_a_repository_is_read_and_nothing_else() {
    let Some(git) = program("git") else { return };
    let repository = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&git);
        command.arg("-C").arg(repository.path()).args(arguments).env_clear().env("HOME", repository.path());
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Ann").env(format!("GIT_{role}_EMAIL"), "ann@example.com");
            command.env(format!("GIT_{role}_DATE"), "2026-11-23T10:00:00Z");
        }
        let output = command.output().expect("git runs");
        assert!(output.status.success(), "{output:?}");
    };
    run(&["init", "-q"]);
    run(&["commit", "-q", "--allow-empty", "-m", "shop: open"]);
    run(&["commit", "-q", "--allow-empty", "-m", "shop: close"]);
    let place = repository.path().display().to_string();
    let text = example("git.toml", &[("/srv/shop", &place), ("program = \"git\"", &format!("program = \"{git}\""))]);
    let daemon = daemon(&[("git.toml", &text)]);
    let answer = call(&daemon, "git_log", &json!({"count": 1, "since": "2026-11-01"}));
    if answer["error"]["detail"].as_str().is_some_and(|why| why.contains("cannot be had here")) {
        return;
    }
    let lines = answer["output"]["lines"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(lines.len(), 1, "{answer}");
    assert!(lines[0].as_str().is_some_and(|line| line.ends_with("Ann shop: close")), "{answer}");
    let refused = call(&daemon, "git_log", &json!({"since": "2026-11-01 --output=/etc/x"}));
    assert_eq!(refused["code"], "arguments-invalid");
}

#[test]
fn a_database_is_asked_with_typed_holes() {
    let Some(sqlite) = program("sqlite3") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("shop.db").display().to_string();
    let rows = "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, total REAL);\
                INSERT INTO orders VALUES (1, 7, 9.5), (2, 7, 20), (3, 8, 1);";
    assert!(Command::new(&sqlite).args([&base, rows]).status().expect("sqlite3 runs").success());
    let text = example(
        "sqlite.toml",
        &[("/srv/shop/shop.db", &base), ("program = \"sqlite3\"", &format!("program = \"{sqlite}\""))],
    );
    let daemon: Daemon = daemon(&[("sqlite.toml", &text)]);
    let answer = call(&daemon, "orders_of_customer", &json!({"customer_id": 7}));
    let rows = json!({"result": [{"id": 2, "total": 20}, {"id": 1, "total": 9.5}]});
    assert_eq!(answer["output"], rows, "{answer}");
    let refused = call(&daemon, "orders_of_customer", &json!({"customer_id": "7; DROP TABLE orders"}));
    assert_eq!(refused["code"], "arguments-invalid");
}

#[test]
fn every_example_is_run_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join("tools");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .expect("examples")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, ["git.toml", "sqlite.toml", "systemd.toml"]);
}

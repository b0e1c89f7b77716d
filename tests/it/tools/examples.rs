//! The files in `examples/tools` do what they say, each against something that looks like the real thing.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{call, daemon};
use crate::support::server::answer;
use crate::support::{Daemon, Server};

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

/// The example at this server, with these secrets.
fn at(server: &Server, name: &str, url: &str, secrets: &[(&str, &str)]) -> Daemon {
    let allow = format!("[tool.http]\nallow = [\"{}\"]", server.place());
    let text = example(name, &[(url, &server.url()), ("[tool.http]", &allow)]);
    let mut daemon = Daemon::prepared(&[], secrets);
    super::put(&daemon, &[(name, &text)]);
    daemon.restart();
    daemon
}

#[test]
fn a_shop_is_asked_noted_and_pays_back_once() {
    let order = json!({"data": {"id": "A-1027", "state": "paid", "cents": 1250, "refunded": true}});
    let server = Server::start(move |heard, stream| match (heard.method.as_str(), heard.target.as_str()) {
        ("GET", target) if target.starts_with("/api/v1/customers/") => {
            answer(stream, 200, r#"{"data":[{"id":"A-1027","state":"paid"}],"meta":{"total":1}}"#);
        }
        ("GET", _) => answer(stream, 200, &order.to_string()),
        ("POST", "/api/v1/orders/A-1027/notes") => answer(stream, 201, r#"{"data":{"id":3}}"#),
        ("POST", "/api/v1/orders/A-404/notes") => answer(stream, 404, r#"{"error":{"message":"no such order"}}"#),
        // It pays, and its answer is lost.
        _ => {}
    });
    let daemon = at(&server, "rest.toml", "https://shop.example.com", &[("SHOP_TOKEN", "the-shop-token")]);
    let agent = daemon.agent("bot");
    let run = |args: &[&str]| daemon.cli(args).key(&agent);
    let found =
        run(&["call", "find_orders", "--customer-id", "1", "--states", "paid", "--states", "open"]).exits(0).json();
    assert_eq!(found, json!({"orders": [{"id": "A-1027", "state": "paid"}], "total": 1}));
    assert_eq!(server.heard()[0].target, "/api/v1/customers/1/orders?limit=20&sort=-created&state=paid&state=open");
    assert_eq!(server.heard()[0].headers["authorization"], "Bearer the-shop-token");
    let noted = run(&["call", "note_on_order", "--order-id", "A-1027", "--text", "Called \"back\""]).exits(0).json();
    assert_eq!(noted, json!({"id": 3}));
    assert_eq!(server.heard()[1].body, r#"{"source":"toolctl","text":"Called \"back\"","urgent":false}"#);
    let gone = run(&["call", "note_on_order", "--order-id", "A-404", "--text", "x"]).exits(3);
    assert!(gone.stderr.contains("no such order"), "{}", gone.stderr);
    run(&["call", "note_on_order", "--order-id", "../x", "--text", "x"]).exits(2);
    run(&["call", "refund_order", "--order-id", "A-1027", "--cents", "1250", "--no-wait"]).exits(8);
    let dossier = daemon.http("GET", "/v1/approvals/1").send().json();
    assert_eq!(dossier["preview"]["output"]["cents"], 1250, "{dossier}");
    let _told = daemon.cli(&["approve", "1", "--yes"]).ends();
    let refund = call_of(&daemon, "refund_order");
    assert_eq!(
        (&refund["state"], &refund["effect"]),
        (&json!("succeeded"), &json!("done")),
        "the probe knows: {refund}"
    );
    let paid = server.heard().iter().filter(|heard| heard.target.ends_with("/refund")).count();
    assert_eq!(paid, 1);
}

fn call_of(daemon: &Daemon, tool: &str) -> serde_json::Value {
    let listed = || daemon.http("GET", &format!("/v1/calls?tool={tool}")).send().json()["calls"][0].clone();
    crate::support::until(|| {
        Some(listed()).filter(|call| !matches!(call["state"].as_str(), Some("running" | "in_doubt")))
    })
}

#[test]
fn a_message_reaches_a_real_channel_once() {
    let server = Server::start(|_, stream| answer(stream, 200, "ok"));
    let daemon = at(&server, "webhook.toml", "https://hooks.slack.com", &[("SLACK_HOOK", "T01/B02/s3cr3t-part")]);
    let agent = daemon.agent("bot");
    let notify =
        || daemon.cli(&["call", "notify", "--text", "Disk full", "--severity", "page", "--idempotency-key", "n1"]);
    assert_eq!(notify().key(&agent).exits(0).json(), json!({"text": "ok"}));
    assert_eq!(notify().key(&agent).exits(0).json(), json!({"text": "ok"}), "from the record");
    let heard = server.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(
        (heard[0].target.as_str(), heard[0].body.as_str()),
        ("/services/T01/B02/s3cr3t-part", r#"{"text":"[page] Disk full"}"#)
    );
    let log = daemon.http("GET", "/v1/audit").send();
    assert!(!String::from_utf8_lossy(&log.body).contains("s3cr3t-part"));
}

#[test]
fn every_example_is_run_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join("tools");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .expect("examples")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    // The servers of others come from npm: `scripts/mcp-upstreams` runs them.
    found.retain(|file| !["everything.toml", "filesystem.toml"].contains(&file.as_str()));
    assert_eq!(found, ["git.toml", "rest.toml", "sqlite.toml", "systemd.toml", "webhook.toml"]);
}

//! `serve`, `status`, `stop`, `reload`, `version`, `whoami`: the daemon seen from its command line.

use serde_json::json;

use super::fails;
use crate::support::Daemon;

#[test]
fn serve_says_where_it_listens_and_what_to_type_next() {
    let mut daemon = Daemon::prepared(&[], &[]);
    let said = daemon.restart().join("\n");
    assert!(said.contains(daemon.socket().to_str().expect("UTF-8")), "{said}");
    assert!(said.contains("toolctl "), "it says what to type next: {said}");
}

#[test]
fn status_is_for_people_and_programs() {
    let daemon = Daemon::start();
    let report = daemon.cli(&["-o", "json", "status"]).json();
    assert_eq!((&report["pid"], &report["tools"], &report["store"]), (&json!(daemon.pid()), &json!(5), &json!("ok")));
    let plain = daemon.cli(&["status"]).succeeds();
    assert!(plain.contains(&daemon.pid().to_string()), "{plain}");
    fails(daemon.cli(&["-o", "json", "status", "--socket", "elsewhere.sock"]), 7);
}

#[test]
fn stop_lets_the_daemon_end_cleanly() {
    let mut daemon = Daemon::start();
    daemon.cli(&["stop"]).exits(0);
    assert_eq!(daemon.ended(), Some(0));
    fails(daemon.cli(&["-o", "json", "status"]), 7);
    assert!(!daemon.socket().exists(), "its socket is gone");
    daemon.restart();
    assert_eq!(daemon.audit("kind=daemon.stopped").len(), 1);
}

#[test]
fn only_administrators_stop_it() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    fails(daemon.cli(&["-o", "json", "stop"]).key(&agent), 5);
    fails(daemon.cli(&["-o", "json", "reload"]).key(&agent), 5);
    daemon.cli(&["status"]).exits(0);
}

#[test]
fn reload_says_what_changed() {
    let daemon = Daemon::start();
    let before = daemon.cli(&["-o", "json", "reload"]).json();
    daemon.configure("policies/main.cedar", "@id(\"all\") permit (principal, action, resource);");
    let after = daemon.cli(&["-o", "json", "reload"]).json();
    assert_ne!(before["policy"], after["policy"]);
    assert!(!after["changes"].as_array().expect("changes").is_empty());
    daemon.cli(&super::CHANGE).exits(0);
    assert!(daemon.audit("kind=policy.activated").len() >= 2);
}

#[test]
fn reload_names_what_counts_after_a_restart() {
    let mut daemon = Daemon::start();
    daemon
        .configure("toolctl.toml", "[local]\nallow_self_approval = false\n[mcp]\nhold = \"1s\"\n[limits]\nburst = 7\n");
    let later = |daemon: &Daemon| -> Vec<String> {
        let reply = daemon.cli(&["-o", "json", "reload"]).json();
        let changes = reply["changes"].as_array().expect("changes").iter();
        let changes = changes.map(|change| change.as_str().expect("text").to_owned());
        changes.filter(|change| change.contains("counts after a restart")).collect()
    };
    assert_eq!(
        later(&daemon),
        [
            "`[mcp] hold` is another than at the start: it counts after a restart",
            "`[local] allow_self_approval` is another than at the start: it counts after a restart",
        ]
    );
    assert_eq!(later(&daemon).len(), 2, "until the restart, every time");
    daemon.kill();
    daemon.restart();
    assert_eq!(later(&daemon), [""; 0]);
}

#[test]
fn version_needs_no_daemon() {
    let daemon = Daemon::prepared(&[], &[]);
    let version = daemon.cli(&["-o", "json", "version"]).json();
    assert_eq!((&version["client"], &version["daemon"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(null)));
    let daemon = Daemon::start();
    assert_eq!(daemon.cli(&["-o", "json", "version"]).json()["daemon"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_socket_is_named_by_flag_before_environment() {
    let daemon = Daemon::start();
    let socket = daemon.socket();
    let socket = socket.to_str().expect("UTF-8");
    daemon.cli(&["--socket", socket, "status"]).env("TOOLCTL_SOCKET", "nowhere.sock").exits(0);
    daemon.cli(&["status"]).env("TOOLCTL_SOCKET", "nowhere.sock").exits(7);
}

#[test]
fn a_daemon_on_tcp_is_reached_with_a_key() {
    let daemon = Daemon::start_with(&["--listen", "127.0.0.1:0"], &[]);
    let agent = daemon.agent("bot");
    let url = format!("http://{}", daemon.tcp().host());
    daemon.cli(&["--socket", &url, "whoami"]).key(&agent).exits(0);
    daemon.cli(&["--socket", &url, "whoami"]).exits(4);
    daemon.cli(&["--socket", "http://127.0.0.1:1", "whoami"]).key(&agent).exits(7);
}

#[test]
fn the_demo_is_a_smoke_test_of_the_whole() {
    let daemon = Daemon::prepared(&[], &[]);
    let before: Vec<_> = std::fs::read_dir(daemon.dir()).expect("a folder").collect();
    let ending = daemon.cli(&["demo", "--fast"]).exits(0);
    assert!(!ending.stdout.is_empty() || !ending.stderr.is_empty());
    let after: Vec<_> = std::fs::read_dir(daemon.dir()).expect("a folder").collect();
    assert_eq!(before.len(), after.len(), "it leaves nothing");
}

#[test]
fn the_demo_needs_nothing_and_shows_all_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let tour = crate::support::Story::new(folder.path(), &["demo", "--fast", "-o", "json"]).json();
    let scenarios = tour["scenarios"].as_array().expect("scenarios");
    assert_eq!(scenarios.len(), 2);
    assert_eq!((&scenarios[0]["idempotent_replay"], &scenarios[1]["idempotent_replay"]), (&json!(false), &json!(true)));
    assert_eq!(scenarios[0]["ticket_id"], scenarios[1]["ticket_id"]);
    assert_eq!(scenarios[0]["approved_by"], json!(["user:dana"]));
    assert_eq!(tour["denied"]["code"], "policy-denied");
    assert_eq!((&tour["audit"]["verified"], &tour["audit"]["tamper_detected"]), (&json!(true), &json!(true)));
    let told = crate::support::Story::new(folder.path(), &["demo", "--fast"]).succeeds();
    assert!(told.contains("waits for people: #1; nothing has run"), "{told}");
}

//! `toolctl keys` and `--as`: a secret is printed once, stored for its owner only, and gone when revoked.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{TICKET, fails, with};
use crate::support::Daemon;

#[test]
fn a_key_is_the_only_thing_on_stdout() {
    let daemon = Daemon::start();
    let made = daemon.cli(&["keys", "create", "bot"]).exits(0);
    let key = made.stdout.trim();
    assert!(key.starts_with("tctl_a_") && !key.contains(char::is_whitespace), "{key}");
    assert!(!made.stderr.contains(key), "{}", made.stderr);
    let me = daemon.cli(&["-o", "json", "whoami"]).key(key).json();
    assert_eq!((&me["principal"], &me["groups"]), (&json!("agent:bot"), &json!(["agents"])));
    assert!(!daemon.cli(&["keys", "list"]).succeeds().contains(key));
}

#[test]
fn a_saved_key_is_its_owners_alone_and_used_by_name() {
    let daemon = Daemon::start();
    let made = daemon.cli(&["keys", "create", "anna", "--kind", "user", "--group", "approvers", "--save"]).exits(0);
    assert!(!made.stdout.contains("tctl_"), "{}", made.stdout);
    let path = daemon.dir().join("config").join("keys").join("anna");
    let mode = std::fs::metadata(&path).expect("the key").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let me = daemon.cli(&["-o", "json", "--as", "anna", "whoami"]).json();
    assert_eq!(me["principal"], "user:anna");
    fails(daemon.cli(&["-o", "json", "--as", "nobody", "whoami"]), 4);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let error = fails(daemon.cli(&["-o", "json", "--as", "anna", "whoami"]), 4);
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn a_key_comes_from_the_environment_or_a_file() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let path = daemon.dir().join("my-key");
    std::fs::write(&path, format!("{agent}\n")).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let who = |name: &str, value: &str| {
        let me = daemon.cli(&["-o", "json", "whoami"]).env(name, value).json();
        me["principal"].as_str().expect("a name").to_owned()
    };
    assert_eq!(who("TOOLCTL_KEY", &agent), "agent:bot");
    assert_eq!(who("TOOLCTL_KEY_FILE", path.to_str().expect("UTF-8")), "agent:bot");
    std::fs::create_dir_all(daemon.dir().join("config")).expect("a folder");
    std::fs::copy(&path, daemon.dir().join("config").join("key")).expect("a copy");
    let me = daemon.cli(&["-o", "json", "whoami"]).json();
    assert_eq!(me["principal"], "agent:bot", "the config folder's `key`");
}

#[test]
fn scopes_and_expiry_are_given_as_flags() {
    let daemon = Daemon::start();
    let flags = [
        "-o",
        "json",
        "keys",
        "create",
        "bot",
        "--tools",
        "search_*",
        "--greatest-effect",
        "readonly",
        "--expires",
        "2h",
    ];
    let made = daemon.cli(&flags).json();
    assert_eq!(made["info"]["scope"], json!({"tools": ["search_*"], "greatest_effect": "readonly"}), "{made}");
    assert!(made["info"]["expires_at"].is_string());
    let key = made["key"].as_str().expect("a key");
    daemon.cli(&["call", "search_customer", "--query", "a"]).key(key).exits(0);
    fails(daemon.cli(&with(&["-o", "json"], &TICKET)).key(key), 2);
}

#[test]
fn revoking_asks_first_and_ends_a_key() {
    let daemon = Daemon::start();
    let made = daemon.cli(&["-o", "json", "keys", "create", "bot"]).json();
    let (key, id) = (made["key"].as_str().expect("a key"), made["info"]["id"].as_str().expect("an id"));
    let refused = daemon.cli(&["keys", "revoke", id]).exits(2);
    assert!(refused.stderr.contains("-y"), "{}", refused.stderr);
    daemon.cli(&["whoami"]).key(key).exits(0);
    daemon.cli(&["-y", "keys", "revoke", id]).exits(0);
    fails(daemon.cli(&["-o", "json", "whoami"]).key(key), 4);
    assert_eq!(daemon.audit("kind=key.revoked").len(), 1);
}

#[test]
fn rotating_gives_a_new_key_and_keeps_the_principal() {
    let daemon = Daemon::start();
    let made = daemon.cli(&["-o", "json", "keys", "create", "bot"]).json();
    let id = made["info"]["id"].as_str().expect("an id");
    let new = daemon.cli(&["keys", "rotate", id, "--overlap", "1h"]).exits(0).stdout;
    assert_eq!(daemon.cli(&["-o", "json", "whoami"]).key(new.trim()).json()["principal"], "agent:bot");
    assert_eq!(
        daemon.cli(&["-o", "json", "whoami"]).key(made["key"].as_str().expect("a key")).json()["principal"],
        "agent:bot"
    );
}

#[test]
fn a_child_is_made_from_the_key_in_use() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let child =
        daemon.cli(&["keys", "create", "sub", "--from-current", "--tools", "search_customer"]).key(&agent).exits(0);
    let child = child.stdout.trim().to_owned();
    daemon.cli(&["call", "search_customer", "--query", "a"]).key(&child).exits(0);
    fails(daemon.cli(&with(&["-o", "json"], &TICKET)).key(&child), 2);
    fails(daemon.cli(&["-o", "json", "keys", "create", "free"]).key(&agent), 5);
}

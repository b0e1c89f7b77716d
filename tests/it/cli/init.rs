//! `toolctl init`: a client gets an entry in its own file and a key of its own; what was there stays.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fails;
use super::inbox::{ends, press, sees, terminal};
use crate::support::{Daemon, Story};

const MINE: &str =
    "{\n  // mine\n  \"mcpServers\": {\n    \"other\": {\"command\": \"x\", \"env\": {\"TOKEN\": \"hush\"}}\n  }\n}\n";

/// Writes a client's file.
fn given(daemon: &Daemon, name: &str, text: &str) -> PathBuf {
    let path = daemon.dir().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
    fs::write(&path, text).expect("the file");
    path
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the file")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file").permissions().mode() & 0o777
}

/// Everything in the folder of a file.
fn beside(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path.parent().expect("a folder")).expect("the folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_client_gets_its_entry_and_a_key_of_its_own() {
    let daemon = Daemon::start();
    let path = given(&daemon, ".cursor/mcp.json", MINE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
    let done = daemon.cli(&["-o", "json", "init", "cursor", "--yes"]).json();
    assert_eq!((&done["change"], &done["key"]["change"]), (&json!("added"), &json!("made")), "{done}");
    let text = read(&path);
    assert!(
        text.starts_with(
            "{\n  // mine\n  \"mcpServers\": {\n    \"other\": {\"command\": \"x\", \"env\": {\"TOKEN\": \"hush\"}},\n"
        ),
        "{text}"
    );
    assert!(!text.contains("tctl_") && !done.to_string().contains("hush"), "{text}\n{done}");
    assert_eq!(mode(&path), 0o640);
    assert_eq!(done["entry"]["args"], json!(["mcp", "--as", "cursor", "--autostart"]));
    assert_eq!(done["entry"]["command"], env!("CARGO_BIN_EXE_toolctl"));
    let config = daemon.dir().join("config");
    assert_eq!(done["entry"]["env"]["TOOLCTL_CONFIG_DIR"], config.to_string_lossy().into_owned());
    let backup = PathBuf::from(done["backup"].as_str().expect("a backup"));
    assert_eq!((read(&backup).as_str(), mode(&backup)), (MINE, 0o640));
    assert_eq!(mode(&config.join("keys/cursor")), 0o600);
    let me = daemon.cli(&["-o", "json", "--as", "cursor", "whoami"]).json();
    assert_eq!((&me["principal"], &me["groups"]), (&json!("agent:cursor"), &json!(["agents"])));

    let again = daemon.cli(&["-o", "json", "init", "cursor"]).json();
    assert_eq!((&again["change"], &again["diff"], &again["backup"]), (&json!("unchanged"), &json!(""), &Value::Null));
    assert_eq!((read(&path), beside(&path).len()), (text, 2));
    assert_eq!(daemon.audit("kind=key.created").len(), 1);
}

#[test]
fn every_client_can_be_set_up_and_undone() {
    let daemon = Daemon::start();
    for client in ["claude-code", "claude-desktop", "cursor", "vscode", "codex", "gemini", "goose"] {
        let done = daemon.cli(&["-o", "json", "init", client, "-y"]).json();
        let path = PathBuf::from(done["file"].as_str().expect("a file"));
        assert!(path.starts_with(daemon.dir()) && read(&path).contains(client), "{done}");
        assert_eq!(daemon.cli(&["-o", "json", "init", client]).json()["change"], "unchanged", "{client}");
        let undone = daemon.cli(&["-o", "json", "init", client, "--undo", "-y"]).json();
        assert_eq!((&undone["change"], path.exists()), (&json!("deleted"), false), "{undone}");
        assert_eq!(daemon.cli(&["-o", "json", "init", client, "--undo"]).json()["change"], "absent");
    }
}

#[test]
fn nothing_is_written_unless_somebody_says_so() {
    let daemon = Daemon::start();
    let path = given(&daemon, ".cursor/mcp.json", MINE);
    let refused = daemon.cli(&["init", "cursor"]).exits(2);
    assert!(
        refused.stderr.contains("+    \"toolctl\": {") && refused.stderr.contains("toolctl init cursor --yes"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("hush"), "{}", refused.stderr);
    assert_eq!((read(&path).as_str(), beside(&path).len()), (MINE, 1));
    assert_eq!(daemon.audit("kind=key.created").len(), 0);
}

#[test]
fn without_a_daemon_nothing_changes_and_printing_works() {
    let daemon = Daemon::prepared(&[], &[]);
    let path = given(&daemon, ".codex/config.toml", "model = \"x\"\n");
    let error = fails(daemon.cli(&["-o", "json", "init", "codex", "--yes"]), 7);
    assert!(error.to_string().contains("toolctl serve"), "{error}");
    assert_eq!((read(&path).as_str(), beside(&path).len()), ("model = \"x\"\n", 1));
    let printed = daemon.cli(&["init", "codex", "--print", "--socket", "/s/x.sock"]).exits(0).stdout;
    assert!(printed.starts_with("[mcp_servers.toolctl]\ncommand = "), "{printed}");
    assert!(printed.contains("\"--as\", \"codex\", \"--autostart\", \"--socket\", \"/s/x.sock\"]"), "{printed}");
    let printed = daemon.cli(&["-o", "json", "init", "vscode", "--print", "--project"]).json();
    assert!(printed["file"].as_str().expect("a file").ends_with("/.vscode/mcp.json"), "{printed}");
    let snippet: Value = serde_json::from_str(printed["snippet"].as_str().expect("text")).expect("JSON");
    assert_eq!(snippet["servers"]["toolctl"]["type"], "stdio");
}

#[test]
fn undo_gives_back_what_was_there_byte_for_byte() {
    let daemon = Daemon::start();
    let before = "{\"mcpServers\":{\"other\":{\"command\":\"x\"}},\"z\":1}";
    let path = given(&daemon, ".gemini/settings.json", before);
    daemon.cli(&["init", "gemini", "-y"]).exits(0);
    let undone = daemon.cli(&["-o", "json", "init", "gemini", "--undo", "--revoke-key", "-y"]).json();
    assert_eq!((&undone["change"], &undone["key"]["change"]), (&json!("restored"), &json!("revoked")), "{undone}");
    assert_eq!((read(&path).as_str(), beside(&path)), (before, vec!["settings.json".to_owned()]));
    assert!(!daemon.dir().join("config/keys/gemini").exists());
    assert_eq!(daemon.audit("kind=key.revoked").len(), 1);
}

#[test]
fn a_key_that_other_entries_use_is_not_revoked_unawares() {
    let daemon = Daemon::start();
    daemon.cli(&["init", "claude-code", "-y"]).exits(0);
    daemon.cli(&["init", "claude-code", "--project", "-y"]).exits(0);
    daemon.cli(&["init", "claude-code", "--name", "second", "-y"]).exits(0);
    let error = fails(daemon.cli(&["-o", "json", "init", "claude-code", "--undo", "--revoke-key", "-y"]), 12);
    assert_eq!(error["code"], "key-in-use", "{error}");
    let message = error["message"].as_str().expect("text");
    assert!(message.contains("`toolctl` in `") && message.contains("`second` in `"), "{message}");
    assert!(error["hint"].as_str().expect("a hint").contains("`--force`"), "{error}");
    daemon.cli(&["--as", "claude-code", "whoami"]).exits(0);
    assert!(read(&daemon.dir().join(".claude.json")).contains("\"toolctl\""), "nothing was taken out");
    let forced = daemon.cli(&["init", "claude-code", "--undo", "--revoke-key", "--force", "-y"]).exits(0);
    assert!(forced.stderr.contains("`second` in `"), "{}", forced.stderr);
    assert_eq!(daemon.audit("kind=key.revoked").len(), 1);
}

#[test]
fn undo_after_other_changes_takes_out_the_entry_alone() {
    let daemon = Daemon::start();
    let path = given(&daemon, ".cursor/mcp.json", MINE);
    daemon.cli(&["init", "cursor", "-y"]).exits(0);
    fs::write(&path, read(&path).replace("// mine", "// mine, changed")).expect("a change");
    let undone = daemon.cli(&["-o", "json", "init", "cursor", "--undo", "-y"]).json();
    assert_eq!((&undone["change"], read(&path)), (&json!("removed"), MINE.replace("// mine", "// mine, changed")));
    daemon.cli(&["--as", "cursor", "whoami"]).exits(0);
}

#[test]
fn a_dead_key_is_made_anew_and_a_persons_is_never_lent() {
    let daemon = Daemon::start();
    daemon.cli(&["init", "cursor", "-y"]).exits(0);
    let me = daemon.cli(&["-o", "json", "--as", "cursor", "whoami"]).json();
    daemon.cli(&["-y", "keys", "revoke", me["credential"].as_str().expect("a key")]).exits(0);
    let done = daemon.cli(&["-o", "json", "init", "cursor", "-y"]).json();
    assert_eq!((&done["change"], &done["key"]["change"]), (&json!("unchanged"), &json!("made anew")), "{done}");
    daemon.cli(&["--as", "cursor", "whoami"]).exits(0);

    daemon.cli(&["keys", "create", "goose", "--kind", "user", "--save"]).exits(0);
    let error = fails(daemon.cli(&["-o", "json", "init", "goose", "-y"]), 12);
    assert_eq!(error["code"], "key-taken", "{error}");
    assert!(!daemon.dir().join(".config/goose").exists());
}

#[test]
fn a_link_stays_a_link_and_a_read_only_file_stays_as_it_is() {
    let daemon = Daemon::start();
    let real = given(&daemon, "dotfiles/mcp.json", MINE);
    fs::create_dir_all(daemon.dir().join(".cursor")).expect("the folder");
    let link = daemon.dir().join(".cursor/mcp.json");
    symlink("../dotfiles/mcp.json", &link).expect("a link");
    daemon.cli(&["init", "cursor", "-y"]).exits(0);
    assert!(fs::symlink_metadata(&link).expect("the link").is_symlink() && read(&real).contains("toolctl"));
    daemon.cli(&["init", "cursor", "--undo", "-y"]).exits(0);
    assert_eq!(read(&real), MINE);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o444)).expect("a mode");
    let error = fails(daemon.cli(&["-o", "json", "init", "cursor", "-y"]), 1);
    assert!(error["message"].as_str().expect("text").contains("cannot write"), "{error}");
    assert_eq!((read(&real).as_str(), beside(&real).len()), (MINE, 1));
}

#[test]
fn what_cannot_be_understood_is_left_alone() {
    let daemon = Daemon::start();
    let path = given(&daemon, ".cursor/mcp.json", "{\n  \"mcpServers\": {\n    oops\n  }\n}\n");
    let error = fails(daemon.cli(&["-o", "json", "init", "cursor", "-y"]), 1);
    assert_eq!(error["code"], "config-malformed", "{error}");
    assert!(error["message"].as_str().expect("text").contains("mcp.json:3: "), "{error}");
    assert_eq!(beside(&path).len(), 1);
    fs::create_dir_all(daemon.dir().join(".codex/config.toml")).expect("a folder");
    assert_eq!(fails(daemon.cli(&["-o", "json", "init", "codex", "-y"]), 1)["code"], "not-a-file");
    let error = fails(daemon.cli(&["-o", "json", "init", "cursr"]), 2);
    assert!(error["hint"].as_str().expect("a hint").contains("`cursor`"), "{error}");
    fails(daemon.cli(&["-o", "json", "init", "codex", "--project", "-y"]), 2);
    assert_eq!(daemon.audit("kind=key.created").len(), 0);
}

#[test]
fn nothing_of_others_is_shown() {
    let daemon = Daemon::start();
    let entry = "{\"command\": \"x CANARY\", \"args\": [\"--api-key\",\n\"CANARY\"], // CANARY\n\"url\": \"postgres://u:CANARY@h/db\", \"env\": {\"OPENAI_KEY\": \"CANARY\"}}";
    let json = format!("{{\"mcpServers\": {{\"a\": {entry}}}}}\n");
    let one_line = "{\"mcpServers\":{\"a\":{\"command\":\"x\",\"env\":{\"OPENAI_KEY\":\"CANARY\"}}}}";
    let forced = "{\"mcpServers\": {\"toolctl\": {\"url\": \"https://u:CANARY@h/CANARY?k=CANARY\"}}}";
    let added = "{\"mcpServers\": {\"toolctl\": {\"command\": \"/old/toolctl\", \"args\": [\"mcp\", \"--key\", \"CANARY\"], \"env\": {\"K\": \"CANARY\"}}}}";
    let toml = "k = 'CANARY' # CANARY\n[mcp_servers.a]\nargs = [\n  \"--api-key\",\n  \"CANARY\",\n]\nurl = \"\"\"\nCANARY = 1\"\"\"\n";
    let yaml = "extensions:\n  a:\n    args:\n      - --api-key\n      - CANARY\n    envs: {\"K\": \"CANARY\"}\n    pem: |\n      CANARY: 1 # CANARY\n    # CANARY\n";
    for (client, name, text) in [
        ("cursor", ".cursor/mcp.json", json.as_str()),
        ("cursor", ".cursor/mcp.json", one_line),
        ("cursor", ".cursor/mcp.json", forced),
        ("cursor", ".cursor/mcp.json", added),
        ("codex", ".codex/config.toml", toml),
        ("goose", ".config/goose/config.yaml", yaml),
    ] {
        let path = given(&daemon, name, text);
        // What stands in its place says nothing either.
        let refused = daemon.cli(&["init", client]).exits(if text == forced { 12 } else { 2 });
        assert!(!refused.stderr.contains("CANARY") && !refused.stdout.contains("CANARY"), "{}", refused.stderr);
        let done = daemon.cli(&["-o", "table", "init", client, "--force", "-y"]).exits(0);
        assert!(done.stderr.contains("+++") && !done.stderr.contains("CANARY"), "{}", done.stderr);
        let undone = daemon.cli(&["-o", "table", "init", client, "--force", "--undo", "-y"]).exits(0);
        assert!(undone.stderr.contains("+++") && !undone.stderr.contains("CANARY"), "{}", undone.stderr);
        fs::write(&path, text).expect("as before");
        let done = daemon.cli(&["-o", "json", "init", client, "--force", "-y"]).exits(0);
        assert!(done.stdout.contains("\"diff\"") && !done.stdout.contains("CANARY"), "{}", done.stdout);
    }
}

#[test]
fn the_difference_is_shown_once() {
    let daemon = Daemon::start();
    let path = given(&daemon, ".cursor/mcp.json", "{}\n");
    let quiet = daemon.cli(&["-q", "init", "cursor"]).exits(2);
    assert!(!quiet.stderr.contains("+++"), "{}", quiet.stderr);
    let piped = daemon.cli(&["init", "cursor", "-y"]).exits(0);
    assert!(!piped.stderr.contains("+++") && piped.stdout.matches("+++").count() == 1, "{}", piped.stderr);
    fs::write(path, "{}\n").expect("as before");
    let people = daemon.cli(&["-o", "table", "init", "cursor", "-y"]).exits(0);
    assert!(people.stderr.matches("+++").count() == 1 && !people.stdout.contains("+++"), "{}", people.stderr);
}

#[test]
fn undo_leaves_no_link_to_nothing() {
    let daemon = Daemon::start();
    let link = given(&daemon, ".cursor/mcp.json", "");
    fs::remove_file(&link).expect("no file");
    symlink("../mine.json", &link).expect("a link");
    daemon.cli(&["init", "cursor", "-y"]).exits(0);
    let undone = daemon.cli(&["-o", "json", "init", "cursor", "--undo", "-y"]).json();
    assert_eq!((&undone["change"], read(&link)), (&json!("removed"), String::new()));
    assert!(fs::symlink_metadata(&link).expect("the link").is_symlink());
}

#[test]
fn somebody_elses_entry_needs_force() {
    let daemon = Daemon::start();
    let taken =
        "{\"mcpServers\": {\"toolctl\": {\"url\": \"http://x\", \"headers\": {\"Authorization\": \"Bearer hush\"}}}}";
    let path = given(&daemon, ".cursor/mcp.json", taken);
    let error = fails(daemon.cli(&["-o", "json", "init", "cursor", "-y"]), 12);
    assert!(error["message"].as_str().expect("text").contains("`http://x`"), "{error}");
    assert!(!error.to_string().contains("hush"), "{error}");
    fails(daemon.cli(&["-o", "json", "init", "cursor", "--undo", "-y"]), 12);
    daemon.cli(&["init", "cursor", "--name", "ours", "-y"]).exits(0);
    assert!(read(&path).contains("\"ours\"") && read(&path).contains("http://x"));
    daemon.cli(&["init", "cursor", "--force", "-y"]).exits(0);
    assert!(!read(&path).contains("http://x"), "{}", read(&path));
}

#[test]
fn a_project_gets_a_file_of_its_own() {
    let daemon = Daemon::start();
    let done = daemon.cli(&["-o", "json", "init", "claude-code", "--project", "-y"]).json();
    assert_eq!(done["file"], daemon.dir().join(".mcp.json").to_string_lossy().into_owned());
    assert!(!daemon.dir().join(".claude.json").exists());
}

#[test]
fn clients_are_listed_and_completed() {
    let daemon = Daemon::start();
    given(&daemon, ".gemini/settings.json", "{}");
    daemon.cli(&["init", "cursor", "-y"]).exits(0);
    let listed = daemon.cli(&["-o", "json", "init"]).json();
    let of = |name: &str| {
        let clients = listed["clients"].as_array().expect("clients");
        let one = clients.iter().find(|one| one["client"] == name).expect("the client");
        (one["found"].as_bool().expect("a fact"), one["state"].as_str().expect("a state").to_owned())
    };
    assert_eq!(of("cursor"), (true, "set up".to_owned()));
    assert_eq!(of("gemini"), (true, "not set up".to_owned()));
    assert_eq!(of("goose"), (false, "not set up".to_owned()));
    assert_eq!(daemon.cli(&["init"]).succeeds().lines().count(), 7);
    let complete = Story::new(daemon.dir(), &["--", "toolctl", "init", "c"])
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", "2")
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_IFS", "\n")
        .exits(0);
    assert_eq!(complete.stdout.lines().collect::<Vec<_>>(), ["claude-code", "claude-desktop", "cursor", "codex"]);
}

#[test]
fn on_a_terminal_the_difference_is_shown_and_asked_about() {
    let daemon = Daemon::start();
    let path = given(&daemon, ".cursor/mcp.json", MINE);
    let mut session = terminal(&daemon, None, &["init", "cursor"]);
    let before = sees(&mut session, "Change ");
    assert!(before.contains("\u{1b}[32m") || before.contains("\u{1b}[1m\u{1b}[32m"), "coloured: {before:?}");
    sees(&mut session, "(y/n)");
    press(&mut session, "n");
    let (code, rest) = ends(session);
    assert!(code == 0 && rest.contains("nothing was changed"), "{code} {rest}");
    assert_eq!((read(&path).as_str(), daemon.audit("kind=key.created").len()), (MINE, 0));

    let mut session = terminal(&daemon, None, &["init"]);
    sees(&mut session, "Which one?");
    sees(&mut session, "goose");
    session.send_control('c').expect("Ctrl-C");
    assert_eq!(ends(session).0, 130);

    let mut session = terminal(&daemon, None, &["init"]);
    sees(&mut session, "Which one?");
    sees(&mut session, "goose");
    press(&mut session, "\r");
    sees(&mut session, "(y/n)");
    press(&mut session, "y");
    let (code, rest) = ends(session);
    assert_eq!(code, 0, "{rest}");
    assert!(read(&path).contains("\"toolctl\""), "the first that is found and not set up");
}

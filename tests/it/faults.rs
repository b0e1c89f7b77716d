//! What goes wrong around the daemon: it refuses to start and says what to do, or it keeps what it has; it
//! never runs anything without a record.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::http::{call, tool};
use crate::support::{Daemon, store, until};

/// A refusal to start that speaks to people.
#[track_caller]
fn refusal(daemon: &Daemon, parts: &[&str]) {
    let (_, said) = daemon.refuses();
    for part in parts {
        assert!(said.contains(part), "`{part}` in {said}");
    }
    for rust in ["panicked", "Error {", "Err(", "unwrap"] {
        assert!(!said.contains(rust), "`{rust}` in {said}");
    }
}

fn used() -> Daemon {
    let mut daemon = Daemon::start();
    for number in 0..20 {
        tool(&daemon, "create_ticket", &json!({"customer_id": 1, "title": format!("Ticket {number}")})).send().is(200);
    }
    assert_eq!(daemon.terminate(), Some(0));
    daemon
}

#[test]
fn a_damaged_store_is_not_opened() {
    let daemon = used();
    let file = store::file(&daemon);
    let mut bytes = std::fs::read(&file).expect("the store");
    for byte in bytes.iter_mut().take(512) {
        *byte ^= 0x5a;
    }
    std::fs::write(&file, &bytes).expect("the store");
    refusal(&daemon, &["store.redb"]);
    assert_eq!(std::fs::read(&file).expect("the store"), bytes, "what is damaged is left as it is");
}

#[test]
fn a_truncated_store_is_not_opened() {
    let daemon = used();
    let file = store::file(&daemon);
    let length = std::fs::metadata(&file).expect("the store").len();
    std::fs::OpenOptions::new().write(true).open(&file).expect("the store").set_len(length / 3).expect("a length");
    refusal(&daemon, &["store.redb"]);
}

#[test]
fn a_file_that_is_no_store_is_not_opened() {
    let daemon = used();
    std::fs::write(store::file(&daemon), b"hello").expect("the store");
    refusal(&daemon, &["store.redb"]);
}

#[test]
fn two_daemons_do_not_share_a_store_or_a_socket() {
    let daemon = Daemon::start();
    refusal(&daemon, &["store.redb", "toolctl stop"]);
    let other = daemon.dir().join("other.sock");
    let mut second = daemon.command();
    second.arg("--socket").arg(&other);
    let output = second.output().expect("the daemon starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && !said.contains("panicked"), "{said}");
    daemon.http("GET", "/health").send().is(200);
    call(&daemon, "create_ticket", &json!({"customer_id": 1, "title": "abc"})).send().is(200);
}

#[test]
fn a_stale_socket_is_replaced() {
    let mut daemon = Daemon::start();
    daemon.kill();
    assert!(daemon.socket().exists(), "a killed daemon leaves its socket");
    daemon.restart();
    daemon.http("GET", "/health").send().is(200);
}

#[test]
fn a_socket_path_that_is_too_long_is_told() {
    let daemon = Daemon::prepared(&[], &[]);
    let long = daemon.dir().join("x".repeat(120));
    let output = daemon.command().arg("--socket").arg(&long).output().expect("the daemon starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("the system allows") && said.contains("--socket") && !said.contains("panicked"), "{said}");
}

#[test]
fn an_unknown_setting_names_the_nearest() {
    let daemon = Daemon::prepared(&[], &[]);
    daemon.configure("toolctl.toml", "[servre]\nlisten = \"127.0.0.1:0\"\n");
    refusal(&daemon, &["servre", "server", "toolctl.toml"]);
    daemon.configure("toolctl.toml", "this is no toml");
    refusal(&daemon, &["toolctl.toml"]);
}

#[test]
fn a_bad_policy_is_refused_at_start_and_on_reload() {
    let bad = "@id(\"x\") permit (principal, action, resource) when { context.nothing.such };";
    let mut daemon = Daemon::prepared(&[], &[]);
    daemon.configure("policies/main.cedar", bad);
    refusal(&daemon, &["main.cedar"]);
    daemon.configure("policies/main.cedar", "permit permit");
    refusal(&daemon, &["main.cedar"]);

    daemon.configure("policies/main.cedar", "@id(\"all\") permit (principal, action, resource);");
    daemon.restart();
    let before = daemon.http("GET", "/v1/policy").send().text("/digest");
    daemon.configure("policies/main.cedar", bad);
    let refused = daemon.http("POST", "/v1/reload").json(&json!({})).send();
    assert!((400..500).contains(&refused.status), "{}", refused.status);
    assert_eq!(refused.text("/detail"), "the old rules stay in force: the policies have 3 faults");
    let place = refused.text("/errors/0/path");
    assert!(place.starts_with("main.cedar:1:"), "{}", refused.json());
    assert_eq!(daemon.http("GET", "/v1/policy").send().text("/digest"), before, "the old one stays in force");
    tool(&daemon, "create_ticket", &json!({"customer_id": 1, "title": "abc"})).send().is(200);
}

#[test]
fn sighup_reloads() {
    let daemon = Daemon::start();
    let before = daemon.http("GET", "/v1/policy").send().text("/digest");
    daemon.configure("policies/main.cedar", "@id(\"all\") permit (principal, action, resource);");
    daemon.signal("HUP");
    until(|| (daemon.http("GET", "/v1/policy").send().text("/digest") != before).then_some(()));
}

#[test]
fn sigterm_and_ctrl_c_end_it_cleanly() {
    for signal in ["TERM", "INT"] {
        let mut daemon = Daemon::start();
        tool(&daemon, "create_ticket", &json!({"customer_id": 1, "title": "abc"})).send().is(200);
        daemon.signal(signal);
        assert_eq!(daemon.ended(), Some(0), "{signal}");
        assert!(!daemon.socket().exists(), "{signal}: its socket is gone");
        daemon.restart();
        assert_eq!(daemon.audit("kind=daemon.stopped").len(), 1, "{signal}");
    }
}

#[test]
fn a_waiting_caller_does_not_hold_up_the_stop() {
    let mut daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let asked = crate::http::ask(&daemon, &agent, "k", "Suspended");
    let path = format!("/v1/calls/{}?wait=600s", asked["id"].as_str().expect("an id"));
    let waiting = daemon.http("GET", &path).key(&agent);
    let waiter = std::thread::spawn(move || waiting.try_send());
    let started = std::time::Instant::now();
    assert_eq!(daemon.terminate(), Some(0));
    assert!(started.elapsed().as_secs() < 25, "people may take an hour; a stop does not");
    // An answer about the call, a 503, or a closed connection: never a success that did not happen.
    let answer = waiter.join().expect("the waiter ends");
    assert!(answer.is_none_or(|answer| answer.status != 200 || answer.text("/state") == "awaiting_approval"));
}

#[test]
fn a_state_folder_that_cannot_be_written_is_told() {
    let daemon = Daemon::prepared(&[], &[]);
    std::fs::write(daemon.state(), b"a file in the way").expect("a file");
    refusal(&daemon, &["state"]);
}

#[test]
fn a_read_only_state_folder_is_told() {
    let daemon = used();
    let Some(_read_only) = Mount::read_only(&daemon.state()) else { return };
    refusal(&daemon, &["state"]);
}

#[test]
fn a_pepper_that_others_can_read_is_refused() {
    let daemon = used();
    let pepper = daemon.state().join("pepper");
    std::fs::set_permissions(&pepper, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    refusal(&daemon, &["pepper"]);
}

#[test]
fn on_a_full_disk_nothing_runs_without_a_record() {
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[]);
    std::fs::write(daemon.dir().join(".env"), crate::support::daemon::UNHURRIED).expect("the env file");
    std::fs::create_dir_all(daemon.state()).expect("the state folder");
    let Some(small) = Mount::small(&daemon.state(), "8m") else { return };
    daemon.restart();
    let text = "x".repeat(9_000);
    let mut made = 0_usize;
    let refused = loop {
        let ticket = json!({"customer_id": 1, "title": format!("Ticket {made}"), "description": text});
        let answer = tool(&daemon, "create_ticket", &ticket).once(&format!("k{made}")).send();
        if answer.status != 200 {
            break answer;
        }
        made += 1;
        assert!(made < 10_000, "the disk is never full");
    };
    refused.is_problem(503, "audit-unavailable");
    // A commit that fails is an unknown, not a failure: only the disk knows.
    let effect = refused.text("/effect");
    assert!(matches!(effect.as_str(), "none" | "unknown"), "{effect}");
    daemon.kill();
    // With room again, it starts, has all that was told and nothing that was refused.
    small.grow("64m");
    daemon.restart();
    let again = json!({"customer_id": 1, "title": "Ticket 0", "description": text});
    let replay = tool(&daemon, "create_ticket", &again).once("k0").send();
    assert_eq!(replay.is(200).json()["idempotent_replay"], true);
    assert_eq!(daemon.terminate(), Some(0));
    let tickets = store::reading(&daemon, async |store| store.tickets(100_000).await.expect("tickets").len());
    let most = made + usize::from(effect == "unknown");
    assert!(
        (made..=most).contains(&tickets),
        "{tickets} tickets, {made} were answered 200, the refused one said {effect}"
    );
}

/// A file system of the test's own over a folder; needs root. Undone when dropped.
struct Mount(std::path::PathBuf);

impl Mount {
    fn small(folder: &Path, size: &str) -> Option<Self> {
        Self::at(folder, &["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"])
    }

    fn read_only(folder: &Path) -> Option<Self> {
        let path = folder.to_str().expect("UTF-8");
        let mounted = Self::at(folder, &["--bind", path])?;
        let status = Command::new("mount").args(["-o", "remount,ro,bind", path]).status();
        if status.is_ok_and(|status| status.success()) {
            Some(mounted)
        } else {
            skipped("a bind mount cannot be read-only")
        }
    }

    fn at(folder: &Path, args: &[&str]) -> Option<Self> {
        let output = Command::new("mount").args(args).arg(folder).output();
        match output {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            Ok(output) => skipped(String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => skipped(&error.to_string()),
        }
    }

    fn grow(&self, size: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "a larger file system");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn skipped(why: &str) -> Option<Mount> {
    println!("SKIPPED: {why} (mounting needs root)");
    None
}

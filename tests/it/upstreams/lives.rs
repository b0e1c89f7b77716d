//! Servers live and die: with the daemon, before it, and beside one another.

use std::time::Instant;

use serde_json::{Value, json};

use super::fake::{self, count, tool};
use super::{call, server, until_up};
use crate::support::until;

/// Processes of this test program that serve from `folder`.
pub fn serving(folder: &std::path::Path) -> Vec<String> {
    let wanted = format!("FAKE_FOLDER={}", folder.display());
    let listing = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let has = |entry: &std::fs::DirEntry| {
        std::fs::read(entry.path().join("environ"))
            .is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()))
    };
    listing.filter(has).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_server_ends_with_its_daemon_however_that_ends() {
    let (mut daemon, folder) = fake::daemon("legacy", "", &[tool("a", "Does a.")]);
    assert!(!serving(&folder).is_empty());
    assert_eq!(daemon.terminate(), Some(0));
    until(|| serving(&folder).is_empty().then_some(()));
    assert_eq!(count(&folder, "ends"), 1, "it came to the end of its input");
    daemon.restart();
    until_up(&daemon);
    daemon.kill();
    until(|| serving(&folder).is_empty().then_some(()));
}

#[test]
fn a_server_that_will_not_end_is_ended_with_all_it_started() {
    let mut daemon = crate::support::Daemon::prepared(&[], &[]);
    let folder = daemon.dir().join("fake");
    std::fs::create_dir_all(&folder).expect("a folder");
    // It ignores what asks it to end, and has a child in a session of its own that does too.
    let script = "trap '' TERM HUP INT PIPE; (trap '' TERM; setsid sleep 1000 </dev/null >/dev/null 2>&1 &) ; \
        echo started > \"$FAKE_FOLDER/started\"; while :; do sleep 1000; done";
    daemon.configure(
        "tools/stubborn.toml",
        &format!(
            "[[upstream]]\nname = \"stubborn\"\ncommand = [\"sh\", \"-c\", {script:?}]\nenvironment = {{ FAKE_FOLDER = {:?} }}\n",
            folder.display().to_string()
        ),
    );
    daemon.restart();
    until(|| folder.join("started").exists().then_some(()));
    assert!(serving(&folder).len() >= 3, "{:?}", serving(&folder));
    daemon.kill();
    until(|| serving(&folder).is_empty().then_some(()));
}

#[test]
fn a_daemon_that_is_killed_in_the_middle_leaves_doubt_only_where_there_is_some() {
    for (effect, state) in [("once", "in_doubt"), ("idempotent", "succeeded")] {
        let more = format!("[upstream.tools.hang]\neffect = \"{effect}\"\ntimeout = \"50s\"\n");
        let (mut daemon, folder) = fake::daemon("legacy", &more, &[tool("hang", "Hangs.")]);
        let door = daemon.door();
        std::thread::spawn(move || {
            let body = json!({"tool": "fake.hang", "arguments": {}, "idempotency_key": "k"});
            // The daemon is killed while this waits.
            let _gone = door.http("POST", "/v1/calls").json(&body).try_send();
        });
        until(|| (count(&folder, "calls") == 1).then_some(()));
        daemon.kill();
        // The next server answers.
        let text = fake::manifest(&folder, "legacy", &more);
        daemon.configure("tools/fake.toml", &text);
        std::fs::write(folder.join("answers"), "").expect("written");
        daemon.restart();
        let key = json!({"tool": "fake.hang", "arguments": {}, "idempotency_key": "k", "wait": "20s"});
        let again = daemon.http("POST", "/v1/calls").json(&key).send().json();
        assert_eq!(again["state"], state, "{effect}: {again}");
        assert_eq!(count(&folder, "calls"), if effect == "once" { 1 } else { 2 });
        daemon.cli(&["audit", "verify"]).exits(0);
    }
}

#[test]
fn a_server_that_cannot_start_keeps_nobody_waiting() {
    let begun = Instant::now();
    let (daemon, folder) = fake::untrusted("exits", "", &[]);
    assert!(begun.elapsed().as_secs() < 30, "the daemon did not wait for it");
    let down = until(|| Some(server(&daemon)).filter(|server| server["state"] == "down"));
    let why = down["problem"].as_str().expect("why");
    assert!(why.contains("status 3") && why.contains("there is no license for this machine"), "{why}");
    until(|| (count(&folder, "starts") >= 2).then_some(()));
    assert_eq!(call(&daemon, "search_customer", &json!({"query": "a"}))["state"], "succeeded");
    // It is started again and again, so it is down most of the time.
    until(|| {
        let status = daemon.cli(&["-o", "table", "status"]).exits(0).stdout;
        (status.contains("fake is") && status.contains("no license")).then_some(())
    });
    let trust = daemon.cli(&["tools", "trust", "fake"]).exits(1).stderr;
    assert!(trust.contains("no license"), "{trust}");
}

#[test]
fn a_slow_server_blocks_only_itself() {
    let (daemon, folder) =
        fake::daemon("legacy", "concurrency = 1\ntimeout = \"2s\"\n", &[tool("hang", "Hangs."), tool("ok", "Works.")]);
    let other = daemon.dir().join("other");
    std::fs::create_dir_all(&other).expect("a folder");
    fake::lists(&other, &json!([tool("ok", "Works.")]));
    let second = fake::manifest(&other, "legacy", "").replace("name = \"fake\"", "name = \"other\"");
    daemon.configure("tools/other.toml", &second);
    daemon.cli(&["reload"]).exits(0);
    until(|| {
        let trusted = daemon.http("GET", "/v1/upstreams").send().json();
        let all = trusted["upstreams"].as_array().expect("servers").clone();
        all.iter().all(|server| server["state"] == "up").then_some(())
    });
    daemon.cli(&["tools", "trust", "other", "--yes"]).exits(0);
    let door = daemon.door();
    let hanging = std::thread::spawn(move || {
        let body = json!({"tool": "fake.hang", "arguments": {}, "wait": "30s"});
        door.http("POST", "/v1/calls").json(&body).send().json()
    });
    until(|| (count(&folder, "calls") == 1).then_some(()));
    let begun = Instant::now();
    assert_eq!(call(&daemon, "other.ok", &json!({}))["state"], "succeeded");
    assert!(begun.elapsed().as_millis() < 1_500, "{:?}", begun.elapsed());
    // Whoever waits for a turn longer than the call may take has run nothing.
    let busy = call(&daemon, "fake.ok", &json!({}));
    let lost: Value = hanging.join().expect("an answer");
    assert_eq!(lost["state"], "in_doubt");
    assert!(busy["state"] == "succeeded" || busy["effect"] == "none", "{busy}");
}

#[test]
fn a_server_of_today_is_asked_as_one_and_one_of_yesterday_too() {
    for (manner, version) in [("modern", "2026-07-28"), ("legacy", "2025-11-25"), ("mute", "2025-11-25")] {
        let (daemon, folder) = fake::daemon(manner, "", &[tool("a", "Does a.")]);
        assert_eq!(server(&daemon)["protocol"], version, "{manner}");
        let traced = daemon
            .http("POST", "/v1/calls")
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        traced.json(&json!({"tool": "fake.a", "arguments": {}})).send().is(200);
        let asked = std::fs::read_to_string(folder.join("calls")).expect("calls");
        let asked: Value = serde_json::from_str(asked.lines().next().expect("a call")).expect("JSON");
        let said = asked["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].clone();
        assert_eq!(said == version, manner == "modern", "{asked}");
    }
}

#[test]
fn a_change_that_a_server_tells_is_seen_at_once() {
    let reads = "[upstream.tools.tells]\neffect = \"readonly\"\n";
    for manner in ["modern", "legacy"] {
        let (daemon, folder) = fake::daemon(manner, reads, &[tool("tells", "Tells of changes.")]);
        if manner == "modern" {
            until(|| (count(&folder, "subscriptions") == 1).then_some(()));
        }
        fake::lists(&folder, &json!([tool("tells", "Tells of changes."), tool("b", "Does b.")]));
        // A call that only reads looks at no list by itself.
        call(&daemon, "fake.tells", &json!({}));
        let expected = [("fake.b".into(), "new".into()), ("fake.tells".into(), "trusted".into())];
        until(|| (super::states(&daemon) == expected).then_some(()));
    }
}

#[test]
fn a_reload_takes_servers_in_and_lets_them_go() {
    let (daemon, folder) = fake::daemon("legacy", "", &[tool("a", "Does a.")]);
    std::fs::remove_file(daemon.dir().join("config/tools/fake.toml")).expect("removed");
    daemon.cli(&["reload"]).exits(0);
    until(|| serving(&folder).is_empty().then_some(()));
    assert_eq!(super::published(&daemon), Vec::<String>::new());
    daemon.configure("tools/fake.toml", &fake::manifest(&folder, "legacy", ""));
    daemon.cli(&["reload"]).exits(0);
    until_up(&daemon);
    assert_eq!(super::published(&daemon), ["fake.a"], "what people agreed to is remembered");
    let starts = count(&folder, "starts");
    daemon.cli(&["reload"]).exits(0);
    assert_eq!(call(&daemon, "fake.a", &json!({}))["state"], "succeeded");
    assert_eq!(count(&folder, "starts"), starts, "a server that is declared as before goes on");
}

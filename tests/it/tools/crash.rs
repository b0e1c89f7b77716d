//! kill -9 of the daemon while a command runs: the command goes on under its shim, its effect happens once, and
//! the next daemon adopts how it ended.

use serde_json::{Value, json};

use super::{call, daemon, path};
use crate::support::{Daemon, until};

/// Appends a line to `effects` when `go` is there, and not before.
const WORK: &str = "#!/bin/sh
echo started >> \"$1/starts\"
while [ ! -e \"$1/go\" ]; do sleep 0.02; done
echo \"$TOOLCTL_CALL_ID\" >> \"$1/effects\"
printf '{\"done\":true}'
";

fn manifest(effect: &str, folder: &std::path::Path) -> String {
    format!(
        "[tool]\nname = \"work\"\ndescription = \"Works.\"\neffect = \"{effect}\"\ndestructive = false\nrisk = \"low\"\n\
         timeout = \"60s\"\n[tool.command]\nprogram = \"./work.sh\"\narguments = [\"{}\"]\noutput = \"json\"\n",
        folder.display()
    )
}

fn working(effect: &str) -> Daemon {
    let daemon = Daemon::prepared(&[], &[]);
    let text = manifest(effect, daemon.dir());
    super::put(&daemon, &[("work.toml", &text), ("work.sh", WORK)]);
    let mut daemon = daemon;
    daemon.restart();
    daemon
}

fn lines(daemon: &Daemon, name: &str) -> usize {
    std::fs::read_to_string(daemon.dir().join(name)).unwrap_or_default().lines().count()
}

/// Starts a call with a key and waits until its program has started.
fn begin(daemon: &Daemon, key: &str) {
    let before = lines(daemon, "starts");
    let (door, key) = (daemon.door(), key.to_owned());
    std::thread::spawn(move || {
        let body = json!({"tool": "work", "arguments": {}, "idempotency_key": key});
        // The daemon may be killed while this waits.
        let _gone = door.http("POST", "/v1/calls").json(&body).try_send();
    });
    until(|| (lines(daemon, "starts") > before).then_some(()));
}

fn the_call(daemon: &Daemon) -> Value {
    let listed = daemon.http("GET", "/v1/calls").send().json();
    listed["calls"].as_array().and_then(|calls| calls.first()).cloned().unwrap_or_default()
}

fn go(daemon: &Daemon) {
    std::fs::write(daemon.dir().join("go"), "").expect("written");
}

#[test]
fn a_command_outlives_its_daemon_and_the_next_one_waits_for_it() {
    let mut daemon = working("once");
    begin(&daemon, "k");
    daemon.kill();
    daemon.restart();
    assert_eq!(the_call(&daemon)["state"], "running", "nobody has to guess while it runs");
    go(&daemon);
    let closed = until(|| Some(the_call(&daemon)).filter(|call| call["state"] == "succeeded"));
    assert_eq!((&closed["output"], &closed["effect"]), (&json!({"done": true}), &json!("done")));
    assert_eq!((lines(&daemon, "starts"), lines(&daemon, "effects")), (1, 1));
    let again =
        daemon.http("POST", "/v1/calls").json(&json!({"tool": "work", "arguments": {}, "idempotency_key": "k"}));
    let again = again.send().json();
    assert_eq!((&again["replayed"], &again["output"]), (&json!(true), &json!({"done": true})));
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn a_command_that_ended_without_a_daemon_is_adopted_at_the_start() {
    let mut daemon = working("once");
    begin(&daemon, "k");
    daemon.kill();
    go(&daemon);
    let spool = daemon.state().join("spool");
    until(|| ends(&spool).then_some(()));
    daemon.restart();
    let call = the_call(&daemon);
    assert_eq!((&call["state"], &call["output"]), (&json!("succeeded"), &json!({"done": true})), "{call}");
    assert_eq!((lines(&daemon, "starts"), lines(&daemon, "effects")), (1, 1));
    until(|| (!ends(&spool)).then_some(()));
}

#[test]
fn several_daemons_may_die_over_one_command() {
    let mut daemon = working("once");
    begin(&daemon, "k");
    for _ in 0..3 {
        daemon.kill();
        daemon.restart();
    }
    go(&daemon);
    until(|| (the_call(&daemon)["state"] == "succeeded").then_some(()));
    assert_eq!((lines(&daemon, "starts"), lines(&daemon, "effects")), (1, 1));
}

#[test]
fn a_shim_that_is_killed_takes_its_command_with_it_and_leaves_doubt() {
    let mut daemon = working("once");
    begin(&daemon, "k");
    kill_shims(&daemon);
    let call = until(|| Some(the_call(&daemon)).filter(|call| call["state"] == "in_doubt"));
    assert_eq!(call["effect"], "unknown");
    go(&daemon);
    daemon.kill();
    daemon.restart();
    assert_eq!(the_call(&daemon)["state"], "in_doubt", "time makes nothing safe");
    assert_eq!(lines(&daemon, "effects"), 0, "it went with its shim");
    let id = the_call(&daemon)["id"].as_str().expect("an id").to_owned();
    daemon.cli(&["calls", "resolve", &id, "--as", "failed"]).exits(0);
    daemon.cli(&["audit", "verify"]).exits(0);
}

/// Processes that have this daemon's spool in their environment.
fn alive(daemon: &Daemon) -> usize {
    let mark = daemon.state().join("spool").display().to_string();
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let environments = processes.map(|process| std::fs::read(process.path().join("environ")).unwrap_or_default());
    environments.filter(|text| text.windows(mark.len()).any(|window| window == mark.as_bytes())).count()
}

#[test]
fn what_a_command_has_started_ends_when_its_shim_is_killed() {
    let work = "#!/bin/sh\n(setsid sh -c 'trap \"\" TERM HUP; echo started >> \"$0\"; exec sleep 600' \"$1/starts\" &)\nexec sleep 600\n";
    for next_daemon in [false, true] {
        let mut daemon = Daemon::prepared(&[], &[]);
        let text = manifest("once", daemon.dir());
        super::put(&daemon, &[("work.toml", &text), ("work.sh", work)]);
        daemon.restart();
        begin(&daemon, "k");
        // The program, and what left its session.
        until(|| (alive(&daemon) >= 2).then_some(()));
        if next_daemon {
            daemon.kill();
        }
        kill_shims(&daemon);
        if next_daemon {
            daemon.restart();
        }
        until(|| Some(the_call(&daemon)).filter(|call| call["state"] == "in_doubt"));
        assert_eq!(alive(&daemon), 0, "nothing goes on unseen");
    }
}

#[test]
fn what_may_be_repeated_is_started_again_after_a_lost_shim() {
    let mut daemon = working("idempotent");
    begin(&daemon, "k");
    // Both at once, as when the machine loses its power.
    daemon.kill();
    kill_shims(&daemon);
    go(&daemon);
    daemon.restart();
    let call = until(|| Some(the_call(&daemon)).filter(|call| call["state"] == "succeeded"));
    assert_eq!((&call["attempts"], lines(&daemon, "starts"), lines(&daemon, "effects")), (&json!(2), 2, 1));
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn a_call_whose_program_provably_never_ran_is_started_again() {
    let mut daemon = daemon(&[(
        "x.toml",
        "[tool]\nname = \"x\"\ndescription = \"x\"\nenabled = false\n[tool.command]\nprogram = \"true\"\n",
    )]);
    assert!(call(&daemon, "x", &json!({})).to_string().contains("tool-not-found"), "it is not enabled");
    assert!(path(&daemon, "x.toml").exists());
    assert_eq!(daemon.terminate(), Some(0));
}

/// Whether a run has written its end.
fn ends(spool: &std::path::Path) -> bool {
    let Ok(listing) = std::fs::read_dir(spool) else { return false };
    listing.filter_map(Result::ok).any(|entry| entry.path().join("end").exists())
}

/// Kills the shims of this daemon: those whose folder is in its spool.
fn kill_shims(daemon: &Daemon) {
    let spool = daemon.state().join("spool").display().to_string();
    for entry in std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok) {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        if !String::from_utf8_lossy(&line).contains("__shim") {
            continue;
        }
        let files = std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().filter_map(Result::ok);
        let holds = files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|path| path.starts_with(&spool));
        if holds {
            let pid = entry.file_name().to_string_lossy().into_owned();
            let status = std::process::Command::new("kill").args(["-9", &pid]).status().expect("kill runs");
            assert!(status.success());
            // Its program is told to end before it is gone itself.
            let ended = || match std::fs::read_to_string(entry.path().join("stat")) {
                Ok(stat) => stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')),
                Err(_) => true,
            };
            until(|| ended().then_some(()));
        }
    }
}

/// What a client was promised: each of its keys ends once, whatever happens to daemons in between.
#[test]
fn under_kills_every_command_happens_exactly_once_and_none_is_in_doubt() {
    const CLIENTS: usize = 3;
    let kills = std::env::var("TOOLCTL_COMMAND_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    // As many calls a client as kills, so that there is always something to kill.
    let keys: usize = kills;
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[]);
    std::fs::write(daemon.dir().join(".env"), crate::support::daemon::UNHURRIED).expect("the env file");
    let text = manifest("once", daemon.dir());
    let work =
        "#!/bin/sh\nsleep 0.0$(($$ % 7))\necho \"$TOOLCTL_CALL_ID\" >> \"$1/effects\"\nprintf '{\"done\":true}'\n";
    super::put(&daemon, &[("work.toml", &text), ("work.sh", work)]);
    daemon.restart();
    let door = daemon.door();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let door = door.clone();
            std::thread::spawn(move || {
                (0..keys).map(|number| repeats(&door, &format!("c{client}-{number}"))).collect::<Vec<Value>>()
            })
        })
        .collect();
    for number in 0..kills {
        // The one place where time is the point: the moment of the kill.
        std::thread::sleep(std::time::Duration::from_millis(20 + (number as u64 * 37) % 110));
        daemon.kill();
        daemon.restart();
    }
    let answers: Vec<Value> = clients.into_iter().flat_map(|client| client.join().expect("a client")).collect();
    let mut effects: Vec<String> = std::fs::read_to_string(daemon.dir().join("effects"))
        .expect("effects")
        .lines()
        .map(ToOwned::to_owned)
        .collect();
    effects.sort();
    let mut ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    assert!(answers.iter().all(|answer| answer["state"] == "succeeded"), "{answers:?}");
    assert_eq!((ids.len(), &effects), (CLIENTS * keys, &ids), "every call once");
    assert_eq!(daemon.audit("kind=call.in_doubt"), Vec::<Value>::new());
    daemon.cli(&["audit", "verify"]).exits(0);
}

/// Sends a request with its key until it has an end.
fn repeats(door: &crate::support::http::Door, key: &str) -> Value {
    until(|| {
        let body = json!({"tool": "work", "arguments": {}, "idempotency_key": key, "wait": "10s"});
        let answer = door.http("POST", "/v1/calls").json(&body).try_send()?;
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        (answer["state"].is_string() && !matches!(answer["state"].as_str(), Some("running" | "ready")))
            .then_some(answer)
    })
}

/// The two writes around a command, each failing before and after it is durable, by death and by error: whatever is
/// on disk then, and whatever the shim left, the command happens once and nobody is in doubt.
#[cfg(debug_assertions)]
#[test]
fn whichever_write_around_it_fails_a_command_happens_once() {
    for point in ["open_started", "finished"] {
        for side in ["before", "after"] {
            for fault in ["kill", "error", "panic"] {
                let spec = format!("{point}:{side}:{fault}");
                let mut daemon = Daemon::prepared(&[], &[("TOOLCTL_FAILPOINT", &spec)]);
                let text = manifest("once", daemon.dir());
                super::put(&daemon, &[("work.toml", &text), ("work.sh", WORK)]);
                go(&daemon);
                daemon.restart();
                let body = json!({"tool": "work", "arguments": {}, "idempotency_key": "k"});
                let _gone = daemon.http("POST", "/v1/calls").json(&body).try_send();
                daemon.kill();
                daemon.unarm();
                daemon.restart();
                let call = repeats(&daemon.door(), "k");
                assert_eq!((&call["state"], lines(&daemon, "effects")), (&json!("succeeded"), 1), "{spec}: {call}");
                assert_eq!(daemon.audit("kind=call.in_doubt"), Vec::<Value>::new(), "{spec}");
                daemon.cli(&["audit", "verify"]).exits(0);
            }
        }
    }
}

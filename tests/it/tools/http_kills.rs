//! P1 with requests: kill -9 of the daemon while it waits for a server. The server keeps the ledger of effects, outside
//! the daemon, by what each request is about: `once` never happens twice, `keyed` is the same key each time, what may be
//! repeated is, and nothing that was answered is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::Door;
use crate::support::server::answer;
use crate::support::{Daemon, Server, until};

/// What the server has done, by number of the work.
#[derive(Default)]
struct Ledger {
    /// Keys under which each work was asked for; an empty one where there was none.
    keys: BTreeMap<String, BTreeSet<String>>,
    /// How often each was asked for.
    asked: BTreeMap<String, usize>,
    /// How often each was done.
    done: BTreeMap<String, usize>,
    /// What is asked for and not done yet.
    open: BTreeMap<String, usize>,
}

/// What the ledger says of one work.
#[derive(Debug, Clone, Copy)]
struct Fate {
    asked: usize,
    done: usize,
    keys: usize,
}

impl Ledger {
    fn fate(&self, work: &str) -> Fate {
        let count = |counts: &BTreeMap<String, usize>| counts.get(work).copied().unwrap_or(0);
        let keys = self.keys.get(work).map_or(0, BTreeSet::len);
        Fate { asked: count(&self.asked), done: count(&self.done), keys }
    }
}

/// Whether this may have become of a call of this class that ended so.
fn judge(class: &str, state: &str, fate: Fate) -> Result<(), String> {
    let Fate { asked, done, keys } = fate;
    let fits = match class {
        // What the probe said, or the answer, is what is true; and it was sent once at most.
        "once" => asked <= 1 && done == usize::from(state == "succeeded"),
        "keyed" => state == "succeeded" && done == 1 && keys == 1,
        _ => state == "succeeded" && done >= 1 && done == asked,
    };
    if fits { Ok(()) } else { Err(format!("{class} {state}: {fate:?}")) }
}

type Shared = Arc<(Mutex<Ledger>, Condvar)>;

/// What a request is about: the work's name stands at the end of its path.
fn about(target: &str) -> String {
    target.rsplit('/').next().unwrap_or_default().to_owned()
}

/// A server that does work slowly, does a keyed work once for each key, and can say what it has done.
fn workshop() -> (Server, Shared) {
    let shared: Shared = Arc::default();
    let (first, then) = (Arc::clone(&shared), Arc::clone(&shared));
    let server = Server::hearing(
        move |heard| {
            if heard.method == "POST" {
                let mut ledger = first.0.lock().expect("unpoisoned");
                let work = about(&heard.target);
                let key = heard.headers.get("idempotency-key").cloned().unwrap_or_default();
                ledger.keys.entry(work.clone()).or_default().insert(key);
                *ledger.asked.entry(work.clone()).or_default() += 1;
                *ledger.open.entry(work).or_default() += 1;
            }
        },
        move |heard, stream| {
            let (work, (ledger, changed)) = (about(&heard.target), &*then);
            if heard.method == "GET" {
                // Whoever asks what became of it is told when it is known.
                let ledger = ledger.lock().expect("unpoisoned");
                let ledger = changed.wait_while(ledger, |ledger| ledger.open.get(&work).is_some_and(|open| *open > 0));
                let happened = ledger.expect("unpoisoned").done.contains_key(&work);
                answer(stream, 200, &json!({"happened": happened}).to_string());
                return;
            }
            // Long enough to be killed over, and different each time.
            let length = work.bytes().fold(7_u64, |sum, byte| sum * 31 % 97 + u64::from(byte)) % 23;
            std::thread::sleep(Duration::from_millis(length));
            {
                let mut ledger = ledger.lock().expect("unpoisoned");
                let keyed = heard.target.starts_with("/keyed/");
                if !keyed || !ledger.done.contains_key(&work) {
                    *ledger.done.entry(work.clone()).or_default() += 1;
                }
                *ledger.open.entry(work).or_default() -= 1;
                changed.notify_all();
            }
            answer(stream, 200, "{\"ok\":true}");
        },
    );
    (server, shared)
}

const CLASSES: [&str; 4] = ["readonly", "idempotent", "keyed", "once"];

fn manifests(server: &Server) -> String {
    let mut text = String::new();
    for class in CLASSES {
        let more = match class {
            "keyed" => "dedupe_window = \"1h\"",
            "once" => "probe = \"looked\"",
            _ => "",
        };
        text.push_str(&format!(
            "[[tool]]\nname = \"{class}_work\"\ndescription = \"Works.\"\neffect = \"{class}\"\ndestructive = false\nrisk = \"low\"\n{more}\n\
             [tool.arguments]\nwork = {{ type = \"string\", required = true }}\n[tool.http]\nmethod = \"POST\"\n\
             url = \"{}/{class}/{{work}}\"\nallow = [\"{}\"]\n",
            server.url(),
            server.place()
        ));
    }
    text.push_str(&format!(
        "[[tool]]\nname = \"looked\"\ndescription = \"Says what was done.\"\neffect = \"readonly\"\n[tool.arguments]\n\
         work = {{ type = \"string\", required = true }}\n[tool.http]\nurl = \"{}/looked/{{work}}\"\nallow = [\"{}\"]\n",
        server.url(),
        server.place()
    ));
    text
}

/// Sends a request with its key until it has an end.
fn repeats(door: &Door, class: &str, work: &str) -> Value {
    until(|| {
        let tool = format!("{class}_work");
        let body = json!({"tool": tool, "arguments": {"work": work}, "idempotency_key": work, "wait": "10s"});
        let answer = door.http("POST", "/v1/calls").json(&body).try_send()?;
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        matches!(answer["state"].as_str(), Some("succeeded" | "failed")).then_some(answer)
    })
}

#[test]
fn under_kills_no_effect_happens_that_its_class_forbids_and_none_is_lost() {
    const CLIENTS: usize = 4;
    let kills = std::env::var("TOOLCTL_HTTP_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let works: usize = kills * 2;
    let (server, shared) = workshop();
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[]);
    std::fs::write(daemon.dir().join(".env"), crate::support::daemon::UNHURRIED).expect("the env file");
    super::put(&daemon, &[("work.toml", &manifests(&server))]);
    daemon.restart();
    let door = daemon.door();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let door = door.clone();
            std::thread::spawn(move || {
                let class = CLASSES[client];
                (0..works)
                    .map(|number| {
                        let work = format!("{class}-{number}");
                        let end = repeats(&door, class, &work);
                        (work, end)
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    for number in 0..kills {
        // The one place where time is the point: the moment of the kill.
        std::thread::sleep(Duration::from_millis(20 + (number as u64 * 37) % 110));
        daemon.kill();
        daemon.restart();
    }
    let ends: Vec<_> = clients.into_iter().flat_map(|client| client.join().expect("a client")).collect();
    let ledger = shared.0.lock().expect("unpoisoned");
    let busy = |ledger: &mut Ledger| ledger.open.values().any(|open| *open > 0);
    let ledger = shared.1.wait_while(ledger, busy).expect("unpoisoned");
    let mut again = 0;
    for (work, end) in &ends {
        let class = work.split('-').next().expect("a class");
        let (fate, state) = (ledger.fate(work), end["state"].as_str().expect("a state"));
        again += fate.asked.saturating_sub(1);
        assert_eq!(judge(class, state, fate), Ok(()), "{work}: {end}");
        // What was answered stays the answer.
        let later = repeats(&door, class, work);
        assert_eq!((&later["id"], &later["state"], &later["output"]), (&end["id"], &end["state"], &end["output"]));
    }
    assert_eq!(ends.len(), CLIENTS * works);
    println!("{} calls, {kills} kills, {again} requests were sent again", ends.len());
    drop(ledger);
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn the_judge_of_the_ledger_sees_what_must_not_be() {
    let fate = |asked, done, keys| Fate { asked, done, keys };
    for (class, state, fate) in [
        ("once", "succeeded", fate(1, 1, 1)),
        ("once", "failed", fate(0, 0, 0)),
        ("keyed", "succeeded", fate(3, 1, 1)),
        ("idempotent", "succeeded", fate(2, 2, 1)),
    ] {
        assert_eq!(judge(class, state, fate), Ok(()), "{class} {state}");
    }
    for (class, state, fate) in [
        ("once", "succeeded", fate(2, 2, 1)),
        ("once", "failed", fate(2, 1, 1)),
        ("once", "failed", fate(1, 1, 1)),
        ("once", "succeeded", fate(0, 0, 0)),
        ("keyed", "succeeded", fate(2, 1, 2)),
        ("keyed", "succeeded", fate(1, 0, 1)),
        ("keyed", "failed", fate(1, 1, 1)),
        ("idempotent", "succeeded", fate(0, 0, 0)),
        ("readonly", "failed", fate(1, 1, 1)),
    ] {
        assert!(judge(class, state, fate).is_err(), "{class} {state}");
    }
}

/// A server that has heard a request and says nothing until it is let.
fn holding() -> (Server, Arc<(Mutex<bool>, Condvar)>) {
    let gate: Arc<(Mutex<bool>, Condvar)> = Arc::default();
    let behind = Arc::clone(&gate);
    let server = Server::start(move |_, stream| {
        let open = behind.0.lock().expect("unpoisoned");
        drop(behind.1.wait_while(open, |open| !*open).expect("unpoisoned"));
        answer(stream, 200, "{\"ok\":true}");
    });
    (server, gate)
}

fn let_go(gate: &(Mutex<bool>, Condvar)) {
    *gate.0.lock().expect("unpoisoned") = true;
    gate.1.notify_all();
}

#[test]
fn a_daemon_that_dies_over_a_request_leaves_what_its_class_allows() {
    for (class, expected, asked) in [
        ("once", ("in_doubt", "unknown"), 1),
        ("keyed", ("succeeded", "done"), 2),
        ("idempotent", ("succeeded", "done"), 2),
    ] {
        let (server, gate) = holding();
        let text = manifests(&server).replace("probe = \"looked\"", "");
        let mut daemon = super::daemon(&[("work.toml", &text)]);
        let door = daemon.door();
        let waits = std::thread::spawn(move || {
            let body = json!({"tool": format!("{class}_work"), "arguments": {"work": "w"}, "idempotency_key": "k"});
            // The daemon is killed while this waits.
            let _gone = door.http("POST", "/v1/calls").json(&body).try_send();
        });
        until(|| (server.heard().len() == 1).then_some(()));
        daemon.kill();
        waits.join().expect("it ends");
        let_go(&gate);
        daemon.restart();
        let listed = || daemon.http("GET", "/v1/calls").send().json()["calls"][0].clone();
        let call = until(|| Some(listed()).filter(|call| call["state"] == expected.0));
        assert_eq!(call["effect"], expected.1, "{class}: {call}");
        let heard = server.heard();
        assert_eq!(heard.len(), asked, "{class}");
        let keys: BTreeSet<_> = heard.iter().map(|heard| heard.headers.get("idempotency-key").cloned()).collect();
        assert_eq!(keys.len(), 1, "{class}: the same key");
        assert_eq!(keys.contains(&None), class != "keyed", "only a keyed tool has one");
        if class == "once" {
            daemon.cli(&["call", "once_work", "--work", "w", "--idempotency-key", "k"]).exits(10);
            // A person looked, and says that it may be sent again.
            let id = call["id"].as_str().expect("an id");
            daemon.cli(&["calls", "resolve", id, "--as", "rerun"]).exits(0);
            until(|| Some(listed()).filter(|call| call["state"] == "succeeded"));
            assert_eq!(server.heard().len(), 2);
        }
        daemon.cli(&["audit", "verify"]).exits(0);
    }
}

/// P3 for requests: the two writes around one, each failing before and after it is durable, by death and by error.
#[cfg(debug_assertions)]
#[test]
fn whichever_write_around_it_fails_a_request_does_what_its_class_allows() {
    for point in ["open_started", "finished"] {
        for side in ["before", "after"] {
            for fault in ["kill", "error", "panic"] {
                for class in ["once", "keyed"] {
                    let spec = format!("{point}:{side}:{fault}");
                    let (server, shared) = workshop();
                    let mut daemon = Daemon::prepared(&[], &[("TOOLCTL_FAILPOINT", &spec)]);
                    super::put(&daemon, &[("work.toml", &manifests(&server))]);
                    daemon.restart();
                    let body =
                        json!({"tool": format!("{class}_work"), "arguments": {"work": "w"}, "idempotency_key": "w"});
                    let _gone = daemon.http("POST", "/v1/calls").json(&body).try_send();
                    daemon.kill();
                    daemon.unarm();
                    daemon.restart();
                    let end = repeats(&daemon.door(), class, "w");
                    let ledger = shared.0.lock().expect("unpoisoned");
                    let state = end["state"].as_str().expect("a state");
                    assert_eq!(judge(class, state, ledger.fate("w")), Ok(()), "{spec}: {end}");
                    drop(ledger);
                    daemon.cli(&["audit", "verify"]).exits(0);
                }
            }
        }
    }
}

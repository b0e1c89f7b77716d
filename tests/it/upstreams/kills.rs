//! P1 and P3 with servers of others: kill -9 of the daemon, of the server and of both, at random and at every point of a
//! call. The ledger of effects is a file that only the server writes, so it outlives both: `once` is asked for once at
//! most, `keyed` is one key and one effect, what may be repeated is, and nothing that was answered is lost.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::fake::{self, answer, note};
use super::until_up;
use crate::support::http::Door;
use crate::support::{Daemon, until};

const CLASSES: [&str; 4] = ["readonly", "idempotent", "keyed", "once"];

/// The points of a call at which the server can be made to stop, in their order.
const POINTS: [&str; 4] = ["received", "asked", "done", "answering"];

/// What the ledger says of one work.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// How often it was asked for.
    asked: usize,
    /// How often it was done.
    done: usize,
    /// Under how many keys.
    keys: usize,
}

impl Fate {
    fn of(ledger: &str, work: &str) -> Self {
        let lines: Vec<Vec<&str>> = ledger.lines().map(|line| line.split(' ').collect()).collect();
        let count = |what: &str| lines.iter().filter(|line| line[0] == what && line[1] == work).count();
        let asked = lines.iter().filter(|line| line[0] == "asked" && line[1] == work);
        let keys: BTreeSet<&str> = asked.map(|line| line[3]).collect();
        Self { asked: count("asked"), done: count("done"), keys: keys.len() }
    }
}

/// Whether this may have become of a call of this class that stands so.
fn judge(class: &str, state: &str, effect: &str, fate: Fate) -> Result<(), String> {
    let Fate { asked, done, keys } = fate;
    let bounds = match class {
        "once" => asked <= 1 && done <= asked,
        "keyed" => keys <= 1 && done <= 1,
        _ => keys <= 1 && done <= asked,
    };
    let fits = match (class, state, effect) {
        // Nobody knows, and nobody may have asked again.
        ("once" | "keyed", "in_doubt", "unknown") => true,
        ("readonly", "succeeded", "none") | (_, "succeeded", "done") => done >= 1,
        // The probe said so, or it was never sent.
        ("once", "failed", "none") => done == 0,
        // It only reads: whatever it did is nothing.
        ("readonly", "failed", "none") | ("idempotent", "failed", "unknown") => true,
        (_, "failed", "none") => asked == 0,
        _ => false,
    };
    if bounds && fits { Ok(()) } else { Err(format!("{class} {state} {effect}: {fate:?}")) }
}

// The server's side.

fn ledger(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("ledger")).unwrap_or_default()
}

/// Stops here, if the test wants that, until it is let go.
fn stop(folder: &Path, point: &str) {
    let wanted = || std::fs::read_to_string(folder.join("stop")).is_ok_and(|text| text == point);
    if wanted() {
        note(folder, "reached", point);
        while wanted() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Does a work slowly; a keyed one once for each key.
pub fn work(folder: &Path, id: &Value, params: &Value) {
    let work = params["arguments"]["work"].as_str().expect("a work");
    let key = params["_meta"]["dev.toolctl/idempotency-key"].as_str().unwrap_or("none");
    stop(folder, "received");
    note(folder, "ledger", &format!("asked {work} {} {key}", std::process::id()));
    stop(folder, "asked");
    // Long enough to be killed over, and different each time.
    std::thread::sleep(Duration::from_millis(
        10 + work.bytes().fold(7_u64, |sum, byte| sum * 31 % 97 + u64::from(byte)) % 40,
    ));
    {
        let lock = std::fs::File::create(folder.join("lock")).expect("a lock");
        lock.lock().expect("locked");
        if key == "none" || Fate::of(&ledger(folder), work).done == 0 {
            note(folder, "ledger", &format!("done {work}"));
        }
    }
    stop(folder, "done");
    let result = json!({"content": [], "structuredContent": {"ok": true}});
    if std::fs::read_to_string(folder.join("stop")).is_ok_and(|text| text == "answering") {
        let line = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
        let mut out = std::io::stdout().lock();
        let (half, rest) = line.split_at(line.len() / 2);
        out.write_all(half.as_bytes()).and_then(|()| out.flush()).expect("stdout");
        stop(folder, "answering");
        writeln!(out, "{rest}").expect("stdout");
        return;
    }
    answer(id, &result);
}

/// Says whether a work was done, once whoever was asked for it has done it or is dead.
pub fn looked(folder: &Path, params: &Value) -> Value {
    let work = params["arguments"]["work"].as_str().expect("a work");
    let happened = loop {
        // Looked at before the ledger is read: whoever is dead then writes no more.
        let text = ledger(folder);
        let asked = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mut asked = asked.filter(|line| line[0] == "asked" && line[1] == work).map(|line| line[2].to_owned());
        let goes_on = asked.any(|pid| pid != std::process::id().to_string() && is_alive(&pid));
        let happened = Fate::of(&ledger(folder), work).done > 0;
        if happened || !goes_on {
            break happened;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    json!({"content": [], "structuredContent": {"happened": happened}})
}

/// Whether a process can still do something.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

// The test's side.

fn tools() -> Vec<Value> {
    let input = json!({"type": "object", "properties": {"work": {"type": "string"}}, "required": ["work"]});
    let tool = |name: String, gives: &str| {
        let output = json!({"type": "object", "properties": {gives: {"type": "boolean"}}, "required": [gives]});
        json!({"name": name, "description": "Works.", "inputSchema": input, "outputSchema": output})
    };
    let works = CLASSES.iter().map(|class| tool(format!("{class}_work"), "ok"));
    works.chain([tool("looked".to_owned(), "happened")]).collect()
}

fn declared() -> String {
    let mut text = "timeout = \"20s\"\n[upstream.tools.looked]\neffect = \"readonly\"\n".to_owned();
    for class in CLASSES {
        let more = match class {
            "keyed" => "dedupe_window = \"1h\"",
            "once" => "probe = \"fake.looked\"",
            _ => "",
        };
        text.push_str(&format!("[upstream.tools.{class}_work]\neffect = \"{class}\"\n{more}\n"));
    }
    text
}

/// Kills the server's own process, wherever it is in its call; what watches over it is left to notice.
fn kill_server(folder: &Path) {
    for pid in super::lives::serving(folder) {
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        if program == std::env::current_exe().expect("this program") {
            // It may be gone by now, which is as good.
            let _gone = Command::new("kill").args(["-s", "KILL", &pid]).stderr(std::process::Stdio::null()).status();
        }
    }
}

fn body(class: &str, work: &str, wait: &str) -> Value {
    json!({"tool": format!("fake.{class}_work"), "arguments": {"work": work}, "idempotency_key": work, "wait": wait})
}

/// Sends a request with its key until it stands in one of these states.
fn repeats(door: &Door, class: &str, work: &str, states: &[&str]) -> Value {
    until(|| {
        let answer = door.http("POST", "/v1/calls").json(&body(class, work, "10s")).try_send()?;
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        answer["state"].as_str().is_some_and(|state| states.contains(&state)).then_some(answer)
    })
}

/// Where a call must come to by itself: a probe settles what is `once`; of a `keyed` one two answers may be lost.
fn ends(class: &str) -> &'static [&'static str] {
    if class == "keyed" { &["succeeded", "failed", "in_doubt"] } else { &["succeeded", "failed"] }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The victims of kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Server,
    Daemon,
    Both,
}

fn kills(daemon: &mut Daemon, folder: &Path, victim: Victim, after: impl FnOnce()) {
    if victim != Victim::Daemon {
        kill_server(folder);
    }
    if victim != Victim::Server {
        daemon.kill();
    }
    after();
    if victim != Victim::Server {
        daemon.restart();
    }
}

#[test]
fn under_kills_of_daemon_and_server_no_effect_happens_that_its_class_forbids_and_none_is_lost() {
    let kills_wanted: usize =
        std::env::var("TOOLCTL_UPSTREAM_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let (mut daemon, folder) = fake::daemon("modern", &declared(), &tools());
    let (door, over) = (daemon.door(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = CLASSES
        .iter()
        .map(|class| {
            let (door, over) = (door.clone(), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut told = Vec::new();
                while !over.load(Ordering::Acquire) || told.is_empty() {
                    let work = format!("{class}-{}", told.len());
                    let end = repeats(&door, class, &work, &["succeeded", "failed", "in_doubt"]);
                    told.push((*class, work, end));
                }
                told
            })
        })
        .collect();
    for number in 0..kills_wanted {
        // The one place where time is the point: the moment of the kill.
        std::thread::sleep(Duration::from_millis(60 + (number as u64 * 37) % 190));
        // The daemon's own kill is in between, so that it does not begin to wait longer and longer for its server.
        let victim = [Victim::Server, Victim::Daemon, Victim::Both][number % 3];
        kills(&mut daemon, &folder, victim, || {});
    }
    over.store(true, Ordering::Release);
    let told: Vec<_> = clients.into_iter().flat_map(|client| client.join().expect("a client")).collect();
    // Whoever starts next asks the probes again.
    daemon.kill();
    daemon.restart();
    let (mut again, mut doubts) = (0, 0);
    for (class, work, told) in &told {
        let end = repeats(&door, class, work, ends(class));
        let fate = Fate::of(&ledger(&folder), work);
        again += fate.asked.saturating_sub(1);
        doubts += usize::from(end["state"] == "in_doubt");
        assert_eq!(judge(class, text(&end["state"]), text(&end["effect"]), fate), Ok(()), "{work}: {end}");
        assert_eq!(told["id"], end["id"], "{work}");
        if told["state"] != "in_doubt" {
            assert_eq!((&told["state"], &told["output"]), (&end["state"], &end["output"]), "{work}");
        }
    }
    println!(
        "{} calls, {kills_wanted} kills, {again} calls were sent again, {doubts} stay in doubt, {} starts of the server",
        told.len(),
        fake::count(&folder, "starts")
    );
    daemon.cli(&["audit", "verify"]).exits(0);
}

/// P3 for servers: who is killed, at which point of a call of which class.
#[test]
fn whoever_is_killed_at_whichever_point_of_a_call_its_class_decides() {
    let all = std::env::var("TOOLCTL_UPSTREAM_POINTS").is_ok_and(|text| text == "all");
    let (mut daemon, folder) = fake::daemon("modern", &declared(), &tools());
    let door = daemon.door();
    let mut ran = 0;
    for (turn, point) in POINTS.iter().enumerate() {
        for (nth, victim) in [Victim::Server, Victim::Daemon, Victim::Both].into_iter().enumerate() {
            for (place, class) in CLASSES.iter().enumerate() {
                // Every point with every victim and, over them, every class.
                if !all && (turn + nth) % CLASSES.len() != place {
                    continue;
                }
                ran += 1;
                case(&mut daemon, &folder, &door, point, victim, class);
                if victim == Victim::Server {
                    // Or the next server would be waited for longer and longer.
                    daemon.kill();
                    daemon.restart();
                }
            }
        }
    }
    println!("{ran} of {} cases ran", POINTS.len() * 3 * CLASSES.len());
    daemon.cli(&["audit", "verify"]).exits(0);
}

fn case(daemon: &mut Daemon, folder: &Path, door: &Door, point: &str, victim: Victim, class: &str) {
    until_up(daemon);
    let what = format!("{class}-{point}-{victim:?}");
    let _earlier = std::fs::remove_file(folder.join("reached"));
    std::fs::write(folder.join("stop"), point).expect("written");
    let asking = {
        let (door, body) = (door.clone(), body(class, &what, "30s"));
        // It is answered when the server was killed, and not when the daemon was.
        std::thread::spawn(move || door.http("POST", "/v1/calls").json(&body).try_send().map(|answer| answer.body))
    };
    until(|| (fake::count(folder, "reached") > 0).then_some(()));
    kills(daemon, folder, victim, || std::fs::remove_file(folder.join("stop")).expect("let go"));
    let answered = asking.join().expect("an answer or none");
    let end = repeats(door, class, &what, ends(class));
    let fate = Fate::of(&ledger(folder), &what);
    assert_eq!(judge(class, text(&end["state"]), text(&end["effect"]), fate), Ok(()), "{what}: {end}");
    // One loss is never the end of what may be repeated, and a probe settles what may not.
    let expected = if class == "once" && fate.done == 0 { "failed" } else { "succeeded" };
    assert_eq!(end["state"], expected, "{what}: {end}");
    if let Some(answered) = answered.and_then(|body| serde_json::from_slice::<Value>(&body).ok()) {
        assert_eq!((&answered["id"], &answered["state"]), (&end["id"], &end["state"]), "{what}: {answered}");
    }
}

/// P3 for servers: the two writes around a call, each failing before and after it is durable, by death, error and panic.
#[cfg(debug_assertions)]
#[test]
fn whichever_write_around_it_fails_a_servers_call_does_what_its_class_allows() {
    for point in ["open_started", "finished"] {
        for side in ["before", "after"] {
            for fault in ["kill", "error", "panic"] {
                let spec = format!("{point}:{side}:{fault}");
                let armed = [("TOOLCTL_FAILPOINT", spec.as_str())];
                let class = if fault == "error" { "keyed" } else { "once" };
                let (mut daemon, folder) = fake::armed(&armed, "modern", &declared(), &tools());
                fake::trust(&daemon);
                let _gone = daemon.http("POST", "/v1/calls").json(&body(class, "w", "10s")).try_send();
                daemon.kill();
                daemon.unarm();
                daemon.restart();
                let end = repeats(&daemon.door(), class, "w", ends(class));
                let fate = Fate::of(&ledger(&folder), "w");
                let (state, effect) = (text(&end["state"]), text(&end["effect"]));
                assert_eq!(judge(class, state, effect, fate), Ok(()), "{spec}: {end}");
                assert_ne!(state, "in_doubt", "{spec}: {end}");
                daemon.cli(&["audit", "verify"]).exits(0);
            }
        }
    }
}

#[test]
fn the_judge_of_a_servers_ledger_sees_what_must_not_be() {
    let fate = |asked, done, keys| Fate { asked, done, keys };
    for (class, state, effect, fate) in [
        ("once", "succeeded", "done", fate(1, 1, 1)),
        ("once", "failed", "none", fate(1, 0, 1)),
        ("once", "in_doubt", "unknown", fate(1, 1, 1)),
        ("keyed", "succeeded", "done", fate(3, 1, 1)),
        ("keyed", "failed", "none", fate(0, 0, 0)),
        ("idempotent", "succeeded", "done", fate(3, 2, 1)),
        ("idempotent", "failed", "unknown", fate(2, 0, 1)),
        ("readonly", "failed", "none", fate(2, 1, 1)),
    ] {
        assert_eq!(judge(class, state, effect, fate), Ok(()), "{class} {state}");
    }
    for (class, state, effect, fate) in [
        ("once", "succeeded", "done", fate(2, 1, 1)),
        ("once", "succeeded", "done", fate(1, 0, 1)),
        ("once", "failed", "none", fate(1, 1, 1)),
        ("once", "failed", "unknown", fate(1, 0, 1)),
        ("once", "in_doubt", "unknown", fate(2, 1, 1)),
        ("keyed", "succeeded", "done", fate(2, 1, 2)),
        ("keyed", "succeeded", "done", fate(2, 2, 1)),
        ("keyed", "failed", "none", fate(1, 0, 1)),
        ("keyed", "in_doubt", "none", fate(1, 0, 1)),
        ("idempotent", "succeeded", "done", fate(0, 0, 0)),
        ("idempotent", "failed", "none", fate(1, 1, 1)),
        ("idempotent", "in_doubt", "unknown", fate(1, 1, 1)),
        ("readonly", "succeeded", "none", fate(1, 2, 1)),
        ("readonly", "running", "none", fate(1, 1, 1)),
    ] {
        assert!(judge(class, state, effect, fate).is_err(), "{class} {state} {fate:?}");
    }
    let fate = Fate::of("asked a 1 k\nasked b 1 none\nasked a 2 k\ndone a\n", "a");
    assert_eq!((fate.asked, fate.done, fate.keys), (2, 1, 1));
}

//! `toolctl mcp`: its client starts it once and keeps it, whatever happens to the daemon.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::talk::{Talk, names, text};
use crate::support::story::program;
use crate::support::{Daemon, Door, until};

/// A bridge and its client.
struct Bridge {
    child: Child,
    talk: Talk,
}

impl Bridge {
    fn start(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = program(dir);
        command.arg("mcp").args(args).envs(env.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the bridge starts");
        let talk = Talk::new(child.stdin.take().expect("its stdin"), child.stdout.take().expect("its stdout"));
        Self { child, talk }
    }

    fn of(daemon: &Daemon) -> Self {
        Self::start(daemon.dir(), &[], &[])
    }

    /// Waits for its end; gives its exit status and what it said on stderr.
    fn ends(mut self) -> (Option<i32>, String) {
        drop(self.talk);
        let said = std::io::read_to_string(self.child.stderr.take().expect("its stderr")).expect("UTF-8 on stderr");
        let status: ExitStatus = self.child.wait().expect("it ended");
        (status.code(), said)
    }
}

fn ticket(title: &str) -> Value {
    json!({"name": "create_ticket", "arguments": {"customer_id": 1, "title": title}})
}

/// What the only tool without a daemon says.
#[track_caller]
fn why(listed: &Value) -> String {
    assert_eq!(names(listed), ["toolctl_status"]);
    listed["result"]["tools"][0]["description"].as_str().expect("a description").to_owned()
}

/// How many tickets were opened.
fn tickets(daemon: &Daemon) -> usize {
    let calls = daemon.http("GET", "/v1/calls").send().json();
    let calls = calls["calls"].as_array().unwrap_or_else(|| panic!("no calls: {calls}")).clone();
    calls.iter().filter(|call| call["tool"] == "create_ticket").count()
}

#[test]
fn a_conversation_opens_at_once_without_a_daemon() {
    let daemon = Daemon::prepared(&[], &[]);
    let fastest = (0..5).map(|_| {
        let began = Instant::now();
        let mut bridge = Bridge::of(&daemon);
        bridge.talk.modern(1, "server/discover", json!({}));
        assert_eq!(bridge.talk.answer(1)["result"]["supportedVersions"][0], "2026-07-28");
        let time = began.elapsed();
        assert_eq!(bridge.talk.initialize("2025-06-18")["protocolVersion"], "2025-06-18");
        let (code, said) = bridge.ends();
        assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
        time
    });
    let fastest = fastest.min().expect("some");
    assert!(fastest < Duration::from_millis(500), "{fastest:?}");
}

#[test]
fn without_a_daemon_the_truth_is_told_and_a_late_one_is_found() {
    let mut daemon = Daemon::prepared(&[], &[]);
    let mut bridge = Bridge::of(&daemon);
    bridge.talk.initialize("2025-11-25");
    bridge.talk.modern("l", "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    bridge.talk.notified("notifications/subscriptions/acknowledged");
    bridge.talk.request(1, "tools/list", json!({})).modern(2, "tools/call", ticket("none"));
    let listed = bridge.talk.answer(1);
    assert_eq!(names(&listed), ["toolctl_status"]);
    let description = why(&listed);
    assert!(description.contains("is not running") && description.contains("`toolctl serve`"), "{description}");
    let refused = bridge.talk.answer(2);
    let told = text(&refused);
    assert_eq!((&told["status"], &told["effect"]), (&json!("daemon_unreachable"), &json!("none")));
    assert_eq!(refused["result"]["isError"], true);

    daemon.restart();
    let told = [(); 2].map(|()| bridge.talk.notified("notifications/tools/list_changed"));
    assert_eq!(told[1]["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "l");
    bridge.talk.request(3, "tools/list", json!({})).modern(4, "tools/call", ticket("one"));
    assert!(names(&bridge.talk.answer(3)).contains(&"create_ticket"));
    assert_eq!(bridge.talk.answer(4)["result"]["isError"], false);
    assert_eq!(tickets(&daemon), 1);
    let (code, said) = bridge.ends();
    assert_eq!((code, said.lines().count()), (Some(0), 2), "{said}");
}

#[test]
fn a_call_survives_a_daemon_that_dies_under_it() {
    // The call is durable and not answered yet; or it was heard and is not durable.
    for point in ["open_settled:after:kill", "open_settled:before:kill"] {
        let mut daemon = Daemon::start_with(&[], &[("TOOLCTL_FAILPOINT", point)]);
        let mut bridge = Bridge::of(&daemon);
        bridge.talk.initialize("2025-06-18");
        bridge.talk.request(1, "tools/call", ticket("once"));
        until(|| daemon.has_ended().then_some(()));
        daemon.unarm();
        daemon.restart();
        let answer = bridge.talk.answer(1);
        assert_eq!(answer["result"]["isError"], false, "{point}: {answer}");
        assert_eq!(text(&answer)["ticket"]["title"], "once");
        assert_eq!(tickets(&daemon), 1, "{point}");
    }
}

#[test]
fn a_restart_between_requests_is_not_noticed() {
    let mut daemon = Daemon::start();
    let mut bridge = Bridge::of(&daemon);
    bridge.talk.initialize("2025-06-18");
    bridge.talk.modern("l", "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    bridge.talk.notified("notifications/subscriptions/acknowledged");
    for round in 0..3 {
        bridge.talk.request(1, "tools/call", ticket("old")).modern(2, "tools/call", ticket("new"));
        bridge.talk.aside.clear();
        let answers = [bridge.talk.next(), bridge.talk.next()];
        for answer in answers.into_iter().flatten() {
            assert_eq!(answer["result"]["isError"], false, "{answer}");
        }
        assert_eq!(tickets(&daemon), 2 * (round + 1));
        if round % 2 == 0 {
            assert_eq!(daemon.terminate(), Some(0));
        } else {
            daemon.kill();
        }
        daemon.restart();
        let told = [(); 2].map(|()| bridge.talk.notified("notifications/tools/list_changed"));
        assert_eq!(told[1]["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "l");
        assert_eq!(bridge.talk.aside, Vec::<Value>::new(), "neither a second acknowledgement nor an answer");
    }
}

/// Stops a daemon that a bridge started, whatever becomes of the test.
struct Stops<'a>(&'a Daemon);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        let _ended = self.0.cli(&["stop"]).ends();
    }
}

#[test]
fn bridges_that_start_at_once_start_one_daemon() {
    let daemon = Daemon::prepared(&[], &[]);
    let _stops = Stops(&daemon);
    let mut bridges = [(); 3].map(|()| Bridge::start(daemon.dir(), &["--autostart"], &[]));
    for bridge in &mut bridges {
        bridge.talk.initialize("2025-06-18");
        bridge.talk.request(1, "tools/list", json!({}));
    }
    for bridge in &mut bridges {
        assert!(names(&bridge.talk.answer(1)).contains(&"create_ticket"));
    }
    assert_eq!(daemon.audit("kind=daemon.started").len(), 1);
    // It does not end with who started it.
    for bridge in bridges {
        let (code, said) = bridge.ends();
        assert_eq!(code, Some(0), "{said}");
    }
    daemon.http("GET", "/health").send().is(200);
}

/// What the daemon noted about its start.
fn last_start(daemon: &Daemon) -> Value {
    let text = std::fs::read_to_string(daemon.state().join("last-start.json")).expect("a note");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_daemon_that_crashed_comes_back_under_the_same_rules() {
    let mut daemon = Daemon::with_env_file("ALLOWED_TOOLS=search_customer\n", &["--listen", "127.0.0.1:0"]);
    daemon.kill();
    let noted = last_start(&daemon);
    assert_eq!(noted["stopped"], Value::Null, "a crash is no stop");
    assert_eq!(noted["env_file"], json!(daemon.dir().join(".env")));
    let _stops = Stops(&daemon);
    // The client runs it in another folder.
    let [state, config] = ["state", "config"].map(|name| daemon.dir().join(name).to_string_lossy().into_owned());
    let places = [("TOOLCTL_DATA_DIR", state.as_str()), ("TOOLCTL_CONFIG_DIR", config.as_str())];
    let mut bridge = Bridge::start(&daemon.state(), &["--autostart"], &places);
    bridge.talk.modern(1, "tools/list", json!({}));
    let listed = bridge.talk.answer(1);
    let ours = names(&listed).into_iter().filter(|name| !name.starts_with("toolctl_")).collect::<Vec<_>>();
    assert_eq!(ours, ["search_customer"]);
    let listeners = daemon.http("GET", "/v1/status").send().json()["listeners"].clone();
    assert_eq!(listeners.as_array().map(Vec::len), Some(2), "{listeners}");
}

#[test]
fn a_moved_store_comes_back_where_it_was() {
    let mut daemon = Daemon::start_with(&["--data-dir", "moved", "--socket", "here.sock"], &[]);
    daemon.kill();
    let mut bridge = Bridge::start(daemon.dir(), &["--autostart", "--socket", "here.sock"], &[]);
    bridge.talk.modern(1, "tools/call", ticket("again"));
    let answer = bridge.talk.answer(1);
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    assert!(!daemon.state().join("store.redb").exists(), "no other store is made");
    daemon.cli(&["--socket", "here.sock", "stop"]).exits(0);
}

#[test]
fn a_stop_holds_until_a_person_starts_it_again() {
    for by_signal in [false, true] {
        let mut daemon = Daemon::start();
        let mut bridge = Bridge::start(daemon.dir(), &["--autostart"], &[]);
        bridge.talk.initialize("2025-06-18");
        bridge.talk.request(1, "tools/call", ticket("first"));
        assert_eq!(bridge.talk.answer(1)["result"]["isError"], false);
        let how = if by_signal {
            assert_eq!(daemon.terminate(), Some(0));
            "a signal"
        } else {
            daemon.cli(&["stop"]).exits(0);
            assert_eq!(daemon.ended(), Some(0));
            "`toolctl stop` by "
        };
        assert!(last_start(&daemon)["stopped"].as_str().expect("a mark").starts_with(how));
        bridge.talk.request(2, "tools/call", ticket("second"));
        let told = text(&bridge.talk.answer(2));
        let message = told["message"].as_str().expect("a message");
        assert!(message.contains("stopped on purpose") && message.contains(how), "{message}");
        assert!(told["help"].as_str().expect("a help").contains("`toolctl serve`"), "{told}");
        assert_eq!((&told["status"], &told["effect"]), (&json!("daemon_unreachable"), &json!("none")));
        assert!(daemon.door().connect().is_none(), "nobody started it");

        daemon.restart();
        assert_eq!(last_start(&daemon)["stopped"], Value::Null);
        bridge.talk.notified("notifications/tools/list_changed");
        bridge.talk.request(3, "tools/call", ticket("third"));
        assert_eq!(bridge.talk.answer(3)["result"]["isError"], false);
        assert_eq!(tickets(&daemon), 2);
    }
}

#[test]
fn rules_of_an_environment_are_not_left_behind() {
    let mut daemon = Daemon::start_with(&[], &[("ALLOWED_TOOLS", "search_customer"), ("API_KEY", "a-secret-of-old")]);
    daemon.kill();
    let noted = last_start(&daemon);
    assert_eq!(noted["environment"], json!(["API_KEY", "ALLOWED_TOOLS"]));
    assert!(!noted.to_string().contains("a-secret-of-old"));
    let mut bridge = Bridge::start(daemon.dir(), &["--autostart"], &[("API_KEY", "x")]);
    bridge.talk.modern(1, "tools/list", json!({}));
    let listed = bridge.talk.answer(1);
    let description = why(&listed);
    assert!(description.contains("ALLOWED_TOOLS") && description.contains("`toolctl serve`"), "{description}");
    assert!(daemon.door().connect().is_none(), "nobody started it");
}

#[test]
fn the_status_of_a_healthy_daemon_is_that_it_runs() {
    let daemon = Daemon::start();
    let mut bridge = Bridge::of(&daemon);
    bridge.talk.request(
        0,
        "initialize",
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}),
    );
    for id in 1..4 {
        bridge.talk.request(id, "tools/call", json!({"name": "toolctl_status"}));
        assert_eq!(text(&bridge.talk.answer(id))["status"], "running");
    }
    let changed = |said: &&Value| said["method"] == "notifications/tools/list_changed";
    assert_eq!(bridge.talk.aside.iter().filter(changed).count(), 0, "{:?}", bridge.talk.aside);
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let daemon = Daemon::prepared(&[], &[]);
    daemon.configure("toolctl.toml", "nonsense = [");
    let mut bridge = Bridge::start(daemon.dir(), &["--autostart"], &[]);
    bridge.talk.modern(1, "tools/list", json!({}));
    let listed = bridge.talk.answer(1);
    let description = why(&listed);
    assert!(description.contains("could not be started: error["), "{description}");
    assert!(description.contains("toolctl.toml"), "{description}");
}

#[test]
fn a_key_is_passed_on_and_a_wrong_one_is_told() {
    let daemon = Daemon::start_with(&["--listen", "127.0.0.1:0"], &[]);
    let agent = daemon.agent("bot");
    let mut bridge = Bridge::start(daemon.dir(), &[], &[("TOOLCTL_KEY", &agent)]);
    bridge.talk.modern(1, "tools/call", ticket("mine"));
    assert_eq!(bridge.talk.answer(1)["result"]["isError"], false);
    let called = daemon.audit("kind=call.*");
    assert!(called.iter().all(|record| record["actor"] == "agent:bot"), "{called:?}");

    let Door::Tcp(address) = daemon.tcp() else { panic!("a TCP listener") };
    let place = format!("http://{address}");
    let mut bridge = Bridge::start(daemon.dir(), &["--socket", &place], &[("TOOLCTL_KEY", &agent)]);
    bridge.talk.modern(1, "tools/list", json!({}));
    assert!(names(&bridge.talk.answer(1)).contains(&"create_ticket"));
    let mut bridge = Bridge::start(daemon.dir(), &["--socket", &place], &[]);
    bridge.talk.modern(1, "tools/list", json!({}));
    assert!(why(&bridge.talk.answer(1)).contains("wants a key"));

    let wrong = [("TOOLCTL_KEY", "tctl_agent_wrong")];
    let mut bridge = Bridge::start(daemon.dir(), &[], &wrong);
    bridge.talk.initialize("2025-06-18");
    bridge.talk.request(1, "tools/list", json!({})).request(2, "tools/call", ticket("no"));
    let listed = bridge.talk.answer(1);
    assert_eq!(names(&listed), ["toolctl_status"]);
    let description = why(&listed);
    assert!(description.contains("does not accept the key"), "{description}");
    let told = text(&bridge.talk.answer(2));
    assert_eq!((&told["status"], &told["effect"]), (&json!("denied"), &json!("none")));
    let (_, said) = bridge.ends();
    assert!(said.contains("does not accept the key") && !said.contains("connected to"), "{said}");

    let mut bridge = Bridge::start(daemon.dir(), &["--as", "nobody"], &[]);
    bridge.talk.request(1, "tools/list", json!({}));
    let listed = bridge.talk.answer(1);
    let description = why(&listed);
    assert!(description.contains("cannot read the key file"), "{description}");
    assert_eq!(tickets(&daemon), 1);
}

#[test]
fn bad_lines_are_answered_and_the_rest_is_served() {
    let daemon = Daemon::start();
    let mut bridge = Bridge::of(&daemon);
    let talk = &mut bridge.talk;
    let told = |heard: Option<Value>| heard.map(|heard| (heard["id"].clone(), heard["error"]["code"].clone()));
    talk.raw(b"\r\n{\"id\":\"\xff\"}\nnonsense\n");
    assert_eq!(told(talk.next()), Some((Value::Null, json!(-32_700))));
    assert_eq!(told(talk.next()), Some((Value::Null, json!(-32_700))));
    talk.raw(b"{\"foo\":1}\n");
    assert_eq!(told(talk.next()), Some((Value::Null, json!(-32_600))));
    let long = vec![b'x'; 1 << 20];
    talk.raw(b"{\"method\":\"tools/call\",\"params\":{\"x\":\"").raw(&long).raw(b"\"},\"jsonrpc\":\"2.0\",\"id\":2}\n");
    assert_eq!(told(talk.next()), Some((json!(2), json!(413))));
    let first = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": ticket("half")}).to_string();
    let (half, other) = first.split_at(40);
    talk.raw(half.as_bytes());
    talk.raw(format!("{other}\r\n{{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"ping\"}}").as_bytes()).finish();
    let mut answers = [talk.next(), talk.next()].map(|answer| answer.expect("an answer"));
    answers.sort_by_key(|answer| answer["id"].as_i64());
    assert_eq!(answers[0]["result"]["isError"], false, "{}", answers[0]);
    assert_eq!(answers[1], json!({"jsonrpc": "2.0", "id": 4, "result": {}}));
    assert_eq!(talk.next(), None);
    assert_eq!(bridge.ends().0, Some(0));
    assert_eq!(tickets(&daemon), 1);
}

#[test]
fn it_ends_cleanly() {
    let daemon = Daemon::start();
    // With its client's input, once all is answered; a subscription does not count.
    let mut bridge = Bridge::of(&daemon);
    bridge.talk.modern("l", "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    bridge.talk.modern(1, "tools/call", ticket("last")).finish();
    assert_eq!(bridge.talk.answer(1)["result"]["isError"], false);
    assert_eq!(bridge.talk.next(), None);
    let (code, said) = bridge.ends();
    assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");

    for signal in ["INT", "TERM"] {
        let mut bridge = Bridge::of(&daemon);
        bridge.talk.initialize("2025-06-18");
        let status = Command::new("kill").args(["-s", signal, &bridge.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
        assert_eq!(bridge.talk.next(), None, "{signal}");
        assert_eq!(bridge.child.wait().expect("it ended").code(), Some(0), "{signal}");
    }

    // With whoever reads what it says.
    let mut command = program(daemon.dir());
    command.arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the bridge starts");
    drop(child.stdout.take());
    let mut input = child.stdin.take().expect("its stdin");
    let ping = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
    std::io::Write::write_all(&mut input, ping).expect("it reads");
    assert_eq!(child.wait().expect("it ended").code(), Some(0));
}

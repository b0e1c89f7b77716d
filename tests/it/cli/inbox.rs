//! On a terminal: the inbox of an approver, prompts for what is missing, and Ctrl-C at any of them.

use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use serde_json::{Value, json};

use super::asked;
use crate::support::Daemon;
use crate::support::story::program;

const DOWN: &str = "\u{1b}[B";
const CURSOR_SHOWN: &str = "\u{1b}[?25h";

/// A command on a terminal of its own.
pub fn terminal(daemon: &Daemon, key: Option<&str>, args: &[&str]) -> PtySession {
    let mut command = program(daemon.dir());
    command.args(args).env("TERM", "xterm-256color");
    if let Some(key) = key {
        command.env("TOOLCTL_KEY", key);
    }
    spawn_command(command, Some(30_000)).expect("a terminal")
}

pub fn press(session: &mut PtySession, keys: &str) {
    session.send(keys).expect("keys");
    session.flush().expect("keys");
}

#[track_caller]
pub fn sees(session: &mut PtySession, text: &str) -> String {
    session.exp_string(text).unwrap_or_else(|error| panic!("`{text}` was not shown: {error}"))
}

/// What else it shows, and its exit status.
pub fn ends(mut session: PtySession) -> (i32, String) {
    let rest = session.exp_eof().expect("its end");
    match session.process().wait().expect("its status") {
        WaitStatus::Exited(_, code) => (code, rest),
        other => panic!("{other:?}"),
    }
}

fn state(daemon: &Daemon, call: &Value) -> String {
    daemon.http("GET", &format!("/v1/calls/{}", call["id"].as_str().expect("an id"))).send().text("/state")
}

#[test]
fn a_person_looks_and_approves() {
    let daemon = Daemon::start();
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    let call = asked(&daemon, &agent);
    let mut session = terminal(&daemon, Some(&anna), &["approve"]);
    sees(&mut session, "update_customer_status");
    press(&mut session, "\r");
    sees(&mut session, "Suspended");
    sees(&mut session, "What now?");
    sees(&mut session, "quit");
    press(&mut session, DOWN);
    press(&mut session, "\r");
    let (code, _) = ends(session);
    assert_eq!((code, state(&daemon, &call).as_str()), (0, "succeeded"));
}

#[test]
fn a_person_rejects_with_a_reason() {
    let daemon = Daemon::start();
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    let call = asked(&daemon, &agent);
    let mut session = terminal(&daemon, Some(&anna), &["approve", "1"]);
    sees(&mut session, "What now?");
    sees(&mut session, "quit");
    press(&mut session, DOWN);
    press(&mut session, DOWN);
    press(&mut session, "\r");
    sees(&mut session, "Why?");
    press(&mut session, "not today\r");
    let (code, _) = ends(session);
    assert_eq!((code, state(&daemon, &call).as_str()), (0, "rejected"));
    let shown = daemon.http("GET", &format!("/v1/calls/{}", call["id"].as_str().expect("an id"))).send().json();
    assert_eq!(shown["approval"]["decisions"][0]["reason"], "not today");
}

#[test]
fn a_stray_enter_does_not_approve() {
    let daemon = Daemon::start();
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    let call = asked(&daemon, &agent);
    let mut session = terminal(&daemon, Some(&anna), &["approve", "1"]);
    sees(&mut session, "What now?");
    sees(&mut session, "quit");
    press(&mut session, "\r");
    assert_eq!(ends(session).0, 0);
    assert_eq!(state(&daemon, &call), "awaiting_approval");
}

#[test]
fn ctrl_c_leaves_with_130_and_shows_the_cursor_again() {
    let daemon = Daemon::start();
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    let call = asked(&daemon, &agent);
    for args in [&["approve"][..], &["approve", "1"]] {
        let mut session = terminal(&daemon, Some(&anna), args);
        sees(&mut session, "quit");
        session.send_control('c').expect("Ctrl-C");
        let (code, rest) = ends(session);
        assert_eq!(code, 130, "{args:?}: {rest:?}");
        assert!(rest.contains(CURSOR_SHOWN), "{args:?}: {rest:?}");
    }
    assert_eq!(state(&daemon, &call), "awaiting_approval");
}

#[test]
fn an_empty_inbox_says_so() {
    let daemon = Daemon::start();
    let session = terminal(&daemon, None, &["approve"]);
    let (code, rest) = ends(session);
    assert!(code == 0 && rest.contains("nothing waits"), "{code} {rest}");
}

#[test]
fn the_requester_is_told_that_it_may_not_decide() {
    let daemon = Daemon::start();
    let anna = daemon.person("anna", &["operators", "approvers"]);
    let call = asked(&daemon, &anna);
    let mut session = terminal(&daemon, Some(&anna), &["approve", "1"]);
    let before = sees(&mut session, "What now?");
    assert!(before.contains("own"), "{before}");
    let menu = sees(&mut session, "quit");
    assert!(!menu.contains("approve"), "{menu}");
    press(&mut session, "\r");
    ends(session);
    assert_eq!(state(&daemon, &call), "awaiting_approval");
}

#[test]
fn what_is_missing_is_asked_for() {
    let daemon = Daemon::start();
    let mut session = terminal(&daemon, None, &["call", "create_ticket"]);
    sees(&mut session, "customer");
    press(&mut session, "1\r");
    sees(&mut session, "title");
    press(&mut session, "Asked for\r");
    let (code, rest) = ends(session);
    assert_eq!(code, 0, "{rest}");
    assert!(rest.contains("toolctl call create_ticket"), "the equivalent command: {rest}");
    let calls = daemon.http("GET", "/v1/calls").send().json();
    assert_eq!(calls["calls"][0]["arguments"]["title"], "Asked for");
}

#[test]
fn a_wrong_answer_is_asked_for_again_and_ctrl_c_runs_nothing() {
    let daemon = Daemon::start();
    let mut session = terminal(&daemon, None, &["call", "create_ticket"]);
    sees(&mut session, "customer");
    press(&mut session, "one\r");
    sees(&mut session, "one");
    session.send_control('c').expect("Ctrl-C");
    let (code, rest) = ends(session);
    assert_eq!(code, 130, "{rest}");
    assert_eq!(daemon.http("GET", "/v1/calls").send().json()["calls"], json!([]));
}

#[test]
fn an_agents_words_cannot_draw_on_the_approvers_screen() {
    let daemon = Daemon::start();
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    let arguments = json!({"customer_id": 2, "new_status": "Fine\u{1b}[2J\u{1b}[H"});
    let body = json!({"tool": "update_customer_status", "arguments": arguments, "reason": "\u{1b}]0;owned\u{7}"});
    daemon.http("POST", "/v1/calls").key(&agent).json(&body).send();
    let mut session = terminal(&daemon, Some(&anna), &["approve", "1"]);
    let shown = sees(&mut session, "What now?");
    assert!(!shown.contains("\u{1b}[2J") && !shown.contains("\u{1b}]0") && !shown.contains('\u{7}'), "{shown:?}");
    sees(&mut session, "quit");
    session.send_control('c').expect("Ctrl-C");
    ends(session);
}

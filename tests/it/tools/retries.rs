//! Failures that pass: a command that says "not now, and nothing happened" is started again inside its one call, as
//! often as it declared and never beyond its time. What it says otherwise is an end.

use serde_json::{Value, json};

use super::{call, daemon, path};
use crate::support::Daemon;

/// A tool that counts its starts and then does this.
fn counting(effect: &str, lines: &str, script: &str) -> Daemon {
    let text = format!(
        "[tool]\nname = \"t\"\ndescription = \"A test.\"\neffect = \"{effect}\"\ndestructive = false\nrisk = \"low\"\n\
         timeout = \"5s\"\n[tool.command]\nprogram = \"./t.sh\"\nlimits = {{ grace = \"50ms\" }}\n{lines}\n"
    );
    let script = format!("#!/bin/sh\necho x >> \"$0.starts\"\nn=$(wc -l < \"$0.starts\")\n{script}\n");
    daemon(&[("t.toml", &text), ("t.sh", &script)])
}

fn starts(daemon: &Daemon) -> usize {
    std::fs::read_to_string(path(daemon, "t.sh.starts")).unwrap_or_default().lines().count()
}

const SOON: &str = "tempfail_exit = [75]\nretry = { attempts = 3, wait = \"10ms\" }";

#[test]
fn what_could_not_yet_is_started_again_in_the_same_call() {
    let daemon = counting("once", SOON, "[ $n -lt 3 ] && { echo early; exit 75; }; cat; echo done");
    let answer = call(&daemon, "t", &json!({}));
    assert_eq!((&answer["state"], &answer["output"]["text"]), (&json!("succeeded"), &json!("done\n")), "{answer}");
    assert_eq!((starts(&daemon), &answer["attempts"]), (3, &json!(1)));
    let records = daemon.audit(&format!("call={}", answer["id"].as_str().expect("an id")));
    let kinds: Vec<&Value> = records.iter().map(|record| &record["type"]).collect();
    assert_eq!(kinds, ["call.dispatched", "call.completed"]);
    assert_eq!(records[1]["detail"]["attempts"], "3");
}

#[test]
fn it_is_not_started_more_often_than_declared() {
    let daemon = counting("once", SOON, "echo \"busy $n\" >&2; exit 75");
    let answer = call(&daemon, "t", &json!({}));
    assert_eq!(
        (&answer["state"], &answer["effect"], starts(&daemon)),
        (&json!("failed"), &json!("none"), 3),
        "{answer}"
    );
    let why = answer["error"]["detail"].as_str().expect("a reason");
    assert!(why.contains("status 75") && why.contains("(3 attempts): busy 3"), "{why}");
    let daemon = counting("once", "tempfail_exit = [75]\nretry = { attempts = 1 }", "exit 75");
    call(&daemon, "t", &json!({}));
    assert_eq!(starts(&daemon), 1);
}

#[test]
fn it_is_not_started_again_when_its_time_would_be_over() {
    let lines = "tempfail_exit = [75]\nretry = { attempts = 10, wait = \"4s\" }";
    let daemon = counting("once", lines, "exit 75");
    let answer = call(&daemon, "t", &json!({}));
    assert_eq!((&answer["effect"], starts(&daemon)), (&json!("none"), 2), "the third would be 12 s away: {answer}");
    // All starts together have the time of one.
    let daemon = counting("once", SOON, "[ $n = 1 ] && exit 75; exec sleep 600");
    let answer = call(&daemon, "t", &json!({}));
    assert_eq!((&answer["state"], starts(&daemon)), (&json!("in_doubt"), 2), "{answer}");
}

#[test]
fn nothing_else_is_tried_again_whatever_the_class() {
    for effect in ["readonly", "idempotent", "keyed", "once"] {
        for end in ["exit 1", "exit 3", "kill -9 $$"] {
            let daemon = counting(effect, &format!("{SOON}\nno_effect_exit = [3]"), end);
            call(&daemon, "t", &json!({}));
            assert_eq!(starts(&daemon), 1, "{effect}, {end}");
        }
    }
}

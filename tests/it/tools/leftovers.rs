//! P14, small: commands that hang, fork, leave their session, flood, ignore signals or crash leave nothing behind:
//! no process, no zombie, no open file of the daemon, no folder. `TOOLCTL_P14_CASES` sets the number of calls.

use std::collections::BTreeMap;

use serde_json::json;

use super::put;
use crate::support::daemon::UNHURRIED;
use crate::support::{Daemon, until};

const TOOL: &str = r#"
[tool]
name = "misbehave"
description = "Misbehaves."
effect = "readonly"
timeout = "1s"
output_limit = "64 KiB"
[tool.arguments]
how = { type = "string", required = true }
[tool.command]
program = "./misbehave.sh"
arguments = ["{how}"]
limits = { grace = "50ms" }
"#;

const MISBEHAVE: &str = r#"#!/bin/sh
case "$1" in
  hang) sleep 600 ;;
  ignore) trap '' TERM HUP INT; while :; do sleep 1; done ;;
  fork) for n in 1 2 3 4 5; do sleep 600 & done; wait ;;
  leave) setsid sh -c 'trap "" TERM; sleep 600' & setsid sleep 600 & exit 0 ;;
  twice) (setsid sh -c '(sleep 600 &); exit' &); exit 0 ;;
  many) for n in 1 2 3 4 5 6 7 8 9 10; do (setsid sh -c 'sleep 600' &); done; exit 0 ;;
  flood) yes ;;
  murmur) (while :; do echo x >&2; sleep 0.05; done) & sleep 600 ;;
  crash) kill -SEGV $$ ;;
  behave) echo fine ;;
esac
"#;

const WAYS: [&str; 10] = ["hang", "ignore", "fork", "leave", "twice", "many", "flood", "murmur", "crash", "behave"];

/// Processes that have the daemon's spool in their environment: everything that its commands started.
fn alive(daemon: &Daemon) -> Vec<String> {
    let mark = daemon.state().join("spool").display().to_string();
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    processes
        .filter(|process| {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            environment.windows(mark.len()).any(|window| window == mark.as_bytes())
        })
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Children of the daemon that nobody has waited for, or that still run.
fn children(daemon: &Daemon) -> usize {
    let parent = daemon.pid().to_string();
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    processes
        .filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok())
        .filter(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.split_whitespace().nth(1) == Some(&parent)))
        .count()
}

fn open_files(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("its files").count()
}

fn runs(daemon: &Daemon) -> usize {
    let listing = std::fs::read_dir(daemon.state().join("spool")).expect("the spool");
    listing.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir())).count()
}

#[test]
fn nothing_is_left_behind() {
    let cases = std::env::var("TOOLCTL_P14_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[]);
    std::fs::write(daemon.dir().join(".env"), UNHURRIED).expect("the env file");
    put(&daemon, &[("misbehave.toml", TOOL), ("misbehave.sh", MISBEHAVE)]);
    daemon.restart();
    let call = |way: &str| {
        let body = json!({"tool": "misbehave", "arguments": {"how": way}});
        let answer = daemon.http("POST", "/v1/calls").json(&body).send().json();
        (
            answer["state"].as_str().unwrap_or_default().to_owned(),
            answer["error"]["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    call("behave");
    let files = until(|| (children(&daemon) == 0).then(|| open_files(&daemon)));
    let mut ended: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    for round in (0..cases).collect::<Vec<usize>>().chunks(10) {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = round
                .iter()
                .filter_map(|number| WAYS.get(number % WAYS.len()))
                .map(|way| (*way, scope.spawn(|| call(way))))
                .collect();
            started.into_iter().map(|(way, answer)| (way, answer.join().expect("an answer"))).collect()
        });
        for (way, answer) in answers {
            ended.entry(way).or_default().push(answer);
        }
    }
    for (way, answers) in &ended {
        let expected = match *way {
            "hang" | "ignore" | "fork" | "murmur" => ("failed", "tool-timeout"),
            "flood" => ("failed", "output-invalid"),
            "crash" => ("failed", "tool-failed"),
            _ => ("succeeded", ""),
        };
        assert!(answers.iter().all(|(state, code)| (state.as_str(), code.as_str()) == expected), "{way}: {answers:?}");
    }
    assert_eq!(alive(&daemon), Vec::<String>::new());
    until(|| (children(&daemon) == 0 && runs(&daemon) == 0).then_some(()));
    until(|| (open_files(&daemon) <= files).then_some(()));
}

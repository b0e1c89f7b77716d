//! Bad input that comes from tools: they change between two starts of a run, they give what they did not declare, or
//! more than anybody expects.

use serde_json::json;

use super::{file, happened, run, step, ticket};
use crate::support::Daemon;
use crate::tools;

/// The tool `t` with these lines in `[tool]` and these in `[tool.command]`.
fn manifest(lines: &str, command: &str) -> String {
    format!(
        "[tool]\nname = \"t\"\ndescription = \"A test.\"\neffect = \"once\"\ndestructive = false\nrisk = \"low\"\n{lines}\n\
         [tool.command]\nprogram = \"./t.sh\"\n{command}\n"
    )
}

const NAMED: &str = "arguments = { name = { type = \"string\", required = true } }";
const OTHER: &str = "arguments = { whom = { type = \"string\", required = true } }";

fn daemon(manifest: &str, script: &str) -> Daemon {
    tools::daemon(&[("t.toml", manifest), ("t.sh", &format!("#!/bin/sh\n{script}\n"))])
}

fn change(daemon: &Daemon, manifest: &str) {
    tools::put(daemon, &[("t.toml", manifest)]);
    daemon.cli(&["reload"]).exits(0);
}

/// A step that waits for people, then `t` with these lines.
fn after_people(daemon: &Daemon, more: &str) -> String {
    let first = ticket("a", "First", "approval = \"required\"");
    file(daemon, "w.toml", &format!("name = \"w\"\n{first}[[step]]\nid = \"b\"\ntool = \"t\"\nneeds = \"a\"\n{more}\n"))
}

#[test]
fn a_tool_that_takes_other_arguments_than_when_the_run_began_is_found_before_anything_runs() {
    let daemon = daemon(&manifest(NAMED, "arguments = [\"{name}\"]\noutput = \"text\""), "printf %s \"$1\"");
    let path = after_people(&daemon, "with = { name = \"x\" }\n[outputs]\nsaid = \"{{ steps.b.output.text }}\"");
    run(&daemon, &path, &[], &["--run", "r"]).exits(8);
    daemon.cli(&["approve", "#1", "--yes"]).exits(0);
    change(&daemon, &manifest(OTHER, "arguments = [\"{whom}\"]\noutput = \"text\""));
    for words in [vec!["run", &path, "--run", "r", "-o", "json"], vec!["run", "--run", "r", "-o", "json"]] {
        let error = daemon.cli(&words).exits(2).error();
        let told: Vec<&str> =
            error["errors"].as_array().expect("faults").iter().filter_map(|fault| fault["message"].as_str()).collect();
        assert!(told.iter().any(|told| told.starts_with("`t` has no argument `name`")), "{told:?}");
        assert!(told.iter().any(|told| told.starts_with("`t` needs the argument `whom`")), "{told:?}");
    }
    assert_eq!((happened(&daemon, "create_ticket"), happened(&daemon, "t")), (1, 0));
    change(&daemon, &manifest(NAMED, "arguments = [\"{name}\"]\noutput = \"text\""));
    assert_eq!(run(&daemon, &path, &[], &["--run", "r"]).json()["outputs"]["said"], "x");
}

#[test]
fn a_tool_that_changes_while_people_look_at_its_call_does_not_run_and_can_be_asked_for_again() {
    let daemon = daemon(&manifest("", "output = \"text\""), "echo ran");
    let text = "name = \"w\"\n[[step]]\nid = \"b\"\ntool = \"t\"\napproval = \"required\"\n";
    let path = file(&daemon, "w.toml", text);
    run(&daemon, &path, &[], &["--run", "r"]).exits(8);
    change(&daemon, &manifest("title = \"Now another\"", "output = \"text\""));
    assert_eq!(daemon.cli(&["approve", "#1", "--yes"]).ends().code, Some(12));
    for _ in 0..2 {
        let ending = run(&daemon, &path, &[], &["--run", "r"]).exits(12);
        assert_eq!(ending.error()["code"], "approval-stale");
        assert_eq!(happened(&daemon, "t"), 0);
    }
    run(&daemon, &path, &[], &["--run", "r", "--from", "b"]).exits(8);
    daemon.cli(&["approve", "#2", "--yes"]).exits(0);
    daemon.cli(&["run", "--run", "r+2"]).exits(0);
    assert_eq!(happened(&daemon, "t"), 1);
}

#[test]
fn an_output_that_is_not_what_its_tool_declares_fails_the_step_and_is_not_tried_again() {
    let output = "[tool.output]\ntype = \"object\"\nrequired = [\"count\"]\nproperties.count.type = \"integer\"\n";
    let manifest = format!("{}{output}", manifest("", "output = \"json\""));
    let daemon = daemon(&manifest, "echo >> \"$0.ran\"; echo '{\"count\": \"many\"}'");
    let text = format!(
        "name = \"w\"\n[[step]]\nid = \"b\"\ntool = \"t\"\nretry = {{ attempts = 3, backoff = \"1ms\" }}\n{}",
        ticket("c", "{{ steps.b.output.count }} of them", ""),
    );
    let path = file(&daemon, "w.toml", &text);
    for _ in 0..2 {
        let ending = run(&daemon, &path, &[], &["--run", "r"]).exits(3);
        assert_eq!(ending.error()["code"], "output-invalid");
        assert_eq!(step(&ending.json(), "c")["state"], "stopped");
        let ran = std::fs::read_to_string(tools::path(&daemon, "t.sh.ran")).expect("it ran");
        assert_eq!((ran.len(), happened(&daemon, "create_ticket")), (1, 0), "it was done, so it is not done again");
    }
}

#[test]
fn one_output_of_ten_megabytes_is_looked_at_and_told_apart_from_what_a_call_can_take() {
    let size = 10 << 20;
    let daemon = daemon(
        &manifest("output_limit = \"16 MiB\"", "output = \"text\""),
        &format!("head -c {size} /dev/zero | tr '\\0' x"),
    );
    let said = |id: &str, text: &str| {
        format!(
            "[[step]]\nid = \"{id}\"\ntool = \"send_message\"\nneeds = \"b\"\nwith = {{ channel = \"c\", message = \"{text}\" }}\n"
        )
    };
    let text = format!(
        "name = \"w\"\n[[step]]\nid = \"b\"\ntool = \"t\"\n{}{}{}",
        said("short", "{{ steps.b.output.text | length }} bytes, {{ steps.b.output.text[:3] }}"),
        said("long", "{{ steps.b.output.text }}"),
        said("twice", "{{ steps.b.output.text ~ steps.b.output.text }}"),
    );
    let ending = run(&daemon, &file(&daemon, "w.toml", &text), &[], &["--run", "r"]).exits(2);
    let report = ending.json();
    assert_eq!(step(&report, "b")["output"]["text"].as_str().map(str::len), Some(size));
    let shown = daemon.cli(&["runs", "show", "r", "-o", "json"]).json();
    let sent: Vec<_> =
        shown["calls"].as_array().expect("calls").iter().filter(|call| call["tool"] == "send_message").collect();
    assert_eq!(sent.len(), 1, "what does not fit is not sent");
    assert_eq!(sent[0]["arguments"]["message"], json!(format!("{size} bytes, xxx")));
    for id in ["long", "twice"] {
        let error = &step(&report, id)["error"];
        assert_eq!(error["code"], "payload-too-large", "{error}");
        assert!(error["message"].as_str().expect("a text").len() < 1_000, "{error}");
    }
}

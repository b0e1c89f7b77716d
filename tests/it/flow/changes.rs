//! A run is what it was when it began: other files, other inputs and other tools are noticed before anything is sent;
//! doing a part of it again has to be said.

use serde_json::json;

use super::{file, happened, run, step, ticket};
use crate::support::Daemon;

#[test]
fn a_changed_file_on_an_old_run_is_told_what_changed() {
    let daemon = Daemon::start();
    let first = format!("name = \"w\"\ninputs.who = {{}}\n{}{}", ticket("a", "First", ""), ticket("b", "Second", ""));
    let path = file(&daemon, "w.toml", &first);
    run(&daemon, &path, &["who=anna"], &["--run", "r"]).exits(0);
    let changed = format!("name = \"w\"\ninputs.who = {{}}\n{}{}", ticket("a", "Other", ""), ticket("c", "Third", ""));
    file(&daemon, "w.toml", &changed);
    let ending = run(&daemon, &path, &["who=bo"], &["--run", "r"]).exits(12);
    let error = ending.error();
    assert_eq!(error["code"], "workflow-nondeterminism");
    let told: Vec<_> = error["errors"].as_array().expect("what changed").iter().map(|it| it["path"].clone()).collect();
    assert_eq!(told, ["step a", "step b", "step c", "input who"]);
    assert_eq!(happened(&daemon, "create_ticket"), 2);

    // What it says for people, how it looks and in which language it is written is no change.
    let yaml = "# the same\nname: w\ndescription: now told\ninputs: {who: {}}\nstep:\n\
                - {id: a, tool: create_ticket, with: {title: First, customer_id: 1}}\n\
                - {id: b, tool: create_ticket, with: {title: Second, customer_id: 1}}\n";
    let other = file(&daemon, "w.yaml", yaml);
    let report = run(&daemon, &other, &[], &["--run", "r"]).json();
    assert_eq!(step(&report, "a")["calls"][0]["replayed"], true);
    assert_eq!(happened(&daemon, "create_ticket"), 2);
}

#[test]
fn from_a_step_on_the_run_is_done_again_with_a_mended_file() {
    let daemon = Daemon::start();
    let text = |customer: &str| {
        format!(
            "name = \"w\"\n{}[[step]]\nid = \"b\"\ntool = \"create_ticket\"\n\
             with = {{ customer_id = {customer}, title = \"After {{{{ steps.a.output.ticket.id }}}} {{{{ run.id }}}}\" }}\n{}",
            ticket("a", "First of {{ run.id }}", ""),
            ticket("c", "Beside", ""),
        )
    };
    let path = file(&daemon, "w.toml", &text("999"));
    run(&daemon, &path, &[], &["--run", "r"]).exits(3);
    run(&daemon, &path, &[], &["--run", "r"]).exits(3);
    file(&daemon, "w.toml", &text("2"));
    run(&daemon, &path, &[], &["--run", "r"]).exits(12);
    let again = run(&daemon, &path, &[], &["--run", "r", "--from", "b"]).exits(0);
    let report = again.json();
    assert_eq!(report["run"], "r+2");
    let key = |id: &str| step(&report, id)["calls"][0]["key"].clone();
    assert_eq!([key("a"), key("b"), key("c")], [json!("r/a"), json!("r+2/b"), json!("r/c")]);
    assert_eq!(happened(&daemon, "create_ticket"), 4, "a, c, the b that failed and the b that did not");
    // The new run is a run like others.
    daemon.cli(&["run", "--run", "r+2"]).exits(0);
    assert_eq!(happened(&daemon, "create_ticket"), 4);

    // A step that is not done again must be what it was.
    file(&daemon, "w.toml", &text("2").replace("Beside", "Elsewhere"));
    let ending = run(&daemon, &path, &[], &["--run", "r", "--from", "b"]).exits(12);
    assert_eq!(ending.error()["errors"][0]["path"], "step c");
    run(&daemon, &path, &[], &["--run", "r", "--from", "bb"]).exits(2);
}

#[test]
fn a_tool_that_vanished_or_takes_other_arguments_is_found_before_anything_runs() {
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[]);
    let set = |daemon: &Daemon, tools: &str| {
        std::fs::write(daemon.dir().join(".env"), format!("ALLOWED_TOOLS={tools}\n")).expect("the env file");
    };
    set(&daemon, "create_ticket,send_message,update_customer_status");
    daemon.restart();
    let text = format!(
        "name = \"w\"\n{}[[step]]\nid = \"b\"\ntool = \"update_customer_status\"\nneeds = \"a\"\nwith = {{ customer_id = 1, new_status = \"Paused\" }}\n\
         [[step]]\nid = \"c\"\ntool = \"send_message\"\nneeds = \"b\"\nwith = {{ channel = \"c\", message = \"m\" }}\n",
        ticket("a", "First", "")
    );
    let path = file(&daemon, "w.toml", &text);
    run(&daemon, &path, &[], &["--run", "r"]).exits(8);
    daemon.kill();
    set(&daemon, "create_ticket,update_customer_status");
    daemon.restart();
    let ending = run(&daemon, &path, &[], &["--run", "r"]).exits(2);
    assert!(
        ending.error()["errors"][0]["message"].as_str().expect("a text").contains("`send_message`"),
        "{}",
        ending.stderr
    );
    daemon.kill();
    set(&daemon, "create_ticket,update_customer_status,send_message");
    daemon.restart();
    daemon.cli(&["approve", "#1", "--yes"]).exits(0);
    run(&daemon, &path, &[], &["--run", "r"]).exits(0);
    assert_eq!(happened(&daemon, "create_ticket"), 1);
}

#[test]
fn a_run_that_was_taken_back_stays_so() {
    let daemon = Daemon::start();
    let inputs = ["customer=acme", "problem=Login is broken"];
    let support = || run(&daemon, &super::example("support.toml"), &inputs, &["--run", "s1"]);
    support().exits(8);
    let shown = daemon.cli(&["runs", "cancel", "s1", "-o", "json"]).json();
    assert_eq!(shown["run"]["state"], "cancelled");
    let states: Vec<_> = shown["calls"].as_array().expect("calls").iter().map(|call| call["state"].clone()).collect();
    assert_eq!(states, ["succeeded", "succeeded", "cancelled"]);
    let ending = support().exits(12);
    assert_eq!(ending.error()["code"], "cancelled");
    daemon.cli(&["runs", "cancel", "s1"]).exits(0);
    daemon.cli(&["runs", "show", "nothing"]).exits(2);
}

#[test]
fn runs_belong_to_whoever_began_them() {
    let daemon = Daemon::start();
    let (one, two) = (daemon.agent("one"), daemon.agent("two"));
    let path = file(&daemon, "w.toml", &format!("name = \"w\"\n{}", ticket("a", "Mine", "")));
    run(&daemon, &path, &[], &["--run", "r"]).key(&one).exits(0);
    daemon.cli(&["run", "--run", "r"]).key(&two).exits(2);
    daemon.cli(&["runs", "show", "r"]).key(&two).exits(2);
    assert_eq!(
        daemon.cli(&["runs", "list", "--principal", "agent:one", "-o", "json"]).key(&two).json()["runs"],
        json!([])
    );
    run(&daemon, &path, &[], &["--run", "r"]).key(&two).exits(0);
    assert_eq!(happened(&daemon, "create_ticket"), 2);
    let seen = daemon.cli(&["runs", "list", "--principal", "agent:one", "-o", "json"]).json();
    assert_eq!(seen["runs"][0]["run"], "r", "an operator sees everybody's");
}

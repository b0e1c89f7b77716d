//! The workflows in `examples/` do what they say, once, however often they are started.

use std::path::Path;

use serde_json::{Value, json};

use super::{example, happened, run, step};
use crate::support::{Daemon, story};

fn approve(daemon: &Daemon, number: &str) {
    daemon.cli(&["approve", number, "--yes", "-o", "json"]).exits(0);
}

#[test]
fn support_waits_for_people_and_goes_on_where_it_stopped() {
    let daemon = Daemon::start();
    let support = |more| run(&daemon, &example("support.toml"), &["customer=acme", "problem=Login is broken"], more);
    let first = support(&["--run", "s1"]).exits(8);
    let error = first.error();
    assert_eq!(
        (&error["code"], &error["try"]),
        (&json!("approval-pending"), &json!(["toolctl approve '#1' --yes", "toolctl run --run s1"]))
    );
    let report = first.json();
    assert_eq!((&report["state"], &step(&report, "status")["state"]), (&json!("open"), &json!("open")));
    assert_eq!(step(&report, "tell")["state"], "stopped");
    assert_eq!(happened(&daemon, "create_ticket"), 1);

    approve(&daemon, "#1");
    let report = daemon.cli(&["run", "--run", "s1", "-o", "json"]).json();
    assert_eq!(
        report["outputs"],
        json!({"ticket": 1, "customer": {"id": 1, "name": "ACME AB", "status": "Suspended"}})
    );
    assert_eq!(step(&report, "ticket")["calls"][0]["replayed"], true);
    assert_eq!(step(&report, "tell")["calls"][0]["replayed"], false);
    let again = support(&["--run", "s1"]).exits(0).json();
    assert_eq!(again["outputs"], report["outputs"]);
    assert_eq!((happened(&daemon, "create_ticket"), happened(&daemon, "send_message")), (1, 1));
}

#[test]
fn support_waits_as_long_as_it_is_told() {
    let daemon = Daemon::unhurried();
    let waiting = run(
        &daemon,
        &example("support.toml"),
        &["customer=acme", "problem=Login is broken"],
        &["--run", "s1", "--wait", "50s"],
    );
    let waiting = waiting.start();
    crate::support::until(|| {
        let found = daemon.cli(&["approvals", "list", "-o", "json"]).json();
        (found["approvals"].as_array()?.len() == 1).then_some(())
    });
    approve(&daemon, "#1");
    let ending = waiting.ends();
    assert_eq!((ending.code, &ending.json()["state"]), (Some(0), &json!("succeeded")), "{}", ending.stderr);
}

#[test]
fn support_ends_when_people_say_no() {
    let daemon = Daemon::start();
    let inputs = ["customer=acme", "problem=Login is broken"];
    run(&daemon, &example("support.toml"), &inputs, &["--run", "s1"]).exits(8);
    daemon.cli(&["deny", "#1", "--reason", "not this one"]).exits(0);
    for _ in 0..2 {
        let ending = run(&daemon, &example("support.toml"), &inputs, &["--run", "s1"]).exits(6);
        assert_eq!(ending.error()["code"], "approval-rejected");
        assert_eq!(step(&ending.json(), "status")["state"], "failed");
    }
    assert_eq!(happened(&daemon, "send_message"), 0);
}

#[test]
fn an_incident_opens_one_ticket_a_customer_over_all_runs() {
    let daemon = Daemon::start();
    let incident = |name: &str| run(&daemon, &example("incident.toml"), &["incident=INC-1001"], &["--run", name]);
    let first = incident("i1").exits(8);
    let customers = step(&first.json(), "affected")["output"]["affected_customers"].as_array().expect("a list").len();
    assert!(customers > 1, "the seed has an incident that affects more than one");
    assert_eq!(happened(&daemon, "create_ticket"), customers);
    assert_eq!(first.error()["code"], "approval-pending", "the step asks for people although policy does not");
    approve(&daemon, "#1");
    let report = incident("i1").exits(0).json();
    assert_eq!(report["outputs"]["tickets"].as_array().map(Vec::len), Some(customers));

    let other = incident("i2").exits(8).json();
    let replayed = |call: &Value| call["replayed"] == true;
    assert!(step(&other, "tickets")["calls"].as_array().expect("calls").iter().all(replayed));
    assert_eq!(happened(&daemon, "create_ticket"), customers, "another run of the same incident opens no more");
}

#[test]
fn a_timer_goes_on_with_whatever_is_open() {
    let daemon = Daemon::start();
    let inputs = ["customer=acme", "problem=Login is broken"];
    run(&daemon, &example("support.toml"), &inputs, &["--run", "s1"]).exits(8);
    let go_on = || {
        let mut script = story::shell(daemon.dir(), Path::new(&example("go-on.sh")));
        let output = script.output().expect("a shell");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        daemon.cli(&["runs", "list", "-o", "json"]).json()["runs"][0]["state"].clone()
    };
    assert_eq!(go_on(), "open");
    approve(&daemon, "#1");
    assert_eq!(go_on(), "succeeded");
    assert_eq!(go_on(), "succeeded");
    assert_eq!(happened(&daemon, "send_message"), 1);
}

const DEPLOY: [&str; 3] = ["service=1", "version=v2", "stable=v1"];

fn version(daemon: &Daemon) -> Value {
    daemon.cli(&["call", "search_customer", "--query", "acme", "-o", "json"]).json()["results"][0]["status"].clone()
}

#[test]
fn a_deploy_asks_twice() {
    let daemon = Daemon::start();
    let deploy = || run(&daemon, &example("deploy.toml"), &DEPLOY, &["--run", "d1"]);
    deploy().exits(8);
    approve(&daemon, "#1");
    deploy().exits(8);
    assert_eq!(version(&daemon), "canary v2");
    approve(&daemon, "#2");
    let report = deploy().exits(0).json();
    assert_eq!((version(&daemon), &step(&report, "rollback")["state"]), (json!("v2"), &json!("not_begun")));
    assert_eq!(happened(&daemon, "send_message"), 1);
}

#[test]
fn a_deploy_that_people_stop_is_put_back_and_stays_so() {
    let daemon = Daemon::start();
    let deploy = || run(&daemon, &example("deploy.toml"), &DEPLOY, &["--run", "d1"]);
    deploy().exits(8);
    approve(&daemon, "#1");
    deploy().exits(8);
    daemon.cli(&["deny", "#2", "--reason", "the canary is ill"]).exits(0);
    let report = deploy().exits(8).json();
    assert_eq!(step(&report, "rollback")["state"], "open", "the rollback itself needs people");
    approve(&daemon, "#3");
    for _ in 0..2 {
        let ending = deploy().exits(6);
        assert_eq!(ending.error()["code"], "approval-rejected");
        let report = ending.json();
        assert_eq!((version(&daemon), &step(&report, "rollback")["state"]), (json!("v1"), &json!("succeeded")));
    }
    assert_eq!(happened(&daemon, "send_message"), 1);
    let runs = daemon.cli(&["runs", "list", "-o", "json"]).json();
    assert_eq!((&runs["runs"][0]["run"], &runs["runs"][0]["state"]), (&json!("d1"), &json!("failed")));
}

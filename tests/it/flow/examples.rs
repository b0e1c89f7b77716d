//! The workflows in `examples/` do what they say, once, however often they are started.

use serde_json::json;

use super::{example, run, step};
use crate::support::Daemon;

fn happened(daemon: &Daemon, tool: &str) -> usize {
    daemon.audit(&format!("kind=call.completed&tool={tool}")).len()
}

#[test]
fn support_waits_for_people_and_goes_on_where_it_stopped() {
    let daemon = Daemon::start();
    let support =
        || run(&daemon, &example("support.toml"), &["customer=acme", "problem=Login is broken"], &["--run", "s1"]);
    let first = support().exits(8);
    let error = first.error();
    assert_eq!(error["code"], "approval-pending");
    let tries = error["try"].as_array().expect("what to type next");
    let go_on = tries.last().and_then(serde_json::Value::as_str).expect("the command that goes on");
    assert!(go_on.ends_with("--input customer=acme --input 'problem=Login is broken' --run s1"), "{go_on}");
    let report = first.json();
    assert_eq!((&report["state"], &step(&report, "status")["state"]), (&json!("open"), &json!("open")));
    assert_eq!(step(&report, "tell")["state"], "stopped");
    assert_eq!(happened(&daemon, "create_ticket"), 1);

    daemon.cli(&["approve", "#1", "--yes"]).exits(0);
    let report = support().exits(0).json();
    assert_eq!(
        report["outputs"],
        json!({"ticket": 1, "customer": {"id": 1, "name": "ACME AB", "status": "Suspended"}})
    );
    assert_eq!(step(&report, "ticket")["calls"][0]["replayed"], true);
    assert_eq!(step(&report, "tell")["calls"][0]["replayed"], false);
    let again = support().exits(0).json();
    assert_eq!(again["outputs"], report["outputs"]);
    assert_eq!((happened(&daemon, "create_ticket"), happened(&daemon, "send_message")), (1, 1));
}

#[test]
fn support_ends_when_people_say_no() {
    let daemon = Daemon::start();
    let support =
        || run(&daemon, &example("support.toml"), &["customer=acme", "problem=Login is broken"], &["--run", "s1"]);
    support().exits(8);
    daemon.cli(&["deny", "#1", "--reason", "not this one"]).exits(0);
    for _ in 0..2 {
        let ending = support().exits(6);
        assert_eq!(ending.error()["code"], "approval-rejected");
        assert_eq!(step(&ending.json(), "status")["state"], "failed");
    }
    assert_eq!(happened(&daemon, "send_message"), 0);
}

//! `tools` and `policy`: what there is, and what one may do with it.

use serde_json::json;

use super::{CHANGE, TICKET, fails, with};
use crate::support::Daemon;

#[test]
fn tools_are_listed_with_what_policy_says() {
    let daemon = Daemon::start();
    let listed = daemon.cli(&["-o", "json", "tools", "list"]).json();
    assert_eq!(listed["tools"].as_array().map(Vec::len), Some(5));
    let plain = daemon.cli(&["tools", "list"]).succeeds();
    for name in ["create_ticket", "get_incident_impact", "search_customer", "send_message", "update_customer_status"] {
        assert!(plain.contains(name), "`{name}` in {plain}");
    }
}

#[test]
fn tools_are_found_by_words_and_shown() {
    let daemon = Daemon::start();
    let found = daemon.cli(&["tools", "search", "ticket"]).succeeds();
    assert!(found.contains("create_ticket"), "{found}");
    assert!(!found.lines().next().is_some_and(|line| line.contains("send_message")), "{found}");
    let shown = daemon.cli(&["-o", "json", "tools", "show", "create_ticket"]).json();
    assert_eq!(
        (&shown["name"], &shown["effect"], &shown["risk"]),
        (&json!("create_ticket"), &json!("once"), &json!("medium"))
    );
    let error = fails(daemon.cli(&["-o", "json", "tools", "show", "create_tiket"]), 2);
    assert!(error.to_string().contains("create_ticket"), "{error}");
}

#[test]
fn a_policy_check_has_the_exit_status_of_the_call() {
    let daemon = Daemon::start();
    let reader = daemon.person("rita", &[]);
    let check = |command: &[&str]| {
        let rest: Vec<_> = command.iter().skip(1).copied().collect();
        daemon.cli(&with(&["-o", "json", "policy", "check"], &rest))
    };
    let allowed = check(&TICKET).exits(0).json();
    assert_eq!(allowed["answer"], "allow");
    let asks = check(&CHANGE).exits(8).json();
    assert_eq!(asks["answer"], "needs_approval");
    assert!(asks["rules"].as_array().is_some_and(|rules| rules.contains(&json!("people-approve-what-can-harm"))));
    assert_eq!(check(&TICKET).key(&reader).exits(5).json()["answer"], "deny");
    let for_her = with(&["-o", "json", "policy", "check", "--for", "user:rita"], &TICKET[1..]);
    assert_eq!(daemon.cli(&for_her).exits(5).json()["principal"], "user:rita");
    assert_eq!(daemon.http("GET", "/v1/calls").send().json()["calls"], json!([]), "nothing ran");
}

#[test]
fn the_policy_in_force_is_shown() {
    let daemon = Daemon::start();
    let shown = daemon.cli(&["policy", "show"]).succeeds();
    assert!(shown.contains("people-approve-what-can-harm") && shown.contains("permit"), "{shown}");
    let digest = daemon.cli(&["-o", "json", "policy", "show"]).json()["digest"].clone();
    assert_eq!(digest, daemon.cli(&["-o", "json", "status"]).json()["policy"]);
}

#[test]
fn what_is_shown_as_policy_is_policy() {
    let mut daemon = Daemon::start();
    let shown = daemon.cli(&["policy", "show"]).succeeds();
    assert_eq!(daemon.terminate(), Some(0));
    daemon.configure("policies/main.cedar", &shown);
    daemon.restart();
    daemon.cli(&CHANGE).exits(8);
    daemon.cli(&TICKET).exits(0);
}

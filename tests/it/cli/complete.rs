//! Shell completion asks the program: tool names, their flags, the values of an enum, what waits right now.

use super::asked;
use crate::support::{Daemon, Story};

/// What bash would offer for the last word.
fn offers(daemon: &Daemon, words: &[&str]) -> Vec<String> {
    let mut line = vec!["--", "toolctl"];
    line.extend(words);
    let story = Story::new(daemon.dir(), &line).env("COMPLETE", "bash").env("_CLAP_IFS", "\n");
    let story = story.env("_CLAP_COMPLETE_INDEX", &words.len().to_string()).env("_CLAP_COMPLETE_COMP_TYPE", "9");
    let ending = story.env("_CLAP_COMPLETE_SPACE", "true").exits(0);
    assert_eq!(ending.stderr, "", "a completion says nothing");
    ending.stdout.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[track_caller]
fn has(offers: &[String], wanted: &str) {
    assert!(offers.iter().any(|offer| offer == wanted), "`{wanted}` in {offers:?}");
}

#[test]
fn commands_and_tools_are_offered() {
    let daemon = Daemon::start();
    has(&offers(&daemon, &["ca"]), "call");
    has(&offers(&daemon, &["call", ""]), "create_ticket");
    has(&offers(&daemon, &["call", "up"]), "update_customer_status");
    has(&offers(&daemon, &["tools", "show", "se"]), "send_message");
}

#[test]
fn the_flags_of_a_tool_and_the_values_of_an_enum_are_offered() {
    let daemon = Daemon::start();
    let flags = offers(&daemon, &["call", "create_ticket", "--"]);
    has(&flags, "--customer-id");
    has(&flags, "--priority");
    let values = offers(&daemon, &["call", "create_ticket", "--priority", ""]);
    for value in ["low", "medium", "high", "urgent"] {
        has(&values, value);
    }
}

#[test]
fn what_waits_right_now_is_offered() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let offered = |words: &[&str]| offers(&daemon, words);
    assert!(!offered(&["approve", ""]).iter().any(|offer| offer.contains('1')));
    let call = asked(&daemon, &agent);
    let numbers = offered(&["approve", ""]);
    assert!(numbers.iter().any(|offer| offer.trim_start_matches('#') == "1"), "{numbers:?}");
    has(&offered(&["wait", "call_"]), call["id"].as_str().expect("an id"));
}

#[test]
fn without_a_daemon_the_commands_are_still_offered() {
    let daemon = Daemon::prepared(&[], &[]);
    has(&offers(&daemon, &["sta"]), "status");
    offers(&daemon, &["call", ""]);
}

#[test]
fn each_shell_gets_its_line() {
    let daemon = Daemon::prepared(&[], &[]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(daemon.cli(&["completions", shell]).succeeds().contains("COMPLETE"), "{shell}");
    }
    daemon.cli(&["completions", "tcsh"]).exits(2);
}

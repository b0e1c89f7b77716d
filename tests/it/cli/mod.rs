//! Stories of the command line: given a daemon, when a command runs, then exit status, stdout and stderr.

mod approve;
mod arguments;
mod audit;
mod call;
mod complete;
mod daemon;
mod desk;
mod doctor;
mod exits;
mod inbox;
mod init;
mod keys;
mod output;
mod own;
mod tools;

use serde_json::Value;

use crate::support::{Daemon, Ending, Story};

/// The arguments of a ticket that nothing is wrong with.
pub const TICKET: [&str; 6] = ["call", "create_ticket", "--customer-id", "1", "--title", "Login broken"];
/// The arguments of a change that people must approve.
pub const CHANGE: [&str; 6] = ["call", "update_customer_status", "--customer-id", "2", "--new-status", "Suspended"];

/// A command with flags before it.
pub fn with<'a>(flags: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [flags, command].concat()
}

/// Asks for the change as an agent and gives the receipt. The same request of the same agent attaches to it.
pub fn asked(daemon: &Daemon, agent: &str) -> Value {
    let ending = daemon.cli(&with(&["-o", "json"], &with(&CHANGE, &["--receipt"]))).key(agent).exits(8);
    ending.json()
}

/// Runs a command with `-o json` that must fail, and gives the error.
#[track_caller]
pub fn fails(story: Story, code: i32) -> Value {
    let ending: Ending = story.exits(code);
    let error = ending.error();
    assert_eq!(error["exit"], code, "{error}");
    error
}

/// Asks for another change.
pub fn asked_for(daemon: &Daemon, agent: &str, status: &str) -> Value {
    let change =
        ["-o", "json", "call", "update_customer_status", "--customer-id", "3", "--new-status", status, "--receipt"];
    daemon.cli(&change).key(agent).exits(8).json()
}

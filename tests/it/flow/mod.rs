//! Workflows as their users meet them: a file, a daemon, and runs that are stopped and go on.

mod changes;
mod detach;
mod drift;
mod examples;
mod faults;
mod kills;
mod people;
mod running;
mod shared;
mod size;
mod timeouts;

use std::path::Path;

use serde_json::Value;

use crate::support::{Daemon, Story};

/// A file of `examples/`.
fn example(name: &str) -> String {
    path(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name))
}

/// Writes a workflow into the daemon's folder; gives its path.
fn file(daemon: &Daemon, name: &str, text: &str) -> String {
    let at = daemon.dir().join(name);
    std::fs::write(&at, text).expect("the workflow is written");
    path(&at)
}

fn path(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// `run FILE` with inputs, as JSON.
fn run(daemon: &Daemon, file: &str, inputs: &[&str], more: &[&str]) -> Story {
    let mut words = vec!["run", file, "-o", "json"];
    inputs.iter().for_each(|input| words.extend(["--input", input]));
    words.extend(more);
    daemon.cli(&words)
}

/// The step of this name in what `run -o json` printed.
fn step<'a>(report: &'a Value, id: &str) -> &'a Value {
    let steps = report["steps"].as_array().expect("steps");
    steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("no step `{id}` in {report}"))
}

/// How often a tool has had its effect.
fn happened(daemon: &Daemon, tool: &str) -> usize {
    daemon.audit(&format!("kind=call.completed&tool={tool}&limit=1000")).len()
}

/// A step that makes a ticket.
fn ticket(id: &str, title: &str, more: &str) -> String {
    format!(
        "[[step]]\nid = \"{id}\"\ntool = \"create_ticket\"\nwith = {{ customer_id = 1, title = \"{title}\" }}\n{more}\n"
    )
}

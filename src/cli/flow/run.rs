//! `run`: from a file that is sound to a run that has ended, or to the command that goes on with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};

use super::arguments::{self, Tools};
use super::caller::Caller;
use super::definition::Workflow;
use super::engine::Engine;
use super::progress::Progress;
use super::report::{Report, RunState};
use super::{inputs, load};
use crate::api::endpoint::Nothing;
use crate::api::tools;
use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::text::shell_word;

/// What is to be run, and how.
pub struct Order {
    /// The file.
    pub file: PathBuf,
    /// What it is given.
    pub inputs: Vec<String>,
    /// The run to go on with, or a name for a new one.
    pub run: Option<String>,
    /// How long people may take.
    pub people: Duration,
}

/// Runs a workflow.
///
/// # Errors
/// Everything that is wrong before anything runs, and every end of the run but success.
pub fn run(cx: &Context, order: &Order) -> Result<Exit, CliError> {
    let (workflow, tools) = sound(cx, &order.file)?;
    let inputs = inputs::of(&workflow, &order.inputs)?;
    let run = match &order.run {
        Some(run) => named(run)?,
        None => format!("{}-{}", workflow.name, uuid::Uuid::now_v7().simple()),
    };
    let go_on = go_on(order, &run);
    let caller = Arc::new(Caller { client: cx.shared_client()?, answer_within: cx.deadline(), people: order.people });
    let mut progress = Progress::new(&cx.ui, &run, &workflow.steps);
    if order.run.is_none() {
        cx.ui.note(&format!("run {run}"));
    }
    let report = {
        let mut tell = |told: &super::engine::Told<'_>| progress.show(told);
        let engine = Engine::new(&workflow, &tools, caller, &run, &inputs, &mut tell);
        cx.run(engine.run())
    };
    let report = match report {
        Ok(report) => report,
        Err(error) if error.exit == Exit::Interrupted => {
            progress.end()?;
            return Err(CliError::new(Exit::Interrupted, "interrupted", format!("run `{run}` was left where it is"))
                .hint("calls that were sent go on without us; nothing is done twice when it goes on")
                .attempt(go_on));
        }
        Err(error) => return Err(error),
    };
    result(cx, &report, &run, &workflow.name, progress)?;
    report.error(&run, &go_on).map_or(Ok(Exit::Done), Err)
}

/// A workflow whose file has no faults, with the tools there are.
///
/// # Errors
/// Exit 2 with every fault; the daemon's own.
pub fn sound(cx: &Context, file: &std::path::Path) -> Result<(Workflow, Tools), CliError> {
    let (workflow, mut faults) = load::file(file)?;
    let tools = tools(cx);
    match (workflow, tools) {
        (Some(workflow), Ok(tools)) => {
            arguments::check(&workflow, &tools, &mut faults);
            if faults.found.is_empty() { Ok((workflow, tools)) } else { Err(faults.error(&cx.ui)) }
        }
        // What is wrong with the file can be said without a daemon.
        _ if !faults.found.is_empty() => Err(faults.error(&cx.ui)),
        (_, Err(error)) => Err(error),
        (None, Ok(_)) => Err(CliError::usage(format!("`{}` cannot be read", file.display()))),
    }
}

/// The tools the caller may see.
///
/// # Errors
/// The daemon's own.
pub fn tools(cx: &Context) -> Result<Tools, CliError> {
    let listed = cx.send::<tools::List>(&Nothing {})?;
    Ok(listed.tools.into_iter().map(|tool| (tool.name.clone(), tool)).collect())
}

fn result(
    cx: &Context,
    report: &Report,
    run: &str,
    workflow: &str,
    mut progress: Progress<'_>,
) -> Result<(), CliError> {
    match cx.ui.format {
        Some(Format::Jsonl) => {
            let line = json!({
                "event": "run_ended", "workflow": workflow, "state": report.state, "outputs": report.outputs,
            });
            progress.event(line);
            progress.end()
        }
        Some(Format::Json | Format::Yaml) => {
            progress.end()?;
            cx.ui.document(&report.document(run, workflow))
        }
        None | Some(Format::Table | Format::Raw) => {
            progress.end()?;
            let is_empty = report.outputs.as_object().is_some_and(Map::is_empty);
            if report.state == RunState::Succeeded && !is_empty {
                return cx.ui.document(&report.outputs);
            }
            Ok(())
        }
    }
}

/// The id of a run, which is the start of keys: 1 to 100 letters, digits and `_-.+`.
fn named(run: &str) -> Result<String, CliError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte);
    if run.is_empty() || run.len() > 100 || !run.bytes().all(plain) {
        let error = CliError::usage(format!("`{run}` cannot name a run"));
        return Err(error.hint("1 to 100 letters, digits and `_-.+`"));
    }
    Ok(run.to_owned())
}

/// The command that goes on with a run.
fn go_on(order: &Order, run: &str) -> String {
    let mut command = format!("toolctl run {}", shell_word(&order.file.display().to_string()));
    for input in &order.inputs {
        command.push_str(&format!(" --input {}", shell_word(input)));
    }
    command.push_str(&format!(" --run {run}"));
    command
}

//! `run`: from a file that is sound to a run that has ended, or to the command that goes on with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};

use super::arguments::{self, Tools};
use super::caller::Caller;
use super::definition::Workflow;
use super::engine::{Engine, Told};
use super::plan::{self as planned, Answers};
use super::progress::Progress;
use super::record::{self, Begun, Plan};
use super::report::{Report, RunState};
use super::{detach, draw, inputs, load};
use crate::api::endpoint::Nothing;
use crate::api::tools;
use crate::cli::args::{Format, Picture};
use crate::cli::context::Context;
use crate::cli::deciding;
use crate::cli::error::{CliError, Exit};
use crate::cli::fault::Faults;
use crate::client::ClientError;
use crate::domain::id::RunId;

/// What is to be run, and how.
pub struct Order {
    /// The file; none to go on with what the daemon remembers.
    pub file: Option<PathBuf>,
    /// What it is given.
    pub inputs: Vec<String>,
    /// The run to go on with, or a name for a new one.
    pub run: Option<String>,
    /// The step from which the run is done again.
    pub from: Option<String>,
    /// Who drives it.
    pub drive: Drive,
}

/// Who drives a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drive {
    /// This process.
    Here {
        /// How long people may take.
        people: Duration,
    },
    /// The daemon, to which it is left.
    Detached,
    /// This process, for the daemon.
    Owned,
}

/// Runs a workflow.
///
/// # Errors
/// Everything that is wrong before anything runs, and every end of the run but success.
pub fn run(cx: &Context, order: &Order) -> Result<Exit, CliError> {
    if order.drive == Drive::Owned {
        detach::take_token(cx)?;
    }
    let known = match &order.run {
        Some(run) => record::find(cx, named(run)?)?,
        None => None,
    };
    let (workflow, tools) = match (&order.file, &known) {
        (Some(file), _) => sound(cx, file)?,
        (None, Some(known)) => remembered(cx, known)?,
        (None, None) => return Err(nothing_to_run(order)),
    };
    let people = match order.drive {
        Drive::Here { people } => people,
        Drive::Detached => Duration::ZERO,
        Drive::Owned => detach::PATIENCE,
    };
    let caller = Arc::new(Caller { client: cx.shared_client()?, answer_within: cx.deadline(), people });
    let begun = begun(cx, &caller, order, &workflow, known)?;
    if begun.state == "cancelled" && order.drive != Drive::Owned {
        return Err(CliError::new(Exit::Conflict, "cancelled", format!("run `{}` was taken back", begun.id))
            .hint("start a new run"));
    }
    match order.drive {
        Drive::Here { .. } => drive(cx, caller, &workflow, &tools, &begun),
        Drive::Detached => detach::leave(cx, &caller, &workflow, &begun),
        Drive::Owned => detach::drive(cx, caller, &workflow, &tools, &begun),
    }
}

/// Says what a run would ask for, and runs nothing. As a gate it has the exit status of the worst call.
///
/// # Errors
/// Everything that is wrong with the file and what it is given; exit 5 for a gate when policy says no.
pub fn plan(cx: &Context, file: &Path, given: &[String], is_gate: bool) -> Result<Exit, CliError> {
    let (workflow, tools) = sound(cx, file)?;
    let inputs = inputs::of(&workflow, given)?;
    let rows = planned::rows(cx, &workflow, &tools, inputs)?;
    planned::show(cx, &workflow, &rows)?;
    if is_gate { planned::verdict(&rows) } else { Ok(Exit::Done) }
}

/// Draws a workflow with what [`plan`] says to each of its steps.
///
/// # Errors
/// Everything that is wrong with the file and what it is given; the daemon's own.
pub fn drawn(cx: &Context, file: &Path, given: &[String], form: Picture) -> Result<Exit, CliError> {
    let (workflow, tools) = sound(cx, file)?;
    let inputs = inputs::of(&workflow, given)?;
    let answers = planned::answers(&planned::rows(cx, &workflow, &tools, inputs)?);
    picture(cx, &workflow, Some(&answers), form)
}

/// Draws a workflow as its file alone says it.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn sketched(cx: &Context, file: &Path, form: Picture) -> Result<Exit, CliError> {
    picture(cx, &load::sound(cx, file)?, None, form)
}

fn picture(cx: &Context, workflow: &Workflow, answers: Option<&Answers>, form: Picture) -> Result<Exit, CliError> {
    let picture = match form {
        Picture::Mermaid => draw::mermaid(workflow, answers),
        Picture::Svg => draw::svg(workflow, answers),
    };
    cx.ui.out(&picture).map(|()| Exit::Done)
}

/// The run, as the daemon has it now.
fn begun(
    cx: &Context,
    caller: &Caller,
    order: &Order,
    workflow: &Workflow,
    known: Option<Begun>,
) -> Result<Begun, CliError> {
    let given = match &known {
        // What it was given when it began need not be said again.
        Some(known) if order.inputs.is_empty() => known.plan.inputs.clone(),
        _ => inputs::of(workflow, &order.inputs)?,
    };
    match (&order.from, known) {
        (Some(step), Some(old)) => {
            let begun = record::again(cx, caller, &old, workflow, given, step)?;
            cx.ui.note(&format!("run {} does `{}` again from `{step}`", begun.id, old.id));
            Ok(begun)
        }
        (Some(_), None) => Err(CliError::usage("`--from` does a part of an old run again").hint("name it: --run RUN")),
        (None, known) => {
            let id = match &order.run {
                Some(run) => run.clone(),
                None => {
                    let id = format!("{}-{}", workflow.name, uuid::Uuid::now_v7().simple());
                    if order.drive != Drive::Detached {
                        cx.ui.note(&format!("run {id}"));
                    }
                    id
                }
            };
            let done_by = known.map(|known| known.plan.done_by).unwrap_or_default();
            record::begin(
                cx,
                caller,
                &id,
                workflow,
                Plan { workflow: workflow.document.clone(), inputs: given, done_by },
            )
        }
    }
}

fn drive(
    cx: &Context,
    caller: Arc<Caller>,
    workflow: &Workflow,
    tools: &Tools,
    begun: &Begun,
) -> Result<Exit, CliError> {
    if begun.is_detached {
        cx.ui.note(&format!("run {} is left to the daemon; this looks on, and nothing is done twice", begun.id));
    }
    let go_on = format!("toolctl {} {}", if begun.is_detached { "runs show" } else { "run --run" }, begun.id);
    let mut progress = Progress::new(&cx.ui, &begun.id, &workflow.steps);
    let report = {
        let mut tell = |told: &Told<'_>| progress.show(told);
        let engine = Engine::new(workflow, tools, caller, begun, &mut tell);
        cx.run(engine.run())
    };
    let report = match report {
        Ok(report) => report,
        Err(error) if error.exit == Exit::Interrupted => {
            progress.end()?;
            return Err(interrupted(begun));
        }
        Err(error) => return Err(error),
    };
    result(cx, &report, &begun.id, &workflow.name, progress)?;
    report.verdict(&begun.id, &go_on).map_err(|error| deciding::advised(cx, error)).map(|()| Exit::Done)
}

/// A workflow whose file has no faults, with the tools there are.
///
/// # Errors
/// Exit 2 with every fault; the daemon's own.
pub fn sound(cx: &Context, file: &Path) -> Result<(Workflow, Tools), CliError> {
    let (workflow, faults) = load::file(file)?;
    fitting(cx, workflow, faults)
}

/// The workflow with which a run began.
fn remembered(cx: &Context, known: &Begun) -> Result<(Workflow, Tools), CliError> {
    let text = serde_json::to_string_pretty(&known.plan.workflow).unwrap_or_default();
    let (workflow, faults) = load::check(&format!("{}.json", known.id), &text);
    fitting(cx, workflow, faults)
}

fn fitting(cx: &Context, workflow: Option<Workflow>, mut faults: Faults) -> Result<(Workflow, Tools), CliError> {
    let Some(workflow) = workflow else { return Err(load::wrong(faults, &cx.ui)) };
    match tools(cx, &workflow) {
        Ok(tools) => {
            arguments::check(&workflow, &tools, &mut faults);
            if faults.found.is_empty() { Ok((workflow, tools)) } else { Err(load::wrong(faults, &cx.ui)) }
        }
        // What is wrong with the file can be said without a daemon.
        Err(_) if !faults.found.is_empty() => Err(load::wrong(faults, &cx.ui)),
        Err(error) => Err(error),
    }
}

/// The tools the caller may see, and those of the workflow that it may know and not call.
fn tools(cx: &Context, workflow: &Workflow) -> Result<Tools, CliError> {
    let listed = cx.send::<tools::List>(&Nothing {})?;
    let mut found: Tools = listed.tools.into_iter().map(|tool| (tool.name.clone(), tool)).collect();
    let unlisted: BTreeSet<&String> =
        workflow.steps.iter().map(|step| &step.tool).filter(|tool| !found.contains_key(*tool)).collect();
    for name in unlisted.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>() {
        match cx.try_send::<tools::Show>(&tools::ToolRef { name: name.clone() }, cx.deadline())? {
            Ok(tool) => {
                found.insert(name.clone(), tool);
            }
            Err(ClientError::Problem(problem)) if problem.status < 500 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn interrupted(begun: &Begun) -> CliError {
    let error = |message: String| CliError::new(Exit::Interrupted, "interrupted", message);
    if begun.is_detached {
        return error(format!("run `{}` goes on without this terminal", begun.id))
            .attempt(format!("toolctl runs show {}", begun.id));
    }
    error(format!("run `{}` was left where it is", begun.id))
        .hint("calls that were sent go on without us; nothing is done twice when it goes on")
        .attempt(format!("toolctl run --run {}", begun.id))
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
                "event": "run_over", "workflow": workflow, "state": report.state, "outputs": report.outputs,
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

/// The id of a run, which is the start of keys.
fn named(run: &str) -> Result<&str, CliError> {
    match run.parse::<RunId>() {
        Ok(_) => Ok(run),
        Err(error) => Err(CliError::usage(error.to_string())),
    }
}

fn nothing_to_run(order: &Order) -> CliError {
    match &order.run {
        Some(run) => CliError::usage(format!("you have no run `{run}` to go on with"))
            .hint("name the file to begin it")
            .attempt("toolctl runs list"),
        None => CliError::usage("which file?").hint("or go on with an old run: --run RUN"),
    }
}

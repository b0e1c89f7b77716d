//! `run` and `workflow`: files of steps, run or only looked at.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::cli::args::{RunArgs, WorkflowCommand};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::flow::{self, Drive, Order, decode};

/// How long people have on a terminal when nothing else is said.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a workflow.
///
/// # Errors
/// For every end but success.
pub fn run(cx: &Context, args: &RunArgs) -> Result<Exit, CliError> {
    if args.plan || args.dry_run {
        let Some(file) = &args.file else { return Err(CliError::usage("which file?")) };
        return flow::plan(cx, file, &args.inputs, args.dry_run);
    }
    let drive = match args.wait {
        _ if args.detach => Drive::Detached,
        _ if args.owned => Drive::Owned,
        _ if args.no_wait => Drive::Here { people: Duration::ZERO },
        Some(people) => Drive::Here { people },
        None if cx.ui.seen.out => Drive::Here { people: PATIENCE },
        None => Drive::Here { people: Duration::ZERO },
    };
    let order = Order {
        file: args.file.clone(),
        inputs: args.inputs.clone(),
        run: args.run.clone(),
        from: args.from.clone(),
        drive,
    };
    flow::run(cx, &order)
}

/// Looks at a workflow.
///
/// # Errors
/// What is wrong with it.
pub fn look(cx: &Context, command: &WorkflowCommand) -> Result<Exit, CliError> {
    match command {
        WorkflowCommand::Validate { files, offline } => validate(cx, files, *offline),
        WorkflowCommand::Plan { file, inputs } => flow::plan(cx, file, inputs, false),
        WorkflowCommand::Graph { file, format, plan: true, inputs } => flow::drawn(cx, file, inputs, *format),
        WorkflowCommand::Graph { file, format, plan: false, inputs: _ } => flow::sketched(cx, file, *format),
        WorkflowCommand::Schema => cx.ui.document(&decode::schema()).map(|()| Exit::Done),
    }
}

fn validate(cx: &Context, files: &[PathBuf], offline: bool) -> Result<Exit, CliError> {
    let mut worst = None;
    for file in files {
        let checked = if offline { flow::load::sound(cx, file) } else { flow::sound(cx, file).map(|(it, _)| it) };
        match checked {
            Ok(workflow) => {
                let said = json!({
                    "file": file.display().to_string(), "name": workflow.name, "description": workflow.description,
                    "steps": workflow.steps.len(), "digest": workflow.digest().to_string(),
                });
                cx.ui.show(&said, || format!("{} is sound: {} steps", file.display(), workflow.steps.len()))?;
            }
            Err(error) => {
                if let Some(before) = worst.replace(error) {
                    cx.ui.error(&before);
                }
            }
        }
    }
    worst.map_or(Ok(Exit::Done), Err)
}

//! Runs that the daemon drives: leaving one to it, and being what it starts to drive one. The daemon knows no steps; it
//! starts this program again, with a token of the one who left the run, and this is where that ends up.

use std::io::{self, BufRead as _, Read as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::arguments::Tools;
use super::caller::Caller;
use super::definition::Workflow;
use super::engine::{Engine, Told};
use super::record::Begun;
use super::report::RunState;
use crate::api::runs::{self, Run, RunRef};
use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::client::Secret;
use crate::domain::run::RunVerdict;

/// How long people may take when nobody waits for them: as long as policy gives them.
pub const PATIENCE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// The longest token, in bytes.
const LONGEST_TOKEN: u64 = 1_024;

/// Leaves a run to the daemon, and says how to look at it.
///
/// # Errors
/// The daemon's own.
pub fn leave(cx: &Context, caller: &Caller, workflow: &Workflow, begun: &Begun) -> Result<Exit, CliError> {
    let has_failed = begun.state == RunVerdict::Failed.word();
    let is_over = begun.state == RunVerdict::Succeeded.word() || (has_failed && !workflow.follows_failures());
    if is_over {
        cx.ui.note(&format!("run {} has {}: nothing is left to do", begun.id, begun.state));
        let run = cx.send::<runs::Show>(&RunRef { run: begun.id.clone() })?;
        return told(cx, &Run { plan: None, detail: None, ..run }).map(|()| Exit::Done);
    }
    let run = cx.run(caller.ask::<runs::Detach>(&RunRef { run: begun.id.clone() }))??;
    told(cx, &run)?;
    let what = match (has_failed, run.changed) {
        (true, _) => "has failed; whatever is left of what follows a failure is done by the daemon",
        (false, true) => "goes on in the daemon",
        (false, false) => "goes on in the daemon, as it was left to it before",
    };
    cx.ui.note(&format!("run {} {what}: toolctl runs show {}", run.run, run.run));
    Ok(Exit::Done)
}

/// The run for programs that ask for a form, else its id alone: what a script keeps.
fn told(cx: &Context, run: &Run) -> Result<(), CliError> {
    match cx.ui.format {
        Some(Format::Json | Format::Jsonl | Format::Yaml) => cx.ui.show(run, || run.run.clone()),
        None | Some(Format::Table | Format::Raw) => cx.ui.out(&format!("{}\n", run.run)),
    }
}

/// Takes the token that the daemon lends to what drives a run: the first line of stdin.
///
/// # Errors
/// When the daemon is gone, or what it says is no token.
pub fn take_token(cx: &Context) -> Result<(), CliError> {
    let mut line = String::new();
    let read = io::stdin().lock().take(LONGEST_TOKEN).read_line(&mut line);
    read.map_err(|error| CliError::io("cannot read the token from stdin", &error))?;
    match line.strip_suffix('\n') {
        Some(token) if !token.trim().is_empty() => cx.act_with(&Secret::new(token)),
        _ => Err(let_go()),
    }
}

/// Drives a run for the daemon, until nothing is left to do or the line to the daemon breaks.
///
/// # Errors
/// Why it cannot go on now.
pub fn drive(
    cx: &Context,
    caller: Arc<Caller>,
    workflow: &Workflow,
    tools: &Tools,
    begun: &Begun,
) -> Result<Exit, CliError> {
    if begun.state == RunVerdict::Cancelled.word() {
        return Ok(Exit::Done);
    }
    let line = line();
    let mut tell = |_: &Told<'_>| {};
    let engine = Engine::new(workflow, tools, caller, begun, &mut tell).alone();
    let report = cx.run(async {
        tokio::select! {
            report = engine.run() => Some(report),
            _cut = line => None,
        }
    })?;
    let Some(report) = report else { return Err(let_go()) };
    match report.state {
        RunState::Succeeded | RunState::Failed => Ok(Exit::Done),
        RunState::Open => report.verdict(&begun.id, "").map(|()| Exit::Done),
    }
}

fn let_go() -> CliError {
    CliError::new(Exit::Unreachable, "let-go", "the daemon let go of this run")
}

/// Resolves when stdin ends. On a thread of its own, as the runtime could not be left while that waits.
fn line() -> oneshot::Receiver<()> {
    let (cut, is_cut) = oneshot::channel();
    std::thread::spawn(move || {
        // Nothing more is said on it.
        let _said = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _gone = cut.send(());
    });
    is_cut
}

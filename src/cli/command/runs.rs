//! `runs`: which workflows were run, what their calls came to, and taking one back. A run is its calls.

use serde_json::{Value, json};

use crate::api::calls::{self, Call, CallRef, ListCalls};
use crate::api::runs::{self, EndRun, ListRuns, Run, RunRef, Runner, RunnerState};
use crate::cli::args::{Format, RunsCommand};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::outcome;
use crate::cli::table::{Cell, Table, facts};
use crate::cli::text::{escape_untrusted, relative, shell_word};
use crate::domain::run::RunVerdict;
use crate::domain::time::Timestamp;

/// The most calls of a run that are read.
const MOST_CALLS: usize = 100_000;
/// The most of one page.
const PAGE: usize = 1_000;
/// What a line about a run says.
const RUN_COLUMNS: [&str; 5] = ["RUN", "WORKFLOW", "STATE", "BEGAN", "DAEMON"];

/// Lists, shows or cancels.
///
/// # Errors
/// The daemon's own.
pub fn run(cx: &Context, command: RunsCommand) -> Result<Exit, CliError> {
    match command {
        RunsCommand::List { principal, limit } => list(cx, principal, limit),
        RunsCommand::Show { run } => {
            let shown = cx.send::<runs::Show>(&RunRef { run })?;
            let calls = calls_of(cx, &shown)?;
            show(cx, &shown, &calls)
        }
        RunsCommand::Cancel { run } => cancel(cx, run),
    }
}

fn list(cx: &Context, principal: Option<String>, limit: Option<usize>) -> Result<Exit, CliError> {
    let reply = cx.send::<runs::List>(&ListRuns { principal, limit })?;
    let mut table = Table::new(RUN_COLUMNS, "no runs");
    for run in &reply.runs {
        table.row(cells(run, cx.now()));
    }
    cx.ui.list(&reply, &reply.runs, &table)?;
    Ok(Exit::Done)
}

/// A run in a line.
fn cells(run: &Run, now: Timestamp) -> [Cell; 5] {
    [
        run.run.as_str().into(),
        run.workflow.as_str().into(),
        run.state.as_str().into(),
        Cell::two(relative(&run.began_at, now), run.began_at.as_str()),
        run.runner.as_ref().map_or("", |runner| runner.state.word()).into(),
    ]
}

/// Its calls, oldest first.
fn calls_of(cx: &Context, run: &Run) -> Result<Vec<Call>, CliError> {
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let request = ListCalls {
            run: Some(run.run.clone()),
            principal: Some(run.principal.clone()),
            since: Some(run.began_at.clone()),
            limit: Some(PAGE),
            cursor,
            ..ListCalls::default()
        };
        let page = cx.send::<calls::List>(&request)?;
        found.extend(page.calls);
        cursor = page.next_cursor;
        if cursor.is_none() || found.len() >= MOST_CALLS {
            found.reverse();
            return Ok(found);
        }
    }
}

fn show(cx: &Context, run: &Run, calls: &[Call]) -> Result<Exit, CliError> {
    let document = json!({"run": run, "calls": calls});
    let mut table = Table::new(["CALL", "STEP", "TOOL", "STATE", "CHANGED"], "no calls");
    for call in calls {
        let key = call.idempotency_key.as_deref().unwrap_or_default();
        let step = key.strip_prefix(run.run.as_str()).unwrap_or(key).trim_start_matches('/');
        table.row([
            call.id.as_str().into(),
            step.into(),
            call.tool.as_str().into(),
            call.state.as_str().into(),
            Cell::two(relative(&call.changed_at, cx.now()), call.changed_at.as_str()),
        ]);
    }
    if cx.ui.for_people() {
        let now = cx.now();
        let time = |at: &str| format!("{} ({})", escape_untrusted(at), relative(at, now));
        let mut pairs = vec![
            ("run", escape_untrusted(&run.run)),
            ("workflow", escape_untrusted(&run.workflow)),
            ("requester", escape_untrusted(&run.principal)),
            ("state", escape_untrusted(&run.state)),
            ("began", time(&run.began_at)),
        ];
        pairs.extend(run.ended_at.as_ref().map(|at| ("ended", time(at))));
        pairs.extend(run.runner.as_ref().map(|runner| ("daemon", driven(runner, now))));
        pairs.extend(calls.iter().filter(|call| call.state == "awaiting_approval").map(|call| {
            let number = call.approval.as_ref().map(|approval| format!("#{}", approval.number)).unwrap_or_default();
            ("waits", format!("for people ({}): toolctl approve {}", outcome::awaited(call), shell_word(&number)))
        }));
        pairs.extend(failures(run).into_iter().map(|failure| ("failed", escape_untrusted(&failure))));
        cx.ui.out(&format!("{}\n", facts(&pairs)))?;
    }
    if !cx.ui.for_people() && !matches!(cx.ui.format, Some(Format::Json | Format::Yaml)) {
        // Programs that read lines get the run first, as a list of runs has it.
        let mut head = Table::new(RUN_COLUMNS, "");
        head.row(cells(run, cx.now()));
        let run = Run { plan: None, ..run.clone() };
        cx.ui.list(&run, std::slice::from_ref(&run), &head)?;
    }
    cx.ui.list(&document, calls, &table)?;
    Ok(Exit::Done)
}

/// How the daemon drives it.
fn driven(runner: &Runner, now: Timestamp) -> String {
    let why = escape_untrusted(runner.why.as_deref().unwrap_or_default());
    match runner.state {
        RunnerState::Starting => "is about to go on with it".to_owned(),
        RunnerState::Running => "drives it".to_owned(),
        RunnerState::Waiting => "drives it; it waits for people".to_owned(),
        RunnerState::Resting => {
            let until = runner.until.as_deref().map(|at| relative(at, now)).unwrap_or_default();
            format!("could not go on, and tries again {until}: {why}")
        }
        RunnerState::Stopped => format!("does not go on with it: {why}"),
    }
}

/// Steps that failed, and why, as far as that is known of a run that has ended.
fn failures(run: &Run) -> Vec<String> {
    let steps = run.detail.as_ref().and_then(|detail| detail.get("steps")).and_then(Value::as_object);
    let failure = |(id, step): (&String, &Value)| {
        let message = step.get("error")?.get("message")?.as_str()?;
        Some(format!("{id}: {message}"))
    };
    steps.into_iter().flatten().filter_map(failure).collect()
}

/// Ends the run, and takes back whatever of it has not started.
fn cancel(cx: &Context, run: String) -> Result<Exit, CliError> {
    let ended = cx.send::<runs::End>(&EndRun { run, verdict: RunVerdict::Cancelled, detail: None })?;
    if ended.state != RunVerdict::Cancelled.word() {
        let message = format!("run `{}` has ended before: it {}", ended.run, ended.state);
        return Err(CliError::new(Exit::Conflict, "run-ended", message));
    }
    let waiting = calls_of(cx, &ended)?.into_iter().filter(|call| call.state == "awaiting_approval");
    for call in waiting {
        match cx.try_send::<calls::Cancel>(&CallRef { id: call.id }, cx.deadline())? {
            // Somebody decided meanwhile: what is done is done.
            Ok(_) | Err(crate::client::ClientError::Problem(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let calls = calls_of(cx, &ended)?;
    show(cx, &ended, &calls)
}

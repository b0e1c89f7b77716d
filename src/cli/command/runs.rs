//! `runs`: which workflows were run, what their calls came to, and taking one back. A run is its calls.

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::calls::{self, Call, CallRef, ListCalls, ShowCall};
use crate::api::runs::{self, Attached, EndRun, ListRuns, Run, RunRef, Runner, RunnerState};
use crate::cli::args::{Format, RunsCommand};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::outcome;
use crate::cli::table::{Cell, Table, facts};
use crate::cli::text::{escape_untrusted, relative, shell_word};
use crate::client::ClientError;
use crate::domain::denial::Code;
use crate::domain::id::RunId;
use crate::domain::run::RunVerdict;
use crate::domain::time::Timestamp;

/// The most calls of a run that are read.
const MOST_CALLS: usize = 100_000;
/// The most of one page.
const PAGE: usize = 1_000;
/// The most calls of others that are shown with a run.
const MOST_SHARED: usize = 100;
/// The most keys that are named in a sentence.
const MOST_NAMED: usize = 5;
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
            show(cx, &shown, calls)
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

/// A call that stands for a request of a run although something else made it.
#[derive(Serialize)]
struct Shared {
    /// The key of the run.
    key: String,
    /// The key that the call was made with.
    opened_by: String,
    call: Call,
}

/// Calls that the run did not make, as the same request waited for people already.
fn shared_with(cx: &Context, run: &Run) -> Result<Vec<Shared>, CliError> {
    let mut found = Vec::new();
    for Attached { key, opened_by, call } in run.attached.iter().filter(|it| is_of(run, &it.key)).take(MOST_SHARED) {
        match cx.try_send::<calls::Show>(&ShowCall { id: call.clone(), wait: None }, cx.deadline())? {
            Ok(call) => found.push(Shared { key: key.clone(), opened_by: opened_by.clone(), call }),
            // It has just been forgotten.
            Err(ClientError::Problem(problem)) if problem.known_code() == Some(Code::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Whether a key is one of the run's.
fn is_of(run: &Run, key: &str) -> bool {
    run.run.parse::<RunId>().is_ok_and(|run| run.has(key))
}

/// Others that wait for a call of the run: theirs are the keys.
fn others<'a>(run: &'a Run, call: &'a str) -> impl Iterator<Item = &'a str> {
    let others = run.attached.iter().filter(move |it| it.call == call && !is_of(run, &it.key));
    others.map(|it| it.key.as_str())
}

fn show(cx: &Context, run: &Run, calls: Vec<Call>) -> Result<Exit, CliError> {
    let shared = shared_with(cx, run)?;
    // What it has in common with others stands beside its own calls.
    let told = Run { attached: Vec::new(), ..run.clone() };
    let document = json!({"run": told, "calls": calls, "attached": shared});
    let mut table = Table::new(["CALL", "STEP", "TOOL", "STATE", "CHANGED", "OPENED BY"], "no calls");
    let own = calls.iter().map(|call| (call, call.idempotency_key.as_deref().unwrap_or_default(), ""));
    let of_others = shared.iter().map(|it| (&it.call, it.key.as_str(), it.opened_by.as_str()));
    for (call, key, opened_by) in own.chain(of_others) {
        let step = key.strip_prefix(run.run.as_str()).unwrap_or(key).trim_start_matches('/');
        table.row([
            call.id.as_str().into(),
            step.into(),
            call.tool.as_str().into(),
            call.state.as_str().into(),
            Cell::two(relative(&call.changed_at, cx.now()), call.changed_at.as_str()),
            opened_by.into(),
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
        for call in calls.iter().filter(|call| waits(call)) {
            pairs.push(("waits", awaited(call, "")));
            if let Some(keys) = quoted(others(run, &call.id)) {
                pairs.push(("shared", format!("{} is waited for by {keys} too", escape_untrusted(&call.id))));
            }
        }
        for Shared { opened_by, call, .. } in shared.iter().filter(|shared| waits(&shared.call)) {
            pairs.push(("waits", awaited(call, &format!(", as `{}` asked", escape_untrusted(opened_by)))));
        }
        pairs.extend(failures(run).into_iter().map(|failure| ("failed", escape_untrusted(&failure))));
        cx.ui.out(&format!("{}\n", facts(&pairs)))?;
    }
    if !cx.ui.for_people() && !matches!(cx.ui.format, Some(Format::Json | Format::Yaml)) {
        // Programs that read lines get the run first, as a list of runs has it.
        let mut head = Table::new(RUN_COLUMNS, "");
        head.row(cells(run, cx.now()));
        let run = Run { plan: None, ..told.clone() };
        cx.ui.list(&run, std::slice::from_ref(&run), &head)?;
    }
    let lines: Vec<Value> = calls.iter().map(|call| json!(call)).chain(shared.iter().map(|it| json!(it))).collect();
    cx.ui.list(&document, &lines, &table)?;
    Ok(Exit::Done)
}

fn waits(call: &Call) -> bool {
    call.state == "awaiting_approval"
}

/// Whom a call waits for, and what to type about it.
fn awaited(call: &Call, asked: &str) -> String {
    let number = call.approval.as_ref().map(|approval| format!("#{}", approval.number)).unwrap_or_default();
    format!("for people ({}){asked}: toolctl approve {}", outcome::awaited(call), shell_word(&number))
}

/// Keys for a sentence; none when there are none.
fn quoted<'a>(keys: impl Iterator<Item = &'a str>) -> Option<String> {
    let keys: Vec<String> = keys.take(MOST_NAMED).map(|key| format!("`{}`", escape_untrusted(key))).collect();
    (!keys.is_empty()).then(|| keys.join(", "))
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

/// Ends the run, and takes back whatever of it has not started; but not what others wait for as well.
fn cancel(cx: &Context, run: String) -> Result<Exit, CliError> {
    let ended = cx.send::<runs::End>(&EndRun { run, verdict: RunVerdict::Cancelled, detail: None })?;
    if ended.state != RunVerdict::Cancelled.word() {
        let message = format!("run `{}` has ended before: it {}", ended.run, ended.state);
        return Err(CliError::new(Exit::Conflict, "run-ended", message));
    }
    for call in calls_of(cx, &ended)?.into_iter().filter(waits) {
        if let Some(keys) = quoted(others(&ended, &call.id)) {
            let call = escape_untrusted(&call.id);
            let what = format!("{keys} waits for it too; toolctl calls cancel {call} takes it back for all");
            cx.ui.note(&format!("{call} is left as it is: {what}"));
            continue;
        }
        match cx.try_send::<calls::Cancel>(&CallRef { id: call.id }, cx.deadline())? {
            // Somebody decided meanwhile: what is done is done.
            Ok(_) | Err(ClientError::Problem(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for Shared { opened_by, call, .. } in shared_with(cx, &ended)? {
        if waits(&call) && !is_of(&ended, &opened_by) {
            let (call, opener) = (escape_untrusted(&call.id), escape_untrusted(&opened_by));
            cx.ui.note(&format!("{call} is left as it is: `{opener}` asked for it"));
        }
    }
    let calls = calls_of(cx, &ended)?;
    show(cx, &ended, calls)
}

//! `call`: one call of one tool, from its schema to its outcome. A lost answer is asked for once more with the
//! same key, so it can never run twice; what is still open then is said with the key that settles it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::typed;
use crate::api::calls::{self, Call, NewCall, ShowCall};
use crate::cli::args::{CallArgs, Format};
use crate::cli::context::Context;
use crate::cli::dynamic::collect::Given;
use crate::cli::error::{CliError, Exit};
use crate::cli::spinner::Spinner;
use crate::cli::ui::{Tone, Ui};
use crate::cli::{deciding, outcome};
use crate::client::ClientError;
use crate::domain::outcome::Effect;

/// How long people have on a terminal when nothing else is said.
const PATIENCE: Duration = Duration::from_secs(120);
/// One question of a long wait: below what daemon and network give up after.
const POLL: Duration = Duration::from_secs(25);
/// How much longer than the wait itself an answer to it may take.
const MARGIN: Duration = Duration::from_secs(10);

/// Calls the tool.
///
/// # Errors
/// For every outcome but success.
pub fn run(cx: &Context, args: &CallArgs, theirs: &[String]) -> Result<Exit, CliError> {
    let Some(name) = args.rest.first() else { return Err(CliError::usage("which tool?")) };
    let tool = typed::tool(cx, name)?;
    let given = Given { input: args.flags.input.as_deref(), arg: &args.flags.arg };
    let Some(arguments) = typed::arguments(cx, &tool, theirs, given)? else { return Ok(typed::HELPED) };
    let key = args.flags.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let new = NewCall {
        tool: tool.name.clone(),
        arguments: Value::Object(arguments),
        idempotency_key: Some(key.clone()),
        dry_run: args.flags.dry_run,
        reason: args.flags.reason.clone(),
        wait: None,
        approval: None,
    };
    let call = submit(cx, &new, &key)?;
    if args.flags.dry_run {
        return dry(cx, &call);
    }
    let patience = match args.flags.wait {
        _ if args.flags.no_wait => Duration::ZERO,
        Some(wait) => wait,
        None if cx.ui.seen.out => PATIENCE,
        None => Duration::ZERO,
    };
    let call = wait_for(cx, call, patience)?;
    print(&cx.ui, &call, args.flags.receipt)?;
    if call.replayed {
        cx.ui.note(&cx.ui.paint_err(Tone::Faint, "replayed: this key was answered before, and nothing ran again"));
    }
    outcome::verdict(&call).map_err(|error| deciding::advised(cx, error))?;
    Ok(Exit::Done)
}

/// Follows a call until it ends, or for `patience` while it waits for people.
///
/// # Errors
/// Exit 130 after Ctrl-C, with how to go on; the client's errors.
pub fn wait_for(cx: &Context, mut call: Call, patience: Duration) -> Result<Call, CliError> {
    let started = Instant::now();
    let mut spinner: Option<(String, Spinner)> = None;
    while !outcome::is_final(&call) {
        let limit = if call.state == "running" { cx.deadline().max(patience) } else { patience };
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            break;
        }
        if spinner.as_ref().is_none_or(|(state, _)| *state != call.state) {
            spinner = Some((call.state.clone(), Spinner::new(&cx.ui, waiting(&call))));
        }
        let question = left.min(POLL);
        let show = ShowCall { id: call.id.clone(), wait: Some(format!("{}ms", question.as_millis().max(1))) };
        let asked = Instant::now();
        let client = cx.client()?;
        let reply = cx.run(async {
            tokio::select! {
                reply = client.send::<calls::Show>(&show, question + MARGIN) => reply,
                () = async { match &spinner { Some((_, spinner)) => spinner.turn().await, None => std::future::pending().await } } => unreachable_turn().await,
            }
        });
        let id = call.id.clone();
        call = match reply {
            Ok(reply) => {
                reply.map_err(|error| CliError::from(error).about(&id).attempt(format!("toolctl wait {id}")))?
            }
            Err(error) if error.exit == Exit::Interrupted => {
                return Err(CliError::new(
                    Exit::Interrupted,
                    "interrupted",
                    format!("`{}` goes on without us", call.tool),
                )
                .about(&id)
                .attempt(format!("toolctl wait {id}"))
                .attempt(format!("toolctl calls cancel {id}")));
            }
            Err(error) => return Err(error),
        };
        // A daemon that answers at once although nothing ended must not be asked in a tight loop.
        if !outcome::is_final(&call) && asked.elapsed() < Duration::from_millis(50) {
            let pause = Duration::from_millis(200).min(left);
            cx.run(async { tokio::time::sleep(pause).await })?;
        }
    }
    Ok(call)
}

/// Prints what a call gave: the tool's output, or the whole call.
///
/// # Errors
/// When stdout is gone.
pub fn print(ui: &Ui, call: &Call, receipt: bool) -> Result<(), CliError> {
    if receipt {
        return ui.document(&serde_json::to_value(call).unwrap_or_default());
    }
    match &call.output {
        // Text is the result itself, unless JSON was asked for.
        Some(Value::String(text)) if matches!(ui.format, None | Some(Format::Table | Format::Raw)) => {
            let text = if ui.seen.out { crate::cli::text::escape_lines(text) } else { text.clone() };
            ui.out(&if text.ends_with('\n') { text } else { format!("{text}\n") })
        }
        Some(output) => ui.document(output),
        None => Ok(()),
    }
}

fn submit(cx: &Context, new: &NewCall, key: &str) -> Result<Call, CliError> {
    let first = send(cx, new, key)?;
    let lost = match first {
        Err(ClientError::Broken { .. }) if !new.dry_run => send(cx, new, key)?,
        other => return other.map_err(|error| explain(error, key)),
    };
    lost.map_err(|error| match error {
        ClientError::Problem(_) => explain(error, key),
        _ => CliError::new(
            Exit::Unknown,
            "outcome-unknown",
            format!("the connection was lost, and `{}` may have run", new.tool),
        )
        .effect(Effect::Unknown)
        .hint("the same command with this key asks again and never runs it twice")
        .attempt(format!("toolctl call --idempotency-key {key} …"))
        .key(key),
    })
}

fn send(cx: &Context, new: &NewCall, key: &str) -> Result<Result<Call, ClientError>, CliError> {
    let client = cx.client()?;
    let spinner = Spinner::new(&cx.ui, format!("calling {}", crate::cli::text::escape_untrusted(&new.tool)));
    cx.run(async {
        tokio::select! {
            reply = client.send::<calls::Create>(new, cx.deadline()) => reply,
            () = spinner.turn() => unreachable_turn().await,
        }
    })
    .map_err(|error| match error.exit {
        Exit::Interrupted => CliError::new(Exit::Interrupted, "interrupted", "the call may go on without us")
            .hint(format!("its idempotency key is {key}"))
            .attempt("toolctl calls list")
            .key(key),
        _ => error,
    })
}

/// A spinner never ends by itself.
async fn unreachable_turn<T>() -> T {
    std::future::pending().await
}

fn explain(error: ClientError, key: &str) -> CliError {
    let timeout = matches!(error, ClientError::Timeout { .. });
    let error = CliError::from(error);
    if timeout {
        let hint = format!("the call goes on without us; its idempotency key is {key}");
        return error.hint(hint).attempt("toolctl calls list").key(key);
    }
    if matches!(error.exit, Exit::Pending | Exit::Unknown | Exit::Failure) { error.key(key) } else { error }
}

fn dry(cx: &Context, call: &Call) -> Result<Exit, CliError> {
    cx.ui.show(call, || match call.state.as_str() {
        "would_run" => format!("would run {} at once; nothing ran", call.tool),
        _ => format!("would wait for {}; nothing ran", outcome::awaited(call)),
    })?;
    outcome::verdict(call)?;
    Ok(Exit::Done)
}

fn waiting(call: &Call) -> String {
    match call.state.as_str() {
        "running" => format!("{} runs", crate::cli::text::escape_untrusted(&call.tool)),
        _ => format!("waiting for people: {}", outcome::awaited(call)),
    }
}

#[cfg(test)]
mod tests;

//! `calls`: what was asked for and how it ended; taking back, and settling what is in doubt.

use crate::api::calls::{self, Call, CallRef, ListCalls, ResolveCall, ShowCall};
use crate::cli::args::CallsCommand;
use crate::cli::context::Context;
use crate::cli::dossier;
use crate::cli::error::{CliError, Exit};
use crate::cli::table::{Cell, Table, facts};
use crate::cli::text::{escape_untrusted, relative};

/// Lists, shows, cancels or resolves.
///
/// # Errors
/// The daemon's own.
pub fn run(cx: &Context, command: CallsCommand) -> Result<Exit, CliError> {
    match command {
        CallsCommand::List { principal, tool, state, run, since, page } => {
            let since = cx.moment(since.as_deref())?;
            let request = ListCalls { principal, tool, state, run, since, cursor: page.cursor, limit: page.limit };
            let reply = cx.send::<calls::List>(&request)?;
            let mut table = Table::new(["CALL", "TOOL", "REQUESTER", "STATE", "ACCEPTED"], "no calls");
            for call in &reply.calls {
                table.row([
                    call.id.as_str().into(),
                    call.tool.as_str().into(),
                    call.principal.as_str().into(),
                    call.state.as_str().into(),
                    Cell::two(relative(&call.created_at, cx.now()), call.created_at.as_str()),
                ]);
            }
            cx.ui.list(&reply, &reply.calls, &table)?;
            if let Some(cursor) = &reply.next_cursor {
                cx.ui.note(&format!("more: toolctl calls list --cursor {cursor}"));
            }
        }
        CallsCommand::Show { id } => show(cx, &cx.send::<calls::Show>(&ShowCall { id, wait: None })?)?,
        CallsCommand::Cancel { id } => show(cx, &cx.send::<calls::Cancel>(&CallRef { id })?)?,
        CallsCommand::Resolve { id, resolution, note } => {
            let Some(resolution) = resolution else {
                return Err(CliError::usage("how did it end?")
                    .attempt(format!("toolctl calls resolve {id} --as succeeded|failed|rerun")));
            };
            show(cx, &cx.send::<calls::Resolve>(&ResolveCall { id, resolution, note })?)?;
        }
    }
    Ok(Exit::Done)
}

fn show(cx: &Context, call: &Call) -> Result<(), CliError> {
    cx.ui.show(call, || {
        let now = cx.now();
        let time = |at: &str| format!("{} ({})", escape_untrusted(at), relative(at, now));
        let mut pairs = vec![
            ("call", escape_untrusted(&call.id)),
            ("tool", escape_untrusted(&call.tool)),
            ("requester", escape_untrusted(&call.principal)),
            ("state", escape_untrusted(&call.state)),
            ("effect", call.effect.word().to_owned()),
            ("arguments", dossier::value(&call.arguments)),
        ];
        pairs.extend(call.output.as_ref().map(|output| ("output", dossier::value(output))));
        pairs.extend(call.error.as_ref().map(|problem| ("error", escape_untrusted(&problem.detail))));
        pairs.extend(call.reason.as_ref().map(|reason| ("reason", escape_untrusted(reason))));
        if let Some(approval) = &call.approval {
            pairs.push(("approval", format!("#{}, decide by {}", approval.number, time(&approval.decide_by))));
            pairs.extend(approval.decisions.iter().map(|decision| {
                (
                    "",
                    format!(
                        "{} by {}, {}",
                        decision.verdict,
                        escape_untrusted(&decision.by),
                        relative(&decision.at, now)
                    ),
                )
            }));
        }
        pairs.extend(call.idempotency_key.as_ref().map(|key| ("key", escape_untrusted(key))));
        pairs.push(("accepted", time(&call.created_at)));
        pairs.push(("changed", time(&call.changed_at)));
        pairs.extend(call.audit.map(|index| ("audit", format!("record {index}"))));
        facts(&pairs)
    })
}

//! `approvals`: look at what waits for people.

use crate::api::approvals::{self, ApprovalRef, Dossier, ListApprovals};
use crate::api::endpoint::Nothing;
use crate::cli::args::ApprovalsCommand;
use crate::cli::context::Context;
use crate::cli::dossier;
use crate::cli::error::{CliError, Exit};
use crate::cli::table::{Cell, Table};
use crate::cli::text::relative;

/// Lists, shows or follows.
///
/// # Errors
/// The daemon's own.
pub fn run(cx: &Context, command: ApprovalsCommand) -> Result<Exit, CliError> {
    match command {
        ApprovalsCommand::List(page) => {
            let reply = cx.send::<approvals::List>(&ListApprovals { cursor: page.cursor, limit: page.limit })?;
            let mut table =
                Table::new(["ID", "TOOL", "RISK", "REQUESTER", "ASKED", "DECIDE BY"], "nothing waits for people");
            for dossier in &reply.approvals {
                table.row(row(cx, dossier));
            }
            cx.ui.list(&reply, &reply.approvals, &table)?;
            if let Some(cursor) = &reply.next_cursor {
                cx.ui.note(&format!("more: toolctl approvals list --cursor {cursor}"));
            }
        }
        ApprovalsCommand::Show { id } => {
            let id = id.strip_prefix('#').unwrap_or(&id).to_owned();
            let found = cx.send::<approvals::Show>(&ApprovalRef { id })?;
            cx.ui.show(&found, || dossier::render(&found, cx.now(), |tone, text| cx.ui.paint(tone, text)))?;
        }
        ApprovalsCommand::Watch => cx.stream::<approvals::Watch>(&Nothing {}, true, |dossier| {
            let mut line = Table::new(["", "", "", "", "", "", ""], "");
            let people = cx.ui.for_people();
            let mut cells = row(cx, &dossier).to_vec();
            cells.push(dossier.call.state.as_str().into());
            if let Ok(cells) = <[Cell; 7]>::try_from(cells) {
                line.row(cells);
            }
            cx.ui.stream(&dossier, || if people { line.one_line() } else { line.for_programs().trim_end().to_owned() })
        })?,
    }
    Ok(Exit::Done)
}

fn row(cx: &Context, dossier: &Dossier) -> [Cell; 6] {
    let call = &dossier.call;
    let (number, asked, by) = call.approval.as_ref().map_or((String::new(), "", ""), |approval| {
        (format!("#{}", approval.number), approval.asked_at.as_str(), approval.decide_by.as_str())
    });
    [
        number.into(),
        call.tool.as_str().into(),
        dossier.risk.word().into(),
        call.principal.as_str().into(),
        Cell::two(relative(asked, cx.now()), asked),
        Cell::two(relative(by, cx.now()), by),
    ]
}

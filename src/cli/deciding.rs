//! What to type about a call that waits for people. Whoever reads that may be one of those people, or an agent who must
//! not decide: the daemon is asked which, and only the former is told a command.

use super::context::Context;
use super::error::{CliError, Exit};
use super::outcome;
use super::text::shell_word;
use crate::api::approvals::{self, ApprovalRef, Dossier};

/// The same error; one that says that a call waits for people also says how, or by whom, it is decided about.
pub fn advised(cx: &Context, error: CliError) -> CliError {
    let waits = error.exit == Exit::Pending && error.code == "approval-pending";
    let Some(id) = error.details.call_id.clone().filter(|_| waits) else { return error };
    match cx.try_send::<approvals::Show>(&ApprovalRef { id }, cx.deadline()) {
        Ok(Ok(found)) if found.call.state == "awaiting_approval" => told(error, &found, cx.ui.seen.ask),
        // What is known without it has been said.
        Ok(_) | Err(_) => error,
    }
}

/// `asks` when somebody can be asked here.
fn told(mut error: CliError, found: &Dossier, asks: bool) -> CliError {
    let Some(approval) = &found.call.approval else { return error };
    if found.you_may_not.is_none() {
        let yes = if asks { "" } else { " --yes" };
        error.tries.insert(0, format!("toolctl approve {}{yes}", shell_word(&format!("#{}", approval.number))));
    } else {
        let groups: Vec<String> = outcome::lacking(&found.call).map(|(_, group)| group).collect();
        let groups = if groups.is_empty() { "people".to_owned() } else { groups.join(" and ") };
        error.hint = Some(format!("{groups} decide, with keys of their own; tell them of #{}", approval.number));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dossier::sample;

    #[test]
    fn who_may_decide_is_told_how_and_anybody_else_by_whom() {
        let pending = || CliError::new(Exit::Pending, "approval-pending", "it waits").attempt("toolctl wait call_1");
        let mut found = sample::dossier();
        found.you_may_not = None;
        assert_eq!(told(pending(), &found, true).tries, ["toolctl approve '#17'", "toolctl wait call_1"]);
        assert_eq!(told(pending(), &found, false).tries, ["toolctl approve '#17' --yes", "toolctl wait call_1"]);
        found.you_may_not = Some("`agent:bot` is not in approvers".into());
        let other = told(pending(), &found, false);
        assert_eq!(other.tries, ["toolctl wait call_1"]);
        assert_eq!(other.hint.as_deref(), Some("approvers decide, with keys of their own; tell them of #17"));
    }
}

//! What the state of a call means: the exit status, and the words when it is not success.

use super::error::{CliError, Exit};
use super::text::escape_untrusted;
use crate::api::calls::Call;

/// Whether the call has ended, is waited for in vain (in doubt), or was a dry run.
pub fn is_final(call: &Call) -> bool {
    !matches!(call.state.as_str(), "awaiting_approval" | "ready" | "running")
}

/// The exit status of a call in this state.
pub fn exit(state: &str) -> Exit {
    match state {
        "succeeded" | "would_run" => Exit::Done,
        "failed" => Exit::ToolFailed,
        "rejected" => Exit::Rejected,
        "expired" => Exit::Expired,
        "cancelled" | "stale" => Exit::Conflict,
        "in_doubt" => Exit::Unknown,
        "awaiting_approval" | "ready" | "would_wait" => Exit::Pending,
        "running" => Exit::Timeout,
        _ => Exit::Failure,
    }
}

/// Success, or the error that says why not and what to type next.
///
/// # Errors
/// For every state but `succeeded` and `would_run`.
pub fn verdict(call: &Call) -> Result<(), CliError> {
    let exit = exit(&call.state);
    if exit == Exit::Done {
        return Ok(());
    }
    let mut error = match call.error.clone() {
        Some(problem) => CliError { exit, ..CliError::of_problem(problem) },
        None => CliError::new(exit, code(&call.state), words(call)),
    };
    error.details.call_id = Some(call.id.clone()).filter(|id| !id.is_empty());
    error.details.effect = Some(call.effect);
    if matches!(exit, Exit::Pending | Exit::Timeout | Exit::Unknown) && call.state != "would_wait" {
        error.details.idempotency_key.clone_from(&call.idempotency_key);
        error.tries.push(format!("toolctl {} {}", if exit == Exit::Unknown { "calls show" } else { "wait" }, call.id));
    }
    Err(error)
}

/// Who must still agree, for a sentence: `#17, 1 of approvers`; of a dry run only who.
pub fn awaited(call: &Call) -> String {
    let Some(approval) = &call.approval else { return "the call to start".to_owned() };
    let groups: Vec<String> = lacking(call).map(|(count, group)| format!("{count} of {group}")).collect();
    let groups = if groups.is_empty() { "people".to_owned() } else { groups.join(" and ") };
    // What was only tried has no number.
    if approval.number == 0 { groups } else { format!("#{}, {groups}", approval.number) }
}

/// How many of which groups must still agree.
pub fn lacking(call: &Call) -> impl Iterator<Item = (u32, String)> {
    let needs = call.approval.iter().flat_map(|approval| &approval.requirements);
    let open = needs.filter(|need| need.agreed < need.quorum && !need.consented);
    open.map(|need| (need.quorum - need.agreed, escape_untrusted(&need.group)))
}

fn code(state: &str) -> &'static str {
    match state {
        "failed" => "tool-failed",
        "rejected" => "approval-rejected",
        "expired" => "approval-expired",
        "cancelled" => "cancelled",
        "stale" => "approval-stale",
        "in_doubt" => "outcome-unknown",
        "awaiting_approval" | "ready" | "would_wait" => "approval-pending",
        "running" => "timeout",
        _ => "internal",
    }
}

fn words(call: &Call) -> String {
    let tool = &call.tool;
    match call.state.as_str() {
        "failed" => format!("`{tool}` failed"),
        "rejected" => format!("a person rejected `{tool}`; nothing ran"),
        "expired" => format!("nobody approved `{tool}` in time; nothing ran"),
        "cancelled" => format!("the call of `{tool}` was taken back; nothing ran"),
        "stale" => format!("what was approved is not what `{tool}` would run now; nothing ran"),
        "in_doubt" => format!("`{tool}` may have run; nobody knows yet"),
        "awaiting_approval" => format!("`{tool}` waits for people ({})", awaited(call)),
        "would_wait" => format!("`{tool}` would wait for people ({})", awaited(call)),
        "ready" => format!("`{tool}` is about to start"),
        "running" => format!("`{tool}` still runs; it goes on without us"),
        other => format!("the call of `{tool}` is `{other}`, which this version does not know"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dossier::sample;

    #[test]
    fn every_state_has_its_exit_status() {
        for (state, status) in [
            ("succeeded", 0),
            ("would_run", 0),
            ("failed", 3),
            ("rejected", 6),
            ("awaiting_approval", 8),
            ("ready", 8),
            ("would_wait", 8),
            ("expired", 9),
            ("in_doubt", 10),
            ("cancelled", 12),
            ("stale", 12),
            ("running", 124),
            ("something new", 1),
        ] {
            assert_eq!(exit(state).status(), status, "{state}");
        }
    }

    #[test]
    fn waiting_for_people_says_how_to_go_on() {
        let mut call = sample::dossier().call;
        assert_eq!(
            verdict(&call).expect_err("pending").for_people(str::to_owned),
            "error[approval-pending]: `update_customer_status` waits for people (#17, 1 of approvers)\n  \
             try:  toolctl wait call_01kb0\n"
        );
        let mut tried = call.clone();
        tried.state = "would_wait".into();
        tried.approval.as_mut().expect("an approval").number = 0;
        assert_eq!(
            verdict(&tried).expect_err("pending").for_people(str::to_owned),
            "error[approval-pending]: `update_customer_status` would wait for people (1 of approvers)\n"
        );
        call.state = "in_doubt".into();
        assert_eq!(
            verdict(&call).expect_err("in doubt").for_people(str::to_owned),
            "error[outcome-unknown]: `update_customer_status` may have run; nobody knows yet\n  \
             try:  toolctl calls show call_01kb0\n"
        );
        call.state = "succeeded".into();
        assert_eq!(verdict(&call), Ok(()));
    }
}

//! `approve` and `deny`: a person decides. What is sent is the digest of what was shown, so a decision is
//! about exactly that; the daemon refuses any other.

use crate::api::approvals::{self, ApprovalRef, Dossier, ListApprovals, NewDecision};
use crate::api::calls::Call;
use crate::cli::args::{ApproveArgs, DenyArgs};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::prompt;
use crate::cli::text::{escape_untrusted, relative, shell_word};
use crate::cli::ui::Tone;
use crate::cli::{dossier, outcome};
use crate::domain::approval::Verdict;

/// Approves what is named, or opens the inbox.
///
/// # Errors
/// Exit 2 without a terminal and without `--yes`; the daemon's own; that of a call that ran and failed.
pub fn approve(cx: &Context, args: &ApproveArgs) -> Result<Exit, CliError> {
    if args.ids.is_empty() {
        if !cx.ui.seen.ask || args.decide {
            return Err(CliError::usage("which approval?")
                .attempt("toolctl approvals list")
                .attempt("toolctl approve ID --yes"));
        }
        return inbox(cx);
    }
    if !args.decide && !cx.ui.seen.ask {
        return Err(CliError::usage("nobody can be asked here")
            .hint("`--yes` decides without asking; `-y` does not, as it answers confirmations only")
            .attempt(format!("toolctl approve {} --yes", words(&args.ids))));
    }
    let mut result = Ok(Exit::Done);
    for id in &args.ids {
        let found = cx.send::<approvals::Show>(&ApprovalRef { id: bare(id) })?;
        if let Some(expected) = &args.expect_digest {
            let actual = digest(&found);
            if actual.as_ref() != Some(expected) {
                return Err(CliError::new(
                    Exit::Conflict,
                    "approval-stale",
                    format!("`{id}` is not about `{expected}`"),
                )
                .attempt(format!("toolctl approvals show {}", bare(id))));
            }
        }
        let outcome = if args.decide {
            decide(cx, &found, Verdict::Approve, args.reason.clone())
        } else {
            ask(cx, &found).map(drop)
        };
        if let Err(error) = outcome {
            if error.exit == Exit::Interrupted {
                return Err(error);
            }
            if let Err(earlier) = std::mem::replace(&mut result, Err(error)) {
                cx.ui.error(&earlier);
            }
        }
    }
    result
}

/// Rejects what is named.
///
/// # Errors
/// Exit 2 without a reason where nobody can be asked; the daemon's own.
pub fn deny(cx: &Context, args: &DenyArgs) -> Result<Exit, CliError> {
    let reason = match &args.reason {
        Some(reason) => reason.clone(),
        None if cx.ui.seen.ask => prompt::line(cx, "Why?", None, |_| Ok(()))?,
        None => {
            return Err(CliError::usage("a rejection needs a reason here")
                .attempt(format!("toolctl deny {} --reason TEXT", words(&args.ids))));
        }
    };
    for id in &args.ids {
        let found = cx.send::<approvals::Show>(&ApprovalRef { id: bare(id) })?;
        decide(cx, &found, Verdict::Reject, Some(reason.clone()).filter(|text| !text.is_empty()))?;
    }
    Ok(Exit::Done)
}

/// What the person at an approval wants next.
enum Next {
    Done,
    Quit,
}

fn inbox(cx: &Context) -> Result<Exit, CliError> {
    let mut place = 0;
    loop {
        let waiting = cx.send::<approvals::List>(&ListApprovals { cursor: None, limit: Some(100) })?.approvals;
        if waiting.is_empty() {
            cx.ui.note("nothing waits for people");
            return Ok(Exit::Done);
        }
        let now = cx.now();
        let mut items: Vec<String> = waiting
            .iter()
            .map(|dossier| {
                let call = &dossier.call;
                let number = call.approval.as_ref().map_or(0, |approval| approval.number);
                let by = call.approval.as_ref().map_or("", |approval| &approval.decide_by);
                format!(
                    "#{number}  {}  {}  {}, decide {}",
                    escape_untrusted(&call.tool),
                    escape_untrusted(&call.principal),
                    relative(&call.created_at, now),
                    relative(by, now)
                )
            })
            .collect();
        items.push("quit".to_owned());
        let chosen = prompt::select(cx, "What waits for people", &items, place.min(items.len() - 1))?;
        let Some(found) = chosen.and_then(|chosen| waiting.get(chosen)) else { return Ok(Exit::Done) };
        place = chosen.unwrap_or_default();
        match ask(cx, found) {
            Ok(Next::Done) => {}
            Ok(Next::Quit) => return Ok(Exit::Done),
            Err(error) if error.exit == Exit::Interrupted => return Err(error),
            // Somebody else was faster, or the call failed: say so and go on with the rest.
            Err(error) => cx.ui.error(&error),
        }
    }
}

fn ask(cx: &Context, found: &Dossier) -> Result<Next, CliError> {
    cx.ui.say(&dossier::render(found, cx.now(), |tone, text| cx.ui.paint_err(tone, text)));
    let actions: &[&str] =
        if found.you_may_not.is_some() { &["skip", "quit"] } else { &["skip", "approve", "deny", "quit"] };
    let items: Vec<String> = actions.iter().map(|action| (*action).to_owned()).collect();
    // Skip stands first: a stray Enter must not approve.
    let chosen = prompt::select(cx, "What now?", &items, 0)?;
    match chosen.and_then(|chosen| actions.get(chosen)).copied() {
        Some("approve") => decide(cx, found, Verdict::Approve, None).map(|()| Next::Done),
        Some("deny") => {
            let reason = prompt::line(cx, "Why?", None, |_| Ok(()))?;
            let reason = Some(reason).filter(|reason| !reason.is_empty());
            decide(cx, found, Verdict::Reject, reason).map(|()| Next::Done)
        }
        Some("quit") => Ok(Next::Quit),
        _ => Ok(Next::Done),
    }
}

fn decide(cx: &Context, found: &Dossier, verdict: Verdict, reason: Option<String>) -> Result<(), CliError> {
    let Some(approval) = &found.call.approval else {
        return Err(CliError::new(Exit::Conflict, "approval-stale", "this call asks nobody"));
    };
    let decision = NewDecision {
        id: approval.id.clone(),
        decision: verdict,
        digest: Some(approval.digest.clone()),
        reason,
        wait: None,
    };
    let call = cx.send::<approvals::Decide>(&decision)?;
    let number = approval.number;
    let decisions = call.approval.as_ref().map(|now| now.decisions.len());
    if decisions == Some(approval.decisions.len()) {
        cx.ui.note(&format!("#{number} was decided before: nothing was done now, and this is what came of it"));
    }
    cx.ui.show(&call, || said(&call, number, verdict, |tone, text| cx.ui.paint(tone, text)))?;
    match (verdict, call.state.as_str()) {
        (Verdict::Reject, _) | (Verdict::Approve, "awaiting_approval" | "ready" | "running") => Ok(()),
        (Verdict::Approve, _) => outcome::verdict(&call),
    }
}

fn said(call: &Call, number: u64, verdict: Verdict, paint: impl Fn(Tone, &str) -> String) -> String {
    let tool = escape_untrusted(&call.tool);
    match (verdict, call.state.as_str()) {
        (Verdict::Reject, _) => format!("#{number} {}: {tool} does not run", paint(Tone::Bad, "rejected")),
        (Verdict::Approve, "awaiting_approval") => {
            format!("#{number} {}; still needed: {}", paint(Tone::Good, "agreed"), outcome::awaited(call))
        }
        (Verdict::Approve, state) => {
            let output =
                call.output.as_ref().map_or_else(String::new, |output| format!("\n{}", dossier::value(output)));
            format!("#{number} {}: {tool} {}{output}", paint(Tone::Good, "approved"), escape_untrusted(state))
        }
    }
}

/// What was typed, for a shell again.
fn words(ids: &[String]) -> String {
    ids.iter().map(|id| shell_word(id)).collect::<Vec<_>>().join(" ")
}

/// A shell may need `'#17'`; `17` says the same, and `#` stays out of URLs.
fn bare(id: &str) -> String {
    id.strip_prefix('#').unwrap_or(id).to_owned()
}

fn digest(found: &Dossier) -> Option<String> {
    found.call.approval.as_ref().map(|approval| approval.digest.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command::script::play;
    use crate::cli::dossier::sample;
    use crate::cli::ui::Seen;

    #[test]
    fn what_came_of_a_decision_is_said() {
        let mut call = sample::dossier().call;
        let plain = |_: Tone, text: &str| text.to_owned();
        assert_eq!(said(&call, 17, Verdict::Approve, plain), "#17 agreed; still needed: #17, 1 of approvers");
        call.state = "succeeded".into();
        call.output = Some(serde_json::json!({"x": "\u{202e}"}));
        assert_eq!(
            said(&call, 17, Verdict::Approve, plain),
            "#17 approved: update_customer_status succeeded\n{\"x\":\"\\u{202e}\"}"
        );
        assert_eq!(said(&call, 17, Verdict::Reject, plain), "#17 rejected: update_customer_status does not run");
    }

    fn approving(decide: bool) -> ApproveArgs {
        ApproveArgs { ids: vec!["#17".into()], decide, reason: None, expect_digest: None }
    }

    #[test]
    fn the_digest_that_was_shown_is_the_digest_that_is_sent() {
        let dossier = sample::dossier();
        let mut after = dossier.call.clone();
        after.state = "succeeded".into();
        let digest = dossier.call.approval.as_ref().map(|approval| approval.digest.clone()).expect("an approval");
        let answers = vec![Some((200, serde_json::json!(dossier))), Some((200, serde_json::json!(after)))];
        let played = play(Seen::default(), answers, |cx| approve(cx, &approving(true)));
        assert_eq!(played.result, Ok(Exit::Done));
        assert_eq!(
            played.asked,
            [
                "GET /v1/approvals/17".to_owned(),
                format!("POST /v1/approvals/apr_01kb0/decisions {{\"decision\":\"approve\",\"digest\":\"{digest}\"}}"),
            ]
        );
    }

    #[test]
    fn where_nobody_can_be_asked_nothing_is_approved() {
        let played = play(Seen::default(), Vec::new(), |cx| approve(cx, &approving(false)));
        assert_eq!(played.result.expect_err("refused").exit, Exit::Usage);
        let none = ApproveArgs { ids: Vec::new(), ..approving(true) };
        let played = play(Seen::default(), Vec::new(), |cx| approve(cx, &none));
        assert_eq!(played.result.expect_err("refused").exit, Exit::Usage);
        let deny_silently = DenyArgs { ids: vec!["17".into()], reason: None };
        let played = play(Seen::default(), Vec::new(), |cx| deny(cx, &deny_silently));
        assert_eq!(played.result.expect_err("refused").exit, Exit::Usage);
    }

    #[test]
    fn other_contents_than_expected_are_not_approved() {
        let args = ApproveArgs { expect_digest: Some("sha256:other".into()), ..approving(true) };
        let answers = vec![Some((200, serde_json::json!(sample::dossier())))];
        let played = play(Seen::default(), answers, |cx| approve(cx, &args));
        assert_eq!(played.result.expect_err("stale").exit, Exit::Conflict);
    }
}

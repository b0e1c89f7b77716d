//! `demo`: a tour on a throw-away daemon. It needs nothing, leaves nothing, and fails unless every step does
//! what it should: the smoke test of the whole.

mod stage;

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::calls::{Call, Create};
use crate::cli::args::DemoArgs;
use crate::cli::context::Context;
use crate::cli::dossier;
use crate::cli::error::{CliError, Exit};
use crate::cli::prompt;
use crate::cli::text::escape_json;
use crate::cli::ui::Tone;
use crate::client::ClientError;
use crate::domain::approval::Verdict;
use crate::domain::denial::Code;

use stage::{Stage, call, must_call};

/// Time to read a step.
const PAUSE: Duration = Duration::from_millis(900);

/// What happened, for programs.
#[derive(Debug, Serialize)]
struct Story {
    scenarios: Vec<Scenario>,
    denied: Denied,
    audit: Audit,
}

/// The workflow, once.
#[derive(Debug, Serialize)]
struct Scenario {
    customer_id: Value,
    ticket_id: Value,
    status: String,
    approved_by: Vec<String>,
    message_sent: Value,
    idempotent_replay: bool,
}

/// The call that policy stops.
#[derive(Debug, Serialize)]
struct Denied {
    code: String,
    explanation: String,
}

/// What the log says.
#[derive(Debug, Serialize)]
struct Audit {
    records: u64,
    verified: bool,
    tamper_detected: bool,
}

/// Takes the tour.
///
/// # Errors
/// When a step does not do what it should; exit 6 when you reject the call that asks you.
pub fn run(cx: &Context, args: &DemoArgs) -> Result<Exit, CliError> {
    let teller = Teller { cx, slow: !args.fast && cx.ui.seen.out && !cx.ui.for_programs() };
    teller.title("A throw-away daemon starts in a temporary folder: no configuration, nothing installed")?;
    let stage = Stage::set(cx)?;
    teller.line(&format!("it listens on {}", stage.folder().join("state").display()))?;

    let asks = teller.slow && cx.ui.seen.ask;
    let first = teller.workflow(&stage, asks, Told::Whole)?;
    teller.title("The agent was restarted and does it all again, with the same idempotency keys")?;
    let again = teller.workflow(&stage, false, Told::Briefly)?;
    expect(again.ticket_id == first.ticket_id, "the replayed ticket is the same ticket")?;
    expect(again.idempotent_replay && !first.idempotent_replay, "the second time is a replay")?;
    let denied = teller.denial(&stage)?;
    let rejected = first.status == "rejected";
    let audit = teller.audit(stage, args.keep)?;
    let story = Story { scenarios: vec![first, again], denied, audit };
    if cx.ui.for_programs() {
        cx.ui.show(&story, String::new)?;
    }
    teller.title("Now yours: `toolctl serve` here, `toolctl tools list` in another terminal")?;
    Ok(if rejected { Exit::Rejected } else { Exit::Done })
}

/// How much is said of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Whole,
    Briefly,
}

/// Tells the story as it happens, unless a program reads.
struct Teller<'a> {
    cx: &'a Context,
    slow: bool,
}

impl Teller<'_> {
    fn title(&self, text: &str) -> Result<(), CliError> {
        self.pause();
        self.say(&format!("\n{} {}", self.cx.ui.paint(Tone::Good, "▸"), self.cx.ui.paint(Tone::Strong, text)))
    }

    fn step(&self, told: Told, text: &str) -> Result<(), CliError> {
        match told {
            Told::Whole => self.title(text),
            Told::Briefly => Ok(()),
        }
    }

    /// What became of a call that people decided about.
    fn ended(&self, call: &Call) -> Result<(), CliError> {
        match &call.error {
            Some(problem) => self.line(&self.cx.ui.paint(Tone::Care, &format!("{}; nothing ran", problem.detail))),
            None => self.result(&output(call)),
        }
    }

    fn line(&self, text: &str) -> Result<(), CliError> {
        self.say(&format!("  {text}"))
    }

    fn shell(&self, who: &str, command: &str) -> Result<(), CliError> {
        self.pause();
        self.line(&format!("{} toolctl {command}", self.cx.ui.paint(Tone::Faint, &format!("{who} $"))))
    }

    fn result(&self, value: &Value) -> Result<(), CliError> {
        self.line(&escape_json(&value.to_string()))
    }

    fn say(&self, text: &str) -> Result<(), CliError> {
        if self.cx.ui.for_programs() { Ok(()) } else { self.cx.ui.out(&format!("{text}\n")) }
    }

    fn pause(&self) {
        if self.slow {
            std::thread::sleep(PAUSE);
        }
    }

    /// Find a customer, open a ticket, change a status with people's consent, send a message.
    fn workflow(&self, stage: &Stage, ask: bool, told: Told) -> Result<Scenario, CliError> {
        let (cx, agent) = (self.cx, &stage.agent);
        self.step(told, "An agent finds a customer: reading runs at once, and is recorded")?;
        self.shell("agent", "call search_customer --query acme")?;
        let found = must_call(cx, agent, &call("search_customer", json!({"query": "acme"}), "demo-search"))?;
        let output = output(&found);
        self.result(&output)?;
        let customer_id = output.pointer("/results/0/id").cloned().unwrap_or_default();

        self.step(told, "It opens a ticket: once per idempotency key, however often it is sent")?;
        self.shell(
            "agent",
            "call create_ticket --customer-id 1 --title \"Login broken\" --idempotency-key demo-ticket",
        )?;
        let arguments = json!({"customer_id": customer_id, "title": "Login broken"});
        let ticket = must_call(cx, agent, &call("create_ticket", arguments, "demo-ticket"))?;
        self.result(&self::output(&ticket))?;
        if ticket.replayed {
            self.line(&cx.ui.paint(Tone::Good, "replayed: the same ticket as before, and no second one"))?;
        }
        let ticket_id = self::output(&ticket).pointer("/ticket/id").cloned().unwrap_or_default();

        self.step(told, "It wants to change the customer's status: high risk, so a person must agree")?;
        self.shell("agent", "call update_customer_status --customer-id 1 --new-status Paused")?;
        let arguments = json!({"customer_id": customer_id, "new_status": "Paused"});
        let mut status = stage::send::<Create>(cx, agent, &call("update_customer_status", arguments, "demo-status"))?;
        if status.state == "awaiting_approval" {
            status = self.approval(stage, &status, ask)?;
        } else {
            self.line(&cx.ui.paint(Tone::Good, "replayed: people decided before, and nobody is asked twice"))?;
        }
        self.ended(&status)?;
        let approved_by = status.approval.iter().flat_map(|approval| &approval.decisions).map(|said| said.by.clone());

        self.step(told, "It tells the team")?;
        self.shell("agent", "call send_message --channel support --message \"ACME AB is paused\"")?;
        let arguments = json!({"channel": "support", "message": "ACME AB is paused"});
        let message = must_call(cx, agent, &call("send_message", arguments, "demo-message"))?;
        self.result(&self::output(&message))?;
        Ok(Scenario {
            customer_id,
            ticket_id,
            approved_by: approved_by.collect(),
            status: status.state,
            message_sent: self::output(&message).pointer("/sent").cloned().unwrap_or_default(),
            idempotent_replay: ticket.replayed,
        })
    }

    /// The call waits; a person at the terminal decides, or a second principal does.
    fn approval(&self, stage: &Stage, waiting: &Call, ask: bool) -> Result<Call, CliError> {
        let cx = self.cx;
        let number = waiting.approval.as_ref().map_or(0, |approval| approval.number);
        self.line(&cx.ui.paint(Tone::Care, &format!("waits for people: #{number}; nothing has run")))?;
        let decider = if ask { &stage.you } else { &stage.dana };
        let dossier = stage::look(cx, decider, waiting)?;
        self.pause();
        self.say(&dossier::render(&dossier, cx.now(), |tone, text| cx.ui.paint(tone, text)))?;
        let mut verdict = Verdict::Approve;
        if ask {
            let answers = ["approve: let it run".to_owned(), "deny: nothing happens".to_owned()];
            if prompt::select(cx, "You are the approver here", &answers, 0)? != Some(0) {
                verdict = Verdict::Reject;
            }
        } else {
            self.shell("dana", &format!("approve '#{number}' --yes"))?;
        }
        let decided = stage::decide(cx, decider, &dossier, verdict)?;
        let expected = if verdict == Verdict::Approve { "succeeded" } else { "rejected" };
        expect(decided.state == expected, "the decision is carried out")?;
        Ok(decided)
    }

    /// A program without rights is told no, and why.
    fn denial(&self, stage: &Stage) -> Result<Denied, CliError> {
        self.title("A program that no rule permits tries to open a ticket")?;
        self.shell("visitor", "call create_ticket --customer-id 1 --title Hello")?;
        let request = call("create_ticket", json!({"customer_id": 1, "title": "Hello"}), "demo-denied");
        let refused = match stage::try_send::<Create>(self.cx, &stage.visitor, &request)? {
            Err(ClientError::Problem(problem)) => problem,
            Err(other) => return Err(CliError::from(other)),
            Ok(_) => return Err(unexpected("a program without rights is refused")),
        };
        self.line(&self.cx.ui.paint(Tone::Bad, &format!("denied: {}", refused.detail)))?;
        if let Some(hint) = &refused.hint {
            self.line(&format!("help: {hint}"))?;
        }
        expect(refused.known_code() == Some(Code::PolicyDenied), "policy is what refuses")?;
        Ok(Denied { code: refused.code, explanation: refused.detail })
    }

    /// The log verifies, and does not after one byte was changed.
    fn audit(&self, stage: Stage, keep: bool) -> Result<Audit, CliError> {
        self.title("Everything is in the log, which can be checked without trusting the daemon")?;
        let (folder, state) = stage.strike()?;
        self.shell("you", "audit verify")?;
        let clean = stage::verify(&state)?;
        expect(clean.verified, "the log verifies")?;
        let root: String = clean.root.chars().take(23).collect();
        self.line(&self.cx.ui.paint(Tone::Good, &format!("verified: {} records, root {root}…", clean.records)))?;

        self.title("Somebody changes one byte of the store")?;
        self.shell("you", "audit verify")?;
        let altered = stage::tamper(&state, &folder.path().join("tampered"))?;
        expect(!altered.verified, "the change is found")?;
        for fault in altered.faults.iter().take(2) {
            let place = fault.index.map_or_else(|| "log".to_owned(), |index| format!("record {index}"));
            self.line(&self.cx.ui.paint(Tone::Bad, &format!("not verified: {place}: {}", fault.what)))?;
        }
        if keep {
            let kept = folder.keep();
            self.cx.ui.note(&format!("kept: {}", kept.display()));
        }
        Ok(Audit { records: clean.records, verified: clean.verified, tamper_detected: !altered.verified })
    }
}

fn output(call: &Call) -> Value {
    call.output.clone().unwrap_or_default()
}

fn expect(holds: bool, what: &str) -> Result<(), CliError> {
    if holds { Ok(()) } else { Err(unexpected(what)) }
}

fn unexpected(what: &str) -> CliError {
    CliError::new(Exit::Failure, "demo", format!("the demo did not go as it should: not so: {what}"))
}

//! How the end of a run is read: from exit status and output, by what the tool declared, to what happened. A
//! pure function, so that a daemon that adopts a run says of it exactly what the one that began it would have.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::job::{Cut, End, Fate};
use crate::domain::json::Canonical;
use crate::domain::outcome::{Effect, Ending, FailureKind, Outcome, Ran};
use crate::domain::tool::command::{CommandAction, Exits, Form};
use crate::domain::tool::{EffectClass, Tool};
use crate::guard::schema::OutputSchema;
use crate::tool::output::{parse, told};

/// What a tool declared about its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    name: String,
    effect: EffectClass,
    form: Form,
    exits: Exits,
    schema: Value,
    most_output: usize,
    timeout_ms: u64,
}

impl Reading {
    /// What `tool` declared.
    pub fn of(tool: &Tool, command: &CommandAction) -> Self {
        Self {
            name: tool.name.to_string(),
            effect: tool.effect,
            form: command.output,
            exits: command.exits.clone(),
            schema: tool.output_schema.clone(),
            most_output: tool.output_limit,
            timeout_ms: u64::try_from(tool.timeout.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// A run that nobody saw end.
    pub fn lost(&self, why: &str) -> Ran {
        Ending::cut_off(self.effect, FailureKind::Failed, format!("nobody saw how `{}` ended: {why}", self.name)).into()
    }

    /// What a run came to.
    pub fn read(&self, end: &End, stdout: &[u8], stderr: &[u8]) -> Ran {
        let mut facts = vec![("sandbox", end.sandbox.clone())];
        if end.survivors {
            facts.push(("survivors", "something that the command started could not be ended".to_owned()));
        }
        if end.attempts > 1 {
            facts.push(("attempts", end.attempts.to_string()));
        }
        Ran { ending: self.ending(end, stdout, stderr), facts }
    }

    fn ending(&self, end: &End, stdout: &[u8], stderr: &[u8]) -> Ending {
        let name = &self.name;
        let cut_off = |kind, message| Ending::cut_off(self.effect, kind, message);
        match (&end.fate, end.cut) {
            (Fate::NotStarted(why), _) => Ending::Known(self.failed(format!("nothing ran: {why}"), None, Effect::None)),
            (Fate::Exited(status), None) => Ending::Known(self.exited(*status, end.attempts, stdout, stderr)),
            // Whatever it says after it was asked to end is not what it would have said.
            (_, Some(Cut::Timeout)) => cut_off(FailureKind::Timeout, self.too_slow()),
            (_, Some(Cut::Flood)) => {
                let message = format!(
                    "`{name}` was ended as it wrote more than it may: {} bytes to stdout (of {}), {} to stderr",
                    end.stdout_bytes, self.most_output, end.stderr_bytes
                );
                cut_off(FailureKind::OutputInvalid, message)
            }
            (_, Some(Cut::Orphaned)) => cut_off(FailureKind::Failed, format!("`{name}` was ended with its daemon")),
            (Fate::Killed(signal), None) => {
                let message = format!("`{name}` was ended by {}{}", signal_name(*signal), last_words(stderr));
                cut_off(FailureKind::Failed, message)
            }
        }
    }

    fn too_slow(&self) -> String {
        format!(
            "`{}` did not end within {:?} and was ended",
            self.name,
            std::time::Duration::from_millis(self.timeout_ms)
        )
    }

    fn exited(&self, status: i32, attempts: u32, stdout: &[u8], stderr: &[u8]) -> Outcome {
        if has(&self.exits.success, status) {
            return self.succeeded(stdout);
        }
        let unknown = if self.effect == EffectClass::ReadOnly { Effect::None } else { Effect::Unknown };
        let (effect, meaning) = if has(&self.exits.temporary, status) {
            (Effect::None, ", which means: not now, and nothing happened")
        } else if has(&self.exits.no_effect, status) {
            (Effect::None, ", which means that nothing happened")
        } else {
            (unknown, "")
        };
        let attempts = if attempts > 1 { format!(" ({attempts} attempts)") } else { String::new() };
        let message = format!("`{}` ended with status {status}{meaning}{attempts}{}", self.name, last_words(stderr));
        let output = json!({"exit_status": status, "stdout": told(stdout), "stderr": told(stderr)});
        self.failed(message, Some(Canonical::of(&output)), effect)
    }

    fn succeeded(&self, stdout: &[u8]) -> Outcome {
        let output =
            match parse(self.form, stdout, self.most_output).and_then(|output| self.check(&output).map(|()| output)) {
                Ok(output) => Canonical::of(&output),
                Err(why) => {
                    let effect = if self.effect == EffectClass::ReadOnly { Effect::None } else { Effect::Done };
                    let output = Some(Canonical::of(&json!({"stdout": told(stdout)})));
                    let message = format!("`{}` succeeded, but its output is not what it declared: {why}", self.name);
                    return Outcome::Failed { kind: FailureKind::OutputInvalid, message, output, effect };
                }
            };
        Outcome::Succeeded { output }
    }

    fn check(&self, output: &Value) -> Result<(), String> {
        OutputSchema::compile(&self.schema)?.check(output)
    }

    fn failed(&self, message: String, output: Option<Canonical>, effect: Effect) -> Outcome {
        Outcome::Failed { kind: FailureKind::Failed, message, output, effect }
    }
}

fn has(list: &[u8], status: i32) -> bool {
    list.iter().any(|listed| i32::from(*listed) == status)
}

/// The last line on stderr, where programs say why.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let line: String = line.chars().filter(|sign| !sign.is_control()).take(300).collect();
    if line.is_empty() { String::new() } else { format!(": {line}") }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests;

//! A run as it goes: a line a step for people, on a terminal with what is under way turning below it; one JSON
//! object a line for programs that ask for JSON lines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::definition::Step;
use super::engine::Told;
use super::report::{CallNote, StepReport, StepState};
use crate::api::calls::Call;
use crate::cli::args::Format;
use crate::cli::error::{CliError, Exit};
use crate::cli::outcome;
use crate::cli::text::escape_untrusted;
use crate::cli::ui::{Tone, Ui};

/// Shows a run.
pub struct Progress<'a> {
    ui: &'a Ui,
    run: &'a str,
    widest: usize,
    turning: Option<MultiProgress>,
    bars: BTreeMap<String, ProgressBar>,
    /// Steps of one call of which a line says that it waits for people.
    waiting: BTreeSet<String>,
    /// Why nothing more can be written.
    broken: Option<CliError>,
}

impl<'a> Progress<'a> {
    /// Nothing is shown yet.
    pub fn new(ui: &'a Ui, run: &'a str, steps: &[Step]) -> Self {
        let watched = ui.seen.err && !ui.quiet && !ui.for_programs();
        let widest = steps.iter().map(|step| step.id.len()).max().unwrap_or_default();
        let turning = watched.then(MultiProgress::new);
        Self { ui, run, widest, turning, bars: BTreeMap::new(), waiting: BTreeSet::new(), broken: None }
    }

    /// Shows what happened.
    pub fn show(&mut self, told: &Told<'_>) {
        if self.ui.format == Some(Format::Jsonl) {
            self.line_for_programs(told);
            return;
        }
        if self.ui.for_programs() {
            return;
        }
        match told {
            Told::Began(step, calls) => self.begin(step, *calls),
            Told::Waits(step, call) => self.waits(step, call),
            Told::Ended(step, note, calls) => self.ended(step, note, *calls),
            Told::Over(report) => self.over(report),
        }
    }

    /// Ends the showing.
    ///
    /// # Errors
    /// When the reader of the results went away.
    pub fn end(self) -> Result<(), CliError> {
        for bar in self.bars.values() {
            bar.finish_and_clear();
        }
        self.broken.map_or(Ok(()), Err)
    }

    fn begin(&mut self, step: &Step, calls: usize) {
        let Some(turning) = &self.turning else { return };
        let bar = turning.add(ProgressBar::new(calls as u64));
        let template = if calls == 1 { "{spinner} {msg}" } else { "{spinner} {msg} {pos}/{len}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(self.head(&step.id, &step.tool));
        bar.enable_steady_tick(Duration::from_millis(100));
        self.bars.insert(step.id.clone(), bar);
    }

    fn waits(&mut self, step: &Step, call: &Call) {
        if step.for_each.is_none() && !self.bars.contains_key(&step.id) {
            self.waiting.insert(step.id.clone());
        }
        let said = format!("waits for people ({})", outcome::awaited(call));
        match self.bars.get(&step.id) {
            Some(bar) => bar.set_message(format!("{}  {said}", self.head(&step.id, &step.tool))),
            None => self.say(Tone::Care, "⏸", &step.id, &step.tool, &said),
        }
    }

    fn ended(&mut self, step: &Step, _: &CallNote, _: usize) {
        if let Some(bar) = self.bars.get(&step.id) {
            bar.inc(1);
        }
    }

    fn over(&mut self, report: &StepReport) {
        if let Some(bar) = self.bars.remove(&report.id) {
            bar.finish_and_clear();
        }
        let still_waits = report.state == StepState::Open
            && report.error.as_ref().is_some_and(|error| error.exit == Exit::Pending)
            && self.waiting.contains(&report.id);
        if still_waits {
            // The line is there already, and the end says how to go on.
            return;
        }
        let (tone, sign) = match report.state {
            StepState::Succeeded => (Tone::Good, "✔"),
            StepState::Failed => (Tone::Bad, "✖"),
            StepState::Open => (Tone::Care, "⏸"),
            StepState::Skipped | StepState::Stopped | StepState::NotBegun => (Tone::Faint, "·"),
        };
        let mut said = Vec::new();
        match (report.calls.as_slice(), &*report.output) {
            (_, Value::Array(items)) if items.len() != 1 || report.calls.len() != 1 => {
                said.push(format!(
                    "{} of {}",
                    report.calls.iter().filter(|call| call.state == "succeeded").count(),
                    items.len()
                ));
            }
            _ => {}
        }
        let is_done = report.state.is_settled() && !report.calls.is_empty();
        if is_done && report.calls.iter().all(|call| call.replayed) {
            said.push("done before".to_owned());
        }
        match (&report.error, &report.because) {
            (Some(error), _) => said.push(escape_untrusted(&error.message)),
            (None, Some(because)) => said.push(format!("{}: {}", report.state.told(), escape_untrusted(because))),
            (None, None) => {}
        }
        self.say(tone, sign, &report.id, &report.tool, &said.join(", "));
    }

    fn say(&self, tone: Tone, sign: &str, id: &str, tool: &str, said: &str) {
        if self.ui.quiet {
            return;
        }
        let line = format!("{} {}  {said}", self.ui.paint_err(tone, sign), self.head(id, tool));
        let print = || self.ui.note(line.trim_end());
        match &self.turning {
            Some(turning) => turning.suspend(print),
            None => print(),
        }
    }

    fn head(&self, id: &str, tool: &str) -> String {
        format!("{id:widest$}  {}", escape_untrusted(tool), widest = self.widest)
    }

    fn line_for_programs(&mut self, told: &Told<'_>) {
        let line = match told {
            Told::Began(step, calls) => {
                json!({"event": "step_began", "step": step.id, "tool": step.tool, "calls": calls})
            }
            Told::Waits(step, call) => {
                let approval = call.approval.as_ref().map(|approval| approval.number);
                json!({"event": "call_waits", "step": step.id, "call": call.id, "approval": approval})
            }
            Told::Ended(step, note, _) => json!({"event": "call_ended", "step": step.id, "call": note}),
            Told::Over(report) => {
                let mut line = report.document();
                if let Value::Object(members) = &mut line {
                    members.remove("calls");
                    let id = members.remove("id").unwrap_or_default();
                    members.insert("step".into(), id);
                    members.insert("event".into(), json!("step_over"));
                }
                line
            }
        };
        self.event(line);
    }

    /// Writes one line for programs.
    pub fn event(&mut self, mut line: Value) {
        if let Value::Object(members) = &mut line {
            members.insert("run".into(), json!(self.run));
        }
        if let Err(error) = self.ui.stream(&line, String::new) {
            self.broken.get_or_insert(error);
        }
    }
}

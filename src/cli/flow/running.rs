//! A step whose calls are being made: which are to be sent next, and what the step has come to once all have ended.

use serde_json::Value;

use super::caller::{Ended, Wanted};
use super::definition::Step;
use super::report::{CallNote, StepReport, StepState};
use crate::cli::error::{CliError, Exit};

/// A step under way.
#[derive(Debug)]
pub struct Running {
    wanted: std::iter::Enumerate<std::vec::IntoIter<Wanted>>,
    is_list: bool,
    at_once: usize,
    under_way: usize,
    outputs: Vec<Value>,
    notes: Vec<CallNote>,
    failed: Option<CliError>,
    open: Option<CliError>,
}

impl Running {
    /// Nothing has been sent yet.
    pub fn new(step: &Step, wanted: Vec<Wanted>) -> Self {
        Self {
            is_list: step.for_each.is_some(),
            at_once: step.max_parallel,
            under_way: 0,
            outputs: vec![Value::Null; wanted.len()],
            notes: Vec::with_capacity(wanted.len()),
            failed: None,
            open: None,
            wanted: wanted.into_iter().enumerate(),
        }
    }

    /// The next call and the place of its item, unless as many are under way as may be.
    pub fn send(&mut self) -> Option<(usize, Wanted)> {
        if self.under_way >= self.at_once || !self.may_go_on() {
            return None;
        }
        let next = self.wanted.next()?;
        self.under_way += 1;
        Some(next)
    }

    /// How many calls it has, those that are not sent included.
    pub const fn calls(&self) -> usize {
        self.outputs.len()
    }

    /// Takes note of how a call ended, and of what it gave unless `is_too_much`.
    pub fn note(&mut self, note: CallNote, ended: Ended, is_too_much: impl FnOnce(&Value) -> Option<CliError>) {
        self.under_way = self.under_way.saturating_sub(1);
        match ended {
            Ended::Done(call) => {
                let output = call.output.unwrap_or(Value::Null);
                match is_too_much(&output) {
                    Some(error) => self.failed = self.failed.take().or(Some(error)),
                    None => {
                        if let Some(slot) = self.outputs.get_mut(note.item) {
                            *slot = output;
                        }
                    }
                }
            }
            Ended::Failed(error, _) => self.failed = self.failed.take().or(Some(error)),
            Ended::Open(error, _) => {
                let worse =
                    self.open.as_ref().is_none_or(|open| open.exit == Exit::Pending && error.exit != Exit::Pending);
                if worse {
                    self.open = Some(error);
                }
            }
        }
        self.notes.push(note);
    }

    /// Whether further calls are to be sent, now or once others have ended.
    pub fn has_more(&self) -> bool {
        self.wanted.len() > 0 && self.may_go_on()
    }

    /// Whether nothing is under way and nothing more will be sent.
    pub fn is_over(&self) -> bool {
        self.under_way == 0 && !self.has_more()
    }

    /// Not after a failure, nor when the daemon cannot be reached. While people think, the rest is asked for.
    fn may_go_on(&self) -> bool {
        self.failed.is_none() && self.open.as_ref().is_none_or(|error| error.exit == Exit::Pending)
    }

    /// What the step has come to.
    pub fn report(self, step: &Step) -> StepReport {
        let Self { is_list, outputs, mut notes, failed, open, .. } = self;
        notes.sort_by_key(|note| note.item);
        let (state, error) = match (failed, open) {
            (Some(error), _) => (StepState::Failed, Some(error)),
            (None, Some(error)) => (StepState::Open, Some(error)),
            (None, None) => (StepState::Succeeded, None),
        };
        let output = if is_list { Value::Array(outputs) } else { outputs.into_iter().next().unwrap_or(Value::Null) };
        StepReport { state, error, output: output.into(), calls: notes, ..StepReport::of(step) }
    }
}

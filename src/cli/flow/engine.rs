//! Takes the steps of a run in their order, independent ones at once. It keeps nothing: each call has a key made of
//! the run and its step, so that a run that is started again finds what was done and goes on where it stopped.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::arguments::Tools;
use super::caller::{Caller, Ended, Waits};
use super::definition::{Section, Step, Workflow};
use super::queue::Queue;
use super::record::Begun;
use super::report::{CallNote, Report, RunState, StepReport, StepState};
use super::running::Running;
use super::scope::Scope;
use super::work;
use crate::api::calls::Call;
use crate::api::runs::{self, EndRun};
use crate::cli::error::{CliError, Exit};
use crate::domain::run::RunVerdict;

/// Calls of one run that are under way at once, over all its steps.
const MOST_AT_ONCE: usize = 64;
/// The most that the outputs of one run take, in bytes of JSON: they are all kept while it is under way.
const MOST_OUTPUT: usize = 512 << 20;

/// What happens while a run is under way.
pub enum Told<'a> {
    /// A step begins with so many calls.
    Began(&'a Step, usize),
    /// A call waits for people.
    Waits(&'a Step, &'a Call),
    /// A call of a step ended.
    Ended(&'a Step, &'a CallNote, usize),
    /// A step is over.
    Over(&'a StepReport),
}

/// A run under way.
pub struct Engine<'a> {
    workflow: &'a Workflow,
    tools: &'a Tools,
    caller: Arc<Caller>,
    scope: Scope,
    states: Vec<State>,
    queue: Queue,
    /// Steps that have calls to send, now or once others have ended.
    sending: BTreeSet<usize>,
    /// What is known of steps that are not looked at again.
    settled: Map<String, Value>,
    tell: &'a mut dyn FnMut(&Told<'_>),
    /// Nobody looks on who could mend what made a step fail.
    is_alone: bool,
    /// What the outputs so far take.
    output: usize,
}

/// Where a step stands.
enum State {
    /// Not yet looked at.
    Waiting,
    /// Its calls are being made.
    Running(Running),
    /// Over, or not to be had now.
    Over(StepReport),
}

/// Why a run is not done.
enum Stop {
    /// It failed.
    Failed(CliError),
    /// It can go on later; without an error, the word of its open steps counts.
    Open(Option<CliError>),
}

/// A call that has ended.
struct Landed {
    place: usize,
    item: usize,
    key: String,
    ended: Ended,
}

impl<'a> Engine<'a> {
    /// A run that has not begun.
    pub fn new(
        workflow: &'a Workflow,
        tools: &'a Tools,
        caller: Arc<Caller>,
        begun: &Begun,
        tell: &'a mut dyn FnMut(&Told<'_>),
    ) -> Self {
        let states = workflow.steps.iter().map(|_| State::Waiting).collect();
        Self {
            workflow,
            tools,
            caller,
            scope: Scope::new(&begun.id, &workflow.name, &begun.plan),
            states,
            queue: Queue::of(&workflow.steps),
            sending: BTreeSet::new(),
            settled: begun.settled.clone(),
            tell,
            is_alone: false,
            output: 0,
        }
    }

    /// The same for a run that nobody looks at: a failure ends it, also one that somebody could mend before the run
    /// is started again.
    pub const fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// Takes every step there is to take.
    pub async fn run(mut self) -> Report {
        match self.take().await {
            Ok(()) => self.report(RunState::Succeeded, None),
            Err(Stop::Failed(error)) => self.report(RunState::Failed, Some(error)),
            Err(Stop::Open(error)) => self.report(RunState::Open, error),
        }
    }

    async fn take(&mut self) -> Result<(), Stop> {
        self.section(Section::Step).await?;
        let failure = self.failure();
        if let Some((step, error)) = &failure {
            // From here on the failure counts, whatever a later start would find: what is done about it must not be
            // done for a run that then goes on after all.
            if self.is_final() {
                self.end(RunVerdict::Failed).await?;
            }
            self.scope.failed(step, error);
            self.section(Section::OnFailure).await?;
        }
        self.section(Section::Finally).await?;
        match failure.or_else(|| self.failure()) {
            Some((_, error)) => Err(Stop::Failed(error)),
            None => self.end(RunVerdict::Succeeded).await,
        }
    }

    /// Whether the failure stays one however often the run is started: it is in the record, there are steps that do
    /// something about it, or nobody would start it again.
    fn is_final(&self) -> bool {
        self.is_alone || self.workflow.follows_failures() || self.reports().any(StepReport::is_final)
    }

    /// Tells the daemon how the run ended, with the steps that must not be looked at again.
    async fn end(&self, verdict: RunVerdict) -> Result<(), Stop> {
        let unsuccessful =
            self.reports().filter(|report| matches!(report.state, StepState::Failed | StepState::Stopped));
        let steps: Map<String, Value> = unsuccessful.map(|report| (report.id.clone(), report.remembered())).collect();
        let end = EndRun { run: self.scope.run.clone(), verdict, detail: Some(json!({"steps": steps})) };
        // The first word counts, so saying it again is harmless.
        let ended = self.caller.ask::<runs::End>(&end).await.map_err(|error| Stop::Open(Some(error)))?;
        if ended.state == RunVerdict::Cancelled.word() {
            let message = format!("run `{}` was taken back", self.scope.run);
            return Err(Stop::Failed(CliError::new(Exit::Conflict, "cancelled", message)));
        }
        Ok(())
    }

    /// Takes the steps of one section until nothing more can be done. Once it comes back well, each of them is over
    /// for good.
    async fn section(&mut self, section: Section) -> Result<(), Stop> {
        let mut calls: JoinSet<Landed> = JoinSet::new();
        let (waits, mut waiting) = mpsc::unbounded_channel();
        loop {
            while let Some(place) = self.queue.take(section) {
                self.begin(place);
            }
            self.launch(&mut calls, &waits);
            tokio::select! {
                biased;
                Some((place, call)) = waiting.recv() => {
                    if let Some(step) = self.workflow.steps.get(place) {
                        (self.tell)(&Told::Waits(step, &call));
                    }
                }
                ended = calls.join_next() => match ended {
                    None => break,
                    Some(Ok(landed)) => self.note(landed),
                    Some(Err(lost)) => {
                        let error = CliError::new(Exit::Failure, "internal", format!("a call was lost: {lost}"));
                        return Err(Stop::Open(Some(error)));
                    }
                },
            }
        }
        let steps = self.workflow.steps.iter().zip(&self.states).filter(|(step, _)| step.section == section);
        let all_over =
            steps.into_iter().all(|(_, state)| matches!(state, State::Over(report) if report.state.is_settled()));
        if all_over { Ok(()) } else { Err(Stop::Open(None)) }
    }

    /// What a step needs, as far as it is over.
    fn needed(&self, place: usize) -> impl Iterator<Item = &StepReport> {
        self.queue.needs(place).iter().filter_map(|need| match self.states.get(*need) {
            Some(State::Over(report)) => Some(report),
            _ => None,
        })
    }

    /// Decides about a step: skipped, failed before anything was sent, or its calls.
    fn begin(&mut self, place: usize) {
        let Some(step) = self.workflow.steps.get(place) else { return };
        if let Some(report) = self.settled.get(&step.id).and_then(|known| StepReport::settled(step, known)) {
            return self.finish(place, report);
        }
        let needs: Vec<_> = self.needed(place).collect();
        let report = StepReport::of(step);
        let stopped =
            needs.iter().find(|need| matches!(need.state, StepState::Failed | StepState::Open | StepState::Stopped));
        if let Some(need) = stopped {
            let because = format!("`{}` {}", need.id, need.state.told());
            return self.finish(place, StepReport { state: StepState::Stopped, because: Some(because), ..report });
        }
        if let (None, Some(need)) = (&step.when, needs.iter().find(|need| need.state == StepState::Skipped)) {
            let because = format!("`{}` was skipped", need.id);
            return self.finish(place, StepReport { state: StepState::Skipped, because: Some(because), ..report });
        }
        let is_harmless = self.tools.get(&step.tool).is_some_and(work::is_harmless);
        match work::of(step, &self.scope, is_harmless) {
            Err(message) => {
                let error = CliError::new(Exit::Usage, "expression-failed", message);
                self.finish(place, StepReport { state: StepState::Failed, error: Some(error), ..report });
            }
            Ok(None) => {
                let because = step.when.as_ref().map(|when| format!("`{}` does not hold", when.text()));
                self.finish(place, StepReport { state: StepState::Skipped, because, ..report });
            }
            Ok(Some(wanted)) => {
                (self.tell)(&Told::Began(step, wanted.len()));
                self.stand(place, State::Running(Running::new(step, wanted)));
                self.sending.insert(place);
                self.end_if_over(place);
            }
        }
    }

    /// Sends as many calls as may be under way.
    fn launch(&mut self, calls: &mut JoinSet<Landed>, waits: &Waits) {
        let mut sent = Vec::new();
        for place in self.sending.iter().copied() {
            if calls.len() >= MOST_AT_ONCE {
                break;
            }
            let Some(State::Running(running)) = self.states.get_mut(place) else { continue };
            while calls.len() < MOST_AT_ONCE
                && let Some((item, wanted)) = running.send()
            {
                let (caller, waits) = (Arc::clone(&self.caller), waits.clone());
                calls.spawn(async move {
                    let key = wanted.key().to_owned();
                    Landed { place, item, key, ended: caller.make(wanted, place, &waits).await }
                });
            }
            if !running.has_more() {
                sent.push(place);
            }
        }
        for place in sent {
            self.sending.remove(&place);
        }
    }

    /// Takes note of how a call ended.
    fn note(&mut self, landed: Landed) {
        let Landed { place, item, key, ended } = landed;
        let (Some(step), Some(State::Running(running))) = (self.workflow.steps.get(place), self.states.get_mut(place))
        else {
            return;
        };
        let note = CallNote::of(item, key, &ended);
        (self.tell)(&Told::Ended(step, &note, running.calls()));
        running.note(note, ended, |output| {
            self.output += work::size(output);
            (self.output > MOST_OUTPUT).then(too_much)
        });
        self.end_if_over(place);
    }

    fn end_if_over(&mut self, place: usize) {
        let (Some(step), Some(state)) = (self.workflow.steps.get(place), self.states.get_mut(place)) else { return };
        if !matches!(state, State::Running(running) if running.is_over()) {
            return;
        }
        if let State::Running(running) = std::mem::replace(state, State::Waiting) {
            self.sending.remove(&place);
            self.finish(place, running.report(step));
        }
    }

    fn finish(&mut self, place: usize, report: StepReport) {
        if report.state.is_settled() {
            self.scope.step(&report);
        }
        (self.tell)(&Told::Over(&report));
        self.stand(place, State::Over(report));
        self.queue.over(place);
    }

    fn stand(&mut self, place: usize, state: State) {
        if let Some(slot) = self.states.get_mut(place) {
            *slot = state;
        }
    }

    fn reports(&self) -> impl Iterator<Item = &StepReport> {
        self.states.iter().filter_map(|state| match state {
            State::Over(report) => Some(report),
            State::Waiting | State::Running(_) => None,
        })
    }

    /// The first step that failed, in the order of the file, and what to say of it.
    fn failure(&self) -> Option<(String, CliError)> {
        let failed = self.reports().find(|report| report.state == StepState::Failed)?;
        let mut error = failed.error.clone()?;
        error.message = format!("step `{}` failed: {}", failed.id, error.message);
        if failed.section == Section::Step {
            error.tries.push(format!("toolctl run --run {} --from {}", self.scope.run, failed.id));
        }
        Some((failed.id.clone(), error))
    }

    fn report(self, state: RunState, error: Option<CliError>) -> Report {
        let outputs = match state {
            RunState::Succeeded => self.workflow.outputs.value(&self.scope.value(None)),
            RunState::Failed | RunState::Open => Ok(Value::Object(Map::new())),
        };
        let (state, error, outputs) = match outputs {
            Ok(outputs) => (state, error, outputs),
            Err(message) => {
                let error = CliError::new(Exit::Usage, "expression-failed", format!("`outputs`: {message}"));
                (RunState::Failed, Some(error), Value::Object(Map::new()))
            }
        };
        let steps = self.states.into_iter().zip(&self.workflow.steps).map(|(state, step)| match state {
            State::Over(report) => report,
            State::Waiting | State::Running(_) => StepReport::of(step),
        });
        Report { state, error, outputs, steps: steps.collect() }
    }
}

fn too_much() -> CliError {
    let message = format!("the outputs of this run are more than {MOST_OUTPUT} bytes");
    CliError::new(Exit::Usage, "expression-failed", message).hint("ask for less, or make several runs of it")
}

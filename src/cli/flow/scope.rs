//! What expressions see: inputs, steps that are over, the run, and for each item of a list the item.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value as Dynamic;
use minijinja::value::Serde;
use serde_json::{Value, json};

use super::record::Plan;
use super::report::StepReport;
use super::template::dynamic;
use crate::cli::error::CliError;

/// The names of one run. Values are shared and not copied, however large outputs are.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The id of the run.
    pub run: String,
    /// Name of the workflow.
    pub workflow: String,
    /// Steps whose calls are those of an earlier run.
    done_by: BTreeMap<String, String>,
    names: BTreeMap<&'static str, Dynamic>,
    /// Shared with the scopes that expressions are in, so that many steps cost no more than few.
    steps: Arc<BTreeMap<String, Dynamic>>,
}

impl Scope {
    /// The names that are there from the start.
    pub fn new(run: &str, workflow: &str, plan: &Plan) -> Self {
        let names = BTreeMap::from([("inputs", Dynamic::from(Serde(&plan.inputs)))]);
        let done_by = plan.done_by.clone();
        Self { run: run.to_owned(), workflow: workflow.to_owned(), done_by, names, steps: Arc::default() }
    }

    /// The run that makes the calls of a step: this one, or an earlier one that it goes on from.
    pub fn run_of(&self, step: &str) -> &str {
        self.done_by.get(step).unwrap_or(&self.run)
    }

    /// Adds a step that is over.
    pub fn step(&mut self, report: &StepReport) {
        let mut members: BTreeMap<&str, Dynamic> = BTreeMap::new();
        members.insert("output", dynamic(&report.output));
        members.insert("state", report.state.word().into());
        members.insert("error", report.error.as_ref().map_or(Dynamic::from(()), |error| error.message.as_str().into()));
        Arc::make_mut(&mut self.steps).insert(report.id.clone(), Dynamic::from_pairs(members));
    }

    /// Adds the failure that ended the steps.
    pub fn failed(&mut self, step: &str, error: &CliError) {
        let failure = json!({"step": step, "code": error.code, "message": error.message});
        self.names.insert("failure", dynamic(&failure));
    }

    /// All names, as a step sees them; without one, as the run's outputs do.
    pub fn value(&self, step: Option<&str>) -> Dynamic {
        Dynamic::from_pairs(self.names_of(step))
    }

    /// All names, as a step sees them for each item of a list.
    pub fn of_items<'a>(&self, step: &str, items: &'a [Value]) -> impl Iterator<Item = (usize, Dynamic)> + use<'a> {
        let names = self.names_of(Some(step));
        items.iter().enumerate().map(move |(index, item)| {
            let mut names = names.clone();
            names.insert("item", dynamic(item));
            names.insert("index", index.into());
            (index, Dynamic::from_pairs(names))
        })
    }

    fn names_of(&self, step: Option<&str>) -> BTreeMap<&'static str, Dynamic> {
        let run = step.map_or(self.run.as_str(), |step| self.run_of(step));
        let mut names = self.names.clone();
        names.insert("run", dynamic(&json!({"id": run, "workflow": self.workflow})));
        names.insert("steps", Dynamic::from_dyn_object(Arc::clone(&self.steps)));
        names
    }
}

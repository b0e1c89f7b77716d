//! What expressions see: inputs, steps that are over, the run, and for each item of a list the item.

use std::collections::BTreeMap;

use minijinja::Value as Dynamic;
use minijinja::value::Serde;
use serde_json::{Map, Value, json};

use super::report::StepReport;
use super::template::dynamic;
use crate::cli::error::CliError;

/// The names of one run. Values are shared and not copied, however large outputs are.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The id of the run.
    pub run: String,
    names: BTreeMap<&'static str, Dynamic>,
    steps: BTreeMap<String, Dynamic>,
}

impl Scope {
    /// The names that are there from the start.
    pub fn new(run: &str, workflow: &str, inputs: &Map<String, Value>) -> Self {
        let mut names = BTreeMap::new();
        names.insert("inputs", Dynamic::from(Serde(inputs)));
        names.insert("run", dynamic(&json!({"id": run, "workflow": workflow})));
        Self { run: run.to_owned(), names, steps: BTreeMap::new() }
    }

    /// Adds a step that is over.
    pub fn step(&mut self, report: &StepReport) {
        let mut members: BTreeMap<&str, Dynamic> = BTreeMap::new();
        members.insert("output", dynamic(&report.output));
        members.insert("state", report.state.word().into());
        members.insert("error", report.error.as_ref().map_or(Dynamic::from(()), |error| error.message.as_str().into()));
        self.steps.insert(report.id.clone(), Dynamic::from_pairs(members));
    }

    /// Adds the failure that ended the steps.
    pub fn failed(&mut self, step: &str, error: &CliError) {
        let failure = json!({"step": step, "code": error.code, "message": error.message});
        self.names.insert("failure", dynamic(&failure));
    }

    /// All names.
    pub fn value(&self) -> Dynamic {
        self.with([])
    }

    /// All names, and those of one item.
    pub fn of_item(&self, item: &Value, index: usize) -> Dynamic {
        self.with([("item", dynamic(item)), ("index", index.into())])
    }

    fn with<const N: usize>(&self, more: [(&'static str, Dynamic); N]) -> Dynamic {
        let steps = Dynamic::from_pairs(self.steps.iter().map(|(id, step)| (id.clone(), step.clone())));
        let mut names = self.names.clone();
        names.insert("steps", steps);
        names.extend(more);
        Dynamic::from_pairs(names)
    }
}

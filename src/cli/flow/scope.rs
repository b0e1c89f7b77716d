//! What expressions see: inputs, steps that are over, the run, and for each item of a list the item.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use minijinja::Value as Dynamic;
use minijinja::value::{Enumerator, Object, Serde};
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
    /// What every step of this run sees.
    names: Names,
}

/// What one expression sees.
#[derive(Debug, Clone)]
struct Names {
    inputs: Dynamic,
    run: Dynamic,
    /// Shared with the scopes that expressions are in, so that many steps cost no more than few.
    steps: Arc<BTreeMap<String, Dynamic>>,
    failure: Option<Dynamic>,
    /// Its place, and what it is.
    item: Option<(usize, Dynamic)>,
}

/// A step that is over. What it gave is made ready for expressions once one looks at it: most are never looked at.
#[derive(Debug)]
struct Over {
    output: Arc<Value>,
    ready: OnceLock<Dynamic>,
    state: &'static str,
    error: Option<String>,
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, name: &Dynamic) -> Option<Dynamic> {
        self.get_value_by_str(name.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Dynamic> {
        match name {
            "inputs" => Some(self.inputs.clone()),
            "run" => Some(self.run.clone()),
            "steps" => Some(Dynamic::from_dyn_object(Arc::clone(&self.steps))),
            "failure" => self.failure.clone(),
            "item" => self.item.as_ref().map(|(_, item)| item.clone()),
            "index" => self.item.as_ref().map(|(index, _)| Dynamic::from(*index)),
            _ => None,
        }
    }
}

impl Object for Over {
    fn get_value(self: &Arc<Self>, name: &Dynamic) -> Option<Dynamic> {
        self.get_value_by_str(name.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Dynamic> {
        match name {
            "output" => Some(self.ready.get_or_init(|| dynamic(&self.output)).clone()),
            "state" => Some(self.state.into()),
            "error" => Some(self.error.as_deref().map_or(Dynamic::from(()), Into::into)),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["error", "output", "state"])
    }
}

impl Scope {
    /// The names that are there from the start.
    pub fn new(run: &str, workflow: &str, plan: &Plan) -> Self {
        Self {
            run: run.to_owned(),
            workflow: workflow.to_owned(),
            done_by: plan.done_by.clone(),
            names: Names {
                inputs: Dynamic::from(Serde(&plan.inputs)),
                run: run_of(run, workflow),
                steps: Arc::default(),
                failure: None,
                item: None,
            },
        }
    }

    /// The run that makes the calls of a step: this one, or an earlier one that it goes on from.
    pub fn run_of(&self, step: &str) -> &str {
        self.done_by.get(step).unwrap_or(&self.run)
    }

    /// Adds a step that is over.
    pub fn step(&mut self, report: &StepReport) {
        let over = Over {
            output: Arc::clone(&report.output),
            ready: OnceLock::new(),
            state: report.state.word(),
            error: report.error.as_ref().map(|error| error.message.clone()),
        };
        Arc::make_mut(&mut self.names.steps).insert(report.id.clone(), Dynamic::from_object(over));
    }

    /// Adds the failure that ended the steps.
    pub fn failed(&mut self, step: &str, error: &CliError) {
        let failure = json!({"step": step, "code": error.code, "message": error.message});
        self.names.failure = Some(dynamic(&failure));
    }

    /// All names, as a step sees them; without one, as the run's outputs do.
    pub fn value(&self, step: Option<&str>) -> Dynamic {
        Dynamic::from_object(self.names_of(step))
    }

    /// All names, as a step sees them for each item of a list.
    pub fn of_items<'a>(&self, step: &str, items: &'a [Value]) -> impl Iterator<Item = (usize, Dynamic)> + use<'a> {
        let names = self.names_of(Some(step));
        items.iter().enumerate().map(move |(index, item)| {
            (index, Dynamic::from_object(Names { item: Some((index, dynamic(item))), ..names.clone() }))
        })
    }

    fn names_of(&self, step: Option<&str>) -> Names {
        match step.and_then(|step| self.done_by.get(step)) {
            Some(run) => Names { run: run_of(run, &self.workflow), ..self.names.clone() },
            None => self.names.clone(),
        }
    }
}

/// A run as expressions see it.
fn run_of(id: &str, workflow: &str) -> Dynamic {
    dynamic(&json!({"id": id, "workflow": workflow}))
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::super::report::StepState;
    use super::super::template::Shape;
    use super::super::tree::{Node, Tree};
    use super::*;

    fn given(scope: &Dynamic, text: &str) -> Result<Value, String> {
        let node = Node { span: 0..text.len(), tree: Tree::Text(text.to_owned()) };
        Shape::of(&node, &mut |fault| panic!("{fault}")).value(scope)
    }

    #[test]
    fn an_expression_sees_what_is_there_and_nothing_else() {
        let plan = Plan {
            workflow: Value::Null,
            inputs: json!({"n": 3}).as_object().expect("an object").clone(),
            done_by: BTreeMap::from([("old".to_owned(), "r".to_owned())]),
        };
        let (workflow, _) = load::check("w.toml", "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"t\"\n");
        let over = StepReport {
            state: StepState::Succeeded,
            output: Arc::new(json!({"list": [1, 2]})),
            ..StepReport::of(&workflow.expect("a workflow").steps[0])
        };
        let mut scope = Scope::new("r+2", "w", &plan);
        scope.step(&over);
        let whole = scope.value(Some("b"));
        for (text, expected) in [
            ("{{ inputs.n }}", json!(3)),
            ("{{ run }}", json!({"id": "r+2", "workflow": "w"})),
            ("{{ steps.a.output.list }}", json!([1, 2])),
            ("{{ steps.a }}", json!({"error": null, "output": {"list": [1, 2]}, "state": "succeeded"})),
            ("{{ steps.a.error is none }}", json!(true)),
            ("{{ failure is defined }}", json!(false)),
        ] {
            assert_eq!(given(&whole, text), Ok(expected), "{text}");
        }
        for text in ["{{ item }}", "{{ index }}", "{{ failure }}", "{{ steps.b.output }}", "{{ steps.a.outputs }}"] {
            assert!(given(&whole, text).is_err(), "{text}");
        }
        assert_eq!(given(&scope.value(Some("old")), "{{ run.id }}"), Ok(json!("r")), "its calls are that run's");
        let items = [json!({"id": 7}), json!({"id": 8})];
        let of_items: Vec<_> = scope
            .of_items("b", &items)
            .map(|(_, scope)| given(&scope, "{{ index }}:{{ item.id }}:{{ inputs.n }}"))
            .collect();
        assert_eq!(of_items, [Ok(json!("0:7:3")), Ok(json!("1:8:3"))]);
        scope.failed("a", &CliError::usage("no"));
        assert_eq!(given(&scope.value(None), "{{ failure.message }}"), Ok(json!("no")));
        assert!(given(&whole, "{{ failure }}").is_err(), "what was handed out does not change");
    }
}

//! What the daemon remembers of a run: what was to be done when it began. Who goes on with it must do the same; a
//! file that has changed since is told what changed, before anything is sent.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::caller::Caller;
use super::definition::{Section, Workflow};
use crate::api::runs::{self, NewRun, Run, RunRef};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::client::ClientError;
use crate::domain::denial::{Code, Violation};

/// The most runs that are begun from one.
const MOST_AGAIN: usize = 1_000;

/// What is to be done, as the daemon keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The file without its places.
    pub workflow: Value,
    /// What it was given.
    pub inputs: Map<String, Value>,
    /// Steps whose calls are those of an earlier run, by that run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub done_by: BTreeMap<String, String>,
}

/// A run that has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Its id.
    pub id: String,
    /// What is to be done.
    pub plan: Plan,
    /// Its state in the daemon's word.
    pub state: String,
    /// What is known of steps that will not be looked at again, by their ids.
    pub settled: Map<String, Value>,
    /// It is left to the daemon.
    pub is_detached: bool,
}

/// The run of this id, if it has begun.
///
/// # Errors
/// The daemon's own; exit 12 for a run that this version cannot read.
pub fn find(cx: &Context, id: &str) -> Result<Option<Begun>, CliError> {
    match cx.try_send::<runs::Show>(&RunRef { run: id.to_owned() }, cx.deadline())? {
        Ok(run) => read(run).map(Some),
        Err(ClientError::Problem(problem)) if problem.known_code() == Some(Code::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Begins a run, or goes on with the one of this id, which must be the same.
///
/// # Errors
/// Exit 12 with what changed; the daemon's own.
pub fn begin(cx: &Context, caller: &Caller, id: &str, workflow: &Workflow, plan: Plan) -> Result<Begun, CliError> {
    let run = send(cx, caller, id, workflow, &plan)?;
    if run.changed {
        return Ok(Begun::of(run, plan));
    }
    let begun = read(run)?;
    same(id, &begun.plan, &plan)?;
    Ok(begun)
}

/// Begins a new run that takes what `old` has done for done, up to `step`, and does the rest again.
///
/// # Errors
/// Exit 2 when there is no such step, exit 12 when what was done is not what the file says now.
pub fn again(
    cx: &Context,
    caller: &Caller,
    old: &Begun,
    workflow: &Workflow,
    inputs: Map<String, Value>,
    step: &str,
) -> Result<Begun, CliError> {
    let anew = behind(workflow, step)?;
    let mut done_by = BTreeMap::new();
    for id in workflow.steps.iter().map(|step| &step.id).filter(|id| !anew.contains(*id)) {
        let by = old.plan.done_by.get(id).unwrap_or(&old.id);
        done_by.insert(id.clone(), by.clone());
    }
    let plan = Plan { workflow: workflow.document.clone(), inputs, done_by };
    let mut changed = differences(&old.plan, &plan);
    changed.retain(|change| match change.path.strip_prefix("step ") {
        Some(id) => plan.done_by.contains_key(id),
        None => change.path.starts_with("input "),
    });
    if !changed.is_empty() {
        return Err(has_changed(&old.id, changed));
    }
    let first = old.id.split_once('+').map_or(old.id.as_str(), |(first, _)| first);
    for number in 2..MOST_AGAIN {
        let run = send(cx, caller, &format!("{first}+{number}"), workflow, &plan)?;
        if run.changed {
            return Ok(Begun::of(run, plan));
        }
    }
    Err(CliError::new(Exit::Limited, "too-many-runs", format!("`{first}` was begun again too often")))
}

/// A step and all that need it; what comes at the end is always done again.
fn behind(workflow: &Workflow, step: &str) -> Result<BTreeSet<String>, CliError> {
    let is_step = |id: &str| workflow.step(id).is_some_and(|step| step.section == Section::Step);
    if !is_step(step) {
        let error = CliError::usage(format!("`{}` has no step `{step}`", workflow.name));
        let names = workflow.steps.iter().map(|step| step.id.as_str()).filter(|id| is_step(id));
        let near = crate::cli::text::nearest(step, names);
        return Err(match near {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        });
    }
    let mut found = BTreeSet::from([step.to_owned()]);
    found.extend(workflow.steps.iter().filter(|step| step.section != Section::Step).map(|step| step.id.clone()));
    loop {
        let before = found.len();
        let behind = workflow.steps.iter().filter(|step| step.needs.iter().any(|id| found.contains(id)));
        let behind: Vec<String> = behind.map(|step| step.id.clone()).collect();
        found.extend(behind);
        if found.len() == before {
            return Ok(found);
        }
    }
}

fn send(cx: &Context, caller: &Caller, id: &str, workflow: &Workflow, plan: &Plan) -> Result<Run, CliError> {
    let plan = serde_json::to_value(plan).unwrap_or_default();
    let new = NewRun { run: id.to_owned(), workflow: workflow.name.clone(), plan };
    cx.run(caller.ask::<runs::Begin>(&new))?
}

/// A run that this version began once.
fn read(mut run: Run) -> Result<Begun, CliError> {
    let plan = serde_json::from_value(run.plan.take().unwrap_or_default()).map_err(|_| {
        CliError::new(
            Exit::Conflict,
            "workflow-nondeterminism",
            format!("run `{}` was not begun by this program", run.run),
        )
        .hint("start a new run under another name")
    })?;
    Ok(Begun::of(run, plan))
}

impl Begun {
    fn of(run: Run, plan: Plan) -> Self {
        let settled = run.detail.as_ref().and_then(|detail| detail.get("steps")).and_then(Value::as_object).cloned();
        let is_detached = run.runner.is_some();
        Self { id: run.run, plan, state: run.state, settled: settled.unwrap_or_default(), is_detached }
    }
}

/// Checks that a run is still what it was.
fn same(id: &str, before: &Plan, now: &Plan) -> Result<(), CliError> {
    let changed = differences(before, now);
    if changed.is_empty() { Ok(()) } else { Err(has_changed(id, changed)) }
}

fn has_changed(id: &str, changed: Vec<Violation>) -> CliError {
    CliError::new(
        Exit::Conflict,
        "workflow-nondeterminism",
        format!("run `{id}` began with another workflow or other inputs; nothing was sent"),
    )
    .errors(changed)
    .hint("go on with what it began with, start a new run, or do a part of it again: --from STEP")
}

/// What differs, in the words of the file.
fn differences(before: &Plan, now: &Plan) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut say = |path: String, message: &str| found.push(Violation { path, message: message.to_owned() });
    for (what, before, now) in [
        ("step", by_id(&before.workflow), by_id(&now.workflow)),
        ("input", members(&before.inputs), members(&now.inputs)),
        ("file", others(&before.workflow), others(&now.workflow)),
    ] {
        for (name, value) in &before {
            match now.get(name) {
                None => say(format!("{what} {name}"), "is gone"),
                Some(other) if other != value => say(format!("{what} {name}"), "has changed"),
                Some(_) => {}
            }
        }
        for name in now.keys().filter(|name| !before.contains_key(*name)) {
            say(format!("{what} {name}"), "is new");
        }
    }
    found
}

fn members(of: &Map<String, Value>) -> BTreeMap<String, &Value> {
    of.iter().map(|(name, value)| (name.clone(), value)).collect()
}

/// The steps of a file, by their ids.
fn by_id(workflow: &Value) -> BTreeMap<String, &Value> {
    let sections = [Section::Step, Section::OnFailure, Section::Finally].into_iter();
    let steps = sections.filter_map(|section| workflow.get(section.word())?.as_array()).flatten();
    steps.filter_map(|step| Some((step.get("id")?.as_str()?.to_owned(), step))).collect()
}

/// What a file says beside its steps; what it says of itself for people does not count.
fn others(workflow: &Value) -> BTreeMap<String, &Value> {
    let steps = [Section::Step, Section::OnFailure, Section::Finally].map(Section::word);
    let members = workflow.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| !steps.contains(&name.as_str()) && *name != "description")
        .map(|(name, value)| (name.clone(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changed_is_told_in_the_words_of_the_file() {
        let plan = |steps: Value, who: &str, more: Value| Plan {
            workflow: json!({"name": "w", "description": more, "step": steps, "outputs": {"x": who}}),
            inputs: json!({"who": who}).as_object().expect("an object").clone(),
            done_by: BTreeMap::new(),
        };
        let before = plan(json!([{"id": "a", "tool": "t"}, {"id": "b", "tool": "t"}]), "anna", json!("one"));
        assert_eq!(differences(&before, &plan(before.workflow["step"].clone(), "anna", json!("two"))), []);
        let now = plan(json!([{"id": "a", "tool": "u"}, {"id": "c", "tool": "t"}]), "bo", json!("one"));
        let told: Vec<String> = differences(&before, &now)
            .into_iter()
            .map(|change| format!("{} {}", change.path, change.message))
            .collect();
        assert_eq!(
            told,
            [
                "step a has changed",
                "step b is gone",
                "step c is new",
                "input who has changed",
                "file outputs has changed",
            ]
        );
    }
}

//! Steps against the tools they call: is there such a tool, does it take these arguments, and does it give what
//! others look at. What a template will give is not known, so only its place is judged; the daemon judges the rest.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::{Map, Value};

use super::definition::{Step, Workflow};
use super::template::{Reference, Shape};
use crate::api::tools::Tool;
use crate::cli::fault::{Fault, Faults, Span};

/// The tools that the caller may see, by name.
pub type Tools = BTreeMap<String, Tool>;

/// What judges arguments, by tool and argument: making it costs more than judging, and steps are many.
type Judges<'a> = BTreeMap<(&'a str, &'a str), Option<Validator>>;

/// The most that is told of one argument.
const MOST_WRONG: usize = 5;

/// Checks every step against its tool.
pub fn check(workflow: &Workflow, tools: &Tools, faults: &mut Faults) {
    let mut judges = Judges::new();
    for step in workflow.steps.iter().filter(|step| !step.tool.is_empty()) {
        let Some(tool) = tools.get(&step.tool) else {
            let fault = Fault::new(&step.tool_span, format!("there is no tool `{}` that you may see", step.tool));
            faults.add(fault.meant(&step.tool, tools.keys().map(String::as_str)));
            continue;
        };
        if let Shape::Table(with) = &step.with {
            arguments(step, tool, with, &mut judges, faults);
        }
        for (reference, span) in step.looks_at() {
            output(workflow, tools, &reference, &span, faults);
        }
    }
    for (reference, (start, end)) in workflow.outputs.looks_at() {
        output(workflow, tools, &reference, &(start..end), faults);
    }
}

fn arguments<'a>(
    step: &'a Step,
    tool: &'a Tool,
    with: &'a [(String, Span, Shape)],
    judges: &mut Judges<'a>,
    faults: &mut Faults,
) {
    let empty = Map::new();
    let properties = tool.input_schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let is_closed = tool.input_schema.get("additionalProperties") == Some(&Value::Bool(false));
    let required = tool.input_schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !with.iter().any(|(given, ..)| given == name) {
            let fault = Fault::new(&step.with_span, format!("`{}` needs the argument `{name}`", tool.name));
            faults.add(fault.hint(format!("see what it takes: toolctl call {} --help", tool.name)));
        }
    }
    for (name, span, shape) in with {
        let Some(schema) = properties.get(name) else {
            if is_closed {
                let fault = Fault::new(span, format!("`{}` has no argument `{name}`", tool.name));
                faults.add(fault.meant(name, properties.keys().map(String::as_str)));
            }
            continue;
        };
        match (shape, shape.fixed()) {
            (_, Some(value)) => {
                let judge = judges
                    .entry((tool.name.as_str(), name.as_str()))
                    .or_insert_with(|| judge(&tool.input_schema, schema));
                let wrong = judge.iter().flat_map(|judge| judge.iter_errors(&value)).take(MOST_WRONG);
                let told = |wrong| format!("`{name}` of `{}` does not fit: {wrong}", tool.name);
                faults.found.extend(wrong.map(|wrong| Fault::new(span, told(wrong))));
            }
            (Shape::Text(source), None) if !takes_text(schema) => {
                let wanted = schema.get("type").map(Value::to_string).unwrap_or_default().replace('"', "");
                let fault = Fault::new(&source.span, format!("`{name}` of `{}` is no text but {wanted}", tool.name));
                faults.add(
                    fault.hint("a text that is one expression and nothing else keeps its type: \"{{ item.id }}\""),
                );
            }
            _ => {}
        }
    }
}

/// What judges values by a part of a schema; none when it cannot be read, which is the daemon's to judge.
fn judge(root: &Value, schema: &Value) -> Option<Validator> {
    let Value::Object(members) = schema else { return None };
    let mut whole = members.clone();
    // References inside the part point into the whole.
    for name in ["$defs", "definitions"] {
        if let Some(shared) = root.get(name) {
            whole.entry(name).or_insert_with(|| shared.clone());
        }
    }
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
    options.offline().build(&Value::Object(whole)).ok()
}

fn takes_text(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(word)) => word == "string",
        Some(Value::Array(words)) => words.iter().any(|word| word == "string"),
        _ => true,
    }
}

/// Whether a step gives what is looked at: `steps.find.output.results` against the output schema of its tool.
fn output(workflow: &Workflow, tools: &Tools, reference: &Reference, span: &Span, faults: &mut Faults) {
    let (Some("steps"), Some(id), Some("output")) = (reference.part(0), reference.part(1), reference.part(2)) else {
        return;
    };
    let Some(step) = workflow.step(id).filter(|step| step.for_each.is_none()) else { return };
    let Some(tool) = tools.get(&step.tool) else { return };
    let mut schema = &tool.output_schema;
    for name in reference.0.iter().skip(3) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        match properties.get(name) {
            Some(deeper) => schema = deeper,
            None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                let fault = Fault::new(span, format!("`{}` gives no `{name}`", tool.name));
                faults.add(fault.meant(name, properties.keys().map(String::as_str)));
                return;
            }
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dynamic::sample;
    use crate::cli::flow::load;

    fn wrong(with: &str) -> Vec<String> {
        let text = format!("name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"create_ticket\"\nwith = {{ {with} }}\n");
        let (workflow, mut faults) = load::check("w.toml", &text);
        let tool = sample::tool();
        check(&workflow.expect("read"), &Tools::from([(tool.name.clone(), tool)]), &mut faults);
        faults.violations().into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn what_is_known_is_judged_and_what_is_a_template_is_not() {
        assert_eq!(wrong("customer_id = 3, title = \"Login broken\""), Vec::<String>::new());
        assert_eq!(wrong("customer_id = \"{{ 3 }}\", title = \"T {{ run.id }}\""), Vec::<String>::new());
        let found = wrong("customer_id = \"C{{ run.id }}\", titel = \"x\"");
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(
            found.iter().any(|found| found.starts_with("`create_ticket` needs the argument `title`")),
            "{found:#?}"
        );
        assert!(found.contains(&"`create_ticket` has no argument `titel`; did you mean `title`?".to_owned()));
        assert!(found.iter().any(|found| found.starts_with("`customer_id` of `create_ticket` is no text but integer")));
        assert_eq!(wrong("customer_id = true, title = \"Login\"").len(), 1);
    }

    #[test]
    fn a_tool_that_is_not_there_is_told_with_the_nearest() {
        let (workflow, mut faults) =
            load::check("w.toml", "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"create_tiket\"\n");
        let tool = sample::tool();
        check(&workflow.expect("read"), &Tools::from([(tool.name.clone(), tool)]), &mut faults);
        assert_eq!(
            faults.violations()[0].message,
            "there is no tool `create_tiket` that you may see; did you mean `create_ticket`?"
        );
    }
}

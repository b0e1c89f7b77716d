//! What a workflow is given on the command line: `k=TEXT` by the type that the file says, `k:=JSON`, `k=@FILE`.

use serde_json::{Map, Value};

use super::definition::{Input, InputKind, Workflow};
use crate::cli::error::{CliError, Exit};
use crate::cli::text::nearest;
use crate::domain::denial::Violation;
use crate::domain::json;

/// The inputs of a run: what was given, and defaults for the rest.
///
/// # Errors
/// Exit 2 with everything that is unknown, missing or of the wrong type.
pub fn of(workflow: &Workflow, given: &[String]) -> Result<Map<String, Value>, CliError> {
    let mut inputs = Map::new();
    let mut wrong = Vec::new();
    let mut say = |path: &str, message: String| {
        wrong.push(Violation { path: path.to_owned(), message });
    };
    for pair in given {
        let Some((name, text, is_json)) = split(pair) else {
            say(pair, "is no pair: write NAME=TEXT, NAME:=JSON or NAME=@FILE".to_owned());
            continue;
        };
        let Some(input) = workflow.inputs.iter().find(|input| input.name == name) else {
            let near = nearest(name, workflow.inputs.iter().map(|input| input.name.as_str()));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            say(name, format!("`{}` has no such input{near}", workflow.name));
            continue;
        };
        match value(input, text, is_json) {
            Ok(value) => {
                if inputs.insert(name.to_owned(), value).is_some() {
                    say(name, "is given twice".to_owned());
                }
            }
            Err(message) => say(name, message),
        }
    }
    for input in &workflow.inputs {
        match (inputs.get(&input.name), &input.default, &input.choices) {
            (Some(value), _, Some(choices)) if !choices.contains(value) => {
                let choices: Vec<String> = choices.iter().map(plain).collect();
                say(&input.name, format!("is `{}`, which is none of {}", plain(value), choices.join(", ")));
            }
            (None, Some(default), _) => {
                inputs.insert(input.name.clone(), default.clone());
            }
            (None, None, _) if !given.iter().any(|pair| split(pair).is_some_and(|(name, ..)| name == input.name)) => {
                let about = input.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
                say(&input.name, format!("is missing ({}){about}", input.kind.word()));
            }
            _ => {}
        }
    }
    if wrong.is_empty() {
        return Ok(inputs);
    }
    let error = CliError::new(Exit::Usage, "inputs-invalid", format!("the inputs of `{}` are wrong", workflow.name));
    Err(error.errors(wrong).hint("give each with --input NAME=VALUE"))
}

fn split(pair: &str) -> Option<(&str, &str, bool)> {
    let (name, text) = pair.split_once('=')?;
    Some(match name.strip_suffix(':') {
        Some(name) => (name, text, true),
        None => (name, text, false),
    })
}

fn value(input: &Input, text: &str, is_json: bool) -> Result<Value, String> {
    let read;
    let text = match text.strip_prefix('@') {
        Some(rest) if rest.starts_with('@') => rest,
        Some(path) => {
            let bytes = std::fs::read_to_string(path).map_err(|error| {
                let error = CliError::io(format_args!("cannot read `{path}`"), &error);
                error.message
            })?;
            read = bytes;
            &read
        }
        None => text,
    };
    let wrong = || format!("is `{text}`, which is not of type `{}`", input.kind.word());
    if input.kind == InputKind::String && !is_json {
        return Ok(Value::String(text.to_owned()));
    }
    let value = json::parse(text.trim().as_bytes(), json::Limits::default())
        .map_err(|error| format!("{}: {error}", wrong()))?;
    if input.kind.takes(&value) { Ok(value) } else { Err(wrong()) }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::flow::load;

    fn given(pairs: &[&str]) -> Result<Value, Vec<String>> {
        let text = "name = \"w\"\n[inputs.who]\n[inputs.n]\ntype = \"integer\"\ndefault = 3\n[inputs.list]\n\
                    type = \"array\"\ndefault = []\n[inputs.size]\nenum = [\"s\", \"l\"]\ndefault = \"s\"\n\
                    [[step]]\nid = \"a\"\ntool = \"t\"\n";
        let (workflow, faults) = load::check("w.toml", text);
        assert_eq!(faults.violations(), []);
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        of(&workflow.expect("a workflow"), &pairs).map(Value::Object).map_err(|error| {
            error.details.errors.iter().map(|wrong| format!("{} {}", wrong.path, wrong.message)).collect()
        })
    }

    #[test]
    fn types_follow_the_file_and_never_the_look_of_a_value() {
        assert_eq!(
            given(&["who=007", "n=4", "list:=[1,\"x\"]", "size=l"]),
            Ok(json!({"who": "007", "n": 4, "list": [1, "x"], "size": "l"}))
        );
        assert_eq!(given(&["who=@@home"]), Ok(json!({"who": "@home", "n": 3, "list": [], "size": "s"})));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        assert_eq!(
            given(&["n=many", "size=xl", "whom=x", "nothing"]),
            Err(vec![
                "n is `many`, which is not of type `integer`: not JSON: expected a value (at byte 0)".to_owned(),
                "whom `w` has no such input; did you mean `who`?".to_owned(),
                "nothing is no pair: write NAME=TEXT, NAME:=JSON or NAME=@FILE".to_owned(),
                "who is missing (string)".to_owned(),
                "size is `xl`, which is none of s, l".to_owned(),
            ])
        );
    }
}

//! The help of one tool: what it does, what it does to the world, who must agree, what it takes and gives.

use clap::Args as _;
use serde_json::{Map, Value};

use super::build;
use super::convert::choice_text;
use super::schema::{Arguments, Shape};
use crate::api::tools::{Standing, Tool};
use crate::cli::args::CallFlags;
use crate::cli::text::{escape_lines, escape_untrusted, shell_word};

/// Lines of output sketched at most.
const SKETCH_LINES: usize = 24;

/// The whole help text.
pub fn text(tool: &Tool, arguments: &Arguments) -> String {
    let name = escape_untrusted(&tool.name);
    let mut before = format!("{}\n\n", escape_lines(tool.description.trim()));
    before.push_str(&format!("Risk      {}{}\n", tool.risk, extras(tool)));
    before.push_str(&format!("Effect    {}\n", tool.effect.in_words()));
    before.push_str(&format!("Approval  {}", approval(tool)));
    let mut after = String::new();
    let hidden: Vec<_> = arguments.properties.iter().filter(|property| property.flag.is_none()).collect();
    if !hidden.is_empty() {
        after.push_str("Arguments whose flags are ours:\n");
        for property in hidden {
            after.push_str(&format!("  {}\n", escape_untrusted(&property.usage())));
        }
        after.push('\n');
    }
    after.push_str(&format!("Example:\n  {}\n", example(tool, arguments)));
    let sketch = sketch(&tool.output_schema);
    if !sketch.is_empty() {
        after.push_str(&format!("\nOutput:\n{sketch}"));
    }
    let command = CallFlags::augment_args(build::command(&tool.name, arguments))
        .before_help(before)
        .after_help(after.trim_end().to_owned())
        .override_usage(format!("toolctl call {name} [ARGUMENTS] [OPTIONS]"));
    let mut command = command.help_template("{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}\n");
    command.render_help().to_string()
}

/// What policy says to this caller, in words.
pub fn approval(tool: &Tool) -> String {
    let people = if tool.approvers.is_empty() {
        "people".to_owned()
    } else {
        format!("one of {}", escape_untrusted(&tool.approvers.join(", ")))
    };
    match tool.standing {
        Standing::Allowed => "none: you may run it at once".to_owned(),
        Standing::NeedsApproval => format!("{people} must agree first"),
        Standing::Denied => "denied to you by policy".to_owned(),
        Standing::Depends if tool.approvers.is_empty() => "depends on the arguments".to_owned(),
        Standing::Depends => format!("depends on the arguments; {people} may have to agree"),
    }
}

/// A command that calls `tool` with `object`: what a person can type again. Secrets are left to be named.
pub fn equivalent(tool: &str, arguments: &Arguments, object: &Map<String, Value>) -> String {
    let mut words = vec!["toolctl".to_owned(), "call".to_owned(), shell_word(tool)];
    write_members(arguments, object, &mut Vec::new(), &mut words);
    words.join(" ")
}

fn write_members(arguments: &Arguments, object: &Map<String, Value>, path: &mut Vec<String>, words: &mut Vec<String>) {
    for (name, value) in object {
        path.push(name.clone());
        let property = arguments.properties.iter().find(|property| property.path == *path);
        match (property, value) {
            (Some(property), _) if property.secret => {
                let flag = property.flag.clone().unwrap_or_else(|| property.key());
                words.extend([format!("--{flag}"), "env:NAME".to_owned()]);
            }
            (Some(property), Value::Object(members)) if property.shape == Shape::Object => {
                let known = |name: &String| {
                    arguments.properties.iter().any(|p| {
                        p.path.len() == path.len() + 1 && p.path.starts_with(path) && p.path.last() == Some(name)
                    })
                };
                if !members.is_empty() && members.keys().all(known) {
                    write_members(arguments, members, path, words);
                } else {
                    words.push(shell_word(&format!("{}:={value}", property.key())));
                }
            }
            (Some(property), Value::Array(items)) if matches!(property.shape, Shape::List(_)) && !items.is_empty() => {
                for item in items {
                    write_one(property.flag.as_deref(), &property.key(), &property.shape, item, words);
                }
            }
            (Some(property), value) => {
                write_one(property.flag.as_deref(), &property.key(), &property.shape, value, words);
            }
            (None, value) => words.push(shell_word(&format!("{}:={value}", path.join(".")))),
        }
        path.pop();
    }
}

fn write_one(flag: Option<&str>, key: &str, shape: &Shape, value: &Value, words: &mut Vec<String>) {
    let fits = match shape {
        Shape::List(item) => fits(item, value),
        shape => fits(shape, value),
    };
    match (flag, value) {
        (Some(flag), Value::Bool(true)) if *shape == Shape::Boolean => words.push(format!("--{flag}")),
        (Some(flag), Value::Bool(false)) if *shape == Shape::Boolean => words.push(format!("--{flag}=false")),
        (Some(flag), value) if fits && choice_text(value).starts_with('-') => {
            words.push(shell_word(&format!("--{flag}={}", choice_text(value))));
        }
        (Some(flag), value) if fits => words.extend([format!("--{flag}"), shell_word(&choice_text(value))]),
        (None, value) if fits => {
            words.extend(["--arg".to_owned(), shell_word(key), shell_word(&choice_text(value))]);
        }
        (_, value) => words.push(shell_word(&format!("{key}:={value}"))),
    }
}

/// Whether the value, written as text, is read back as itself.
fn fits(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::Text => value.is_string(),
        Shape::Integer | Shape::Number => value.is_number(),
        Shape::Boolean => value.is_boolean(),
        Shape::Choice(choices) => choices.contains(value),
        Shape::List(_) => false,
        Shape::Object => value.is_object(),
        Shape::Json => !value.is_string(),
    }
}

fn example(tool: &Tool, arguments: &Arguments) -> String {
    if let Some(Value::Object(object)) = &tool.example {
        return escape_untrusted(&equivalent(&tool.name, arguments, object));
    }
    let required = arguments.properties.iter().filter(|property| property.required && property.path.len() == 1);
    let words: Vec<String> = required.map(|property| format!(" {}", property.usage())).collect();
    escape_untrusted(&format!("toolctl call {}{}", tool.name, words.concat()))
}

fn extras(tool: &Tool) -> String {
    let mut words = String::new();
    if tool.destructive {
        words.push_str(", may destroy something");
    }
    if tool.open_world {
        words.push_str(", reaches beyond this machine");
    }
    words
}

/// The output as an outline: names and kinds.
pub fn sketch(schema: &Value) -> String {
    let mut lines = Vec::new();
    outline(schema, schema, 1, &mut lines);
    if lines.len() > SKETCH_LINES {
        lines.truncate(SKETCH_LINES);
        lines.push("  …".to_owned());
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn outline(root: &Value, schema: &Value, depth: usize, lines: &mut Vec<String>) {
    let schema = follow(root, schema);
    let Some(members) = schema.get("properties").and_then(Value::as_object).filter(|_| depth < 5) else { return };
    for (name, member) in members {
        let member = follow(root, member);
        let item = member.get("items").map(|items| follow(root, items));
        let kind = match item {
            Some(item) => format!("list of {}", kind(item)),
            None => kind(member),
        };
        lines.push(format!("{}{}: {kind}", "  ".repeat(depth), escape_untrusted(name)));
        outline(root, item.unwrap_or(member), depth + 1, lines);
    }
}

fn follow<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
    pointer.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn kind(schema: &Value) -> String {
    match schema.get("type") {
        Some(Value::String(word)) => escape_untrusted(word),
        Some(Value::Array(words)) => {
            escape_untrusted(&words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "))
        }
        _ if schema.get("enum").is_some() => "one of a few".to_owned(),
        _ => "anything".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::cli::dynamic::sample;

    fn arguments() -> Arguments {
        Arguments::of(&sample::tool().input_schema, &BTreeSet::from(["reason".to_owned()]))
    }

    #[test]
    fn the_help_of_a_tool_says_what_it_does_and_who_must_agree() {
        let mut tool = sample::tool();
        tool.description.push('\u{202e}');
        let text = text(&tool, &arguments());
        for part in [
            "Open a support ticket.\\u{202e}\n\nRisk      medium\nEffect    changes something and must happen only once\n\
             Approval  one of approvers must agree first\n",
            "Usage: toolctl call create_ticket [ARGUMENTS] [OPTIONS]",
            "--customer-id <INTEGER>",
            "Whose ticket it is. [required, at least 1]",
            "[default: medium]",
            "[possible values: low, medium, high]",
            "--api-key <env:NAME|@FILE|@->",
            "--idempotency-key <KEY>",
            "Arguments whose flags are ours:\n  --arg reason <TEXT>\n",
            "Example:\n  toolctl call create_ticket --customer-id 1 --title 'Login broken'\n",
            "Output:\n  ticket: object\n    id: integer\n    tags: list of string\n",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
    }

    #[test]
    fn the_equivalent_command_reads_back_as_the_same_arguments() {
        let object = json!({
            "customer_id": -1, "title": "it's", "notify": false, "tags": ["a", "b c"], "address": {"city": "Berlin"},
            "reason": "x", "apiKey": "s3cret", "either": true, "maybe": null,
        });
        let Value::Object(object) = object else { panic!("an object") };
        assert_eq!(
            equivalent("create_ticket", &arguments(), &object),
            "toolctl call create_ticket --customer-id=-1 --title 'it'\\''s' --notify=false --tags a --tags 'b c' \
             --address.city Berlin --arg reason x --api-key env:NAME --either true maybe:=null"
        );
    }
}

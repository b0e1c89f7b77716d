//! From the tree of a file to a workflow. Nothing stops at the first fault: whoever wrote the file learns of all of
//! them at once.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use super::definition::{
    Input, InputKind, MOST_ATTEMPTS, MOST_PARALLEL, MOST_STEPS, Retry, Section, Step, USUAL_PARALLEL, Workflow,
};
use super::template::{Shape, Source};
use super::tree::{Name, Node, Tree};
use crate::cli::fault::{Fault, Faults, Span};
use crate::domain::time::parse_span;

/// Members of the file.
pub const OF_FILE: &[&str] = &["name", "description", "inputs", "step", "on_failure", "finally", "outputs"];
/// Members of an input.
pub const OF_INPUT: &[&str] = &["type", "description", "default", "enum"];
/// Members of a step.
pub const OF_STEP: &[&str] = &[
    "id",
    "tool",
    "with",
    "when",
    "for_each",
    "max_parallel",
    "needs",
    "retry",
    "timeout",
    "idempotency",
    "approval",
    "reason",
];
/// Members of `retry`.
pub const OF_RETRY: &[&str] = &["attempts", "backoff"];

/// The longest name of a workflow, step or input.
const LONGEST_NAME: usize = 64;

/// Reads a workflow. What is wrong is added to `faults`; what could be read comes back all the same, so that the
/// checks that follow can find more.
pub fn workflow(node: &Node, faults: &mut Faults) -> Workflow {
    let table = Table::of(node, "the file", OF_FILE, faults);
    let name = match table.text("name", faults) {
        Some((name, span)) => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
                faults.add(Fault::new(&span, "a workflow's name is 1 to 64 letters, digits and `_-.`"));
            }
            name
        }
        None => {
            table.lacks("name", faults);
            String::new()
        }
    };
    let inputs = table.members("inputs", faults).iter().map(|(name, node)| input(name, node, faults)).collect();
    let mut steps = Vec::new();
    for section in [Section::Step, Section::OnFailure, Section::Finally] {
        let found = table.list(section.word(), faults);
        steps.extend(found.iter().map(|node| step(node, section, faults)));
    }
    if !steps.iter().any(|step| step.section == Section::Step) {
        faults.add(Fault::new(&(0..0), "there is no step").hint("add one: [[step]] with `id` and `tool`"));
    }
    if steps.len() > MOST_STEPS {
        faults.add(Fault::new(&(0..0), format!("there are {} steps; at most {MOST_STEPS} are taken", steps.len())));
    }
    let outputs = table.get("outputs").map(|(_, node)| match &node.tree {
        Tree::Table(_) => Shape::of(node, &mut |fault| faults.add(fault)),
        _ => {
            faults.add(Fault::new(&node.span, format!("`outputs` is {}; it must be a table", node.word())));
            Shape::Table(Vec::new())
        }
    });
    Workflow {
        name,
        description: table.text("description", faults).map(|(text, _)| text),
        inputs,
        steps,
        outputs: outputs.unwrap_or_else(|| Shape::Table(Vec::new())),
        document: node.value(),
    }
}

fn input(name: &Name, node: &Node, faults: &mut Faults) -> Input {
    word(&name.text, &name.span, "an input's name", faults);
    let table = Table::of(node, "an input", OF_INPUT, faults);
    let kind = match table.text("type", faults) {
        None => InputKind::String,
        Some((said, span)) => InputKind::ALL.iter().find(|(word, _)| *word == said).map_or_else(
            || {
                let fault = Fault::new(&span, format!("there is no type `{said}`"));
                faults.add(fault.meant(&said, InputKind::ALL.iter().map(|(word, _)| *word)));
                InputKind::String
            },
            |(_, kind)| *kind,
        ),
    };
    let mut taken = |node: &Node| {
        let value = node.value();
        if !kind.takes(&value) {
            let message = format!("`{}` is of type `{}`, and this is {}", name.text, kind.word(), node.word());
            faults.add(Fault::new(&node.span, message));
        }
        value
    };
    let default = table.get("default").map(|(_, node)| taken(node));
    let choices = table.get("enum").and_then(|(_, node)| match &node.tree {
        Tree::List(items) => Some(items.iter().map(&mut taken).collect::<Vec<_>>()),
        _ => None,
    });
    if let (None, Some((_, node))) = (&choices, table.get("enum")) {
        faults.add(Fault::new(&node.span, format!("`enum` is {}; it must be a list", node.word())));
    }
    if let (Some(value), Some(choices), Some((_, node))) = (&default, &choices, table.get("default"))
        && !choices.contains(value)
    {
        faults.add(Fault::new(&node.span, "the default is none of the values that `enum` lists"));
    }
    let description = table.text("description", faults).map(|(text, _)| text);
    Input { name: name.text.clone(), kind, description, default, choices }
}

fn step(node: &Node, section: Section, faults: &mut Faults) -> Step {
    let table = Table::of(node, "a step", OF_STEP, faults);
    let (id, id_span) = table.text("id", faults).unwrap_or_else(|| {
        table.lacks("id", faults);
        (String::new(), node.span.clone())
    });
    if !id.is_empty() {
        word(&id, &id_span, "a step's `id`", faults);
    }
    let (tool, tool_span) = table.text("tool", faults).unwrap_or_else(|| {
        table.lacks("tool", faults);
        (String::new(), node.span.clone())
    });
    let (with, with_span) = match table.get("with") {
        None => (Shape::Table(Vec::new()), node.span.clone()),
        Some((_, with)) => {
            if !matches!(with.tree, Tree::Table(_)) {
                faults.add(Fault::new(&with.span, format!("`with` is {}; it must be a table", with.word())));
            }
            (Shape::of(with, &mut |fault| faults.add(fault)), with.span.clone())
        }
    };
    let shape = |name: &str, faults: &mut Faults| {
        table.get(name).map(|(_, node)| Shape::of(node, &mut |fault| faults.add(fault)))
    };
    let for_each = shape("for_each", faults);
    if let (Some(Shape::Fixed(value)), Some((_, node))) = (&for_each, table.get("for_each"))
        && !value.is_array()
    {
        let fault = Fault::new(&node.span, format!("`for_each` is {}; it must be a list", node.word()));
        faults.add(fault.hint("an expression gives one: \"{{ steps.find.output.results }}\""));
    }
    let max_parallel = table.number("max_parallel", 1..=MOST_PARALLEL as u64, faults);
    let max_parallel = max_parallel.and_then(|number| usize::try_from(number).ok()).unwrap_or(USUAL_PARALLEL);
    Step {
        section,
        when: when(&table, faults),
        max_parallel,
        needs: BTreeSet::new(),
        said_needs: needs(&table, faults),
        retry: retry(&table, faults),
        timeout: table.span("timeout", faults),
        idempotency: shape("idempotency", faults),
        approval: approval(&table, faults),
        reason: shape("reason", faults),
        id,
        id_span,
        tool,
        tool_span,
        with,
        with_span,
        for_each,
    }
}

fn when(table: &Table<'_>, faults: &mut Faults) -> Option<Source> {
    let (_, node) = table.get("when")?;
    let text = match &node.tree {
        Tree::Text(text) => text.clone(),
        Tree::Bool(value) => value.to_string(),
        _ => {
            faults.add(Fault::new(&node.span, format!("`when` is {}; it must be an expression", node.word())));
            return None;
        }
    };
    Some(Source::expression(&text, &node.span).unwrap_or_else(|fault| {
        faults.add(fault);
        Source::malformed(&text, &node.span)
    }))
}

fn needs(table: &Table<'_>, faults: &mut Faults) -> Vec<(String, Span)> {
    let Some((_, node)) = table.get("needs") else { return Vec::new() };
    let items: &[Node] = match &node.tree {
        Tree::Text(_) => std::slice::from_ref(node),
        Tree::List(items) => items,
        _ => &[],
    };
    let names: Vec<_> = items
        .iter()
        .filter_map(|item| match &item.tree {
            Tree::Text(text) => Some((text.clone(), item.span.clone())),
            _ => None,
        })
        .collect();
    if names.len() != items.len() || !matches!(node.tree, Tree::Text(_) | Tree::List(_)) {
        faults.add(Fault::new(&node.span, "`needs` must be the id of a step, or a list of them"));
    }
    names
}

fn retry(table: &Table<'_>, faults: &mut Faults) -> Option<Retry> {
    let (name, node) = table.get("retry")?;
    let retry = Table::of(node, "`retry`", OF_RETRY, faults);
    let attempts = retry.number("attempts", 1..=u64::from(MOST_ATTEMPTS), faults);
    if attempts.is_none() && retry.get("attempts").is_none() {
        faults.add(Fault::new(&name.span, "`retry` has no `attempts`").hint("the first one counts: attempts = 3"));
    }
    let attempts = attempts.and_then(|number| u32::try_from(number).ok()).unwrap_or(1);
    Some(Retry { attempts, backoff: retry.span("backoff", faults).unwrap_or(Duration::from_secs(1)) })
}

fn approval(table: &Table<'_>, faults: &mut Faults) -> bool {
    match table.text("approval", faults) {
        None => false,
        Some((said, _)) if said == "required" => true,
        Some((said, span)) => {
            let fault = Fault::new(&span, format!("`approval` is `{said}`; it can only be `required`"));
            faults.add(fault.hint("whether people must agree is for policy to say; a step can only ask for more"));
            false
        }
    }
}

/// A name that stands in expressions: a letter or `_`, then letters, digits and `_`.
fn word(text: &str, span: &Span, what: &str, faults: &mut Faults) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !starts || text.len() > LONGEST_NAME || !text.bytes().all(plain) {
        let fault = Fault::new(span, format!("{what} is 1 to 64 letters, digits and `_`, not starting with a digit"));
        faults.add(fault.hint("expressions name it, so it cannot have other characters"));
    }
}

/// A table with known members.
struct Table<'a> {
    node: &'a Node,
    what: &'static str,
    members: &'a [(Name, Node)],
}

impl<'a> Table<'a> {
    fn of(node: &'a Node, what: &'static str, known: &[&'static str], faults: &mut Faults) -> Self {
        let Tree::Table(members) = &node.tree else {
            faults.add(Fault::new(&node.span, format!("{what} must be a table, and this is {}", node.word())));
            return Self { node, what, members: &[] };
        };
        for (name, _) in members.iter().filter(|(name, _)| !known.contains(&name.text.as_str())) {
            let fault = Fault::new(&name.span, format!("{what} has no member `{}`", name.text));
            faults.add(fault.meant(&name.text, known.iter().copied()));
        }
        Self { node, what, members }
    }

    fn get(&self, name: &str) -> Option<(&'a Name, &'a Node)> {
        self.members.iter().find(|(found, _)| found.text == name).map(|(name, node)| (name, node))
    }

    fn lacks(&self, name: &str, faults: &mut Faults) {
        if self.get(name).is_none() && matches!(self.node.tree, Tree::Table(_)) {
            faults.add(Fault::new(&self.node.span, format!("{} has no `{name}`", self.what)));
        }
    }

    fn text(&self, name: &str, faults: &mut Faults) -> Option<(String, Span)> {
        let (_, node) = self.get(name)?;
        if let Tree::Text(text) = &node.tree {
            return Some((text.clone(), node.span.clone()));
        }
        faults.add(Fault::new(&node.span, format!("`{name}` is {}; it must be a text", node.word())));
        None
    }

    fn number(&self, name: &str, range: std::ops::RangeInclusive<u64>, faults: &mut Faults) -> Option<u64> {
        let (_, node) = self.get(name)?;
        let number = node.value().as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("`{name}` must be a whole number from {} to {}", range.start(), range.end());
            faults.add(Fault::new(&node.span, message));
        }
        number
    }

    fn span(&self, name: &str, faults: &mut Faults) -> Option<Duration> {
        let (text, at) = self.text(name, faults)?;
        parse_span(&text).map_err(|error| faults.add(Fault::new(&at, format!("`{name}`: {error}")))).ok()
    }

    fn members(&self, name: &str, faults: &mut Faults) -> &'a [(Name, Node)] {
        match self.get(name) {
            None => &[],
            Some((_, Node { tree: Tree::Table(members), .. })) => members,
            Some((_, node)) => {
                faults.add(Fault::new(&node.span, format!("`{name}` is {}; it must be a table", node.word())));
                &[]
            }
        }
    }

    fn list(&self, name: &str, faults: &mut Faults) -> &'a [Node] {
        match self.get(name) {
            None => &[],
            Some((_, Node { tree: Tree::List(items), .. })) => items,
            Some((name, node)) => {
                let fault = Fault::new(&name.span, format!("`{}` is {}; it must be a list", name.text, node.word()));
                faults.add(fault.hint(format!("in TOML write [[{}]]", name.text)));
                &[]
            }
        }
    }
}

/// The published JSON Schema of the file.
pub fn schema() -> Value {
    serde_json::from_str(include_str!("workflow.schema.json")).unwrap_or_else(|_| Value::Object(Map::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_lists_the_members_that_are_read() {
        let schema = schema();
        for (place, known) in [
            ("/properties", OF_FILE),
            ("/$defs/input/properties", OF_INPUT),
            ("/$defs/step/properties", OF_STEP),
            ("/$defs/step/properties/retry/properties", OF_RETRY),
        ] {
            let listed: std::collections::BTreeSet<&str> =
                schema.pointer(place).and_then(Value::as_object).expect(place).keys().map(String::as_str).collect();
            assert_eq!(listed, known.iter().copied().collect(), "{place}");
        }
    }
}

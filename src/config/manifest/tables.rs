//! From the text of a file to its tables, with every fault of it: one typing error must not hide the next. What a table
//! says wrongly is put right as it was probably meant, noted, and the table read again, until nothing is left to note.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

use super::written::{ToolTable, UpstreamTable};
use super::{Problem, Source};
use crate::config::file::{Unknown, unknown};
use crate::pipeline::rulebook::nearest;

/// The most faults that are told of the form of one table.
const MOST_TOLD: usize = 32;

/// What one file holds.
#[derive(Debug, Default)]
pub struct Tables {
    /// `[tool]` or `[[tool]]`.
    pub tools: Vec<ToolTable>,
    /// `[upstream]` or `[[upstream]]`.
    pub upstreams: Vec<UpstreamTable>,
}

/// Reads the text of a file: every table that says what it means, and what is wrong with the others.
pub fn read(source: &Source) -> (Tables, Vec<Problem>) {
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        let told = errors.iter().take(MOST_TOLD);
        return (
            Tables::default(),
            told.map(|error| Problem::new(source, error.span(), error.message().trim())).collect(),
        );
    }
    let (mut tables, mut problems) = (Tables::default(), Vec::new());
    let document = document.into_inner();
    if document.is_empty() {
        problems.push(Problem::new(source, 0..0, "missing field `tool`").hint(
            "begin a tool with [tool], or several with [[tool]] each, and a server with [[upstream]]; `toolctl tools new \
             command` writes one",
        ));
    }
    for (key, value) in document {
        match key.get_ref().as_ref() {
            "tool" => tables.tools = each(source, "tool", value, &mut problems),
            "upstream" => tables.upstreams = each(source, "upstream", value, &mut problems),
            other => {
                let near = nearest(other, ["tool", "upstream"].into_iter());
                let hint = near.map_or_else(
                    || "a file of tools holds [[tool]] and [[upstream]]".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                problems.push(Problem::new(source, key.span(), format!("unknown field `{other}`")).hint(hint));
            }
        }
    }
    (tables, problems)
}

/// Reads one table or a list of them.
fn each<T: for<'de> Deserialize<'de>>(
    source: &Source,
    name: &str,
    value: Spanned<DeValue<'_>>,
    problems: &mut Vec<Problem>,
) -> Vec<T> {
    let place = value.span();
    let values: Vec<_> = match value.into_inner() {
        DeValue::Array(values) => values.into_iter().collect(),
        one => vec![Spanned::new(place, one)],
    };
    let mut read = Vec::new();
    for value in values {
        match (value.span(), value.into_inner()) {
            (span, DeValue::Table(table)) => read.extend(one(source, span, table, problems)),
            (span, _) => {
                let message = format!("`{name}` is no table");
                problems.push(Problem::new(source, span, message).hint(format!("write [{name}] or [[{name}]]")));
            }
        }
    }
    read
}

/// Reads one table. What it gives counts as long as nothing had to be left out on which something else rests.
fn one<T: for<'de> Deserialize<'de>>(
    source: &Source,
    span: Range<usize>,
    mut table: DeTable<'_>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let (mut lost, mut means_it) = (false, true);
    for _ in 0..MOST_TOLD {
        let value = Spanned::new(span.clone(), DeValue::Table(table.clone()));
        let error = match T::deserialize(ValueDeserializer::from(value)) {
            Ok(read) => return Some(read).filter(|_| means_it),
            Err(error) => error,
        };
        let (problem, near) = told(source, &error);
        let follows = lost && problem.message.starts_with("missing field ");
        if follows || problems.last() == Some(&problem) {
            return None;
        }
        problems.push(problem);
        let mut mending = Mending { at: error.span()?, near, done: None };
        table = mending.table(table);
        match mending.done? {
            Done::Renamed | Done::Ignored => {}
            Done::LeftOut => {
                let of_parts = ["expected a map", "expected a sequence", "expected struct"];
                lost = true;
                means_it &= !of_parts.iter().any(|words| error.message().contains(words));
            }
        }
    }
    None
}

/// What serde says, as people are told, and the known name that is nearest to the unknown one.
fn told(source: &Source, error: &Error) -> (Problem, Option<String>) {
    let message = error.message().trim();
    let Some(Unknown { what, name, known }) = unknown(message) else {
        return (Problem::new(source, error.span(), message), None);
    };
    let problem = Problem::new(source, error.span(), format!("unknown {what} `{name}`"));
    let near = nearest(name, known.iter().copied());
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there is `{}`", known.join("`, `")),
    };
    (problem.hint(hint), near.map(ToOwned::to_owned))
}

/// What was done about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// A name became the one that is near to it.
    Renamed,
    /// A name that means nothing was left out.
    Ignored,
    /// A value that will not do was left out.
    LeftOut,
}

/// Puts one fault right.
struct Mending {
    at: Range<usize>,
    near: Option<String>,
    done: Option<Done>,
}

impl Mending {
    fn table<'i>(&mut self, table: DeTable<'i>) -> DeTable<'i> {
        let is_free = self.near.as_ref().is_some_and(|near| !table.contains_key(near.as_str()));
        let mut mended = DeTable::new();
        for (key, value) in table {
            if key.span() == self.at {
                match self.near.take().filter(|_| is_free) {
                    Some(near) => {
                        self.done = Some(Done::Renamed);
                        mended.insert(Spanned::new(key.span(), Cow::Owned(near)), value);
                    }
                    None => self.done = Some(Done::Ignored),
                }
            } else if let Some(value) = self.value(value) {
                mended.insert(key, value);
            }
        }
        mended
    }

    fn value<'i>(&mut self, value: Spanned<DeValue<'i>>) -> Option<Spanned<DeValue<'i>>> {
        let span = value.span();
        let is_at_fault = span == self.at && self.done.is_none();
        let mended = match value.into_inner() {
            // A word that is nearly one of those that can stand here.
            DeValue::String(_) if is_at_fault && self.near.is_some() => {
                self.done = Some(Done::Renamed);
                DeValue::String(Cow::Owned(self.near.take()?))
            }
            _ if is_at_fault => {
                self.done = Some(Done::LeftOut);
                return None;
            }
            DeValue::Table(table) => DeValue::Table(self.table(table)),
            DeValue::Array(values) => {
                DeValue::Array(values.into_iter().filter_map(|value| self.value(value)).collect())
            }
            plain => plain,
        };
        Some(Spanned::new(span, mended))
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    /// What is wrong with a text, a line each, with the hint.
    fn wrong(text: &str) -> Vec<String> {
        let source = Source { path: "/etc/toolctl/tools/a.toml".into(), text: text.into() };
        let problems = load(&[source]).err().map(|problems| problems.0).unwrap_or_default();
        let told = problems.iter().map(|problem| {
            let (line, column) = problem.position().expect("a place");
            format!("{line}:{column} {problem} ({})", problem.hint.as_deref().unwrap_or("-"))
        });
        told.collect()
    }

    #[test]
    fn one_typing_error_does_not_hide_the_next() {
        let text = r#"
[[tool]]
name = "a"
descripton = "One."
efect = "readonly"
risk = "lo"
colour = "blue"

[tool.arguments]
whom = { type = "strin", requird = true }

[tool.command]
program = "true"
arguments = ["{whome}"]
stdn = "json"

[[tool]]
name = "b"
description = "Two."
timeout = 5

[tool.arguments]
often = { type = "intger" }

[tool.command]
program = "true"
arguments = ["{often}"]

[[tols]]
name = "c"
"#;
        assert_eq!(
            wrong(text),
            [
                "4:1 unknown field `descripton` (did you mean `description`?)",
                "5:1 unknown field `efect` (did you mean `effect`?)",
                "6:8 unknown variant `lo` (did you mean `low`?)",
                "7:1 unknown field `colour` (there is `name`, `title`, `description`, `enabled`, `effect`, `destructive`, \
                 `open_world`, `risk`, `timeout`, `output_limit`, `idempotency_ignore`, `dedupe_window`, `probe`, \
                 `preview`, `preview_varies`, `tags`, `arguments`, `input`, `output`, `example`, `command`, `http`)",
                "10:17 there is no type `strin` (did you mean `string`?)",
                "10:26 an argument has no `requird` (did you mean `required`?)",
                "14:14 the tool has no argument `whome` (did you mean `whom`?)",
                "15:1 unknown field `stdn` (did you mean `stdin`?)",
                "20:11 invalid type: integer `5`, expected a string (-)",
                "23:18 there is no type `intger` (did you mean `integer`?)",
                "27:14 the argument `often` may be missing (make it required, give it a default, or write { if = \"often\", \
                 then = [\"…{often}…\"] })",
                "29:3 unknown field `tols` (did you mean `tool`?)",
            ]
        );
    }

    #[test]
    fn what_follows_from_a_fault_is_no_fault() {
        // Without its arguments the template would name one that is not there.
        let text = "[tool]\nname = \"a\"\ndescription = \"x\"\narguments = 3\n[tool.command]\nprogram = \"true\"\n\
                    arguments = [\"{whom}\"]\n";
        assert_eq!(wrong(text), ["4:13 invalid type: integer `3`, expected a map (-)"]);
        let text = "[tool]\nname = \"a\"\ndescription = 5\n[tool.command]\nprogram = \"true\"\n";
        assert_eq!(wrong(text), ["3:15 invalid type: integer `5`, expected a string (-)"]);
        // Nor is a probe missing because of what is wrong with it.
        let probed = "[[tool]]\nname = \"a\"\ndescription = \"x\"\nprobe = \"b\"\n[tool.command]\nprogram = \"true\"\n\
                      [[tool]]\nname = \"b\"\ndescription = \"x\"\neffekt = \"readonly\"\n[tool.command]\nprogram = \"true\"\n";
        assert_eq!(wrong(probed), ["10:1 unknown field `effekt` (did you mean `effect`?)"]);
    }

    #[test]
    fn text_that_is_no_toml_is_told_whole() {
        let told = wrong("[tool]\nname = \"a\ndescription = x\n");
        assert!(told.len() > 1 && told[0].starts_with("2:"), "{told:?}");
        assert_eq!(wrong("tool = 3\n"), ["1:8 `tool` is no table (write [tool] or [[tool]])"]);
        let told = wrong("");
        assert!(told.len() == 1 && told[0].starts_with("1:1 missing field `tool` (begin a tool"), "{told:?}");
        assert_eq!(
            wrong("[server]\n"),
            ["1:2 unknown field `server` (a file of tools holds [[tool]] and [[upstream]])"]
        );
    }

    #[test]
    fn a_table_full_of_faults_is_told_for_a_while_only() {
        let fields: String = (0..1_000).map(|at| format!("x{at} = 1\n")).collect();
        let text = format!("[tool]\nname = \"a\"\ndescription = \"x\"\n{fields}[tool.command]\nprogram = \"true\"\n");
        assert_eq!(wrong(&text).len(), MOST_TOLD);
    }
}

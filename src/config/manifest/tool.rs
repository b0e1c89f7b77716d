//! From one table of a file to a tool: what was left out is taken for the worst, and what does not fit together
//! is told.

use std::time::Duration;

use serde_json::{Value, json};
use toml::Spanned;

use super::program::Programs;
use super::written::ToolTable;
use super::{Example, Manifest, Problem, Source, arguments, command, http};
use crate::domain::id::ToolName;
use crate::domain::tool::{Action, EffectClass, Extras, Risk, Tool};
use crate::guard::schema::OutputSchema;

/// The longest a run may be allowed to take.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// How long a run may take when the file does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most output that may be kept.
const MOST_OUTPUT: u64 = 64 << 20;
/// How much output is kept when the file does not say.
const OUTPUT: usize = 1 << 20;
/// Begins names that are ours.
pub const RESERVED: &str = "toolctl_";
/// The longest title and description, in characters.
const LONGEST_TEXT: usize = 4_096;

/// What became of a table.
#[derive(Debug, Default)]
pub struct Read {
    /// The tool; none when something is wrong with it.
    pub manifest: Option<Manifest>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
}

/// Collects what is wrong.
pub struct Desk<'a> {
    /// The file.
    pub source: &'a Source,
    /// Where programs are found.
    pub programs: &'a mut Programs,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
}

impl Desk<'_> {
    /// Notes something wrong.
    pub fn wrong(&mut self, span: std::ops::Range<usize>, message: impl Into<String>, hint: Option<String>) {
        let problem = Problem::new(self.source, span, message);
        self.problems.push(Problem { hint, ..problem });
    }

    /// Notes something that is probably not meant.
    pub fn warn(&mut self, span: std::ops::Range<usize>, message: impl Into<String>, hint: Option<String>) {
        let problem = Problem::new(self.source, span, message);
        self.warnings.push(Problem { hint, ..problem });
    }
}

/// Reads one table.
pub fn read(source: &Source, table: ToolTable, programs: &mut Programs) -> Read {
    let mut desk = Desk { source, programs, problems: Vec::new(), warnings: Vec::new() };
    let manifest = build(&mut desk, table);
    let manifest = manifest.filter(|_| desk.problems.is_empty());
    Read { manifest, problems: desk.problems, warnings: desk.warnings }
}

fn build(desk: &mut Desk<'_>, table: ToolTable) -> Option<Manifest> {
    let place = table.name.span();
    let name = name(desk, &table.name);
    let effect = table.effect.unwrap_or(EffectClass::Once);
    let reads = effect == EffectClass::ReadOnly;
    for (what, text) in
        [("description", table.description.get_ref()), ("title", table.title.as_ref().unwrap_or(&String::new()))]
    {
        if text.chars().count() > LONGEST_TEXT {
            desk.wrong(place.clone(), format!("the {what} has more than {LONGEST_TEXT} characters"), None);
        }
    }
    if table.description.get_ref().trim().is_empty() {
        desk.wrong(
            table.description.span(),
            "the description is empty",
            Some("say what it does and when to use it".to_owned()),
        );
    }
    let timeout = timeout(desk, table.timeout.as_ref());
    let output_limit = output_limit(desk, table.output_limit.as_ref());
    let input_schema = arguments::input(desk, &table)?;
    let (action, output_schema) = action(desk, &table, &input_schema, effect)?;
    let destructive = table.destructive.as_ref().map_or(!reads, |said| *said.get_ref());
    if let (true, Some(said)) = (reads && destructive, &table.destructive) {
        desk.wrong(
            said.span(),
            "a tool that only reads destroys nothing",
            Some("say destructive = false, or another effect".to_owned()),
        );
    }
    if let Action::Command(command) = &action
        && command.allow_interpreter
        && !destructive
    {
        let (message, hint) = if reads {
            (
                "a command that runs what a caller sends does not only read",
                "leave `allow_interpreter` out, or say another effect",
            )
        } else {
            ("a command that runs what a caller sends is destructive", "leave `destructive` out")
        };
        let place = table.destructive.as_ref().map_or(place.clone(), Spanned::span);
        desk.wrong(place, message, Some(hint.to_owned()));
    }
    repeats(desk, effect, table.dedupe_window.as_ref(), &table.idempotency_ignore);
    let (probe, preview) = (other(desk, table.probe.as_ref()), other(desk, table.preview.as_ref()));
    let preview_varies = varies(desk, preview.as_ref(), table.preview_varies.as_ref());
    let examples: Vec<Example> = table
        .example
        .iter()
        .map(|example| example.get_ref())
        .map(|example| Example { arguments: example.arguments.clone(), output: example.output.clone() })
        .collect();
    if !table.example.is_empty()
        && let Ok(schema) = OutputSchema::compile(&input_schema)
    {
        for example in &table.example {
            if let Err(why) = schema.check(&example.get_ref().arguments) {
                desk.wrong(example.span(), format!("the example does not fit the arguments: {why}"), None);
            }
        }
    }
    let tool = Tool {
        title: table.title.unwrap_or_default(),
        description: table.description.into_inner(),
        action,
        effect,
        destructive,
        open_world: table.open_world.unwrap_or(true),
        risk: table.risk.unwrap_or(match (reads, destructive) {
            (true, _) => Risk::Low,
            (false, false) => Risk::Medium,
            (false, true) => Risk::High,
        }),
        input_schema,
        output_schema,
        confirm_argument: None,
        idempotency_ignore: table.idempotency_ignore.into_iter().map(Spanned::into_inner).collect(),
        example: examples.first().map(|example| example.arguments.clone()),
        timeout,
        output_limit,
        extras: Extras {
            dedupe_window: table.dedupe_window.map(|window| window.into_inner().0),
            probe,
            preview,
            preview_varies,
            tags: table.tags,
        },
        name: name?,
    };
    let switch = table.enabled.as_ref().map(Spanned::span);
    let enabled = table.enabled.is_none_or(Spanned::into_inner);
    Some(Manifest { tool, enabled, examples, file: desk.source.path.clone(), place, switch })
}

/// What is said about sending a call again.
pub(super) fn repeats(
    desk: &mut Desk<'_>,
    effect: EffectClass,
    window: Option<&Spanned<crate::config::file::Span>>,
    ignored: &[Spanned<String>],
) {
    if effect != EffectClass::Keyed
        && let Some(window) = window
    {
        desk.wrong(
            window.span(),
            "only a keyed tool has a dedupe window",
            Some("say effect = \"keyed\", or leave it out".to_owned()),
        );
    }
    for pointer in ignored {
        if !pointer.get_ref().starts_with('/') {
            desk.wrong(
                pointer.span(),
                format!("`{}` is not a JSON Pointer", pointer.get_ref()),
                Some("write /name".to_owned()),
            );
        }
    }
}

/// What runs it, and the schema of what that gives.
fn action(desk: &mut Desk<'_>, table: &ToolTable, input: &Value, effect: EffectClass) -> Option<(Action, Value)> {
    let output = table.output.as_ref();
    match (&table.command, &table.http) {
        (Some(written), None) => {
            let command = command::read(desk, written, input)?;
            let output = arguments::output(desk, output, command.output, "output = \"json\" under [tool.command]");
            Some((Action::Command(Box::new(command)), output))
        }
        (None, Some(written)) => {
            let http = http::read(desk, written, input, effect)?;
            let to_say = "form = \"json\" under [tool.http.response]";
            let output = arguments::output(desk, output, http.reading.form, to_say);
            Some((Action::Http(Box::new(http)), output))
        }
        (Some(_), Some(second)) => {
            desk.wrong(
                second.span(),
                "a tool is run by one thing",
                Some("keep [tool.command] or [tool.http]".to_owned()),
            );
            None
        }
        (None, None) => {
            let hint =
                "say what runs it: [tool.command] with program = \"…\", or [tool.http] with url = \"…\"".to_owned();
            desk.wrong(table.name.span(), "nothing runs this tool", Some(hint));
            None
        }
    }
}

fn name(desk: &mut Desk<'_>, written: &Spanned<String>) -> Option<ToolName> {
    match written.get_ref().parse::<ToolName>() {
        Ok(name) if name.as_str().starts_with(RESERVED) => {
            desk.wrong(written.span(), format!("names that begin with `{RESERVED}` are toolctl's own"), None);
            None
        }
        Ok(name) => Some(name),
        Err(error) => {
            desk.wrong(written.span(), error.to_string(), None);
            None
        }
    }
}

pub(super) fn other(desk: &mut Desk<'_>, written: Option<&Spanned<String>>) -> Option<ToolName> {
    let written = written?;
    match written.get_ref().parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let error: crate::domain::id::BadId = error;
            desk.wrong(written.span(), error.to_string(), None);
            None
        }
    }
}

pub(super) fn timeout(desk: &mut Desk<'_>, written: Option<&Spanned<crate::config::file::Span>>) -> Duration {
    let Some(written) = written else { return TIMEOUT };
    let span = written.get_ref().0;
    if span > LONGEST_TIMEOUT {
        desk.wrong(written.span(), "a run may take 24 hours at most", None);
    }
    span
}

pub(super) fn output_limit(desk: &mut Desk<'_>, written: Option<&Spanned<super::written::Size>>) -> usize {
    let Some(written) = written else { return OUTPUT };
    let size = written.get_ref().0;
    if size == 0 || size > MOST_OUTPUT {
        desk.wrong(written.span(), "the output limit is 1 byte to 64 MiB", None);
    }
    usize::try_from(size).unwrap_or(OUTPUT)
}

/// The schema of no arguments at all.
pub fn nothing() -> Value {
    json!({"type": "object", "properties": {}, "additionalProperties": false})
}

/// Whether what the preview says changes by itself.
pub fn varies(desk: &mut Desk<'_>, preview: Option<&ToolName>, written: Option<&Spanned<bool>>) -> bool {
    if let (None, Some(said)) = (preview, written) {
        desk.wrong(said.span(), "there is no preview that could vary", Some("name it: preview = \"…\"".to_owned()));
    }
    written.is_some_and(|said| *said.get_ref())
}

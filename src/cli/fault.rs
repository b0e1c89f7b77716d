//! What is wrong with a file of a workflow or of tools, each with its place in the text. All faults are told at once:
//! for people one by one, each with the lines it is about and with what to do about it, for programs as
//! `FILE:LINE:COLUMN`.

use std::fmt;
use std::ops::Range;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};

use crate::cli::error::{CliError, Exit};
use crate::cli::text::{escape_lines, nearest};
use crate::cli::ui::Ui;
use crate::domain::denial::Violation;

/// Bytes of the text.
pub type Span = Range<usize>;

/// More are not shown: whoever has this many starts at the top anyway.
const MOST_SHOWN: usize = 20;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault at a place.
    pub fn new(span: &Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), span: span.clone(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the nearest of the names that could have been meant, or all of them when none is near.
    #[must_use]
    pub fn meant<'a>(self, word: &str, names: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        match nearest(word, names.clone()) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => {
                let names: Vec<_> = names.into_iter().take(MOST_SHOWN).map(|name| format!("`{name}`")).collect();
                if names.is_empty() { self } else { self.hint(format!("there is {}", names.join(", "))) }
            }
        }
    }
}

/// The text of a file, and what was found to be wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The name of the file.
    pub file: String,
    /// Its text.
    pub text: String,
    /// What is wrong, in the order in which it was found.
    pub found: Vec<Fault>,
}

impl Faults {
    /// Nothing is wrong yet.
    pub fn of(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), found: Vec::new() }
    }

    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) {
        self.found.push(fault);
    }

    /// Line and column of a place, both from 1.
    pub fn position(&self, span: &Span) -> (usize, usize) {
        let before = self.text.get(..span.start.min(self.text.len())).unwrap_or_default();
        let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    /// The error that says all of it: exit 2, with `code` and what follows from it. For people the places are shown
    /// here.
    pub fn error(self, ui: &Ui, code: &str, so: &str) -> CliError {
        error(ui, vec![self], code, so)
    }

    /// The faults as data.
    pub fn violations(&self) -> Vec<Violation> {
        let violation = |fault: &Fault| {
            let (line, column) = self.position(&fault.span);
            let hint = fault.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            Violation { path: format!("{}:{line}:{column}", self.file), message: format!("{}{hint}", fault.message) }
        };
        self.found.iter().map(violation).collect()
    }

    /// One fault with the lines it is about.
    fn shown(&self, fault: &Fault) -> String {
        let end = self.text.len();
        let span = fault.span.start.min(end)..fault.span.end.clamp(fault.span.start.min(end), end);
        let shown = Shown { fault, source: miette::NamedSource::new(&self.file, self.text.clone()), span };
        let mut out = String::new();
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
        match handler.with_context_lines(1).render_report(&mut out, &shown) {
            Ok(()) => out,
            Err(fmt::Error) => format!("{fault}"),
        }
    }
}

/// The error that says all that is wrong with some files, as [`Faults::error`] does with one.
pub fn error(ui: &Ui, mut files: Vec<Faults>, code: &str, so: &str) -> CliError {
    for file in &mut files {
        file.found.sort_by_key(|fault| fault.span.start);
        file.found.dedup();
    }
    let shown = files.iter().flat_map(|file| file.found.iter().map(move |fault| file.shown(fault)));
    for drawn in shown.take(if ui.for_programs() { 0 } else { MOST_SHOWN }) {
        ui.say(&format!("{}\n", escape_lines(&drawn).trim_end()));
    }
    let what = match files.iter().map(|file| file.found.len()).sum() {
        1 => "one fault".to_owned(),
        count => format!("{count} faults"),
    };
    let message = match files.as_slice() {
        [one] => format!("`{}` has {what}; {so}", one.file),
        files => format!("{} files have {what}; {so}", files.len()),
    };
    let error = CliError::new(Exit::Usage, code, message);
    if ui.for_programs() { error.errors(files.iter().flat_map(Faults::violations).collect()) } else { error }
}

/// A fault as miette draws it.
#[derive(Debug)]
struct Shown<'a> {
    fault: &'a Fault,
    source: miette::NamedSource<String>,
    span: Span,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.fault.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::underline(self.span.clone()))))
    }
}

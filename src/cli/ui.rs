//! The only place that prints. Results go to stdout and everything else to stderr; what form they take
//! follows from the format asked for and from whether a person is looking.

use std::cell::RefCell;
use std::io::{self, BufWriter, IsTerminal as _, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use dialoguer::console::Term;
use serde::Serialize;
use serde_json::Value;

use super::args::{Colour, Format, Globals};
use super::error::{CliError, Exit};
use super::table::Table;
use super::text::{escape_json, escape_lines};

/// Where output goes and what form it takes.
pub struct Ui {
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
    /// What a person asked for; none means: what suits the reader.
    pub format: Option<Format>,
    /// Who is looking.
    pub seen: Seen,
    /// Only results and errors.
    pub quiet: bool,
    /// How much more to say.
    pub verbose: u8,
}

/// Which ends are terminals, and how they look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Results are read by a person.
    pub out: bool,
    /// Notes are read by a person.
    pub err: bool,
    /// Somebody can be asked.
    pub ask: bool,
    /// Colours in results.
    pub colour_out: bool,
    /// Colours in notes.
    pub colour_err: bool,
    /// Columns for results, when known.
    pub width: Option<u16>,
    /// Columns for notes, when known.
    pub width_err: Option<u16>,
}

/// What a piece of text means; how that looks is decided here alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something went wrong.
    Bad,
    /// Something needs care.
    Care,
    /// Something went well.
    Good,
    /// A heading or a name.
    Strong,
    /// What can be skipped.
    Faint,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Care => AnsiColor::Yellow.on_default(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

impl Ui {
    /// The process's own stdout and stderr.
    pub fn new(globals: &Globals) -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let colour = |automatic: anstream::ColorChoice| match globals.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => !matches!(automatic, anstream::ColorChoice::Never),
        };
        let (out, err) = (stdout.is_terminal(), stderr.is_terminal());
        let columns = |term: Term| term.size_checked().map(|(_, columns)| columns);
        let seen = Seen {
            out,
            err,
            ask: err && io::stdin().is_terminal() && !globals.no_input && std::env::var_os("CI").is_none(),
            colour_out: colour(AutoStream::choice(&stdout)),
            colour_err: colour(AutoStream::choice(&stderr)),
            width: out.then(Term::stdout).and_then(columns),
            width_err: err.then(Term::stderr).and_then(columns),
        };
        let (out, err) = (Box::new(BufWriter::new(stdout)), Box::new(stderr));
        Self::to(out, err, globals.output, seen, globals.quiet, globals.verbose)
    }

    /// Any two writers.
    pub fn to(
        out: Box<dyn Write>,
        err: Box<dyn Write>,
        format: Option<Format>,
        seen: Seen,
        quiet: bool,
        verbose: u8,
    ) -> Self {
        Self { out: RefCell::new(out), err: RefCell::new(err), format, seen, quiet, verbose }
    }

    /// Whether output is for programs: JSON, one document or one object a line.
    pub fn for_programs(&self) -> bool {
        matches!(self.format, Some(Format::Json | Format::Jsonl))
    }

    /// Whether results are laid out for a person: on a terminal unless another form was asked for.
    pub fn for_people(&self) -> bool {
        match self.format {
            None => self.seen.out,
            Some(Format::Table) => true,
            Some(Format::Json | Format::Jsonl | Format::Yaml | Format::Raw) => false,
        }
    }

    /// Writes result text as it is and flushes it.
    ///
    /// # Errors
    /// [`Exit::BrokenPipe`] when the reader went away.
    pub fn out(&self, text: &str) -> Result<(), CliError> {
        self.out_bytes(text.as_bytes(), true)
    }

    /// Writes result bytes; without `flush` they may wait for more.
    ///
    /// # Errors
    /// [`Exit::BrokenPipe`] when the reader went away.
    pub fn out_bytes(&self, bytes: &[u8], flush: bool) -> Result<(), CliError> {
        let mut out = self.out.borrow_mut();
        let written = out.write_all(bytes).and_then(|()| if flush { out.flush() } else { Ok(()) });
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::new(Exit::BrokenPipe, "broken-pipe", "the reader went away"),
            _ => CliError::io("cannot write the result", &error),
        })
    }

    /// Says something beside the result; not with `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Says something beside the result, whatever was asked for. A stderr that is gone stops nobody.
    pub fn say(&self, text: &str) {
        let mut err = self.err.borrow_mut();
        let _ = writeln!(err, "{text}").and_then(|()| err.flush());
    }

    /// Says what went wrong, in the form that suits the reader.
    pub fn error(&self, error: &CliError) {
        if error.exit == Exit::BrokenPipe {
            return;
        }
        if self.for_programs() {
            self.say(&error.for_programs().to_string());
        } else {
            self.say(error.for_people(|label| self.paint_err(Tone::Bad, label)).trim_end_matches('\n'));
        }
    }

    /// Text in results, coloured if that suits the reader.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        paint(self.seen.colour_out, tone, text)
    }

    /// Text in notes, coloured if that suits the reader.
    pub fn paint_err(&self, tone: Tone, text: &str) -> String {
        paint(self.seen.colour_err, tone, text)
    }

    /// Prints one result: laid out by `layout` for a person, as a document otherwise.
    ///
    /// # Errors
    /// [`Exit::BrokenPipe`] when the reader went away.
    pub fn show<T: Serialize>(&self, value: &T, layout: impl FnOnce() -> String) -> Result<(), CliError> {
        if self.for_people() {
            let text = layout();
            return self.out(&format!("{}\n", text.trim_end_matches('\n')));
        }
        self.document(&serde_json::to_value(value).unwrap_or_default())
    }

    /// Prints a list: a table for a person, tab-separated lines without a header in a pipe; `document` whole
    /// as JSON or YAML, and one of `items` a line as JSON lines.
    ///
    /// # Errors
    /// [`Exit::BrokenPipe`] when the reader went away.
    pub fn list<D: Serialize, T: Serialize>(&self, document: &D, items: &[T], table: &Table) -> Result<(), CliError> {
        match self.format {
            None | Some(Format::Table) if self.for_people() => {
                self.out(&table.for_people(self.seen.width, |header| self.paint(Tone::Strong, header)))
            }
            None | Some(Format::Table | Format::Raw) => self.out(&table.for_programs()),
            Some(Format::Jsonl) => {
                let lines: String =
                    items.iter().map(|item| format!("{}\n", serde_json::to_string(item).unwrap_or_default())).collect();
                self.out(&self.harmless_json(lines))
            }
            Some(Format::Json | Format::Yaml) => self.document(&serde_json::to_value(document).unwrap_or_default()),
        }
    }

    /// Prints one JSON document: pretty for a person, compact in a pipe; YAML or raw text when asked for.
    ///
    /// # Errors
    /// [`Exit::BrokenPipe`] when the reader went away.
    pub fn document(&self, value: &Value) -> Result<(), CliError> {
        let text = match (self.format, value) {
            (Some(Format::Yaml), _) => {
                let yaml = serde_saphyr::to_string(value)
                    .map_err(|error| CliError::new(Exit::Failure, "yaml", format!("cannot write YAML: {error}")))?;
                return self.out(&self.harmless_lines(yaml));
            }
            (Some(Format::Raw), Value::String(text)) => return self.out(&self.harmless_lines(format!("{text}\n"))),
            (Some(Format::Json | Format::Table) | None, _) if self.seen.out => serde_json::to_string_pretty(value),
            _ => serde_json::to_string(value),
        };
        self.out(&self.harmless_json(format!("{}\n", text.unwrap_or_default())))
    }

    /// Prints one object of a stream, at once.
    ///
    /// # Errors
    /// [`Exit::BrokenPipe`] when the reader went away.
    pub fn stream<T: Serialize>(&self, item: &T, line: impl FnOnce() -> String) -> Result<(), CliError> {
        match self.format {
            None | Some(Format::Table | Format::Raw) => self.out(&format!("{}\n", line())),
            Some(Format::Json | Format::Jsonl) => {
                self.out(&self.harmless_json(format!("{}\n", serde_json::to_string(item).unwrap_or_default())))
            }
            Some(Format::Yaml) => {
                self.out("---\n")?;
                self.document(&serde_json::to_value(item).unwrap_or_default())
            }
        }
    }

    fn harmless_json(&self, text: String) -> String {
        if self.seen.out { escape_json(&text) } else { text }
    }

    fn harmless_lines(&self, text: String) -> String {
        if self.seen.out { escape_lines(&text) } else { text }
    }
}

fn paint(colour: bool, tone: Tone, text: &str) -> String {
    if !colour {
        return text.to_owned();
    }
    let style = tone.style();
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
pub mod paper;
#[cfg(test)]
mod tests;

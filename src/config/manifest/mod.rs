//! Tools of an operator's own: `tools/*.toml` in the config folder, one tool or many a file. Everything that is
//! wrong is told at once, each with its place in the text; nothing is loaded unless nothing is wrong.

mod arguments;
mod command;
mod http;
mod interpreter;
mod program;
mod schema;
mod tables;
mod tool;
mod upstream;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::domain::id::ToolName;
use crate::domain::tool::upstream::Upstream;
use crate::domain::tool::{BUILT_IN, EffectClass, Tool};
use crate::guard::policy::GROUPS;

pub use self::arguments::{FORMATS as SHORT_FORM_FORMATS, KEYWORDS as SHORT_FORM};
use self::program::Programs;
pub use self::schema::schema;
pub use crate::pipeline::rulebook::nearest;

/// The most bytes of one file.
pub const MOST_BYTES: u64 = 1 << 20;
/// The most tools of all files.
pub const MOST_TOOLS: usize = 10_000;

/// One file of tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// Its text, which everything that is said about it shares.
    pub text: Arc<str>,
}

/// One tool of a file.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The definition.
    pub tool: Tool,
    /// Whether it is to be loaded.
    pub enabled: bool,
    /// Examples of calls, which tests run.
    pub examples: Vec<Example>,
    /// The file.
    pub file: PathBuf,
    /// The name in the file's text.
    pub place: Range<usize>,
    /// The value of `enabled` in the file's text, if it is there.
    pub switch: Option<Range<usize>>,
}

/// One server of a file.
#[derive(Debug, Clone)]
pub struct UpstreamManifest {
    /// What is declared of it.
    pub upstream: Upstream,
    /// Whether it is to be used.
    pub enabled: bool,
    /// The file.
    pub file: PathBuf,
    /// The name in the file's text.
    pub place: Range<usize>,
    /// The value of `enabled` in the file's text, if it is there.
    pub switch: Option<Range<usize>>,
}

/// One example of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The arguments.
    pub arguments: Value,
    /// What the tool answers, when it is always the same.
    pub output: Option<Value>,
}

/// Everything that some files define.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    /// The tools, by file and place.
    pub tools: Vec<Manifest>,
    /// The servers, by file and place.
    pub upstreams: Vec<UpstreamManifest>,
    /// What is not wrong, but probably not meant.
    pub warnings: Vec<Problem>,
}

/// One thing that is wrong with a file of tools.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// The file.
    pub file: PathBuf,
    /// Its text.
    pub text: Arc<str>,
    /// The bytes of the text at fault; none when it is about the whole file.
    pub span: Option<Range<usize>>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    fn new(source: &Source, span: impl Into<Option<Range<usize>>>, message: impl Into<String>) -> Self {
        let (file, text) = (source.path.clone(), Arc::clone(&source.text));
        Self { message: message.into(), file, text, span: span.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Line and column of the place at fault, both from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        let before = self.text.get(..self.span.as_ref()?.start)?;
        let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        Some((before.matches('\n').count() + 1, line.chars().count() + 1))
    }

    /// File, line and column, as editors take them.
    pub fn place(&self) -> String {
        match self.position() {
            Some((line, column)) => format!("{}:{line}:{column}", self.file.display()),
            None => self.file.display().to_string(),
        }
    }
}

impl miette::Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let span = self.span.clone()?;
        Some(Box::new(std::iter::once(miette::LabeledSpan::new_primary_with_span(None, span))))
    }
}

/// Everything that is wrong; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}: {problem}", problem.place())?;
        }
        Ok(())
    }
}

/// Reads every `*.toml` of a folder, by name; nothing when the folder is not there.
///
/// # Errors
/// The path that cannot be read, and why.
pub fn read_folder(folder: &Path) -> Result<Vec<Source>, (PathBuf, io::Error)> {
    let failed = |error| (folder.to_owned(), error);
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in listing {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.into_iter().map(|path| read_file(&path).map_err(|error| (path, error))).collect()
}

/// Reads one file.
///
/// # Errors
/// When it cannot be read or is too long.
pub fn read_file(path: &Path) -> io::Result<Source> {
    if fs::metadata(path)?.len() > MOST_BYTES {
        return Err(io::Error::other(format!("it has more than {MOST_BYTES} bytes")));
    }
    // Programs are found from the file's own folder, so it must not depend on ours.
    let path = std::path::absolute(path)?;
    Ok(Source { text: fs::read_to_string(&path)?.into(), path })
}

/// Reads the tools of all files.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn load(sources: &[Source]) -> Result<Manifests, Problems> {
    let mut problems = Vec::new();
    let mut all = Manifests::default();
    let mut programs = Programs::default();
    for source in sources {
        let (tables, wrong) = tables::read(source);
        problems.extend(wrong);
        for table in tables.tools {
            let read = tool::read(source, table, &mut programs);
            problems.extend(read.problems);
            all.warnings.extend(read.warnings);
            all.tools.extend(read.manifest);
        }
        for table in tables.upstreams {
            let read = upstream::read(source, table, &mut programs);
            problems.extend(read.problems);
            all.warnings.extend(read.warnings);
            all.upstreams.extend(read.manifest);
        }
    }
    let files = Files(sources.iter().map(|source| (source.path.as_path(), source)).collect());
    // A tool that is missing only because something is wrong with it is no fault of the tool that names it.
    let helpers = if problems.is_empty() { helpers_missing(&files, &all) } else { Vec::new() };
    problems.extend(names_taken_twice(&files, &all.tools));
    problems.extend(servers_taken_twice(&files, &all));
    problems.extend(helpers);
    if let (Some(source), true) = (sources.last(), all.tools.len() > MOST_TOOLS) {
        problems.push(Problem::new(source, None, format!("there are more than {MOST_TOOLS} tools")));
    }
    if problems.is_empty() {
        return Ok(all);
    }
    // As whoever mends them comes by them.
    problems.sort_by(|a, b| {
        let place = |problem: &Problem| problem.span.as_ref().map(|span| span.start);
        (&a.file, place(a)).cmp(&(&b.file, place(b)))
    });
    Err(Problems(problems))
}

/// The files by path.
struct Files<'a>(BTreeMap<&'a Path, &'a Source>);

impl Files<'_> {
    /// Something wrong at a place in one of them.
    fn problem(&self, file: &Path, place: &Range<usize>, message: String) -> Option<Problem> {
        self.0.get(file).map(|source| Problem::new(source, place.clone(), message))
    }
}

/// Whether no tool of an operator's own may have this name, whatever else there is.
pub fn is_taken(name: &str) -> bool {
    BUILT_IN.contains(&name) || GROUPS.contains(&name) || name.starts_with(tool::RESERVED)
}

/// Names that two tools have, or that are taken.
fn names_taken_twice(files: &Files<'_>, tools: &[Manifest]) -> Vec<Problem> {
    let mut seen: BTreeMap<&ToolName, &Manifest> = BTreeMap::new();
    let mut problems = Vec::new();
    for manifest in tools {
        let name = &manifest.tool.name;
        let problem = |message: String| files.problem(&manifest.file, &manifest.place, message);
        if BUILT_IN.contains(&name.as_str()) {
            let problem = problem(format!("`{name}` is the name of a tool that is built in"));
            problems.extend(problem.map(|problem| problem.hint("choose another name")));
        } else if GROUPS.contains(&name.as_str()) {
            let problem = problem(format!("policies use `{name}` for a group of tools"));
            problems.extend(problem.map(|problem| problem.hint("choose another name")));
        } else if let Some(first) = seen.get(name) {
            let first = files.problem(&first.file, &first.place, String::new());
            let first = first.map(|first| first.place()).unwrap_or_default();
            let problem = problem(format!("two tools are named `{name}`"));
            problems.extend(problem.map(|it| it.hint(format!("rename this one; the other is at {first}"))));
        } else {
            seen.insert(name, manifest);
        }
    }
    problems
}

/// Servers of one name, and tools that have a name of theirs.
fn servers_taken_twice(files: &Files<'_>, all: &Manifests) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for server in &all.upstreams {
        let name = server.upstream.name.as_str();
        if !names.insert(name) {
            let problem = files.problem(&server.file, &server.place, format!("two servers are named `{name}`"));
            problems.extend(problem.map(|problem| problem.hint("rename this one")));
        }
    }
    for manifest in &all.tools {
        let Some((before, _)) = manifest.tool.name.as_str().split_once('.') else { continue };
        if names.contains(before) {
            let message = format!("names that begin with `{before}.` are those of the server `{before}`");
            let problem = files.problem(&manifest.file, &manifest.place, message);
            problems.extend(problem.map(|problem| problem.hint("choose another name")));
        }
    }
    problems
}

/// Probes and previews that are no read-only tools.
fn helpers_missing(files: &Files<'_>, all: &Manifests) -> Vec<Problem> {
    // What a server lists is known later; what only reads is what the operator says.
    let said = all.upstreams.iter().flat_map(|server| {
        server
            .upstream
            .declared
            .iter()
            .map(move |(tool, said)| (server, format!("{}.{tool}", server.upstream.name), said))
    });
    let theirs: Vec<_> = said.collect();
    let reads: BTreeMap<&str, bool> = theirs
        .iter()
        .map(|(_, name, said)| (name.as_str(), said.effect == Some(EffectClass::ReadOnly)))
        .chain(all.tools.iter().map(|one| (one.tool.name.as_str(), one.tool.is_read_only())))
        .collect();
    let own = all.tools.iter().map(|one| (&one.file, &one.place, one.tool.name.as_str(), &one.tool.extras));
    let asking = theirs.iter().map(|(server, name, said)| (&server.file, &server.place, name.as_str(), &said.extras));
    let mut problems = Vec::new();
    for (file, place, asking, extras) in own.chain(asking) {
        for (role, name) in [("probe", &extras.probe), ("preview", &extras.preview)] {
            let Some(name) = name else { continue };
            let message = match reads.get(name.as_str()) {
                Some(true) => continue,
                Some(false) => format!("the {role} `{name}` must be a tool that only reads (effect = \"readonly\")"),
                None if BUILT_IN.contains(&name.as_str()) => {
                    format!("the {role} `{name}` must be a tool of your own")
                }
                None => format!("there is no tool `{name}` to be the {role} of `{asking}`"),
            };
            problems.extend(files.problem(file, place, message));
        }
    }
    problems
}

#[cfg(test)]
mod tests;

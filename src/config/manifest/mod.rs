//! Tools of an operator's own: `tools/*.toml` in the config folder, one tool or many a file. Everything that is
//! wrong is told at once, each with its place in the text; nothing is loaded unless nothing is wrong.

mod arguments;
mod command;
mod http;
mod interpreter;
mod program;
mod schema;
mod tool;
mod upstream;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::domain::id::ToolName;
use crate::domain::tool::upstream::Upstream;
use crate::domain::tool::{BUILT_IN, EffectClass, Tool};
use crate::guard::policy::GROUPS;

pub use self::arguments::KEYWORDS as SHORT_FORM;
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
    /// Its text.
    pub text: String,
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
    pub text: String,
    /// The bytes of the text at fault; none when it is about the whole file.
    pub span: Option<Range<usize>>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    fn new(source: &Source, span: impl Into<Option<Range<usize>>>, message: impl Into<String>) -> Self {
        let (file, text) = (source.path.clone(), source.text.clone());
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
    Ok(Source { text: fs::read_to_string(&path)?, path })
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
        match written::read(source) {
            Ok(tables) => {
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
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(names_taken_twice(sources, &all.tools));
    problems.extend(servers_taken_twice(sources, &all));
    problems.extend(helpers_missing(sources, &all));
    if let (Some(source), true) = (sources.last(), all.tools.len() > MOST_TOOLS) {
        problems.push(Problem::new(source, None, format!("there are more than {MOST_TOOLS} tools")));
    }
    if problems.is_empty() { Ok(all) } else { Err(Problems(problems)) }
}

/// Whether no tool of an operator's own may have this name, whatever else there is.
pub fn is_taken(name: &str) -> bool {
    BUILT_IN.contains(&name) || GROUPS.contains(&name) || name.starts_with(tool::RESERVED)
}

/// Names that two tools have, or that are taken.
fn names_taken_twice(sources: &[Source], tools: &[Manifest]) -> Vec<Problem> {
    let mut seen: BTreeMap<&ToolName, &Manifest> = BTreeMap::new();
    let mut problems = Vec::new();
    for manifest in tools {
        let name = &manifest.tool.name;
        let Some(source) = sources.iter().find(|source| source.path == manifest.file) else { continue };
        let problem = |message: String| Problem::new(source, manifest.place.clone(), message);
        if BUILT_IN.contains(&name.as_str()) {
            let problem = problem(format!("`{name}` is the name of a tool that is built in"));
            problems.push(problem.hint("choose another name"));
        } else if GROUPS.contains(&name.as_str()) {
            let problem = problem(format!("policies use `{name}` for a group of tools"));
            problems.push(problem.hint("choose another name"));
        } else if let Some(first) = seen.get(name) {
            let text = sources.iter().find(|source| source.path == first.file);
            let first = text.map(|source| Problem::new(source, first.place.clone(), "").place()).unwrap_or_default();
            let problem = problem(format!("two tools are named `{name}`"));
            problems.push(problem.hint(format!("rename this one; the other is at {first}")));
        } else {
            seen.insert(name, manifest);
        }
    }
    problems
}

/// Servers of one name, and tools that have a name of theirs.
fn servers_taken_twice(sources: &[Source], all: &Manifests) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, server) in all.upstreams.iter().enumerate() {
        let name = &server.upstream.name;
        if let Some(source) = sources.iter().find(|source| source.path == server.file)
            && all.upstreams.iter().take(at).any(|other| other.upstream.name == *name)
        {
            let problem = Problem::new(source, server.place.clone(), format!("two servers are named `{name}`"));
            problems.push(problem.hint("rename this one"));
        }
    }
    for manifest in &all.tools {
        let Some((before, _)) = manifest.tool.name.as_str().split_once('.') else { continue };
        if let Some(source) = sources.iter().find(|source| source.path == manifest.file)
            && all.upstreams.iter().any(|server| server.upstream.name.as_str() == before)
        {
            let message = format!("names that begin with `{before}.` are those of the server `{before}`");
            problems.push(Problem::new(source, manifest.place.clone(), message).hint("choose another name"));
        }
    }
    problems
}

/// A tool that another one names.
enum Helper {
    /// It only reads.
    Reads,
    /// It does not.
    Acts,
    /// There is none.
    Missing,
}

impl Manifests {
    fn helper(&self, name: &ToolName) -> Helper {
        let own = self.tools.iter().find(|other| other.tool.name == *name).map(|other| other.tool.is_read_only());
        let (server, tool) = name.as_str().split_once('.').unwrap_or_default();
        let server = self.upstreams.iter().find(|other| other.upstream.name.as_str() == server);
        // What a server lists is known later; what only reads is what the operator says.
        let declared = server
            .and_then(|server| server.upstream.declared.get(tool))
            .map(|said| said.effect == Some(EffectClass::ReadOnly));
        match own.or(declared) {
            Some(true) => Helper::Reads,
            Some(false) => Helper::Acts,
            None => Helper::Missing,
        }
    }
}

/// Probes and previews that are no read-only tools.
fn helpers_missing(sources: &[Source], all: &Manifests) -> Vec<Problem> {
    let own = all.tools.iter().map(|one| (&one.file, &one.place, one.tool.name.to_string(), &one.tool.extras));
    let theirs = all.upstreams.iter().flat_map(|server| {
        server.upstream.declared.iter().map(move |(tool, said)| {
            (&server.file, &server.place, format!("{}.{tool}", server.upstream.name), &said.extras)
        })
    });
    let mut problems = Vec::new();
    for (file, place, asking, extras) in own.chain(theirs) {
        let Some(source) = sources.iter().find(|source| source.path == *file) else { continue };
        for (role, name) in [("probe", &extras.probe), ("preview", &extras.preview)] {
            let Some(name) = name else { continue };
            let message = match all.helper(name) {
                Helper::Reads => continue,
                Helper::Acts => format!("the {role} `{name}` must be a tool that only reads (effect = \"readonly\")"),
                Helper::Missing if BUILT_IN.contains(&name.as_str()) => {
                    format!("the {role} `{name}` must be a tool of your own")
                }
                Helper::Missing => format!("there is no tool `{name}` to be the {role} of `{asking}`"),
            };
            problems.push(Problem::new(source, place.clone(), message));
        }
    }
    problems
}

#[cfg(test)]
mod tests;

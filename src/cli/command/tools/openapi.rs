//! `tools add --openapi`: tools from an OpenAPI document. What becomes of it is shown before anything is written, and
//! what is written is checked before as every other file of tools.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files;
use crate::cli::args::OpenApiArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::import::openapi::{Choices, Imported, MOST_BYTES, Refused, Selection, import};
use crate::cli::prompt;
use crate::cli::text::{escape_untrusted, shell_word};
use crate::client::fetch;
use crate::config::manifest::{self, Manifests, Problems, Source};

/// Operations and notes named of each kind, unless more is asked for.
const FEW: usize = 3;
/// More tools than these are more than an agent is served by.
const MANY: usize = 100;

/// What was done.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    #[serde(flatten)]
    imported: &'a Imported,
    files: &'a [PathBuf],
    /// What is probably not meant.
    warnings: Vec<String>,
    /// Whether a daemon has taken it.
    in_force: bool,
}

/// Imports a document.
///
/// # Errors
/// What is wrong with the document, with what it would become or with where it would go; exit 2 when it must be
/// confirmed and nobody can be asked. Then nothing is changed.
pub fn add(cx: &Context, source: &str, args: &OpenApiArgs) -> Result<Exit, CliError> {
    let (bytes, fetched) = read(cx, source)?;
    let shown = if source == "-" { "stdin" } else { source };
    let imported =
        import(&bytes, &label(shown), fetched.as_deref(), &choices(args)).map_err(|refused| wrong(shown, &refused))?;
    if imported.tools.is_empty() {
        let error = CliError::new(Exit::Usage, "no-tools", format!("{shown}: no operation can become a tool"));
        let error = error.hint(skipped(&imported, cx.ui.verbose > 0).join("\n"));
        return Err(match private(&imported) {
            Some(address) => error.attempt(format!("{} --allow {address}", again(source, args))),
            None => error,
        });
    }
    if args.print {
        cx.ui.out(&imported.files.join("\n"))?;
        summary(cx, &imported).iter().for_each(|line| cx.ui.note(line));
        return Ok(Exit::Done);
    }
    let files = Files::plan(cx, &imported, args.force)?;
    let all = files.check(cx, &imported)?;
    let warnings: Vec<String> =
        all.warnings.iter().filter(|one| files.are(&one.file)).map(ToString::to_string).collect();
    let agreed = args.yes || cx.globals.assume_yes;
    let mut lines = summary(cx, &imported);
    lines.extend(
        warnings.first().map(|first| format!("care     {} ({} such)", escape_untrusted(first), warnings.len())),
    );
    lines.extend(files.paths.iter().map(|path| format!("file     {}", escape_untrusted(&path.display().to_string()))));
    for line in lines.iter().filter(|_| !cx.ui.for_programs()) {
        // A person who is asked sees what about, whatever was asked for.
        if !agreed && cx.ui.seen.ask { cx.ui.say(line) } else { cx.ui.note(line) }
    }
    if !agreed && !cx.ui.seen.ask {
        return Err(CliError::usage("nothing was written")
            .hint("`--yes` says that you want this")
            .attempt(again(source, args)));
    }
    if !agreed && !prompt::confirm(cx, &format!("Add {}?", count(imported.tools.len(), "tool")))? {
        cx.ui.note("nothing was written");
        return Ok(Exit::Done);
    }
    files.write(&imported)?;
    let in_force = files::taken(cx, || files.undo())?;
    let outcome = Outcome { imported: &imported, files: &files.paths, warnings, in_force };
    cx.ui.show(&outcome, || {
        let added = format!("added {}", count(imported.tools.len(), "tool"));
        if in_force { added } else { format!("{added}; no daemon runs, so they count from the next start") }
    })?;
    Ok(Exit::Done)
}

fn choices(args: &OpenApiArgs) -> Choices {
    Choices {
        selection: Selection { include: args.include.clone(), exclude: args.exclude.clone() },
        name: args.name.clone(),
        prefix: args.prefix.clone().unwrap_or_default(),
        server: args.server.clone(),
        bearer: args.bearer.clone(),
        secrets: args.secret.iter().cloned().collect::<BTreeMap<_, _>>(),
        allow: args.allow.clone(),
        answers: args.with_output_schemas,
    }
}

/// The document, and where it was fetched from if it was.
fn read(cx: &Context, source: &str) -> Result<(Vec<u8>, Option<String>), CliError> {
    if source.contains("://") {
        let bytes = cx.run(fetch(source, MOST_BYTES, cx.deadline()))?.map_err(|why| {
            let error = CliError::new(Exit::Failure, "not-fetched", why.to_string());
            match why.hint() {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })?;
        return Ok((bytes, Some(source.to_owned())));
    }
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    let failed = |error: std::io::Error| CliError::io(format!("cannot read `{source}`"), &error);
    let mut bytes = Vec::new();
    // One byte more than is taken tells a document that is too long.
    if source == "-" {
        std::io::stdin().take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = std::fs::File::open(source).map_err(failed)?;
        file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok((bytes, None))
}

/// What the document is called in the files: its name, not the folders of who imported it.
fn label(source: &str) -> String {
    if source.contains("://") {
        return source.split('?').next().unwrap_or_default().to_owned();
    }
    Path::new(source).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_else(|| source.to_owned())
}

fn wrong(source: &str, refused: &Refused) -> CliError {
    let error = CliError::new(Exit::Usage, "openapi-refused", format!("{source}: {refused}"));
    match refused.hint() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Where the tools go.
struct Files {
    /// Those that are written, in order.
    paths: Vec<PathBuf>,
    /// What was there before: files of this name, by path.
    before: Vec<Source>,
    /// All other files of tools.
    others: Vec<Source>,
}

impl Files {
    fn plan(cx: &Context, imported: &Imported, force: bool) -> Result<Self, CliError> {
        let folder = files::folder(cx)?;
        let path = |number: usize| match number {
            1 => folder.join(format!("{}.toml", imported.name)),
            number => folder.join(format!("{}-{number}.toml", imported.name)),
        };
        let paths: Vec<PathBuf> = (1..=imported.files.len()).map(path).collect();
        let ours = |source: &Source| {
            (1..).map(path).take_while(|path| path.exists() || paths.contains(path)).any(|path| path == source.path)
        };
        let (before, others): (Vec<Source>, Vec<Source>) = files::sources(cx)?.into_iter().partition(ours);
        if let (Some(first), false) = (before.first(), force) {
            let message = format!("`{}` is there already", first.path.display());
            return Err(CliError::new(Exit::Conflict, "exists", message)
                .hint("give this import another name with --name, or replace what is there, and all that you changed in it, with --force"));
        }
        Ok(Self { paths, before, others })
    }

    fn are(&self, path: &Path) -> bool {
        self.paths.iter().any(|own| own == path)
    }

    /// Loads everything as it will be.
    fn check(&self, cx: &Context, imported: &Imported) -> Result<Manifests, CliError> {
        let new = self
            .paths
            .iter()
            .zip(&imported.files)
            .map(|(path, text)| Source { path: path.clone(), text: text.as_str().into() });
        let sources: Vec<Source> = self.others.iter().cloned().chain(new).collect();
        manifest::load(&sources).map_err(|problems| self.refuse(cx, &problems))
    }

    /// Why the tools cannot be there, with the flag that helps.
    fn refuse(&self, cx: &Context, problems: &Problems) -> CliError {
        let few = Problems(problems.0.iter().take(if cx.ui.verbose > 0 { usize::MAX } else { FEW }).cloned().collect());
        let error = files::wrong(cx, &few, "nothing was written");
        let any = |words: &str| problems.0.iter().any(|problem| problem.message.contains(words));
        if any("two tools are named") {
            return error.hint("begin the names of these with something of their own: --prefix NAME");
        }
        if any("there are more than") { error.hint("choose fewer with --include") } else { error }
    }

    /// Writes all files, or none: what an earlier import left beyond them goes.
    fn write(&self, imported: &Imported) -> Result<(), CliError> {
        for (path, text) in self.paths.iter().zip(&imported.files) {
            if let Err(error) = files::write(path, text) {
                self.undo().map_err(|error| CliError::io("the change could not be taken back", &error))?;
                return Err(error);
            }
        }
        for stale in self.before.iter().filter(|before| !self.are(&before.path)) {
            std::fs::remove_file(&stale.path)
                .map_err(|error| CliError::io(format!("cannot remove `{}`", stale.path.display()), &error))?;
        }
        Ok(())
    }

    /// Makes everything as it was.
    fn undo(&self) -> std::io::Result<()> {
        for path in self.paths.iter().filter(|path| path.exists()) {
            std::fs::remove_file(path)?;
        }
        self.before.iter().try_for_each(|source| std::fs::write(&source.path, source.text.as_bytes()))
    }
}

/// What becomes of the document, for people: a line for each fact.
fn summary(cx: &Context, imported: &Imported) -> Vec<String> {
    let all = cx.ui.verbose > 0;
    let reads = imported.tools.iter().filter(|tool| tool.effect == "readonly").count();
    let tools = imported.tools.len();
    let mut lines = vec![
        format!(
            "{} {}: {}",
            escape_untrusted(&imported.title),
            escape_untrusted(&imported.version),
            count(imported.operations, "operation")
        ),
        format!("tools    {tools}: {reads} only read, {} act, each once and never again by itself", tools - reads),
    ];
    if tools > MANY {
        lines.push("care     agents choose badly among so many tools; --include takes fewer".to_owned());
    }
    lines.extend(skipped(imported, all));
    let mut notes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for note in &imported.notes {
        notes.entry(&note.note).or_default().push(&note.tool);
    }
    let shown = notes.len().min(if all { usize::MAX } else { FEW });
    for (note, tools) in notes.iter().take(shown) {
        lines.push(format!("note     {} {}", some(tools, all), escape_untrusted(note)));
    }
    if shown < notes.len() {
        lines.push(format!("         and {} more; -v shows them", count(notes.len() - shown, "note")));
    }
    lines.extend(imported.servers.iter().map(|server| format!("server   {}", escape_untrusted(server))));
    for secret in &imported.secrets {
        lines.push(format!("secret   {}  {}", escape_untrusted(&secret.reference), escape_untrusted(&secret.what)));
    }
    if !imported.secrets.is_empty() {
        lines.push("         set what begins with env: in the environment of the daemon before it starts".to_owned());
    }
    if imported.secrets.is_empty() {
        let schemes = imported.unused_schemes.join(", ");
        lines.push(match schemes.is_empty() {
            true => {
                "secret   none: the document asks for none; if its server does, --bearer REF sends a token".to_owned()
            }
            false => format!(
                "secret   none: no tool asks for {}; if its server does, --bearer REF sends a token",
                escape_untrusted(&schemes)
            ),
        });
    }
    lines
}

/// Operations without tools, a line for each kind or, when all are asked for, for each of them.
fn skipped(imported: &Imported, all: bool) -> Vec<String> {
    if all {
        return imported
            .skipped
            .iter()
            .map(|one| format!("skipped  {}: {}", escape_untrusted(&one.operation), escape_untrusted(&one.why)))
            .collect();
    }
    let mut kinds: BTreeMap<&str, Vec<&crate::cli::import::openapi::Skipped>> = BTreeMap::new();
    for one in &imported.skipped {
        kinds.entry(one.kind).or_default().push(one);
    }
    let line = |(kind, ones): (&&str, &Vec<&crate::cli::import::openapi::Skipped>)| {
        let first =
            ones.first().map(|one| format!("{}: {}", escape_untrusted(&one.operation), escape_untrusted(&one.why)));
        let more = if ones.len() > 1 { ", for example" } else { "" };
        format!("skipped  {} ({kind}){more} {}", ones.len(), first.unwrap_or_default())
    };
    kinds.iter().map(line).collect()
}

/// The private address that keeps tools from being loaded, if one does.
fn private(imported: &Imported) -> Option<&str> {
    let (_, behind) = imported.skipped.iter().find_map(|one| one.why.split_once("allow = [\""))?;
    behind.split('"').next()
}

/// Some names, and how many more there are.
fn some(names: &[&str], all: bool) -> String {
    let shown = if all { names.len() } else { names.len().min(2) };
    let listed = names.iter().take(shown).map(|name| escape_untrusted(name)).collect::<Vec<_>>().join(", ");
    if shown < names.len() { format!("{listed} and {} more each", names.len() - shown) } else { listed }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// The command that does not ask.
fn again(source: &str, args: &OpenApiArgs) -> String {
    let mut command = format!("toolctl tools add --openapi {}", shell_word(source));
    let lists = [("--include", &args.include), ("--exclude", &args.exclude), ("--allow", &args.allow)];
    for (flag, values) in lists {
        for value in values {
            command.push_str(&format!(" {flag} {}", shell_word(value)));
        }
    }
    let secrets = args.secret.iter().map(|(scheme, reference)| ("--secret", format!("{scheme}={reference}")));
    let one = |flag, value: &Option<String>| value.clone().map(|value| (flag, value));
    let ones = [
        one("--name", &args.name),
        one("--prefix", &args.prefix),
        one("--server", &args.server),
        one("--bearer", &args.bearer.as_ref().map(ToString::to_string)),
    ];
    for (flag, value) in ones.into_iter().flatten().chain(secrets) {
        command.push_str(&format!(" {flag} {}", shell_word(&value)));
    }
    for (flag, given) in [("--with-output-schemas", args.with_output_schemas), ("--force", args.force)] {
        if given {
            command.push_str(&format!(" {flag}"));
        }
    }
    format!("{command} --yes")
}

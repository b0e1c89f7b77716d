//! The folder of an operator's own tools, as the command line sees it: whatever is changed there is checked
//! before, and the daemon, when one runs, takes it at once.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::api::admin;
use crate::api::endpoint::Nothing;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::fault::{self, Fault, Faults};
use crate::config::manifest::{self, Manifest, Manifests, Problems, Source};

/// Where the files are.
///
/// # Errors
/// When there is no place for configuration.
pub fn folder(cx: &Context) -> Result<PathBuf, CliError> {
    Ok(cx.paths()?.config.join("tools"))
}

/// Reads every file of the folder.
///
/// # Errors
/// A file that cannot be read.
pub fn sources(cx: &Context) -> Result<Vec<Source>, CliError> {
    let read = manifest::read_folder(&folder(cx)?);
    read.map_err(|(path, error)| CliError::io(format!("cannot read `{}`", path.display()), &error))
}

/// Reads one file.
///
/// # Errors
/// When it cannot be read.
pub fn source(path: &Path) -> Result<Source, CliError> {
    manifest::read_file(path).map_err(|error| CliError::io(format!("cannot read `{}`", path.display()), &error))
}

/// Everything that the folder defines.
///
/// # Errors
/// Whatever is wrong with it.
pub fn load(cx: &Context) -> Result<(Vec<Source>, Manifests), CliError> {
    let sources = sources(cx)?;
    let all = manifest::load(&sources).map_err(|problems| wrong(cx, &problems, "nothing was done"))?;
    Ok((sources, all))
}

/// The tool of this name in the folder.
///
/// # Errors
/// When there is none.
pub fn find<'a>(all: &'a Manifests, name: &str) -> Result<&'a Manifest, CliError> {
    let found = all.tools.iter().find(|manifest| manifest.tool.name.as_str() == name);
    found.ok_or_else(|| {
        let names = all.tools.iter().map(|manifest| manifest.tool.name.as_str());
        let near = manifest::nearest(name, names).map(|near| format!("did you mean `{near}`?"));
        let hint = near.unwrap_or_else(|| "`toolctl tools add FILE` adds tools".to_owned());
        CliError::new(Exit::Usage, "tool-not-found", format!("no file of yours defines a tool `{name}`")).hint(hint)
    })
}

/// A tool or a server of the folder, as far as its file is concerned.
struct Entry<'a> {
    file: &'a Path,
    enabled: bool,
    place: &'a std::ops::Range<usize>,
    switch: Option<&'a std::ops::Range<usize>>,
}

/// The tool or server of this name in the folder.
fn entry<'a>(all: &'a Manifests, name: &str) -> Result<Entry<'a>, CliError> {
    let server = all.upstreams.iter().find(|server| server.upstream.name.as_str() == name);
    if let Some(server) = server {
        let (file, place, switch) = (&server.file, &server.place, server.switch.as_ref());
        return Ok(Entry { file, enabled: server.enabled, place, switch });
    }
    let found = find(all, name)?;
    Ok(Entry { file: &found.file, enabled: found.enabled, place: &found.place, switch: found.switch.as_ref() })
}

/// Files that are wrong, as an error that says each fault with its lines, and what follows from it.
pub fn wrong(cx: &Context, problems: &Problems, so: &str) -> CliError {
    let mut files: BTreeMap<&Path, Faults> = BTreeMap::new();
    for problem in &problems.0 {
        let faults = files
            .entry(&problem.file)
            .or_insert_with(|| Faults::of(&problem.file.display().to_string(), &problem.text));
        let fault = Fault::new(&problem.span.clone().unwrap_or(0..0), problem.message.clone());
        faults.add(Fault { hint: problem.hint.clone(), ..fault });
    }
    fault::error(&cx.ui, files.into_values().collect(), "tools-invalid", so)
}

/// The same of a file that is to be put at `place`: what is wrong is wrong with the file that was named.
fn wrong_there(cx: &Context, mut problems: Problems, place: &Path, named: &Path) -> CliError {
    let (there, here) = (place.display().to_string(), named.display().to_string());
    let folder = place.parent().unwrap_or(place).display();
    for problem in &mut problems.0 {
        if problem.file == place {
            problem.file = named.to_owned();
            if problem.message.starts_with("there is no file") {
                problem.hint = Some(format!("it would be looked for from `{folder}`: give the whole path"));
            }
        }
        problem.hint = problem.hint.take().map(|hint| hint.replace(&there, &here));
    }
    wrong(cx, &problems, "nothing was added")
}

/// Copies a file into the folder, if nothing is wrong with it there, and has the daemon take it.
///
/// # Errors
/// What is wrong with it, a file of that name, or the daemon's own; then nothing is changed.
pub fn add(cx: &Context, file: &Path) -> Result<Exit, CliError> {
    let folder = folder(cx)?;
    let new = source(file)?;
    let name = file.file_name().filter(|_| file.extension().is_some_and(|extension| extension == "toml"));
    let name = name.ok_or_else(|| CliError::usage(format!("`{}` does not end in .toml", file.display())))?;
    let place = folder.join(name);
    if place.exists() {
        return Err(CliError::new(Exit::Conflict, "exists", format!("`{}` is there already", place.display()))
            .hint("edit it there and `toolctl reload`, or give yours another name"));
    }
    // As it will be there: relative paths begin at its folder.
    let mut sources = sources(cx)?;
    sources.push(Source { path: place.clone(), text: new.text.clone() });
    let all = manifest::load(&sources).map_err(|problems| wrong_there(cx, problems, &place, file))?;
    let tools = all.tools.iter().filter(|manifest| manifest.file == place).map(|one| one.tool.name.to_string());
    let servers = all.upstreams.iter().filter(|manifest| manifest.file == place);
    let servers: Vec<_> = servers.map(|one| one.upstream.name.to_string()).collect();
    let added: Vec<_> = tools.chain(servers.iter().map(|name| format!("the server {name}"))).collect();
    write(&place, &new.text)?;
    let done = finish(cx, &format!("added {}", added.join(", ")), || std::fs::remove_file(&place))?;
    for name in servers {
        cx.ui.note(&format!("look at what it lists: toolctl tools trust {name}"));
    }
    Ok(done)
}

/// Removes the file of a tool that has a file to itself.
///
/// # Errors
/// When there is no such tool or its file holds others.
pub fn remove(cx: &Context, name: &str) -> Result<Exit, CliError> {
    let (sources, all) = load(cx)?;
    let found = entry(&all, name)?;
    let tools = all.tools.iter().filter(|other| other.file == found.file).count();
    let others = tools + all.upstreams.iter().filter(|other| other.file == found.file).count() - 1;
    if others > 0 {
        let message = format!("`{}` holds {others} others", found.file.display());
        return Err(CliError::new(Exit::Conflict, "shared-file", message)
            .hint("take it out of the file and `toolctl reload`, or disable it")
            .attempt(format!("toolctl tools disable {name}")));
    }
    let before = sources.iter().find(|source| source.path == found.file).map(|source| source.text.clone());
    std::fs::remove_file(found.file)
        .map_err(|error| CliError::io(format!("cannot remove `{}`", found.file.display()), &error))?;
    finish(cx, &format!("removed {name}"), || std::fs::write(found.file, before.unwrap_or_default().as_bytes()))
}

/// Switches a tool on or off, in its file, and leaves everything else there as it is.
///
/// # Errors
/// When there is no such tool, or its file cannot be written.
pub fn switch(cx: &Context, name: &str, on: bool) -> Result<Exit, CliError> {
    let (sources, all) = load(cx)?;
    let found = entry(&all, name)?;
    let word = if on { "enabled" } else { "disabled" };
    if found.enabled == on {
        cx.ui.show(&json!({"tool": name, "enabled": on, "changed": false}), || format!("{name} is {word} already"))?;
        return Ok(Exit::Done);
    }
    let text =
        sources.iter().find(|source| source.path == found.file).map(|source| source.text.clone()).unwrap_or_default();
    let changed = match found.switch {
        Some(place) => splice(&text, place.clone(), &on.to_string()),
        None => splice(&text, found.place.end..found.place.end, &format!("\nenabled = {on}")),
    };
    // The edit must mean what it says, whatever the file looks like.
    let edited: Vec<Source> = sources
        .iter()
        .map(|source| {
            if source.path == found.file {
                Source { text: changed.as_str().into(), ..source.clone() }
            } else {
                source.clone()
            }
        })
        .collect();
    let took = manifest::load(&edited).is_ok_and(|all| entry(&all, name).is_ok_and(|edited| edited.enabled == on));
    if !took {
        let message = format!("`{}` is written in a way that cannot be changed here", found.file.display());
        return Err(CliError::new(Exit::Failure, "not-changed", message).hint(format!("say enabled = {on} there")));
    }
    write(found.file, &changed)?;
    finish(cx, &format!("{word} {name}"), || std::fs::write(found.file, text.as_bytes()))
}

fn splice(text: &str, place: std::ops::Range<usize>, new: &str) -> String {
    let (before, after) = (text.get(..place.start).unwrap_or(text), text.get(place.end..).unwrap_or_default());
    format!("{before}{new}{after}")
}

/// Writes a file whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::io(format!("cannot write `{}`", path.display()), &error);
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Has the daemon take the change, and says whether one did; takes it back when the daemon refuses. No daemon is no
/// error.
///
/// # Errors
/// The daemon's own.
pub fn taken(cx: &Context, undo: impl FnOnce() -> std::io::Result<()>) -> Result<bool, CliError> {
    match cx.send::<admin::Reload>(&Nothing {}) {
        Ok(_) => Ok(true),
        Err(error) if error.exit == Exit::Unreachable => Ok(false),
        Err(error) => {
            undo().map_err(|error| CliError::io("the change could not be taken back", &error))?;
            Err(error)
        }
    }
}

/// Takes effect, and says so.
///
/// # Errors
/// As [`taken`].
pub fn finish(cx: &Context, what: &str, undo: impl FnOnce() -> std::io::Result<()>) -> Result<Exit, CliError> {
    let taken = taken(cx, undo)?;
    cx.ui.show(&json!({"done": what, "in_force": taken}), || {
        if taken { what.to_owned() } else { format!("{what}; no daemon runs, so it counts from the next start") }
    })?;
    Ok(Exit::Done)
}

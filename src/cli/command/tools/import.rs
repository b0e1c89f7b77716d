//! `tools add --mcp-from`: the MCP servers that an editor already starts, put behind the daemon. The tables are shown
//! before they are written, and no value that may be a secret is shown or written with them.

use std::path::{Path, PathBuf};

use super::files;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::init::client::McpClient;
use crate::cli::init::edit;
use crate::cli::init::file::ConfigFile;
use crate::cli::init::foreign::{self, Foreign, Machine};
use crate::cli::init::place::Places;
use crate::cli::prompt;
use crate::cli::text::{escape_lines, escape_untrusted};
use crate::config::manifest::{self, Source};
use crate::transport::private;

/// Takes the servers of `client` over; asked on a terminal, at once if `agreed`.
///
/// # Errors
/// Exit 2 when it has none or nobody can be asked, exit 12 when they were taken over before; what is wrong with them.
pub fn run(cx: &Context, client: McpClient, agreed: bool) -> Result<Exit, CliError> {
    let file = ConfigFile::read(&Places::own()?.user(client))?;
    let shown_file = escape_untrusted(&file.path.display().to_string());
    let Some(text) = &file.text else {
        return Err(CliError::new(Exit::Usage, "no-config", format!("there is no `{shown_file}`"))
            .hint("`toolctl init` lists the clients of this machine"));
    };
    let place = files::folder(cx)?.join(format!("mcp-{}.toml", client.word()));
    if place.exists() {
        return Err(CliError::new(Exit::Conflict, "exists", format!("`{}` is there already", place.display()))
            .hint("edit it and `toolctl reload`, or remove it and ask again"));
    }
    let read = edit::read(client.syntax(), text)
        .map_err(|cannot| CliError::new(Exit::Failure, "unreadable", format!("`{shown_file}`: {cannot}")))?;
    let secrets = cx.paths()?.config.join("secrets");
    let machine = Machine { secrets: &secrets, find: &find };
    let known = files::load(cx)?.1;
    let (mut taken, mut notes): (Vec<Foreign>, Vec<String>) = (Vec::new(), Vec::new());
    let entries = read.get(client.slot("").table).and_then(serde_json::Value::as_object);
    for (name, value) in entries.into_iter().flatten() {
        if client.read(name, value).is_some_and(|entry| entry.is_toolctl()) {
            continue;
        }
        match foreign::take(client, name, value, &machine) {
            Ok(made) if known.upstreams.iter().any(|server| server.upstream.name.as_str() == made.name) => {
                notes.push(format!("`{name}` is left out: a server `{}` is declared already", made.name));
            }
            Ok(made) if taken.iter().any(|other| other.name == made.name) => {
                notes.push(format!("`{name}` is left out: another one is named `{}` too", made.name));
            }
            Ok(made) => taken.push(made),
            Err(why) => notes.push(format!("`{name}` is left out: {why}")),
        }
    }
    notes.extend(taken.iter().flat_map(|made| made.notes.clone()));
    let files: Vec<(PathBuf, String)> = taken.iter().flat_map(|made| made.secrets.clone()).collect();
    notes.extend(
        files.iter().map(|(path, _)| format!("a value that may be a secret goes to `{}` (0600)", path.display())),
    );
    if taken.is_empty() {
        say(cx, &notes);
        let message = format!("`{shown_file}` has no server to take over");
        return Err(CliError::new(Exit::Usage, "nothing-to-take", message));
    }
    let text = written(client, &taken);
    let mut all = files::sources(cx)?;
    all.push(Source { path: place.clone(), text: text.as_str().into() });
    manifest::load(&all).map_err(|problems| files::wrong(cx, &problems, "nothing was written"))?;
    if !agreed || cx.ui.for_people() {
        cx.ui.say(&format!("# {}\n{}", place.display(), escape_lines(text.trim_end())));
    }
    say(cx, &notes);
    if !agreed {
        if !cx.ui.seen.ask {
            return Err(CliError::usage("nobody can be asked here, so nothing was written")
                .hint("`-y` says that you want these servers")
                .attempt(format!("toolctl -y tools add --mcp-from {}", client.word())));
        }
        if !prompt::confirm(cx, &format!("Write {}?", escape_untrusted(&place.display().to_string())))? {
            cx.ui.note("nothing was written");
            return Ok(Exit::Done);
        }
    }
    keep(&files)?;
    files::write(&place, &text)?;
    let names: Vec<&str> = taken.iter().map(|made| made.name.as_str()).collect();
    let undo = || {
        for (path, _) in &files {
            std::fs::remove_file(path)?;
        }
        std::fs::remove_file(&place)
    };
    let done = files::finish(cx, &format!("added {}", names.join(", ")), undo)?;
    for name in names {
        cx.ui.note(&format!("look at what it lists: toolctl tools trust {name}"));
    }
    cx.ui.note(&format!("{} still starts them itself: take them out of `{shown_file}`", client.title()));
    Ok(done)
}

fn say(cx: &Context, notes: &[String]) {
    for note in notes {
        cx.ui.note(&escape_untrusted(note));
    }
}

fn written(client: McpClient, taken: &[Foreign]) -> String {
    let tables: Vec<&str> = taken.iter().map(|made| made.table.as_str()).collect();
    format!(
        "# The MCP servers of {}, taken over by `toolctl tools add --mcp-from {}`. What their tools do to the world is\n# \
         for you to say: see `toolctl tools new mcp`.\n\n{}",
        client.title(),
        client.word(),
        tables.join("\n")
    )
}

/// Writes each value where only its owner can read it; all of them or none.
fn keep(files: &[(PathBuf, String)]) -> Result<(), CliError> {
    for (at, (path, value)) in files.iter().enumerate() {
        if let Err(error) = private::write_new(path, value) {
            for (written, _) in files.iter().take(at) {
                // What was written for nothing is worth no second error.
                let _stays = std::fs::remove_file(written);
            }
            return Err(CliError::io(format!("cannot write `{}`", path.display()), &error));
        }
    }
    Ok(())
}

/// Where the editor would find a program: by its path, or on ours.
fn find(command: &str) -> Option<PathBuf> {
    if command.contains('/') {
        return Some(PathBuf::from(command)).filter(|path| path.is_absolute() && path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places =
        std::env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(command));
    places.find(|path: &PathBuf| Path::is_file(path))
}

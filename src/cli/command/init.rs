//! `init`: give an MCP client its entry and its key. What will change is shown before anything is written, and
//! nothing is written unless somebody says so.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::args::InitArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::init::client::McpClient;
use crate::cli::init::diff::{self, Side};
use crate::cli::init::edit;
use crate::cli::init::entry::{self, Entry};
use crate::cli::init::file::ConfigFile;
use crate::cli::init::key::{KeyFact, Wanted};
use crate::cli::init::place::{self, Places};
use crate::cli::init::plan::{self, Owner, Plan};
use crate::cli::prompt;
use crate::cli::table::{Table, facts};
use crate::cli::text::{escape_untrusted, shell_word};
use crate::cli::ui::Tone;

/// What was done, for programs and people alike.
#[derive(Debug, Serialize)]
struct Outcome {
    client: &'static str,
    file: PathBuf,
    /// `added`, `updated`, `unchanged`, `removed`, `restored`, `deleted` or `absent`.
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<Entry>,
    /// The unified difference.
    diff: String,
    /// The old file.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<KeyFact>,
}

/// One client in the list.
#[derive(Debug, Serialize)]
struct Listed {
    client: &'static str,
    title: &'static str,
    /// Whether it is on this machine.
    found: bool,
    /// Whether its config has our entry.
    state: &'static str,
    file: PathBuf,
}

/// Lists the clients, or sets one up.
///
/// # Errors
/// Exit 7 without a daemon, exit 2 when it must be confirmed and nobody can be asked, exit 12 when the name is
/// taken, exit 1 when the client's config cannot be edited.
pub fn run(cx: &Context, args: &InitArgs) -> Result<Exit, CliError> {
    match args.client {
        Some(client) if args.print => print(cx, args, client)?,
        Some(client) if args.undo => undo(cx, args, client)?,
        Some(client) => put(cx, args, client)?,
        None => {
            let clients = list(cx, args)?;
            if cx.ui.seen.ask && cx.ui.for_people() {
                let items = clients.iter().map(|one| match one.found {
                    true => format!("{} ({})", one.title, one.state),
                    false => format!("{} (not found here)", one.title),
                });
                let items: Vec<String> = items.collect();
                let first = clients.iter().position(|one| one.found && one.state != SET_UP).unwrap_or(0);
                let chosen = prompt::select(cx, "Which one? (Esc for none)", &items, first)?;
                if let Some(client) = chosen.and_then(|chosen| McpClient::ALL.get(chosen)) {
                    put(cx, args, *client)?;
                }
            }
        }
    }
    Ok(Exit::Done)
}

const SET_UP: &str = "set up";

fn list(cx: &Context, args: &InitArgs) -> Result<Vec<Listed>, CliError> {
    let places = Places::own()?;
    let mut table = Table::new(["CLIENT", "FOUND", "STATE", "FILE"], "no clients");
    let mut clients = Vec::new();
    for client in McpClient::ALL {
        let file = places.user(client);
        let found = places.traces(client).iter().any(|path| path.exists());
        let text = ConfigFile::read(&file).map(|file| file.text.unwrap_or_default());
        let state = match text.ok().and_then(|text| plan::owner(client, &text, &args.name).ok()) {
            Some(Owner::Ours(_)) => SET_UP,
            Some(Owner::Nobody) => "not set up",
            Some(Owner::Other(_)) => "name taken",
            None => "unreadable",
        };
        let seen = if found { "yes" } else { "no" };
        table.row([client.word().into(), seen.into(), state.into(), file.to_string_lossy().into_owned().into()]);
        clients.push(Listed { client: client.word(), title: client.title(), found, state, file });
    }
    cx.ui.list(&serde_json::json!({ "clients": clients }), &clients, &table)?;
    Ok(clients)
}

fn print(cx: &Context, args: &InitArgs, client: McpClient) -> Result<(), CliError> {
    let (path, entry) = (path(args, client)?, wanted(cx, args, client)?);
    let snippet = edit::snippet(client.syntax(), &client.slot(&args.name), &client.members(&entry))
        .map_err(|cannot| CliError::new(Exit::Failure, "snippet", cannot.to_string()))?;
    if cx.ui.format.is_some_and(|format| format != crate::cli::args::Format::Raw) && !cx.ui.for_people() {
        let document = serde_json::json!({ "client": client.word(), "file": path, "entry": entry, "snippet": snippet });
        return cx.ui.document(&document);
    }
    cx.ui.out(&snippet)?;
    let key = client.word();
    cx.ui.note(&format!("add this to {}", escape_untrusted(&path.to_string_lossy())));
    cx.ui.note(&format!("and store a key for it: toolctl keys create {key} --kind agent --save"));
    Ok(())
}

fn put(cx: &Context, args: &InitArgs, client: McpClient) -> Result<(), CliError> {
    let file = ConfigFile::read(&path(args, client)?)?;
    let entry = wanted(cx, args, client)?;
    let plan = plan::put(client, &file, &entry, args.force)?;
    let key = Wanted::find(cx, client.word())?;
    let diff = difference(args, client, &file, &plan, &|_, text| text.to_owned());
    if plan == Plan::Nothing && key.will_do() {
        let key = Some(key.ensure(cx)?);
        return show(cx, outcome(client, &file, "unchanged", Some(entry), diff, key));
    }
    if plan != Plan::Nothing {
        file.check_writable()?;
    }
    let mut notes = vec![key.plan()];
    if args.project {
        notes.push("the entry names paths of this machine and a key of yours: think before you share the file".into());
    }
    if !agree(cx, args, client, &file, &plan, &notes)? {
        return Ok(());
    }
    let key = key.ensure(cx)?;
    let known = plan::owner(client, file.text.as_deref().unwrap_or_default(), &args.name);
    let change = match (&plan, known) {
        (Plan::Nothing, _) => "unchanged",
        (_, Ok(Owner::Nobody)) => "added",
        _ => "updated",
    };
    let backup = carry_out(cx, &file, &plan)?;
    show(cx, Outcome { backup, ..outcome(client, &file, change, Some(entry), diff, Some(key)) })?;
    cx.ui.note(&format!("restart {}, then ask it which tools it has", client.title()));
    cx.ui.note(
        "its key keeps it apart only while it starts no programs as you: those can approve as the daemon's user \
         (README, First steps)",
    );
    Ok(())
}

fn undo(cx: &Context, args: &InitArgs, client: McpClient) -> Result<(), CliError> {
    let file = ConfigFile::read(&path(args, client)?)?;
    let plan = plan::undo(client, &file, &args.name, args.force)?;
    let others = if args.revoke_key { others(cx, args, client, &file)? } else { Vec::new() };
    if !others.is_empty() && !args.force {
        let message = format!("the key of `agent:{}` is used elsewhere too: {}", client.word(), others.join(", "));
        return Err(CliError::new(Exit::Conflict, "key-in-use", message)
            .hint("take those out first, leave `--revoke-key` away, or end it for all with `--force`"));
    }
    let key = if args.revoke_key { Some(Wanted::find(cx, client.word())?) } else { None };
    let diff = difference(args, client, &file, &plan, &|_, text| text.to_owned());
    let mut notes = Vec::new();
    if plan != Plan::Nothing {
        file.check_writable()?;
    }
    if key.is_some() {
        notes.push(format!("the key of `agent:{}` will be revoked, and all keys made from it", client.word()));
        notes.extend(others.iter().map(|other| format!("{other} will no longer get in")));
    }
    if plan != Plan::Nothing || key.is_some() {
        let agreed = agree(cx, args, client, &file, &plan, &notes)?;
        if !agreed {
            return Ok(());
        }
    }
    let backup = carry_out(cx, &file, &plan)?;
    let key = key.map(|key| key.revoke(cx)).transpose()?.flatten();
    let change = match &plan {
        Plan::Nothing => "absent",
        Plan::Write(_) => "removed",
        Plan::Restore(..) => "restored",
        Plan::Delete => "deleted",
    };
    show(cx, Outcome { backup, ..outcome(client, &file, change, None, diff, key) })?;
    if !args.revoke_key && cx.stored_key(client.word()).is_ok_and(|path| path.exists()) {
        cx.ui.note(&format!("its key stays good; `toolctl init {} --undo --revoke-key` ends it", client.word()));
    }
    Ok(())
}

/// Other entries that start a toolctl under this client's key: in the files of all clients, and in those of the
/// project in this folder. Those of other folders cannot be found.
fn others(cx: &Context, args: &InitArgs, client: McpClient, file: &ConfigFile) -> Result<Vec<String>, CliError> {
    let (places, config) = (Places::own()?, &cx.paths()?.config);
    let key = cx.stored_key(client.word())?;
    let folder = std::env::current_dir().ok();
    let mut others = Vec::new();
    for one in McpClient::ALL {
        let project = folder.as_ref().and_then(|folder| place::project(one, folder));
        let user = places.user(one);
        for path in project.into_iter().filter(|project| *project != user).chain([user.clone()]) {
            let text = ConfigFile::read(&path).map(|file| file.text.unwrap_or_default()).unwrap_or_default();
            let entries = plan::entries(one, &text).unwrap_or_default().into_iter();
            let same = |entry: &Entry| one == client && path == file.path && entry.name == args.name;
            let using = entries.filter(|entry| entry.key_file(config).as_ref() == Some(&key) && !same(entry));
            others.extend(using.map(|entry| format!("`{}` in `{}`", entry.name, path.display())));
        }
    }
    Ok(others)
}

/// Shows what will happen and has it confirmed; says so when it is not.
fn agree(
    cx: &Context,
    args: &InitArgs,
    client: McpClient,
    file: &ConfigFile,
    plan: &Plan,
    notes: &[String],
) -> Result<bool, CliError> {
    let agreed = args.yes || cx.globals.assume_yes;
    let diff = difference(args, client, file, plan, &|tone, text| cx.ui.paint_err(tone, text));
    let asked = !agreed && cx.ui.seen.ask;
    // What is done at once is in the result, unless that is laid out for a person.
    let changes = diff.lines().filter(|_| !agreed || cx.ui.for_people()).map(ToOwned::to_owned);
    let notes = notes.iter().filter(|_| !agreed || !cx.ui.for_programs()).map(|note| escape_untrusted(note));
    for line in changes.chain(notes) {
        // A person who is asked sees what about, whatever was asked for.
        if asked { cx.ui.say(&line) } else { cx.ui.note(&line) }
    }
    if agreed {
        return Ok(true);
    }
    if !cx.ui.seen.ask {
        let mut again = format!("toolctl init {}", client.word());
        let flags = [
            (args.project, "--project"),
            (args.force, "--force"),
            (args.undo, "--undo"),
            (args.revoke_key, "--revoke-key"),
        ];
        for (_, flag) in flags.iter().filter(|(given, _)| *given) {
            again.push_str(&format!(" {flag}"));
        }
        if args.name != entry::USUAL_NAME {
            again.push_str(&format!(" --name {}", shell_word(&args.name)));
        }
        return Err(CliError::usage(format!("`{}` was not changed", file.path.display()))
            .hint("`--yes` says that you want this change")
            .attempt(format!("{again} --yes")));
    }
    let question = match plan {
        Plan::Nothing => "Go on?".to_owned(),
        Plan::Write(_) | Plan::Restore(..) => format!("Change {}?", file.path.display()),
        Plan::Delete => format!("Remove {}?", file.path.display()),
    };
    let agreed = prompt::confirm(cx, &escape_untrusted(&question))?;
    if !agreed {
        cx.ui.note("nothing was changed");
    }
    Ok(agreed)
}

fn carry_out(cx: &Context, file: &ConfigFile, plan: &Plan) -> Result<Option<PathBuf>, CliError> {
    match plan {
        Plan::Nothing => Ok(None),
        Plan::Write(text) => file.replace(text, true, cx.now()),
        Plan::Restore(text, kept) => {
            file.replace(text, false, cx.now())?;
            std::fs::remove_file(kept)
                .map_err(|error| CliError::io(format!("cannot remove `{}`", kept.display()), &error))?;
            Ok(None)
        }
        Plan::Delete => file.delete().map(|()| None),
    }
}

fn difference(
    args: &InitArgs,
    client: McpClient,
    file: &ConfigFile,
    plan: &Plan,
    paint: &dyn Fn(Tone, &str) -> String,
) -> String {
    let old = file.text.as_deref().unwrap_or_default();
    let new = match plan {
        Plan::Nothing => old,
        Plan::Write(text) | Plan::Restore(text, _) => text,
        Plan::Delete => "",
    };
    let ours = [old, new].into_iter().filter_map(|text| match plan::owner(client, text, &args.name) {
        Ok(Owner::Ours(entry)) => Some(client.members(&entry.known())),
        Ok(Owner::Nobody | Owner::Other(_)) | Err(_) => None,
    });
    let ours: Vec<_> = ours.collect();
    let shown = |text| edit::mask(client.syntax(), text, &ours);
    let (old_shown, new_shown) = (shown(old), shown(new));
    let (old, new) = (Side { text: old, shown: &old_shown }, Side { text: new, shown: &new_shown });
    diff::unified(&file.path.to_string_lossy(), old, new, paint)
}

fn outcome(
    client: McpClient,
    file: &ConfigFile,
    change: &'static str,
    entry: Option<Entry>,
    diff: String,
    key: Option<KeyFact>,
) -> Outcome {
    Outcome { client: client.word(), file: file.path.clone(), change, entry, diff, backup: None, key }
}

fn show(cx: &Context, outcome: Outcome) -> Result<(), CliError> {
    let path = |path: &Path| escape_untrusted(&path.to_string_lossy());
    cx.ui.show(&outcome, || {
        let mut pairs = vec![
            ("client", outcome.client.to_owned()),
            ("file", path(&outcome.file)),
            ("entry", outcome.change.to_owned()),
        ];
        if let Some(key) = &outcome.key {
            pairs.push(("key", format!("{} ({})", escape_untrusted(&key.principal), key.change)));
        }
        if let Some(backup) = &outcome.backup {
            pairs.push(("backup", path(backup)));
        }
        facts(&pairs)
    })
}

/// The entry as it should be.
fn wanted(cx: &Context, args: &InitArgs, client: McpClient) -> Result<Entry, CliError> {
    let program = entry::program(&variable).map_err(|error| CliError::io("cannot find this program's path", &error))?;
    let from_environment = variable("TOOLCTL_SOCKET").filter(|socket| !socket.is_empty());
    let from_environment = from_environment.map(|socket| socket.to_string_lossy().into_owned());
    let socket = cx.globals.socket.clone().or(from_environment);
    Ok(Entry::ours(&args.name, &program, client.word(), socket.as_deref(), !args.no_autostart, &variable))
}

/// The file that is meant.
fn path(args: &InitArgs, client: McpClient) -> Result<PathBuf, CliError> {
    if !args.project {
        return Ok(Places::own()?.user(client));
    }
    let folder = std::env::current_dir().map_err(|error| CliError::io("cannot find this folder", &error))?;
    place::project(client, &folder).ok_or_else(|| {
        CliError::usage(format!("{} keeps no config in projects", client.title()))
            .hint("leave `--project` away to set it up for yourself")
    })
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

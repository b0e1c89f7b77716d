//! What is to happen to a config file: decided from its text and the copies kept of it, before anything is written.
//! Pure but for reading those copies.

use std::path::PathBuf;

use super::client::McpClient;
use super::edit::{self, CannotEdit};
use super::entry::Entry;
use super::file::ConfigFile;
use crate::cli::error::{CliError, Exit};
use crate::cli::text::shell_word;

/// What is to happen to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It says what it should already.
    Nothing,
    /// It gets this text.
    Write(String),
    /// It becomes what it was before our entry, byte for byte; that copy is used up.
    Restore(String, PathBuf),
    /// It was made for our entry, and goes with it.
    Delete,
}

/// Who an entry of our name belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// There is none.
    Nobody,
    /// It starts a toolctl.
    Ours(Entry),
    /// It does something else; as JSON.
    Other(String),
}

/// Whose entry of this name stands in the text.
///
/// # Errors
/// When the text cannot be read.
pub fn owner(client: McpClient, text: &str, name: &str) -> Result<Owner, CannotEdit> {
    let read = edit::read(client.syntax(), text)?;
    let Some(value) = edit::entry(&read, &client.slot(name)) else { return Ok(Owner::Nobody) };
    Ok(match client.read(name, value).filter(Entry::is_toolctl) {
        Some(entry) => Owner::Ours(entry),
        None => Owner::Other(value.to_string()),
    })
}

/// All entries in the text that start a toolctl, whatever their names.
///
/// # Errors
/// When the text cannot be read.
pub fn entries(client: McpClient, text: &str) -> Result<Vec<Entry>, CannotEdit> {
    let read = edit::read(client.syntax(), text)?;
    let table = read.get(client.slot("").table).and_then(serde_json::Value::as_object);
    let entries = table.into_iter().flatten().filter_map(|(name, value)| client.read(name, value));
    Ok(entries.filter(Entry::is_toolctl).collect())
}

/// What has to be written for the entry to be there.
///
/// # Errors
/// Exit 12 when the name is taken and `force` is not given; exit 1 when the file cannot be edited.
pub fn put(client: McpClient, file: &ConfigFile, entry: &Entry, force: bool) -> Result<Plan, CliError> {
    let text = file.text.as_deref().unwrap_or_default();
    let taken = is_taken(client, file, &entry.name, force)?;
    let made = edit::put(client.syntax(), text, &client.slot(&entry.name), &client.members(entry), taken)
        .map_err(|cannot| refused(client, file, &cannot))?;
    Ok(if file.text.as_deref() == Some(made.as_str()) { Plan::Nothing } else { Plan::Write(made) })
}

/// What has to be written for the entry to be gone. Where the file can be shown to be what `put` made of an
/// earlier one, that earlier one comes back; elsewhere our entry alone is taken out.
///
/// # Errors
/// As of [`put`].
pub fn undo(client: McpClient, file: &ConfigFile, name: &str, force: bool) -> Result<Plan, CliError> {
    let Some(text) = file.text.as_deref() else { return Ok(Plan::Nothing) };
    is_taken(client, file, name, force)?;
    let owner = owner(client, text, name).map_err(|cannot| refused(client, file, &cannot))?;
    if let Owner::Ours(entry) = &owner {
        let gives_this = |before: &str| {
            let members = client.members(entry);
            edit::put(client.syntax(), before, &client.slot(name), &members, false).is_ok_and(|made| made == text)
        };
        for kept in file.kept() {
            let before = std::fs::read_to_string(&kept).unwrap_or_default();
            let had_one = self::owner(client, &before, name).is_ok_and(|owner| owner != Owner::Nobody);
            if !had_one && gives_this(&before) {
                return Ok(Plan::Restore(before, kept));
            }
        }
        if file.kept().is_empty() && gives_this("") {
            // A link to nothing would be left; what it points to may be made by nobody else.
            return Ok(if file.is_link() { Plan::Write(String::new()) } else { Plan::Delete });
        }
    }
    if owner == Owner::Nobody {
        return Ok(Plan::Nothing);
    }
    let made =
        edit::remove(client.syntax(), text, &client.slot(name)).map_err(|cannot| refused(client, file, &cannot))?;
    Ok(Plan::Write(made))
}

/// Whether the name is somebody else's, which only `force` passes over.
fn is_taken(client: McpClient, file: &ConfigFile, name: &str, force: bool) -> Result<bool, CliError> {
    let text = file.text.as_deref().unwrap_or_default();
    match owner(client, text, name).map_err(|cannot| refused(client, file, &cannot))? {
        Owner::Nobody | Owner::Ours(_) => Ok(false),
        Owner::Other(_) if force => Ok(true),
        Owner::Other(entry) => {
            let message =
                format!("`{name}` in `{}` is not an entry of toolctl: {}", file.path.display(), named(&entry));
            Err(CliError::new(Exit::Conflict, "entry-taken", message)
                .hint("choose another name with `--name`, or replace it with `--force`"))
        }
    }
}

/// What an entry starts, without what may be a secret: of a program its name, of an address its host.
fn named(entry: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(entry).unwrap_or_default();
    let told = ["command", "cmd", "url", "uri", "httpUrl"].iter().find_map(|name| value.get(name)?.as_str());
    match told {
        Some(told) => {
            let shown = match told.split_once("://") {
                Some((scheme, rest)) => {
                    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                    format!("{scheme}://{}", host.rsplit('@').next().unwrap_or_default())
                }
                None => {
                    let program = told.split_whitespace().next().unwrap_or_default();
                    program.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
                }
            };
            format!("it starts or calls `{shown}`")
        }
        None => "it is something else".to_owned(),
    }
}

/// Why a file was left alone, and what a person can do.
pub fn refused(client: McpClient, file: &ConfigFile, cannot: &CannotEdit) -> CliError {
    let (code, message) = match cannot {
        CannotEdit::Malformed { line, message } => {
            ("config-malformed", format!("{}:{line}: {message}", file.path.display()))
        }
        CannotEdit::NotATable(_) | CannotEdit::Layout => {
            ("config-not-editable", format!("`{}`: {cannot}", file.path.display()))
        }
    };
    CliError::new(Exit::Failure, code, message)
        .hint("nothing was changed; mend it, or print the entry and add it yourself")
        .attempt(format!("toolctl init {} --print", shell_word(client.word())))
}

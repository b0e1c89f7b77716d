//! MCP clients: each entry that starts a toolctl starts this one, under a key of its own that is good.

use std::path::{Path, PathBuf};

use super::{Exam, Finding};
use crate::cli::error::CliError;
use crate::cli::init::client::McpClient;
use crate::cli::init::entry::{self, Entry};
use crate::cli::init::file::ConfigFile;
use crate::cli::init::key::Standing;
use crate::cli::init::place::{self, Places};
use crate::cli::init::plan;
use crate::client::Target;
use crate::transport::inspect::look as at;
use crate::transport::private;

/// Every client that is on this machine, and every project file in this folder.
pub fn entries(exam: &Exam<'_>) -> Vec<Finding> {
    files().iter().flat_map(|file| look(exam, file)).collect()
}

/// A set-up client holds its own key, and the daemon's own user approves: a client that can start programs as that
/// user can do both. Nothing here can see whether it can.
pub fn separation(exam: &Exam<'_>) -> Vec<Finding> {
    let Target::Socket(socket) = &exam.target else { return Vec::new() };
    let own = private::own_uid();
    let is_daemons = exam.healthy.is_ok() && own.is_some() && at(socket).is_ok_and(|socket| socket.owner == own);
    let is_set_up = || files().iter().any(|file| file.entries().is_ok_and(|entries| !entries.is_empty()));
    if !is_daemons || !is_set_up() {
        return Vec::new();
    }
    let message = "the daemon runs as you, so whatever runs as you is an approver: a client that can start programs \
                   can approve what it asked for";
    let fix = "run clients that have a shell as another user, with a key over --listen (README, First steps)";
    vec![Finding::warning("approvals", message).fix(fix)]
}

/// Whether some entry uses the key in this file.
pub fn is_used(exam: &Exam<'_>, key: &Path) -> bool {
    let uses = |entry: &Entry| entry.key_file(&exam.paths.config).is_some_and(|path| path == key);
    files().iter().any(|file| file.entries().is_ok_and(|entries| entries.iter().any(uses)))
}

/// A client's config file.
struct ClientFile {
    client: McpClient,
    path: PathBuf,
    is_project: bool,
}

impl ClientFile {
    fn entries(&self) -> Result<Vec<Entry>, CliError> {
        let file = ConfigFile::read(&self.path)?;
        let text = file.text.as_deref().unwrap_or_default();
        plan::entries(self.client, text).map_err(|cannot| plan::refused(self.client, &file, &cannot))
    }
}

/// Those of all clients on this machine, and of the project in this folder.
fn files() -> Vec<ClientFile> {
    let Ok(places) = Places::own() else { return Vec::new() };
    let mut files = Vec::new();
    for client in McpClient::ALL {
        let user = places.user(client);
        let project = std::env::current_dir().ok().and_then(|folder| place::project(client, &folder));
        let project = project.filter(|path| path.exists() && *path != user);
        if places.traces(client).iter().any(|path| path.exists()) {
            files.push(ClientFile { client, path: user, is_project: false });
        }
        files.extend(project.map(|path| ClientFile { client, path, is_project: true }));
    }
    files
}

fn look(exam: &Exam<'_>, file: &ClientFile) -> Vec<Finding> {
    let ClientFile { client, path, is_project: project } = file;
    let check = if *project { format!("{} (project)", client.word()) } else { client.word().to_owned() };
    let again = format!("toolctl init {}{}", client.word(), if *project { " --project" } else { "" });
    let entries = match file.entries() {
        Ok(entries) => entries,
        Err(error) => {
            return vec![Finding::problem(check, error.message).fix(format!("mend {}", path.display()))];
        }
    };
    if entries.is_empty() && !*project {
        return vec![Finding::ok(check, format!("not set up; `{again}` does it"))];
    }
    entries.iter().flat_map(|entry| judge(exam, &check, &again, entry)).collect()
}

fn judge(exam: &Exam<'_>, check: &str, again: &str, entry: &Entry) -> Vec<Finding> {
    let again = match entry.name.as_str() {
        entry::USUAL_NAME => again.to_owned(),
        name => format!("{again} --name {name}"),
    };
    let mut found: Vec<Finding> = [binary(check, entry), daemon(exam, check, entry), key(exam, check, entry)]
        .into_iter()
        .flatten()
        .map(|finding| if finding.fix.is_some() { finding } else { finding.fix(again.clone()) })
        .collect();
    let unknown = entry.unknown_flags();
    if !unknown.is_empty() {
        found.push(
            Finding::warning(
                check,
                format!("`{}` has flags this version does not know: {}", entry.name, unknown.join(" ")),
            )
            .fix(again),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok(
            check,
            format!("`{}` starts this toolctl as {}", entry.name, entry.key().unwrap_or("you")),
        ));
    }
    found
}

/// The program is there, and is this one.
fn binary(check: &str, entry: &Entry) -> Option<Finding> {
    let path = Path::new(&entry.command);
    if !path.is_absolute() {
        let message = format!("`{}` starts whatever `{}` is on the client's path", entry.name, entry.command);
        return Some(Finding::warning(check, message));
    }
    let Ok(whole) = std::fs::canonicalize(path) else {
        return Some(Finding::problem(
            check,
            format!("`{}` points at {}, which is not there", entry.name, entry.command),
        ));
    };
    let own = std::env::current_exe().ok()?;
    let own = std::fs::canonicalize(&own).unwrap_or(own);
    (whole != own).then(|| {
        Finding::warning(check, format!("`{}` starts {}, and this is {}", entry.name, whole.display(), own.display()))
    })
}

/// It will look for the daemon where we do.
fn daemon(exam: &Exam<'_>, check: &str, entry: &Entry) -> Option<Finding> {
    let socket = entry.socket()?;
    (Target::parse(socket) != exam.target).then(|| {
        Finding::warning(
            check,
            format!("`{}` talks to the daemon at {socket}, and this is {}", entry.name, exam.target),
        )
    })
}

/// It has a key of its own, and that one is good.
fn key(exam: &Exam<'_>, check: &str, entry: &Entry) -> Option<Finding> {
    let Some(name) = entry.key() else {
        let message = format!("`{}` has no key of its own: the log cannot tell it from you", entry.name);
        return Some(Finding::problem(check, message));
    };
    let path = entry.key_file(&exam.paths.config)?;
    match exam.stored.get(&path) {
        None if !path.starts_with(&exam.paths.config) && path.exists() => None,
        None | Some(Ok(Standing::Missing)) => {
            Some(Finding::problem(check, format!("its key `{name}` is not stored at {}", path.display())))
        }
        Some(Ok(Standing::Dead(why))) => {
            Some(Finding::problem(check, format!("its key `{name}` is no longer good: {why}")))
        }
        Some(Ok(Standing::Good(me))) if !me.principal.starts_with("agent:") => {
            Some(Finding::warning(check, format!("it acts as {}, not as an agent", me.principal)))
        }
        // Told by the check of the key itself, or nobody is there to ask.
        Some(Ok(Standing::Good(_)) | Err(_)) => None,
    }
}

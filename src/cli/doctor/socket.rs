//! The socket: a path the system takes, a folder nobody else can write to, and a file that is not a dead daemon's.

use std::path::Path;

use super::{Exam, Finding};
use crate::client::Target;
use crate::transport::connect::Connector;
use crate::transport::inspect::{Kind, look};
use crate::transport::private;

/// The path fits into the system's socket addresses.
pub fn path(exam: &Exam<'_>) -> Vec<Finding> {
    match (&exam.target, Connector::new(&exam.target)) {
        (_, Err(error)) => vec![
            Finding::problem("socket path", format!("{}: {error}", exam.target))
                .fix("name a shorter path with --socket or TOOLCTL_SOCKET"),
        ],
        (Target::Tcp(address), Ok(_)) => vec![Finding::ok("socket path", format!("http://{address} (TCP, no socket)"))],
        (Target::Socket(path), Ok(_)) => vec![Finding::ok("socket path", path.display().to_string())],
    }
}

/// The socket and its folder are ours alone, and somebody listens.
pub fn access(exam: &Exam<'_>) -> Vec<Finding> {
    let Target::Socket(path) = &exam.target else { return Vec::new() };
    let Ok(socket) = look(path) else {
        // A named pipe stands in no folder, and without a daemon there is nothing to look at.
        return Vec::new();
    };
    if socket.kind != Kind::Socket {
        let message = format!("`{}` is not a socket", path.display());
        return vec![Finding::problem("socket", message).fix("name another path with --socket or TOOLCTL_SOCKET")];
    }
    let mut found = Vec::new();
    if exam.healthy.is_err() {
        let message = format!("`{}` is there and nobody answers: a daemon left it behind", path.display());
        found.push(Finding::problem("socket", message).fix("toolctl serve    (it takes the path over)"));
    }
    if let Some(owner) = socket.owner.filter(|owner| Some(*owner) != private::own_uid()) {
        let message = format!("`{}` belongs to user {owner}, not to you", path.display());
        found.push(Finding::warning("socket", message).fix("make sure that you mean that user's daemon"));
    }
    if let Some(mode) = socket.mode.filter(|mode| mode & 0o077 != 0) {
        let message = format!("other users can reach `{}` (mode {mode:04o})", path.display());
        found.push(Finding::problem("socket", message).fix(format!("chmod 600 {}", path.display())));
    }
    found.extend(folder(path.parent().unwrap_or(Path::new("."))));
    if found.is_empty() {
        found.push(Finding::ok("socket", "yours alone, and so is its folder"));
    }
    found
}

/// Who can write to the folder can put another socket in the place of ours.
fn folder(path: &Path) -> Option<Finding> {
    let found = look(path).ok()?;
    if found.kind != Kind::Folder {
        return Some(
            Finding::problem("socket folder", format!("`{}` is a link or no folder", path.display()))
                .fix("name the folder itself with --socket or TOOLCTL_SOCKET"),
        );
    }
    let mode = found.mode?;
    let closed = format!("chmod 700 {}", path.display());
    if mode & 0o022 != 0 {
        let message = format!("other users may write to `{}` (mode {mode:04o})", path.display());
        return Some(Finding::problem("socket folder", message).fix(closed));
    }
    (mode & 0o055 != 0).then(|| {
        let message = format!("other users may look into `{}` (mode {mode:04o})", path.display());
        Finding::warning("socket folder", message).fix(closed)
    })
}

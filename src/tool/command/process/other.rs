//! Where commands do not run: folders as elsewhere, and a word for whoever tries.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Why no command can run on this system.
pub const fn missing() -> Option<&'static str> {
    Some("commands do not run on this system yet")
}

/// No process of this system is a shim.
pub const fn entered(_: &[OsString]) -> Option<ExitCode> {
    None
}

/// The command that starts a server; here nobody watches over it.
pub fn watched(program: &Path, arguments: &[String]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).kill_on_drop(true);
    command
}

/// Makes a folder and its parents, if it is not there.
///
/// # Errors
/// When it cannot be made.
pub fn private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Makes a folder that was not there.
///
/// # Errors
/// When it cannot be made.
pub fn new_private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

/// Folders need no such thing here.
///
/// # Errors
/// Never.
pub const fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Nothing runs, so nothing is left of it.
pub const fn end_strays(_: &Path) -> bool {
    true
}

//! Processes that outlive the one that starts them: out of reach of its terminal and its signals, with a
//! private file for what they say.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::private;

/// Starts a process in a process group of its own, with no input, and with `log` for its output.
///
/// # Errors
/// When it cannot be started.
pub fn spawn(command: &mut Command, log: &File) -> io::Result<Child> {
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    apart(command);
    command.spawn()
}

/// Makes a process lead a process group of its own, which no terminal signals; on Windows, have no console.
pub fn apart(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(windows)]
    {
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        std::os::windows::process::CommandExt::creation_flags(command, CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW);
    }
}

/// Lets listings of processes show this name, where they would show a path that says nothing.
pub fn called(command: &mut Command, name: &str) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::arg0(command, name);
    #[cfg(windows)]
    let _ = (command, name);
}

/// This very program, also when its file was replaced meanwhile where the system lets us have that.
///
/// # Errors
/// When the system does not say.
pub fn own_program() -> io::Result<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { Ok(own) } else { std::env::current_exe() }
}

/// Opens a log that only its owner may read, to write at its end; one longer than `longest` bytes begins anew.
/// Gives how long it is, too.
///
/// # Errors
/// When it cannot be made or opened.
pub fn log(path: &Path, longest: u64) -> io::Result<(File, u64)> {
    match private::write_new(path, "") {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().append(true).open(path)?;
    if file.metadata()?.len() > longest {
        file.set_len(0)?;
    }
    let end = file.seek(io::SeekFrom::End(0))?;
    Ok((file, end))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_goes_on_until_it_is_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state").join("daemon.log");
        let (mut file, end) = log(&path, 8).unwrap();
        assert_eq!(end, 0);
        file.write_all(b"12345").unwrap();
        let (mut file, end) = log(&path, 8).unwrap();
        assert_eq!(end, 5);
        file.write_all(b"6789").unwrap();
        assert_eq!(log(&path, 8).unwrap().1, 0);
        assert!(private::is_private(&path).unwrap());
    }
}

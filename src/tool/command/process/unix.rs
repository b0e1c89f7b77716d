//! Unix: folders that are private, sessions, orphans, signals and limits, by safe calls only. What Linux alone
//! has (reaping of orphans, death with the parent, `/proc`) is used there and done without elsewhere.

mod drain;
mod program;
mod sandbox;
mod shim;
mod watcher;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use crate::domain::tool::command::Limits;

/// The word that makes the program a shim.
pub const SHIM: &str = "__shim";
/// The word that makes the program the watcher of a server.
const WATCHER: &str = "__watcher";
/// The word that makes the program become another.
const PROGRAM: &str = "__program";
/// How long what a killed shim has left may take to be gone once it is killed.
const STRAYS_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked for again.
const AGAIN: Duration = Duration::from_millis(10);

/// Why no command can run on this system: nothing is missing.
pub const fn missing() -> Option<&'static str> {
    None
}

/// Whether this process was started to be a shim or to become a program; then that was done, and this is its
/// exit status.
pub fn entered(args: &[OsString]) -> Option<ExitCode> {
    match args {
        [_, word] if word == SHIM => {
            close_inherited();
            Some(shim::main())
        }
        [_, word] if word == PROGRAM => Some(program::main()),
        [_, word, command @ ..] if word == WATCHER => {
            close_inherited();
            Some(watcher::main(command))
        }
        _ => None,
    }
}

/// This very program, to be started again as something else.
fn own() -> io::Result<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { Ok(own) } else { std::env::current_exe() }
}

/// The command that starts a server with a watcher over it. Its streams are the server's; the server ends, with
/// everything it has started, when it is done, or when nobody reads its stderr any more.
pub fn watched(program: &Path, arguments: &[String]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(own().unwrap_or_else(|_| PathBuf::from("toolctl")));
    command.arg(WATCHER).arg(program).args(arguments);
    command
}

/// Closes what this process was given beside its three streams, before it opens anything of its own: whatever
/// started the daemon may have left files and pipes open, and no tool may have them.
fn close_inherited() {
    let Ok(listing) = std::fs::read_dir("/dev/fd") else { return };
    let open: Vec<i32> = listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The one that the listing was read from is closed already.
        let _closed = nix::unistd::close(descriptor);
    }
}

/// Makes a folder that only its owner may enter, and its parents, if it is not there.
///
/// # Errors
/// When it cannot be made.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a folder that only its owner may enter, and that was not there.
///
/// # Errors
/// When it is there or cannot be made.
pub fn new_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// When the disk says no.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes this process the leader of its own session, and on Linux the parent of every orphan below it.
fn lead() -> io::Result<()> {
    rustix::process::setsid()?;
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Makes this process end with its parent, which must be `parent`.
fn end_with(parent: i32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have ended before the line above.
    if rustix::process::getppid().map(Pid::as_raw_nonzero).is_some_and(|pid| pid.get() == parent) {
        Ok(())
    } else {
        Err(io::Error::other("its shim is gone"))
    }
}

/// Sets the limits of this process and of what it becomes, and takes away that it could ever gain rights.
fn limit(limits: &Limits) -> io::Result<()> {
    let set = |resource, most: Option<u64>| match most {
        Some(most) => {
            let hard = rustix::process::getrlimit(resource).maximum;
            let most = hard.map_or(most, |hard| hard.min(most));
            rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
        }
        None => Ok(()),
    };
    set(Resource::Core, Some(0))?;
    set(Resource::Nofile, Some(limits.files))?;
    set(Resource::Fsize, limits.file_size)?;
    set(Resource::Cpu, limits.cpu_seconds)?;
    set(Resource::Nproc, limits.processes)?;
    set(Resource::As, limits.memory)?;
    #[cfg(target_os = "linux")]
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// Asks the group of `leader` to end.
fn ask_to_end(leader: Pid) {
    // It may have ended meanwhile.
    let _gone = rustix::process::kill_process_group(leader, Signal::TERM);
}

/// Kills everything below this process: the group of `leader`, and whatever left it, found by parents.
fn kill_all(leader: Pid) {
    // They may have ended meanwhile.
    let _gone = rustix::process::kill_process_group(leader, Signal::KILL);
    for pid in descendants(rustix::process::getpid()) {
        let _gone = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Kills what has the folder of a run as its own, by its environment, until nothing is left of it; false when
/// something stays. The program of a killed shim dies with it, but not what that program has started.
pub fn end_strays(run: &Path) -> bool {
    let home = format!("HOME={}", run.join("home").display());
    let deadline = Instant::now() + STRAYS_WITHIN;
    loop {
        let strays = having(home.as_bytes());
        if strays.is_empty() || Instant::now() > deadline {
            return strays.is_empty();
        }
        for pid in strays {
            let _gone = rustix::process::kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(AGAIN);
    }
}

/// Processes in whose environment, as they were started, this stands; nothing where there is no `/proc`.
fn having(variable: &[u8]) -> Vec<Pid> {
    let Ok(listing) = std::fs::read_dir("/proc") else { return Vec::new() };
    let has = |process: &Path| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == variable)
    };
    let pids = listing.filter_map(Result::ok).filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        has(&entry.path()).then_some(pid)
    });
    pids.collect()
}

/// Everything below `root`, as `/proc` tells it; nothing where there is none.
fn descendants(root: Pid) -> Vec<Pid> {
    let Ok(listing) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in listing.filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = parent_of(&entry.path()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut look = vec![root.as_raw_nonzero().get()];
    while let Some(parent) = look.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            found.extend(Pid::from_raw(child));
            look.push(child);
        }
    }
    found
}

/// The parent that `/proc/PID/stat` names (proc_pid_stat(5)): the second field after the name in parentheses,
/// which may have parentheses itself.
fn parent_of(process: &Path) -> Option<i32> {
    let stat = std::fs::read(process.join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

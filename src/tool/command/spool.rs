//! What a run leaves on disk, and what that proves. One folder for each attempt of each call:
//!
//! * `reading`: how its end is to be read, written before anything runs;
//! * `lock`: held by the shim as long as it lives;
//! * `start`: durable before the program runs, so without it the program provably has not;
//! * `stdout`, `stderr`, `end`: how it ended, `end` last and by renaming;
//! * `fenced`: a later daemon has judged this attempt, and a shim that comes late must not start it.
//!
//! Timeline of the race that `fenced` settles: a daemon starts a shim and is killed; the next daemon takes the
//! free lock, finds no `start`, writes `fenced`, starts the call again; the first shim, slow to begin, gets the
//! lock, finds `fenced` and ends without having run anything.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::job::End;
use super::process;
use crate::domain::id::CallId;

/// The folder of all runs.
#[derive(Debug, Clone)]
pub struct Spool {
    root: PathBuf,
    /// The daemon's starts, first and last, that this folder has seen without a gap.
    seen: (u64, u64),
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct Run {
    folder: PathBuf,
    /// Somebody may ask for it after the machine was lost. Nobody does for a run that only read.
    durable: bool,
}

/// A lock on a run, given up on drop.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

/// What a folder says about its run.
#[derive(Debug)]
pub enum Found {
    /// A shim holds it.
    Held,
    /// The program provably has not run, and now never will in this attempt.
    NotStarted,
    /// It ended.
    Ended(End),
    /// It was started, and nobody wrote how it ended.
    Started,
}

impl Spool {
    /// Opens the folder for the daemon's start number `epoch`. Whether it saw every start before is written in
    /// it: only then does a missing run prove anything.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn open(root: &Path, epoch: u64) -> io::Result<Self> {
        process::private_folder(root)?;
        let file = root.join("epochs");
        let before: Option<(u64, u64)> = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let seen = match before {
            Some((first, last)) if last + 1 == epoch => (first, epoch),
            Some((first, last)) if last == epoch => (first, epoch),
            Some(_) | None => (epoch, epoch),
        };
        replace(root, "epochs", &serde_json::to_vec(&seen)?)?;
        Ok(Self { root: root.to_owned(), seen })
    }

    /// The folder of one attempt of a call; `durable` unless nobody will ever ask for it again.
    pub fn run(&self, call: CallId, attempt: u32, durable: bool) -> Run {
        Run { folder: self.root.join(format!("{call}.{attempt}")), durable }
    }

    /// Whether a run that a daemon of this start made would be here.
    pub const fn has_seen(&self, epoch: u64) -> bool {
        self.seen.0 <= epoch && epoch <= self.seen.1
    }

    /// Removes the runs of a call.
    pub fn forget(&self, call: CallId) {
        let name = call.to_string();
        self.sweep(|of| of == name);
    }

    /// Removes every run of which `done` says so by its call, except those that still go on.
    pub fn sweep(&self, done: impl Fn(&str) -> bool) {
        let Ok(listing) = fs::read_dir(&self.root) else { return };
        for path in listing.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let Some((call, _)) = name.rsplit_once('.') else { continue };
            let run = Run { folder: path.clone(), durable: true };
            if done(call) && !matches!(run.lock(), Ok(None)) {
                // What cannot be removed now is tried again at the next start.
                let _left = fs::remove_dir_all(&path);
            }
        }
    }
}

impl Run {
    /// The folder as a shim was told it.
    pub const fn at(folder: PathBuf, durable: bool) -> Self {
        Self { folder, durable }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes it, durably, with how its end is to be read.
    ///
    /// # Errors
    /// When it is there already or the disk says no: nothing has run.
    pub fn create<T: Serialize>(&self, reading: &T) -> io::Result<()> {
        process::new_private_folder(&self.folder)?;
        for name in ["home", "tmp"] {
            process::new_private_folder(&self.folder.join(name))?;
        }
        // Its name becomes durable with the start: without that nobody needs it.
        self.write("reading", &serde_json::to_vec(reading)?)?;
        self.folder.parent().filter(|_| self.durable).map_or(Ok(()), process::sync_folder)
    }

    /// Reads how its end is to be read.
    ///
    /// # Errors
    /// When it is not there or not whole.
    pub fn reading<T: DeserializeOwned>(&self) -> io::Result<T> {
        Ok(serde_json::from_slice(&fs::read(self.folder.join("reading"))?)?)
    }

    /// Takes the lock; none when somebody holds it.
    ///
    /// # Errors
    /// When the folder is gone or the disk says no.
    pub fn lock(&self) -> io::Result<Option<Held>> {
        let file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Held { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Waits until nobody holds the lock. Blocks the thread.
    ///
    /// # Errors
    /// When the folder is gone or the disk says no.
    pub fn wait(&self) -> io::Result<Held> {
        let file = self.lock_file()?;
        file.lock()?;
        Ok(Held { _file: file })
    }

    fn lock_file(&self) -> io::Result<File> {
        File::options().create(true).truncate(false).write(true).open(self.folder.join("lock"))
    }

    /// Writes that the program is about to run. Durable before it returns.
    ///
    /// # Errors
    /// When it is fenced or the disk says no: the program must not run.
    pub fn start(&self, _held: &Held) -> io::Result<()> {
        if self.folder.join("fenced").exists() {
            return Err(io::Error::other("another daemon has judged this run"));
        }
        File::create_new(self.folder.join("start"))?;
        if self.durable { process::sync_folder(&self.folder) } else { Ok(()) }
    }

    /// Writes how it ended: output first, `end` last.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn finish(&self, end: &End, stdout: &[u8], stderr: &[u8]) -> io::Result<()> {
        self.write("stdout", stdout)?;
        self.write("stderr", stderr)?;
        self.write("end.new", &serde_json::to_vec(end)?)?;
        fs::rename(self.folder.join("end.new"), self.folder.join("end"))?;
        if self.durable { process::sync_folder(&self.folder) } else { Ok(()) }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.folder.join(name))?;
        file.write_all(bytes)?;
        if self.durable && !bytes.is_empty() { file.sync_all() } else { Ok(()) }
    }

    /// What it wrote to stdout and stderr, as far as it was kept.
    pub fn output(&self) -> (Vec<u8>, Vec<u8>) {
        let read = |name| fs::read(self.folder.join(name)).unwrap_or_default();
        (read("stdout"), read("stderr"))
    }

    /// What the folder proves now. A run that has not started is fenced by being judged so.
    ///
    /// # Errors
    /// When the folder is not there, or the disk says no.
    pub fn look(&self) -> io::Result<Found> {
        if !self.folder.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let Some(held) = self.lock()? else { return Ok(Found::Held) };
        self.judge(&held)
    }

    /// What the folder proves, with its lock held.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn judge(&self, _held: &Held) -> io::Result<Found> {
        match fs::read(self.folder.join("end")) {
            Ok(text) => return Ok(Found::Ended(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if self.folder.join("start").exists() {
            return Ok(Found::Started);
        }
        File::create(self.folder.join("fenced"))?;
        Ok(Found::NotStarted)
    }
}

/// Writes a file whole or not at all, durably.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(name))?;
    process::sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::super::job::Fate;
    use super::*;

    fn spool() -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(&folder.path().join("spool"), 4).expect("opened");
        (folder, spool)
    }

    fn run(spool: &Spool) -> Run {
        let run = spool.run(CallId::from_bytes([7; 16]), 1, true);
        run.create(&"how").expect("made");
        run
    }

    const END: End = End {
        fate: Fate::Exited(0),
        cut: None,
        survivors: false,
        attempts: 1,
        sandbox: String::new(),
        stdout_bytes: 3,
        stderr_bytes: 0,
    };

    #[test]
    fn each_step_leaves_its_proof() {
        let (_folder, spool) = spool();
        let run = run(&spool);
        let held = run.lock().expect("looked").expect("free");
        assert!(matches!(run.look(), Ok(Found::Held)));
        run.start(&held).expect("started");
        drop(held);
        assert!(matches!(run.look(), Ok(Found::Started)));
        run.finish(&END, b"out", b"").expect("finished");
        assert!(matches!(run.look(), Ok(Found::Ended(end)) if end == END));
        assert_eq!(run.output(), (b"out".to_vec(), Vec::new()));
        spool.forget(CallId::from_bytes([7; 16]));
        assert!(run.look().is_err(), "gone");
    }

    #[test]
    fn a_shim_that_comes_late_starts_nothing() {
        let (_folder, spool) = spool();
        let run = run(&spool);
        assert!(matches!(run.look(), Ok(Found::NotStarted)));
        let held = run.lock().expect("looked").expect("free");
        assert!(run.start(&held).is_err());
    }

    #[test]
    fn a_missing_run_proves_something_only_where_every_start_was_seen() {
        let (folder, spool) = spool();
        assert!(spool.has_seen(4) && !spool.has_seen(3));
        let open = |epoch| Spool::open(&folder.path().join("spool"), epoch).expect("opened");
        assert!(open(5).has_seen(4));
        assert!(!open(9).has_seen(5), "starts are missing between the two");
    }
}

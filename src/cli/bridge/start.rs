//! Starts the daemon for a client that finds none. Bridges that start at the same time agree by a lock in the
//! state folder: one of them starts it, the others connect to what it started.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::last_start::Recipe;
use super::trouble::Trouble;
use crate::client::Target;
use crate::transport::{connect, detached, private};

/// The first pause before another start; each is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Starts in a row that must fail before it is told: a daemon that is about to stop keeps its successor out for
/// a moment.
const TELLING: u32 = 3;

/// A log longer than this begins anew, in bytes.
const LONGEST_LOG: u64 = 1 << 20;

/// Starts daemons, one at a time.
pub struct Starter {
    target: Target,
    state: PathBuf,
    /// Held while a daemon of ours is starting.
    lock: Option<File>,
    ends: mpsc::UnboundedSender<String>,
    next: Option<Instant>,
    pause: Duration,
    failures: u32,
}

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was started, by this process.
    Started,
    /// Another process is starting it.
    Elsewhere,
    /// It was started a moment ago.
    Later,
    /// It must not be started; why.
    Refused(Trouble),
    /// It cannot be started; why.
    Failed(String),
}

impl Starter {
    /// Starts daemons at `target` with this state folder; `ends` is told what a daemon that ended said last.
    pub const fn new(target: Target, state: PathBuf, ends: mpsc::UnboundedSender<String>) -> Self {
        Self { target, state, lock: None, ends, next: None, pause: FIRST_PAUSE, failures: 0 }
    }

    /// Where the daemon's log is.
    pub fn log(&self) -> PathBuf {
        self.state.join("daemon.log")
    }

    /// Starts a daemon, unless one is being started or was started a moment ago.
    pub async fn start(&mut self, now: Instant) -> Attempt {
        if self.lock.is_some() || self.next.is_some_and(|next| now < next) {
            return Attempt::Later;
        }
        let lock = match self.take_lock() {
            Ok(Some(lock)) => lock,
            Ok(None) => return Attempt::Elsewhere,
            Err(error) => return Attempt::Failed(error.to_string()),
        };
        // Whoever had the lock before may have started it.
        if connect::open(&self.target).await.is_ok() {
            return Attempt::Elsewhere;
        }
        let recipe = match Recipe::find(&self.target, &self.state, is_set) {
            Ok(recipe) => recipe,
            Err(trouble) => return Attempt::Refused(trouble),
        };
        self.next = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        match self.spawn(&recipe) {
            Ok(()) => {
                self.lock = Some(lock);
                Attempt::Started
            }
            Err(error) => Attempt::Failed(error.to_string()),
        }
    }

    /// A daemon is there.
    pub fn succeeded(&mut self) {
        self.lock = None;
        (self.next, self.pause, self.failures) = (None, FIRST_PAUSE, 0);
    }

    /// The daemon that was started ended: others may start one. Whether to tell that it cannot be started.
    pub fn ended(&mut self) -> bool {
        if self.lock.take().is_some() {
            self.failures += 1;
        }
        self.failures >= TELLING
    }

    fn take_lock(&self) -> io::Result<Option<File>> {
        private::create_folder(&self.state)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(self.state.join("start.lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn spawn(&self, recipe: &Recipe) -> io::Result<()> {
        let path = self.log();
        let (log, begin) = detached::log(&path, LONGEST_LOG)?;
        let mut command = Command::new(std::env::current_exe()?);
        recipe.apply(&mut command, &self.target);
        let mut child = detached::spawn(&mut command, &log)?;
        let ends = self.ends.clone();
        std::thread::spawn(move || {
            // Waited for, or it would stay behind as a zombie for as long as the client lives.
            let _ended = child.wait();
            let _gone = ends.send(last_words(&path, begin));
        });
        Ok(())
    }
}

/// Whether a variable of our environment says something.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// What was said last in a log that began at `begin`: the error if there is one.
fn last_words(path: &Path, begin: u64) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        file.seek(io::SeekFrom::Start(begin))?;
        let mut text = String::new();
        file.take(LONGEST_LOG).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().unwrap_or_default();
    let error = text.lines().find(|line| line.starts_with("error"));
    error.or_else(|| text.lines().last()).unwrap_or("it ended without a word").trim().to_owned()
}

//! Programs of this machine as tools. The daemon prepares a run, a shim of its own watches over it, and what
//! the shim leaves is read back: the same way whether this daemon began the run or one that is gone.

mod job;
mod place;
mod process;
mod reading;
mod spool;
mod surroundings;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use self::job::{Job, Program};
use self::reading::Reading;
use self::spool::{Found, Run, Spool};
use crate::domain::call::{Call, CallState};
use crate::domain::denial::Violation;
use crate::domain::digest::Digest;
use crate::domain::id::{CallId, ToolName};
use crate::domain::outcome::{Effect, Ending, FailureKind, Outcome, Ran};
use crate::domain::tool::command::{CommandAction, Input, Pinned};
use crate::domain::tool::path;
use crate::domain::tool::template::expand;
use crate::domain::tool::{Action, Tool};
use crate::pipeline::cleared::Cleared;
use crate::pipeline::port::{Executor, InStore, Trace, Wait};

pub(super) use self::process::watched;

/// How long a shim may take beyond the time of its program, to end what must be ended and to write it down.
const SHIM_MARGIN: Duration = Duration::from_secs(20);

/// Whether this process was started to be a shim, or to become a program; then that was done, and this is its
/// exit status. To be asked before anything else is done with `args`.
pub fn entered(args: &[OsString]) -> Option<ExitCode> {
    process::entered(args)
}

/// Runs tools that are programs.
pub struct CommandExecutor {
    spool: Option<Spool>,
    /// Where `env:` secrets are looked for. It has no `Debug`.
    environment: Arc<BTreeMap<String, String>>,
    /// Calls of which runs may have left something: only they are looked for on disk when they have ended.
    left: Mutex<BTreeSet<CallId>>,
}

impl CommandExecutor {
    /// Runs commands in `spool` for the daemon's start number `epoch`; secrets come from `environment`.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(spool: &Path, epoch: u64, environment: BTreeMap<String, String>) -> io::Result<Self> {
        Ok(Self { spool: Some(Spool::open(spool, epoch)?), environment: Arc::new(environment), left: Mutex::default() })
    }

    /// Runs no command: for daemons that have none.
    pub fn none() -> Self {
        Self { spool: None, environment: Arc::default(), left: Mutex::default() }
    }

    /// What an earlier run has left of this call, which `is_command` if that is certain.
    pub async fn trace(&self, call: &Call, is_command: bool) -> Trace {
        let Some(spool) = self.spool.clone() else { return Trace::Nothing };
        self.leaves(call.id);
        let (run, state) = (spool.run(call.id, call.attempts, true), call.state.clone());
        let found = {
            let run = run.clone();
            blocking(move || run.look().inspect(|found| end_strays(&run, found))).await
        };
        match found {
            Ok(Found::Held) => Trace::Running(Box::pin(async move {
                let waited = {
                    let run = run.clone();
                    blocking(move || judge(&run)).await
                };
                conclude(&run, waited)
            })),
            Ok(Found::NotStarted) => Trace::NotStarted,
            Ok(Found::Ended(end)) => Trace::Ended(conclude(&run, Ok(Found::Ended(end)))),
            Ok(Found::Started) => Trace::Nothing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => match state {
                // The folder is durable before a shim is started, and it stays until the end is durable.
                CallState::Running { epoch, .. } if is_command && spool.has_seen(epoch) => Trace::NotStarted,
                _ => Trace::Nothing,
            },
            Err(error) => {
                tracing::error!(call = %call.id, %error, "what a command has left cannot be read");
                Trace::Nothing
            }
        }
    }

    /// The end of this call is durable.
    pub fn settled(&self, call: CallId) {
        let has_left = self.left.lock().unwrap_or_else(PoisonError::into_inner).remove(&call);
        if let Some(spool) = self.spool.clone().filter(|_| has_left) {
            // It may be many files, and nobody waits for it.
            tokio::task::spawn_blocking(move || spool.forget(call));
        }
    }

    fn leaves(&self, call: CallId) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(call);
    }

    /// Nothing is needed any more, except of these calls.
    pub fn settled_but(&self, calls: BTreeSet<CallId>) {
        if let Some(spool) = self.spool.clone() {
            let names: BTreeSet<String> = calls.into_iter().map(|call| call.to_string()).collect();
            spool.sweep(|call| !names.contains(call));
        }
    }

    async fn attempt(&self, cleared: &Cleared, command: &CommandAction) -> Result<Ran, String> {
        let (tool, call) = (cleared.tool(), cleared.call());
        let spool = self.spool.as_ref().ok_or("this daemon runs no commands")?;
        if let Some(missing) = process::missing() {
            return Err(missing.to_owned());
        }
        let arguments = cleared.arguments();
        let run = spool.run(call.id, call.attempts, !tool.is_read_only());
        let list = expand(&command.arguments, &arguments).map_err(|error| error.to_string())?;
        let given = surroundings::secrets(command, &self.environment)?;
        let environment = surroundings::environment(command, call, &arguments, &given, run.path())?;
        let inside = path::inside(&command.paths, &arguments).map(|(_, sent, root)| (sent.into(), root.to_owned()));
        let home = run.path().join("home");
        let job = Job {
            spool: run.path().to_owned(),
            program: Program {
                token: Digest::of("toolctl/shim/v1", &[&call.salt, &call.id.bytes(), &call.attempts.to_be_bytes()])
                    .hex(),
                file: command.program.clone(),
                script: command.script.clone(),
                arguments: list,
                environment,
                files: given.files.clone(),
                inside: inside.collect(),
                folder: command.folder.clone().unwrap_or_else(|| home.clone()),
                private: run.path().to_owned(),
                limits: command.limits,
                sandbox: command.sandbox.clone(),
                shim: 0,
            },
            input: match command.stdin {
                Input::None => None,
                Input::Json => Some(call.arguments.as_str().to_owned()),
            },
            timeout_ms: u64::try_from(tool.timeout.as_millis()).unwrap_or(u64::MAX),
            again: command.exits.temporary.clone(),
            retry: command.exits.retry.unwrap_or_default(),
            most_output: tool.output_limit,
            secrets: given.variables.into_iter().chain(given.files).collect(),
            outlives: !tool.is_read_only(),
        };
        let frame = job::frame(&job).map_err(|error| error.to_string())?;
        let reading = Reading::of(tool, command);
        self.leaves(call.id);
        let made = {
            let run = run.clone();
            blocking(move || run.create(&reading)).await
        };
        made.map_err(|error| format!("the folder of this run cannot be made: {error}"))?;
        let mut shim = shim().map_err(|error| format!("the shim cannot be started: {error}"))?;
        let mut stdin = shim.stdin.take().ok_or("the shim has no stdin")?;
        // A shim that does not take its job has run nothing; what it has left says so.
        let _said = stdin.write_all(&frame).await;
        let _ended = shim.wait().await;
        drop(stdin);
        let found = {
            let run = run.clone();
            blocking(move || judge(&run)).await
        };
        Ok(conclude(&run, found))
    }
}

impl Executor for CommandExecutor {
    fn run<'a>(&'a self, cleared: &'a Cleared) -> Wait<'a, Ran> {
        Box::pin(async move {
            let Action::Command(command) = &cleared.tool().action else {
                return nothing_ran(format!("`{}` is not a command", cleared.tool().name));
            };
            self.attempt(cleared, command).await.unwrap_or_else(nothing_ran)
        })
    }

    fn patience(&self, tool: &Tool) -> Duration {
        let grace = match &tool.action {
            Action::Command(command) => command.limits.grace(),
            Action::Desk | Action::Http(_) | Action::Upstream(_) => Duration::ZERO,
        };
        tool.timeout.saturating_add(grace).saturating_add(SHIM_MARGIN)
    }

    fn unchanged<'a>(&'a self, tool: &'a Tool) -> Wait<'a, Result<(), String>> {
        Box::pin(async move {
            let Action::Command(command) = &tool.action else { return Ok(()) };
            let pinned: Vec<Pinned> = std::iter::once(&command.program).chain(&command.script).cloned().collect();
            let looked = blocking(move || Ok(pinned.iter().find_map(changed))).await;
            looked.map_or_else(|error| Err(error.to_string()), |changed| changed.map_or(Ok(()), Err))
        })
    }

    fn fits<'a>(&'a self, tool: &'a Tool, arguments: &'a Value) -> Wait<'a, Result<(), Violation>> {
        Box::pin(async move {
            let Action::Command(command) = &tool.action else { return Ok(()) };
            let sent: Vec<(String, PathBuf, PathBuf)> = path::inside(&command.paths, arguments)
                .map(|(name, sent, root)| (name.to_owned(), sent.into(), root.to_owned()))
                .collect();
            if sent.is_empty() {
                return Ok(());
            }
            let looked = blocking(move || {
                Ok(sent.iter().find_map(|(name, sent, root)| Some((name.clone(), place::must_stay(sent, root).err()?))))
            });
            let (name, message) = match looked.await {
                Ok(None) => return Ok(()),
                Ok(Some(wrong)) => wrong,
                Err(error) => (String::new(), error.to_string()),
            };
            Err(Violation { path: format!("/{}", name.replace('~', "~0").replace('/', "~1")), message })
        })
    }

    fn in_store(&self, _: &ToolName) -> Option<Arc<dyn InStore>> {
        None
    }
}

/// What became of a run, once nobody holds it.
fn judge(run: &Run) -> io::Result<Found> {
    let found = run.judge(&run.wait()?)?;
    end_strays(run, &found);
    Ok(found)
}

/// A shim that was killed takes its program with it, and nobody is left to end what that has started: it must not go
/// on unseen, least of all when the call starts again.
fn end_strays(run: &Run, found: &Found) {
    if matches!(found, Found::Started) && !process::end_strays(run.path()) {
        tracing::error!(run = %run.path().display(), "something that a command has started could not be ended");
    }
}

/// A file that is not the one the tool was defined with.
fn changed(pinned: &Pinned) -> Option<String> {
    let path = pinned.path.display();
    match File::open(&pinned.path).and_then(Digest::of_file) {
        Ok(digest) if digest == pinned.digest => None,
        Ok(_) => Some(format!("the program `{path}` was replaced")),
        Err(error) => Some(format!("the program `{path}` cannot be read: {error}")),
    }
}

/// Starts this very program as a shim, in nobody's surroundings.
fn shim() -> io::Result<tokio::process::Child> {
    let own = PathBuf::from("/proc/self/exe");
    let own = if own.exists() { own } else { std::env::current_exe()? };
    let mut command = tokio::process::Command::new(own);
    command.arg("__shim").env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// What became of a run, by what it left.
fn conclude(run: &Run, found: io::Result<Found>) -> Ran {
    let reading: Reading = match run.reading() {
        Ok(reading) => reading,
        Err(error) => {
            let why = format!("what the command has left cannot be read: {error}");
            return Ending::InDoubt { why }.into();
        }
    };
    match found {
        Ok(Found::Ended(end)) => {
            let (stdout, stderr) = run.output();
            reading.read(&end, &stdout, &stderr)
        }
        Ok(Found::NotStarted) => nothing_ran("the shim could not start the program".to_owned()),
        Ok(Found::Started | Found::Held) => reading.lost("its shim was killed"),
        Err(error) => reading.lost(&format!("what it has left cannot be read: {error}")),
    }
}

fn nothing_ran(message: String) -> Ran {
    Outcome::Failed { kind: FailureKind::Failed, message, output: None, effect: Effect::None }.into()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

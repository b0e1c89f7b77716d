//! One driver: a process of this program's own, in nobody's surroundings, out of reach of the daemon's terminal, at the
//! end of a pipe.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

use crate::domain::id::RunId;
use crate::transport::detached;

use super::{Means, Turn, words};

/// How long a driver may take to end once its line is cut.
const GRACE: Duration = Duration::from_secs(2);

/// A process that drives a run. Dropped, it is killed.
pub struct Driver {
    child: Child,
    /// The line by which it hangs: after the token nothing is written to it.
    line: Option<ChildStdin>,
    words: JoinHandle<String>,
}

impl Driver {
    /// Starts one, and hands it the token that it acts with: as the first line of its stdin, since the environment of a
    /// process can be looked at, and is inherited by whatever it starts.
    ///
    /// # Errors
    /// When the system does not.
    pub async fn start(means: &Means, run: &RunId, token: &str) -> io::Result<Self> {
        let mut command = std::process::Command::new(&means.program);
        command.args(["run", "--run", run.as_str(), "--owned", "--no-input", "--output", "json", "--socket"]);
        command.arg(&means.socket).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        detached::apart(&mut command);
        detached::called(&mut command, env!("CARGO_PKG_NAME"));
        let mut child = Command::from(command).kill_on_drop(true).spawn()?;
        let mut line = child.stdin.take();
        if let Some(line) = &mut line {
            // One that ended before it read this says so by its end.
            let _gone = line.write_all(format!("{token}\n").as_bytes()).await;
        }
        let stderr = child.stderr.take().ok_or_else(|| io::Error::other("it has no stderr"))?;
        Ok(Self { child, line, words: tokio::spawn(words::last(stderr)) })
    }

    /// Waits for its end. Cancel-safe.
    pub async fn ended(&mut self) -> Turn {
        match self.child.wait().await {
            Ok(status) if status.success() => Turn::Over,
            Ok(status) => {
                let words = (&mut self.words).await.unwrap_or_default();
                Turn::CouldNot(if words.is_empty() { silent(status) } else { words })
            }
            Err(error) => Turn::CouldNot(format!("it is out of sight: {error}")),
        }
    }

    /// Cuts its line, and waits until it is gone.
    pub async fn end(mut self) {
        drop(self.line.take());
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            // It may have ended in this moment.
            let _gone = self.child.kill().await;
        }
    }
}

fn silent(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("it ended with exit status {code} and without a word"),
        None => "it was killed".to_owned(),
    }
}

//! Servers that are programs: one message a line on stdin and stdout. A line that is too long is read past and not
//! kept, stderr is drained and bounded, and when the conversation ends the program and everything below it ends, even
//! if this process is killed: its watcher (`command/process`) sees to that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::conversation::{Conversation, OUTBOX, Outgoing, Shared};
use super::message;
use crate::domain::digest::Digest;
use crate::domain::text::escape_untrusted;
use crate::domain::tool::command::PATH;
use crate::domain::tool::upstream::{Given, ProgramReach};
use crate::tool::command::watched;
use crate::tool::{scrub, secret};
use crate::transport::lines::{Line, Lines};

/// How long a server may take to end by itself once its stdin is closed.
const GRACE: Duration = Duration::from_secs(2);
/// How long its watcher may take to end it after that.
const KILLED_WITHIN: Duration = Duration::from_secs(6);
/// How long what a server has written before it ended may take to be read.
const DRAINED_WITHIN: Duration = Duration::from_secs(1);
/// Bytes of one line of stderr that are kept.
const LONGEST_WORD: usize = 1_000;
/// Lines of stderr that are logged of one run.
const MOST_WORDS: usize = 1_000;

/// Starts a server. `most` is the longest message that is taken, in bytes.
///
/// # Errors
/// Says why it cannot be started.
pub async fn start(
    name: &str,
    reach: &ProgramReach,
    environment: &BTreeMap<String, String>,
    most: usize,
) -> Result<Conversation, String> {
    must_be_unchanged(reach).await?;
    let secrets = Arc::new(secrets(reach, environment)?);
    let mut child = spawn(reach, environment, &secrets)?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { return Err("it has no pipes".to_owned()) };
    let (outbox, lines) = mpsc::channel(OUTBOX);
    let (carrier, dropped) = oneshot::channel();
    let shared = Arc::new(Shared::default());
    let last_words = Arc::new(Mutex::new(String::new()));
    let carried = Carried {
        name: name.to_owned(),
        child,
        writer: tokio::spawn(write(stdin, lines)),
        reader: tokio::spawn(read(
            name.to_owned(),
            stdout,
            Arc::clone(&shared),
            outbox.downgrade(),
            (most, secrets.clone()),
        )),
        listener: tokio::spawn(listen(name.to_owned(), stderr, Arc::clone(&last_words), secrets)),
        last_words,
        shared: Arc::clone(&shared),
    };
    tokio::spawn(carried.until(dropped));
    Ok(Conversation::new(outbox, shared, carrier))
}

/// The program is the one that was declared.
async fn must_be_unchanged(reach: &ProgramReach) -> Result<(), String> {
    let pinned = reach.program.clone();
    let digest = tokio::task::spawn_blocking(move || File::open(&pinned.path).and_then(Digest::of_file)).await;
    let path = reach.program.path.display();
    match digest.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(digest) if digest == reach.program.digest => Ok(()),
        Ok(_) => Err(format!("the program `{path}` was replaced; `toolctl reload` takes the new one")),
        Err(error) => Err(format!("the program `{path}` cannot be read: {error}")),
    }
}

/// The secrets that the program is given, by the names of their variables.
fn secrets(reach: &ProgramReach, environment: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, String> {
    let given = reach.environment.iter().filter_map(|(name, given)| match given {
        Given::Secret(reference) => Some((name, reference)),
        Given::Text(_) => None,
    });
    given.map(|(name, reference)| Ok((name.clone(), secret::read(reference, environment)?))).collect()
}

fn spawn(
    reach: &ProgramReach,
    environment: &BTreeMap<String, String>,
    secrets: &[(String, String)],
) -> Result<Child, String> {
    let mut command = watched(&reach.program.path, &reach.arguments);
    command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
    for name in ["HOME", "TMPDIR"] {
        if let Some(value) = environment.get(name) {
            command.env(name, value);
        }
    }
    for (name, given) in &reach.environment {
        if let Given::Text(text) = given {
            command.env(name, text);
        }
    }
    command.envs(secrets.iter().map(|(name, value)| (name, value)));
    let home = environment.get("HOME").map(PathBuf::from).filter(|home| home.is_dir());
    let folder = reach.folder.clone().or(home).unwrap_or_else(|| PathBuf::from("/"));
    if !folder.is_dir() {
        return Err(format!("there is no folder `{}`", folder.display()));
    }
    command.current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| format!("it cannot be started: {error}"))
}

/// What carries a conversation with a program.
struct Carried {
    name: String,
    child: Child,
    writer: JoinHandle<()>,
    reader: JoinHandle<String>,
    listener: JoinHandle<()>,
    last_words: Arc<Mutex<String>>,
    shared: Arc<Shared>,
}

impl Carried {
    /// Watches over the program until it ends or nobody talks to it any more, and then ends it.
    async fn until(mut self, dropped: oneshot::Receiver<()>) {
        let (mut status, mut read) = (None, None);
        tokio::select! {
            ended = self.child.wait() => status = ended.ok(),
            why = &mut self.reader => read = Some(why.unwrap_or_default()),
            _ = dropped => {}
        }
        // Its stdin is at its end: a server that is well made ends now.
        self.writer.abort();
        if status.is_none() {
            status = self.end().await;
        }
        let why = match read {
            Some(why) => why,
            // What it has written before it ended counts.
            None => match tokio::time::timeout(DRAINED_WITHIN, &mut self.reader).await {
                Ok(why) => why.unwrap_or_default(),
                Err(_) => {
                    self.reader.abort();
                    String::new()
                }
            },
        };
        let _heard = tokio::time::timeout(DRAINED_WITHIN, &mut self.listener).await;
        self.listener.abort();
        let said = self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let why = told(&why, status, &said);
        tracing::debug!(server = self.name, why, "the server ended");
        self.shared.end(why);
    }

    async fn end(&mut self) -> Option<ExitStatus> {
        if let Ok(status) = tokio::time::timeout(GRACE, self.child.wait()).await {
            return status.ok();
        }
        // Without a reader of its stderr the watcher ends everything.
        self.listener.abort();
        if let Ok(status) = tokio::time::timeout(KILLED_WITHIN, self.child.wait()).await {
            return status.ok();
        }
        self.child.kill().await.ok()?;
        None
    }
}

fn told(why: &str, status: Option<ExitStatus>, said: &str) -> String {
    let ended = match status {
        Some(status) => match status.code() {
            Some(code) => format!("the server ended with status {code}"),
            None => "the server was killed".to_owned(),
        },
        None => "the server was ended".to_owned(),
    };
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    let said = if said.is_empty() { String::new() } else { format!("; it said: {said}") };
    format!("{ended}{why}{said}")
}

async fn write(mut stdin: ChildStdin, mut messages: mpsc::Receiver<Outgoing>) {
    while let Some(Outgoing { text: mut line, .. }) = messages.recv().await {
        line.push('\n');
        // A server that takes nothing any more is noticed by its end.
        if stdin.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads messages until there are no more; says why, when that is worth a word.
async fn read(
    name: String,
    stdout: impl AsyncRead + Unpin,
    shared: Arc<Shared>,
    outbox: mpsc::WeakSender<Outgoing>,
    (most, secrets): (usize, Arc<Vec<(String, String)>>),
) -> String {
    let secrets = scrub::Secrets::of(&secrets);
    let mut lines = Lines::new(stdout, most);
    loop {
        let messages = match lines.next_ended().await {
            Ok(Some(Line::Whole(line))) => message::read(&secrets.scrub(line.to_vec()), most),
            Ok(Some(Line::TooLong { head, tail })) => vec![message::too_long(&head, &tail, most)],
            Ok(None) => return String::new(),
            Err(error) => return error.to_string(),
        };
        for message in messages {
            let Some(reply) = shared.take(&name, message) else { continue };
            // A server that asks faster than it reads gets no answer.
            let _full_or_over = outbox.upgrade().map(|outbox| outbox.try_send(Outgoing::reply(reply)));
        }
    }
}

/// Reads stderr to its end, whatever it holds, and keeps its last line.
async fn listen(
    name: String,
    stderr: impl AsyncRead + Unpin,
    last: Arc<Mutex<String>>,
    secrets: Arc<Vec<(String, String)>>,
) {
    let secrets = scrub::Secrets::of(&secrets);
    let mut lines = Lines::new(stderr, LONGEST_WORD);
    let mut heard = 0;
    while let Ok(Some(line)) = lines.next().await {
        let (Line::Whole(line) | Line::TooLong { head: line, .. }) = line;
        let word = escape_untrusted(&String::from_utf8_lossy(&secrets.scrub(line.to_vec())));
        heard += 1;
        if heard <= MOST_WORDS {
            tracing::debug!(server = name, "{word}");
        }
        if !word.is_empty() {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = word.chars().take(300).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_with_the_last_words() {
        assert_eq!(told("", None, ""), "the server was ended");
        assert_eq!(told("a pipe", None, "no key"), "the server was ended (a pipe); it said: no key");
    }
}

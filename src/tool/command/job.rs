//! What the daemon tells a shim, what the shim tells the process that becomes the program, and what the shim
//! leaves behind: all of it JSON behind its length, none of it on a command line, where others could read it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::tool::command::{Limits, Pinned, Retry, Sandbox};

/// The longest frame, in bytes: arguments, environment and standard input together.
const LONGEST: usize = 16 << 20;

/// One run, for a shim.
#[derive(Serialize, Deserialize)]
pub struct Job {
    /// The folder of this run, where start and end are written.
    pub spool: PathBuf,
    /// What to become.
    pub program: Program,
    /// What the program reads on stdin.
    pub input: Option<String>,
    /// How long it may run, all starts together, in milliseconds.
    pub timeout_ms: u64,
    /// Exit statuses after which it is started again.
    pub again: Vec<u8>,
    /// How.
    pub retry: Retry,
    /// Bytes of stdout after which it is killed.
    pub most_output: usize,
    /// Values that must not be in what is kept of its output, each with its name.
    pub secrets: Vec<(String, String)>,
    /// It goes on when its daemon is gone: somebody will ask how it ended.
    pub outlives: bool,
}

/// What a process becomes.
#[derive(Serialize, Deserialize)]
pub struct Program {
    /// Nobody but the parties to this job knows it: by it a refusal is told from output.
    pub token: String,
    /// The program.
    pub file: Pinned,
    /// The script it interprets.
    pub script: Option<Pinned>,
    /// Its arguments without its name.
    pub arguments: Vec<String>,
    /// Its whole environment, but for the variables of `files`.
    pub environment: BTreeMap<String, String>,
    /// What it reads from files that have no name: the variable that says where, and the content.
    pub files: Vec<(String, String)>,
    /// Paths that a caller sent, each with the folder that it must not leave.
    pub inside: Vec<(PathBuf, PathBuf)>,
    /// The folder it runs in.
    pub folder: PathBuf,
    /// The folder that is its own.
    pub private: PathBuf,
    /// What it may use.
    pub limits: Limits,
    /// What it may reach.
    pub sandbox: Sandbox,
    /// The process id of its shim, without which it must not run.
    pub shim: i32,
}

/// What a process says before it becomes the program, behind its token: that it will not.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// For the caller.
    pub message: String,
}

/// How a run ended, as its shim saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What became of the program.
    pub fate: Fate,
    /// Why it was killed, if it was.
    pub cut: Option<Cut>,
    /// Something it started could not be ended.
    pub survivors: bool,
    /// How often it was started.
    #[serde(default)]
    pub attempts: u32,
    /// How it was kept in.
    pub sandbox: String,
    /// Bytes it wrote to stdout, kept or not.
    pub stdout_bytes: u64,
    /// Bytes it wrote to stderr, kept or not.
    pub stderr_bytes: u64,
}

/// What became of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It never ran.
    NotStarted(String),
    /// It exited with this status.
    Exited(i32),
    /// A signal of this number ended it.
    Killed(i32),
}

/// Why a shim kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Its time was up.
    Timeout,
    /// It wrote too much.
    Flood,
    /// Nobody waits for it any more.
    Orphaned,
}

/// One frame: its length as 4 big-endian bytes, then JSON.
///
/// # Errors
/// When it is too long.
pub fn frame<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= LONGEST);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the job is too long"))?;
    Ok([&length.to_be_bytes()[..], &body].concat())
}

/// Reads one frame, and not a byte more.
///
/// # Errors
/// When it is cut off, too long or no frame.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the job is too long"));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_to_its_last_byte_and_not_beyond() {
        let mut bytes = frame(&Refusal { message: "no".to_owned() }).expect("a frame");
        bytes.extend(b"stdin of the program");
        let mut rest = bytes.as_slice();
        let read: Refusal = receive(&mut rest).expect("read");
        assert_eq!((read.message.as_str(), rest), ("no", &b"stdin of the program"[..]));
        assert!(receive::<Refusal>(&mut &bytes[..6]).is_err(), "cut off");
        assert!(receive::<Refusal>(&mut &[0xff; 8][..]).is_err(), "too long");
    }
}

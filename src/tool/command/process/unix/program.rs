//! The process that becomes the program. It is started by the shim, reads what to become from its standard
//! input (behind which the program's own input follows), gives up what it may not have, and execs. Until then
//! it can still say no, and then nothing has run.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use super::super::super::job::{self, Program, Refusal};
use crate::domain::digest::Digest;
use crate::domain::tool::command::Pinned;

/// The exit status of a process that did not become its program.
pub const REFUSED: i32 = 127;

/// Standard input without a buffer: not a byte may be taken that is the program's.
struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(rustix::stdio::stdin(), buffer)?)
    }
}

/// Becomes the program, or says why not.
pub fn main() -> ExitCode {
    // A shim that ended before it said what to become wants nothing any more.
    let Ok(program) = job::receive::<Program>(&mut Stdin) else { return ExitCode::from(REFUSED as u8) };
    let message = match become_it(&program) {
        Ok(never) => match never {},
        Err(message) => message,
    };
    let mut said = program.token.into_bytes();
    if let Ok(frame) = job::frame(&Refusal { message }) {
        said.extend(frame);
    }
    // If even this cannot be said, the shim sees the exit status alone.
    let _unsaid = io::stdout().write_all(&said).and_then(|()| io::stdout().flush());
    ExitCode::from(REFUSED as u8)
}

enum Never {}

fn become_it(program: &Program) -> Result<Never, String> {
    super::end_with(program.shim).map_err(|error| error.to_string())?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    for pinned in std::iter::once(&program.file).chain(&program.script) {
        must_be_unchanged(pinned)?;
    }
    std::env::set_current_dir(&program.folder)
        .map_err(|error| format!("the folder `{}` cannot be entered: {error}", program.folder.display()))?;
    super::sandbox::enter(program)?;
    let mut command = Command::new(&program.file.path);
    command.args(&program.arguments).env_clear().envs(&program.environment);
    // Last, as little may be allocated once memory is limited.
    super::limit(&program.limits).map_err(|error| format!("the limits cannot be set: {error}"))?;
    let error = command.exec();
    Err(format!("`{}` cannot be run: {error}", program.file.path.display()))
}

/// A file that was replaced since the tool was defined is another program than the one that was judged.
fn must_be_unchanged(pinned: &Pinned) -> Result<(), String> {
    let path = pinned.path.display();
    let digest = File::open(&pinned.path).and_then(Digest::of_file);
    let digest = digest.map_err(|error| format!("`{path}` cannot be read: {error}"))?;
    if digest == pinned.digest {
        Ok(())
    } else {
        Err(format!("`{path}` is not the file that the tool was defined with"))
    }
}

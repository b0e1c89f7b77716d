//! The process that becomes the program. It is started by the shim, reads what to become from its standard
//! input (behind which the program's own input follows), gives up what it may not have, and execs. Until then
//! it can still say no, and then nothing has run.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use super::super::super::job::{self, Program, Refusal};
use super::super::super::place;
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
    for (sent, root) in &program.inside {
        place::must_stay(sent, root)?;
    }
    std::env::set_current_dir(&program.folder)
        .map_err(|error| format!("the folder `{}` cannot be entered: {error}", program.folder.display()))?;
    super::sandbox::enter(program)?;
    let mut command = Command::new(&program.file.path);
    command.args(&program.arguments).env_clear().envs(&program.environment);
    for (variable, content) in &program.files {
        let place = nameless(content.as_bytes()).map_err(|error| format!("`{variable}` cannot be given: {error}"))?;
        command.env(variable, place);
    }
    // Last, as little may be allocated once memory is limited.
    super::limit(&program.limits).map_err(|error| format!("the limits cannot be set: {error}"))?;
    let error = command.exec();
    Err(format!("`{}` cannot be run: {error}", program.file.path.display()))
}

/// Puts `content` into a file that is in no folder and that only what this process becomes, and what that starts,
/// can open; gives the path of it. It can be read again and again, and not be changed.
#[cfg(target_os = "linux")]
fn nameless(content: &[u8]) -> io::Result<String> {
    use std::io::Seek as _;
    use std::os::fd::IntoRawFd as _;

    use rustix::fs::{MemfdFlags, Mode, SealFlags};

    // Without CLOEXEC: to be inherited is its purpose.
    let mut file = File::from(rustix::fs::memfd_create("secret", MemfdFlags::ALLOW_SEALING)?);
    file.write_all(content)?;
    file.rewind()?;
    rustix::fs::fchmod(&file, Mode::RUSR)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK)?;
    Ok(format!("/dev/fd/{}", file.into_raw_fd()))
}

/// Only Linux has files without a name that can be opened again.
#[cfg(not(target_os = "linux"))]
fn nameless(_: &[u8]) -> io::Result<String> {
    Err(io::Error::other("only Linux has files without a name; give it as a variable"))
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

//! The watcher of a server: a small parent that ends everything below the server when the server ends, or when the
//! daemon does not listen any more, however that came about. It has no part in the conversation: the server has the
//! daemon's own pipes.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, WaitStatus};

/// How long a server may take to end by itself, as its input is at its end, and again after it was asked to.
const GRACE: Duration = Duration::from_secs(1);
/// How long everything below may take to be gone once it is killed.
const KILLED_WITHIN: Duration = Duration::from_secs(3);
/// How often what is killed is looked for again: it may have been having children.
const KILL_AGAIN: Duration = Duration::from_millis(10);
/// The exit status when there was nothing to watch (127 of sh(1), for a program that cannot be run).
const NOT_STARTED: u8 = 127;

/// What happens to a watcher.
enum Event {
    /// A process below it ended.
    Reaped(Pid, WaitStatus),
    /// Nothing is below it any more.
    Alone,
    /// The daemon does not listen any more.
    Orphaned,
}

/// Runs a server, `command`, to its end, and ends with its status.
pub fn main(command: &[OsString]) -> ExitCode {
    match run(command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            // The daemon keeps the last line for whoever asks why.
            let _nobody_listens = writeln!(io::stderr(), "it cannot be started: {error}");
            ExitCode::from(NOT_STARTED)
        }
    }
}

fn run(command: &[OsString]) -> io::Result<u8> {
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("nothing to start"))?;
    super::lead()?;
    let child = Command::new(program).args(arguments).process_group(0).spawn()?;
    let leader = Pid::from_child(&child);
    // The server's pipes are at their ends when it closes them, not when we do.
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    let (tell, events) = mpsc::channel();
    listen(&tell);
    let mut status = None;
    let orphaned = loop {
        match events.recv() {
            Ok(Event::Reaped(pid, ended)) if pid == leader => {
                status = Some(ended);
                break false;
            }
            Ok(Event::Reaped(..)) => {}
            Ok(Event::Orphaned) => break true,
            Ok(Event::Alone) | Err(_) => break false,
        }
    };
    if orphaned {
        let is_over = |event: &Event| matches!(event, Event::Reaped(pid, _) if *pid == leader);
        if !until(&events, Instant::now() + GRACE, is_over) {
            super::ask_to_end(leader);
            until(&events, Instant::now() + GRACE, is_over);
        }
    }
    kill_the_rest(&events, leader);
    Ok(status.map_or(NOT_STARTED, told))
}

/// Begins to hear of everything that can happen, each by a thread that waits for it.
fn listen(tell: &Sender<Event>) {
    let reaped = tell.clone();
    thread::spawn(move || {
        loop {
            let event = match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => Event::Reaped(pid, status),
                Ok(None) | Err(rustix::io::Errno::INTR) => continue,
                Err(_) => Event::Alone,
            };
            let is_last = matches!(event, Event::Alone);
            if reaped.send(event).is_err() || is_last {
                return;
            }
        }
    });
    let orphaned = tell.clone();
    thread::spawn(move || {
        let stderr = io::stderr();
        loop {
            // Nothing is asked for: only that nobody reads the other end any more wakes this (poll(2), POLLERR).
            let mut pipes = [PollFd::new(&stderr, PollFlags::empty())];
            match poll(&mut pipes, None) {
                Ok(_) if !pipes.iter().all(|pipe| pipe.revents().is_empty()) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        orphaned.send(Event::Orphaned)
    });
}

/// Kills whatever is left, again and again, until nothing is.
fn kill_the_rest(events: &Receiver<Event>, leader: Pid) {
    let deadline = Instant::now() + KILLED_WITHIN;
    while Instant::now() < deadline {
        super::kill_all(leader);
        if until(events, Instant::now() + KILL_AGAIN, |event| matches!(event, Event::Alone)) {
            return;
        }
    }
}

/// Waits for an event, at most until the deadline; says whether it came.
fn until(events: &Receiver<Event>, deadline: Instant, wanted: impl Fn(&Event) -> bool) -> bool {
    loop {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) if wanted(&event) || matches!(event, Event::Alone) => return true,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
}

/// A status as a shell tells it: 128 and the signal for what was killed.
fn told(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => status,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(1)
}

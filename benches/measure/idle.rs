//! Whether those who wait cost those who work, S10: the same load on two daemons, one of which
//! also has connections that do nothing and callers that wait for people.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use super::daemon::Daemon;
use super::load::{self, Operation};
use super::options::Options;
use super::report::{Goal, Report};
use super::{Fault, median};

/// Connections that do nothing.
const IDLE: usize = 1_000;

/// Callers that wait for people, each on a connection of its own, if so many files may be open.
const WAITERS: usize = 10_000;

/// Callers that wait for the same call; a daemon takes at most 256.
const SHARING: usize = 250;

/// Open files that a process needs beside those connections.
const OTHER_FILES: usize = 500;

/// Connections that work.
const CONNECTIONS: usize = 64;

/// Measures.
///
/// # Errors
/// When the daemon fails, or answers one of those who wait.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Fault> {
    let waiters = WAITERS.min(open_files()?.saturating_sub(IDLE + OTHER_FILES));
    let (alone_home, home) = (options.folder()?, options.folder()?);
    let (alone, daemon) = (Daemon::start(alone_home.path())?, Daemon::start(home.path())?);
    let calls = (0..waiters.div_ceil(SHARING)).map(|number| pending(&daemon, number)).collect::<Result<Vec<_>, _>>()?;
    let crowd = Crowd::gather(&daemon, &calls, waiters)?;
    let resident = daemon.resident()?;

    let mut rates = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        for (daemon, rates) in [(&alone, &mut rates.0), (&daemon, &mut rates.1)] {
            let sample = load::drive(&daemon.socket(), Operation::CreateTicket, CONNECTIONS, options.slice)?;
            rates.push(sample.rate());
        }
    }
    crowd.still_waits()?;
    let ratio = median(rates.0.iter().zip(&rates.1).map(|(alone, crowded)| crowded / alone).collect());
    let figure = format!("{:.0}/s; without them {:.0}/s", median(rates.1), median(rates.0));
    let what = format!("create_ticket beside {IDLE} idle connections and {waiters} waiters");
    report.goal("S10", what, figure, (Goal::AtLeast(0.9), "× without"), ratio);
    report.goal(
        "S10",
        "memory with them, before any other load",
        format!("{resident:.1} MB"),
        (Goal::AtMost(100.0), "MB"),
        resident,
    );
    Ok(())
}

/// A call that waits for people.
fn pending(daemon: &Daemon, number: usize) -> Result<String, Fault> {
    let arguments = format!(r#"{{"customer_id":1,"new_status":"Paused {number}"}}"#);
    let pending: Value = serde_json::from_str(&daemon.call("update_customer_status", &arguments)?)?;
    let id = pending.get("pending_action_id").and_then(Value::as_str).ok_or("nothing waits for people")?;
    Ok(id.replacen("apr_", "call_", 1))
}

/// Raises the number of files that this process and the daemons it starts may have open, as far as that is
/// allowed; gives that number.
fn open_files() -> Result<usize, Fault> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX)))
}

/// Connections that are open and bring nothing to do.
struct Crowd {
    idle: Vec<UnixStream>,
    waiters: Vec<UnixStream>,
}

impl Crowd {
    /// Connects them all; the waiters share these calls.
    fn gather(daemon: &Daemon, calls: &[String], waiters: usize) -> Result<Self, Fault> {
        let socket = daemon.socket();
        let idle = (0..IDLE).map(|_| UnixStream::connect(&socket)).collect::<Result<_, _>>()?;
        let waiter = |call: &String| {
            let request = format!("GET /v1/calls/{call}?wait=600s HTTP/1.1\r\nhost: localhost\r\n\r\n");
            let mut waiter = UnixStream::connect(&socket)?;
            waiter.write_all(request.as_bytes())?;
            Ok(waiter)
        };
        let waiters = calls.iter().cycle().take(waiters).map(waiter).collect::<Result<_, std::io::Error>>()?;
        // Connections are accepted in their order: when this one is answered, all of them were.
        daemon.get("/health")?;
        Ok(Self { idle, waiters })
    }

    /// Fails if one of them was answered or hung up on.
    fn still_waits(mut self) -> Result<(), Fault> {
        for stream in self.idle.iter_mut().chain(&mut self.waiters) {
            stream.set_nonblocking(true)?;
            let mut answer = [0; 512];
            match stream.read(&mut answer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Err(format!("one was answered: {}", String::from_utf8_lossy(&answer)).into()),
            }
        }
        Ok(())
    }
}

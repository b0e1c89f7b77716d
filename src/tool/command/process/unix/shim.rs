//! The shim: a small parent of one program, which outlives the daemon. It writes down that the program is
//! about to run before it can, takes its output, ends it when its time is up, ends whatever it has left
//! behind, and writes down how it ended. A program that says it could not yet is started again.
//! Whatever happens to the daemon meanwhile, the next one finds that.

use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::super::super::job::{self, Cut, End, Fate, Job, Refusal};
use super::super::super::spool::Run;
use super::drain::{self, Kept, Measure};
use super::program::REFUSED;
use crate::tool::scrub::Secrets;

/// Bytes kept of the beginning of stderr.
const STDERR: usize = 16 << 10;
/// Bytes of stderr after which a program is killed.
const MOST_STDERR: u64 = 64 << 20;
/// How long everything below may take to be gone once it is killed.
const KILLED_WITHIN: Duration = Duration::from_secs(3);
/// How often what is killed is looked for again: it may have been having children.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// What happens to a shim.
enum Event {
    /// A process below it ended.
    Reaped(Pid, WaitStatus),
    /// Nothing is below it any more.
    Alone,
    /// Too much was written by the program of this process.
    Flood(Pid),
    /// All output of one stream of the program of this process is read.
    Drained(Pid, Stream, Kept),
    /// The daemon is gone.
    Orphaned,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

/// Runs one job to its end.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // What is not written down is judged by what is: the daemon knows what a missing end means.
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> io::Result<()> {
    let mut job: Job = job::receive(&mut io::stdin().lock())?;
    super::lead()?;
    job.program.shim = rustix::process::getpid().as_raw_nonzero().get();
    let spool = Run::at(job.spool.clone(), job.outlives);
    let held = spool.lock()?.ok_or_else(|| io::Error::other("another daemon looks at this run"))?;
    let (tell, events) = mpsc::channel();
    if !job.outlives {
        listen_for_the_daemon(&tell);
    }
    let food = food(&job)?;
    let watch = Watch::begin(&job, &tell, &events)?;
    // From here on it may run.
    spool.start(&held)?;
    let (end, stdout, stderr) = watch.and_again(&food, &tell);
    spool.finish(&end, &stdout, &stderr)
}

/// What the process reads that becomes the program: what to become, and behind it the program's input.
fn food(job: &Job) -> io::Result<Arc<[u8]>> {
    let mut food = job::frame(&job.program)?;
    food.extend(job.input.iter().flat_map(|input| input.bytes()));
    Ok(food.into())
}

/// Starts the process that becomes the program. Until it is fed it waits.
fn start() -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    if !std::path::Path::new("/proc/self/exe").exists() {
        command = Command::new(std::env::current_exe()?);
    }
    command.arg(super::PROGRAM).env_clear().process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

fn listen_for_the_daemon(tell: &Sender<Event>) {
    let tell = tell.clone();
    thread::spawn(move || {
        // The daemon says nothing more: this ends when it does.
        let _ended = io::copy(&mut io::stdin().lock(), &mut io::sink());
        tell.send(Event::Orphaned)
    });
}

/// Begins to hear of everything that can happen to a program, each by a thread that waits for it.
fn listen(child: &mut Child, job: &Job, tell: &Sender<Event>) {
    let leader = Pid::from_child(child);
    let out = child.stdout.take().map(|from| (Stream::Out, Box::new(from) as Box<dyn Read + Send>));
    let err = child.stderr.take().map(|from| (Stream::Err, Box::new(from) as Box<dyn Read + Send>));
    for (stream, from) in out.into_iter().chain(err) {
        let measure = match stream {
            Stream::Out => Measure { keep: job.most_output, most: job.most_output as u64 },
            Stream::Err => Measure { keep: STDERR, most: MOST_STDERR },
        };
        let tell = tell.clone();
        thread::spawn(move || {
            let kept = drain::read(from, measure, &tell, || Event::Flood(leader));
            tell.send(Event::Drained(leader, stream, kept))
        });
    }
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
}

/// One start of the program, until it has ended and nothing is left of it.
struct Watch<'a> {
    job: &'a Job,
    events: &'a Receiver<Event>,
    leader: Pid,
    stdin: Option<ChildStdin>,
    deadline: Instant,
    /// How often the program was started, this time included.
    attempts: u32,
    fate: Option<Fate>,
    cut: Option<Cut>,
    out: Option<Kept>,
    err: Option<Kept>,
}

impl<'a> Watch<'a> {
    /// Starts a process, which waits.
    fn begin(job: &'a Job, tell: &Sender<Event>, events: &'a Receiver<Event>) -> io::Result<Self> {
        let mut child = start()?;
        listen(&mut child, job, tell);
        let leader = Pid::from_child(&child);
        let stdin = Some(child.stdin.take().ok_or_else(|| io::Error::other("no stdin"))?);
        let deadline = Instant::now() + Duration::from_millis(job.timeout_ms);
        Ok(Self { job, events, leader, stdin, deadline, attempts: 1, fate: None, cut: None, out: None, err: None })
    }

    /// Lets it become the program and sees to its end; again, a little later, as long as it says that it could not
    /// yet and has time.
    fn and_again(mut self, food: &Arc<[u8]>, tell: &Sender<Event>) -> (End, Vec<u8>, Vec<u8>) {
        let mut pause = Duration::from_millis(self.job.retry.wait_ms);
        loop {
            self.feed(Arc::clone(food));
            let survivors = self.see_to_the_end();
            if survivors || !self.could_not_yet() || !self.waits(pause) {
                return self.end(survivors);
            }
            pause = pause.saturating_mul(2);
            // It was told how the last one ended: that is what happened if no other can be started.
            let Ok(next) = Watch::begin(self.job, tell, self.events) else { return self.end(survivors) };
            self = Watch { deadline: self.deadline, attempts: self.attempts + 1, ..next };
        }
    }

    /// Whether it ended as its tool declared for a failure that passes, and may be started again.
    fn could_not_yet(&self) -> bool {
        let declared = |status: i32| self.job.again.iter().any(|listed| i32::from(*listed) == status);
        self.attempts < self.job.retry.attempts
            && self.cut.is_none()
            && matches!(self.fate, Some(Fate::Exited(status)) if declared(status))
    }

    /// Waits before another start; false when there is no time for one, or nobody waits for it any more.
    fn waits(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        until < self.deadline && !self.until(until, |watch| watch.cut.is_some())
    }

    /// Gives the process what to become, and behind it the program its input, without waiting for it to read.
    fn feed(&mut self, food: Arc<[u8]>) {
        if let Some(mut stdin) = self.stdin.take() {
            // A program that does not read, or has ended, is no error.
            thread::spawn(move || stdin.write_all(&food));
        }
    }

    /// Waits until everything is over, ending it when it must be. Gives whether something has survived.
    fn see_to_the_end(&mut self) -> bool {
        if !self.until(self.deadline, |watch| watch.fate.is_some() || watch.cut.is_some()) {
            self.cut = Some(Cut::Timeout);
        }
        if self.cut == Some(Cut::Timeout) {
            super::ask_to_end(self.leader);
            let grace = Instant::now() + self.job.program.limits.grace();
            self.until(grace, |watch| watch.fate.is_some());
        }
        let gone = self.kill_the_rest();
        // Whoever holds a pipe open is not below us and not ours to end: what was read until now is kept.
        self.until(Instant::now() + KILLED_WITHIN, |watch| watch.out.is_some() && watch.err.is_some());
        !gone
    }

    /// Kills whatever is left, again and again, until nothing is.
    fn kill_the_rest(&mut self) -> bool {
        let deadline = Instant::now() + KILLED_WITHIN;
        let mut alone = false;
        while !alone && Instant::now() < deadline {
            super::kill_all(self.leader);
            let again = Instant::now() + KILL_AGAIN;
            alone = self.until_alone(again);
        }
        alone
    }

    fn until_alone(&mut self, deadline: Instant) -> bool {
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Alone) => return true,
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }

    /// Takes events until `enough`, or the deadline; says which.
    fn until(&mut self, deadline: Instant, enough: impl Fn(&Self) -> bool) -> bool {
        while !enough(self) {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return enough(self),
            }
        }
        true
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Reaped(pid, status) if pid == self.leader => self.fate = Some(fate(status)),
            Event::Reaped(..) | Event::Alone => {}
            Event::Flood(of) if of == self.leader => self.cut = self.cut.or(Some(Cut::Flood)),
            Event::Orphaned => self.cut = self.cut.or(Some(Cut::Orphaned)),
            Event::Drained(of, Stream::Out, kept) if of == self.leader => self.out = Some(kept),
            Event::Drained(of, Stream::Err, kept) if of == self.leader => self.err = Some(kept),
            // Of an earlier start.
            Event::Flood(_) | Event::Drained(..) => {}
        }
    }

    fn end(self, survivors: bool) -> (End, Vec<u8>, Vec<u8>) {
        let (out, err) = (self.out.unwrap_or_default(), self.err.unwrap_or_default());
        let (stdout_bytes, stderr_bytes) = (out.total, err.total);
        let secrets = Secrets::of(&self.job.secrets);
        let margin = secrets.longest();
        let (stdout, stderr) = (out.bytes(margin), err.bytes(margin));
        let fate = self.fate.unwrap_or(Fate::Killed(9));
        let refused = (fate == Fate::Exited(REFUSED)).then(|| refusal(&stdout, &self.job.program.token)).flatten();
        let fate = refused.map_or(fate, |refusal| Fate::NotStarted(refusal.message));
        let sandbox = super::sandbox::describe(&self.job.program.sandbox);
        let end = End { fate, cut: self.cut, survivors, attempts: self.attempts, sandbox, stdout_bytes, stderr_bytes };
        (end, secrets.scrub(stdout), secrets.scrub(stderr))
    }
}

/// What the process said instead of becoming the program.
fn refusal(stdout: &[u8], token: &str) -> Option<Refusal> {
    job::receive(&mut stdout.strip_prefix(token.as_bytes())?).ok()
}

fn fate(status: WaitStatus) -> Fate {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => Fate::Exited(status),
        (None, Some(signal)) => Fate::Killed(signal),
        (None, None) => Fate::Killed(0),
    }
}

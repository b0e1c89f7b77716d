//! `toolctl mcp`: a client's stdin and stdout on one side, the daemon's socket on the other, one message a
//! line on both. Clients start it once and keep it for hours; daemons come and go meanwhile. Hence all that is
//! more than a pump: it opens the conversation itself when there is no daemon, remembers what has no answer
//! yet, and tells the truth instead of falling silent.

mod glance;
mod last_start;
mod link;
mod pending;
mod pump;
mod stand_in;
mod start;
mod stdio;
mod trouble;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::client::{Sources, Target};
use crate::transport::lines::Line;
use crate::transport::signals::Signals;

use link::{Event, Goodbye, Link, Say};
use pending::Patience;
use pump::{Pump, Verdict};
use start::{Attempt, Starter};
use trouble::Trouble;

/// For how long answers are waited for when the client says no more.
const FAREWELL: Duration = Duration::from_secs(60);

/// How long the client may take to read the last answers.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What to connect.
pub struct Settings {
    /// Where the daemon listens.
    pub target: Target,
    /// Where the key is.
    pub sources: Sources,
    /// The state folder of a daemon that may be started; none when it may not.
    pub autostart: Option<PathBuf>,
}

/// Connects stdin and stdout with the daemon until the client ends, or a signal does. `note` takes a line for
/// the client's log when something happens.
///
/// # Errors
/// When the system does not let us listen for signals.
pub async fn run(settings: Settings, note: impl Fn(&str)) -> std::io::Result<()> {
    let mut signals = Signals::listen()?;
    let (out, written) = stdio::output();
    let bridge = Bridge::new(settings, out, note);
    tokio::select! {
        () = bridge.run(stdio::input()) => {
            let _slow = tokio::time::timeout(LAST_WORDS, written).await;
        }
        _ = signals.next() => {}
    }
    Ok(())
}

/// What is connected, and how it stands.
struct Bridge<N> {
    pump: Pump,
    target: Target,
    out: mpsc::Sender<Bytes>,
    daemon: Option<mpsc::UnboundedSender<Say>>,
    events: mpsc::Receiver<Event>,
    hurry: Arc<Notify>,
    starter: Option<Starter>,
    ends: mpsc::UnboundedReceiver<String>,
    /// Says more than that nobody is there: that one is starting, or why it did not start.
    standing: Option<Trouble>,
    /// What the client's log was told last.
    noted: String,
    note: N,
}

impl<N: Fn(&str)> Bridge<N> {
    fn new(settings: Settings, out: mpsc::Sender<Bytes>, note: N) -> Self {
        let Settings { target, sources, autostart } = settings;
        let (sender, events) = mpsc::channel(64);
        let (ended, ends) = mpsc::unbounded_channel();
        let hurry = Arc::new(Notify::new());
        let patience = Patience::new(autostart.is_some());
        let starter = autostart.map(|state| Starter::new(target.clone(), state, ended));
        let link = Link { target: target.clone(), sources, events: sender, hurry: Arc::clone(&hurry) };
        tokio::spawn(link.keep());
        Self {
            pump: Pump::new(patience, Box::new(new_key)),
            target,
            out,
            daemon: None,
            events,
            hurry,
            starter,
            ends,
            standing: None,
            noted: String::new(),
            note,
        }
    }

    async fn run(mut self, mut input: mpsc::Receiver<Line>) {
        let mut farewell: Option<Instant> = None;
        loop {
            if !self.flush().await || farewell.is_some_and(|end| !self.pump.has_work() || Instant::now() >= end) {
                return;
            }
            let deadline = self.pump.next_deadline().into_iter().chain(farewell).min();
            tokio::select! {
                line = input.recv(), if farewell.is_none() => match line {
                    Some(line) => self.said(line).await,
                    None => farewell = Some(Instant::now() + FAREWELL),
                },
                Some(event) = self.events.recv() => self.happened(event).await,
                Some(words) = self.ends.recv() => self.daemon_ended(&words),
                () = sleep_until(deadline), if deadline.is_some() => {
                    let verdict = self.pump.tick(Instant::now());
                    // It is not silent when what it said has not been taken yet.
                    if verdict != Verdict::Silent || self.events.is_empty() {
                        self.judge(verdict);
                    }
                }
                () = self.out.closed() => return,
            }
        }
    }

    /// Writes what there is to write; whether the client still reads.
    async fn flush(&mut self) -> bool {
        let (to_client, to_daemon) = self.pump.take_output();
        if let Some(daemon) = &self.daemon {
            for line in to_daemon {
                // A daemon that is gone is told of by its link.
                let _gone = daemon.send(Say::Line(line));
            }
        }
        for line in to_client {
            if self.out.send(line).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn said(&mut self, line: Line) {
        self.pump.client_said(line, Instant::now());
        // A trouble that lasts is told at once, and leaves no work behind; it may have been mended since.
        let lasts = self.standing.as_ref().is_some_and(|standing| standing.lasts);
        if self.pump.is_down() && (self.pump.has_work() || lasts) {
            self.hurry.notify_one();
            self.start().await;
        }
    }

    async fn happened(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Up(opening, daemon) => {
                self.daemon = Some(daemon);
                self.standing = None;
                self.pump.link_up(opening, now);
                if let Some(starter) = &mut self.starter {
                    starter.succeeded();
                }
            }
            // What it said after we hung up is not for the client.
            Event::Said(line) if self.daemon.is_some() => {
                let verdict = self.pump.daemon_said(line, now);
                self.judge(verdict);
            }
            Event::Said(_) => {}
            Event::Down(trouble) => {
                let is_first = self.noted.is_empty();
                self.daemon = None;
                let standing = self.standing.clone().filter(|_| !trouble.lasts);
                self.down(standing.unwrap_or(trouble));
                if is_first || self.pump.has_work() {
                    self.start().await;
                }
            }
        }
    }

    fn judge(&mut self, verdict: Verdict) {
        let target = &self.target;
        let (trouble, goodbye) = match verdict {
            Verdict::Fine => return,
            Verdict::Welcome => return self.log(&format!("connected to the daemon at {}", self.target)),
            Verdict::Refused(message) => (Trouble::refused(&message), Goodbye::Refused),
            Verdict::Limited(message) => (Trouble::unreachable(target, &message), Goodbye::Limited),
            Verdict::Foreign => (Trouble::foreign(target), Goodbye::Refused),
            Verdict::Broken => (Trouble::lost(target), Goodbye::Useless),
            Verdict::Silent => (Trouble::unreachable(target, "it does not answer"), Goodbye::Useless),
        };
        if goodbye != Goodbye::Useless {
            self.pump.nothing_ran();
        }
        self.hang_up(trouble, goodbye);
    }

    /// Ends a conversation that leads nowhere.
    fn hang_up(&mut self, trouble: Trouble, goodbye: Goodbye) {
        if let Some(daemon) = self.daemon.take() {
            // Its link may have found out itself.
            let _gone = daemon.send(Say::Goodbye(goodbye));
            self.down(trouble);
        }
    }

    fn down(&mut self, trouble: Trouble) {
        self.log(&trouble.why);
        self.pump.link_down(trouble, Instant::now());
    }

    /// Starts a daemon if that is asked for.
    async fn start(&mut self) {
        let Some(starter) = &mut self.starter else { return };
        match starter.start(Instant::now()).await {
            Attempt::Started => {
                let log = starter.log();
                self.log(&format!("started `toolctl serve`; its log is {}", log.display()));
                self.wait_for_start();
            }
            Attempt::Elsewhere => self.wait_for_start(),
            Attempt::Later => {}
            Attempt::Refused(trouble) => {
                self.standing = Some(trouble.clone());
                self.down(trouble);
            }
            Attempt::Failed(why) => {
                let trouble = Trouble::not_started(&why, &starter.log().display().to_string());
                self.down(trouble);
            }
        }
    }

    fn wait_for_start(&mut self) {
        let starting = Trouble::starting();
        self.log(&starting.why);
        self.standing = Some(starting.clone());
        self.pump.link_down(starting, Instant::now());
    }

    /// A daemon that we started ended. When it never got there, it could not start, or another one was there
    /// first (perhaps one that was about to stop): the next attempts to connect and to start tell which.
    fn daemon_ended(&mut self, words: &str) {
        let Some(starter) = &mut self.starter else { return };
        if starter.ended() && self.daemon.is_none() {
            self.standing = Some(Trouble::not_started(words, &starter.log().display().to_string()));
        }
        self.hurry.notify_one();
    }

    /// Tells the client's log what is new.
    fn log(&mut self, text: &str) {
        if self.noted != text {
            (self.note)(&format!("toolctl mcp: {text}"));
            text.clone_into(&mut self.noted);
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline.into()).await;
    }
}

/// A key that no call ever had.
fn new_key() -> String {
    format!("bridge-{}", uuid::Uuid::now_v7().simple())
}

//! The heart of the bridge: what to do with each line, and with a daemon that comes and goes. It does no I/O
//! and reads no clock; what is to be written collects in two queues.
//!
//! A request stays here until it is answered, so that the next daemon can be sent it again. That is safe: each
//! call carries a key, the client's or one made here, under which the daemon runs it once.

mod client;
mod daemon;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::pending::{Kind, Patience, Pending, Sending, Shown};
use super::stand_in::{self, Sent};
use super::trouble::Trouble;
use super::watch::{SILENCE, Silence, Watch};
use crate::api::mcp::{Fault, Version};

/// The most requests that wait for answers at once.
const MOST_PENDING: usize = 1_024;

/// Our own question to a daemon, whether it is there. Its answer is not for the client.
const PING: &str = r#"{"jsonrpc":"2.0","id":"toolctl-bridge-ping","method":"ping"}"#;
const PING_ID: &str = r#""toolctl-bridge-ping""#;

/// Takes lines from both sides and says what goes where.
pub struct Pump {
    patience: Patience,
    link: Link,
    /// Why there was no daemon the last time.
    last: Option<Trouble>,
    /// Connections to daemons so far.
    generation: u64,
    /// As whom we are on this connection.
    shown: Shown,
    /// Whether this connection began with a hello.
    greeted: bool,
    /// What was heard on this connection.
    watch: Watch,
    pending: Vec<Pending>,
    legacy: Option<Legacy>,
    /// Requests whose answers the client has already.
    swallow: HashSet<String>,
    /// Questions of this connection's daemon, by the ids that the client sees.
    asks: HashMap<String, String>,
    /// Questions so far.
    asked: u64,
    /// Whether the client was shown the list of a daemon that is not there.
    told: bool,
    /// Whether this connection's daemon let us in.
    welcome: bool,
    new_key: Box<dyn FnMut() -> String>,
    to_client: Vec<Bytes>,
    to_daemon: Vec<Bytes>,
}

/// The way to the daemon.
#[derive(Debug, PartialEq, Eq)]
enum Link {
    /// Nothing is known yet.
    Connecting,
    /// There is one.
    Up,
    /// There is none.
    Down(Trouble),
}

/// A legacy conversation that was opened.
struct Legacy {
    initialize: Bytes,
    id: String,
    version: Version,
    initialized: Option<Bytes>,
}

/// What a line of the daemon means for the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// It lets us in.
    Welcome,
    /// It does not know who we are; in its words.
    Refused(String),
    /// It does not even look who we are, as too many were wrong; in its words.
    Limited(String),
    /// It never spoke our language: nothing was carried out.
    Foreign,
    /// It spoke it, and does no more.
    Broken,
    /// It says nothing, though it is connected and was asked.
    Silent,
}

impl Pump {
    /// Nothing was said yet. `new_key` makes a key that no call ever had.
    pub fn new(patience: Patience, new_key: Box<dyn FnMut() -> String>) -> Self {
        Self {
            patience,
            link: Link::Connecting,
            last: None,
            generation: 0,
            shown: Shown::of(None),
            greeted: false,
            watch: Watch::default(),
            pending: Vec::new(),
            legacy: None,
            swallow: HashSet::new(),
            asks: HashMap::new(),
            asked: 0,
            told: false,
            welcome: false,
            new_key,
            to_client: Vec::new(),
            to_daemon: Vec::new(),
        }
    }

    /// What is to be written, to the client and to the daemon.
    pub fn take_output(&mut self) -> (Vec<Bytes>, Vec<Bytes>) {
        (std::mem::take(&mut self.to_client), std::mem::take(&mut self.to_daemon))
    }

    /// Whether the daemon has work that it must be there for.
    pub fn has_work(&self) -> bool {
        self.pending.iter().any(Pending::ends)
    }

    /// Whether there is no daemon.
    pub const fn is_down(&self) -> bool {
        matches!(self.link, Link::Down(_))
    }

    /// When [`Pump::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let watched = self.is_watching().then(|| self.watch.deadline()).flatten();
        self.pending.iter().filter_map(|pending| pending.deadline).chain(watched).min()
    }

    /// Whether a daemon that says nothing keeps somebody waiting.
    fn is_watching(&self) -> bool {
        self.link == Link::Up && self.has_work()
    }

    /// A daemon is there; `hello` says who we are.
    pub fn link_up(&mut self, hello: Option<Bytes>, now: Instant) {
        (self.link, self.welcome) = (Link::Up, false);
        self.generation += 1;
        self.watch = Watch::of(now);
        self.shown = Shown::of(hello.as_ref());
        self.greeted = hello.is_some();
        self.to_daemon.extend(hello);
        // What it says before it answers this is about the hello, and nothing was carried out.
        self.to_daemon.push(PING.into());
        if let Some(legacy) = &self.legacy {
            // While its answer is still awaited, it is sent below.
            if !self.pending.iter().any(|pending| pending.same == legacy.id) {
                self.swallow.insert(legacy.id.clone());
                self.to_daemon.push(legacy.initialize.clone());
                self.to_daemon.extend(legacy.initialized.clone());
            }
        }
        let mut waiting = std::mem::take(&mut self.pending);
        waiting.retain_mut(|pending| {
            if pending.is_call() && pending.sent.is_some_and(|sent| sent.shown != self.shown) || !pending.runs_once() {
                self.leave(pending);
                return false;
            }
            self.send(pending, now);
            let Some(cancellation) = pending.cancelled.take() else { return true };
            self.to_daemon.push(cancellation);
            self.swallow.insert(pending.same.clone());
            false
        });
        self.pending = waiting;
    }

    /// The daemon let us in: what it has to offer counts from here on.
    fn welcomed(&mut self) -> Verdict {
        if std::mem::replace(&mut self.welcome, true) {
            return Verdict::Fine;
        }
        let asks = |pending: &mut Pending| pending.kind == Kind::Status;
        for pending in self.pending.extract_if(.., asks).collect::<Vec<_>>() {
            self.say(stand_in::status(&pending.id, pending.era(), None));
        }
        // The first daemon of all is no change, unless the client saw the list of none.
        if self.generation > 1 || self.told {
            self.tell_that_tools_changed();
        }
        Verdict::Welcome
    }

    /// There is no daemon, or no more.
    pub fn link_down(&mut self, trouble: Trouble, now: Instant) {
        let is_news = match self.link {
            Link::Connecting => true,
            // A connection on which nothing was heard was as good as none.
            Link::Up => self.watch.has_heard(),
            Link::Down(_) => false,
        };
        let lasts = trouble.lasts;
        self.last = Some(trouble.clone());
        (self.link, self.welcome) = (Link::Down(trouble), false);
        self.swallow.clear();
        for shown in std::mem::take(&mut self.asks).into_keys() {
            self.take_back(&shown);
        }
        let mut waiting = std::mem::take(&mut self.pending);
        for pending in &mut waiting {
            // Who waits already does not wait longer because there is still no daemon.
            if is_news || lasts || pending.deadline.is_none() {
                self.set_deadline(pending, now);
            }
        }
        self.pending = waiting;
        self.answer_due(now);
    }

    /// The daemon would not have us: it has carried out nothing of what it was sent on this connection.
    pub fn nothing_ran(&mut self) {
        for pending in &mut self.pending {
            pending.sent = pending.sent.filter(|sent| sent.generation != self.generation);
        }
    }

    /// Answers in the daemon's place what has waited long enough, and looks whether the daemon is alive.
    pub fn tick(&mut self, now: Instant) -> Verdict {
        self.answer_due(now);
        if self.is_watching() {
            match self.watch.look(now) {
                Silence::Short => {}
                Silence::Long => self.to_daemon.push(PING.into()),
                Silence::TooLong => return Verdict::Silent,
            }
        }
        Verdict::Fine
    }

    fn answer_due(&mut self, now: Instant) {
        let due = |pending: &Pending| pending.deadline.is_some_and(|deadline| deadline <= now);
        while let Some(place) = self.pending.iter().position(due) {
            let mut pending = self.pending.remove(place);
            pending.deadline = None;
            let sent = pending.what_became();
            let trouble = self.last.clone().unwrap_or_else(Trouble::starting);
            match &mut pending.kind {
                Kind::Initialize | Kind::Discover => self.open(&pending),
                Kind::Tools => {
                    self.told = true;
                    self.say(stand_in::tools(&pending.id, pending.era(), &trouble));
                }
                Kind::Status => {
                    let trouble = (!self.welcome).then_some(&trouble);
                    self.say(stand_in::status(&pending.id, pending.era(), trouble));
                }
                Kind::Call { .. } => {
                    self.say(stand_in::no_answer(&pending.id, pending.era(), &trouble, &sent));
                }
                Kind::Listen { acknowledged, tools } => {
                    if !std::mem::replace(acknowledged, true) {
                        self.to_client.push(stand_in::acknowledged(&pending.id, *tools).into());
                    }
                    // It goes on, and reaches the next daemon.
                    self.pending.push(pending);
                }
                Kind::Other => self.say(stand_in::fault(&trouble, &sent).answer(&pending.id)),
            }
        }
    }

    /// Answers what an earlier daemon was sent and this one must not be: it would take it for another call.
    fn leave(&mut self, pending: &Pending) {
        if pending.cancelled.is_none() {
            let trouble = self.last.clone().unwrap_or_else(Trouble::starting);
            self.say(stand_in::no_answer(&pending.id, pending.era(), &trouble, &Sent::Perhaps(None)));
        }
    }

    /// Opens a conversation in the daemon's place.
    fn open(&mut self, pending: &Pending) {
        let text = match (&pending.kind, &pending.params().protocol_version) {
            (Kind::Initialize, Some(asked)) => stand_in::initialize(&pending.id, asked),
            (Kind::Initialize, None) => {
                Fault::invalid_params("`params.protocolVersion` is missing").answer(&pending.id)
            }
            _ => stand_in::discover(&pending.id),
        };
        if self.link == Link::Up {
            self.swallow.insert(pending.same.clone());
        }
        self.say(text);
    }

    fn tell_that_tools_changed(&mut self) {
        self.told = false;
        if let Some(legacy) = &self.legacy
            && !self.pending.iter().any(|pending| pending.same == legacy.id)
        {
            self.to_client.push(stand_in::list_changed(None).into());
        }
        for pending in &self.pending {
            if let Kind::Listen { acknowledged: true, tools: true } = pending.kind {
                self.to_client.push(stand_in::list_changed(Some(&pending.id)).into());
            }
        }
    }

    fn send(&mut self, pending: &mut Pending, now: Instant) {
        if pending.kind == Kind::Status {
            let wait = if self.welcome { Duration::ZERO } else { self.wait_for(pending) };
            pending.deadline = Some(pending.deadline.unwrap_or(now + wait));
            return;
        }
        self.to_daemon.push(pending.line.clone());
        pending.sent = pending.sent.or(Some(Sending { generation: self.generation, shown: self.shown }));
        if pending.opens() {
            pending.deadline = Some(now + self.patience.opening);
        } else if pending.kind == Kind::Tools {
            pending.deadline = Some(now + self.patience.fresh.max(SILENCE));
        }
    }

    fn set_deadline(&self, pending: &mut Pending, now: Instant) {
        let at_once = pending.opens() || !pending.ends();
        let lasts = matches!(&self.link, Link::Down(trouble) if trouble.lasts);
        pending.deadline = match &pending.kind {
            _ if pending.cancelled.is_some() => None,
            Kind::Listen { acknowledged: true, .. } => None,
            _ if at_once || lasts => Some(now),
            _ => Some(now + self.wait_for(pending)),
        };
    }

    fn wait_for(&self, pending: &Pending) -> Duration {
        match &pending.kind {
            Kind::Initialize | Kind::Discover | Kind::Listen { .. } => self.patience.opening,
            Kind::Tools | Kind::Status => self.patience.fresh,
            Kind::Call { .. } | Kind::Other => {
                if pending.sent.is_some() {
                    self.patience.sent
                } else {
                    self.patience.fresh
                }
            }
        }
    }

    /// Takes a question to the client back.
    fn take_back(&mut self, shown: &str) {
        if let Ok(id) = serde_json::from_str::<String>(shown) {
            self.say(stand_in::cancelled(&id));
        }
    }

    fn say(&mut self, text: String) {
        self.to_client.push(text.into());
    }
}

#[cfg(test)]
mod tests;

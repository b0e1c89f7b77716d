//! The heart of the bridge: what to do with each line, and with a daemon that comes and goes. It does no I/O
//! and reads no clock; what is to be written collects in two queues.
//!
//! A request stays here until it is answered, so that the next daemon can be sent it again. That is safe: each
//! call carries a key, the client's or one made here, under which the daemon runs it once.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::glance::{Glance, Params, glance, replaced, same, with_meta};
use super::pending::{Kind, Patience, Pending, Sending, Shown};
use super::stand_in::{self, STATUS_TOOL, Sent};
use super::trouble::Trouble;
use super::watch::{SILENCE, Silence, Watch};
use crate::api::mcp::{Era, Fault, Version, meta, salvage};
use crate::transport::lines::Line;

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

    /// Takes a line of the client.
    pub fn client_said(&mut self, line: Line, now: Instant) {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong { head, tail } => {
                let fault = Fault::own(413, "a message of this length is not taken");
                return self.say(fault.answer(&salvage::id(&head, &tail)));
            }
        };
        if bytes.starts_with(b"[") { self.batch(&bytes, now) } else { self.message(bytes, now) }
    }

    /// Takes the messages of a batch (2025-03-26 and older) one by one.
    fn batch(&mut self, bytes: &[u8], now: Instant) {
        let knows = self.legacy.as_ref().is_some_and(|legacy| legacy.version <= Version::V2025_03_26);
        match serde_json::from_slice::<Vec<Box<RawValue>>>(bytes) {
            Ok(parts) if knows && !parts.is_empty() => {
                for part in parts {
                    self.message(Bytes::copy_from_slice(part.get().as_bytes()), now);
                }
            }
            Ok(_) => self.say(Fault::invalid_request("a batch is not part of this revision").answer("null")),
            Err(error) => self.say(Fault::parse(format!("not JSON: {error}")).answer("null")),
        }
    }

    fn message(&mut self, line: Bytes, now: Instant) {
        match glance(&line) {
            Ok(Glance::Request { id, method, params }) => self.request(line.clone(), id, &method, params, now),
            Ok(Glance::Notification { method, params }) => self.notification(line.clone(), &method, params),
            Ok(Glance::Response { id, .. }) => {
                // Only the daemon that asked is told, whatever the next one has asked meanwhile.
                let asked = self.asks.remove(&same(id)).filter(|_| self.link == Link::Up);
                self.to_daemon.extend(asked.and_then(|original| replaced(&line, id, &original)));
            }
            Err((id, fault)) => self.say(fault.answer(&id)),
        }
    }

    fn request(&mut self, mut line: Bytes, id: &str, method: &str, params: Option<&str>, now: Instant) {
        let key = same(id);
        if self.pending.iter().any(|pending| pending.same == key) {
            return self.say(Fault::invalid_request("a request with this id is still under way").answer(id));
        }
        if self.pending.len() >= MOST_PENDING {
            return self.say(Fault::own(503, "too many requests are under way").answer(id));
        }
        let kind = match method {
            "ping" if Params::of(params).era() == Era::Legacy => return self.say(stand_in::pong(id)),
            "server/discover" => match unspoken(&Params::of(params)) {
                Some(fault) => return self.say(fault.answer(id)),
                None => Kind::Discover,
            },
            "initialize" if Params::of(params).era() == Era::Legacy => {
                self.open_legacy(line.clone(), &key, &Params::of(params));
                Kind::Initialize
            }
            "tools/list" => Kind::Tools,
            "tools/call" => {
                let seen = Params::of(params);
                let is_status = seen.name.as_deref() == Some(STATUS_TOOL);
                let mut given = None;
                if !is_status && seen.meta(meta::BRIDGE_KEY).is_none() {
                    let new = (self.new_key)();
                    if let Some(with) = params.and_then(|text| with_meta(&line, text, meta::BRIDGE_KEY, &new)) {
                        (line, given) = (with, Some(new));
                    }
                }
                if is_status { Kind::Status } else { Kind::Call { key: given } }
            }
            "subscriptions/listen" => {
                let wanted = Params::of(params).notifications.unwrap_or_default();
                let tools = wanted.get("toolsListChanged").is_some_and(|wanted| *wanted == true);
                Kind::Listen { acknowledged: false, tools }
            }
            _ => Kind::Other,
        };
        let mut pending =
            Pending { line, id: id.to_owned(), same: key, kind, sent: None, deadline: None, cancelled: None };
        if !self.has_work() {
            self.watch.begin(now);
        }
        match &self.link {
            Link::Up => self.send(&mut pending, now),
            Link::Connecting => pending.deadline = Some(now + self.wait_for(&pending)),
            Link::Down(_) => self.set_deadline(&mut pending, now),
        }
        self.pending.push(pending);
        self.answer_due(now);
    }

    fn open_legacy(&mut self, initialize: Bytes, id: &str, params: &Params<'_>) {
        let version = Version::negotiate(params.protocol_version.as_deref().unwrap_or_default());
        self.legacy = Some(Legacy { initialize, id: id.to_owned(), version, initialized: None });
    }

    fn notification(&mut self, line: Bytes, method: &str, params: Option<&str>) {
        match method {
            "notifications/initialized" => {
                if let Some(legacy) = &mut self.legacy {
                    legacy.initialized = Some(line.clone());
                }
            }
            "notifications/cancelled" => {
                let id = Params::of(params).request_id.unwrap_or_default().to_string();
                if let Some(place) = self.pending.iter().position(|pending| pending.same == id) {
                    let mut pending = self.pending.remove(place);
                    // A daemon may go on with it: the next one is told.
                    if self.link != Link::Up && pending.sent.is_some() && matches!(pending.kind, Kind::Call { .. }) {
                        (pending.cancelled, pending.deadline) = (Some(line.clone()), None);
                        self.pending.push(pending);
                    }
                }
            }
            _ => {}
        }
        if self.link == Link::Up {
            self.to_daemon.push(line);
        }
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

    /// Takes a line of the daemon.
    pub fn daemon_said(&mut self, line: Line, now: Instant) -> Verdict {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong { head, tail } => {
                self.hear(now);
                let id = salvage::id(&head, &tail);
                self.pending.retain(|pending| pending.same != same(&id));
                self.say(Fault::own(502, "the answer is longer than this client takes").answer(&id));
                return Verdict::Fine;
            }
        };
        let Ok(seen) = glance(&bytes) else {
            return if self.watch.has_heard() { Verdict::Broken } else { Verdict::Foreign };
        };
        if let Glance::Response { id: "null", error: Some(error) } = &seen
            && self.greeted
            && !self.watch.has_heard()
        {
            return refusal(error);
        }
        self.hear(now);
        match seen {
            Glance::Request { id, .. } => {
                // Every daemon counts its questions from zero: under a name of its own, a late answer to an
                // earlier one is not taken for an answer to this one.
                let shown = format!("\"toolctl-bridge-{}\"", self.asked);
                self.asked += 1;
                if let Some(line) = replaced(&bytes, id, &shown) {
                    self.asks.insert(shown, id.to_owned());
                    self.to_client.push(line);
                }
            }
            Glance::Notification { method, params } if method == "notifications/cancelled" => {
                let id = Params::of(params).request_id.unwrap_or_default().to_string();
                let taken_back = self.asks.iter().find(|(_, original)| same(original) == id);
                if let Some(shown) = taken_back.map(|(shown, _)| shown.clone()) {
                    self.asks.remove(&shown);
                    self.take_back(&shown);
                }
            }
            Glance::Notification { method, params } => {
                if method != "notifications/subscriptions/acknowledged" || self.acknowledge(params) {
                    self.to_client.push(bytes.clone());
                }
            }
            Glance::Response { id: PING_ID, .. } => return self.welcomed(),
            Glance::Response { id, error } => self.response(bytes.clone(), id, error),
        }
        Verdict::Fine
    }

    /// The daemon is alive.
    fn hear(&mut self, now: Instant) {
        if self.watch.hear(now) {
            // What the last daemon left waits for this one now, as long as it takes.
            for pending in &mut self.pending {
                pending.deadline = pending.deadline.filter(|_| pending.is_answered_soon());
            }
        }
        if self.told && self.welcome {
            self.tell_that_tools_changed();
        }
    }

    fn response(&mut self, line: Bytes, id: &str, error: Option<&str>) {
        if id == "null" {
            return self.to_client.push(line);
        }
        let id = same(id);
        if self.swallow.remove(&id) {
            return;
        }
        let Some(place) = self.pending.iter().position(|pending| pending.same == id) else { return };
        // A daemon that stops ends its subscriptions; for the client they go on with the next one.
        let goes_on = self.pending.get(place).is_some_and(|pending| !pending.ends()) && error.is_none();
        if !goes_on {
            self.pending.remove(place);
            self.to_client.push(line);
        }
    }

    /// Whether the client is to see this acknowledgement: only the first of a subscription.
    fn acknowledge(&mut self, params: Option<&str>) -> bool {
        let id = Params::of(params).meta(meta::SUBSCRIPTION).unwrap_or_default().to_string();
        let listening = self.pending.iter_mut().find(|pending| pending.same == id);
        match listening.map(|pending| &mut pending.kind) {
            Some(Kind::Listen { acknowledged, .. }) => !std::mem::replace(acknowledged, true),
            _ => false,
        }
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

/// What an error in answer to the hello means.
fn refusal(error: &str) -> Verdict {
    let error: Value = serde_json::from_str(error).unwrap_or_default();
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    if error.get("code").is_some_and(|code| *code == 429) {
        Verdict::Limited(message)
    } else {
        Verdict::Refused(message)
    }
}

/// A modern opening in a revision that is not spoken.
fn unspoken(params: &Params<'_>) -> Option<Fault> {
    let asked = params.meta(meta::VERSION)?;
    let asked = asked.as_str().unwrap_or_default();
    (asked != Version::V2026_07_28.word()).then(|| Fault::unsupported_version(asked))
}

#[cfg(test)]
mod tests;

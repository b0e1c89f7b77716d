//! One server: its conversation kept up by a task of its own, its calls kept in bounds, and what happens to a call
//! when the conversation breaks under it.
//!
//! A server that is slow, gone or wrong costs its own callers and nobody else: nothing here is shared between servers,
//! and every wait ends with its caller's deadline. A request that may have reached the server is sent again only when
//! the operator declared that this is harmless.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;

use super::conversation::{About, Asked, Broken, Conversation};
use super::lifecycle::{self, Settled};
use super::message::{self, Answer};
use super::pins::PinFiles;
use super::{World, reading, stdio, web};
use crate::api::mcp::mirror::MirroredParameter;
use crate::api::mcp::{Era, Version};
use crate::domain::digest::Digest;
use crate::domain::outcome::{Effect, Ending, FailureKind, Outcome, Ran};
use crate::domain::tool::upstream::{Definition, Quarantine, Reach, Upstream, UpstreamAction};
use crate::domain::tool::{EffectClass, Tool};
use crate::guard::schema::OutputSchema;
use crate::pipeline::cleared::Cleared;

/// Callers of one server that wait for their turn; more are sent away.
const MOST_WAITING: usize = 64;
/// How often a list is looked at when nothing says that it changed.
const LIST_EVERY: Duration = Duration::from_secs(60);
/// How old a list may be when something is called that does not only read.
const FRESH: Duration = Duration::from_secs(5);
/// How long a list may take.
const LISTED_WITHIN: Duration = Duration::from_secs(30);
/// How long a conversation must have lasted for its end to be no sign of trouble.
const STEADY: Duration = Duration::from_secs(60);
/// The pause after a first failure; each further one makes it four times as long …
const PAUSE: Duration = Duration::from_millis(250);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A caller waits for a server that will be tried again within this.
const WORTH_WAITING: Duration = Duration::from_secs(2);
/// How often a call whose answer was lost is sent again, where that is harmless.
const MOST_REPEATS: usize = 2;
/// How often a call is begun anew whose server provably has not taken it.
const MOST_UNSENT: u32 = 3;
/// Compiled schemas that are kept.
const MOST_SCHEMAS: usize = 4_096;
/// Room for a list of tools, in bytes, however small outputs are.
const LIST_ROOM: usize = 4 << 20;
/// Room around an output, in bytes.
const MESSAGE_ROOM: usize = 64 << 10;

/// How a server is.
#[derive(Clone)]
pub enum State {
    /// It is being started or connected to.
    Starting,
    /// It answers.
    Up(Arc<Session>),
    /// It does not.
    Down {
        /// Why.
        why: String,
        /// When it is tried again.
        until: Instant,
    },
}

/// A conversation that was begun, and what the server listed in it.
pub struct Session {
    talk: Conversation,
    /// What was settled with the server.
    pub settled: Settled,
    listed: Mutex<Option<Listed>>,
    listing: tokio::sync::Mutex<()>,
    /// The request under which the server says that its list has changed.
    _listens: Option<Asked>,
}

struct Listed {
    at: Instant,
    digests: BTreeMap<String, Digest>,
}

/// One server.
pub struct Link {
    /// What is declared of it.
    pub upstream: Upstream,
    world: Arc<World>,
    slots: Semaphore,
    waiting: AtomicUsize,
    state: watch::Sender<State>,
    schemas: Mutex<BTreeMap<Digest, Arc<OutputSchema>>>,
}

impl Link {
    /// A server that nobody has talked to yet.
    pub fn new(upstream: Upstream, world: Arc<World>) -> Self {
        let slots = Semaphore::new(upstream.concurrency);
        let state = watch::Sender::new(State::Starting);
        Self { upstream, world, slots, waiting: AtomicUsize::new(0), state, schemas: Mutex::default() }
    }

    /// How it is.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Keeps a conversation up, until it is dropped.
    pub async fn keep(self: Arc<Self>) {
        let mut failures = 0;
        loop {
            self.state.send_replace(State::Starting);
            let why = match self.open().await {
                Ok(session) => {
                    let (session, since) = (Arc::new(session), Instant::now());
                    self.state.send_replace(State::Up(Arc::clone(&session)));
                    let why = self.attend(&session).await;
                    failures = if since.elapsed() >= STEADY { 0 } else { failures + 1 };
                    why
                }
                Err(why) => {
                    failures += 1;
                    why
                }
            };
            let pause = self.pause(failures);
            tracing::warn!(server = %self.upstream.name, ?pause, "{why}");
            self.state.send_replace(State::Down { why, until: Instant::now() + pause });
            tokio::time::sleep(pause).await;
        }
    }

    /// Longer with each failure, and never the same for two daemons.
    fn pause(&self, failures: u32) -> Duration {
        let Some(before) = failures.checked_sub(1) else { return Duration::ZERO };
        let longest = PAUSE.saturating_mul(4_u32.saturating_pow(before)).min(LONGEST_PAUSE);
        let nonce = self.world.chance.draw(self.world.clock.now()).nonce;
        let part = u32::from(nonce.first().copied().unwrap_or_default());
        // Four to five fifths of it.
        longest - longest * part / (255 * 5)
    }

    /// Starts or connects, begins, and takes the first list.
    async fn open(&self) -> Result<Session, String> {
        let name = self.upstream.name.as_str();
        let opened = async {
            let talk = match &self.upstream.reach {
                Reach::Program(program) => {
                    stdio::start(name, program, &self.world.environment, self.longest_message()).await?
                }
                Reach::Web(reach) => {
                    let outbound = Arc::clone(&self.world.outbound);
                    web::open(name, reach, &self.world.environment, outbound, self.longest_message())
                }
            };
            let settled = tokio::select! {
                settled = lifecycle::begin(&talk) => settled?,
                why = talk.ended() => return Err(why),
            };
            let listens = lifecycle::subscribe(&talk, &settled).await;
            let (listed, listing) = (Mutex::default(), tokio::sync::Mutex::default());
            let session = Session { talk, settled, listed, listing, _listens: listens };
            self.list(&session).await?;
            Ok(session)
        };
        let patience = self.upstream.start_timeout;
        let opened = tokio::time::timeout(patience, opened).await;
        opened.unwrap_or_else(|_| Err(format!("it was not there within {patience:?}")))
    }

    /// Messages hold an output or a list of tools.
    fn longest_message(&self) -> usize {
        let declared = self.upstream.declared.values().filter_map(|said| said.output_limit);
        let longest = declared.chain([self.upstream.output_limit, LIST_ROOM]).max().unwrap_or(LIST_ROOM);
        longest + MESSAGE_ROOM
    }

    /// Looks at the list whenever that is due; ends with the conversation and says why that ended.
    async fn attend(&self, session: &Session) -> String {
        loop {
            tokio::select! {
                why = session.talk.ended() => return why,
                () = session.talk.list_changed() => {}
                () = tokio::time::sleep(LIST_EVERY) => {}
            }
            let listed = tokio::time::timeout(LISTED_WITHIN, self.list(session)).await;
            let listed =
                listed.unwrap_or_else(|_| Err(format!("its list of tools took longer than {LISTED_WITHIN:?}")));
            if let Err(why) = listed {
                if session.talk.is_over() {
                    return session.talk.ended().await;
                }
                // What it listed before may no longer be true, and nobody can tell: begin anew.
                return why;
            }
        }
    }

    /// Takes the list, writes down what is new, and has the rules follow.
    async fn list(&self, session: &Session) -> Result<(), String> {
        let _one_at_a_time = session.listing.lock().await;
        self.take_list(session).await
    }

    async fn take_list(&self, session: &Session) -> Result<(), String> {
        let begun = Instant::now();
        let listed = lifecycle::list(&session.talk, &session.settled).await?;
        let digests = listed.iter().map(|(name, definition)| (name.clone(), definition.digest)).collect();
        *session.listed() = Some(Listed { at: begun, digests });
        let has_changed = observe(Arc::clone(&self.world.pins), self.upstream.clone(), listed).await?;
        if has_changed {
            self.world.changed.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// A list that is not older than `age`.
    async fn fresh(&self, session: &Session, age: Duration) -> Result<(), String> {
        let is_fresh = |session: &Session| session.listed().as_ref().is_some_and(|listed| listed.at.elapsed() <= age);
        if is_fresh(session) {
            return Ok(());
        }
        let asked = Instant::now();
        let _one_at_a_time = session.listing.lock().await;
        // Whoever had the lock before may have asked after we wanted to know.
        let is_newer = session.listed().as_ref().is_some_and(|listed| listed.at >= asked);
        if is_newer || (!age.is_zero() && is_fresh(session)) { Ok(()) } else { self.take_list(session).await }
    }

    /// Whether what would be called is what somebody agreed to, as far as the server can be asked.
    ///
    /// # Errors
    /// Says what changed.
    pub async fn unchanged(&self, tool: &Tool, action: &UpstreamAction) -> Result<(), String> {
        let State::Up(session) = self.state() else { return Ok(()) };
        let looked = tokio::time::timeout(tool.timeout, self.fresh(&session, Duration::ZERO)).await;
        match looked {
            Ok(Ok(())) => session.must_list(tool, action),
            // The call itself asks again, and runs nothing if it gets no answer.
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Calls a tool.
    pub async fn call(&self, cleared: &Cleared, action: &UpstreamAction) -> Ran {
        let (tool, deadline) = (cleared.tool(), Instant::now() + cleared.tool().timeout);
        let _slot = match self.slot(deadline).await {
            Ok(slot) => slot,
            Err(why) => return nothing_ran(format!("`{}` was not called: {why}", tool.name)),
        };
        let repeats = if repeats(tool) { MOST_REPEATS } else { 0 };
        let (mut lost, mut unsent): (Option<String>, u32) = (None, 0);
        loop {
            let attempt = match self.attempt(cleared, action, deadline).await {
                Ok(Attempt::Answered(answer)) => {
                    let schema = self.schema(tool, action);
                    return reading::read(tool, schema.as_deref(), answer).into();
                }
                Ok(attempt) => attempt,
                Err(why) => {
                    return match lost {
                        // It may have run before.
                        Some(lost) => Ending::cut_off(tool.effect, FailureKind::Failed, lost).into(),
                        None => nothing_ran(format!("`{}` was not called: {why}", tool.name)),
                    };
                }
            };
            match attempt {
                Attempt::Answered(_) | Attempt::TooSlow => {
                    let message = format!("`{}` did not answer within {:?}", tool.name, tool.timeout);
                    return Ending::cut_off(tool.effect, FailureKind::Timeout, message).into();
                }
                Attempt::Broken(Broken::NotSent(why)) => {
                    unsent += 1;
                    if unsent > MOST_UNSENT {
                        return match lost {
                            Some(lost) => Ending::cut_off(tool.effect, FailureKind::Failed, lost).into(),
                            None => nothing_ran(format!("`{}` was not called: {why}", tool.name)),
                        };
                    }
                }
                Attempt::Broken(Broken::Lost(why)) => {
                    let message = format!("nobody knows how `{}` ended: {why}", tool.name);
                    if lost.is_some() || repeats == 0 {
                        return Ending::cut_off(tool.effect, FailureKind::Failed, message).into();
                    }
                    lost = Some(message);
                }
            }
        }
    }

    /// Sends the call once.
    ///
    /// # Errors
    /// Says why it was not sent.
    async fn attempt(&self, cleared: &Cleared, action: &UpstreamAction, deadline: Instant) -> Result<Attempt, String> {
        let tool = cleared.tool();
        let session = self.session(deadline).await?;
        if !tool.is_read_only() {
            let looked = tokio::time::timeout_at(deadline, self.fresh(&session, FRESH)).await;
            match looked {
                Err(_) => return Err("its server did not list its tools in time".to_owned()),
                Ok(Err(_)) if session.talk.is_over() => {
                    return Ok(Attempt::Broken(Broken::NotSent(String::new())));
                }
                Ok(Err(why)) => return Err(why),
                Ok(Ok(())) => {}
            }
        }
        session.must_list(tool, action)?;
        let call = cleared.call();
        let key = (tool.effect == EffectClass::Keyed).then(|| call.downstream_key());
        let meta = message::metadata(session.settled.version, key.as_deref(), cleared.trace());
        let params = message::call(&action.tool, &call.arguments, meta);
        let mirrored = mirrored(tool, action, session.settled.version, cleared);
        let about = Some(About { name: action.tool.clone(), mirrored });
        let asked = match tokio::time::timeout_at(deadline, session.talk.begin("tools/call", about, &params)).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(broken)) => return Ok(Attempt::Broken(broken)),
            Err(_) => return Err("its server takes no messages".to_owned()),
        };
        let id = asked.id;
        match tokio::time::timeout_at(deadline, asked.answer()).await {
            Ok(Ok(answer)) => Ok(Attempt::Answered(answer)),
            // A conversation that goes on has no better one to wait for.
            Ok(Err(Broken::NotSent(why))) if !session.talk.is_over() => Err(why),
            Ok(Err(broken)) => Ok(Attempt::Broken(broken)),
            Err(_) => {
                session.talk.cancel(id);
                Ok(Attempt::TooSlow)
            }
        }
    }

    /// A turn, when one comes before the deadline.
    async fn slot(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, String> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(slot);
        }
        let _place = Place::take(&self.waiting)
            .ok_or_else(|| format!("{MOST_WAITING} callers of `{}` wait already", self.upstream.name))?;
        let waited = tokio::time::timeout_at(deadline, self.slots.acquire()).await;
        let slot = waited.map_err(|_| format!("`{}` is busy with other calls", self.upstream.name))?;
        slot.map_err(|_| "the daemon is stopping".to_owned())
    }

    /// The conversation, when there is one or soon will be.
    async fn session(&self, deadline: Instant) -> Result<Arc<Session>, String> {
        let mut state = self.state.subscribe();
        let name = &self.upstream.name;
        loop {
            match &*state.borrow_and_update() {
                State::Up(session) if !session.talk.is_over() => return Ok(Arc::clone(session)),
                State::Down { why, until } if *until > Instant::now() + WORTH_WAITING => {
                    return Err(format!("`{name}` is down: {why}"));
                }
                State::Up(_) | State::Starting | State::Down { .. } => {}
            }
            let changed = tokio::time::timeout_at(deadline, state.changed()).await;
            changed.map_err(|_| format!("`{name}` is not there yet"))?.map_err(|_| format!("`{name}` is gone"))?;
        }
    }

    /// The compiled schema of a tool's output, if it declares one.
    fn schema(&self, tool: &Tool, action: &UpstreamAction) -> Option<Arc<OutputSchema>> {
        if !action.structured {
            return None;
        }
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = schemas.get(&action.definition) {
            return Some(Arc::clone(schema));
        }
        if schemas.len() >= MOST_SCHEMAS {
            schemas.clear();
        }
        // A schema that does not compile never gets into the catalog.
        let schema = Arc::new(OutputSchema::compile(&tool.output_schema).ok()?);
        schemas.insert(action.definition, Arc::clone(&schema));
        Some(schema)
    }
}

enum Attempt {
    Answered(Answer),
    TooSlow,
    Broken(Broken),
}

impl Session {
    fn listed(&self) -> MutexGuard<'_, Option<Listed>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server lists exactly what somebody agreed to.
    fn must_list(&self, tool: &Tool, action: &UpstreamAction) -> Result<(), String> {
        let listed = self.listed().as_ref().and_then(|listed| listed.digests.get(&action.tool).copied());
        let why = match listed {
            Some(digest) if digest == action.definition => return Ok(()),
            Some(_) => Quarantine::Changed,
            None => Quarantine::Gone,
        };
        let (what, hint) = why.told(tool.name.as_str());
        Err(format!("{what}; {hint}"))
    }
}

/// One who waits for a turn.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::AcqRel) < MOST_WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The headers that mirror arguments, as the tool's schema wants them: for servers of today at a URL.
fn mirrored(tool: &Tool, action: &UpstreamAction, version: Version, cleared: &Cleared) -> Vec<(String, String)> {
    match (&action.reach, version.era()) {
        (Reach::Web(_), Era::Modern) => {
            let arguments = cleared.arguments();
            let parameters = MirroredParameter::of(&tool.input_schema);
            parameters.iter().filter_map(|parameter| parameter.written(&arguments)).collect()
        }
        (Reach::Program(_), _) | (Reach::Web(_), Era::Legacy) => Vec::new(),
    }
}

/// Whether a call whose answer was lost may be sent again within its own time.
fn repeats(tool: &Tool) -> bool {
    match tool.effect {
        EffectClass::ReadOnly | EffectClass::Idempotent => true,
        // Only as long as the other side is known to remember the key.
        EffectClass::Keyed => tool.extras.dedupe_window.is_some_and(|window| window > tool.timeout),
        EffectClass::Once => false,
    }
}

/// Writes down what a server lists, away from everybody who must not wait for a disk.
async fn observe(
    pins: Arc<PinFiles>,
    upstream: Upstream,
    listed: BTreeMap<String, Definition>,
) -> Result<bool, String> {
    let observed = tokio::task::spawn_blocking(move || pins.observe(&upstream.name, &listed)).await;
    match observed {
        Ok(Ok(has_changed)) => Ok(has_changed),
        Ok(Err((path, error))) => Err(format!("what it lists cannot be kept in `{}`: {error}", path.display())),
        Err(error) => Err(format!("what it lists cannot be kept: {error}")),
    }
}

fn nothing_ran(message: String) -> Ran {
    Outcome::Failed { kind: FailureKind::Failed, message, output: None, effect: Effect::None }.into()
}

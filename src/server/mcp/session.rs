//! Sessions of legacy clients over HTTP. A session is what `initialize` settled, sealed and given to the
//! client as its id: there is no table of sessions, so that a restart of the daemon ends none. What lives in
//! memory is small and may be lost: which sessions were ended, and which has a stream open.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::mcp::{Era, Version};
use crate::domain::time::Timestamp;
use crate::server::Shutdown;

use super::seal::Seal;

/// For how long a session is good: longer than any conversation.
const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Ended sessions that are remembered; beyond it the oldest is forgotten, and its id is good again until it
/// expires. A session carries no right that its caller does not have without it.
const MOST_ENDED: usize = 16_384;
/// Sessions whose ids need not be opened again; when there are more, all are opened once more.
const MOST_OPENED: usize = 256;
/// Bytes of the client's capabilities in an id, which travels in a header.
const MOST_CAPABILITIES: usize = 4_096;
/// Characters of the client's name in an id.
const MOST_NAME: usize = 200;

const LABEL: &str = "session";

/// What `initialize` settled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    #[serde(rename = "v")]
    version: String,
    /// What the client can do.
    #[serde(rename = "c")]
    pub capabilities: Map<String, Value>,
    /// The client's name and version, as it says.
    #[serde(rename = "n")]
    pub client: Option<String>,
    /// Whose it is.
    #[serde(rename = "w")]
    pub caller: String,
    /// Tells it from every other.
    #[serde(rename = "r")]
    pub nonce: String,
    /// When it began, in microseconds since 1970.
    #[serde(rename = "i")]
    issued: i64,
    /// When it expires, likewise.
    #[serde(rename = "e")]
    expires: i64,
}

impl Session {
    /// The revision that was negotiated.
    pub fn version(&self) -> Option<Version> {
        self.version.parse().ok().filter(|version: &Version| version.era() == Era::Legacy)
    }
}

/// What a client says of itself when it begins.
#[derive(Debug, Default)]
pub struct Opening {
    /// What it can do.
    pub capabilities: Map<String, Value>,
    /// Its name and version.
    pub client: Option<String>,
}

/// Gives and knows sessions.
pub struct Sessions {
    seal: Seal,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    chance: Box<dyn Fn() -> [u8; 16] + Send + Sync>,
    /// Sessions by their ids, opened before: a seal costs more than all else that the door does for a request.
    opened: Mutex<HashMap<String, Arc<Session>>>,
    ended: Mutex<Ended>,
    /// The open stream of each session, by its nonce.
    streams: Mutex<HashMap<String, (u64, Shutdown)>>,
}

#[derive(Default)]
struct Ended {
    nonces: HashSet<String>,
    order: VecDeque<String>,
}

impl Sessions {
    /// Seals with `seal`; `now` tells the time and `chance` gives sixteen random bytes.
    pub fn new(
        seal: Seal,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        chance: impl Fn() -> [u8; 16] + Send + Sync + 'static,
    ) -> Self {
        Self {
            seal,
            now: Box::new(now),
            chance: Box::new(chance),
            opened: Mutex::default(),
            ended: Mutex::default(),
            streams: Mutex::default(),
        }
    }

    /// Begins a session of `caller`; gives its id, which is visible ASCII.
    pub fn begin(&self, version: Version, opening: &Opening, caller: String) -> String {
        let now = (self.now)();
        let session = Session {
            version: version.word().to_owned(),
            capabilities: bounded(&opening.capabilities),
            client: opening.client.as_ref().map(|name| name.chars().take(MOST_NAME).collect()),
            caller,
            nonce: BASE64.encode((self.chance)()),
            issued: now.micros(),
            expires: now.plus(LIFE).micros(),
        };
        self.seal.close(LABEL, &session)
    }

    /// The session of this id, when it is ours, has neither expired nor ended, and is `caller`'s.
    pub fn find(&self, id: &str, caller: &str) -> Option<(Arc<Session>, Version)> {
        let session = self.open(id)?;
        let version = session.version()?;
        let live = (self.now)().micros() < session.expires && session.caller == caller && !self.has_ended(&session);
        live.then_some((session, version))
    }

    fn open(&self, id: &str) -> Option<Arc<Session>> {
        if let Some(session) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Some(Arc::clone(session));
        }
        let session: Arc<Session> = Arc::new(self.seal.open(LABEL, id)?);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.len() >= MOST_OPENED {
            opened.clear();
        }
        opened.insert(id.to_owned(), Arc::clone(&session));
        Some(session)
    }

    /// Ends a session and its stream.
    pub fn end(&self, session: &Session) {
        if let Some((_, stream)) = self.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(&session.nonce) {
            stream.begin();
        }
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.nonces.insert(session.nonce.clone()) {
            ended.order.push_back(session.nonce.clone());
        }
        while ended.order.len() > MOST_ENDED {
            if let Some(oldest) = ended.order.pop_front() {
                ended.nonces.remove(&oldest);
            }
        }
    }

    fn has_ended(&self, session: &Session) -> bool {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).nonces.contains(&session.nonce)
    }

    /// Makes this the one stream of its session: an older one is told to end by its `gone`. A client that lost
    /// its connection opens a new stream before we notice.
    pub fn stream(self: &Arc<Self>, session: &Session, gone: Shutdown) -> StreamPlace {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let serial = streams.get(&session.nonce).map_or(0, |(serial, _)| serial + 1);
        if let Some((_, older)) = streams.insert(session.nonce.clone(), (serial, gone)) {
            older.begin();
        }
        StreamPlace { sessions: Arc::clone(self), nonce: session.nonce.clone(), serial }
    }
}

/// The place of an open stream; it is given up on drop.
pub struct StreamPlace {
    sessions: Arc<Sessions>,
    nonce: String,
    serial: u64,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut streams = self.sessions.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.get(&self.nonce).is_some_and(|(serial, _)| *serial == self.serial) {
            streams.remove(&self.nonce);
        }
    }
}

/// The capabilities as far as they fit, those that a server may use first.
fn bounded(capabilities: &Map<String, Value>) -> Map<String, Value> {
    const KNOWN: [&str; 4] = ["elicitation", "tasks", "sampling", "roots"];
    let known = KNOWN.iter().filter_map(|name| capabilities.get_key_value(*name));
    let others = capabilities.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    let (mut kept, mut room) = (Map::new(), MOST_CAPABILITIES);
    for (name, value) in known.chain(others) {
        let Some(left) = room.checked_sub(name.len() + value.to_string().len()) else { continue };
        room = left;
        kept.insert(name.clone(), value.clone());
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

    use serde_json::json;

    use super::*;

    fn sessions(clock: &Arc<AtomicI64>, key: u8) -> Arc<Sessions> {
        let (clock, next) = (Arc::clone(clock), AtomicU8::new(0));
        let now = move || Timestamp::from_micros(clock.load(Ordering::Relaxed));
        Arc::new(Sessions::new(Seal::new([key; 32]), now, move || [next.fetch_add(1, Ordering::Relaxed); 16]))
    }

    fn opening() -> Opening {
        let capabilities = json!({"elicitation": {"form": {}}, "x": "y".repeat(9_000)});
        Opening { capabilities: capabilities.as_object().unwrap().clone(), client: Some("Bot\u{1f916} 1".to_owned()) }
    }

    #[test]
    fn a_session_is_known_again_by_its_id_alone() {
        let clock = Arc::new(AtomicI64::new(7));
        let id = sessions(&clock, 1).begin(Version::V2025_06_18, &opening(), "agent:bot".to_owned());
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
        let restarted = sessions(&clock, 1);
        let (session, version) = restarted.find(&id, "agent:bot").expect("the session");
        assert_eq!((version, session.client.as_deref()), (Version::V2025_06_18, Some("Bot\u{1f916} 1")));
        assert_eq!(Value::Object(session.capabilities.clone()), json!({"elicitation": {"form": {}}}), "what fits");
        assert_eq!(restarted.find(&id, "agent:other"), None, "another caller's");
        assert_eq!(sessions(&clock, 2).find(&id, "agent:bot"), None, "another daemon's");
        assert_eq!(restarted.find("x", "agent:bot"), None);
        clock.store(i64::try_from(LIFE.as_micros()).unwrap() + 7, Ordering::Relaxed);
        assert_eq!(restarted.find(&id, "agent:bot"), None, "expired");
    }

    #[test]
    fn an_ended_session_is_unknown_and_the_others_go_on() {
        let sessions = sessions(&Arc::new(AtomicI64::new(7)), 1);
        let [one, two] = [0, 1].map(|_| sessions.begin(Version::V2025_11_25, &opening(), "a".to_owned()));
        assert_ne!(one, two, "two conversations of one client");
        let (session, _) = sessions.find(&one, "a").unwrap();
        let stream = Shutdown::new();
        let _place = sessions.stream(&session, stream.clone());
        sessions.end(&session);
        assert!(stream.has_begun(), "its stream ends with it");
        assert_eq!(sessions.find(&one, "a"), None);
        assert!(sessions.find(&two, "a").is_some());
    }

    #[test]
    fn what_is_remembered_of_ended_sessions_is_bounded() {
        let sessions = sessions(&Arc::new(AtomicI64::new(7)), 1);
        let id = sessions.begin(Version::V2025_11_25, &opening(), "a".to_owned());
        let (session, _) = sessions.find(&id, "a").unwrap();
        for number in 0..MOST_ENDED + 10 {
            sessions.end(&Session { nonce: number.to_string(), ..(*session).clone() });
        }
        let ended = sessions.ended.lock().unwrap();
        assert_eq!((ended.nonces.len(), ended.order.len()), (MOST_ENDED, MOST_ENDED));
    }

    #[test]
    fn the_newest_stream_of_a_session_wins() {
        let sessions = sessions(&Arc::new(AtomicI64::new(7)), 1);
        let id = sessions.begin(Version::V2025_11_25, &opening(), "a".to_owned());
        let (session, _) = sessions.find(&id, "a").unwrap();
        let [older, newer] = [Shutdown::new(), Shutdown::new()];
        let first = sessions.stream(&session, older.clone());
        let second = sessions.stream(&session, newer.clone());
        assert_eq!((older.has_begun(), newer.has_begun()), (true, false));
        drop(first);
        assert_eq!(sessions.streams.lock().unwrap().len(), 1, "the newer keeps its place");
        drop(second);
        assert!(sessions.streams.lock().unwrap().is_empty());
    }
}

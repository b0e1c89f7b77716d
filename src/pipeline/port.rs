//! The traits behind which the world lives: storage, executors, recognition, the clock and chance. They
//! are few and about our own verbs, so that each backend can use what it is good at natively.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::api::upstreams::Upstream;
use crate::domain::audit::{AuditRecord, PolicyFact};
use crate::domain::call::{Call, CallEvent, IllegalTransition};
use crate::domain::denial::{Code, Denial, Stage, Violation};
use crate::domain::digest::Digest;
use crate::domain::id::{CallId, IdempotencyKey, PrincipalId, RunId, ToolName};
use crate::domain::merkle::Frontier;
use crate::domain::outcome::Ran;
use crate::domain::principal::{Credential, Principal};
use crate::domain::time::Timestamp;
use crate::domain::tool::{Tool, ToolKind};

mod desk;
mod people;
mod runners;
mod runs;

pub use desk::{Customer, DeskImport, DeskRead, DeskTables, Edge, InStore, Message, Ticket};
pub use people::{Authenticator, KeyRecord, Keys, LENT, Minted, Presented};
pub use runners::{Runners, Standing};
pub use runs::{Attachment, Runs};

use super::cleared::Cleared;
use super::opening::Opening;

/// A future behind a trait object.
pub type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The store cannot do what was asked. Whether a write happened is not known: the truth is on disk and is
/// read again at the next start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store is not available: {why}")]
pub struct Unavailable {
    /// For the operator's log, never for callers.
    pub why: String,
    /// What was to be written may be on disk all the same.
    pub maybe_written: bool,
}

impl Unavailable {
    /// Wraps what the backend said.
    pub fn new(why: impl std::fmt::Display) -> Self {
        Self { why: why.to_string(), maybe_written: false }
    }

    /// The same, for a write of which nobody knows whether it happened.
    #[must_use]
    pub fn maybe_written(self) -> Self {
        Self { maybe_written: true, ..self }
    }
}

/// A call after a write, and the index of the last record that the write appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The call as it now is on disk.
    pub call: Call,
    /// Index of the audit record, counted from 0.
    pub index: u64,
}

/// What [`Ledger::open`] found or did. Exactly one transaction stands behind each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// New, and dispatched in the same write: whoever holds this runs it.
    Started(Recorded),
    /// New, and run to its end in the same write.
    Settled(Recorded),
    /// New, and people must agree.
    Waiting(Recorded),
    /// The same principal sent the same request with this key before; nothing was written.
    Seen(Call),
    /// The same request of this principal already waits for people, under another key: this key was bound to
    /// that call.
    Attached(Call),
    /// Nothing is in the way of a [tentative](Opening::tentative) opening; nothing was written.
    Nothing,
    /// The key belongs to another request; nothing was written.
    KeyReused,
    /// The key was used, and the result is no longer kept; nothing was written.
    ResultExpired,
    /// The policy set is another than the permit's; nothing was written. Decide again.
    PolicyChanged,
    /// The credential was revoked meanwhile; nothing was written.
    CredentialGone,
    /// Too many requests of this principal wait for people; nothing was written.
    TooManyPending,
    /// People rejected this principal and tool too often of late; nothing was written.
    CircuitOpen {
        /// When asking again can help.
        until: Timestamp,
    },
}

/// What must still hold in the transaction that advances a call.
#[derive(Clone, Default)]
pub struct Conditions {
    /// The policy set that allowed it; checked against the one in force, and kept in the record.
    pub policy: Option<PolicyFact>,
    /// Credentials that must not be revoked or expired.
    pub credentials: Vec<Credential>,
    /// Runs inside the transaction, between dispatch and end. Only with [`CallEvent::Dispatched`].
    pub effect: Option<Arc<dyn InStore>>,
    /// What the record says beside what the event says.
    pub facts: Vec<(&'static str, String)>,
}

/// What [`Ledger::advance`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advanced {
    /// The event was applied and recorded.
    Done(Recorded),
    /// The state does not allow the event; nothing was written.
    Illegal(IllegalTransition, Call),
    /// There is no such call.
    NotFound,
    /// The policy set is another than the permit's; nothing was written. Decide again.
    PolicyChanged,
    /// A credential the call depends on is gone; nothing was written.
    CredentialGone(Credential),
}

/// Limits that keep people from being worn down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fatigue {
    /// Requests of one principal that may wait at once.
    pub most_pending: usize,
    /// So many rejections of one principal and tool …
    pub rejections: usize,
    /// … within this time open the circuit …
    pub within: Duration,
    /// … for this long.
    pub pause: Duration,
}

impl Default for Fatigue {
    /// 20 waiting; three rejections in 15 minutes pause for 15 minutes.
    fn default() -> Self {
        let quarter = Duration::from_secs(15 * 60);
        Self { most_pending: 20, rejections: 3, within: quarter, pause: quarter }
    }
}

/// How long results are kept after a call closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Bodies: arguments, output, reasons.
    pub bodies: Duration,
    /// Tombstones, counted from the same moment: the key stays used.
    pub tombstones: Duration,
}

impl Default for Retention {
    /// 7 and 97 days: a tombstone outlives its body by 90.
    fn default() -> Self {
        let day = 86_400;
        Self { bodies: Duration::from_secs(7 * day), tombstones: Duration::from_secs(97 * day) }
    }
}

/// Which calls a listing shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Only of this requester.
    pub principal: Option<PrincipalId>,
    /// Only of this tool.
    pub tool: Option<ToolName>,
    /// Only in this state, by its word.
    pub state: Option<String>,
    /// Only of this run of a workflow.
    pub run: Option<RunId>,
    /// Only accepted at or after.
    pub since: Option<Timestamp>,
    /// Only calls older than this one: the cursor of a page, newest first.
    pub before: Option<CallId>,
    /// How many at most.
    pub limit: usize,
}

/// Calls and their records: the only way to make or change a call. In one transaction an adapter reads the
/// row, asks [`Call::apply`], writes the row and appends the record.
pub trait Ledger: Send + Sync {
    /// Makes a call, or finds the one that has its key.
    fn open(&self, opening: Opening) -> Wait<'_, Result<Opened, Unavailable>>;

    /// Applies one event to a call.
    fn advance(
        &self,
        id: CallId,
        event: CallEvent,
        conditions: Conditions,
        now: Timestamp,
    ) -> Wait<'_, Result<Advanced, Unavailable>>;

    /// Appends records that change no call; gives the index of the last.
    fn record(&self, records: Vec<AuditRecord>) -> Wait<'_, Result<u64, Unavailable>>;

    /// Puts a policy set into force: from here on only its permits open and dispatch.
    fn activate_policy(&self, policy: Digest, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>>;

    /// Compares the tools of this start or reload with those of the last, and records each that is new,
    /// changed or gone. Gives how many were.
    fn register_tools(&self, tools: Vec<(ToolName, Digest)>, now: Timestamp) -> Wait<'_, Result<usize, Unavailable>>;

    /// Counts this start of the daemon and gives its epoch, larger than every earlier one.
    fn begin_epoch(&self, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>>;

    /// The call of this id.
    fn find(&self, id: CallId) -> Wait<'_, Result<Option<Call>, Unavailable>>;

    /// The call that `principal` made with `key`.
    fn find_key<'a>(
        &'a self,
        principal: &'a PrincipalId,
        key: &'a IdempotencyKey,
    ) -> Wait<'a, Result<Option<Call>, Unavailable>>;

    /// Attachments of this principal that are about a run: of its own keys, and of others to its calls. In the order of
    /// the keys, as far as the bodies of the calls are kept.
    fn attachments<'a>(
        &'a self,
        principal: &'a PrincipalId,
        run: &'a RunId,
    ) -> Wait<'a, Result<Vec<Attachment>, Unavailable>>;

    /// The call whose approval has this number.
    fn find_number(&self, number: u64) -> Wait<'_, Result<Option<Call>, Unavailable>>;

    /// The newest approved-and-succeeded call of this principal and tool: what an approver compares with.
    fn last_approved<'a>(
        &'a self,
        principal: &'a PrincipalId,
        tool: &'a ToolName,
    ) -> Wait<'a, Result<Option<Call>, Unavailable>>;

    /// Calls, newest first.
    fn calls(&self, filter: CallFilter) -> Wait<'_, Result<Vec<Call>, Unavailable>>;

    /// Calls that wait for people, by number, larger than `after`.
    fn pending(&self, after: u64, limit: usize) -> Wait<'_, Result<Vec<Call>, Unavailable>>;

    /// How many calls wait for people, and how many are in doubt.
    fn counts(&self) -> Wait<'_, Result<Counts, Unavailable>>;

    /// Why nothing is written any more until the next start; none while the store takes writes.
    fn refused(&self) -> Option<Unavailable>;

    /// Calls that have not ended and do not wait for people: what a starting daemon looks at.
    fn unfinished(&self) -> Wait<'_, Result<Vec<Call>, Unavailable>>;

    /// Calls whose deadline is at or before `now`, and the next deadline after it.
    fn due(&self, now: Timestamp) -> Wait<'_, Result<Due, Unavailable>>;

    /// Removes bodies, then tombstones, that are older than `retention`; at most `most` calls. Gives how many it removed.
    fn prune(&self, now: Timestamp, retention: Retention, most: usize) -> Wait<'_, Result<usize, Unavailable>>;
}

/// Calls past their deadline, and the next deadline after that.
pub type Due = (Vec<CallId>, Option<Timestamp>);

/// Records that match, and the index at which to go on; none at the end.
pub type Found = (Vec<Entry>, Option<u64>);

/// How many calls stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting for people.
    pub pending: u64,
    /// Started, and nobody knows what happened.
    pub in_doubt: u64,
}

/// One record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its index, counted from 0.
    pub index: u64,
    /// The leaf hash stored beside it.
    pub hash: Digest,
    /// The leaf, byte for byte.
    pub leaf: String,
}

/// Which records a query shows. All given members must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Only by this actor.
    pub actor: Option<PrincipalId>,
    /// Only about this tool.
    pub tool: Option<ToolName>,
    /// Only about this call.
    pub call: Option<CallId>,
    /// Only of this type, by its word (`call.completed`), or a class of them (`call.*`).
    pub kind: Option<String>,
    /// Only at or after.
    pub since: Option<Timestamp>,
    /// Only before.
    pub until: Option<Timestamp>,
}

/// Reading the audit log.
pub trait Log: Send + Sync {
    /// The right edge of the tree: size and root.
    fn frontier(&self) -> Wait<'_, Result<Frontier, Unavailable>>;

    /// Records from `from` on, in order, at most `limit`.
    fn read(&self, from: u64, limit: usize) -> Wait<'_, Result<Vec<Entry>, Unavailable>>;

    /// Records that match, in order from `from` on, at most `limit` of them; and the index at which to go
    /// on, none when the end was reached.
    fn query(&self, filter: LogFilter, from: u64, limit: usize) -> Wait<'_, Result<Found, Unavailable>>;

    /// The index of the first record that is at or after `time`.
    fn first_at(&self, time: Timestamp) -> Wait<'_, Result<u64, Unavailable>>;

    /// Sees the number of records grow.
    fn grown(&self) -> watch::Receiver<u64>;
}

/// Everything one backend offers.
pub trait Store: Ledger + Log + Keys + DeskRead + DeskImport + Runs {}

impl<T: Ledger + Log + Keys + DeskRead + DeskImport + Runs> Store for T {}

/// Runs tools of one kind. It says how the run ended and never panics.
pub trait Executor: Send + Sync {
    /// Runs a cleared call to its end.
    fn run<'a>(&'a self, cleared: &'a Cleared) -> Wait<'a, Ran>;

    /// How long [`run`](Self::run) may take before it is given up: the tool's time, and what it takes to end a
    /// run that has used it up.
    fn patience(&self, tool: &Tool) -> Duration {
        tool.timeout
    }

    /// Whether what would run is still what was declared; if not, what changed.
    fn unchanged<'a>(&'a self, tool: &'a Tool) -> Wait<'a, Result<(), String>> {
        let _nothing_to_look_at = tool;
        Box::pin(async { Ok(()) })
    }

    /// Whether what a caller sent fits the machine as it is now: a path may lead out of the folder it must stay in.
    fn fits<'a>(&'a self, tool: &'a Tool, arguments: &'a Value) -> Wait<'a, Result<(), Violation>> {
        let _nothing_to_look_at = (tool, arguments);
        Box::pin(async { Ok(()) })
    }

    /// The effect of a tool that runs inside the store's transaction, if this is one.
    fn in_store(&self, tool: &ToolName) -> Option<Arc<dyn InStore>>;
}

/// Finds the executor of a kind: the wiring table of `tool/`.
pub trait Executors: Send + Sync {
    /// The executor of tools of this kind.
    fn of(&self, kind: ToolKind) -> &dyn Executor;

    /// What a run by an earlier daemon has left of this call. `kind` is that of its tool, if its definition is
    /// still the one that ran: only then does it prove anything that nothing is left.
    fn trace<'a>(&'a self, call: &'a Call, kind: Option<ToolKind>) -> Wait<'a, Trace> {
        let _nothing_is_left = (call, kind);
        Box::pin(async { Trace::Nothing })
    }

    /// The end of this call is durable: what its run left is no longer needed.
    fn settled(&self, call: CallId) {
        let _nothing_is_left = call;
    }

    /// Nothing that runs have left is needed any more, except of these calls.
    fn settled_but(&self, calls: BTreeSet<CallId>) {
        let _nothing_is_left = calls;
    }
}

/// What a run by an earlier daemon has left.
pub enum Trace {
    /// Nothing: what happened is not known.
    Nothing,
    /// The proof that it did not start.
    NotStarted,
    /// Its end.
    Ended(Ran),
    /// It goes on; this waits for its end.
    Running(Wait<'static, Ran>),
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now; never earlier than what it said before.
    fn now(&self) -> Timestamp;
}

/// What chance gives a new call.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// The new id.
    pub id: CallId,
    /// Behind the commitments in the log.
    pub salt: [u8; 16],
    /// Behind the binding of an approval.
    pub nonce: [u8; 16],
}

/// Makes what must not be guessed or repeated.
pub trait Chance: Send + Sync {
    /// What a new call needs: its id (UUIDv7 of `now`) and two times sixteen random bytes, in one draw.
    fn draw(&self, now: Timestamp) -> Draw;
}

/// What the daemon says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonFacts {
    /// Its process id.
    pub pid: u32,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// Where it listens.
    pub listeners: Vec<String>,
    /// Where its store is.
    pub data_dir: String,
    /// What an operator should know about this set-up, in sentences.
    pub notes: Vec<String>,
}

/// Operating the daemon itself.
pub trait Control: Send + Sync {
    /// What it says about itself.
    fn facts(&self) -> DaemonFacts;

    /// Loads config, policies and tools again; says what changed, or what is wrong and stays as it was.
    fn reload(&self) -> Wait<'_, Result<Vec<String>, Denial>>;

    /// Begins to stop, as `by` asked for: no new connections, running calls end.
    fn stop(&self, by: &PrincipalId);

    /// Every server of others, how it is and what it lists.
    fn upstreams(&self) -> Vec<Upstream> {
        Vec::new()
    }

    /// Agrees to definitions that `server` lists now; gives the tools that were not agreed to before.
    fn trust<'a>(
        &'a self,
        by: &'a Principal,
        server: &'a str,
        digests: Vec<Digest>,
    ) -> Wait<'a, Result<Vec<ToolName>, Denial>> {
        let _nobody = (by, digests);
        let detail = format!("there is no server `{server}`");
        Box::pin(async { Err(Denial::new(Stage::Catalog, Code::NotFound, detail)) })
    }
}

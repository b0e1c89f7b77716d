//! L2, the one path every call takes. [`Pipeline::submit`] is the whole of it: a guard a line, in the order
//! that is fixed here and nowhere else.

mod admin;
mod caught;
pub mod cleared;
mod consent;
mod decide;
mod doubt;
mod execute;
mod import;
pub mod opening;
pub mod port;
mod question;
mod read;
pub mod rulebook;
mod runs;
pub mod submission;
pub mod sweep;
mod upstreams;
mod waiters;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::domain::audit::AuditRecord;
use crate::domain::call::Again;
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::{CallId, PrincipalId};
use crate::domain::outcome::Effect;
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;
use crate::domain::tool::Registered;
use crate::guard::approval;
use crate::guard::policy::{Permit, Request};
use crate::guard::quota::QuotaState;
use crate::guard::schema::{Arguments, misfit};

use cleared::{Begun, Cleared};
use opening::{Deadlines, Opening, Seed, Start, Terms};
use port::{
    Authenticator, Chance, Clock, Control, Draw, Executors, Fatigue, Ledger, Log, Opened, Presented, Recorded,
    Retention, Unavailable,
};
use rulebook::Rulebook;
use submission::{Answer, Reply, Submission};
use waiters::Waiters;

pub use admin::Status;
pub use read::{Dossier, ToolView};
pub use runs::{RunView, Runner};

/// The longest wait a caller may ask for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// The longest reason a caller may give, in bytes.
pub const LONGEST_REASON: usize = 2_048;
/// How often a decision is made again when the policies change under it.
const POLICY_ATTEMPTS: usize = 4;

/// The world, behind its ports.
pub struct Ports {
    /// Calls and their records.
    pub ledger: Arc<dyn Ledger>,
    /// Reading the log.
    pub log: Arc<dyn Log>,
    /// Loading data into the desk.
    pub desk: Arc<dyn port::DeskImport>,
    /// Remembering runs of workflows.
    pub runs: Arc<dyn port::Runs>,
    /// Driving those that were left to the daemon.
    pub runners: Arc<dyn port::Runners>,
    /// Storing keys.
    pub keys: Arc<dyn port::Keys>,
    /// What runs tools.
    pub executors: Arc<dyn Executors>,
    /// Who is it.
    pub authn: Arc<dyn Authenticator>,
    /// The daemon itself.
    pub control: Arc<dyn Control>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids and salts.
    pub chance: Arc<dyn Chance>,
}

/// What the operator set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Deadlines of approvals where a rule names none.
    pub deadlines: Deadlines,
    /// Limits that keep people from being worn down.
    pub fatigue: Fatigue,
    /// How long results are kept.
    pub retention: Retention,
}

/// The path: a plain structure of ports.
pub struct Pipeline {
    ports: Ports,
    rules: RwLock<Arc<Rulebook>>,
    /// Counts replacements of the rules.
    edition: watch::Sender<u64>,
    epoch: u64,
    waiters: Waiters,
    running: AtomicU64,
    idle: Notify,
    sweep: Notify,
    /// Refused rates since they were last recorded.
    too_fast: Mutex<BTreeMap<PrincipalId, u64>>,
    /// One change of a key at a time: each reads what the one before has written.
    changing_keys: tokio::sync::Mutex<()>,
    /// One run at a time is left to the daemon, so that they are counted.
    detaching: tokio::sync::Mutex<()>,
}

impl Pipeline {
    /// Puts the path together. `epoch` is this start of the daemon, as the ledger counted it.
    pub fn new(ports: Ports, rules: Rulebook, epoch: u64) -> Self {
        Self {
            ports,
            rules: RwLock::new(Arc::new(rules)),
            edition: watch::Sender::new(0),
            epoch,
            waiters: Waiters::default(),
            running: AtomicU64::new(0),
            idle: Notify::new(),
            sweep: Notify::new(),
            too_fast: Mutex::default(),
            changing_keys: tokio::sync::Mutex::default(),
            detaching: tokio::sync::Mutex::default(),
        }
    }

    /// One call through every guard.
    pub async fn submit(self: &Arc<Self>, submission: &Submission) -> Answer<Box<Reply>> {
        let now = self.ports.clock.now();
        let mut seen = Seen::default();
        let result = match self.admit(submission, &mut seen, now).await {
            Ok(reply) => Ok(reply),
            Err(denial) => self.refuse(denial, &seen, Some(&submission.tool), now).await,
        };
        Answer { quota: seen.quota, result }
    }

    /// The guards. Up to the permit nothing is written; a no here leaves the key unused.
    async fn admit(
        self: &Arc<Self>,
        asked: &Submission,
        seen: &mut Seen,
        now: Timestamp,
    ) -> Result<Box<Reply>, Denial> {
        let principal = self.recognise(&asked.presented, seen, now)?;
        // Before the catalog: each no there is a record, and records are not to be had without limit.
        self.charge(&principal, seen, now)?;
        let rules = self.rules();
        let tool = rules.find(&asked.tool, &principal)?;
        let arguments = rules.schemas.check(&tool, &asked.arguments)?;
        self.ports.executors.of(tool.kind()).fits(&tool, arguments.value()).await.map_err(|no| misfit(&tool, no))?;
        let reason = reason_of(asked)?;
        let seed = self.seed(asked, reason, now);
        let case = Case { principal: &principal, tool: &tool, arguments: &arguments, asked, now };
        for _ in 0..POLICY_ATTEMPTS {
            let rules = self.rules();
            let permit = rules.policies.decide(&case.request())?;
            let permit = if asked.ask_people { permit.asking_people()? } else { permit };
            let people = |group: &str| self.ports.authn.people_in(group, now);
            if let Err(nobody) = approval::satisfiable(permit.requirements(), &principal, people) {
                return Box::pin(self.answered(&case, nobody)).await;
            }
            match self.carry(&case, &seed, &permit).await? {
                Carried::Reply(reply) => return Ok(reply),
                Carried::PolicyChanged => {}
            }
        }
        Err(Denial::new(Stage::Policy, Code::Overloaded, "the policies change too fast to decide by them"))
    }

    /// What was answered stays answered, even if nobody could approve it any more.
    async fn answered(&self, case: &Case<'_>, nobody: Denial) -> Result<Box<Reply>, Denial> {
        let call = self.known(case).await?.ok_or(nobody)?;
        self.attach(call, case.asked.wait, true, None).await.map(Box::new)
    }

    /// From the permit to the reply: open, then run, wait or replay.
    async fn carry(self: &Arc<Self>, case: &Case<'_>, seed: &Seed, permit: &Permit) -> Result<Carried, Denial> {
        let (start, read) = self.start(case, permit);
        let Settings { deadlines, fatigue, .. } = self.rules().settings;
        let terms = Terms { start, deadlines, fatigue };
        let mut opening =
            Opening::new(seed.clone(), case.principal, case.tool, case.arguments, permit, terms, case.now)?;
        if case.asked.dry_run {
            return Ok(Carried::reply(Reply::DryRun { call: opening.call().clone() }));
        }
        if opening.call().approval.is_some() && case.tool.extras.preview.is_some() {
            match Box::pin(self.previewed(case, opening)).await? {
                Ok(shown) => opening = shown,
                Err(known) => return Box::pin(self.settle(known, case.asked.wait)).await,
            }
        }
        if let Some(decision) = confirmation(case, &opening) {
            opening = opening.confirmed(decision);
        }
        if read {
            return self.read(case, opening).await;
        }
        // From here on the call must come to its end even if the caller hangs up.
        let (path, tool, id) = (Arc::clone(self), Arc::clone(case.tool), opening.call().id);
        let begun = tokio::spawn(async move { path.begin(opening, &tool).await });
        let begun = begun.await.map_err(|panic| broken(id, &panic).effect(unknown_unless_read(case.tool)))??;
        self.settle(begun, case.asked.wait).await
    }

    /// The same opening with what people are to be shown. What is refused or was asked before is answered without.
    async fn previewed(&self, case: &Case<'_>, opening: Opening) -> Result<Result<Opening, Opened>, Denial> {
        let first = match confirmation(case, &opening) {
            Some(decision) => opening.clone().confirmed(decision),
            None => opening.clone(),
        };
        match self.ports.ledger.open(first.tentative()).await.map_err(|why| unavailable(&why))? {
            Opened::Nothing => {}
            known => return Ok(Err(known)),
        }
        Ok(Ok(match self.preview(opening.call()).await {
            Some(preview) => opening.showing(preview),
            None => opening,
        }))
    }

    /// How the call starts if nobody has to agree; and whether it only reads and so needs no row.
    fn start(&self, case: &Case<'_>, permit: &Permit) -> (Start, bool) {
        let epoch = self.epoch;
        if let Some(effect) = self.ports.executors.of(case.tool.kind()).in_store(&case.tool.name) {
            return (Start::InStore { epoch, effect }, false);
        }
        let again = Again::of(case.tool.effect, case.tool.extras.dedupe_window, case.now);
        (Start::Dispatch { epoch, again }, case.tool.is_read_only() && permit.requirements().is_empty())
    }

    async fn begin(self: &Arc<Self>, opening: Opening, tool: &Arc<Registered>) -> Result<Opened, Denial> {
        match Cleared::open(&*self.ports.ledger, opening, tool).await.map_err(|why| not_known(&why, tool))? {
            Begun::Cleared(cleared) => Box::pin(self.execute(cleared)).await.map(Opened::Settled),
            Begun::Other(opened) => {
                if let Opened::Settled(recorded) | Opened::Waiting(recorded) = &opened {
                    self.changed(&recorded.call);
                    self.sweep.notify_one();
                }
                Ok(opened)
            }
        }
    }

    /// Turns what the ledger said into a reply.
    async fn settle(self: &Arc<Self>, opened: Opened, wait: Duration) -> Result<Carried, Denial> {
        let no = |code, detail: &str| Err(Denial::new(Stage::Idempotency, code, detail));
        match opened {
            Opened::Started(Recorded { call, index }) | Opened::Settled(Recorded { call, index })
                if call.is_closed() =>
            {
                let replayed = false;
                Ok(Carried::reply(Reply::Done { call, replayed, audit: Some(index) }))
            }
            Opened::Started(Recorded { call, index })
            | Opened::Settled(Recorded { call, index })
            | Opened::Waiting(Recorded { call, index }) => {
                Box::pin(self.attach(call, wait, false, Some(index))).await.map(Carried::reply)
            }
            Opened::Seen(call) | Opened::Attached(call) => {
                Box::pin(self.attach(call, wait, true, None)).await.map(Carried::reply)
            }
            Opened::KeyReused => no(
                Code::IdempotencyKeyReused,
                "this idempotency key was used for a request with another tool or other arguments",
            )
            .map_err(|denial: Denial| denial.hint("use a new key for a new request")),
            Opened::ResultExpired => no(
                Code::IdempotencyResultExpired,
                "this idempotency key was used; its result is no longer kept, and it is not run again",
            ),
            // Nothing is opened tentatively but what is opened in earnest afterwards.
            Opened::PolicyChanged | Opened::Nothing => Ok(Carried::PolicyChanged),
            Opened::CredentialGone => {
                Err(Denial::new(Stage::Authentication, Code::Unauthenticated, "the key is no longer good"))
            }
            Opened::TooManyPending => Err(Denial::new(
                Stage::Approval,
                Code::CircuitOpen,
                format!("{} of your requests already wait for people", self.rules().settings.fatigue.most_pending),
            )
            .hint("wait until people have decided, or cancel some: toolctl calls list --state awaiting_approval")
            .retry_after(Duration::from_secs(60))),
            Opened::CircuitOpen { until } => Err(Denial::new(
                Stage::Approval,
                Code::CircuitOpen,
                "people rejected these requests repeatedly; asking pauses for a while",
            )
            .retry_after(until.since(self.ports.clock.now()))),
        }
    }

    /// The rules in force now.
    pub fn rules(&self) -> Arc<Rulebook> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other rules into force; the ledger must have activated their policies before.
    pub fn replace_rules(&self, rules: Rulebook) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        self.edition.send_modify(|edition| *edition += 1);
    }

    /// Sees the rules being replaced: what a caller may see can have changed.
    pub fn rules_replaced(&self) -> watch::Receiver<u64> {
        self.edition.subscribe()
    }

    /// The time, as the pipeline tells it.
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Sixteen random bytes.
    pub fn chance(&self) -> [u8; 16] {
        self.ports.chance.draw(self.now()).nonce
    }

    /// How many calls are running.
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Acquire)
    }

    /// Lets go of everybody who waits for people: the daemon is stopping. Running calls go on.
    pub fn let_go(&self) {
        self.waiters.close();
    }

    /// Waits until no call is running.
    pub async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.running() == 0 {
                return;
            }
            notified.await;
        }
    }

    fn recognise(&self, presented: &Presented, seen: &mut Seen, now: Timestamp) -> Result<Principal, Denial> {
        let principal = self.ports.authn.identify(presented, now)?;
        seen.principal = Some(principal.clone());
        Ok(principal)
    }

    /// How fast? A refusal is counted, and recorded together with others.
    fn charge(&self, principal: &Principal, seen: &mut Seen, now: Timestamp) -> Result<(), Denial> {
        let taken = self.rules().quotas.take(&principal.id, now);
        seen.quota = Some(taken.unwrap_or_else(|too_fast| too_fast.state));
        taken.map(|_| ()).map_err(|too_fast| {
            let mut counted = self.too_fast.lock().unwrap_or_else(PoisonError::into_inner);
            *counted.entry(principal.id.clone()).or_default() += 1;
            too_fast.denial(&principal.id)
        })
    }

    fn take_refusals(&self) -> BTreeMap<PrincipalId, u64> {
        std::mem::take(&mut *self.too_fast.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn seed(&self, asked: &Submission, reason: Option<String>, now: Timestamp) -> Seed {
        let Draw { id, salt, nonce } = self.ports.chance.draw(now);
        // Without a key of the caller's the call gets its id: nobody else can have used it.
        let key = asked.key.clone().unwrap_or_else(|| id.into());
        Seed { id, key, reason, salt, nonce, labels: asked.labels.clone() }
    }

    /// Records a no, so that it is never given silently. Refused credentials and rates are counted and
    /// recorded together, as anybody can cause them without limit.
    async fn refuse<T>(&self, denial: Denial, seen: &Seen, tool: Option<&str>, now: Timestamp) -> Result<T, Denial> {
        match denial.code {
            Code::Unauthenticated | Code::RateLimited | Code::AuditUnavailable | Code::Internal => return Err(denial),
            _ => {}
        }
        let (id, credential) = seen.principal.as_ref().map(|who| (&who.id, who.credential.to_string())).unzip();
        let mut record = AuditRecord::denied(&denial, id, credential, tool, now);
        record.call = None;
        self.ports.ledger.record(vec![record]).await.map_err(|why| unavailable(&why))?;
        Err(denial)
    }
}

/// A call over which the daemon failed. It may be that it was not even opened; if it was, this is its id.
fn broken(call: CallId, panic: &dyn std::fmt::Display) -> Denial {
    Denial::new(Stage::Execution, Code::Internal, "the daemon failed while handling this call")
        .hint(format!("if it was begun, `toolctl calls show {call}` says what became of it"))
        .log(panic.to_string())
        .about(call)
}

/// What may have happened when a run broke off in a way that nobody foresaw.
fn unknown_unless_read(tool: &Registered) -> Effect {
    if tool.is_read_only() { Effect::None } else { Effect::Unknown }
}

/// What is known of the caller so far.
#[derive(Debug, Default)]
struct Seen {
    principal: Option<Principal>,
    quota: Option<QuotaState>,
}

/// One request with what its guards made of it.
struct Case<'a> {
    principal: &'a Principal,
    tool: &'a Arc<Registered>,
    arguments: &'a Arguments,
    asked: &'a Submission,
    now: Timestamp,
}

impl Case<'_> {
    fn request(&self) -> Request<'_> {
        Request {
            principal: self.principal,
            tool: self.tool,
            arguments: self.arguments,
            now: self.now,
            dry_run: self.asked.dry_run,
            transport: self.asked.transport,
        }
    }
}

enum Carried {
    Reply(Box<Reply>),
    PolicyChanged,
}

impl Carried {
    fn reply(reply: Reply) -> Self {
        Self::Reply(Box::new(reply))
    }
}

/// The requester's own approval, when the tool has an argument for it, it is true, and this principal may
/// decide about its own calls; otherwise the argument counts for nothing.
fn confirmation(case: &Case<'_>, opening: &Opening) -> Option<crate::domain::approval::Decision> {
    let name = case.tool.confirm_argument.as_deref().filter(|_| case.asked.may_confirm)?;
    let asked = case.arguments.value().get(name).and_then(Value::as_bool)?;
    let approval = opening.call().approval.as_ref().filter(|_| asked)?;
    let who = case.principal;
    let eligible = approval::eligible(who, &who.id, &who.chain, &approval.requirements).ok()?;
    let reason = Some(format!("`{name}` was true in the request"));
    Some(eligible.decision(who, crate::domain::approval::Verdict::Approve, approval.binding, reason, case.now))
}

fn reason_of(asked: &Submission) -> Result<Option<String>, Denial> {
    must_be_short(asked.reason.as_deref())?;
    Ok(asked.reason.clone())
}

/// Whether a reason or note, which is kept with its call, is of bearable length.
fn must_be_short(reason: Option<&str>) -> Result<(), Denial> {
    match reason {
        Some(reason) if reason.len() > LONGEST_REASON => Err(Denial::new(
            Stage::Arguments,
            Code::RequestMalformed,
            format!("the reason has {} bytes; at most {LONGEST_REASON} are taken", reason.len()),
        )),
        Some(_) | None => Ok(()),
    }
}

/// A write that failed and that an effect may be part of: the answer must not claim that nothing happened.
fn not_known(why: &Unavailable, tool: &Registered) -> Denial {
    let denial = unavailable(why);
    if !(why.maybe_written && tool.runs_in_store()) {
        return denial;
    }
    let detail = "the record could not be confirmed, so nobody knows whether it happened".to_owned();
    Denial { detail, effect: Effect::Unknown, ..denial }
        .hint("send it again with the same key once the daemon is well: it will not happen twice")
}

fn unavailable(why: &Unavailable) -> Denial {
    Denial::new(Stage::Store, Code::AuditUnavailable, "no record can be written, so nothing runs")
        .hint("whoever runs the daemon should look at its log and its disk")
        .log(why.why.clone())
        .retry_after(Duration::from_secs(1))
}

#[cfg(test)]
pub(crate) mod tests;

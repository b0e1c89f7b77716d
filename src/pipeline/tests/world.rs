//! A whole path in memory: the reference store, a clock that is set, callers by name, and tools that count
//! their runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::port::*;
use super::super::rulebook::Rulebook;
use super::super::submission::{Answer, Ballot, Labels, LookedAt, Reply, Submission};
use super::super::{Pipeline, Ports, Settings};
use crate::domain::approval::{Assurance, Verdict};
use crate::domain::audit::{AuditRecord, RecordType, Report, Verifier};
use crate::domain::call::Call;
use crate::domain::denial::{Code, Denial, Stage, Violation};
use crate::domain::id::{ApprovalRef, CallId, PrincipalId, RunId, ToolName};
use crate::domain::json::Canonical;
use crate::domain::outcome::{Ending, Outcome, Ran};
use crate::domain::principal::{Credential, Principal, PrincipalKind, Scope};
use crate::domain::time::Timestamp;
use crate::domain::tool::{Catalog, Tool, ToolKind};
use crate::guard::policy::{Allowlist, PolicySet, PolicySource};
use crate::guard::quota::{QuotaSettings, Quotas};
use crate::guard::schema::Schemas;

pub const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// Callers by name: the presented key is the name. Beside them, keys that were made.
#[derive(Default)]
pub struct People(Mutex<BTreeMap<String, Principal>>, Mutex<Vec<KeyRecord>>);

impl People {
    pub fn add(&self, id: &str, kind: PrincipalKind, groups: &[&str]) {
        let principal = Principal {
            id: id.parse().unwrap(),
            kind,
            groups: groups.iter().map(|group| group.parse().unwrap()).collect::<BTreeSet<_>>(),
            may_self_approve: false,
            credential: Credential::Environment,
            scope: Scope::default(),
            chain: Vec::new(),
        };
        self.0.lock().unwrap().insert(id.to_owned(), principal);
    }

    pub fn change(&self, id: &str, change: impl FnOnce(&mut Principal)) {
        change(self.0.lock().unwrap().get_mut(id).unwrap());
    }

    pub fn remove(&self, id: &str) {
        self.0.lock().unwrap().remove(id);
    }
}

impl Authenticator for People {
    fn identify(&self, presented: &Presented, _: Timestamp) -> Result<Principal, Denial> {
        let known = presented.key.as_ref().and_then(|key| self.0.lock().unwrap().get(key).cloned());
        // The credential carries the name, so that it can be recalled.
        let uid =
            |who: &Principal| who.id.as_str().bytes().fold(7u32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
        known
            .map(|who| Principal { credential: Credential::Peer(uid(&who)), ..who })
            .ok_or_else(|| Denial::new(Stage::Authentication, Code::Unauthenticated, "who?"))
    }

    fn people_in(&self, group: &str, _: Timestamp) -> Vec<Principal> {
        self.0.lock().unwrap().values().filter(|who| who.is_human() && who.is_in(group)).cloned().collect()
    }

    fn recall(&self, credential: &Credential, now: Timestamp) -> Option<Principal> {
        let names: Vec<String> = self.0.lock().unwrap().keys().cloned().collect();
        names
            .into_iter()
            .filter_map(|name| self.identify(&Presented { key: Some(name), ..Presented::default() }, now).ok())
            .find(|who| who.credential == *credential)
    }

    fn take_failures(&self) -> Vec<(String, u64)> {
        Vec::new()
    }

    fn keys(&self) -> Vec<KeyRecord> {
        self.1.lock().unwrap().clone()
    }

    fn mint(&self, _: PrincipalKind) -> Minted {
        let id = format!("key{:09}", self.1.lock().unwrap().len());
        Minted { text: id.clone(), id: id.parse().unwrap(), hash: [0; 32] }
    }

    fn adopt(&self, key: KeyRecord) {
        let mut keys = self.1.lock().unwrap();
        keys.retain(|known| known.id != key.id);
        keys.push(key);
    }

    fn lend(&self, _: &Credential, _: Timestamp) -> Option<String> {
        None
    }

    fn take_back(&self, _: &str) {}
}

/// Tools that run outside the store and count.
#[derive(Default)]
pub struct Counting {
    pub runs: AtomicUsize,
    pub ran: Mutex<Vec<CallId>>,
    /// Runs come back without knowing whether they happened.
    pub doubts: AtomicBool,
    /// What a run by an earlier daemon has left.
    pub left: Mutex<Option<Left>>,
    /// The tools that ran, in order.
    pub names: Mutex<Vec<ToolName>>,
    /// Where runs panic.
    pub breaks: Mutex<Breaks>,
    /// Lets a run that panics in its middle get there.
    pub goes_on: tokio::sync::Notify,
    /// A tool whose arguments do not fit the machine.
    pub misfit: Mutex<Option<ToolName>>,
}

/// Where a run panics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Breaks {
    #[default]
    Nowhere,
    /// Before there is a future to wait for.
    AtOnce,
    /// When [`Counting::goes_on`] is told.
    InTheMiddle,
    /// After its end is recorded, and before anybody was told.
    AfterItsRecord,
    /// Before it is dispatched.
    BeforeItsStart,
}

/// What a run has left.
pub enum Left {
    Ended(Outcome),
    NotStarted,
    Running(Outcome),
}

impl Executor for Counting {
    fn run<'a>(&'a self, cleared: &'a super::super::cleared::Cleared) -> Wait<'a, Ran> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        self.ran.lock().unwrap().push(cleared.call().id);
        self.names.lock().unwrap().push(cleared.tool().name.clone());
        let breaks = *self.breaks.lock().unwrap();
        assert_ne!(breaks, Breaks::AtOnce, "a secret of the machine's");
        let output = Canonical::of(&json!({"run": run, "tool": cleared.tool().name.as_str()}));
        let doubts = self.doubts.load(Ordering::SeqCst);
        Box::pin(async move {
            if breaks == Breaks::InTheMiddle {
                self.goes_on.notified().await;
                panic!("a secret of the machine's");
            }
            if doubts { Ending::InDoubt { why: "it hung".into() }.into() } else { Outcome::Succeeded { output }.into() }
        })
    }

    fn unchanged<'a>(&'a self, _: &'a Tool) -> Wait<'a, Result<(), String>> {
        let breaks = *self.breaks.lock().unwrap();
        Box::pin(async move {
            assert_ne!(breaks, Breaks::BeforeItsStart);
            Ok(())
        })
    }

    fn fits<'a>(&'a self, tool: &'a Tool, _: &'a Value) -> Wait<'a, Result<(), Violation>> {
        let is_misfit = self.misfit.lock().unwrap().as_ref() == Some(&tool.name);
        let violation = || Violation { path: "/query".into(), message: "it leads out of its folder".into() };
        Box::pin(async move { if is_misfit { Err(violation()) } else { Ok(()) } })
    }

    fn in_store(&self, _: &ToolName) -> Option<Arc<dyn InStore>> {
        None
    }
}

impl Executors for Counting {
    fn of(&self, _: ToolKind) -> &dyn Executor {
        self
    }

    fn trace<'a>(&'a self, _: &'a Call, _: Option<ToolKind>) -> Wait<'a, Trace> {
        let trace = match self.left.lock().unwrap().take() {
            None => Trace::Nothing,
            Some(Left::NotStarted) => Trace::NotStarted,
            Some(Left::Ended(outcome)) => Trace::Ended(outcome.into()),
            Some(Left::Running(outcome)) => Trace::Running(Box::pin(async move { outcome.into() })),
        };
        Box::pin(async move { trace })
    }

    fn settled(&self, _: CallId) {
        let breaks = *self.breaks.lock().unwrap();
        assert_ne!(breaks, Breaks::AfterItsRecord);
    }
}

pub struct SetClock(pub AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Default)]
pub struct Counted(AtomicU64);

impl Chance for Counted {
    fn draw(&self, _: Timestamp) -> Draw {
        let id = CallId::from_bytes(u128::from(self.0.fetch_add(1, Ordering::SeqCst) + 1).to_be_bytes());
        Draw { id, salt: [9; 16], nonce: [8; 16] }
    }
}

struct Still;

impl Control for Still {
    fn facts(&self) -> DaemonFacts {
        DaemonFacts { pid: 1, started_at: START, listeners: Vec::new(), data_dir: String::new(), notes: Vec::new() }
    }

    fn reload(&self) -> Wait<'_, Result<Vec<String>, Denial>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn stop(&self, _: &PrincipalId) {}
}

impl Runners for Still {
    fn drive(&self, _: &PrincipalId, _: &RunId, _: &Credential) {}

    fn let_go(&self, _: &PrincipalId, _: &RunId) {}

    fn standing(&self, _: &PrincipalId, _: &RunId) -> Option<Standing> {
        None
    }

    fn driven(&self) -> usize {
        0
    }

    fn close(&self) -> Wait<'_, ()> {
        Box::pin(async {})
    }
}

pub struct World {
    pub path: Arc<Pipeline>,
    pub people: Arc<People>,
    pub tools: Arc<Counting>,
    pub clock: Arc<SetClock>,
    pub store: Arc<dyn Store>,
}

pub fn rulebook(policy: PolicySource) -> Rulebook {
    declaring(policy, |_| {})
}

/// The same, over tools that are declared otherwise.
pub fn declaring(policy: PolicySource, declare: impl FnMut(&mut Tool)) -> Rulebook {
    let mut tools = crate::tool::desk::tools();
    tools.iter_mut().for_each(declare);
    let catalog = Catalog::new(tools).unwrap();
    let schemas = Schemas::compile(&catalog).unwrap();
    let policies = PolicySet::load(&[policy], &catalog).unwrap_or_else(|problems| panic!("{problems}"));
    Rulebook {
        quarantined: BTreeMap::new(),
        schemas,
        policies,
        allowlist: Allowlist::default(),
        quotas: Arc::new(Quotas::new(QuotaSettings::default())),
        settings: Settings::default(),
        catalog,
    }
}

impl World {
    /// A path with the shipped policy: an agent `agent:x`, approvers `user:anna` and `user:bo`.
    pub async fn over(store: Arc<dyn Store>) -> Result<Self, Unavailable> {
        let (people, tools) = (Arc::new(People::default()), Arc::new(Counting::default()));
        people.add("agent:x", PrincipalKind::Agent, &["agents"]);
        people.add("user:anna", PrincipalKind::User, &["approvers"]);
        people.add("user:bo", PrincipalKind::User, &["approvers"]);
        let clock = Arc::new(SetClock(AtomicI64::new(START.micros())));
        Self::again(store, people, tools, clock).await
    }

    /// The next start of the daemon over the same store.
    pub async fn again(
        store: Arc<dyn Store>,
        people: Arc<People>,
        tools: Arc<Counting>,
        clock: Arc<SetClock>,
    ) -> Result<Self, Unavailable> {
        let epoch = store.begin_epoch(AuditRecord::new(RecordType::DaemonStarted, START)).await?;
        let rules = rulebook(PolicySource::shipped());
        store.activate_policy(rules.policies.digest(), AuditRecord::new(RecordType::PolicyActivated, START)).await?;
        let ports = Ports {
            ledger: store.clone(),
            log: store.clone(),
            keys: store.clone(),
            desk: store.clone(),
            runs: store.clone(),
            runners: Arc::new(Still),
            executors: tools.clone(),
            authn: people.clone(),
            control: Arc::new(Still),
            clock: clock.clone(),
            chance: Arc::new(Counted(AtomicU64::new(epoch * 1_000_000))),
        };
        let path = Arc::new(Pipeline::new(ports, rules, epoch));
        Ok(Self { path, people, tools, clock, store })
    }

    /// From here on the tools are declared otherwise.
    pub async fn declare(&self, declare: impl FnMut(&mut Tool)) {
        let rules = declaring(PolicySource::shipped(), declare);
        let record = AuditRecord::new(RecordType::PolicyActivated, START);
        self.store.activate_policy(rules.policies.digest(), record).await.unwrap();
        self.path.replace_rules(rules);
    }

    pub fn later(&self, seconds: u64) {
        let now = self.clock.now().plus(Duration::from_secs(seconds));
        self.clock.0.store(now.micros(), Ordering::SeqCst);
    }

    pub fn runs(&self) -> usize {
        self.tools.runs.load(Ordering::SeqCst)
    }

    pub async fn call(&self, tool: &str, arguments: Value, key: Option<&str>) -> Result<Reply, Denial> {
        self.submit(Self::asked(tool, arguments, key)).await.result
    }

    pub fn asked(tool: &str, arguments: Value, key: Option<&str>) -> Submission {
        Submission {
            presented: who("agent:x"),
            tool: tool.to_owned(),
            arguments,
            key: key.map(|key| key.parse().unwrap()),
            dry_run: false,
            reason: None,
            wait: Duration::ZERO,
            ask_people: false,
            transport: "rest",
            may_confirm: true,
            labels: Labels::default(),
        }
    }

    pub async fn submit(&self, asked: Submission) -> Answer<Reply> {
        self.path.submit(&asked).await.map(|reply| *reply)
    }

    /// A decision that waits for the end of the call.
    pub async fn says(&self, name: &str, verdict: Verdict, id: CallId) -> Result<Reply, Denial> {
        self.path.decide(Self::ballot(name, verdict, id)).await.result
    }

    pub fn ballot(name: &str, verdict: Verdict, id: CallId) -> Ballot {
        Ballot {
            presented: who(name),
            approval: ApprovalRef::Id(id),
            verdict,
            looked_at: LookedAt::Whatever,
            reason: None,
            assurance: Assurance::A0,
            wait: Duration::from_secs(30),
            own_calls: true,
        }
    }

    /// Kinds of all records so far.
    pub async fn story(&self) -> Vec<&'static str> {
        let entries = self.store.read(0, 10_000).await.unwrap();
        entries
            .iter()
            .map(|entry| serde_json::from_str::<AuditRecord>(&entry.leaf).unwrap().kind.word())
            .filter(|kind| !matches!(*kind, "daemon.started" | "policy.activated"))
            .collect()
    }

    /// Verifies the whole log.
    pub async fn verify(&self) -> Report {
        let frontier = self.store.frontier().await.unwrap();
        let mut verifier = Verifier::default();
        for entry in self.store.read(0, 10_000).await.unwrap() {
            verifier.leaf(entry.leaf.as_bytes(), Some(&entry.hash));
        }
        verifier.finish(frontier.size(), &frontier.root())
    }
}

pub fn who(name: &str) -> Presented {
    Presented { key: Some(name.to_owned()), uid: None, peer: "test".into() }
}

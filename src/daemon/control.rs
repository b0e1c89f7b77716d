//! The reins of a running daemon: what it says about itself, how it loads its rules again, how it stops.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::api;
use crate::clock::SystemClock;
use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::digest::Digest;
use crate::domain::id::{PrincipalId, ToolName};
use crate::domain::principal::Principal;
use crate::domain::text::counted;
use crate::domain::time::Timestamp;
use crate::pipeline::Pipeline;
use crate::pipeline::port::{Clock as _, Control, DaemonFacts, Ledger as _, Wait};
use crate::pipeline::rulebook::Rulebook;
use crate::server::Shutdown;
use crate::store::redb::RedbStore;
use crate::tool::upstream::Upstreams;

use super::last_start::Note;
use super::rules::{self, Declared};
use super::seen::Seen;
use super::{CannotStart, Inputs, Plan, Started};

/// Holds a running daemon.
pub struct Reins {
    inputs: Inputs,
    /// What it was started with.
    plan: Plan,
    facts: DaemonFacts,
    shutdown: Shutdown,
    note: Note,
    path: OnceLock<Weak<Pipeline>>,
    pub(super) store: Arc<RedbStore>,
    pub(super) clock: Arc<SystemClock>,
    /// One reload at a time: the last one asked for is the one in force.
    pub(super) reloading: tokio::sync::Mutex<()>,
    pub(super) upstreams: Arc<Upstreams>,
    /// What the files of tools declare, as it is in force.
    declared: Mutex<Arc<Declared>>,
    /// The files of rules as they were loaded.
    seen: Mutex<Seen>,
}

/// What outlives a single set of rules.
pub(super) struct Standing {
    pub store: Arc<RedbStore>,
    pub clock: Arc<SystemClock>,
    pub upstreams: Arc<Upstreams>,
    pub declared: Declared,
}

impl Reins {
    pub(super) fn new(
        inputs: Inputs,
        plan: Plan,
        started: &Started,
        note: Note,
        now: Timestamp,
        standing: Standing,
    ) -> Self {
        let facts = DaemonFacts {
            pid: std::process::id(),
            started_at: now,
            listeners: started.listeners.clone(),
            data_dir: started.state.display().to_string(),
            notes: started.notes.clone(),
        };
        let (path, reloading) = (OnceLock::new(), tokio::sync::Mutex::new(()));
        let Standing { store, clock, upstreams, declared } = standing;
        let (shutdown, declared) = (Shutdown::new(), Mutex::new(Arc::new(declared)));
        let seen = Mutex::new(Seen::of(&plan));
        Self { inputs, plan, facts, shutdown, note, path, store, clock, reloading, upstreams, declared, seen }
    }

    /// The pipeline, unless it is gone.
    pub(super) fn path(&self) -> Option<Arc<Pipeline>> {
        self.path.get().and_then(Weak::upgrade)
    }

    /// What the files of tools declare, as it is in force.
    pub(super) fn declared(&self) -> Arc<Declared> {
        Arc::clone(&self.declared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn hold(&self, path: &Arc<Pipeline>) {
        // It is set once, by whoever made it.
        let _set_before = self.path.set(Arc::downgrade(path));
    }

    /// The order to stop.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Gives the order to stop, and notes `how` it came: such a daemon comes back when a person says so. Noted
    /// first, as clients begin to look for another daemon as soon as this one hangs up.
    pub fn stop_because(&self, how: &str) {
        if let Err(cannot) = self.note.stopped(how) {
            tracing::warn!("it is not noted that this stop is on purpose: {cannot}");
        }
        self.shutdown.begin();
    }

    /// Loads config, policies and tools again, and says what changed. Places to listen, keys of the environment,
    /// local users and the like stay as they were until the next start; which of them differ is said. If anything is wrong the old ones stay in force.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn reload_rules(&self) -> Result<Vec<String>, CannotStart> {
        let _one_at_a_time = self.reloading.lock().await;
        let Some(path) = self.path() else { return Ok(Vec::new()) };
        let before = path.rules();
        let plan = Plan::load(&self.inputs)?;
        // Looked at before it is read: what changes in between waits for the next reload.
        let seen = Seen::of(&plan);
        let pins = |server: &_| self.upstreams.pins().of(server);
        let (declared, fresh) = rules::load(&plan, Some(&before), pins)?;
        let changed = self.store.register_tools(super::definitions(&fresh), self.clock.now()).await?;
        let (old, new) = (before.policies.digest(), fresh.policies.digest());
        if old == new {
            self.put_into_force(&path, declared, fresh, seen);
            let tools = counted(changed, "tool is", "tools are");
            let same = format!("the policies are the same; {tools} new, changed or gone");
            return Ok(self.with_later(same, &plan));
        }
        let record = AuditRecord::new(RecordType::PolicyActivated, self.clock.now())
            .detail("policy", new.to_string())
            .detail("before", old.to_string());
        // From here on permits of the old policies open nothing, and those of the new ones do: calls between
        // the two steps decide again.
        self.store.activate_policy(new, record).await?;
        self.put_into_force(&path, declared, fresh, seen);
        Ok(self.with_later(format!("policies: {} before, {} now", old.short(), new.short()), &plan))
    }

    fn put_into_force(&self, path: &Pipeline, declared: Declared, fresh: Rulebook, seen: Seen) {
        self.upstreams.keep(&declared.upstreams);
        *self.declared.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(declared);
        path.replace_rules(fresh);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// What changed, and what will only with the next start. The latter goes to the log too: whoever sent SIGHUP
    /// sees nothing else.
    fn with_later(&self, changed: String, plan: &Plan) -> Vec<String> {
        let later = self.plan.settled_at_start(plan).into_iter();
        let later = later.map(|name| format!("`{name}` is another than at the start: it counts after a restart"));
        let later = later.inspect(|sentence| tracing::warn!("{sentence}"));
        std::iter::once(changed).chain(later).collect()
    }
}

impl Control for Reins {
    fn facts(&self) -> DaemonFacts {
        let mut facts = self.facts.clone();
        let loaded = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        facts.notes.extend(loaded.waits());
        facts
    }

    fn reload(&self) -> Wait<'_, Result<Vec<String>, Denial>> {
        Box::pin(async {
            self.reload_rules().await.map_err(|cannot| {
                let hint = cannot.hint();
                match cannot {
                    CannotStart::Unavailable(why) => {
                        let detail = "no record can be written, so the old rules stay in force";
                        Denial::new(Stage::Store, Code::AuditUnavailable, detail).hint(hint).log(why.why)
                    }
                    cannot => {
                        let detail = format!("the old rules stay in force: {}", cannot.in_short());
                        Denial::new(Stage::Policy, Code::RequestMalformed, detail)
                            .hint(hint)
                            .violations(cannot.faults())
                    }
                }
            })
        })
    }

    fn stop(&self, by: &PrincipalId) {
        self.stop_because(&format!("`toolctl stop` by {by}"));
    }

    fn upstreams(&self) -> Vec<api::upstreams::Upstream> {
        self.shown()
    }

    fn trust<'a>(
        &'a self,
        by: &'a Principal,
        server: &'a str,
        digests: Vec<Digest>,
    ) -> Wait<'a, Result<Vec<ToolName>, Denial>> {
        Box::pin(self.agree(by, server, digests))
    }
}

//! L5, the composition root: config becomes adapters, adapters a pipeline, the pipeline doors. It decides
//! nothing.

mod control;
mod fixtures;
mod host;
pub mod inspect;
mod last_start;
mod plan;
mod problem;
mod rules;
mod seen;
mod state;
mod upstreams;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use crate::authn::Schemes;
use crate::clock::{self, SystemChance, SystemClock};
use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::digest::Digest;
use crate::domain::id::ToolName;
use crate::domain::time::Timestamp;
use crate::guard::quota::{Limiter, QuotaSettings};
use crate::pipeline::port::{Clock as _, DeskImport as _, Keys as _, Ledger as _, Log as _, Runs as _, Unavailable};
use crate::pipeline::rulebook::Rulebook;
use crate::pipeline::{Pipeline, Ports};
use crate::runner::{Means, ProcessRunners};
use crate::server::{self, Seal, ServerSettings, Shutdown};
use crate::store::redb::RedbStore;
use crate::tool::command::CommandExecutor;
use crate::tool::http::HttpExecutor;
use crate::tool::upstream::Upstreams;
use crate::tool::{Tools, desk};
use crate::transport::{Listener, detached};

use control::{Reins, Standing};
pub use fixtures::{CannotServe, Fixtures};
pub use host::Hosted;
use last_start::Note;
pub use plan::{Inputs, Plan};
pub use problem::CannotStart;
use state::StateFolder;

/// What a daemon found and made when it started, for whoever started it.
#[derive(Debug, Clone)]
pub struct Started {
    /// Where it listens.
    pub listeners: Vec<String>,
    /// The TCP address, when it listens on one.
    pub address: Option<SocketAddr>,
    /// The state folder.
    pub state: PathBuf,
    /// The store is new.
    pub is_new: bool,
    /// How many tools it has.
    pub tools: usize,
    /// The policy files in force.
    pub policies: Vec<String>,
    /// Calls of an earlier daemon that start again.
    pub restarted: usize,
    /// Commands that an earlier daemon began, and how they end this one records.
    pub adopted: usize,
    /// Calls nobody knows the outcome of.
    pub in_doubt: usize,
    /// Runs of workflows that were left to an earlier daemon.
    pub detached: usize,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// The label under which the pepper gives the key that seals what clients of `/mcp` bring back.
const SEAL: &str = "toolctl/mcp/seal/v1";

/// A daemon whose doors are about to open.
pub struct Daemon {
    path: Arc<Pipeline>,
    store: Arc<RedbStore>,
    reins: Arc<Reins>,
    listeners: Vec<Listener>,
    server: ServerSettings,
    seal: Seal,
    started: Started,
    clock: Arc<SystemClock>,
    /// What servers list changes.
    changes: watch::Receiver<u64>,
}

impl Daemon {
    /// Opens the store, takes over what an earlier daemon left, and takes its places to listen. Nothing is
    /// served yet.
    ///
    /// # Errors
    /// Everything that keeps a daemon from starting, with what to do about it.
    pub async fn prepare(inputs: Inputs) -> Result<Self, CannotStart> {
        let plan = Plan::load(&inputs)?;
        let folder = StateFolder::open(&plan.state)?;
        let pepper = folder.pepper()?;
        let seal = Seal::new(pepper.hash(SEAL));
        let clock = Arc::new(SystemClock::default());
        let environment = inputs.environment.clone();
        let upstreams = Upstreams::new(folder.pins(), environment, clock.clone(), Arc::new(SystemChance));
        let (declared, rules) = rules::load(&plan, None, |server| upstreams.pins().of(server))?;
        let upstreams = Arc::new(upstreams);
        // The store first, as only one daemon can have it: of two that start at once, the other one then leaves
        // the socket alone.
        let store = Arc::new(RedbStore::open_armed(&folder.store(), plan.fail_point)?);
        let listeners = listen(&plan).await?;
        if let Some(last) = last_record(&store).await? {
            clock.not_before(last);
        }
        let now = clock.now();

        let version = env!("CARGO_PKG_VERSION");
        // Before anything else is written: a start that dies between the two would leave a desk without customers.
        let is_new = store.frontier().await?.size() == 0;
        if is_new {
            seed(&store, now).await?;
        }
        let record = AuditRecord::new(RecordType::DaemonStarted, now).detail("version", version);
        let epoch = store.begin_epoch(record).await?;
        let commands = CommandExecutor::open(&folder.spool(), epoch, inputs.environment.clone())
            .map_err(|source| CannotStart::file(&folder.spool(), source))?;
        let http = HttpExecutor::new(inputs.environment.clone());
        store.register_tools(definitions(&rules), now).await?;
        let policy = rules.policies.digest();
        let record = AuditRecord::new(RecordType::PolicyActivated, now).detail("policy", policy.to_string());
        store.activate_policy(policy, record).await?;

        let failed =
            QuotaSettings { per_minute: plan.failed_attempts, burst: plan.failed_attempts, most_principals: 10_000 };
        let random = Box::new(|| {
            let mut byte = [0];
            clock::fill(&mut byte);
            byte[0]
        });
        let environment = plan.environment_key.as_deref();
        let keys = store.all().await?;
        let authn = Schemes::new(pepper, environment, plan.local_users.clone(), keys, Limiter::new(failed), random);

        let mut started = Started {
            listeners: listeners.iter().map(ToString::to_string).collect(),
            address: listeners.iter().find_map(Listener::address),
            state: plan.state.clone(),
            is_new,
            tools: rules.catalog.len(),
            policies: rules.policies.files().iter().map(|file| file.name.clone()).collect(),
            restarted: 0,
            adopted: 0,
            in_doubt: 0,
            detached: store.detached().await?.len(),
            notes: plan.notes.clone(),
        };
        let server = ServerSettings { limits: plan.limits, allowed_hosts: plan.allowed_hosts.clone() };
        // Now that it has store and socket: a start that fails changes nothing about the last one.
        let note = Note::write(&inputs, &plan)?;
        let authn = Arc::new(authn);
        let runners = ProcessRunners::new(Means {
            program: detached::own_program().map_err(|source| CannotStart::file(Path::new("toolctl"), source))?,
            socket: plan.socket.clone(),
            runs: store.clone(),
            authn: authn.clone(),
            clock: clock.clone(),
        });
        let changes = upstreams.changes();
        upstreams.keep(&declared.upstreams);
        let standing = Standing { store: store.clone(), clock: clock.clone(), upstreams: upstreams.clone(), declared };
        let reins = Arc::new(Reins::new(inputs, plan, &started, note, now, standing));
        let ports = Ports {
            ledger: store.clone(),
            log: store.clone(),
            keys: store.clone(),
            desk: store.clone(),
            runs: store.clone(),
            runners: Arc::new(runners),
            executors: Arc::new(Tools::new(store.clone(), commands, http, upstreams)),
            authn,
            control: reins.clone(),
            clock: clock.clone(),
            chance: Arc::new(SystemChance),
        };
        let path = Arc::new(Pipeline::new(ports, rules, epoch));
        reins.hold(&path);
        let recovered = path.recover().await?;
        (started.restarted, started.in_doubt) = (recovered.restarted, recovered.in_doubt);
        started.adopted = recovered.adopted;
        Ok(Self { path, store, reins, listeners, server, seal, started, clock, changes })
    }

    /// What it found and made.
    pub const fn started(&self) -> &Started {
        &self.started
    }

    /// Stops it, from anywhere.
    pub fn shutdown(&self) -> Shutdown {
        self.reins.shutdown()
    }

    /// Loads config, policies and tools again, from anywhere.
    pub fn reins(&self) -> Arc<Reins> {
        Arc::clone(&self.reins)
    }

    /// Serves until it is told to stop, lets running calls end, and leaves a clean store.
    ///
    /// # Errors
    /// When the last record cannot be written.
    pub async fn serve(self) -> Result<(), CannotStart> {
        let sweeper = tokio::spawn(Arc::clone(&self.path).sweep_for_ever());
        let follower = tokio::spawn(self.reins().follow(self.changes));
        let (stopping, path) = (self.reins.shutdown(), Arc::clone(&self.path));
        let let_go = tokio::spawn(async move {
            stopping.begun().await;
            path.let_go();
            // Before the doors close, so that they are not seen to knock.
            path.let_runs_go().await;
        });
        // What drives runs knocks at the doors, which open now.
        self.path.resume_runs().await?;
        let drain = self.server.limits.drain;
        server::serve(self.listeners, Arc::clone(&self.path), self.server, self.seal, self.reins.shutdown()).await;
        let drained = tokio::time::timeout(drain, self.path.idle()).await;
        if drained.is_err() {
            tracing::warn!(
                running = self.path.running(),
                "calls are still running; a command goes on, and the next daemon takes it over"
            );
        }
        sweeper.abort();
        // The order to stop was given, or the doors would not have closed.
        let _done = let_go.await;
        follower.abort();
        let record = AuditRecord::new(RecordType::DaemonStopped, self.clock.now());
        self.store.record(vec![record]).await?;
        Ok(())
    }
}

/// When the last record was written: a clock that was set back meanwhile must not revive what had expired.
async fn last_record(store: &RedbStore) -> Result<Option<Timestamp>, Unavailable> {
    let size = store.frontier().await?.size();
    let last = store.read(size.saturating_sub(1), 1).await?;
    Ok(last.first().and_then(|entry| serde_json::from_str::<AuditRecord>(&entry.leaf).ok()).map(|record| record.at))
}

/// Every tool with the digest of its definition.
fn definitions(rules: &Rulebook) -> Vec<(ToolName, Digest)> {
    rules.catalog.iter().map(|tool| (tool.name.clone(), tool.digest)).collect()
}

async fn listen(plan: &Plan) -> Result<Vec<Listener>, CannotStart> {
    let mut listeners = vec![Listener::unix(&plan.socket).await?];
    if let Some(address) = plan.listen {
        listeners.push(Listener::tcp(address).await?);
    }
    Ok(listeners)
}

async fn seed(store: &RedbStore, now: Timestamp) -> Result<(), Unavailable> {
    let (customers, edges) = desk::seed();
    let record = AuditRecord::new(RecordType::DeskImported, now)
        .detail("source", "the desk's first customers")
        .detail("customers", customers.len().to_string());
    store.import(customers, edges, record).await?;
    Ok(())
}

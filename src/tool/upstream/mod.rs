//! MCP servers of others: kept running or connected, looked at whenever they may have changed, and called. What they
//! say is data: bounded, read strictly, and never obeyed.

mod conversation;
mod events;
mod lifecycle;
mod link;
mod message;
pub mod pins;
mod reading;
mod stdio;
mod web;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::link::{Link, State};
use self::pins::PinFiles;
use crate::domain::id::{ServerName, ToolName};
use crate::domain::outcome::{Effect, FailureKind, Outcome, Ran};
use crate::domain::tool::upstream::Upstream;
use crate::domain::tool::{Action, Tool};
use crate::pipeline::cleared::Cleared;
use crate::pipeline::port::{Chance, Clock, Executor, InStore, Wait};
use crate::tool::outbound::Outbound;

/// How long a call may take beyond its tool's time, to be given up in order.
const MARGIN: Duration = Duration::from_secs(5);

/// What every server needs of the world.
pub struct World {
    /// What people agreed to.
    pub pins: Arc<PinFiles>,
    /// Where `env:` secrets are looked for. It has no `Debug`.
    pub environment: BTreeMap<String, String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Connections to other machines.
    pub outbound: Arc<Outbound>,
    /// For pauses that are not all the same.
    pub chance: Arc<dyn Chance>,
    /// Counts changes of what servers list.
    pub changed: watch::Sender<u64>,
}

/// All servers.
pub struct Upstreams {
    world: Arc<World>,
    servers: Mutex<BTreeMap<ServerName, Server>>,
}

struct Server {
    link: Arc<Link>,
    keeper: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It is being started or connected to.
    Starting,
    /// It answers.
    Up {
        /// The revision both speak.
        version: &'static str,
        /// Its name and version, as it says.
        server: String,
    },
    /// It does not.
    Down {
        /// Why.
        why: String,
    },
}

impl Upstreams {
    /// No server yet. What people agreed to is kept in `pins`; secrets come from `environment`.
    pub fn new(
        pins: PathBuf,
        environment: BTreeMap<String, String>,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
    ) -> Self {
        let pins = Arc::new(PinFiles::new(pins));
        let (outbound, changed) = (Arc::new(Outbound::default()), watch::Sender::new(0));
        let world = World { pins, environment, clock, outbound, chance, changed };
        Self { world: Arc::new(world), servers: Mutex::default() }
    }

    /// What people agreed to.
    pub fn pins(&self) -> &PinFiles {
        &self.world.pins
    }

    /// Sees what servers list change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.world.changed.subscribe()
    }

    /// Keeps these servers up and lets go of all others; one that is declared as before goes on as it is.
    pub fn keep(&self, upstreams: &[Upstream]) {
        let mut servers = self.servers();
        servers.retain(|_, server| upstreams.contains(&server.link.upstream));
        for upstream in upstreams {
            if servers.contains_key(&upstream.name) {
                continue;
            }
            let link = Arc::new(Link::new(upstream.clone(), Arc::clone(&self.world)));
            let keeper = tokio::spawn(Arc::clone(&link).keep());
            servers.insert(upstream.name.clone(), Server { link, keeper });
        }
    }

    /// How a server is; none when it is not kept up.
    pub fn health(&self, server: &ServerName) -> Option<Health> {
        Some(match self.link(server)?.state() {
            State::Starting => Health::Starting,
            State::Up(session) => {
                Health::Up { version: session.settled.version.word(), server: session.settled.server.clone() }
            }
            State::Down { why, .. } => Health::Down { why },
        })
    }

    fn link(&self, server: &ServerName) -> Option<Arc<Link>> {
        self.servers().get(server).map(|server| Arc::clone(&server.link))
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<ServerName, Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor for Upstreams {
    fn run<'a>(&'a self, cleared: &'a Cleared) -> Wait<'a, Ran> {
        Box::pin(async move {
            let tool = cleared.tool();
            let Action::Upstream(action) = &tool.action else {
                return nothing_ran(format!("`{}` is no tool of a server", tool.name));
            };
            match self.link(&action.server) {
                // A server that is reached in another way is another server.
                Some(link) if link.upstream.reach == action.reach => link.call(cleared, action).await,
                Some(_) | None => nothing_ran(format!("`{}` was not called: its server was let go", tool.name)),
            }
        })
    }

    fn patience(&self, tool: &Tool) -> Duration {
        tool.timeout.saturating_add(MARGIN)
    }

    fn unchanged<'a>(&'a self, tool: &'a Tool) -> Wait<'a, Result<(), String>> {
        Box::pin(async move {
            let Action::Upstream(action) = &tool.action else { return Ok(()) };
            let Some(link) = self.link(&action.server) else { return Ok(()) };
            link.unchanged(tool, action).await
        })
    }

    fn in_store(&self, _: &ToolName) -> Option<Arc<dyn InStore>> {
        None
    }
}

fn nothing_ran(message: String) -> Ran {
    Outcome::Failed { kind: FailureKind::Failed, message, output: None, effect: Effect::None }.into()
}

//! From what an operator said to what a daemon needs: read at the start, and again at each reload.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::authn::LocalUser;
use crate::config::paths::Paths;
use crate::config::{Config, Flags, Sources, read_env_file};
use crate::domain::id::ToolName;
use crate::domain::principal::Principal;
use crate::guard::quota::QuotaSettings;
use crate::pipeline::Settings;
use crate::pipeline::port::Fatigue;
use crate::server::Limits;
use crate::store::FailPoint;
use crate::transport::private;

use super::CannotStart;

/// The variable that arms a fault on purpose.
const FAIL_POINT: &str = "TOOLCTL_FAILPOINT";

/// Where everything an operator says comes from. It has no `Debug`: the environment holds keys.
#[derive(Clone)]
pub struct Inputs {
    /// The command line.
    pub flags: Flags,
    /// The process's environment.
    pub environment: BTreeMap<String, String>,
    /// `--config`; none means `toolctl.toml` in the config folder, if it is there.
    pub config_file: Option<PathBuf>,
    /// `--env-file`.
    pub env_file: Option<PathBuf>,
    /// The usual places.
    pub paths: Paths,
}

/// Everything a daemon needs to know.
#[derive(Clone)]
pub struct Plan {
    /// The socket's path.
    pub socket: PathBuf,
    /// A TCP address to listen on as well.
    pub listen: Option<SocketAddr>,
    /// Hosts that requests over TCP may name beside loopback.
    pub allowed_hosts: Vec<String>,
    /// The state folder.
    pub state: PathBuf,
    /// The config folder.
    pub config: PathBuf,
    /// The folder of the operator's own tools.
    pub tools: PathBuf,
    /// Whether the MCP servers that they declare are started or connected to.
    pub servers: bool,
    /// The key of `API_KEY`.
    pub environment_key: Option<String>,
    /// The tools of `ALLOWED_TOOLS`.
    pub allowed_tools: Option<BTreeSet<ToolName>>,
    /// What uids are worth at the socket.
    pub local_users: Vec<LocalUser>,
    /// The rate limit of each principal.
    pub quota: QuotaSettings,
    /// Failed attempts to be recognised that a peer may make in a minute.
    pub failed_attempts: u32,
    /// Deadlines, retention, limits that spare people.
    pub settings: Settings,
    /// Limits of the doors.
    pub limits: Limits,
    /// A fault on purpose, from `TOOLCTL_FAILPOINT`; only builds for tests take one.
    pub fail_point: Option<FailPoint>,
    /// What an operator should know about this set-up, in sentences.
    pub notes: Vec<String>,
}

impl Plan {
    /// Reads files and merges everything.
    ///
    /// # Errors
    /// A file that cannot be read, or a setting that will not do, with its place.
    pub fn load(inputs: &Inputs) -> Result<Self, CannotStart> {
        let file = inputs.config_file.clone().unwrap_or_else(|| inputs.paths.config.join("toolctl.toml"));
        let text = read(&file, inputs.config_file.is_some())?;
        let mut environment = BTreeMap::new();
        if let Some(path) = &inputs.env_file {
            let text = read(path, true)?.unwrap_or_default();
            environment = read_env_file(path, &text)?;
        }
        environment.extend(inputs.environment.clone());
        let file_text = text.as_deref().map(|text| (file.as_path(), text));
        let config = Config::load(&Sources { file: file_text, environment, flags: inputs.flags.clone() })?;
        let folder = match (&inputs.config_file, file.parent()) {
            (Some(_), Some(folder)) if !folder.as_os_str().is_empty() => folder.to_owned(),
            (Some(_), _) => PathBuf::from("."),
            (None, _) => inputs.paths.config.clone(),
        };
        let mut plan = Self::of(config, &inputs.paths, folder);
        plan.fail_point = inputs.environment.get(FAIL_POINT).map(|text| text.parse()).transpose()?;
        plan.notes.extend(plan.fail_point.map(|armed| format!("{FAIL_POINT} arms a fault: {armed}")));
        Ok(plan)
    }

    /// The settings in which `other` differs and that are read once, at the start.
    pub fn settled_at_start(&self, other: &Self) -> Vec<&'static str> {
        let own = private::own_uid();
        let of_own = |plan: &Self| plan.local_users.iter().find(|user| Some(user.uid) == own).cloned();
        let of_others = |plan: &Self| -> Vec<LocalUser> {
            plan.local_users.iter().filter(|user| Some(user.uid) != own).cloned().collect()
        };
        [
            ("[server] socket", self.socket != other.socket),
            ("[server] listen", self.listen != other.listen),
            ("[server] allowed_hosts", self.allowed_hosts != other.allowed_hosts),
            ("[server] most_connections", self.limits.connections != other.limits.connections),
            ("[server] drain", self.limits.drain != other.limits.drain),
            ("[store] data_dir", self.state != other.state),
            ("[mcp] hold", self.limits.hold != other.limits.hold),
            ("[limits] failed_attempts_per_minute", self.failed_attempts != other.failed_attempts),
            ("[local] allow_self_approval", of_own(self) != of_own(other)),
            ("[[local_user]]", of_others(self) != of_others(other)),
            ("API_KEY", self.environment_key != other.environment_key),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }

    fn of(config: Config, paths: &Paths, folder: PathBuf) -> Self {
        let state = config.store.data_dir.value.clone().unwrap_or_else(|| paths.state.clone());
        let moved = state != paths.state;
        let usual = if moved { Paths::socket_in(&state) } else { paths.socket.clone() };
        let defaults = Limits::default();
        Self {
            socket: config.server.socket.value.clone().unwrap_or(usual),
            listen: config.server.listen.value,
            allowed_hosts: config.server.allowed_hosts.value.clone(),
            state,
            tools: config.tools.folder.value.clone().unwrap_or_else(|| folder.join("tools")),
            servers: config.tools.servers.value,
            config: folder,
            environment_key: config.demo.api_key.clone(),
            allowed_tools: config.demo.allowed_tools.clone().map(BTreeSet::from_iter),
            local_users: local_users(&config),
            quota: QuotaSettings {
                per_minute: config.limits.rate_per_minute.value,
                burst: config.limits.burst.value,
                ..QuotaSettings::default()
            },
            failed_attempts: config.limits.failed_attempts_per_minute.value,
            settings: Settings {
                deadlines: config.approval.deadlines(),
                fatigue: Fatigue { most_pending: config.limits.pending_per_principal.value, ..Fatigue::default() },
                retention: config.retention.retention(),
            },
            limits: Limits {
                connections: config.server.most_connections.value,
                drain: config.server.drain.value,
                hold: config.mcp.hold.value,
                ..defaults
            },
            fail_point: None,
            notes: notes(&config),
        }
    }
}

/// What whoever runs as the daemon's own user can do, and what that means for approvals.
fn own_user(uid: u32, approves_its_own: bool) -> String {
    let may = if approves_its_own {
        ", and may approve its own calls; each such approval is marked `A0 self_approved` in the log. \
         `allow_self_approval = false` under [local] ends that, and that alone"
    } else {
        ""
    };
    format!(
        "every program of yours (uid {uid}) is operator, administrator and approver here{may}. An agent that can \
         start programs as uid {uid} can approve what its own key asked for. What keeps the two apart is another \
         user: run such an agent as one, and let it in over --listen with a key (toolctl keys create NAME)"
    )
}

/// The daemon's own user is operator, administrator and approver; other users are what the operator says.
fn local_users(config: &Config) -> Vec<LocalUser> {
    let own = private::own_uid().map(|uid| LocalUser {
        uid,
        groups: [Principal::OPERATORS, Principal::ADMINISTRATORS, Principal::APPROVERS]
            .iter()
            .filter_map(|group| group.parse().ok())
            .collect(),
        may_self_approve: config.local.allow_self_approval.value,
    });
    let others = config.local.users.iter().map(|user| LocalUser {
        uid: user.uid,
        groups: user.groups.iter().cloned().collect(),
        may_self_approve: user.allow_self_approval,
    });
    own.into_iter().chain(others).collect()
}

fn notes(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(private::own_uid().map(|uid| own_user(uid, config.local.allow_self_approval.value)));
    if config.demo.api_key.is_some() {
        notes.push("the key of API_KEY may use the desk and approve its own calls, as the principal `env`".to_owned());
    }
    if let Some(tools) = &config.demo.allowed_tools {
        notes.push(format!("ALLOWED_TOOLS leaves {} tools", tools.len()));
    }
    notes
}

fn read(path: &Path, wanted: bool) -> Result<Option<String>, CannotStart> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !wanted => Ok(None),
        Err(source) => Err(CannotStart::file(path, source)),
    }
}

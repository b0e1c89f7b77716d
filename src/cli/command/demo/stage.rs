//! The demo's throw-away daemon, and the parties that talk to it: you at the terminal, an agent, a second
//! person, and a program that nobody knows well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::api::admin::{CreateKey, NewKey};
use crate::api::approvals::{ApprovalRef, Decide, Dossier, NewDecision, Show};
use crate::api::calls::{Call, Create, NewCall};
use crate::api::endpoint::Endpoint;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::client::{Client, ClientError, Secret, Target};
use crate::config::Flags;
use crate::config::paths::Paths;
use crate::daemon::{CannotStart, Hosted, Inputs, inspect};
use crate::domain::approval::Verdict;
use crate::domain::audit::Report;
use crate::domain::principal::PrincipalKind;

/// How long any answer may take here.
const DEADLINE: Duration = Duration::from_secs(60);

/// The daemon, its folder and its parties.
pub struct Stage {
    folder: tempfile::TempDir,
    daemon: Hosted,
    /// Whoever started the demo: administrator and approver, as on any daemon without configuration.
    pub you: Client,
    /// An agent that acts.
    pub agent: Client,
    /// A second person, who approves.
    pub dana: Client,
    /// An agent without any group.
    pub visitor: Client,
}

impl Stage {
    /// Starts the daemon in a temporary folder and makes the parties' keys.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub fn set(cx: &Context) -> Result<Self, CliError> {
        let folder = tempfile::Builder::new()
            .prefix("toolctl-demo-")
            .tempdir()
            .map_err(|error| CliError::io("cannot make a temporary folder", &error))?;
        let state = folder.path().join("state");
        let socket = Paths::socket_in(&state);
        let paths = Paths {
            socket: socket.clone(),
            state,
            config: folder.path().join("config"),
            cache: folder.path().join("cache"),
        };
        let (flags, environment) = (Flags::default(), BTreeMap::new());
        let inputs = Inputs { flags, environment, config_file: None, env_file: None, paths };
        let daemon = Hosted::start(inputs).map_err(|cannot| failed(&cannot))?;
        let target = Target::Socket(socket);
        let you = Client::new(&target, None).map_err(CliError::from)?;
        let client = |name: &str, kind, groups: &[&str]| {
            let groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
            let wanted = NewKey { name: name.to_owned(), kind: Some(kind), groups, ..NewKey::default() };
            let made = send::<CreateKey>(cx, &you, &wanted)?;
            Client::new(&target, Some(&Secret::new(&made.key))).map_err(CliError::from)
        };
        let agent = client("triage", PrincipalKind::Agent, &["agents"])?;
        let dana = client("dana", PrincipalKind::User, &["approvers"])?;
        let visitor = client("visitor", PrincipalKind::Agent, &[])?;
        Ok(Self { folder, daemon, you, agent, dana, visitor })
    }

    /// Where it all is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the daemon; gives the state folder, and the folder that holds it, to look at.
    ///
    /// # Errors
    /// When the daemon cannot leave a clean store.
    pub fn strike(self) -> Result<(tempfile::TempDir, PathBuf), CliError> {
        let state = self.daemon.started().state.clone();
        self.daemon.stop().map_err(|cannot| failed(&cannot))?;
        Ok((self.folder, state))
    }
}

/// Sends one operation.
///
/// # Errors
/// The daemon's own.
pub fn send<E: Endpoint>(cx: &Context, client: &Client, request: &E::Request) -> Result<E::Reply, CliError> {
    try_send::<E>(cx, client, request)?.map_err(CliError::from)
}

/// Sends one operation whose refusal is part of the story.
///
/// # Errors
/// Ctrl-C.
pub fn try_send<E: Endpoint>(
    cx: &Context,
    client: &Client,
    request: &E::Request,
) -> Result<Result<E::Reply, ClientError>, CliError> {
    cx.run(client.send::<E>(request, DEADLINE))
}

/// A call with a key of its own.
pub fn call(tool: &str, arguments: Value, key: &str) -> NewCall {
    NewCall {
        tool: tool.to_owned(),
        arguments,
        idempotency_key: Some(key.to_owned()),
        dry_run: false,
        reason: None,
        wait: None,
        approval: None,
    }
}

/// Makes a call that must not fail.
///
/// # Errors
/// When it does.
pub fn must_call(cx: &Context, client: &Client, request: &NewCall) -> Result<Call, CliError> {
    let answer = send::<Create>(cx, client, request)?;
    match &answer.error {
        Some(problem) => Err(CliError::of_problem(problem.clone())),
        None => Ok(answer),
    }
}

/// Decides about a call as somebody, after looking at it.
///
/// # Errors
/// The daemon's own.
pub fn decide(cx: &Context, client: &Client, seen: &Dossier, decision: Verdict) -> Result<Call, CliError> {
    let approval = seen.call.approval.as_ref();
    let decision = NewDecision {
        id: approval.map(|approval| approval.id.clone()).unwrap_or_default(),
        decision,
        digest: approval.map(|approval| approval.digest.clone()),
        reason: None,
        wait: None,
    };
    send::<Decide>(cx, client, &decision)
}

/// Everything an approver sees about a call.
///
/// # Errors
/// The daemon's own.
pub fn look(cx: &Context, client: &Client, call: &Call) -> Result<Dossier, CliError> {
    send::<Show>(cx, client, &ApprovalRef { id: call.id.clone() })
}

/// Verifies the log of a stopped daemon.
///
/// # Errors
/// When the file cannot be read at all.
pub fn verify(state: &Path) -> Result<Report, CliError> {
    inspect::verify(state).map_err(|cannot| failed(&cannot))
}

/// Copies the store and changes one byte of one record in the copy; gives the report about the copy. Pages
/// that are no longer part of the log may still hold an old copy of the text: those are passed over, as a
/// change there changes no record.
///
/// # Errors
/// When the copy cannot be made.
pub fn tamper(state: &Path, into: &Path) -> Result<Report, CliError> {
    const WORDS: &[u8] = b"\"tool\":\"create_ticket\"";
    let io = |error: std::io::Error| CliError::io("cannot copy the store", &error);
    let whole = std::fs::read(state.join("store.redb")).map_err(io)?;
    std::fs::create_dir_all(into).map_err(io)?;
    let places = whole.windows(WORDS.len()).enumerate().filter(|(_, window)| *window == WORDS).map(|(at, _)| at);
    let mut last = verify(state)?;
    for at in places {
        let mut copy = whole.clone();
        if let Some(byte) = copy.get_mut(at + 8) {
            *byte = b'C';
        }
        std::fs::write(into.join("store.redb"), &copy).map_err(io)?;
        last = verify(into)?;
        if !last.verified {
            break;
        }
    }
    Ok(last)
}

fn failed(cannot: &CannotStart) -> CliError {
    CliError::new(Exit::Failure, "demo", cannot.to_string()).hint(cannot.hint())
}

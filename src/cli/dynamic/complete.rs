//! Completion asks the installed program: tool names, a tool's flags and choices, what waits for people. It
//! has a small budget, falls back to the catalog it remembers, and prints nothing rather than an error.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args as _, CommandFactory as _, Parser as _};
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use serde::{Deserialize, Serialize};

use super::build;
use super::schema::Arguments;
use crate::api::endpoint::{Endpoint, Nothing};
use crate::api::tools::{self, Tools};
use crate::api::{admin, approvals, calls, runs};
use crate::cli::args::{CallFlags, CheckFlags, Cli, Globals};
use crate::cli::command::ours;
use crate::cli::context::Context;
use crate::cli::text::escape_untrusted;
use crate::domain::digest::Digest;
use crate::domain::time::Timestamp;

/// How long a shell may wait for the daemon.
const BUDGET: Duration = Duration::from_millis(150);
/// A remembered catalog of this age is as good as asking.
const FRESH: Duration = Duration::from_secs(10);
/// How many ids are offered at most.
const MOST: usize = 50;

/// What is remembered of the catalog: only what completion needs.
#[derive(Debug, Serialize, Deserialize)]
struct Catalog {
    tools: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    description: String,
    input_schema: serde_json::Value,
}

/// Answers a shell that asks for completions; false when none did.
pub fn answered(args: &[OsString]) -> bool {
    if std::env::var_os("COMPLETE").is_none_or(|shell| shell.is_empty() || shell == "0") {
        return false;
    }
    let words: Vec<String> =
        args.iter().skip_while(|word| *word != "--").skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let current = std::env::current_dir().ok();
    let answer = CompleteEnv::with_factory(|| tree(&words)).try_complete(args.iter().cloned(), current.as_deref());
    // A shell has no use for our errors.
    answer.unwrap_or(true)
}

/// Remembers a catalog, as best it can.
pub fn remember(cx: &Context, tools: &Tools) {
    let entries = tools.tools.iter().map(|tool| Entry {
        name: tool.name.clone(),
        description: tool.description.clone(),
        input_schema: tool.input_schema.clone(),
    });
    let catalog = Catalog { tools: entries.collect() };
    if let (Some(path), Ok(text)) = (cache_file(cx), serde_json::to_vec(&catalog)) {
        let partial = path.with_extension(format!("{}.part", std::process::id()));
        let _ = path.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, &path));
    }
}

/// The tree to complete in: the fixed one, with the tools under `call` and `policy check` when the line is
/// about them. Flags are built for the one tool that is named.
fn tree(words: &[String]) -> clap::Command {
    let command = Cli::command();
    let about = |name: &str| words.iter().any(|word| word == name);
    if !about("call") && !about("check") {
        return command;
    }
    let catalog = catalog();
    let reserved = ours().reserved();
    let with_tools = |mut parent: clap::Command| {
        for tool in &catalog.tools {
            let named = about(&tool.name);
            let arguments = if named { Arguments::of(&tool.input_schema, &reserved) } else { Arguments::none() };
            let child = build::command(&tool.name, &arguments).no_binary_name(false).about(summary(&tool.description));
            parent = parent.subcommand(child);
        }
        parent
    };
    let call = with_tools(global(CallFlags::augment_args(clap::Command::new("call").about("Call a tool"))));
    let check =
        with_tools(global(CheckFlags::augment_args(clap::Command::new("check").about("Ask what policy would decide"))));
    let mut root = Globals::augment_args(clap::Command::new("toolctl"));
    for child in command.get_subcommands().filter(|child| !matches!(child.get_name(), "call" | "policy")) {
        root = root.subcommand(child.clone());
    }
    let show = clap::Command::new("show").about("Show the policies in force");
    root.subcommand(call).subcommand(clap::Command::new("policy").subcommand(check).subcommand(show))
}

/// Flags of ours may stand behind the tool's name too.
fn global(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| argument.global(true))
}

/// Names of tools.
pub fn tool_names() -> Vec<CompletionCandidate> {
    let candidate = |tool: Entry| CompletionCandidate::new(tool.name).help(Some(summary(&tool.description).into()));
    catalog().tools.into_iter().map(candidate).collect()
}

/// Numbers of what waits for people.
pub fn approval_numbers() -> Vec<CompletionCandidate> {
    let request = approvals::ListApprovals { cursor: None, limit: Some(MOST) };
    let waiting = ask::<approvals::List>(&request).map(|reply| reply.approvals).unwrap_or_default();
    let candidate = |dossier: approvals::Dossier| {
        let number = dossier.call.approval.as_ref()?.number.to_string();
        let help = format!("{}, {}", escape_untrusted(&dossier.call.tool), escape_untrusted(&dossier.call.principal));
        Some(CompletionCandidate::new(number).help(Some(help.into())))
    };
    waiting.into_iter().filter_map(candidate).collect()
}

/// Ids of the latest calls.
pub fn call_ids() -> Vec<CompletionCandidate> {
    let request = calls::ListCalls { limit: Some(MOST), ..calls::ListCalls::default() };
    let calls = ask::<calls::List>(&request).map(|reply| reply.calls).unwrap_or_default();
    let candidate = |call: calls::Call| {
        let help = format!("{}, {}", escape_untrusted(&call.tool), escape_untrusted(&call.state));
        CompletionCandidate::new(call.id).help(Some(help.into()))
    };
    calls.into_iter().map(candidate).collect()
}

/// Ids of the latest runs of workflows.
pub fn run_ids() -> Vec<CompletionCandidate> {
    let request = runs::ListRuns { principal: None, limit: Some(MOST) };
    let runs = ask::<runs::List>(&request).map(|reply| reply.runs).unwrap_or_default();
    let candidate = |run: runs::Run| {
        let help = format!("{}, {}", escape_untrusted(&run.workflow), escape_untrusted(&run.state));
        CompletionCandidate::new(run.run).help(Some(help.into()))
    };
    runs.into_iter().map(candidate).collect()
}

/// Ids of live keys.
pub fn key_ids() -> Vec<CompletionCandidate> {
    let keys = ask::<admin::ListKeys>(&Nothing {}).map(|reply| reply.keys).unwrap_or_default();
    keys.into_iter()
        .filter(|key| key.revoked_at.is_none())
        .map(|key| CompletionCandidate::new(key.id).help(Some(escape_untrusted(&key.principal).into())))
        .collect()
}

/// Names of stored keys.
pub fn stored_keys() -> Vec<CompletionCandidate> {
    let cx = context();
    let folder = cx.paths().ok().map(|paths| paths.config.join("keys"));
    let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    entries.map(|entry| CompletionCandidate::new(entry.file_name())).collect()
}

fn catalog() -> Catalog {
    let cx = context();
    let remembered = cache_file(&cx);
    let read = |path: &PathBuf| {
        let text = std::fs::read(path).ok()?;
        serde_json::from_slice::<Catalog>(&text).ok()
    };
    let age = remembered.as_ref().and_then(|path| {
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
        let written = Timestamp::EPOCH.plus(modified.duration_since(UNIX_EPOCH).ok()?);
        Some(cx.now().since(written))
    });
    let fresh = age.is_some_and(|age| age < FRESH);
    if let Some(catalog) = remembered.as_ref().filter(|_| fresh).and_then(read) {
        return catalog;
    }
    if let Some(tools) = ask::<tools::List>(&Nothing {}) {
        remember(&cx, &tools);
    }
    remembered.as_ref().and_then(read).unwrap_or(Catalog { tools: Vec::new() })
}

fn ask<E: Endpoint>(request: &E::Request) -> Option<E::Reply> {
    context().try_send::<E>(request, BUDGET).ok()?.ok()
}

/// The flags that were typed so far cannot be known for sure, so the environment decides.
fn context() -> Context {
    let globals = Cli::try_parse_from(["toolctl", "status"]).map(|cli| cli.globals).unwrap_or_default();
    Context::new(globals)
}

fn cache_file(cx: &Context) -> Option<PathBuf> {
    let target = cx.target().ok()?.to_string();
    let name = format!("tools-{}.json", Digest::plain(target.as_bytes()).short());
    Some(cx.paths().ok()?.cache.join(name))
}

/// The first sentence, short enough for a list of candidates.
fn summary(description: &str) -> String {
    let first = description.split(['\n', '.']).next().unwrap_or_default();
    escape_untrusted(&first.chars().take(60).collect::<String>())
}

//! The fixed command tree. What depends on a tool's schema is built by [`super::dynamic`] instead.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCandidates;

mod add;
mod call;
mod flow;
mod govern;
mod init;
mod people;
mod words;

pub use add::{OpenApiArgs, ToolsAddArgs};
pub use call::{CallArgs, CallFlags, CheckArgs, CheckFlags};
pub use flow::{Picture, RunArgs, RunsCommand, WorkflowCommand};
pub use govern::{AuditCommand, AuditFilter, DeskCommand, KeysCommand, KeysCreateArgs, PolicyCommand};
pub use init::InitArgs;
pub use people::{ApprovalsCommand, ApproveArgs, CallsCommand, DenyArgs, NewTool, PageArgs, ToolsCommand};

use super::dynamic::complete;
use crate::domain::call::Resolution;
use words::{resolution, span};

/// Operational tools for agents and scripts, made safe.
///
/// A daemon puts policy, approval, idempotency and a tamper-evident record around every call of every tool; this
/// program is the daemon and its client.
#[derive(Debug, Parser)]
#[command(name = "toolctl", bin_name = "toolctl", version, propagate_version = false, max_term_width = 100)]
#[command(after_help = "Exit status: 0 done, 1 failure, 2 usage, 3 the tool failed, 4 no valid key, 5 denied,\n\
    6 rejected, 7 no daemon, 8 waiting for people, 9 expired, 10 outcome unknown, 11 limit,\n\
    12 conflict, 13 verification failed, 124 deadline, 130 interrupted.\n\n\
    Start with `toolctl serve` in one terminal and `toolctl tools list` in another.")]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Form of the result; default: a table on a terminal, tab-separated or compact JSON in a pipe
    #[arg(short, long, global = true, value_name = "FORMAT", env = "TOOLCTL_OUTPUT", hide_env = true)]
    pub output: Option<Format>,
    /// Print results and errors, nothing else
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; repeat for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", env = "TOOLCTL_COLOR", hide_env = true)]
    pub color: Colour,
    /// Never ask anything
    #[arg(long, global = true, env = "TOOLCTL_NO_INPUT", hide_env = true, value_parser = clap::builder::FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub no_input: bool,
    /// Answer yes to confirmations; never approves a call
    #[arg(short = 'y', global = true)]
    pub assume_yes: bool,
    /// How long to wait for an answer, for example 30s
    #[arg(long, global = true, value_name = "SPAN", env = "TOOLCTL_TIMEOUT", hide_env = true, value_parser = span)]
    pub timeout: Option<Duration>,
    /// The daemon's socket, or http://HOST:PORT [env: TOOLCTL_SOCKET]
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub socket: Option<String>,
    /// Use the stored key of this name
    #[arg(long = "as", global = true, value_name = "NAME", add = ArgValueCandidates::new(complete::stored_keys))]
    pub key_name: Option<String>,
}

impl Globals {
    /// Takes `--as succeeded|failed|rerun` for what it means after `calls resolve`, where no key has such a name.
    pub fn take_resolution(&mut self) -> Option<Resolution> {
        let said = self.key_name.as_deref().and_then(|name| resolution(name).ok());
        if said.is_some() {
            self.key_name = None;
        }
        said
    }
}

/// The form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Laid out for people
    Table,
    /// One JSON document
    Json,
    /// One JSON object a line
    Jsonl,
    /// YAML
    Yaml,
    /// Text as it is
    Raw,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    Serve(ServeArgs),
    /// Speak MCP on stdin and stdout, for clients that start their servers
    #[command(long_about = MCP_ABOUT)]
    Mcp(McpArgs),
    /// Take a tour on a throw-away daemon
    Demo(DemoArgs),
    /// Call a tool
    Call(CallArgs),
    /// Wait until calls have ended
    Wait(WaitArgs),
    /// Run a workflow
    Run(RunArgs),
    /// Look at runs of workflows, take one back
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Look at a workflow without running it
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// Approve what waits for people; without an ID, an inbox
    Approve(ApproveArgs),
    /// Reject what waits for people
    #[command(visible_alias = "reject")]
    Deny(DenyArgs),
    /// Look at what waits for people
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// Look at calls, take them back, settle those in doubt
    #[command(subcommand)]
    Calls(CallsCommand),
    /// Look at the tools you may see, and add your own
    #[command(subcommand)]
    Tools(ToolsCommand),
    /// Read and verify the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make and revoke API keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Load data into the customer desk
    #[command(subcommand)]
    Desk(DeskCommand),
    /// Say who you are to the daemon
    Whoami,
    /// Ask what policy would decide
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Say how the daemon is
    Status,
    /// Stop the daemon after its running calls
    Stop,
    /// Load config, policies and tools again
    Reload,
    /// Connect an MCP client: Claude Code, Cursor, VS Code and others
    Init(InitArgs),
    /// Check this set-up and say what to mend
    Doctor,
    /// Print the line that makes a shell complete toolctl
    Completions(CompletionsArgs),
    /// Print or write the manual pages
    Man(ManArgs),
    /// Print the versions of client and daemon
    Version,
}

/// `serve`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Listen on TCP too, for example 127.0.0.1:8000
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Let `--listen` name an address that other machines can reach
    #[arg(long)]
    pub allow_remote: bool,
    /// Where the store is
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: Option<PathBuf>,
    /// The config file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Read variables from this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub env_file: Option<PathBuf>,
    /// How long running calls may take to end when the daemon stops; default 30s
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub drain: Option<Duration>,
    /// Serve the fixtures of the MCP conformance suite instead, on loopback and without a key
    #[arg(long, hide = true, requires = "listen", conflicts_with_all = ["allow_remote", "data_dir", "config", "env_file", "drain"])]
    pub conformance_fixtures: bool,
}

/// What `mcp --help` and its manual page say.
const MCP_ABOUT: &str = "Speak MCP on stdin and stdout, for clients that start their servers

An MCP client (Claude Code, Cursor, VS Code and others) starts this command and keeps it; people have no use \
for it in a terminal. It passes each message on to the daemon and keeps its client through restarts of the daemon: \
a call that was under way is sent again under the same key and runs once. `toolctl init CLIENT` writes the \
client's entry.

With `--as NAME` the caller is the stored key of that name, as `toolctl init` makes one for each client. Without it \
the key is TOOLCTL_KEY, TOOLCTL_KEY_FILE or the default key; without any of them the caller on the socket is you, \
the user of this machine, with all you may do, approving your own calls included. Over http:// a key is needed.

The conversation opens at once, daemon or not. While the daemon cannot be reached or does not accept the key, the \
only tool is `toolctl_status`, which says why and what to do; once the daemon is there, the client is told to list \
the tools again. What happens is also said on stderr, which clients keep as their log.

With `--autostart` a daemon that is not running, or that crashed, is started with the flags it had last \
(last-start.json in the state folder), or without flags when there never was one. Its log is daemon.log in that \
folder. A stop holds: after `toolctl stop`, Ctrl-C or SIGTERM the daemon stays stopped until a person runs `toolctl \
serve`. Nor is it started when it had API_KEY, ALLOWED_TOOLS or RATE_LIMIT_PER_MIN in its environment and this \
command has not: put them into a file and name it with `toolctl serve --env-file`.";

/// `mcp`.
#[derive(Debug, Clone, Default, Args)]
pub struct McpArgs {
    /// Start the daemon when there is none, as the last one was started; one stopped on purpose stays stopped
    #[arg(long)]
    pub autostart: bool,
}

/// `demo`.
#[derive(Debug, Clone, Default, Args)]
pub struct DemoArgs {
    /// Do not pause between the steps
    #[arg(long)]
    pub fast: bool,
    /// Leave the folder behind
    #[arg(long)]
    pub keep: bool,
}

/// `wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// The calls
    #[arg(value_name = "CALL", required = true, add = ArgValueCandidates::new(complete::call_ids))]
    pub calls: Vec<String>,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Shells that can ask toolctl for completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
    /// Elvish
    Elvish,
    /// PowerShell
    Powershell,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write every page into this folder instead of printing the first
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_after_the_tool_is_left_to_the_second_stage() {
        let cli = Cli::try_parse_from(["toolctl", "call", "--wait", "5s", "t", "--x", "1", "--no-wait", "--", "-y"]);
        let Command::Call(call) = cli.expect("parsed").command else { panic!("another command") };
        assert_eq!(call.flags.wait, Some(Duration::from_secs(5)));
        assert_eq!(call.rest, ["t", "--x", "1", "--no-wait", "--", "-y"]);
    }

    #[test]
    fn the_flag_that_answers_confirmations_does_not_approve() {
        let cli = Cli::try_parse_from(["toolctl", "-y", "approve", "17"]).expect("parsed");
        let Command::Approve(approve) = cli.command else { panic!("another command") };
        assert!(cli.globals.assume_yes && !approve.decide);
        let cli = Cli::try_parse_from(["toolctl", "approve", "17", "--yes"]).expect("parsed");
        let Command::Approve(approve) = cli.command else { panic!("another command") };
        assert!(!cli.globals.assume_yes && approve.decide);
    }
}

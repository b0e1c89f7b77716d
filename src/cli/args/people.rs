//! What may be typed to look at calls, approvals and tools, and to decide.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use super::add::ToolsAddArgs;
use super::words::resolution;
use crate::cli::dynamic::complete;
use crate::domain::call::Resolution;

/// `approve`.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// #17, 17, apr_… or call_…
    #[arg(value_name = "ID", add = ArgValueCandidates::new(complete::approval_numbers))]
    pub ids: Vec<String>,
    /// Decide without asking
    // Not the global `-y`: that one answers confirmations, never approvals.
    #[arg(long = "yes")]
    pub decide: bool,
    /// Your words for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Decide only about these contents
    #[arg(long, value_name = "DIGEST")]
    pub expect_digest: Option<String>,
}

/// `deny`.
#[derive(Debug, Args)]
pub struct DenyArgs {
    /// #17, 17, apr_… or call_…
    #[arg(value_name = "ID", required = true, add = ArgValueCandidates::new(complete::approval_numbers))]
    pub ids: Vec<String>,
    /// Why; asked for on a terminal
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `approvals`.
#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// List what waits, oldest first
    List(PageArgs),
    /// Show all that an approver needs to see
    Show {
        /// #17, 17, apr_… or call_…
        #[arg(value_name = "ID", add = ArgValueCandidates::new(complete::approval_numbers))]
        id: String,
    },
    /// Follow approvals as they are asked for and decided
    Watch,
}

/// A page of a list.
#[derive(Debug, Clone, Default, Args)]
pub struct PageArgs {
    /// How many at most
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Where the page before ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

/// `calls`.
#[derive(Debug, Subcommand)]
pub enum CallsCommand {
    /// List calls, newest first
    List {
        /// Only of this requester
        #[arg(long, value_name = "NAME")]
        principal: Option<String>,
        /// Only of this tool
        #[arg(long, value_name = "TOOL", add = ArgValueCandidates::new(complete::tool_names))]
        tool: Option<String>,
        /// Only in this state, for example awaiting_approval
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Only of this run of a workflow
        #[arg(long, value_name = "RUN", add = ArgValueCandidates::new(complete::run_ids))]
        run: Option<String>,
        /// Only since then: a time, or a span such as 2h
        #[arg(long, value_name = "WHEN")]
        since: Option<String>,
        /// Which page.
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show one call
    Show {
        /// The call
        #[arg(value_name = "CALL", add = ArgValueCandidates::new(complete::call_ids))]
        id: String,
    },
    /// Take a call back before it starts
    Cancel {
        /// The call
        #[arg(value_name = "CALL", add = ArgValueCandidates::new(complete::call_ids))]
        id: String,
    },
    /// Say how a call in doubt ended
    #[command(
        override_usage = "toolctl calls resolve [OPTIONS] <CALL> --as <succeeded|failed|rerun>",
        after_help = "Here --as says how it ended: `succeeded`, it happened; `failed`, it did not; `rerun`, it did not, and shall run \
            after the same approvals.\nWith the key of another name the word stands alone: toolctl calls resolve CALL failed --as NAME"
    )]
    Resolve {
        /// The call
        #[arg(value_name = "CALL", add = ArgValueCandidates::new(complete::call_ids))]
        id: String,
        /// How it ended, where `--as` names a key
        // What is told everywhere is `--as`: see `Globals::take_resolution`.
        #[arg(value_name = "succeeded|failed|rerun", value_parser = resolution, hide = true)]
        resolution: Option<Resolution>,
        /// In your words
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

/// `tools`.
#[derive(Debug, Subcommand)]
pub enum ToolsCommand {
    /// List the tools you may see
    List,
    /// Find tools by their words
    Search {
        /// The words
        #[arg(value_name = "WORD", required = true)]
        words: Vec<String>,
    },
    /// Show one tool
    Show {
        /// Its name
        #[arg(value_name = "TOOL", add = ArgValueCandidates::new(complete::tool_names))]
        name: String,
    },
    /// Print a file to begin a tool of your own with
    New {
        /// What runs it
        kind: NewTool,
    },
    /// Say what is wrong with files of tools
    Lint {
        /// The files; without any, those of the config folder
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
    /// Add tools of your own: a file of them, or one for each operation of an OpenAPI document
    Add(Box<ToolsAddArgs>),
    /// Run the examples of a tool of your own on a throw-away daemon
    Test {
        /// Its name
        #[arg(value_name = "TOOL", add = ArgValueCandidates::new(complete::tool_names))]
        name: String,
        /// Run it even if it has an effect
        #[arg(long)]
        run: bool,
    },
    /// Load a tool of your own again after `disable`
    Enable {
        /// Its name
        #[arg(value_name = "TOOL")]
        name: String,
    },
    /// Keep a tool of your own, but do not load it
    Disable {
        /// Its name
        #[arg(value_name = "TOOL", add = ArgValueCandidates::new(complete::tool_names))]
        name: String,
    },
    /// Remove the file of a tool of your own
    Remove {
        /// Its name
        #[arg(value_name = "TOOL", add = ArgValueCandidates::new(complete::tool_names))]
        name: String,
    },
    /// Look at what an MCP server lists, and agree to it
    Trust {
        /// A server, or one of its tools (server.tool)
        #[arg(value_name = "SERVER[.TOOL]")]
        name: String,
        /// Agree without asking
        // Not the global `-y`: that one answers confirmations, never agreements.
        #[arg(long = "yes")]
        decide: bool,
    },
    /// Print the JSON Schema of files of tools, for editors
    Schema,
}

/// What runs a tool of your own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum NewTool {
    /// A program of this machine
    Command,
    /// A request to a server
    Http,
    /// An MCP server of others
    Mcp,
}

//! What may be typed to run a workflow, or to look at one.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use super::words::span;
use crate::cli::dynamic::complete;

/// `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Inputs are pairs: NAME=TEXT, NAME:=JSON, NAME=@FILE. Types follow the file, never the look of a value.\n\
    A run that was stopped, in whatever way, goes on with --run: what was done is not done again.\n\
    With --detach the daemon drives the run, as you: it goes on when this terminal is closed, after a crash and after\n\
    a reboot, once the daemon runs again. `toolctl runs show RUN` says how it stands."
)]
pub struct RunArgs {
    /// The file, TOML or YAML; not needed to go on with a run
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// What the workflow is given
    #[arg(long = "input", short = 'i', value_name = "NAME=VALUE", action = ArgAction::Append)]
    pub inputs: Vec<String>,
    /// The run to go on with; or a name for a new one, made up when not given
    #[arg(long, value_name = "RUN", add = ArgValueCandidates::new(complete::run_ids))]
    pub run: Option<String>,
    /// Do this step, and all that need it, again: a new run that takes the rest of the old one for done
    #[arg(long, value_name = "STEP", requires = "run")]
    pub from: Option<String>,
    /// Print every call with the answer of policy and who would have to agree, and run nothing
    #[arg(long, conflicts_with_all = ["run", "from", "dry_run"])]
    pub plan: bool,
    /// The same as a gate: exits 5 when a call would be denied, 8 when people would have to agree
    #[arg(long, conflicts_with_all = ["run", "from"])]
    pub dry_run: bool,
    /// Leave the run to the daemon, print its id, and do not wait, whatever else is said
    #[arg(long, conflicts_with_all = ["plan", "dry_run"])]
    pub detach: bool,
    /// Drive a run for the daemon: as the token in the first line of stdin, patiently, while stdin is open
    #[arg(long, hide = true, requires = "run", conflicts_with_all = ["file", "inputs", "from", "plan", "dry_run", "detach"])]
    pub owned: bool,
    /// How long to wait for people; default 2m on a terminal, not at all elsewhere
    #[arg(long, value_name = "SPAN", value_parser = span, env = "TOOLCTL_WAIT", hide_env = true)]
    pub wait: Option<Duration>,
    /// Do not wait for people, whatever else is said
    #[arg(long)]
    pub no_wait: bool,
}

/// `workflow`.
#[derive(Debug, Subcommand)]
pub enum WorkflowCommand {
    /// Find everything that is wrong with a file
    Validate {
        /// The file, TOML or YAML
        #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// Do not ask the daemon for its tools
        #[arg(long)]
        offline: bool,
    },
    /// Print every call with the answer of policy and who would have to agree
    Plan {
        /// The file, TOML or YAML
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// What the workflow is given
        #[arg(long = "input", short = 'i', value_name = "NAME=VALUE", action = ArgAction::Append)]
        inputs: Vec<String>,
    },
    /// Draw the steps and what they need
    Graph {
        /// The file, TOML or YAML
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// As what
        #[arg(long, value_name = "FORM", default_value = "mermaid")]
        format: Picture,
        /// Ask the daemon, and draw each step with the answer of policy and who would have to agree
        #[arg(long)]
        plan: bool,
        /// What the workflow is given
        #[arg(long = "input", short = 'i', value_name = "NAME=VALUE", action = ArgAction::Append, requires = "plan")]
        inputs: Vec<String>,
    },
    /// Print the JSON Schema of workflow files
    Schema,
}

/// The form of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Picture {
    /// A text that many pages draw
    Mermaid,
    /// A picture
    Svg,
}

/// `runs`.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List runs, newest first
    List {
        /// Of this principal instead of your own
        #[arg(long, value_name = "NAME")]
        principal: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Show one run and its calls
    Show {
        /// The run
        #[arg(value_name = "RUN", add = ArgValueCandidates::new(complete::run_ids))]
        run: String,
    },
    /// Take a run back: what has not started never will
    Cancel {
        /// The run
        #[arg(value_name = "RUN", add = ArgValueCandidates::new(complete::run_ids))]
        run: String,
    },
}

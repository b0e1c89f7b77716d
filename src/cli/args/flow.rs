//! What may be typed to run a workflow, or to look at one.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Subcommand, ValueHint};

use super::words::span;

/// `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Inputs are pairs: NAME=TEXT, NAME:=JSON, NAME=@FILE. Types follow the file, never the look of a value.\n\
    A run that was stopped, in whatever way, goes on with --run: what was done is not done again."
)]
pub struct RunArgs {
    /// The file, TOML or YAML
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// What the workflow is given
    #[arg(long = "input", short = 'i', value_name = "NAME=VALUE", action = ArgAction::Append)]
    pub inputs: Vec<String>,
    /// The run to go on with; or a name for a new one, made up when not given
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
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
    /// Print the JSON Schema of workflow files
    Schema,
}

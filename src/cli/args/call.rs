//! What may be typed around a tool: `call` and `policy check`.

use std::time::Duration;

use clap::{ArgAction, Args, ValueHint};

use super::words::span;

/// `call`: its own flags, and everything from the name of the tool on.
#[derive(Debug, Args)]
#[command(override_usage = "toolctl call [OPTIONS] TOOL [ARGUMENTS]\n       toolctl call TOOL --help")]
#[command(
    after_help = "Arguments of a tool are flags made from its schema (--customer-id 42), or pairs: key=TEXT, key:=JSON,\n\
    key=@FILE, key:=@FILE, @- for stdin, @@ for a literal @. See them with `toolctl call TOOL --help`."
)]
pub struct CallArgs {
    /// Flags of `call` itself.
    #[command(flatten)]
    pub flags: CallFlags,
    /// The tool and its arguments
    #[arg(value_name = "TOOL [ARGUMENTS]", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<String>,
}

/// Flags of `call`, which may stand before or after the tool.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Call options")]
pub struct CallFlags {
    /// How long to wait for people; default 2m on a terminal, not at all elsewhere
    #[arg(long, value_name = "SPAN", value_parser = span, env = "TOOLCTL_WAIT", hide_env = true)]
    pub wait: Option<Duration>,
    /// Do not wait for people, whatever else is said
    // No `overrides_with`: clap takes it for a conflict when `wait` comes from the environment.
    #[arg(long)]
    pub no_wait: bool,
    /// Makes a repeat harmless; made up when not given
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Why, for the people who decide
    #[arg(long, value_name = "TEXT", env = "TOOLCTL_REASON", hide_env = true)]
    pub reason: Option<String>,
    /// Print the whole call instead of the tool's output
    #[arg(long)]
    pub receipt: bool,
    /// Pass every guard and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Arguments as one JSON object; flags override its members
    #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath)]
    pub input: Option<String>,
    /// An argument whose flag is one of ours
    #[arg(long = "arg", num_args = 2, value_names = ["NAME", "VALUE"], action = ArgAction::Append, allow_hyphen_values = true)]
    pub arg: Vec<String>,
}

/// `policy check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Flags of `policy check` itself.
    #[command(flatten)]
    pub flags: CheckFlags,
    /// The tool and its arguments
    #[arg(value_name = "TOOL [ARGUMENTS]", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<String>,
}

/// Flags of `policy check`, which may stand before or after the tool.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckFlags {
    /// Ask for somebody else; administrators may
    #[arg(long = "for", value_name = "PRINCIPAL")]
    pub principal: Option<String>,
    /// Arguments as one JSON object; flags override its members
    #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath)]
    pub input: Option<String>,
    /// An argument whose flag is one of ours
    #[arg(long = "arg", num_args = 2, value_names = ["NAME", "VALUE"], action = ArgAction::Append, allow_hyphen_values = true)]
    pub arg: Vec<String>,
}

//! What may be typed about the log, keys and policy.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use super::call::CheckArgs;
use super::words::{effect, kind};
use crate::cli::dynamic::complete;
use crate::domain::principal::PrincipalKind;
use crate::domain::tool::EffectClass;

/// `audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show the last records
    Tail {
        /// Go on as records are written
        #[arg(short, long)]
        follow: bool,
        /// How many
        #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 20)]
        lines: u64,
        /// Which records.
        #[command(flatten)]
        filter: AuditFilter,
    },
    /// Find records
    Query {
        /// Only before then: a time, or a span such as 2h
        #[arg(long, value_name = "WHEN")]
        until: Option<String>,
        /// Only about this call
        #[arg(long, value_name = "CALL", add = ArgValueCandidates::new(complete::call_ids))]
        call: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u64,
        /// Which records.
        #[command(flatten)]
        filter: AuditFilter,
    },
    /// Show one record
    Show {
        /// Its index, counted from 0
        index: u64,
    },
    /// Re-derive everything from the records and report what cannot be
    Verify {
        /// An export instead of the daemon; `-` for stdin
        #[arg(long, value_name = "EXPORT", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// The store of a daemon that is not running
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "file")]
        data_dir: Option<PathBuf>,
    },
    /// Write the whole log, byte for byte
    Export {
        /// Where to; default stdout
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
    },
}

/// `desk`.
#[derive(Debug, Subcommand)]
pub enum DeskCommand {
    /// Add or replace customers from CSV (columns id, name, status), or the incident graph from JSON
    Import {
        /// A file that ends in .csv or .json
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

/// Which records.
#[derive(Debug, Clone, Default, Args)]
pub struct AuditFilter {
    /// Only since then: a time, or a span such as 2h
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Only about this tool
    #[arg(long, value_name = "TOOL", add = ArgValueCandidates::new(complete::tool_names))]
    pub tool: Option<String>,
    /// Only by this actor
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Only of this type (call.completed) or class (call.*)
    #[arg(long, value_name = "TYPE")]
    pub kind: Option<String>,
}

/// `keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key; its secret is printed once
    Create(KeysCreateArgs),
    /// List keys
    List,
    /// Make a new key like an old one, which stays good for a while
    Rotate {
        /// The key
        #[arg(value_name = "KEY", add = ArgValueCandidates::new(complete::key_ids))]
        id: String,
        /// How long the old one stays good; default 24h
        #[arg(long, value_name = "SPAN")]
        overlap: Option<String>,
    },
    /// Revoke a key and all keys made from it
    Revoke {
        /// The key
        #[arg(value_name = "KEY", add = ArgValueCandidates::new(complete::key_ids))]
        id: String,
    },
}

/// `keys create`.
#[derive(Debug, Args)]
pub struct KeysCreateArgs {
    /// Whose it is, for example anna
    pub name: String,
    /// user, agent or service; default agent
    #[arg(long, value_parser = kind)]
    pub kind: Option<PrincipalKind>,
    /// A group; repeat for more
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// Only these tools, `*` standing for any characters; repeat for more
    #[arg(long, value_name = "GLOB")]
    pub tools: Vec<String>,
    /// Only tools with at most this effect: readonly, idempotent, keyed or once
    #[arg(long, value_name = "CLASS", value_parser = effect)]
    pub greatest_effect: Option<EffectClass>,
    /// For how long it is good, for example 90d; 0s for ever
    #[arg(long, value_name = "SPAN")]
    pub expires: Option<String>,
    /// It may approve its own calls
    #[arg(long)]
    pub allow_self_approval: bool,
    /// Make it from the key in use: never more than that one, and gone with it
    #[arg(long)]
    pub from_current: bool,
    /// Store it under this name instead of printing it, for `--as`
    #[arg(long)]
    pub save: bool,
}

/// `policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Say what policy would decide about a call: exit 0 allow, 5 deny, 8 needs approval
    #[command(override_usage = "toolctl policy check [OPTIONS] TOOL [ARGUMENTS]")]
    Check(CheckArgs),
    /// Show the policies in force
    Show,
}

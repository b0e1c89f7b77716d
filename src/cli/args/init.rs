//! What may be typed about MCP clients.

use clap::Args;

use crate::cli::init::client::McpClient;
use crate::cli::init::entry::USUAL_NAME;

/// `init`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "The entry starts `toolctl mcp` under a key of the client's own, so that the log names the\n\
    client. The key itself is never written into the client's file. The old file is kept beside it.")]
pub struct InitArgs {
    /// The client; without one, they are listed
    #[arg(value_name = "CLIENT")]
    pub client: Option<McpClient>,
    /// Set up the project in this folder instead of yourself: claude-code, cursor, vscode
    #[arg(long, requires = "client")]
    pub project: bool,
    /// Name of the entry
    #[arg(long, value_name = "NAME", default_value = USUAL_NAME, value_parser = name)]
    pub name: String,
    /// Leave the daemon to you: the entry never starts one
    #[arg(long, requires = "client", conflicts_with = "undo")]
    pub no_autostart: bool,
    /// Write without asking
    #[arg(long)]
    pub yes: bool,
    /// Print the entry and write nothing; needs no daemon
    #[arg(long, requires = "client", conflicts_with_all = ["undo", "yes"])]
    pub print: bool,
    /// Replace an entry of this name that is not toolctl's; revoke a key that other entries use
    #[arg(long)]
    pub force: bool,
    /// Take the entry out again
    #[arg(long, requires = "client")]
    pub undo: bool,
    /// Revoke the client's key too, and remove it from this machine
    #[arg(long, requires = "undo")]
    pub revoke_key: bool,
}

/// A name that every client takes and no config has to quote.
fn name(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if plain && text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.len() <= 64 {
        Ok(text.to_owned())
    } else {
        Err("expected at most 64 letters, digits, `-` and `_`, the first a letter".to_owned())
    }
}

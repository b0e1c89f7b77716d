//! `mcp`: speaks MCP on stdin and stdout, for clients that start their servers.

use crate::cli::args::McpArgs;
use crate::cli::bridge::{self, Settings};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::client::Target;

/// Connects the client with the daemon until one of them, or a signal, says that it is over.
///
/// # Errors
/// When the target or the name of the key cannot be used, or the system lets us neither connect nor listen.
pub fn run(cx: &Context, args: &McpArgs) -> Result<Exit, CliError> {
    let target = cx.target()?;
    // A daemon of another machine is not ours to start.
    let is_local = matches!(target, Target::Socket(_));
    let autostart = (args.autostart && is_local).then(|| cx.paths().map(|paths| paths.state.clone())).transpose()?;
    let settings = Settings { target, sources: cx.key_sources()?, autostart };
    let cannot = |error| CliError::io("cannot start", &error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let ended = runtime.block_on(bridge::run(settings, |line| cx.ui.note(line)));
    runtime.shutdown_background();
    ended.map_err(cannot)?;
    Ok(Exit::Done)
}

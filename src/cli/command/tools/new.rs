//! `tools new`: a file to begin with, in which every choice is explained where it is made.

use crate::cli::args::NewTool;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};

/// Prints the file.
///
/// # Errors
/// When stdout is gone.
pub fn run(cx: &Context, kind: NewTool) -> Result<Exit, CliError> {
    let text = match kind {
        NewTool::Command => include_str!("command.toml"),
        NewTool::Http => include_str!("http.toml"),
        NewTool::Mcp => include_str!("mcp.toml"),
    };
    cx.ui.out(text)?;
    Ok(Exit::Done)
}

//! From a file to a workflow that has been read whole and makes sense by itself.

use std::path::Path;

use super::check;
use super::decode;
use super::definition::Workflow;
use super::fault::Faults;
use super::tree;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};

/// Reads a file, and checks what can be checked without a daemon; there is no workflow when it is not even TOML or
/// YAML.
///
/// # Errors
/// Exit 2 when there is no such file, or it is not UTF-8.
pub fn file(path: &Path) -> Result<(Option<Workflow>, Faults), CliError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| CliError {
        exit: Exit::Usage,
        ..CliError::io(format_args!("cannot read `{name}`"), &error)
    })?;
    Ok(check(&name, &text))
}

/// Reads a file that must make sense by itself.
///
/// # Errors
/// Exit 2 with every fault.
pub fn sound(cx: &Context, path: &Path) -> Result<Workflow, CliError> {
    let (workflow, faults) = file(path)?;
    workflow.filter(|_| faults.found.is_empty()).ok_or_else(|| faults.error(&cx.ui))
}

/// Reads a text and checks what can be checked without a daemon.
pub fn check(name: &str, text: &str) -> (Option<Workflow>, Faults) {
    let mut faults = Faults::of(name, text);
    let node = match tree::read(name, text) {
        Ok(node) => node,
        Err(fault) => {
            faults.add(fault);
            return (None, faults);
        }
    };
    let mut workflow = decode::workflow(&node, &mut faults);
    check::workflow(&mut workflow, &mut faults);
    (Some(workflow), faults)
}

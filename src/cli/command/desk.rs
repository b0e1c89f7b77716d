//! `desk import`: loads customers from CSV or the incident graph from JSON into a running daemon. The file is
//! checked whole before anything is sent.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Serialize;

use crate::api::desk::{Import, Load};
use crate::cli::args::DeskCommand;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::import::{ImportProblem, customers_csv, incidents_json};

/// Rows of one request: a mebibyte holds them even when every name is as long as it may be.
const PART: usize = 1_000;

/// What was loaded.
#[derive(Debug, Default, Serialize)]
struct Total {
    customers: usize,
    edges: usize,
}

/// Loads a file.
///
/// # Errors
/// Exit 2 when the file will not do, with the place; the daemon's own.
pub fn run(cx: &Context, command: DeskCommand) -> Result<Exit, CliError> {
    let DeskCommand::Import { file } = command;
    let unreadable = |error: std::io::Error| CliError::io(format!("cannot read `{}`", file.display()), &error);
    let refused = |problem: ImportProblem| refused(&file, &problem);
    let load = match file.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => {
            let reader = BufReader::new(File::open(&file).map_err(unreadable)?);
            Load { customers: customers_csv(reader).map_err(refused)?, edges: Vec::new() }
        }
        Some("json") => {
            let bytes = std::fs::read(&file).map_err(unreadable)?;
            Load { customers: Vec::new(), edges: incidents_json(&bytes).map_err(refused)? }
        }
        _ => {
            return Err(CliError::usage(format!("`{}` is neither .csv nor .json", file.display()))
                .hint("customers come as CSV with the columns id, name and status; the incident graph as JSON"));
        }
    };
    let mut total = Total::default();
    for part in load.customers.chunks(PART) {
        let loaded = cx.send::<Import>(&Load { customers: part.to_vec(), edges: Vec::new() })?;
        total.customers += loaded.customers;
    }
    for part in load.edges.chunks(PART) {
        let loaded = cx.send::<Import>(&Load { customers: Vec::new(), edges: part.to_vec() })?;
        total.edges += loaded.edges;
    }
    cx.ui.show(&total, || format!("{} customers, {} edges", total.customers, total.edges))?;
    Ok(Exit::Done)
}

fn refused(file: &Path, problem: &ImportProblem) -> CliError {
    let error = CliError::usage(format!("{}: {problem}", file.display()));
    match problem.hint() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

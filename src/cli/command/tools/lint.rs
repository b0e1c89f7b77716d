//! `tools lint`: everything that is wrong with files of tools, each with the line it is in.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::files;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::text::escape_lines;
use crate::config::manifest::{self, Problem};

/// Checks the files given, or all of the folder.
///
/// # Errors
/// When something is wrong with them, or one cannot be read.
pub fn run(cx: &Context, given: &[PathBuf]) -> Result<Exit, CliError> {
    let sources = if given.is_empty() {
        files::sources(cx)?
    } else {
        given.iter().map(|path| files::source(path)).collect::<Result<_, _>>()?
    };
    let (tools, servers, warnings, problems) = match manifest::load(&sources) {
        Ok(all) => (all.tools.len(), all.upstreams.len(), all.warnings, Vec::new()),
        Err(problems) => (0, 0, Vec::new(), problems.0),
    };
    let document = json!({
        "files": sources.len(),
        "tools": tools,
        "servers": servers,
        "problems": problems.iter().map(told).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(told).collect::<Vec<_>>(),
    });
    let clean = problems.is_empty();
    cx.ui.show(&document, || {
        let shown = problems.iter().map(|problem| picture("wrong", problem));
        let shown = shown.chain(warnings.iter().map(|problem| picture("care", problem)));
        let mut text: String = shown.collect();
        let (mut tools, files) = (count(tools, "tool"), count(sources.len(), "file"));
        if servers > 0 {
            tools.push_str(&format!(" and {}", count(servers, "server")));
        }
        text.push_str(&match (clean, warnings.len()) {
            (true, 0) => format!("{tools} in {files}, nothing wrong"),
            (true, some) => format!("{tools} in {files}, nothing wrong, {some} to look at"),
            (false, _) => format!("{} in {files}", count(problems.len(), "problem")),
        });
        text
    })?;
    Ok(if clean { Exit::Done } else { Exit::Usage })
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn told(problem: &Problem) -> Value {
    let (line, column) = problem.position().unzip();
    json!({
        "file": problem.file, "line": line, "column": column,
        "message": problem.message, "hint": problem.hint,
    })
}

/// A problem with the lines it is in, drawn plainly: the same on a terminal and in a file.
fn picture(kind: &str, problem: &Problem) -> String {
    let theme = miette::GraphicalTheme::unicode_nocolor();
    let handler = miette::GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false);
    let mut drawn = String::new();
    // What cannot be drawn is told by its place alone.
    let _drawn = handler.render_report(&mut drawn, problem);
    format!("{kind}: {}\n{}\n", problem.place(), escape_lines(drawn.trim_end()))
}

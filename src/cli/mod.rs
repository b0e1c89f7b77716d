//! L6, the command line. It reads what was typed, asks the daemon, prints the answer and chooses the exit
//! status; it decides nothing about calls.

pub mod args;
mod bridge;
mod command;
mod context;
mod deciding;
mod doctor;
mod dossier;
mod dynamic;
mod error;
mod fault;
mod flow;
mod import;
pub mod init;
mod outcome;
mod prompt;
mod spinner;
mod table;
mod text;
mod ui;
mod upstreams;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

pub use error::{CliError, Exit};
pub use flow::decode::schema as workflow_schema;

use args::{Cli, Command, Format, Globals};
use context::Context;
use ui::Ui;

/// Runs the command line in `args`, the program's own name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if dynamic::complete::answered(&args) {
        return ExitCode::SUCCESS;
    }
    let exit = match Cli::try_parse_from(&args) {
        Ok(mut cli) => {
            if let Command::Calls(args::CallsCommand::Resolve { resolution: resolution @ None, .. }) = &mut cli.command
            {
                *resolution = cli.globals.take_resolution();
            }
            let cx = Context::new(cli.globals);
            match command::run(cx, cli.command, &args) {
                Ok(exit) => exit,
                Err((cx, error)) => {
                    cx.ui.error(&error);
                    error.exit
                }
            }
        }
        Err(error) => not_parsed(&error, &args),
    };
    ExitCode::from(exit.status())
}

/// Help and versions are results; everything else is a wrong command line.
fn not_parsed(error: &clap::Error, args: &[OsString]) -> Exit {
    // Nothing was parsed, so what is needed to answer is looked for by hand.
    let asked = |format: &str| {
        args.windows(2)
            .any(|pair| matches!(pair, [flag, value] if (flag == "-o" || flag == "--output") && value == format))
            || args.iter().any(|word| {
                word.to_str() == Some(&format!("--output={format}")) || word.to_str() == Some(&format!("-o{format}"))
            })
    };
    let output = if asked("json") { Some(Format::Json) } else { asked("jsonl").then_some(Format::Jsonl) };
    let ui = Ui::new(&Globals { output, ..Globals::default() });
    let result = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = error.render();
            ui.out(&if ui.seen.colour_out { text.ansi().to_string() } else { text.to_string() })
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ui.say(error.render().to_string().trim_end());
            return Exit::Usage;
        }
        _ => Err(usage(error)),
    };
    match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            ui.error(&error);
            error.exit
        }
    }
}

/// A wrong command line in our own words, with the parser's advice.
fn usage(error: &clap::Error) -> CliError {
    let rendered = error.render().to_string();
    let mut paragraphs = rendered.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first).replace('\'', "`");
    let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let mut usage = CliError::usage(message);
    let tips: Vec<String> = rendered
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("tip: "))
        .map(|tip| tip.replace('\'', "`"))
        .collect();
    if !tips.is_empty() {
        usage = usage.hint(tips.join("\n"));
    }
    if let Some(ContextValue::StyledStr(synopsis)) = error.get(ContextKind::Usage) {
        let synopsis = synopsis.to_string();
        if let Some(line) = synopsis.lines().next().and_then(|line| line.strip_prefix("Usage: ")) {
            usage = usage.attempt(line.trim());
        }
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_names_what_was_meant() {
        let error = Cli::try_parse_from(["toolctl", "aprove"]).expect_err("no such command");
        let text = usage(&error).for_people(str::to_owned);
        assert!(text.starts_with("error[usage]: unrecognized subcommand `aprove`\n  help: "), "{text}");
        assert!(text.contains("`approve`"), "{text}");
    }
}

//! What `call` and `policy check` share: flags of ours behind the tool's name, the tool's schema from the
//! daemon, and the arguments typed for it.

use std::ffi::OsString;
use std::io::{self, Read as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args as _, Parser as _};
use serde_json::{Map, Value};

use crate::api::endpoint::Nothing;
use crate::api::tools::{self, Tool};
use crate::cli::args::{CallFlags, CheckFlags, Cli, Command, Globals};
use crate::cli::context::Context;
use crate::cli::dynamic::collect::{Given, Outside, collect, missing};
use crate::cli::dynamic::schema::Arguments;
use crate::cli::dynamic::split::Ours;
use crate::cli::dynamic::{build, complete, help};
use crate::cli::error::{CliError, Exit};
use crate::cli::text::nearest;
use crate::cli::{prompt, usage};
use crate::client::ClientError;
use crate::domain::denial::Code;

/// A command line after its second look.
pub struct Settled {
    /// The context with all flags.
    pub cx: Context,
    /// The command with all of its own flags; none when nothing was looked at twice.
    pub command: Option<Command>,
    /// What is the tool's.
    pub theirs: Vec<String>,
}

/// Finds our flags among `rest`, which starts with the tool's name, and parses the line again with them in
/// front.
///
/// # Errors
/// Exit 2 for a flag that is neither ours nor can be the tool's.
pub fn settle(cx: Context, args: &[OsString], rest: &[String]) -> Result<Settled, (Box<Context>, CliError)> {
    let Some((tool, behind)) = rest.split_first() else {
        return Ok(Settled { cx, command: None, theirs: Vec::new() });
    };
    let ours = ours();
    if tool.starts_with('-') {
        return Err((Box::new(cx), unknown_option(tool, &ours)));
    }
    let (mine, theirs) = ours.split(behind);
    if mine.is_empty() {
        return Ok(Settled { cx, command: None, theirs });
    }
    let front = args.get(..args.len().saturating_sub(rest.len())).unwrap_or_default().iter().cloned();
    let again = front.chain(mine.into_iter().map(OsString::from)).chain([OsString::from(tool)]);
    match Cli::try_parse_from(again) {
        Ok(cli) => Ok(Settled { cx: Context::new(cli.globals), command: Some(cli.command), theirs }),
        Err(error) => Err((Box::new(cx), usage(&error))),
    }
}

/// The flags that no property of a tool may take.
pub fn ours() -> Ours {
    let globals = Globals::augment_args(clap::Command::new("toolctl"));
    let call = CallFlags::augment_args(clap::Command::new("call"));
    let check = CheckFlags::augment_args(clap::Command::new("check"));
    Ours::of(&[&globals, &call, &check])
}

/// A tool's definition.
///
/// # Errors
/// Exit 2 with the nearest name when there is none of this name.
pub fn tool(cx: &Context, name: &str) -> Result<Tool, CliError> {
    match cx.try_send::<tools::Show>(&tools::ToolRef { name: name.to_owned() }, cx.deadline())? {
        Ok(tool) => Ok(tool),
        Err(ClientError::Problem(problem)) if problem.known_code() == Some(Code::ToolNotFound) => {
            let mut error = CliError::of_problem(*problem);
            // Of a tool that waits to be looked at the daemon says so: another one is not what was meant.
            if error.hint.as_deref().is_some_and(|hint| !hint.contains("`toolctl tools list`")) {
                return Err(error);
            }
            if let Ok(tools) = cx.send::<tools::List>(&Nothing {}) {
                complete::remember(cx, &tools);
                if let Some(near) = nearest(name, tools.tools.iter().map(|tool| tool.name.as_str())) {
                    error = error.hint(format!("did you mean `{near}`?"));
                }
            }
            Err(error.attempt("toolctl tools list"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The arguments typed for a tool; none when its help was asked for and printed instead.
///
/// # Errors
/// Exit 2 with everything that is wrong or missing.
pub fn arguments(
    cx: &Context,
    tool: &Tool,
    theirs: &[String],
    given: Given<'_>,
) -> Result<Option<Map<String, Value>>, CliError> {
    let arguments = Arguments::of(&tool.input_schema, &ours().reserved());
    let matches = match build::command(&tool.name, &arguments).try_get_matches_from(theirs) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            cx.ui.out(&help::text(tool, &arguments))?;
            return Ok(None);
        }
        Err(error) => return Err(not_parsed(&error, tool, &arguments)),
    };
    let mut object = collect(&tool.name, &arguments, &matches, given, &mut Machine::default())?;
    let lacking = arguments.missing(&object);
    if lacking.is_empty() {
        return Ok(Some(object));
    }
    if !cx.ui.seen.ask {
        return Err(missing(&tool.name, &help::equivalent(&tool.name, &arguments, &object), &lacking));
    }
    prompt::missing(cx, &arguments, &mut object)?;
    cx.ui.note(&format!("the same without questions:\n  {}", help::equivalent(&tool.name, &arguments, &object)));
    Ok(Some(object))
}

fn unknown_option(option: &str, ours: &Ours) -> CliError {
    let name = option.trim_start_matches('-');
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    let error = CliError::usage(format!("there is no option `{option}`"));
    match nearest(name, ours.reserved().iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `--{near}`? Arguments of a tool come after its name")),
        None => error.hint("arguments of a tool come after its name"),
    }
}

/// The parser's complaint in our words, with the nearest flag.
fn not_parsed(error: &clap::Error, tool: &Tool, arguments: &Arguments) -> CliError {
    let help = format!("toolctl call {} --help", tool.name);
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    {
        let name = flag.trim_start_matches('-');
        let unknown = CliError::usage(format!("`{}` has no argument `{flag}`", tool.name));
        let flags = || arguments.properties.iter().filter_map(|property| property.flag.as_deref());
        let near = nearest(name, flags()).and_then(|near| arguments.find(near));
        return match near {
            Some(near) => unknown.hint(format!("did you mean `{}`?", near.usage())).attempt(help),
            None => unknown.attempt(help),
        };
    }
    let mut error = usage(error);
    error.tries = vec![help];
    error
}

/// The machine we run on.
#[derive(Default)]
struct Machine {
    stdin_read: bool,
}

impl Outside for Machine {
    fn file(&mut self, path: &str) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn stdin(&mut self) -> io::Result<Vec<u8>> {
        if std::mem::replace(&mut self.stdin_read, true) {
            return Err(io::Error::other("stdin was read before"));
        }
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Maps a printed help to success.
pub const HELPED: Exit = Exit::Done;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::dynamic::sample;

    fn complaint(words: &[&str]) -> String {
        let tool = sample::tool();
        let arguments = Arguments::of(&tool.input_schema, &BTreeSet::new());
        let error = build::command(&tool.name, &arguments).try_get_matches_from(words).expect_err("refused");
        not_parsed(&error, &tool, &arguments).for_people(str::to_owned)
    }

    #[test]
    fn an_unknown_flag_names_the_nearest() {
        assert_eq!(
            complaint(&["--customer", "42"]),
            "error[usage]: `create_ticket` has no argument `--customer`\n  help: did you mean `--customer-id \
             <INTEGER>`?\n  try:  toolctl call create_ticket --help\n"
        );
        assert_eq!(
            complaint(&["--xyzzy"]),
            "error[usage]: `create_ticket` has no argument `--xyzzy`\n  try:  toolctl call create_ticket --help\n"
        );
    }

    #[test]
    fn a_value_outside_the_choices_names_them() {
        assert_eq!(
            complaint(&["--priority", "hihg"]),
            "error[usage]: invalid value `hihg` for `--priority <CHOICE>` [possible values: low, medium, \
             high]\n  help: a similar value exists: `high`\n  try:  toolctl call create_ticket --help\n"
        );
    }

    #[test]
    fn our_flags_may_stand_behind_the_tool() {
        let words = ["toolctl", "-q", "call", "--wait", "5s", "t", "--id", "7", "-o", "json", "--reason", "x"];
        let args: Vec<OsString> = words.iter().map(OsString::from).collect();
        let cli = Cli::try_parse_from(&args).expect("parsed");
        let Command::Call(call) = &cli.command else { panic!("another command") };
        let settled =
            settle(Context::new(cli.globals.clone()), &args, &call.rest).map_err(|(_, e)| e).expect("settled");
        let Some(Command::Call(call)) = settled.command else { panic!("another command") };
        assert_eq!(settled.theirs, ["--id", "7"]);
        assert_eq!((call.flags.reason.as_deref(), call.rest.as_slice()), (Some("x"), ["t".to_owned()].as_slice()));
        assert!(settled.cx.globals.quiet && settled.cx.ui.for_programs());
    }
}

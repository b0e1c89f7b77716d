//! One file per verb; this table is the only place that knows them all.

mod approvals;
mod approve;
mod audit;
mod call;
mod calls;
mod completions;
mod daemon;
mod demo;
mod desk;
mod doctor;
mod init;
mod keys;
mod man;
mod mcp;
mod policy;
mod record;
mod runs;
#[cfg(test)]
pub(super) mod script;
mod serve;
mod tools;
mod typed;
mod wait;
mod workflow;

use std::ffi::OsString;

pub use typed::ours;

use super::args::{Command, PolicyCommand};
use super::context::Context;
use super::error::{CliError, Exit};

/// Runs one command. The context comes back with an error, as flags behind a tool's name may have changed how
/// errors are to be shown.
///
/// # Errors
/// Whatever the command says.
pub fn run(cx: Context, command: Command, args: &[OsString]) -> Result<Exit, (Box<Context>, CliError)> {
    let settled = match &command {
        Command::Call(call) => typed::settle(cx, args, &call.rest)?,
        Command::Policy(PolicyCommand::Check(check)) => typed::settle(cx, args, &check.rest)?,
        _ => typed::Settled { cx, command: None, theirs: Vec::new() },
    };
    let typed::Settled { cx, command: again, theirs } = settled;
    dispatch(&cx, again.unwrap_or(command), &theirs).map_err(|error| (Box::new(cx), error))
}

fn dispatch(cx: &Context, command: Command, theirs: &[String]) -> Result<Exit, CliError> {
    match command {
        Command::Serve(args) => serve::run(cx, &args),
        Command::Mcp(args) => mcp::run(cx, &args),
        Command::Demo(args) => demo::run(cx, &args),
        Command::Call(args) => call::run(cx, &args, theirs),
        Command::Wait(args) => wait::run(cx, &args),
        Command::Run(args) => workflow::run(cx, &args),
        Command::Runs(command) => runs::run(cx, command),
        Command::Workflow(command) => workflow::look(cx, &command),
        Command::Approve(args) => approve::approve(cx, &args),
        Command::Deny(args) => approve::deny(cx, &args),
        Command::Approvals(command) => approvals::run(cx, command),
        Command::Calls(command) => calls::run(cx, command),
        Command::Tools(command) => tools::run(cx, command),
        Command::Audit(command) => audit::run(cx, command),
        Command::Keys(command) => keys::run(cx, command),
        Command::Desk(command) => desk::run(cx, command),
        Command::Whoami => daemon::whoami(cx),
        Command::Policy(PolicyCommand::Check(args)) => policy::check(cx, &args, theirs),
        Command::Policy(PolicyCommand::Show) => policy::show(cx),
        Command::Status => daemon::status(cx),
        Command::Stop => daemon::stop(cx),
        Command::Reload => daemon::reload(cx),
        Command::Doctor => doctor::run(cx),
        Command::Init(args) => init::run(cx, &args),
        Command::Completions(args) => completions::run(cx, &args),
        Command::Man(args) => man::run(cx, &args),
        Command::Version => daemon::version(cx),
    }
}

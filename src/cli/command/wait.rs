//! `wait`: until every call has ended; exits as the worst of them would have.

use std::time::{Duration, Instant};

use super::call;
use crate::api::calls::{self, Call, ShowCall};
use crate::cli::args::WaitArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::{deciding, outcome};

/// How long when nothing is said: as long as people have to decide, and then some.
const PATIENCE: Duration = Duration::from_secs(70 * 60);

/// Waits for all of them.
///
/// # Errors
/// Exit 124 at the deadline, else that of the worst outcome.
pub fn run(cx: &Context, args: &WaitArgs) -> Result<Exit, CliError> {
    let started = Instant::now();
    let patience = cx.globals.timeout.unwrap_or(PATIENCE);
    let mut errors = Vec::new();
    for id in &args.calls {
        let found = cx.send::<calls::Show>(&ShowCall { id: id.clone(), wait: None })?;
        let ended = call::wait_for(cx, found, patience.saturating_sub(started.elapsed()))?;
        call::print(&cx.ui, &ended, cx.ui.for_programs() && args.calls.len() > 1)?;
        errors.extend(verdict(cx, &ended).err());
    }
    errors.sort_by_key(|error| error.exit);
    let Some(worst) = errors.pop() else { return Ok(Exit::Done) };
    for error in &errors {
        cx.ui.error(error);
    }
    Err(worst)
}

/// What still waits when we stop waiting has met our deadline.
fn verdict(cx: &Context, call: &Call) -> Result<(), CliError> {
    outcome::verdict(call).map_err(|error| deciding::advised(cx, error)).map_err(|error| match error.exit {
        Exit::Pending => CliError { exit: Exit::Timeout, code: "timeout".to_owned(), ..error },
        _ => error,
    })
}

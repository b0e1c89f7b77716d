//! `policy`: what would be decided, and by which rules. The exit status is that of the call itself.

use serde_json::Value;

use super::typed;
use crate::api::admin::{self, Check, PolicyAnswer, PolicyText};
use crate::api::endpoint::Nothing;
use crate::cli::args::{CheckArgs, Format};
use crate::cli::context::Context;
use crate::cli::dynamic::collect::Given;
use crate::cli::error::{CliError, Exit};
use crate::cli::table::facts;
use crate::cli::text::{escape_lines, escape_untrusted};
use crate::cli::ui::Tone;

/// Asks about one call; nothing runs.
///
/// # Errors
/// What is wrong with the arguments, and the daemon's own.
pub fn check(cx: &Context, args: &CheckArgs, theirs: &[String]) -> Result<Exit, CliError> {
    let Some(name) = args.rest.first() else { return Err(CliError::usage("which tool?")) };
    let tool = typed::tool(cx, name)?;
    let given = Given { input: args.flags.input.as_deref(), arg: &args.flags.arg };
    let Some(arguments) = typed::arguments(cx, &tool, theirs, given)? else { return Ok(typed::HELPED) };
    let request =
        Check { tool: tool.name, arguments: Value::Object(arguments), principal: args.flags.principal.clone() };
    let reply = cx.send::<admin::CheckPolicy>(&request)?;
    let (word, tone, exit) = match reply.answer {
        PolicyAnswer::Allow => ("allow", Tone::Good, Exit::Done),
        PolicyAnswer::NeedsApproval => ("needs approval", Tone::Care, Exit::Pending),
        PolicyAnswer::Deny => ("deny", Tone::Bad, Exit::Denied),
    };
    cx.ui.show(&reply, || {
        let mut pairs = vec![
            ("answer", cx.ui.paint(tone, word)),
            ("because", escape_lines(&reply.explanation)),
            ("principal", escape_untrusted(&reply.principal)),
            ("tool", escape_untrusted(&reply.tool)),
            ("rules", escape_untrusted(&reply.rules.join(", "))),
        ];
        pairs.extend(reply.requirements.iter().map(|need| {
            let (group, rule) = (escape_untrusted(&need.group), escape_untrusted(&need.rule));
            let or = if need.consent { ", or its own consent" } else { "" };
            ("people", format!("{} of {group}{or} (`{rule}`)", need.quorum))
        }));
        facts(&pairs)
    })?;
    Ok(exit)
}

/// Prints the policies in force.
///
/// # Errors
/// The daemon's own.
pub fn show(cx: &Context) -> Result<Exit, CliError> {
    let reply = cx.send::<admin::ShowPolicy>(&Nothing {})?;
    // In a pipe too it is policy that can be saved as a file, unless another form is asked for.
    if matches!(cx.ui.format, None | Some(Format::Table | Format::Raw)) && !cx.ui.for_people() {
        return cx.ui.out(&text(&reply)).map(|()| Exit::Done);
    }
    cx.ui.show(&reply, || {
        let files = reply.files.iter().map(|file| {
            let heading = format!("// {}", escape_untrusted(&file.name));
            format!("{}\n{}\n", cx.ui.paint(Tone::Strong, &heading), escape_lines(file.text.trim_end()))
        });
        format!("{}\n// digest {}\n", files.collect::<Vec<_>>().join("\n"), escape_untrusted(&reply.digest))
    })?;
    Ok(Exit::Done)
}

/// The files as they are, each under its name.
fn text(shown: &PolicyText) -> String {
    let files = shown.files.iter().map(|file| format!("// {}\n{}\n", file.name, file.text.trim_end()));
    format!("{}\n// digest {}\n", files.collect::<Vec<_>>().join("\n"), shown.digest)
}

//! `tools trust`: agree to what a server of others lists. What is new or changed is shown as it is, escaped and whole,
//! and what is sent are the digests of exactly what was shown.

use serde_json::{Value, json};

use crate::api::endpoint::Nothing;
use crate::api::upstreams::{self, Agree, Pinned, Treated, Upstream, UpstreamTool};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::init::diff::{self, Side};
use crate::cli::prompt;
use crate::cli::text::escape_untrusted;
use crate::cli::ui::Tone;
use crate::config::manifest::nearest;

/// Shows what is new or changed of `what`, a server or one of its tools, and agrees to it: asked on a terminal, at once
/// if `decide`.
///
/// # Errors
/// Exit 2 when there is no such thing or nobody can be asked, exit 12 when it changed meanwhile, the daemon's own.
pub fn run(cx: &Context, what: &str, decide: bool) -> Result<Exit, CliError> {
    let listed = cx.send::<upstreams::List>(&Nothing {})?;
    let (server, _) = what.split_once('.').unwrap_or((what, ""));
    let upstream = find(&listed.upstreams, server)?;
    let wanted = wanted(upstream, what)?;
    if wanted.is_empty() {
        let none = json!({"server": upstream.name, "trusted": []});
        cx.ui.show(&none, || format!("nothing of {} waits to be looked at", escape_untrusted(what)))?;
        return Ok(Exit::Done);
    }
    cx.ui.say(&introduced(cx, upstream));
    for tool in &wanted {
        cx.ui.say(&shown(cx, tool));
    }
    if !decide {
        if !cx.ui.seen.ask {
            return Err(CliError::usage("nobody can be asked here, so nothing was agreed to")
                .hint("`--yes` agrees to what is shown; `-y` does not, as it answers confirmations only")
                .attempt(format!("toolctl tools trust {what} --yes")));
        }
        let many = if wanted.len() == 1 { "this definition".to_owned() } else { format!("these {}", wanted.len()) };
        if !prompt::confirm(cx, &format!("Let callers use {many}, as policy allows?"))? {
            cx.ui.note("nothing was agreed to");
            return Ok(Exit::Done);
        }
    }
    let digests = wanted.iter().filter_map(|tool| tool.digest.clone()).collect();
    let agreed = cx.send::<upstreams::Trust>(&Agree { name: upstream.name.clone(), digests })?;
    cx.ui.show(&json!({"server": upstream.name, "trusted": agreed.tools}), || {
        format!("trusted: {}", escape_untrusted(&agreed.tools.join(", ")))
    })?;
    Ok(Exit::Done)
}

fn find<'a>(upstreams: &'a [Upstream], name: &str) -> Result<&'a Upstream, CliError> {
    upstreams.iter().find(|upstream| upstream.name == name).ok_or_else(|| {
        let near = nearest(name, upstreams.iter().map(|upstream| upstream.name.as_str()));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "servers are declared with [[upstream]] in a file of tools: toolctl tools new mcp".to_owned(),
        };
        CliError::new(Exit::Usage, "server-not-found", format!("there is no server `{name}`")).hint(hint)
    })
}

/// The tools that wait to be looked at: all of the server, or the one that was named.
fn wanted<'a>(upstream: &'a Upstream, what: &str) -> Result<Vec<&'a UpstreamTool>, CliError> {
    if what == upstream.name {
        if upstream.tools.is_empty()
            && let Some(problem) = &upstream.problem
        {
            let message = format!("`{}` has listed nothing yet: {problem}", upstream.name);
            return Err(CliError::new(Exit::Failure, "server-down", message).hint("`toolctl status` says how it is"));
        }
        return Ok(upstream.tools.iter().filter(|tool| tool.state.waits()).collect());
    }
    let Some(tool) = upstream.tools.iter().find(|tool| tool.name == what) else {
        let near = nearest(what, upstream.tools.iter().map(|tool| tool.name.as_str()));
        let hint =
            near.map_or_else(|| "`toolctl status` says how it is".to_owned(), |near| format!("did you mean `{near}`?"));
        let message = format!("`{}` lists no tool `{what}`", upstream.name);
        return Err(CliError::new(Exit::Usage, "tool-not-found", message).hint(hint));
    };
    match tool.state {
        Pinned::New | Pinned::Changed => Ok(vec![tool]),
        Pinned::Trusted => Ok(Vec::new()),
        Pinned::Gone => {
            let message = format!("`{}` does not list `{what}` any more", upstream.name);
            Err(CliError::new(Exit::Usage, "tool-gone", message))
        }
        Pinned::Unusable => {
            let why = tool.problem.as_deref().unwrap_or("nobody knows why");
            Err(CliError::new(Exit::Usage, "tool-unusable", format!("`{what}` cannot be used: {why}")))
        }
    }
}

fn introduced(cx: &Context, upstream: &Upstream) -> String {
    let place: Vec<String> = upstream.place.iter().map(|word| escape_untrusted(word)).collect();
    let says = upstream.server.as_deref().map(|says| format!(", which calls itself {}", escape_untrusted(says)));
    let name = cx.ui.paint_err(Tone::Strong, &escape_untrusted(&upstream.name));
    format!("{name} ({}){}\n", place.join(" "), says.unwrap_or_default())
}

fn shown(cx: &Context, tool: &UpstreamTool) -> String {
    let (old, new) = (text(tool.trusted.as_ref()), text(tool.seen.as_ref()));
    let word = if tool.state == Pinned::Changed { "changed" } else { "new" };
    let name = format!("{} ({word})", tool.name);
    let (old, new) = (Side { text: &old, shown: &old }, Side { text: &new, shown: &new });
    let shown = diff::whole(&name, old, new, |tone, text| cx.ui.paint_err(tone, text));
    let treated = tool.treated.map(|treated| format!("treated as: {}\n", in_words(treated)));
    format!("{shown}{}", treated.unwrap_or_default())
}

/// What an approver would read of its calls.
fn in_words(treated: Treated) -> String {
    let mut words = vec![format!("{} ({})", treated.effect.word(), treated.effect.in_words())];
    words.extend(treated.destructive.then(|| "may destroy something".to_owned()));
    words.extend(treated.open_world.then(|| "reaches beyond this machine".to_owned()));
    words.push(format!("{} risk", treated.risk.word()));
    words.join(", ")
}

/// A definition as it is looked at: one member a line, and long texts a line each.
fn text(definition: Option<&Value>) -> String {
    let Some(definition) = definition else { return String::new() };
    let pretty = serde_json::to_string_pretty(definition).unwrap_or_default();
    format!("{pretty}\n")
}

//! `tools`: what there is to call, and what an operator adds to it.

mod files;
mod import;
mod lint;
mod new;
mod openapi;
mod show;
mod test;
mod trust;

use crate::api::admin;
use crate::api::endpoint::Nothing;
use crate::api::tools::{self, Standing, Tool, Tools};
use crate::cli::args::ToolsCommand;
use crate::cli::context::Context;
use crate::cli::dynamic::{complete, help, schema::Arguments};
use crate::cli::error::{CliError, Exit};
use crate::cli::table::Table;
use crate::cli::ui::Tone;
use crate::cli::upstreams;
use crate::config::manifest;

use super::typed;

/// A second question must not take longer than a person looks.
const PROBE: std::time::Duration = std::time::Duration::from_secs(3);

/// Lists, finds or shows; or changes what an operator adds.
///
/// # Errors
/// The daemon's own, or whatever is wrong with a file.
pub fn run(cx: &Context, command: ToolsCommand) -> Result<Exit, CliError> {
    match command {
        ToolsCommand::List => {
            list(cx, &everything(cx)?)?;
            servers(cx);
        }
        ToolsCommand::Search { words } => {
            let mut found = everything(cx)?;
            found.tools = best_first(found.tools, &words);
            list(cx, &found)?;
        }
        ToolsCommand::Show { name } => {
            let tool = typed::tool(cx, &name)?;
            let arguments = Arguments::of(&tool.input_schema, &typed::ours().reserved());
            cx.ui.show(&tool, || format!("{}\n{}", help::text(&tool, &arguments), show::definition(&tool)))?;
        }
        ToolsCommand::New { kind } => return new::run(cx, kind),
        ToolsCommand::Lint { files } => return lint::run(cx, &files),
        ToolsCommand::Add(args) => {
            return match (&args.openapi, args.mcp_from, &args.file) {
                (Some(source), _, _) => openapi::add(cx, source, &args.choices),
                (None, Some(client), _) => import::run(cx, client, args.choices.yes || cx.globals.assume_yes),
                (None, None, Some(file)) => files::add(cx, file),
                (None, None, None) => Err(CliError::usage("there is nothing to add")),
            };
        }
        ToolsCommand::Test { name, run } => return test::run(cx, &name, run),
        ToolsCommand::Enable { name } => return files::switch(cx, &name, true),
        ToolsCommand::Disable { name } => return files::switch(cx, &name, false),
        ToolsCommand::Remove { name } => return files::remove(cx, &name),
        ToolsCommand::Trust { name, decide } => return trust::run(cx, &name, decide),
        ToolsCommand::Schema => cx.ui.document(&manifest::schema())?,
    }
    Ok(Exit::Done)
}

fn everything(cx: &Context) -> Result<Tools, CliError> {
    let tools = cx.send::<tools::List>(&Nothing {})?;
    complete::remember(cx, &tools);
    Ok(tools)
}

fn list(cx: &Context, tools: &Tools) -> Result<(), CliError> {
    let mut table = Table::new(["NAME", "RISK", "EFFECT", "APPROVAL", "SOURCE", "DESCRIPTION"], "no tools");
    for tool in &tools.tools {
        let approval = match tool.standing {
            Standing::Allowed => "none".to_owned(),
            Standing::NeedsApproval => tool.approvers.join(", "),
            Standing::Denied => "denied".to_owned(),
            Standing::Depends => "depends".to_owned(),
        };
        table.row([
            tool.name.as_str().into(),
            tool.risk.word().into(),
            tool.effect.word().into(),
            approval.into(),
            tool.source.as_str().into(),
            tool.description.as_str().into(),
        ]);
    }
    cx.ui.list(tools, &tools.tools, &table)
}

/// What is not in a list: tools of servers that wait to be looked at, and servers that are down. Whoever may not know
/// the daemon's status is not told.
fn servers(cx: &Context) {
    let asked = cx.try_send::<admin::Status>(&Nothing {}, PROBE);
    let Ok(Ok(status)) = asked else { return };
    for server in &status.upstreams {
        for line in upstreams::told(server) {
            cx.ui.note(&cx.ui.paint_err(Tone::Care, &line));
        }
    }
}

/// The tools in which every word stands somewhere, those where it says most about them first.
fn best_first(tools: Vec<Tool>, words: &[String]) -> Vec<Tool> {
    let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let mut found: Vec<(u32, Tool)> = tools
        .into_iter()
        .filter_map(|tool| {
            let weights = words.iter().map(|word| weight(&tool, word));
            weights.sum::<Option<u32>>().map(|weight| (weight, tool))
        })
        .collect();
    found.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    found.into_iter().map(|(_, tool)| tool).collect()
}

/// How much a word says about a tool: its name, one of its tags, a part of its name, its title, its description; none
/// when it stands in none of them.
fn weight(tool: &Tool, word: &str) -> Option<u32> {
    let has = |text: &str| text.to_lowercase().contains(word);
    let ways = [
        tool.name.to_lowercase() == word,
        tool.tags.iter().any(|tag| tag.to_lowercase() == word),
        has(&tool.name),
        has(&tool.title),
        has(&tool.description) || tool.tags.iter().any(|tag| has(tag)),
    ];
    let best = ways.iter().position(|way| *way)?;
    Some(1 << (ways.len() - best))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dynamic::sample;

    fn found(words: &[&str]) -> Vec<String> {
        let named = |name: &str, title: &str, description: &str, tags: &[&str]| Tool {
            name: name.into(),
            title: title.into(),
            description: description.into(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..sample::tool()
        };
        let tools = vec![
            named("close_ticket", "Close", "Closes one.", &[]),
            named("note", "Note", "Adds a note to a ticket.", &["Support"]),
            named("page", "Page", "Wakes people.", &["ticket"]),
            named("ticket", "A ticket", "Shows one.", &["support"]),
        ];
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        best_first(tools, &words).into_iter().map(|tool| tool.name).collect()
    }

    #[test]
    fn a_search_needs_every_word_and_puts_first_what_it_says_most_about() {
        assert_eq!(found(&["TICKET"]), ["ticket", "page", "close_ticket", "note"]);
        assert_eq!(found(&["ticket", "support"]), ["ticket", "note"]);
        assert_eq!(found(&["ticket", "refund"]), [""; 0]);
        assert_eq!(found(&[]).len(), 4);
    }
}

//! `tools`: what there is to call, and what an operator adds to it.

mod files;
mod lint;
mod new;
mod openapi;
mod test;

use crate::api::endpoint::Nothing;
use crate::api::tools::{self, Standing, Tool, Tools};
use crate::cli::args::ToolsCommand;
use crate::cli::context::Context;
use crate::cli::dynamic::{complete, help, schema::Arguments};
use crate::cli::error::{CliError, Exit};
use crate::cli::table::Table;
use crate::config::manifest;

use super::typed;

/// Lists, finds or shows; or changes what an operator adds.
///
/// # Errors
/// The daemon's own, or whatever is wrong with a file.
pub fn run(cx: &Context, command: ToolsCommand) -> Result<Exit, CliError> {
    match command {
        ToolsCommand::List => list(cx, &everything(cx)?)?,
        ToolsCommand::Search { words } => {
            let mut found = everything(cx)?;
            found.tools.retain(|tool| matches(tool, &words));
            list(cx, &found)?;
        }
        ToolsCommand::Show { name } => {
            let tool = typed::tool(cx, &name)?;
            let arguments = Arguments::of(&tool.input_schema, &typed::ours().reserved());
            cx.ui.show(&tool, || help::text(&tool, &arguments))?;
        }
        ToolsCommand::New { kind } => return new::run(cx, kind),
        ToolsCommand::Lint { files } => return lint::run(cx, &files),
        ToolsCommand::Add(args) => {
            return match (&args.openapi, &args.file) {
                (Some(source), _) => openapi::add(cx, source, &args.choices),
                (None, Some(file)) => files::add(cx, file),
                (None, None) => Err(CliError::usage("there is nothing to add")),
            };
        }
        ToolsCommand::Test { name, run } => return test::run(cx, &name, run),
        ToolsCommand::Enable { name } => return files::switch(cx, &name, true),
        ToolsCommand::Disable { name } => return files::switch(cx, &name, false),
        ToolsCommand::Remove { name } => return files::remove(cx, &name),
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

/// Every word stands somewhere in the name, the title or the description.
fn matches(tool: &Tool, words: &[String]) -> bool {
    let text = format!("{} {} {}", tool.name, tool.title, tool.description).to_lowercase();
    words.iter().all(|word| text.contains(&word.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dynamic::sample;

    #[test]
    fn a_search_needs_every_word_anywhere() {
        let tool = sample::tool();
        let found = |words: &[&str]| matches(&tool, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert!(found(&["TICKET", "support"]));
        assert!(!found(&["ticket", "refund"]));
    }
}

//! `man`: the manual pages of the fixed tree, made by the program itself.

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::cli::args::{Cli, ManArgs};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};

/// Prints toolctl(1), or writes every page into a folder.
///
/// # Errors
/// When a page cannot be written.
pub fn run(cx: &Context, args: &ManArgs) -> Result<Exit, CliError> {
    let pages = pages().map_err(|error| CliError::io("cannot make the pages", &error))?;
    let Some(folder) = &args.out else {
        for (_, page) in pages.iter().take(1) {
            cx.ui.out_bytes(page, true)?;
        }
        return Ok(Exit::Done);
    };
    let failed = |error| CliError::io(format!("cannot write into `{}`", folder.display()), &error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    for (name, page) in &pages {
        std::fs::write(folder.join(name), page).map_err(failed)?;
    }
    cx.ui.note(&format!("{} pages in {}", pages.len(), folder.display()));
    Ok(Exit::Done)
}

/// Every page with its file name, toolctl(1) first.
fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    page(&root, "toolctl", &mut pages)?;
    Ok(pages)
}

fn page(command: &clap::Command, name: &str, into: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let mut text = Vec::new();
    let named = command.clone().name(name.to_owned()).version(env!("CARGO_PKG_VERSION"));
    Man::new(named)
        .title(name.to_uppercase())
        .source(concat!("toolctl ", env!("CARGO_PKG_VERSION")))
        .render(&mut text)?;
    into.push((format!("{name}.1"), text));
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        page(child, &format!("{name}-{}", child.get_name()), into)?;
    }
    Ok(())
}

/// Compares a shipped file with what the program makes; `UPDATE_GOLDEN=1` writes it instead.
#[cfg(test)]
pub fn golden(path: &str, made: &[u8]) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, made).expect("written");
    }
    let shipped = std::fs::read(&path).unwrap_or_default();
    assert!(shipped == made, "{} is not what the program makes: run the tests with UPDATE_GOLDEN=1", path.display());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_shipped_pages_are_current() {
        let pages = pages().expect("made");
        for (name, page) in &pages {
            golden(&format!("man/{name}"), page);
        }
        let made: BTreeSet<String> = pages.into_iter().map(|(name, _)| name).collect();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
        let shipped: BTreeSet<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(shipped, made);
    }
}

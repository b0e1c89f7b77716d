//! How a daemon that is started unasked is started: as the last one of this store was, or not at all.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::trouble::Trouble;
use crate::cli::text::shell_word;
use crate::client::Target;
use crate::config::{LastStart, RULES};

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// There never was a daemon: one without flags.
    Plain,
    /// One like the last.
    Again(Box<LastStart>),
}

impl Recipe {
    /// Reads how the last daemon at `target`, or of this state folder, was started.
    ///
    /// # Errors
    /// Why none may be started: it was stopped on purpose, or would come back under other rules.
    pub fn find(target: &Target, state: &Path, has: impl Fn(&str) -> bool) -> Result<Self, Trouble> {
        let Target::Socket(socket) = target else { return Ok(Self::Plain) };
        for file in [LastStart::file_of_socket(state, socket), LastStart::file(state)] {
            let Some(last) = read(&file).map_err(|why| Trouble::unreadable(&file, &why))? else { continue };
            let flags = flags(&last, state);
            if let Some(how) = &last.stopped {
                return Err(Trouble::stopped(how, flags.as_deref()));
            }
            if !last.listened_at(socket) {
                return Err(Trouble::elsewhere(target, &last.socket));
            }
            let lacking = last.lacking(&has);
            if !lacking.is_empty() {
                return Err(Trouble::other_rules(&lacking, flags.as_deref()));
            }
            return Ok(Self::Again(Box::new(last)));
        }
        Ok(Self::Plain)
    }

    /// Adds what starts such a daemon at `target`.
    pub fn apply(&self, command: &mut Command, target: &Target) {
        // The key is the client's. Whose daemon it is, and what it may do, says its configuration.
        command.arg("serve").env_remove("TOOLCTL_KEY");
        match self {
            Self::Plain => {
                command.arg("--socket").arg(target.to_string());
            }
            Self::Again(last) => {
                // What the client has in its environment beside is not what that daemon had.
                for name in RULES.iter().filter(|name| !last.environment.iter().any(|had| had == *name)) {
                    command.env_remove(name);
                }
                command.env_remove("TOOLCTL_LISTEN").env("TOOLCTL_CONFIG_DIR", &last.config_dir);
                command.args(last.arguments());
            }
        }
    }
}

fn read(file: &Path) -> Result<Option<LastStart>, String> {
    match std::fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// What a person has to add to `toolctl serve` for a daemon like the last one.
fn flags(last: &LastStart, usual: &Path) -> Option<String> {
    let mut arguments = last.chosen();
    if crate::config::absolute(usual) != last.data_dir {
        arguments.extend([OsString::from("--data-dir"), PathBuf::from(&last.data_dir).into()]);
    }
    let words: Vec<String> = arguments.iter().map(|word| shell_word(&word.to_string_lossy())).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(last: &LastStart, has: &[&str]) -> Result<Recipe, String> {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        std::fs::write(LastStart::file(state), serde_json::to_string(last).unwrap()).unwrap();
        let recipe = Recipe::find(&Target::parse("/s.sock"), state, |name| has.contains(&name));
        recipe.map_err(|trouble| {
            assert!(trouble.lasts && trouble.help.contains("`toolctl serve"), "{trouble:?}");
            trouble.sentences()
        })
    }

    fn last() -> LastStart {
        LastStart {
            config: Some("/c/my rules.toml".into()),
            data_dir: "/d".into(),
            socket: "/s.sock".into(),
            ..LastStart::default()
        }
    }

    #[test]
    fn where_there_never_was_a_daemon_a_plain_one_is_started() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Recipe::find(&Target::parse("/s.sock"), folder.path(), |_| false), Ok(Recipe::Plain));
    }

    #[test]
    fn a_daemon_that_died_comes_back_as_it_was() {
        let last = last();
        assert_eq!(found(&last, &[]), Ok(Recipe::Again(Box::new(last.clone()))));
        let keyed = LastStart { environment: vec!["API_KEY".to_owned()], ..last };
        let mut command = Command::new("toolctl");
        found(&keyed, &["API_KEY"]).unwrap().apply(&mut command, &Target::parse("/s.sock"));
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(words, ["serve", "--config", "/c/my rules.toml", "--data-dir", "/d", "--socket", "/s.sock"]);
        let unset: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        assert_eq!(unset, ["ALLOWED_TOOLS", "RATE_LIMIT_PER_MIN", "TOOLCTL_KEY", "TOOLCTL_LISTEN"]);
    }

    #[test]
    fn one_that_must_not_come_back_unasked_is_told_of() {
        let stopped = LastStart { stopped: Some("`toolctl stop` by local:7".to_owned()), ..last() };
        let told = found(&stopped, &[]).unwrap_err();
        assert!(told.contains("stopped on purpose (`toolctl stop` by local:7)"), "{told}");
        assert!(told.contains("--config '/c/my rules.toml' --data-dir /d"), "{told}");
        let keyed = LastStart { environment: vec!["API_KEY".to_owned(), "ALLOWED_TOOLS".to_owned()], ..last() };
        let told = found(&keyed, &["API_KEY"]).unwrap_err();
        assert!(told.contains("ALLOWED_TOOLS") && !told.contains("API_KEY"), "{told}");
        let told = found(&LastStart { socket: "/other.sock".into(), ..last() }, &[]).unwrap_err();
        assert!(told.contains("/other.sock"), "{told}");
    }

    #[test]
    fn a_note_that_cannot_be_read_starts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(LastStart::file(folder.path()), "{").unwrap();
        let refused = Recipe::find(&Target::parse("/s.sock"), folder.path(), |_| true).unwrap_err();
        assert!(refused.lasts && refused.why.contains("last-start.json"), "{refused:?}");
    }
}

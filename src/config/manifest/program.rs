//! Finding the program of a command and what it is: an absolute path, and the digest of its bytes. Names are
//! looked for where commands look for them, never where the daemon happens to.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::domain::digest::Digest;
use crate::domain::tool::command::{PATH, Pinned};

/// Looks for programs; each file is read once, however many tools it runs.
#[derive(Debug, Default)]
pub struct Programs {
    seen: BTreeMap<PathBuf, Result<Pinned, String>>,
}

impl Programs {
    /// The program that `given` names: a path, or a name on the fixed path. A relative path begins at `folder`.
    ///
    /// # Errors
    /// Says what was looked for and not found.
    pub fn find(&mut self, given: &str, folder: &Path) -> Result<Pinned, String> {
        if given.contains('/') {
            return self.file(&folder.join(given));
        }
        let mut places = std::env::split_paths(PATH).map(|folder| folder.join(given));
        match places.find(|path| fs::metadata(path).is_ok_and(|metadata| metadata.is_file())) {
            Some(path) => self.file(&path),
            None => Err(format!("there is no program `{given}` in {PATH}")),
        }
    }

    /// The file at `path`.
    ///
    /// # Errors
    /// When it is none or cannot be read.
    pub fn file(&mut self, path: &Path) -> Result<Pinned, String> {
        self.seen.entry(path.to_owned()).or_insert_with(|| pin(path)).clone()
    }
}

fn pin(path: &Path) -> Result<Pinned, String> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file `{shown}`"),
        _ => format!("`{shown}` cannot be read: {error}"),
    })?;
    if !metadata.is_file() {
        return Err(format!("`{shown}` is not a file"));
    }
    let digest = File::open(path).and_then(Digest::of_file);
    let digest = digest.map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    Ok(Pinned { path: normal(path), digest })
}

/// The path without `.` and `name/..`; links stay what they are, as programs look at the name they are run by.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

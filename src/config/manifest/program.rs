//! Finding the program of a command and what it is: an absolute path, and the digest of its bytes. Names are
//! looked for where commands look for them, never where the daemon happens to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::domain::digest::Digest;
use crate::domain::tool::command::{PATH, Pinned};

/// The program that `given` names: a path, or a name on the fixed path. A relative path begins at `folder`.
///
/// # Errors
/// Says what was looked for and not found.
pub fn find(given: &str, folder: &Path) -> Result<Pinned, String> {
    if given.contains('/') {
        return file(&folder.join(given));
    }
    let places = std::env::split_paths(PATH).map(|folder| folder.join(given));
    let found = places.into_iter().find(|path| fs::metadata(path).is_ok_and(|metadata| metadata.is_file()));
    found.map_or_else(|| Err(format!("there is no program `{given}` in {PATH}")), |path| file(&path))
}

/// The file at `path`.
///
/// # Errors
/// When it is none or cannot be read.
pub fn file(path: &Path) -> Result<Pinned, String> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file `{shown}`"),
        _ => format!("`{shown}` cannot be read: {error}"),
    })?;
    if !metadata.is_file() {
        return Err(format!("`{shown}` is not a file"));
    }
    let digest =
        File::open(path).and_then(Digest::of_file).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    Ok(Pinned { path: normal(path), digest })
}

/// The path without `.` and `name/..`; links stay what they are, as programs look at the name they are run by.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

//! A client's config file on disk: read whole, kept before it is changed, and replaced in one step. A symbolic link
//! (dotfiles in a repository) stays a link: what it points to is replaced.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::error::{CliError, Exit};
use crate::domain::time::Timestamp;

/// Bytes of a config at most. Claude Code keeps its history in one, which can be a few MiB.
const LARGEST: u64 = 64 << 20;
/// Links followed at most.
const MOST_LINKS: usize = 16;
/// What the name of a kept file has between the file's own and the time.
const KEPT: &str = ".toolctl-backup-";

/// A config file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// The path as people know it.
    pub path: PathBuf,
    /// Its text; none when there is no file.
    pub text: Option<String>,
    /// What the path points to in the end.
    target: PathBuf,
}

impl ConfigFile {
    /// Reads it. No file is fine: it will be made.
    ///
    /// # Errors
    /// When something else has its name, or it cannot be read as text.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let cannot = |error: &io::Error| CliError::io(format!("cannot read `{}`", path.display()), error);
        let target = follow(path).map_err(|error| cannot(&error))?;
        let text = match fs::metadata(&target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(cannot(&error)),
            Ok(found) if !found.is_file() => {
                return Err(CliError::new(Exit::Failure, "not-a-file", format!("`{}` is not a file", path.display()))
                    .hint("move it away, or print the entry and add it yourself"));
            }
            Ok(found) if found.len() > LARGEST => {
                return Err(CliError::new(Exit::Failure, "too-large", format!("`{}` is too large", path.display()))
                    .hint("print the entry and add it yourself"));
            }
            Ok(_) => Some(fs::read_to_string(&target).map_err(|error| cannot(&error))?),
        };
        Ok(Self { path: path.to_owned(), text, target })
    }

    /// Says whether it could be replaced, without a change to it.
    ///
    /// # Errors
    /// When it is read-only.
    pub fn check_writable(&self) -> Result<(), CliError> {
        let read_only = |path: &Path| fs::metadata(path).is_ok_and(|found| found.permissions().readonly());
        if read_only(&self.target) {
            return Err(self.cannot_write(&io::ErrorKind::PermissionDenied.into()));
        }
        // A folder can be closed to this user in more ways than its mode says.
        let Some(folder) = self.target.parent().filter(|folder| folder.is_dir()) else { return Ok(()) };
        let probe = tempfile::Builder::new().prefix(".toolctl-").tempfile_in(folder);
        probe.map(drop).map_err(|error| self.cannot_write(&error))
    }

    /// Replaces it (or makes it) in one step; its mode stays. The old one is kept beside it if asked for: the path
    /// of that copy comes back.
    ///
    /// # Errors
    /// When it is no longer what was read, or the disk says no; then it is as it was.
    pub fn replace(&self, text: &str, keep: bool, now: Timestamp) -> Result<Option<PathBuf>, CliError> {
        self.check_unchanged()?;
        let failed = |error: io::Error| self.cannot_write(&error);
        let folder = self.target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let kept = match &self.text {
            Some(old) if keep => Some(self.keep(old, now).map_err(failed)?),
            _ => None,
        };
        let mut file = self.fresh(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&self.target).map_err(|error| failed(error.error))?;
        Ok(kept)
    }

    /// Whether its path is a symbolic link.
    pub fn is_link(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_symlink())
    }

    /// Removes it. For a file that is no link: a link would be left pointing to nothing.
    ///
    /// # Errors
    /// When it is no longer what was read, or the disk says no.
    pub fn delete(&self) -> Result<(), CliError> {
        self.check_unchanged()?;
        fs::remove_file(&self.target).map_err(|error| self.cannot_write(&error))
    }

    /// The copies kept of it, newest first.
    pub fn kept(&self) -> Vec<PathBuf> {
        let Some(prefix) = self.target.file_name().map(|name| format!("{}{KEPT}", name.to_string_lossy())) else {
            return Vec::new();
        };
        let folder = self.target.parent().unwrap_or(Path::new("."));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        let mut kept: Vec<PathBuf> = ours.map(|entry| entry.path()).collect();
        kept.sort();
        kept.reverse();
        kept
    }

    fn keep(&self, old: &str, now: Timestamp) -> io::Result<PathBuf> {
        let name = self.target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let time: String = now.to_string().chars().filter(|symbol| !matches!(symbol, '-' | ':')).collect();
        let path = self.target.with_file_name(format!("{name}{KEPT}{time}"));
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = self.fresh(folder)?;
        file.write_all(old.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(&path).map_err(|error| error.error)?;
        Ok(path)
    }

    /// A file in the same folder that nobody sees yet, with the mode of the old one before it has any contents.
    fn fresh(&self, folder: &Path) -> io::Result<tempfile::NamedTempFile> {
        let file = tempfile::Builder::new().prefix(".toolctl-").make_in(folder, |path| fs::File::create_new(path))?;
        if let Ok(old) = fs::metadata(&self.target) {
            file.as_file().set_permissions(old.permissions())?;
        }
        Ok(file)
    }

    /// Clients write their files too, perhaps while a person was reading the difference.
    fn check_unchanged(&self) -> Result<(), CliError> {
        if Self::read(&self.path)?.text == self.text {
            return Ok(());
        }
        let message = format!("`{}` has changed meanwhile", self.path.display());
        Err(CliError::new(Exit::Conflict, "changed-meanwhile", message).hint("nothing was written; run it again"))
    }

    fn cannot_write(&self, error: &io::Error) -> CliError {
        CliError::io(format!("cannot write `{}`", self.path.display()), error)
            .hint("make it writable, or print the entry with `--print` and add it yourself")
    }
}

/// Where a path leads, whether or not something is there.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut target = std::path::absolute(path)?;
    for _ in 0..MOST_LINKS {
        if !fs::symlink_metadata(&target).is_ok_and(|found| found.is_symlink()) {
            return Ok(target);
        }
        let link = fs::read_link(&target)?;
        target = target.parent().unwrap_or(Path::new("")).join(link);
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().expect("a time")
    }

    #[test]
    fn a_file_is_kept_and_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep").join("mcp.json");
        let missing = ConfigFile::read(&path).expect("read");
        assert_eq!((&missing.text, missing.check_writable()), (&None, Ok(())));
        assert_eq!(missing.replace("one", true, now()), Ok(None));
        let found = ConfigFile::read(&path).expect("read");
        let kept = found.replace("two", true, now()).expect("replaced").expect("kept");
        assert_eq!(kept.file_name().expect("a name"), "mcp.json.toolctl-backup-20261123T120000.000000Z");
        assert_eq!((fs::read_to_string(&kept).expect("read"), found.kept()), ("one".to_owned(), vec![kept]));
        assert_eq!(fs::read_to_string(&path).expect("read"), "two");
        let stale = found.replace("three", true, now()).expect_err("changed").code;
        assert_eq!(stale, "changed-meanwhile");
    }

    #[test]
    fn a_folder_in_its_place_is_no_config() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(ConfigFile::read(folder.path()).expect_err("a folder").code, "not-a-file");
    }
}

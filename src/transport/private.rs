//! Files that only their owner may read: keys. Which means what differs by platform, so it lives here.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

/// Whether nobody but the owner can read the file. On Windows files in the user's profile are.
///
/// # Errors
/// When the file cannot be looked at.
pub fn is_private(path: &Path) -> io::Result<bool> {
    let metadata = fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        Ok(metadata.permissions().mode() & 0o077 == 0)
    }
    #[cfg(windows)]
    {
        let _ = metadata;
        Ok(true)
    }
}

/// Makes a folder that only its owner may enter (0700), and its parents, if it is not there.
///
/// # Errors
/// When it cannot be made, or something else has its name.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The uid of this process. Windows has none: there it is 0, which stands for the one user that the pipe of
/// this process lets in, its owner.
pub fn own_uid() -> Option<u32> {
    #[cfg(unix)]
    {
        Some(rustix::process::getuid().as_raw())
    }
    #[cfg(windows)]
    {
        Some(0)
    }
}

/// Writes a new file that only its owner may read (0600), making its folder (0700) if need be.
///
/// # Errors
/// When the file exists, or the disk says no.
pub fn write_new(path: &Path, contents: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(contents.as_bytes())?;
    file.sync_all()
}

/// Writes a file that only its owner may read (0600) in place of what was there; whoever reads it meanwhile sees
/// the old one or the new one, never a part.
///
/// # Errors
/// When the disk says no.
pub fn replace(path: &Path, contents: &str) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write_new(&beside, contents)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_private_and_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys/ci");
        write_new(&path, "secret").expect("written");
        assert!(is_private(&path).expect("looked at"));
        assert_eq!(write_new(&path, "other").map_err(|e| e.kind()), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read_to_string(&path).expect("read"), "secret");
    }

    #[test]
    fn what_is_replaced_is_private_and_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/note.json");
        for text in ["a longer one", "short"] {
            replace(&path, text).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
            assert!(is_private(&path).expect("looked at"));
        }
        assert_eq!(fs::read_dir(folder.path().join("state")).expect("a folder").count(), 1, "nothing else is left");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_others_can_read_is_not_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        write_new(&path, "secret").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        assert!(!is_private(&path).expect("looked at"));
    }
}

//! Looking at files as the system sees them: whose they are, who else may touch them, and how much room is left.
//! Where a platform has no such thing, there is no answer.

use std::fs;
use std::io;
use std::path::Path;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What it is; a symbolic link is not followed.
    pub kind: Kind,
    /// Its permission bits (`0o600`), on Unix.
    pub mode: Option<u32>,
    /// The user it belongs to, on Unix.
    pub owner: Option<u32>,
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A Unix socket.
    Socket,
    /// Anything else.
    Other,
}

/// Looks at a path.
///
/// # Errors
/// What the system says, also that there is nothing.
pub fn look(path: &Path) -> io::Result<Found> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = if metadata.is_dir() {
        Kind::Folder
    } else if metadata.is_file() {
        Kind::File
    } else if is_socket(&metadata) {
        Kind::Socket
    } else {
        Kind::Other
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Ok(Found { kind, mode: Some(metadata.mode() & 0o7777), owner: Some(metadata.uid()) })
    }
    #[cfg(windows)]
    {
        Ok(Found { kind, mode: None, owner: None })
    }
}

fn is_socket(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type())
    }
    #[cfg(windows)]
    {
        let _ = metadata;
        false
    }
}

/// How many bytes this user may still write where the path is; none where the platform does not say.
///
/// # Errors
/// What the system says.
pub fn room(path: &Path) -> io::Result<Option<u64>> {
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(path)?;
        Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
    }
    #[cfg(windows)]
    {
        let _ = path;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("f");
        super::super::private::write_new(&file, "x").expect("written");
        assert_eq!(look(folder.path()).expect("looked").kind, Kind::Folder);
        let found = look(&file).expect("looked");
        assert_eq!((found.kind, found.mode.unwrap_or(0o600)), (Kind::File, 0o600));
        assert!(look(&folder.path().join("none")).is_err());
        assert!(room(folder.path()).expect("room").is_none_or(|bytes| bytes > 0));
    }
}

//! The Unix socket: only this user can reach it, a live daemon is never pushed aside, and a stale file of a
//! dead one is no obstacle.
//!
//! The socket is bound inside a new folder of mode 0700, given mode 0600 there, and only then renamed onto
//! its path: at no moment, whatever the umask, can another user connect. Renaming also replaces a stale
//! socket in one step.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::{CannotListen, Connection, Peer, Stream};

/// The longest path of a socket in bytes: `sun_path` has 108 on Linux and 104 elsewhere, one of them the end.
const LONGEST_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// A listening socket, whose file goes away with it.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of our file: another daemon may have replaced it meanwhile.
    ours: (u64, u64),
}

impl Socket {
    /// Binds `path`.
    pub async fn bind(path: &Path) -> Result<Self, CannotListen> {
        let (Some(folder), Some(_)) = (path.parent(), path.file_name()) else {
            return Err(CannotListen::NotAPath { path: path.to_owned() });
        };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let cradle = folder.join(format!(".{}", std::process::id()));
        let newborn = cradle.join("s");
        let length = path.as_os_str().len().max(newborn.as_os_str().as_bytes().len());
        if length > LONGEST_PATH {
            return Err(CannotListen::PathTooLong { path: path.to_owned(), length, limit: LONGEST_PATH });
        }
        let system = |error| CannotListen::system(path.display(), error);
        private_folder(folder, path)?;
        refuse_live(path).await?;

        remove_cradle(&cradle);
        DirBuilder::new().mode(0o700).create(&cradle).map_err(system)?;
        let bound = bind_inside(&newborn, path);
        remove_cradle(&cradle);
        let (listener, ours) = bound.map_err(system)?;
        Ok(Self { listener, path: path.to_owned(), ours })
    }

    /// Waits for the next caller; the kernel says which user it is.
    pub async fn accept(&self) -> io::Result<Connection> {
        let (stream, _) = self.listener.accept().await?;
        let peer = match stream.peer_cred() {
            Ok(peer) => Peer::Local { uid: Some(peer.uid()), pid: peer.pid() },
            Err(_) => Peer::Local { uid: None, pid: None },
        };
        Ok(Connection { stream: Stream::Local(stream), peer })
    }
}

impl std::fmt::Display for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn bind_inside(newborn: &Path, path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let listener = UnixListener::bind(newborn)?;
    fs::set_permissions(newborn, Permissions::from_mode(0o600))?;
    let found = fs::symlink_metadata(newborn)?;
    fs::rename(newborn, path)?;
    Ok((listener, (found.dev(), found.ino())))
}

/// Only we make folders of this name (it is our process id, hidden), so what is there is a leftover.
fn remove_cradle(cradle: &Path) {
    let _ = fs::remove_file(cradle.join("s"));
    let _ = fs::remove_dir(cradle);
}

/// Makes the folder with mode 0700, or checks the one that is there.
fn private_folder(folder: &Path, path: &Path) -> Result<(), CannotListen> {
    let system = |error| CannotListen::system(path.display(), error);
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(system)
        }
        Err(error) => Err(system(error)),
        Ok(found) if found.is_symlink() => Err(CannotListen::FolderIsLink { folder: folder.to_owned() }),
        Ok(found) if !found.is_dir() => Err(system(io::ErrorKind::NotADirectory.into())),
        Ok(found) if found.mode() & 0o002 != 0 => Err(CannotListen::FolderIsOpen { folder: folder.to_owned() }),
        Ok(_) => Ok(()),
    }
}

/// A daemon that is alive takes connections; the file of a dead one refuses them.
async fn refuse_live(path: &Path) -> Result<(), CannotListen> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(found) if !found.file_type().is_socket() => Err(CannotListen::NotASocket { path: path.to_owned() }),
        Ok(_) => match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(_) => Err(CannotListen::Live { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(CannotListen::Live { path: path.to_owned() })
            }
            Err(error) => Err(CannotListen::system(path.display(), error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::transport::Listener;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[tokio::test]
    async fn the_folder_and_the_socket_are_for_this_user_only() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run").join("d.sock");

        let listener = Listener::unix(&path).await.unwrap();

        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["d.sock"], "nothing but the socket stays");
        drop(listener);
        assert!(!path.exists(), "the socket goes away with its listener");
    }

    #[tokio::test]
    async fn the_kernel_says_who_connects() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("d.sock");
        let listener = Listener::unix(&path).await.unwrap();
        let _client = UnixStream::connect(&path).await.unwrap();

        let connection = listener.accept().await.unwrap();

        let uid = fs::metadata(home.path()).unwrap().uid();
        assert!(matches!(connection.peer, Peer::Local { uid: Some(found), .. } if found == uid));
    }

    #[tokio::test]
    async fn a_live_daemon_is_not_pushed_aside_and_a_dead_one_is_no_obstacle() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("d.sock");
        let first = Listener::unix(&path).await.unwrap();

        let refused = Listener::unix(&path).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("a daemon already listens at `{}`", path.display()));

        drop(first);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the stale file of a dead daemon");
        let second = Listener::unix(&path).await.unwrap();
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(second);
    }

    #[tokio::test]
    async fn a_file_that_is_not_ours_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("d.sock");
        fs::write(&path, "notes").unwrap();
        let refused = Listener::unix(&path).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("`{}` exists and is not a socket", path.display()));

        fs::remove_file(&path).unwrap();
        let listener = Listener::unix(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "notes").unwrap();
        drop(listener);
        assert_eq!(fs::read_to_string(&path).unwrap(), "notes");
    }

    #[tokio::test]
    async fn folders_that_others_control_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let open = home.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let refused = Listener::unix(&open.join("d.sock")).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("every user may write to the folder `{}`", open.display()));

        let link = home.path().join("link");
        symlink(home.path(), &link).unwrap();
        let refused = Listener::unix(&link.join("d.sock")).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("the folder `{}` is a symbolic link", link.display()));
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_says_the_limit_and_the_way_out() {
        let path = Path::new("/").join("x".repeat(200));

        let refused = Listener::unix(&path).await.unwrap_err();

        let text = refused.to_string();
        assert!(text.ends_with(&format!("has 201 bytes, and the system allows {LONGEST_PATH}")), "{text}");
        assert_eq!(refused.hint(), "name a shorter path with --socket or TOOLCTL_SOCKET");
    }
}

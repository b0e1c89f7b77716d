//! The named pipe of Windows, in the place of the Unix socket: both its ends.
//!
//! There are no uids here. What stands in for them is the pipe's security descriptor: the system connects
//! nobody but the pipe's owner, so whoever is connected is the user whose daemon this is, and gets the
//! number that [`own_uid`] gives the daemon itself. (A daemon of an elevated administrator belongs to the
//! Administrators group, and so does its pipe: then each of them is the owner.) Callers on other machines
//! are refused by the pipe.
//!
//! Names of pipes belong to nobody before they are used: another user of the machine can take ours while no
//! daemon runs. Our daemon then refuses to start, and a client, which cannot tell, at most identifies its
//! user to it (`SECURITY_IDENTIFICATION`): the other cannot act as that user.

use std::io;
use std::path::Path;
use std::time::Duration;

use interprocess::local_socket::tokio::Listener as PipeListener;
use interprocess::local_socket::traits::StreamCommon as _;
use interprocess::local_socket::traits::tokio::Listener as _;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName as _};
use interprocess::os::windows::local_socket::ListenerOptionsExt as _;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient};
use tokio::time::Instant;
use widestring::u16cstr;

use super::connect::CONNECT_TIMEOUT;
use super::private::own_uid;
use super::{CannotListen, Connection, Peer, Stream};

/// What every pipe of this machine begins with; other paths are files, and files of other machines.
const PIPES: &str = r"\\.\pipe\";

/// How long to leave a pipe alone whose instances are all taken: the next one is made within moments.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// `ERROR_PIPE_BUSY`: every instance has its caller. The library's error kinds have no word for it.
const BUSY: i32 = 231;

/// A listening pipe.
#[derive(Debug)]
pub struct Pipe {
    listener: PipeListener,
    name: String,
}

impl Pipe {
    /// Makes the pipe `path`; the system refuses a second one of the same name.
    pub fn bind(path: &Path) -> Result<Self, CannotListen> {
        if !is_pipe(path) {
            return Err(CannotListen::NotAPath { path: path.to_owned() });
        }
        let system = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::AddrInUse => CannotListen::Live { path: path.to_owned() },
            _ if error.raw_os_error() == Some(BUSY) => CannotListen::Live { path: path.to_owned() },
            _ => CannotListen::system(path.display(), error),
        };
        let name = path.to_fs_name::<GenericFilePath>().map_err(system)?;
        // A list of its own, nothing inherited: all rights to the owner, none to anybody else (SDDL).
        let owner_only = SecurityDescriptor::deserialize(u16cstr!("D:P(A;;GA;;;OW)")).map_err(system)?;
        let options = ListenerOptions::new().name(name).security_descriptor(owner_only);
        let listener = options.create_tokio().map_err(system)?;
        Ok(Self { listener, name: path.display().to_string() })
    }

    /// Waits for the next caller, who is the owner: the system lets in nobody else.
    pub async fn accept(&self) -> io::Result<Connection> {
        let stream = self.listener.accept().await?;
        let pid = stream.peer_creds().ok().and_then(|peer| peer.pid()).and_then(|pid| i32::try_from(pid).ok());
        Ok(Connection { stream: Stream::Local(stream), peer: Peer::Local { uid: own_uid(), pid } })
    }
}

impl std::fmt::Display for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// Connects to the pipe `path`, waiting up to [`CONNECT_TIMEOUT`] for an instance that is free.
///
/// # Errors
/// What the system says; `InvalidInput` for what is no pipe: opening it would open a file.
pub async fn connect(path: &Path) -> io::Result<NamedPipeClient> {
    if !is_pipe(path) {
        let text = format!(r"`{}` is not the path of a named pipe (`{PIPES}NAME`)", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let started = Instant::now();
    loop {
        match ClientOptions::new().open(path) {
            Err(error) if error.raw_os_error() == Some(BUSY) => {
                if started.elapsed() >= CONNECT_TIMEOUT {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

fn is_pipe(path: &Path) -> bool {
    path.to_str().and_then(|path| path.strip_prefix(PIPES)).is_some_and(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::transport::Listener;

    fn path(name: &str) -> PathBuf {
        format!(r"{PIPES}toolctl-test-{name}-{}", std::process::id()).into()
    }

    #[tokio::test]
    async fn who_connects_is_the_owner_and_has_a_process_id() {
        let path = path("owner");
        let listener = Listener::unix(&path).await.unwrap();
        let _client = connect(&path).await.unwrap();

        let connection = listener.accept().await.unwrap();

        let pid = i32::try_from(std::process::id()).ok();
        assert_eq!(connection.peer, Peer::Local { uid: own_uid(), pid });
        assert_eq!(listener.to_string(), path.display().to_string());
    }

    #[tokio::test]
    #[ignore = "Wine 8 makes a second first instance (FILE_FLAG_FIRST_PIPE_INSTANCE); on Windows, run it with --ignored"]
    async fn a_live_daemon_is_not_pushed_aside() {
        let path = path("live");
        let first = Listener::unix(&path).await.unwrap();

        let refused = Listener::unix(&path).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("a daemon already listens at `{}`", path.display()));

        drop(first);
        assert!(Listener::unix(&path).await.is_ok());
    }

    #[tokio::test]
    async fn callers_that_hang_up_or_come_at_once_do_not_keep_others_out() {
        let path = path("many");
        let listener = Listener::unix(&path).await.unwrap();
        drop(connect(&path).await.unwrap());
        let daemon = tokio::spawn(async move {
            loop {
                let Ok(Connection { mut stream, .. }) = listener.accept().await else { continue };
                tokio::spawn(async move {
                    let byte = stream.read_u8().await?;
                    stream.write_u8(byte).await?;
                    stream.flush().await
                });
            }
        });

        let callers: Vec<_> = (0..20)
            .map(|byte| {
                let path = path.clone();
                tokio::spawn(async move {
                    let mut client = connect(&path).await.unwrap();
                    client.write_u8(byte).await.unwrap();
                    client.read_u8().await.unwrap()
                })
            })
            .collect();

        for (byte, caller) in (0..).zip(callers) {
            assert_eq!(caller.await.unwrap(), byte);
        }
        daemon.abort();
    }

    #[tokio::test]
    async fn what_is_no_pipe_is_neither_made_nor_opened() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = Listener::unix(file.path()).await.unwrap_err();
        assert!(matches!(refused, CannotListen::NotAPath { .. }), "{refused}");
        assert_eq!(connect(file.path()).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(connect(&path("nobody")).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

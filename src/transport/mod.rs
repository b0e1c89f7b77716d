//! L3, where connections come from. A [`Listener`] hides the platform: a Unix socket, a Windows named pipe
//! or TCP all give the same [`Connection`], and no `cfg` leaves this folder.

pub mod connect;
pub mod detached;
pub mod inspect;
pub mod lines;
pub mod private;
pub mod signals;
mod stream;
mod tcp;
#[cfg(test)]
pub mod testing;
pub mod tls;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use stream::Stream;

/// A place where callers can connect.
#[derive(Debug)]
pub struct Listener(Inner);

#[derive(Debug)]
enum Inner {
    Tcp(tcp::Tcp),
    #[cfg(unix)]
    Local(unix::Socket),
    #[cfg(windows)]
    Local(windows::Pipe),
}

/// One caller that connected.
#[derive(Debug)]
pub struct Connection {
    /// The bytes, both ways.
    pub stream: Stream,
    /// Who is at the other end, as far as the platform knows.
    pub peer: Peer,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A process on this machine.
    Local {
        /// Its user, where the platform says so; on Windows the number of [`private::own_uid`].
        uid: Option<u32>,
        /// Its process id: a label for the log, never authority.
        pid: Option<i32>,
    },
    /// An address: nothing is known about who it is.
    Network(SocketAddr),
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum CannotListen {
    /// Sockets have shorter paths than files (`sun_path`, 108 bytes with its end).
    #[error("the socket path `{path}` is too long: it has {length} bytes, and the system allows {limit}")]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Somebody answers there.
    #[error("a daemon already listens at `{path}`")]
    Live {
        /// The path.
        path: PathBuf,
    },
    /// Something that is no socket stands at the path; it is not ours to remove.
    #[error("`{path}` exists and is not a socket")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The folder of the socket could be exchanged under us.
    #[error("the folder `{folder}` is a symbolic link")]
    FolderIsLink {
        /// The folder.
        folder: PathBuf,
    },
    /// Other users could put their own socket in its place.
    #[error("every user may write to the folder `{folder}`")]
    FolderIsOpen {
        /// The folder.
        folder: PathBuf,
    },
    /// The path has no folder or no name.
    #[error("`{path}` is not the path of a socket")]
    NotAPath {
        /// The path.
        path: PathBuf,
    },
    /// The system said no.
    #[error("cannot listen at `{place}`")]
    System {
        /// The path or address.
        place: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl CannotListen {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::PathTooLong { .. } => "name a shorter path with --socket or TOOLCTL_SOCKET".to_owned(),
            Self::Live { .. } => {
                "use it as it is, stop it with `toolctl stop`, or name another path with --socket".to_owned()
            }
            Self::NotAPath { .. } if cfg!(windows) => {
                r"name a pipe, `\\.\pipe\NAME`, with --socket or TOOLCTL_SOCKET".to_owned()
            }
            Self::NotASocket { .. } | Self::NotAPath { .. } => {
                "name another path with --socket or TOOLCTL_SOCKET".to_owned()
            }
            Self::FolderIsLink { .. } => "name the folder it points to with --socket or TOOLCTL_SOCKET".to_owned(),
            Self::FolderIsOpen { .. } => {
                "name a path in a folder of your own with --socket or TOOLCTL_SOCKET".to_owned()
            }
            Self::System { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => "another program listens there: stop it, or choose another port".to_owned(),
                io::ErrorKind::PermissionDenied => "choose a place this user may use".to_owned(),
                _ => "choose another place with --socket or --listen".to_owned(),
            },
        }
    }

    fn system(place: impl ToString, source: io::Error) -> Self {
        Self::System { place: place.to_string(), source }
    }
}

impl Listener {
    /// Listens on a socket of this machine: a Unix socket at `path`, or on Windows the named pipe of that
    /// name. Only this user can connect.
    ///
    /// # Errors
    /// When a daemon listens there, or the path or its folder will not do.
    pub async fn unix(path: &Path) -> Result<Self, CannotListen> {
        #[cfg(unix)]
        let local = unix::Socket::bind(path).await?;
        #[cfg(windows)]
        let local = windows::Pipe::bind(path)?;
        Ok(Self(Inner::Local(local)))
    }

    /// Listens on a TCP address.
    ///
    /// # Errors
    /// When the system does not give the address.
    pub async fn tcp(address: SocketAddr) -> Result<Self, CannotListen> {
        tcp::Tcp::bind(address).await.map(|tcp| Self(Inner::Tcp(tcp)))
    }

    /// Waits for the next caller. Cancel-safe.
    ///
    /// # Errors
    /// What the system says; the listener stays usable (a caller may be gone, descriptors may be used up).
    pub async fn accept(&self) -> io::Result<Connection> {
        match &self.0 {
            Inner::Tcp(tcp) => tcp.accept().await,
            Inner::Local(local) => local.accept().await,
        }
    }

    /// The TCP address, when it is one.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Inner::Tcp(tcp) => Some(tcp.address()),
            Inner::Local(_) => None,
        }
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Inner::Tcp(tcp) => write!(f, "http://{}", tcp.address()),
            Inner::Local(local) => write!(f, "{local}"),
        }
    }
}

//! The other end of a local listener, for tests that speak HTTP by hand.

use std::io;
use std::path::{Path, PathBuf};

#[cfg(unix)]
pub use tokio::net::UnixStream as Caller;
#[cfg(windows)]
pub use tokio::net::windows::named_pipe::NamedPipeClient as Caller;

/// A place to listen at that no other test has: a socket in `folder`, which is the test's own, or a pipe named
/// after it.
pub fn place(folder: &Path) -> PathBuf {
    if cfg!(windows) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        return format!(r"\\.\pipe\toolctl-test-{name}").into();
    }
    folder.join("d.sock")
}

/// Connects to the listener at `path`.
pub async fn call(path: &Path) -> io::Result<Caller> {
    #[cfg(unix)]
    return Caller::connect(path).await;
    #[cfg(windows)]
    return super::windows::connect(path).await;
}

//! Processes as the platform has them. The only file of the commands that knows which system it is on: what
//! stands behind it is in `process/`, and elsewhere than on Unix no command runs.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use self::unix::{end_strays, entered, missing, new_private_folder, private_folder, sync_folder, watched};

#[cfg(windows)]
mod other;
#[cfg(windows)]
pub use self::other::{end_strays, entered, missing, new_private_folder, private_folder, sync_folder, watched};

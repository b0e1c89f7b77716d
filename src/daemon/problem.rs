//! Why a daemon does not start, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Invalid;
use crate::domain::denial::Violation;
use crate::guard::policy::PolicyProblems;
use crate::pipeline::port::Unavailable;
use crate::store::failpoint::NotArmed;
use crate::store::redb::OpenStore;
use crate::transport::CannotListen;

/// Why a daemon does not start or stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum CannotStart {
    /// A file or folder cannot be used.
    #[error("`{}` cannot be used: {source}", .path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A secret that others can read.
    #[error("others can read `{}`", .path.display())]
    Exposed {
        /// The path.
        path: PathBuf,
    },
    /// The pepper is not what was written.
    #[error("`{}` is damaged: it must hold 64 hexadecimal digits", .path.display())]
    Pepper {
        /// The path.
        path: PathBuf,
    },
    /// A place to listen cannot be had.
    #[error(transparent)]
    Listen(#[from] CannotListen),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenStore),
    /// The store cannot be read or written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A fault on purpose that cannot be armed.
    #[error("TOOLCTL_FAILPOINT: {0}")]
    FailPoint(#[from] NotArmed),
    /// A setting will not do.
    #[error(transparent)]
    Config(#[from] Invalid),
    /// The files of tools are wrong.
    #[error(transparent)]
    Manifests(#[from] crate::config::manifest::Problems),
    /// The tools are wrong.
    #[error("{0}")]
    Tools(String),
    /// The policies are wrong.
    #[error(transparent)]
    Policies(PolicyProblems),
}

impl CannotStart {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    /// What it is, without the faults of files that [`CannotStart::faults`] tells one by one.
    pub fn in_short(&self) -> String {
        match self.of_files() {
            Some((files, faults)) if faults.len() == 1 => format!("{files} have one fault"),
            Some((files, faults)) => format!("{files} have {} faults", faults.len()),
            None => self.to_string(),
        }
    }

    /// Each fault of a file, with its place and what to do about it.
    pub fn faults(&self) -> Vec<Violation> {
        self.of_files().map(|(_, faults)| faults).unwrap_or_default()
    }

    /// The files that are at fault, and their faults.
    fn of_files(&self) -> Option<(&'static str, Vec<Violation>)> {
        let told = |path: String, message: &str, hint: Option<&String>| {
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            Violation { path, message: format!("{message}{hint}") }
        };
        match self {
            Self::Manifests(all) => {
                let faults = all.0.iter().map(|one| told(one.place(), &one.message, one.hint.as_ref()));
                Some(("the files of tools", faults.collect()))
            }
            Self::Policies(all) => {
                let faults = all.0.iter().map(|one| told(one.place(), &one.message, one.hint.as_ref()));
                Some(("the policies", faults.collect()))
            }
            Self::File { .. }
            | Self::Exposed { .. }
            | Self::Pepper { .. }
            | Self::Listen(_)
            | Self::Store(_)
            | Self::Unavailable(_)
            | Self::FailPoint(_)
            | Self::Config(_)
            | Self::Tools(_) => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::File { path, source } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "make it yours and writable, or choose another folder with --data-dir or TOOLCTL_DATA_DIR"
                        .to_owned()
                }
                io::ErrorKind::StorageFull => "free some space on that disk".to_owned(),
                _ => format!("look at `{}`", path.display()),
            },
            Self::Exposed { path } => format!("chmod 600 {}", path.display()),
            Self::Pepper { .. } => {
                "restore it from a backup: without it no API key of this store can be checked".to_owned()
            }
            Self::Listen(cannot) => cannot.hint(),
            Self::Store(cannot) => cannot.hint().to_owned(),
            Self::Unavailable(_) => "look at the disk of the state folder: is it full or read-only?".to_owned(),
            Self::Config(invalid) => invalid.hint.clone().unwrap_or_else(|| "mend it and start again".to_owned()),
            Self::FailPoint(cannot) => cannot.hint(),
            Self::Manifests(_) => "`toolctl tools lint` shows each with its lines".to_owned(),
            Self::Tools(_) => "mend the tool".to_owned(),
            Self::Policies(_) => "`toolctl policy show` prints the policy that ships".to_owned(),
        }
    }
}

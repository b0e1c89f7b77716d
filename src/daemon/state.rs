//! The state folder: the store and the pepper, readable by their owner only.

use std::io;
use std::path::{Path, PathBuf};

use crate::authn::key::Pepper;
use crate::clock;
use crate::transport::private;

use super::CannotStart;

/// The state folder, made if it was not there.
#[derive(Debug, Clone)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// Makes the folder (0700) if need be.
    ///
    /// # Errors
    /// When it cannot be made or is no folder.
    pub fn open(path: &Path) -> Result<Self, CannotStart> {
        private::create_folder(path).map_err(|source| CannotStart::file(path, source))?;
        Ok(Self(path.to_owned()))
    }

    /// The file of the store.
    pub fn store(&self) -> PathBuf {
        self.0.join("store.redb")
    }

    /// What people agreed to of servers.
    pub fn pins(&self) -> PathBuf {
        self.0.join("pins")
    }

    /// Where commands run.
    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// The pepper, made on first use.
    ///
    /// # Errors
    /// When the file cannot be read or written, others can read it, or it is damaged.
    pub fn pepper(&self) -> Result<Pepper, CannotStart> {
        let path = self.0.join("pepper");
        let fail = |source| CannotStart::file(&path, source);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; 32];
                clock::fill(&mut bytes);
                let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                private::write_new(&path, &text).map_err(fail)?;
                text
            }
            Err(error) => return Err(fail(error)),
        };
        if !private::is_private(&path).map_err(fail)? {
            return Err(CannotStart::Exposed { path });
        }
        let bytes = decode(text.trim()).ok_or_else(|| CannotStart::Pepper { path: path.clone() })?;
        Ok(Pepper::new(bytes))
    }
}

fn decode(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

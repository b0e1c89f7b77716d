//! The key a client shows, and where it is found. Never on the command line: other users can read that.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::transport::private;

/// An API key. Its text shows in no debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a key; blanks around it go.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The text, for what is sent to the daemon alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The places a key can come from, in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Sources {
    /// `--as NAME`, as the file of that name. A flag comes before the environment.
    pub named: Option<PathBuf>,
    /// The value of `TOOLCTL_KEY`.
    pub variable: Option<String>,
    /// The file that `TOOLCTL_KEY_FILE` names.
    pub file: Option<PathBuf>,
    /// The file used when nothing is said; it need not exist.
    pub fallback: Option<PathBuf>,
}

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// Others may read it.
    #[error("others can read the key file `{}`", .0.display())]
    Exposed(PathBuf),
    /// It cannot be read.
    #[error("cannot read the key file `{}`: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// It is empty or holds something a header cannot carry.
    #[error("{0} holds no key")]
    Malformed(String),
}

impl Sources {
    /// The first key there is; none when nothing is said and there is no default key.
    ///
    /// # Errors
    /// [`BadKey`] when a place that was named has no usable key: another one is never taken instead.
    pub fn find(&self) -> Result<Option<Secret>, BadKey> {
        if let Some(path) = &self.named {
            return read(path).map(Some);
        }
        if let Some(text) = self.variable.as_deref().filter(|text| !text.is_empty()) {
            return check(text, "`TOOLCTL_KEY`".to_owned()).map(Some);
        }
        if let Some(path) = &self.file {
            return read(path).map(Some);
        }
        match &self.fallback {
            Some(path) if path.exists() => read(path).map(Some),
            _ => Ok(None),
        }
    }
}

fn read(path: &Path) -> Result<Secret, BadKey> {
    let unreadable = |reason| BadKey::Unreadable { path: path.to_owned(), reason };
    if !private::is_private(path).map_err(unreadable)? {
        return Err(BadKey::Exposed(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    check(&text, format!("`{}`", path.display()))
}

fn check(text: &str, place: String) -> Result<Secret, BadKey> {
    let key = text.trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BadKey::Malformed(place));
    }
    Ok(Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_is_named_decides() {
        let folder = tempfile::tempdir().expect("a folder");
        let named = folder.path().join("named");
        let fallback = folder.path().join("key");
        private::write_new(&named, "tctl_named\n").expect("written");
        private::write_new(&fallback, "tctl_default\n").expect("written");
        let mut sources =
            Sources { named: Some(named), variable: Some("tctl_env".into()), file: None, fallback: Some(fallback) };
        let found = |sources: &Sources| sources.find().expect("found").map(|key| key.reveal().to_owned());
        assert_eq!(found(&sources).as_deref(), Some("tctl_named"));
        sources.named = None;
        assert_eq!(found(&sources).as_deref(), Some("tctl_env"));
        sources.variable = None;
        assert_eq!(found(&sources).as_deref(), Some("tctl_default"));
        sources.file = Some(folder.path().join("missing"));
        assert!(matches!(sources.find(), Err(BadKey::Unreadable { .. })), "a named file is never skipped");
        assert_eq!(found(&Sources::default()), None);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, "tctl_x").expect("written, as the platform and its umask say");
        let private = private::is_private(&path).expect("looked at");
        let sources = Sources { fallback: Some(path), ..Sources::default() };
        assert_eq!(matches!(sources.find(), Err(BadKey::Exposed(_))), !private);
    }

    #[test]
    fn a_key_never_shows() {
        assert_eq!(format!("{:?}", Secret::new("tctl_x")), "Secret(…)");
    }
}

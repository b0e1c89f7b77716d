//! What the last daemon of a store was told when it started, and whether it was stopped on purpose: a small
//! file beside the store. Whoever starts a daemon unasked, as `toolctl mcp --autostart` does, brings it back
//! under the same rules, or not at all. Pure: the daemon writes the file, the command line reads it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;

/// Variables that hold rules. Their values may be secrets, and are not kept; only which of them were set is.
pub const RULES: [&str; 3] = ["API_KEY", "ALLOWED_TOOLS", "RATE_LIMIT_PER_MIN"];

/// What the last daemon was told. Paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastStart {
    /// `--config`; none when it took the usual file, if there was one.
    pub config: Option<PathBuf>,
    /// The usual config folder, which that file would be in.
    pub config_dir: PathBuf,
    /// `--env-file`
    pub env_file: Option<PathBuf>,
    /// The state folder, however it was named.
    pub data_dir: PathBuf,
    /// The socket or pipe, however it was named.
    pub socket: PathBuf,
    /// The TCP address of the command line or of `TOOLCTL_LISTEN`.
    pub listen: Option<String>,
    /// `--allow-remote`
    pub allow_remote: bool,
    /// `--drain`, in milliseconds.
    pub drain_ms: Option<u64>,
    /// Which of [`RULES`] its process environment had.
    pub environment: Vec<String>,
    /// By whom or how it was stopped on purpose; none while it runs, and after a crash.
    pub stopped: Option<String>,
}

impl LastStart {
    /// The file in a state folder.
    pub fn file(state: &Path) -> PathBuf {
        state.join("last-start.json")
    }

    /// The file in the usual state folder that speaks of a daemon whose state folder is another one: a client
    /// that knows nothing but the socket finds it there.
    pub fn file_of_socket(usual: &Path, socket: &Path) -> PathBuf {
        let digest = Digest::of("toolctl.socket", &[absolute(socket).as_os_str().as_encoded_bytes()]).hex();
        usual.join(format!("last-start-{}.json", digest.get(..16).unwrap_or(&digest)))
    }

    /// The arguments after `serve` that start such a daemon again.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = self.chosen();
        for (flag, path) in [("--data-dir", &self.data_dir), ("--socket", &self.socket)] {
            arguments.extend([flag.into(), path.into()]);
        }
        arguments
    }

    /// Those of them that change its rules or its reach.
    pub fn chosen(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        for (flag, path) in [("--config", &self.config), ("--env-file", &self.env_file)] {
            arguments.extend(path.iter().flat_map(|path| [flag.into(), path.into()]));
        }
        arguments.extend(self.listen.iter().flat_map(|address| ["--listen".into(), address.into()]));
        arguments.extend(self.allow_remote.then(|| "--allow-remote".into()));
        arguments.extend(self.drain_ms.iter().flat_map(|span| ["--drain".into(), format!("{span}ms").into()]));
        arguments
    }

    /// The rules it had that an environment lacks.
    pub fn lacking(&self, has: impl Fn(&str) -> bool) -> Vec<&str> {
        self.environment.iter().map(String::as_str).filter(|name| !has(name)).collect()
    }

    /// Whether it listened there.
    pub fn listened_at(&self, socket: &Path) -> bool {
        absolute(socket) == self.socket
    }
}

/// A path that means the same in another folder.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_repeated_by_its_flags() {
        let plain = LastStart { data_dir: "/d".into(), socket: "/s".into(), ..LastStart::default() };
        assert_eq!(plain.arguments(), ["--data-dir", "/d", "--socket", "/s"]);
        let full = LastStart {
            config: Some("/c/x.toml".into()),
            env_file: Some("/c/.env".into()),
            listen: Some("127.0.0.1:8000".to_owned()),
            allow_remote: true,
            drain_ms: Some(1_500),
            ..plain
        };
        let chosen = ["--config", "/c/x.toml", "--env-file", "/c/.env", "--listen", "127.0.0.1:8000", "--allow-remote"];
        assert_eq!(full.chosen(), [chosen.as_slice(), &["--drain", "1500ms"]].concat());
        assert_eq!(full.arguments().len(), 13);
    }

    #[test]
    fn rules_that_are_missing_are_named() {
        let environment = RULES.map(ToOwned::to_owned).into();
        let last = LastStart { environment, ..LastStart::default() };
        assert_eq!(last.lacking(|name| name == "API_KEY"), ["ALLOWED_TOOLS", "RATE_LIMIT_PER_MIN"]);
    }

    #[test]
    fn a_moved_store_is_found_by_its_socket() {
        let of = |socket: &str| LastStart::file_of_socket(Path::new("/state"), Path::new(socket));
        assert_ne!(of("/a.sock"), of("/b.sock"));
        assert_eq!(of("a.sock"), of(&absolute(Path::new("a.sock")).to_string_lossy()));
    }
}

//! Where things live: socket, state, configuration and cache, by the platform's conventions and the
//! `TOOLCTL_…` variables. Flags come on top, at their place of use.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;

use crate::domain::digest::Digest;

/// The folders and the socket of one user's toolctl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The daemon's socket, on Windows its named pipe; or `http://HOST:PORT` when `TOOLCTL_SOCKET` says so.
    pub socket: PathBuf,
    /// The store, the signing key and the pepper.
    pub state: PathBuf,
    /// `toolctl.toml`, `policies/`, `tools/`, `key` and `keys/`.
    pub config: PathBuf,
    /// What can be made again.
    pub cache: PathBuf,
}

impl Paths {
    /// Finds the paths in the environment. None when there is no home folder to start from.
    pub fn find() -> Option<Self> {
        Self::from_environment(&|name| std::env::var_os(name), ProjectDirs::from("", "", "toolctl").as_ref())
    }

    fn from_environment(env: &dyn Fn(&str) -> Option<OsString>, platform: Option<&ProjectDirs>) -> Option<Self> {
        let given = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = given("TOOLCTL_DATA_DIR").or_else(|| platform.map(|dirs| state_of(dirs).to_owned()))?;
        let config = given("TOOLCTL_CONFIG_DIR").or_else(|| platform.map(|dirs| dirs.config_dir().to_owned()))?;
        let cache = platform.map_or_else(|| state.join("cache"), |dirs| dirs.cache_dir().to_owned());
        let user = given("USERNAME").filter(|_| has_pipes());
        let socket = given("TOOLCTL_SOCKET").unwrap_or_else(|| match user {
            Some(user) => pipe(&user.to_string_lossy()),
            None => Self::socket_in(platform.and_then(ProjectDirs::runtime_dir).unwrap_or(&state)),
        });
        Some(Self { socket, state, config, cache })
    }

    /// The socket in a folder. Pipes are in no folder: on Windows it is one whose name only this folder gives.
    pub fn socket_in(folder: &Path) -> PathBuf {
        if !has_pipes() {
            return folder.join("toolctl.sock");
        }
        let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let digest = Digest::of("toolctl.pipe", &[whole.as_os_str().as_encoded_bytes()]).hex();
        pipe(digest.get(..16).unwrap_or(&digest))
    }

    /// The key used when nothing else is said.
    pub fn default_key(&self) -> PathBuf {
        self.config.join("key")
    }

    /// A key by its name.
    pub fn named_key(&self, name: &str) -> PathBuf {
        self.config.join("keys").join(name)
    }
}

/// Whether a daemon of this platform listens on a named pipe and not on a socket.
fn has_pipes() -> bool {
    std::env::consts::FAMILY == "windows"
}

fn pipe(whose: &str) -> PathBuf {
    format!(r"\\.\pipe\toolctl-{whose}").into()
}

fn state_of(platform: &ProjectDirs) -> &Path {
    platform.state_dir().unwrap_or_else(|| platform.data_local_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_before_the_platform() {
        let env = |name: &str| match name {
            "TOOLCTL_SOCKET" => Some("/s/x.sock".into()),
            "TOOLCTL_DATA_DIR" => Some("/d".into()),
            "TOOLCTL_CONFIG_DIR" => Some("/c".into()),
            _ => None,
        };
        let paths = Paths::from_environment(&env, None).expect("found");
        assert_eq!(paths.socket, Path::new("/s/x.sock"));
        assert_eq!((paths.state.as_path(), paths.default_key()), (Path::new("/d"), PathBuf::from("/c/key")));
        assert_eq!(paths.named_key("ci"), Path::new("/c/keys/ci"));
    }

    #[test]
    fn without_a_runtime_folder_the_socket_is_in_the_state_folder() {
        let env = |name: &str| matches!(name, "TOOLCTL_DATA_DIR" | "TOOLCTL_CONFIG_DIR").then(|| "/d".into());
        let paths = Paths::from_environment(&env, None).expect("found");
        assert_eq!(paths.socket, Paths::socket_in(Path::new("/d")));
    }

    #[test]
    fn a_folder_has_its_own_socket_or_pipe() {
        let socket = Paths::socket_in(Path::new("/d"));
        if has_pipes() {
            let name = socket.to_string_lossy().into_owned();
            assert!(name.starts_with(r"\\.\pipe\toolctl-") && name.len() == 25 + 8, "{name}");
            assert_ne!(socket, Paths::socket_in(Path::new("/e")));
        } else {
            assert_eq!(socket, Path::new("/d/toolctl.sock"));
        }
    }

    #[test]
    fn on_windows_the_pipe_has_the_users_name() {
        let env = |name: &str| match name {
            "USERNAME" => Some("alice".into()),
            "TOOLCTL_DATA_DIR" | "TOOLCTL_CONFIG_DIR" => Some("/d".into()),
            _ => None,
        };
        let paths = Paths::from_environment(&env, None).expect("found");
        let expected = if has_pipes() { r"\\.\pipe\toolctl-alice" } else { "/d/toolctl.sock" };
        assert_eq!(paths.socket, Path::new(expected));
    }

    #[test]
    fn without_a_home_there_are_no_paths() {
        assert_eq!(Paths::from_environment(&|_| None, None), None);
    }
}

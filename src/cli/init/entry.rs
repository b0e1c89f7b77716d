//! What a client is told to start: this program's `mcp` command, under a key of the client's own. Pure but for
//! finding the program's own path.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The name of an entry when nothing else is said.
pub const USUAL_NAME: &str = "toolctl";

/// Variables that say where toolctl's files and socket are. Clients start servers with a handful of variables
/// (the SDKs pass HOME, PATH and a few more), so an entry made where one of these is set would look elsewhere.
const PLACES: [&str; 5] =
    ["TOOLCTL_CONFIG_DIR", "TOOLCTL_DATA_DIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"];

/// A server that a client starts and talks to over stdin and stdout.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// The server's name in the client.
    pub name: String,
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its variables, beside those the client passes anyway. Never a secret.
    #[serde(rename = "env", serialize_with = "as_map")]
    pub variables: Vec<(String, String)>,
}

fn as_map<S: serde::Serializer>(pairs: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

impl Entry {
    /// The entry for a client whose stored key is `key`. `socket` is what was given, if anything was; with
    /// `autostart` it may start the daemon.
    pub fn ours(
        name: &str,
        program: &Path,
        key: &str,
        socket: Option<&str>,
        autostart: bool,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        let mut args: Vec<String> = ["mcp", "--as", key].map(ToOwned::to_owned).into();
        args.extend(autostart.then(|| "--autostart".to_owned()));
        if let Some(socket) = socket {
            args.extend(["--socket".to_owned(), absolute(socket)]);
        }
        let variables = PLACES.iter().filter_map(|name| {
            let value = env(name).filter(|value| !value.is_empty())?;
            Some(((*name).to_owned(), absolute(&value.to_string_lossy())))
        });
        Self {
            name: name.to_owned(),
            command: program.to_string_lossy().into_owned(),
            args,
            variables: variables.collect(),
        }
    }

    /// Whether it starts a toolctl as an MCP server, wherever that one is.
    pub fn is_toolctl(&self) -> bool {
        let file = self.command.rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
        file.starts_with("toolctl") && self.args.first().is_some_and(|arg| arg == "mcp")
    }

    /// The stored key it uses.
    pub fn key(&self) -> Option<&str> {
        self.flag("--as")
    }

    /// The file of that key, `config` being the config folder where the entry names none.
    pub fn key_file(&self, config: &Path) -> Option<PathBuf> {
        let named = self.variables.iter().find(|(name, _)| name == "TOOLCTL_CONFIG_DIR");
        let config = named.map_or(config, |(_, path)| Path::new(path));
        self.key().map(|name| config.join("keys").join(name))
    }

    /// The socket or address it names.
    pub fn socket(&self) -> Option<&str> {
        self.flag("--socket")
    }

    /// Flags that are not among those an entry of this version has.
    pub fn unknown_flags(&self) -> Vec<&str> {
        let mut unknown = Vec::new();
        let mut args = self.args.iter().skip(1).map(String::as_str);
        while let Some(arg) = args.next() {
            match arg.split_once('=').map_or(arg, |(flag, _)| flag) {
                "--as" | "--socket" if arg.contains('=') => {}
                "--as" | "--socket" => drop(args.next()),
                "--autostart" => {}
                _ => unknown.push(arg),
            }
        }
        unknown
    }

    /// What `init` writes of it: variables and arguments that somebody else added may be secrets.
    pub fn known(&self) -> Self {
        let args = if self.unknown_flags().is_empty() { self.args.clone() } else { Vec::new() };
        let known = self.variables.iter().filter(|(name, _)| PLACES.contains(&name.as_str()));
        Self { args, variables: known.cloned().collect(), ..self.clone() }
    }

    fn flag(&self, name: &str) -> Option<&str> {
        let mut args = self.args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            if arg == name {
                return args.next();
            }
            if let Some(value) = arg.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
                return Some(value);
            }
        }
        None
    }
}

/// A path that means the same in another folder; an address stays as it is.
fn absolute(text: &str) -> String {
    if text.starts_with("http://") {
        return text.to_owned();
    }
    std::path::absolute(text).map_or_else(|_| text.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// This program by the path under which the shell finds it, if it does, as package managers keep that one stable
/// over upgrades; else where it is.
///
/// # Errors
/// When the system does not say where it is.
pub fn program(env: &dyn Fn(&str) -> Option<OsString>) -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let whole = std::fs::canonicalize(&own).unwrap_or_else(|_| own.clone());
    let name = format!("toolctl{}", std::env::consts::EXE_SUFFIX);
    let path = env("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|dir| dir.join(&name));
    let stable = candidates.find(|candidate| std::fs::canonicalize(candidate).is_ok_and(|found| found == whole));
    Ok(stable.unwrap_or(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(args: &[&str]) -> Entry {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Entry { name: "toolctl".into(), command: r"C:\bin\ToolCtl.EXE".into(), args, variables: Vec::new() }
    }

    #[test]
    fn an_entry_names_the_key_the_socket_and_what_was_set() {
        let env = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "/run/user/7".into());
        let made = Entry::ours("toolctl", Path::new("/bin/toolctl"), "cursor", Some("/s/x.sock"), true, &env);
        assert_eq!(made.args, ["mcp", "--as", "cursor", "--autostart", "--socket", "/s/x.sock"]);
        assert_eq!(made.variables, [("XDG_RUNTIME_DIR".to_owned(), "/run/user/7".to_owned())]);
        assert_eq!(made.key(), Some("cursor"));
        assert_eq!(made.unknown_flags(), Vec::<&str>::new());
        let place = Some("http://127.0.0.1:8");
        let made = Entry::ours("toolctl", Path::new("/bin/toolctl"), "cursor", place, false, &|_| None);
        assert!(!made.args.contains(&"--autostart".to_owned()), "{:?}", made.args);
        assert_eq!(made.args.last().map(String::as_str), Some("http://127.0.0.1:8"));
    }

    #[test]
    fn an_entry_of_ours_is_known_by_its_program_and_command() {
        assert!(entry(&["mcp"]).is_toolctl());
        assert!(!entry(&["serve"]).is_toolctl());
        assert!(!Entry { command: "/bin/other".into(), ..entry(&["mcp"]) }.is_toolctl());
        assert_eq!(entry(&["mcp", "--as=x", "--loud", "--socket", "--as"]).unknown_flags(), ["--loud"]);
        assert_eq!(entry(&["mcp", "--as=x"]).key(), Some("x"));
    }
}

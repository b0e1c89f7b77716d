//! A program that runs a tool: which one (by its bytes, not only by its name), with which arguments, in which
//! surroundings, and how its end is to be read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::digest::Digest;
use super::template::{Element, Text};

/// Where commands, and the programs they start, find programs.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables that no definition may set: they make programs load, run or trust something else. A `*` at the end
/// stands for any characters.
const FORBIDDEN: &[&str] = &[
    "LD_*",
    "DYLD_*",
    "GCONV_PATH",
    "MALLOC_*",
    "GLIBC_TUNABLES",
    "BASH_ENV",
    "BASH_FUNC_*",
    "ENV",
    "IFS",
    "PS4",
    "SHELLOPTS",
    "BASHOPTS",
    "PYTHON*",
    "PERL5*",
    "PERLLIB",
    "RUBY*",
    "NODE_*",
    "GIT_*",
    "SSH_AUTH_SOCK",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "LUA_*",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "TOOLCTL_*",
    "PATH",
    "HOME",
    "TMPDIR",
];

/// Whether a definition may not set this variable, as it makes programs do other things or is given by us.
pub fn is_forbidden(variable: &str) -> bool {
    FORBIDDEN.iter().any(|name| match name.strip_suffix('*') {
        Some(start) => variable.starts_with(start),
        None => variable == *name,
    })
}

/// A program, its arguments, its surroundings and its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandAction {
    /// The program.
    pub program: Pinned,
    /// The script that an interpreter runs, when an argument names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Pinned>,
    /// The arguments after the program's name.
    pub arguments: Vec<Element>,
    /// What it reads on stdin.
    pub stdin: Input,
    /// How its stdout is read.
    pub output: Form,
    /// What its exit status means.
    pub exits: Exits,
    /// The folder it runs in; none means a private one for each call.
    pub folder: Option<PathBuf>,
    /// Variables beside those that every command gets.
    pub environment: BTreeMap<String, Variable>,
    /// What it may use.
    pub limits: Limits,
    /// What it may reach.
    pub sandbox: Sandbox,
    /// Arguments that are paths, each with the folder that it must not leave.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<String, PathBuf>,
    /// An argument stands where an interpreter reads code, and the operator said that this is meant.
    pub allow_interpreter: bool,
}

/// A file by its path and its bytes: replaced, it is another program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// Its absolute path.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// What a command reads on stdin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// Nothing: it is at its end at once.
    #[default]
    None,
    /// The arguments as one JSON document.
    Json,
}

/// How stdout becomes the output of the tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// One JSON document; if it is no object, it becomes the member `result` of one.
    Json,
    /// The member `text`, exactly as it was printed.
    #[default]
    Text,
    /// The member `lines`, a list of text.
    Lines,
}

/// What an exit status means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exits {
    /// It succeeded.
    pub success: Vec<u8>,
    /// It failed, and nothing happened.
    pub no_effect: Vec<u8>,
    /// It failed for now, and nothing happened (`EX_TEMPFAIL` of sysexits(3) is 75): it is started again.
    pub temporary: Vec<u8>,
    /// How it is started again; none means the usual way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// How a command is started again that failed for now, always within the time of its tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Starts, the first one included.
    pub attempts: u32,
    /// Before the second start, in milliseconds; doubled before each further one.
    pub wait_ms: u64,
}

impl Default for Retry {
    /// Three starts, a quarter and half a second apart.
    fn default() -> Self {
        Self { attempts: 3, wait_ms: 250 }
    }
}

impl Default for Exits {
    /// 0 is success; of everything else nobody knows.
    fn default() -> Self {
        Self { success: vec![0], no_effect: Vec::new(), temporary: Vec::new(), retry: None }
    }
}

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variable {
    /// Text, perhaps with arguments in it.
    Text(Text),
    /// A secret, by where it is: its value is in no definition, no log and no store.
    Secret(SecretRef),
    /// The path of a file that holds the secret and that has no name in any folder.
    #[serde(rename = "secret_file")]
    SecretFile(SecretRef),
}

/// Where a secret is. Written `env:NAME`, `file:/path` or `credential:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretRef {
    /// A variable of the daemon's environment.
    Environment(String),
    /// A file that the daemon can read.
    File(PathBuf),
    /// A credential that systemd hands to the daemon (systemd.exec(5), `LoadCredential=`).
    Credential(String),
}

/// A text that is no reference to a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a secret is named `env:NAME`, `file:/absolute/path` or `credential:NAME`")]
pub struct NotASecretRef;

impl FromStr for SecretRef {
    type Err = NotASecretRef;

    fn from_str(text: &str) -> Result<Self, NotASecretRef> {
        let word = |name: &str| {
            let fits = !name.is_empty()
                && !name.starts_with('.')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
            fits.then(|| name.to_owned()).ok_or(NotASecretRef)
        };
        match text.split_once(':') {
            Some(("env", name)) => word(name).map(Self::Environment),
            Some(("credential", name)) => word(name).map(Self::Credential),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            _ => Err(NotASecretRef),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

impl Serialize for SecretRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a command may use. Its time is the tool's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Between SIGTERM and SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// Bytes of address space of each process; none means no limit.
    pub memory: Option<u64>,
    /// Bytes of the largest file it may write; none means no limit.
    pub file_size: Option<u64>,
    /// Open files of each process.
    pub files: u64,
    /// Processes of the daemon's user while it runs; none means no limit.
    pub processes: Option<u64>,
    /// Seconds of processor time of each process; none means no limit.
    pub cpu_seconds: Option<u64>,
}

impl Limits {
    /// Between SIGTERM and SIGKILL.
    pub const fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }
}

impl Default for Limits {
    /// 5 s of grace and 256 open files; nothing else is limited.
    fn default() -> Self {
        Self { grace_ms: 5_000, memory: None, file_size: None, files: 256, processes: None, cpu_seconds: None }
    }
}

/// What a command may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// How strictly.
    pub level: SandboxLevel,
    /// Files and folders it may read, beside the system's programs and libraries.
    pub read: Vec<PathBuf>,
    /// Files and folders it may change, beside its private one.
    pub write: Vec<PathBuf>,
    /// TCP ports it may connect to; none at all means no network.
    pub network: Vec<u16>,
    /// Run it even where the kernel cannot enforce all of this.
    pub best_effort: bool,
}

/// How strictly a command is kept in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxLevel {
    /// Limits and `no_new_privs`; it reaches what the daemon's user reaches.
    #[default]
    None,
    /// Only the files and ports that are listed, and no system calls that no tool needs.
    Files,
}

impl SandboxLevel {
    /// The word in manifests and in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Files => "files",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_named_by_where_they_are() {
        for text in ["env:GH_TOKEN", "file:/run/secrets/token", "credential:api.key"] {
            assert_eq!(text.parse::<SecretRef>().map(|secret| secret.to_string()), Ok(text.to_owned()));
        }
        for text in ["GH_TOKEN", "env:", "file:relative", "credential:../x", "vault:x", "env:A B"] {
            assert_eq!(text.parse::<SecretRef>(), Err(NotASecretRef), "{text}");
        }
    }
}

//! Where each client keeps its config, on each platform. The environment and the platform come in as arguments, so
//! every platform's answer can be tested on any.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::client::McpClient;
use crate::cli::error::{CliError, Exit};

/// What decides where a person's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Linux and other free Unixes (XDG base directories).
    Linux,
    /// macOS.
    Mac,
    /// Windows.
    Windows,
}

impl Platform {
    /// The one this program was built for.
    pub fn own() -> Self {
        match std::env::consts::OS {
            "macos" => Self::Mac,
            "windows" => Self::Windows,
            _ => Self::Linux,
        }
    }
}

/// The folders that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    home: PathBuf,
    /// Where applications keep what a person set.
    settings: PathBuf,
    claude: Option<PathBuf>,
    codex: Option<PathBuf>,
    platform: Platform,
}

impl Places {
    /// Those of this process.
    ///
    /// # Errors
    /// When there is no home folder.
    pub fn own() -> Result<Self, CliError> {
        Self::find(Platform::own(), &|name| std::env::var_os(name)).ok_or_else(|| {
            CliError::new(Exit::Failure, "no-home", "there is no home folder to find the clients' files in")
                .hint("set `HOME`")
        })
    }

    /// Finds them; none when there is no home folder.
    pub fn find(platform: Platform, env: &dyn Fn(&str) -> Option<OsString>) -> Option<Self> {
        let given = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = match platform {
            Platform::Windows => given("USERPROFILE").or_else(|| given("HOME"))?,
            Platform::Linux | Platform::Mac => given("HOME")?,
        };
        let settings = match platform {
            Platform::Linux => {
                given("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).unwrap_or_else(|| home.join(".config"))
            }
            Platform::Mac => home.join("Library").join("Application Support"),
            Platform::Windows => given("APPDATA").unwrap_or_else(|| home.join("AppData").join("Roaming")),
        };
        Some(Self { home, settings, claude: given("CLAUDE_CONFIG_DIR"), codex: given("CODEX_HOME"), platform })
    }

    /// The file with the person's own settings of this client.
    pub fn user(&self, client: McpClient) -> PathBuf {
        match client {
            McpClient::ClaudeCode => self.claude.as_ref().unwrap_or(&self.home).join(".claude.json"),
            McpClient::ClaudeDesktop => self.settings.join("Claude").join("claude_desktop_config.json"),
            McpClient::Cursor => self.home.join(".cursor").join("mcp.json"),
            McpClient::VsCode => self.settings.join("Code").join("User").join("mcp.json"),
            McpClient::Codex => self.codex.clone().unwrap_or_else(|| self.home.join(".codex")).join("config.toml"),
            McpClient::Gemini => self.home.join(".gemini").join("settings.json"),
            McpClient::Goose => match self.platform {
                Platform::Windows => self.settings.join("Block").join("goose").join("config").join("config.yaml"),
                Platform::Linux => self.settings.join("goose").join("config.yaml"),
                Platform::Mac => self.home.join(".config").join("goose").join("config.yaml"),
            },
        }
    }

    /// What is there once the client was used: its file, or a folder of its own.
    pub fn traces(&self, client: McpClient) -> Vec<PathBuf> {
        let file = self.user(client);
        let folder = match client {
            McpClient::ClaudeCode => Some(self.claude.clone().unwrap_or_else(|| self.home.join(".claude"))),
            McpClient::VsCode => Some(self.settings.join("Code")),
            McpClient::ClaudeDesktop | McpClient::Cursor | McpClient::Codex | McpClient::Gemini | McpClient::Goose => {
                file.parent().map(Path::to_owned)
            }
        };
        [Some(file), folder].into_iter().flatten().collect()
    }
}

/// The file of this client that a project carries; none for clients without one.
pub fn project(client: McpClient, folder: &Path) -> Option<PathBuf> {
    match client {
        McpClient::ClaudeCode => Some(folder.join(".mcp.json")),
        McpClient::Cursor => Some(folder.join(".cursor").join("mcp.json")),
        McpClient::VsCode => Some(folder.join(".vscode").join("mcp.json")),
        McpClient::ClaudeDesktop | McpClient::Codex | McpClient::Gemini | McpClient::Goose => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(platform: Platform, variables: &[(&str, &str)]) -> Vec<String> {
        let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
        let places = Places::find(platform, &env).expect("a home");
        McpClient::ALL.map(|client| places.user(client).to_string_lossy().replace('\\', "/")).into()
    }

    #[test]
    fn every_platform_has_its_places() {
        assert_eq!(
            files(Platform::Linux, &[("HOME", "/h")]),
            [
                "/h/.claude.json",
                "/h/.config/Claude/claude_desktop_config.json",
                "/h/.cursor/mcp.json",
                "/h/.config/Code/User/mcp.json",
                "/h/.codex/config.toml",
                "/h/.gemini/settings.json",
                "/h/.config/goose/config.yaml",
            ]
        );
        let mac = files(Platform::Mac, &[("HOME", "/h")]);
        assert_eq!(mac[1], "/h/Library/Application Support/Claude/claude_desktop_config.json");
        assert_eq!(mac[3], "/h/Library/Application Support/Code/User/mcp.json");
        assert_eq!(mac[6], "/h/.config/goose/config.yaml");
        let windows = files(Platform::Windows, &[("USERPROFILE", "/u"), ("APPDATA", "/u/AppData/Roaming")]);
        assert_eq!(windows[0], "/u/.claude.json");
        assert_eq!(windows[1], "/u/AppData/Roaming/Claude/claude_desktop_config.json");
        assert_eq!(windows[6], "/u/AppData/Roaming/Block/goose/config/config.yaml");
    }

    #[test]
    fn variables_move_them() {
        let variables =
            [("HOME", "/h"), ("XDG_CONFIG_HOME", "/x"), ("CLAUDE_CONFIG_DIR", "/cc"), ("CODEX_HOME", "/cx")];
        let found = files(Platform::Linux, &variables);
        assert_eq!([&found[0], &found[3], &found[4]], ["/cc/.claude.json", "/x/Code/User/mcp.json", "/cx/config.toml"]);
        assert_eq!(Places::find(Platform::Linux, &|_| None), None);
    }
}

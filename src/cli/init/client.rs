//! The MCP clients that can be set up, and what each wants an entry to look like. One table; nothing else
//! knows a client by name.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::edit::{Members, Slot, Syntax};
use super::entry::Entry;

/// A program that starts MCP servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum McpClient {
    /// Claude Code, Anthropic's coding agent
    ClaudeCode,
    /// Claude Desktop, the chat application
    ClaudeDesktop,
    /// Cursor, the editor
    Cursor,
    /// Visual Studio Code with Copilot
    #[value(name = "vscode")]
    VsCode,
    /// Codex CLI, OpenAI's coding agent
    Codex,
    /// Gemini CLI, Google's coding agent
    Gemini,
    /// goose, Block's agent
    Goose,
}

impl McpClient {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 7] =
        [Self::ClaudeCode, Self::ClaudeDesktop, Self::Cursor, Self::VsCode, Self::Codex, Self::Gemini, Self::Goose];

    /// Its name on the command line, which is also that of its stored key and of its principal, `agent:NAME`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::ClaudeDesktop => "claude-desktop",
            Self::Cursor => "cursor",
            Self::VsCode => "vscode",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Goose => "goose",
        }
    }

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::ClaudeDesktop => "Claude Desktop",
            Self::Cursor => "Cursor",
            Self::VsCode => "VS Code",
            Self::Codex => "Codex CLI",
            Self::Gemini => "Gemini CLI",
            Self::Goose => "goose",
        }
    }

    /// The language of its config.
    pub const fn syntax(self) -> Syntax {
        match self {
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Cursor | Self::VsCode | Self::Gemini => Syntax::Json,
            Self::Codex => Syntax::Toml,
            Self::Goose => Syntax::Yaml,
        }
    }

    /// Where in its config the entry of this name stands.
    pub fn slot(self, name: &str) -> Slot {
        let table = match self {
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Cursor | Self::Gemini => "mcpServers",
            Self::VsCode => "servers",
            Self::Codex => "mcp_servers",
            Self::Goose => "extensions",
        };
        Slot { table, name: name.to_owned() }
    }

    /// The entry in this client's words.
    pub fn members(self, entry: &Entry) -> Members {
        let (command, args) = (json!(entry.command), json!(entry.args));
        let variables: Map<String, Value> =
            entry.variables.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let mut members: Members = match self {
            Self::ClaudeCode | Self::ClaudeDesktop | Self::Cursor | Self::Gemini | Self::Codex => {
                vec![("command", command), ("args", args)]
            }
            Self::VsCode => vec![("type", json!("stdio")), ("command", command), ("args", args)],
            Self::Goose => vec![
                ("type", json!("stdio")),
                ("name", json!(entry.name)),
                ("cmd", command),
                ("args", args),
                ("enabled", json!(true)),
                ("timeout", json!(300)),
            ],
        };
        if !variables.is_empty() {
            members.push((self.words().2, Value::Object(variables)));
        }
        members
    }

    /// An entry as it stands in this client's config; none when it does not start a program.
    pub fn read(self, name: &str, value: &Value) -> Option<Entry> {
        let (command, args, variables) = self.words();
        let texts = |value: &Value| value.as_str().map(ToOwned::to_owned);
        Some(Entry {
            name: name.to_owned(),
            command: texts(value.get(command)?)?,
            args: value.get(args).and_then(Value::as_array).into_iter().flatten().filter_map(texts).collect(),
            variables: value
                .get(variables)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.clone(), texts(value)?)))
                .collect(),
        })
    }

    /// What it calls the program, its arguments and its variables.
    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Goose => ("cmd", "args", "envs"),
            _ => ("command", "args", "env"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_command_line() {
        for client in McpClient::ALL {
            assert_eq!(client.to_possible_value().expect("a value").get_name(), client.word());
        }
        assert_eq!(McpClient::ALL.len(), McpClient::value_variants().len());
    }

    #[test]
    fn every_client_reads_what_is_written_for_it() {
        let entry = Entry {
            name: "toolctl".into(),
            command: "/opt/toolctl".into(),
            args: vec!["mcp".into(), "--as".into(), "x".into()],
            variables: vec![("TOOLCTL_DATA_DIR".into(), "/d".into())],
        };
        for client in McpClient::ALL {
            let value: Map<String, Value> =
                client.members(&entry).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            assert_eq!(client.read("toolctl", &Value::Object(value)), Some(entry.clone()), "{}", client.word());
        }
        assert_eq!(McpClient::Cursor.read("toolctl", &json!({"url": "http://x"})), None);
    }
}

//! The MCP servers that an editor already starts, as `[[upstream]]` tables: pure, from what stands in its config. A
//! value that may be a secret never becomes part of a table: it goes where only its owner can read it, and the table
//! says where that is.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::client::McpClient;

/// Words that make a value one that may be a secret.
const SUSPICIOUS: &[&str] =
    &["key", "token", "secret", "pass", "pwd", "auth", "credential", "cookie", "session", "bearer", "private"];

/// Where a file of tools finds programs.
const PATH: &str = crate::domain::tool::command::PATH;

/// One server of an editor's, made ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its name, as ours may be.
    pub name: String,
    /// The table.
    pub table: String,
    /// Values that are kept apart: the file of each, and what it holds.
    pub secrets: Vec<(PathBuf, String)>,
    /// What somebody should know or do.
    pub notes: Vec<String>,
}

/// What is needed of the machine.
pub struct Machine<'a> {
    /// The folder that secrets are kept in.
    pub secrets: &'a Path,
    /// Where a program is that the editor would find.
    pub find: &'a dyn Fn(&str) -> Option<PathBuf>,
}

/// Makes a table of the server `name` in the config of `client`.
///
/// # Errors
/// Says why this one cannot be taken over.
pub fn take(client: McpClient, name: &str, value: &Value, machine: &Machine<'_>) -> Result<Foreign, String> {
    let mut made = Foreign { name: ours(name)?, table: String::new(), secrets: Vec::new(), notes: Vec::new() };
    let url = ["url", "httpUrl", "uri", "serverUrl"].iter().find_map(|word| value.get(word)).and_then(Value::as_str);
    made.table = format!("[[upstream]]\nname = {}\n", quoted(&made.name));
    if value.get("enabled") == Some(&Value::Bool(false)) || value.get("disabled") == Some(&Value::Bool(true)) {
        made.table.push_str("enabled = false\n");
    }
    match (client.read(name, value), url) {
        (Some(entry), _) => {
            made.program(&entry.command, &entry.args, machine)?;
            let mut environment = Vec::new();
            for (variable, value) in &entry.variables {
                environment.push((variable.clone(), made.given(variable, value, machine)));
            }
            if let Some(folder) = value.get("cwd").and_then(Value::as_str) {
                made.table.push_str(&format!("folder = {}\n", quoted(folder)));
            }
            made.values("environment", environment);
        }
        (None, Some(url)) => made.web(value, url, machine)?,
        (None, None) => return Err("it names neither a program nor a URL".to_owned()),
    }
    Ok(made)
}

impl Foreign {
    fn program(&mut self, command: &str, arguments: &[String], machine: &Machine<'_>) -> Result<(), String> {
        let found = (machine.find)(command).ok_or_else(|| format!("its program `{command}` is not on this machine"))?;
        let usual = std::env::split_paths(PATH).any(|folder| found.parent() == Some(folder.as_path()));
        let program = if usual && !command.contains('/') { command.to_owned() } else { found.display().to_string() };
        let mut words = vec![quoted(&program)];
        words.extend(arguments.iter().map(|argument| quoted(argument)));
        self.table.push_str(&format!("command = [{}]\n", words.join(", ")));
        if !usual && let Some(folder) = found.parent() {
            // What it starts in turn is usually beside it.
            let path = format!("{}:{PATH}", folder.display());
            self.table.push_str(&format!("environment.PATH = {}\n", quoted(&path)));
        }
        let open = arguments.iter().enumerate().filter(|(at, argument)| {
            let before = at.checked_sub(1).and_then(|before| arguments.get(before));
            is_suspicious(argument) && argument.contains(['=', ':'])
                || before
                    .is_some_and(|before| before.starts_with('-') && is_suspicious(before) && !before.contains('='))
        });
        for (at, _) in open {
            self.notes.push(format!(
                "argument {} of `{}` may be a secret, and arguments can be seen by every user of this machine: give it \
                 by a variable, if the server takes one",
                at + 1,
                self.name
            ));
        }
        Ok(())
    }

    fn web(&mut self, value: &Value, url: &str, machine: &Machine<'_>) -> Result<(), String> {
        if url.contains("${") {
            return Err("its URL has a variable in it".to_owned());
        }
        if value.get("type").and_then(Value::as_str) == Some("sse") {
            return Err("it speaks the transport of 2024 (SSE), which is no longer spoken".to_owned());
        }
        if is_suspicious(url) && url.contains('?') {
            self.notes.push(format!("the URL of `{}` may hold a secret: give it by a header instead", self.name));
        }
        self.table.push_str(&format!("url = {}\n", quoted(url)));
        if let Some(variable) = value.get("bearer_token_env_var").and_then(Value::as_str) {
            self.table.push_str(&format!("auth = {{ bearer = {} }}\n", quoted(&format!("env:{variable}"))));
            self.notes.push(format!("the daemon needs {variable} in its environment"));
        }
        let mut headers = Vec::new();
        for (header, value) in value.get("headers").and_then(Value::as_object).into_iter().flatten() {
            let Some(text) = value.as_str() else { continue };
            headers.push((header.clone(), self.given(header, text, machine)));
        }
        self.values("headers", headers);
        Ok(())
    }

    /// A value as it stands in the table.
    fn given(&mut self, name: &str, value: &str, machine: &Machine<'_>) -> String {
        let secret = |reference: &str| format!("{{ secret = {} }}", quoted(reference));
        if let Some(variable) = variable(value) {
            self.notes.push(format!("the daemon needs {variable} in its environment"));
            return secret(&format!("env:{variable}"));
        }
        if is_plain(value) && !is_suspicious(name) {
            return quoted(value);
        }
        let file = machine.secrets.join(format!("{}.{name}", self.name));
        let reference = secret(&format!("file:{}", file.display()));
        self.secrets.push((file, value.to_owned()));
        reference
    }

    fn values(&mut self, word: &str, values: Vec<(String, String)>) {
        for (name, value) in values {
            self.table.push_str(&format!("{word}.{} = {value}\n", quoted(&name)));
        }
    }
}

/// The name as ours may be: what does not fit becomes a dash.
fn ours(name: &str) -> Result<String, String> {
    let fits = |sign: char| if sign.is_ascii_alphanumeric() || sign == '_' { sign } else { '-' };
    let name: String = name.chars().map(fits).take(32).collect();
    let name = name.trim_matches(['-', '_']).to_owned();
    if name.is_empty() { Err("its name has no letter that ours may have".to_owned()) } else { Ok(name) }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn is_suspicious(text: &str) -> bool {
    let text = text.to_lowercase();
    SUSPICIOUS.iter().any(|word| text.contains(word))
}

/// A value that is surely no secret: a number, a switch, a path or a single small word.
fn is_plain(value: &str) -> bool {
    let is_word = value.len() <= 12 && value.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte));
    let is_path = value.starts_with('/') && !value.contains(['=', '@']);
    value.parse::<f64>().is_ok() || is_word || is_path
}

/// The variable that editors put in the place of the whole value: `${NAME}`, `${env:NAME}`, `$NAME` or `${input:NAME}`.
fn variable(value: &str) -> Option<String> {
    let inner = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).or_else(|| value.strip_prefix('$'))?;
    let name = inner.strip_prefix("env:").or_else(|| inner.strip_prefix("input:")).unwrap_or(inner);
    let name: String = name.chars().map(|sign| if sign == '-' { '_' } else { sign.to_ascii_uppercase() }).collect();
    let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    fits.then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(client: McpClient, value: Value) -> Result<Foreign, String> {
        let find = |name: &str| match name {
            "npx" => Some(PathBuf::from("/usr/bin/npx")),
            "uvx" => Some(PathBuf::from("/home/ann/.local/bin/uvx")),
            _ => None,
        };
        take(client, "My Server", &value, &Machine { secrets: Path::new("/c/secrets"), find: &find })
    }

    #[test]
    fn a_value_that_may_be_a_secret_is_kept_apart() {
        let made = taken(
            McpClient::Cursor,
            json!({"command": "npx", "args": ["-y", "server"], "env": {
                "API_KEY": "s3cr3t", "LOG": "debug", "ROOT": "/srv", "OPAQUE": "aGVsbG8gd29ybGQ", "GH": "${env:GH_TOKEN}"}}),
        )
        .unwrap();
        assert_eq!(
            made.table,
            "[[upstream]]\nname = \"My-Server\"\ncommand = [\"npx\", \"-y\", \"server\"]\n\
             environment.\"API_KEY\" = { secret = \"file:/c/secrets/My-Server.API_KEY\" }\n\
             environment.\"LOG\" = \"debug\"\n\
             environment.\"ROOT\" = \"/srv\"\n\
             environment.\"OPAQUE\" = { secret = \"file:/c/secrets/My-Server.OPAQUE\" }\n\
             environment.\"GH\" = { secret = \"env:GH_TOKEN\" }\n"
        );
        assert!(!made.table.contains("s3cr3t"));
        assert_eq!(made.secrets[0], (PathBuf::from("/c/secrets/My-Server.API_KEY"), "s3cr3t".to_owned()));
        assert_eq!(made.notes, ["the daemon needs GH_TOKEN in its environment"]);
    }

    #[test]
    fn a_program_outside_the_usual_folders_is_named_whole() {
        let made = taken(McpClient::Codex, json!({"command": "uvx", "args": ["x", "--api-key", "abc"]})).unwrap();
        assert!(made.table.contains("command = [\"/home/ann/.local/bin/uvx\", \"x\", \"--api-key\", \"abc\"]"));
        assert!(made.table.contains("environment.PATH = \"/home/ann/.local/bin:/usr/local/sbin:"), "{}", made.table);
        assert!(made.notes[0].starts_with("argument 3 of `My-Server` may be a secret"), "{:?}", made.notes);
        assert_eq!(
            taken(McpClient::Codex, json!({"command": "gone"})),
            Err("its program `gone` is not on this machine".to_owned())
        );
    }

    #[test]
    fn a_server_at_a_url_is_taken_in_each_clients_words() {
        let table = |client, value| taken(client, value).map(|made| made.table);
        let bare = "[[upstream]]\nname = \"My-Server\"\nurl = \"https://x.example/mcp\"\n";
        assert_eq!(table(McpClient::Gemini, json!({"httpUrl": "https://x.example/mcp"})), Ok(bare.to_owned()));
        assert_eq!(
            table(McpClient::Goose, json!({"type": "streamable_http", "uri": "https://x.example/mcp"})),
            Ok(bare.to_owned())
        );
        let codex = json!({"url": "https://x.example/mcp", "bearer_token_env_var": "X_TOKEN"});
        assert_eq!(table(McpClient::Codex, codex), Ok(format!("{bare}auth = {{ bearer = \"env:X_TOKEN\" }}\n")));
        let code = json!({"type": "http", "url": "https://x.example/mcp", "headers": {"Authorization": "Bearer ${input:my-token}"}});
        let made = taken(McpClient::VsCode, code).unwrap();
        assert!(
            made.table
                .ends_with("headers.\"Authorization\" = { secret = \"file:/c/secrets/My-Server.Authorization\" }\n")
        );
        assert_eq!(
            taken(McpClient::Cursor, json!({"type": "sse", "url": "https://x"})).map(drop).unwrap_err(),
            "it speaks the transport of 2024 (SSE), which is no longer spoken"
        );
        assert!(taken(McpClient::Cursor, json!({})).is_err());
    }

    #[test]
    fn what_editors_put_in_the_place_of_a_value_is_known() {
        for (text, name) in [("${A_B}", "A_B"), ("$A", "A"), ("${env:A}", "A"), ("${input:my-token}", "MY_TOKEN")] {
            assert_eq!(variable(text).as_deref(), Some(name));
        }
        assert_eq!(variable("Bearer ${A}"), None);
        assert_eq!(variable("plain"), None);
    }
}

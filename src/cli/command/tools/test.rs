//! `tools test`: the examples of a tool on a throw-away daemon, where everybody may do everything and nothing
//! is remembered. What a tool does to the world it does, so one with an effect is run only when asked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::files;
use crate::api::calls::{Call, Create, NewCall};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::text::escape_untrusted;
use crate::client::{Client, Target};
use crate::config::Flags;
use crate::config::manifest::{Example, Manifest};
use crate::config::paths::Paths;
use crate::daemon::{Hosted, Inputs};

/// Everybody may do everything.
const POLICY: &str = "@id(\"everything\")\npermit (principal, action, resource);\n";

/// Runs the examples of `name`; those of a tool with an effect only if `run`.
///
/// # Errors
/// When there is no such tool, or the daemon does not start.
pub fn run(cx: &Context, name: &str, run: bool) -> Result<Exit, CliError> {
    let (_, all) = files::load(cx)?;
    let manifest = files::find(&all, name)?;
    if manifest.examples.is_empty() {
        return Err(CliError::usage(format!("`{name}` has no examples"))
            .hint("add one: [[tool.example]] with arguments = { … } and, when it is always the same, output = { … }"));
    }
    let stage = Stage::set(cx)?;
    let dry = !(run || manifest.tool.is_read_only());
    let results: Vec<Value> =
        manifest.examples.iter().map(|example| stage.tries(cx, manifest, example, dry)).collect::<Result<_, _>>()?;
    stage.strike()?;
    let failed = results.iter().filter(|result| result["passed"] == false).count();
    cx.ui.show(&json!({"tool": name, "dry_run": dry, "examples": results, "failed": failed}), || {
        let mut lines: Vec<String> = results.iter().enumerate().map(|(at, result)| line(at + 1, result)).collect();
        if dry {
            lines.push(format!("`{name}` has an effect, so nothing was run: --run runs it"));
        }
        lines.join("\n")
    })?;
    Ok(if failed == 0 { Exit::Done } else { Exit::ToolFailed })
}

fn line(number: usize, result: &Value) -> String {
    let word = if result["passed"] == true { "passed" } else { "failed" };
    let why = result["why"].as_str().map(|why| format!(": {}", escape_untrusted(why))).unwrap_or_default();
    format!("{word}  example {number}{why}")
}

struct Stage {
    _folder: tempfile::TempDir,
    daemon: Hosted,
    client: Client,
}

impl Stage {
    fn set(cx: &Context) -> Result<Self, CliError> {
        let failed = |error: std::io::Error| CliError::io("cannot make a temporary folder", &error);
        let folder = tempfile::Builder::new().prefix("toolctl-test-").tempdir().map_err(failed)?;
        let config = folder.path().join("config");
        std::fs::create_dir_all(config.join("policies")).map_err(failed)?;
        std::fs::write(config.join("policies").join("everything.cedar"), POLICY).map_err(failed)?;
        let tools = toml::Value::String(files::folder(cx)?.display().to_string());
        std::fs::write(config.join("toolctl.toml"), format!("[tools]\nfolder = {tools}\nservers = false\n"))
            .map_err(failed)?;
        let state = folder.path().join("state");
        let socket = Paths::socket_in(&state);
        let paths = Paths { socket: socket.clone(), state, config, cache: folder.path().join("cache") };
        // Secrets by `env:` come from where the test is run.
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| !name.starts_with("TOOLCTL_") && name != "ALLOWED_TOOLS" && name != "API_KEY")
            .collect();
        let inputs = Inputs { flags: Flags::default(), environment, config_file: None, env_file: None, paths };
        let daemon = Hosted::start(inputs)
            .map_err(|cannot| CliError::new(Exit::Failure, "test", cannot.to_string()).hint(cannot.hint()))?;
        let client = Client::new(&Target::Socket(socket), None).map_err(CliError::from)?;
        Ok(Self { _folder: folder, daemon, client })
    }

    fn tries(&self, cx: &Context, manifest: &Manifest, example: &Example, dry: bool) -> Result<Value, CliError> {
        let call = NewCall {
            tool: manifest.tool.name.to_string(),
            arguments: example.arguments.clone(),
            idempotency_key: None,
            dry_run: dry,
            reason: None,
            wait: None,
            approval: None,
        };
        let deadline = manifest.tool.timeout.saturating_add(Duration::from_secs(60));
        let answer = cx.run(self.client.send::<Create>(&call, deadline))?;
        let (passed, why, output) = match answer {
            Err(error) => (false, Some(CliError::from(error).message), None),
            Ok(call) => judge(&call, example, dry),
        };
        Ok(json!({"arguments": example.arguments, "passed": passed, "why": why, "output": output}))
    }

    fn strike(self) -> Result<(), CliError> {
        self.daemon.stop().map_err(|cannot| CliError::new(Exit::Failure, "test", cannot.to_string()))
    }
}

fn judge(call: &Call, example: &Example, dry: bool) -> (bool, Option<String>, Option<Value>) {
    if let Some(error) = &call.error {
        return (false, Some(error.detail.clone()), call.output.clone());
    }
    match (&example.output, &call.output) {
        (Some(expected), Some(got)) if expected != got => {
            (false, Some(format!("it answered {got} and not {expected}")), call.output.clone())
        }
        _ => (dry || call.output.is_some(), None, call.output.clone()),
    }
}

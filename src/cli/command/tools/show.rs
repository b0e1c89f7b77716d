//! `tools show`, behind the help: what the operator declared about a tool, for whoever may know what runs it.

use std::time::Duration;

use crate::api::tools::Tool;
use crate::cli::dossier;
use crate::cli::table::facts;
use crate::cli::text::{bytes, escape_untrusted, milliseconds, span};
use crate::domain::tool::command::{CommandAction, Limits, Pinned, Sandbox, SandboxLevel, Variable};
use crate::domain::tool::template::Element;

/// Limits, sandbox, digests, and what runs it.
pub fn definition(tool: &Tool) -> String {
    let mut pairs =
        vec![("timeout", milliseconds(tool.timeout_ms)), ("output", format!("{} at most", bytes(tool.output_limit)))];
    let named =
        [("tags", Some(tool.tags.join(", "))), ("probe", tool.probe.clone()), ("preview", tool.preview.clone())];
    pairs.extend(
        named.into_iter().filter_map(|(name, value)| Some((name, escape_untrusted(&value.filter(|v| !v.is_empty())?)))),
    );
    if let Some(definition) = &tool.definition {
        match serde_json::from_value::<CommandAction>(definition.clone()) {
            Ok(command) => pairs.extend(of_command(&command)),
            // Another kind, or a newer daemon: as it says it.
            Err(_) => pairs.push(("runs", dossier::value(definition))),
        }
    }
    pairs.push(("digest", escape_untrusted(&tool.digest)));
    format!("Definition:\n{}", facts(&pairs).lines().map(|line| format!("  {line}\n")).collect::<String>())
}

fn of_command(command: &CommandAction) -> Vec<(&'static str, String)> {
    let pinned = |file: &Pinned| format!("{} ({})", escape_untrusted(&file.path.display().to_string()), file.digest);
    let mut pairs = vec![("program", pinned(&command.program))];
    pairs.extend(command.script.as_ref().map(|script| ("script", pinned(script))));
    if !command.arguments.is_empty() {
        pairs.push(("arguments", escape_untrusted(&elements(&command.arguments))));
    }
    for (name, variable) in &command.environment {
        let value = match variable {
            Variable::Text(text) => text.to_string(),
            Variable::Secret(reference) => format!("‹secret:{reference}›"),
            Variable::SecretFile(reference) => format!("‹path of a file with secret:{reference}›"),
        };
        pairs.push(("variable", escape_untrusted(&format!("{name}={value}"))));
    }
    pairs.extend(command.folder.as_ref().map(|folder| ("folder", escape_untrusted(&folder.display().to_string()))));
    pairs.extend(
        command
            .paths
            .iter()
            .map(|(name, root)| ("path", escape_untrusted(&format!("{name} stays in {}", root.display())))),
    );
    let again = format!("not now: {} starts at most", command.exits.retry.unwrap_or_default().attempts);
    let exits = [
        ("exits", "success", &command.exits.success),
        ("", "nothing happened", &command.exits.no_effect),
        ("", again.as_str(), &command.exits.temporary),
    ];
    pairs.extend(exits.into_iter().filter(|(_, _, list)| !list.is_empty()).map(|(name, meaning, list)| {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        (name, format!("{} {meaning}", list.join(", ")))
    }));
    pairs.push(("limits", limits(&command.limits)));
    pairs.push(("sandbox", sandbox(&command.sandbox)));
    pairs
}

/// A list of arguments as it is written in a file of tools.
fn elements(list: &[Element]) -> String {
    let one = |element: &Element| match element {
        Element::One(text) => format!("\"{text}\""),
        Element::Each { list, text } => {
            format!("\"{}\"", text.to_string().replace(&format!("{{{list}}}"), &format!("{{{list}...}}")))
        }
        Element::When { argument, then } => format!("{{ if = \"{argument}\", then = {} }}", elements(then)),
    };
    format!("[{}]", list.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn limits(limits: &Limits) -> String {
    let Limits { grace_ms, memory, file_size, files, processes, cpu_seconds } = limits;
    let parts = [
        Some(format!("{files} open files")),
        memory.map(|most| format!("{} of memory", bytes(most))),
        file_size.map(|most| format!("files of {}", bytes(most))),
        processes.map(|most| format!("{most} processes")),
        cpu_seconds.map(|most| format!("{} of processor time", span(Duration::from_secs(most)))),
        Some(format!("{} between SIGTERM and SIGKILL", milliseconds(*grace_ms))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn sandbox(sandbox: &Sandbox) -> String {
    if sandbox.level == SandboxLevel::None {
        return "none: it reaches what the daemon's user reaches".to_owned();
    }
    let list = |paths: &[std::path::PathBuf]| {
        paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    let ports: Vec<String> = sandbox.network.iter().map(ToString::to_string).collect();
    let parts = [("reads", list(&sandbox.read)), ("changes", list(&sandbox.write)), ("connects to", ports.join(", "))];
    let mut text = sandbox.level.word().to_owned();
    for (word, list) in parts.iter().filter(|(_, list)| !list.is_empty()) {
        text.push_str(&format!("; {word} {list}"));
    }
    if sandbox.network.is_empty() {
        text.push_str("; no network");
    }
    if sandbox.best_effort {
        text.push_str("; as far as the kernel can");
    }
    escape_untrusted(&text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::dynamic::sample;

    #[test]
    fn whoever_may_know_sees_what_runs() {
        let definition_of = json!({
            "program": {"path": "/usr/bin/prune", "digest": format!("sha256:{}", "0".repeat(64))},
            "arguments": [
                {"one": [{"literal": "--in={"}, {"argument": "dir"}]},
                {"each": {"list": "names", "text": [{"argument": "names"}]}},
                {"when": {"argument": "dir", "then": [{"one": [{"literal": "\u{1b}"}]}]}},
            ],
            "stdin": "none", "output": "text",
            "exits": {"success": [0], "no_effect": [3, 4], "temporary": [75]},
            "folder": null,
            "environment": {"T": {"secret_file": "env:THE_T"}},
            "limits": {"grace_ms": 5000, "memory": 1024, "file_size": null, "files": 256, "processes": null, "cpu_seconds": 90},
            "sandbox": {"level": "files", "read": ["/srv"], "write": [], "network": [], "best_effort": false},
            "paths": {"dir": "/srv/data"},
            "allow_interpreter": false,
        });
        let tool = Tool { definition: Some(definition_of), probe: Some("look".into()), ..sample::tool() };
        let expected = format!(
            "Definition:\n  timeout    30s\n  output     1 MiB at most\n  tags       support, desk\n  probe      look\n\
             \x20 program    /usr/bin/prune (sha256:{})\n  arguments  [\"--in={{{{dir}}\", \"{{names...}}\", {{ if = \"dir\", then = [\"\\u{{1b}}\"] }}]\n\
             \x20 variable   T=‹path of a file with secret:env:THE_T›\n  path       dir stays in /srv/data\n\
             \x20 exits      0 success\n             3, 4 nothing happened\n             75 not now: 3 starts at most\n\
             \x20 limits     256 open files, 1 KiB of memory, 1m 30s of processor time, 5s between SIGTERM and SIGKILL\n\
             \x20 sandbox    files; reads /srv; no network\n  digest     sha256:00\n",
            "0".repeat(64)
        );
        assert_eq!(definition(&tool), expected);
        let closed = definition(&Tool { definition: None, ..tool.clone() });
        assert!(!closed.contains("program") && closed.contains("timeout"), "{closed}");
        let other = definition(&Tool { definition: Some(json!({"url": "https://x"})), ..tool });
        assert!(other.contains("runs     {\"url\":\"https://x\"}"), "{other}");
    }
}

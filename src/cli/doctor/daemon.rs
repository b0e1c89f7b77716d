//! The daemon: whether it answers, as which version, to whom, and whether its config would load again.

use std::path::Path;

use super::{Exam, Finding, Health};
use crate::api::upstreams::State;
use crate::cli::init::key::Standing;
use crate::cli::text::relative;
use crate::config::{Config, Sources};

/// Client and daemon are of one version.
pub fn version(exam: &Exam<'_>) -> Vec<Finding> {
    let own = env!("CARGO_PKG_VERSION");
    vec![match &exam.healthy {
        Ok(daemon) if daemon.version == own => Finding::ok("version", format!("client {own} = daemon {own}")),
        Ok(daemon) => Finding::warning("version", format!("client {own}, daemon {}", daemon.version))
            .fix("start the daemon again: toolctl stop && toolctl serve"),
        Err(_) => Finding::ok("version", format!("client {own}")),
    }]
}

/// The config file loads, so that the next start or reload will not fail on it.
pub fn config(exam: &Exam<'_>) -> Vec<Finding> {
    let path = exam.paths.config.join("toolctl.toml");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return vec![
                Finding::problem("config", format!("cannot read `{}`: {}", path.display(), error.kind()))
                    .fix("make it readable for you"),
            ];
        }
    };
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let file = text.as_deref().map(|text| (path.as_path(), text));
    let loaded = Config::load(&Sources { file, environment: environment.collect(), ..Sources::default() });
    vec![match loaded {
        Ok(_) if file.is_none() => Finding::ok("config", format!("no {}: the defaults", name(&path))),
        Ok(_) => Finding::ok("config", format!("{} loads", path.display())),
        Err(invalid) => {
            let fix = invalid.hint.clone().unwrap_or_else(|| format!("mend {}", invalid.place));
            Finding::problem("config", invalid.to_string()).fix(fix)
        }
    }]
}

/// Somebody answers.
pub fn answers(exam: &Exam<'_>) -> Vec<Finding> {
    let mut found = vec![match (&exam.healthy, &exam.status) {
        (Err(error), _) => Finding::failed("daemon", Health::Problem, error),
        (Ok(_), None) => Finding::ok("daemon", "answers"),
        (Ok(_), Some(status)) if status.store != "ok" => {
            Finding::problem("daemon", format!("pid {}, its store: {}", status.pid, status.store))
                .fix("see what the daemon says where it runs")
        }
        (Ok(_), Some(status)) => {
            let since = relative(&status.started_at, exam.cx.now());
            Finding::ok("daemon", format!("pid {}, {} tools, started {since}", status.pid, status.tools))
        }
    }];
    let doubt = exam.status.as_ref().map(|status| status.in_doubt).filter(|doubt| *doubt > 0);
    found.extend(doubt.map(|doubt| {
        Finding::warning("daemon", format!("{doubt} calls of which nobody knows whether they happened"))
            .fix("toolctl calls list --state in_doubt")
    }));
    found
}

/// The daemon knows us.
pub fn identity(exam: &Exam<'_>) -> Vec<Finding> {
    if exam.healthy.is_err() {
        return Vec::new();
    }
    vec![match &exam.me {
        Ok(me) => {
            let groups = if me.groups.is_empty() { "no groups".to_owned() } else { me.groups.join(", ") };
            Finding::ok("identity", format!("you are {} ({groups}), by {}", me.principal, me.credential))
        }
        Err(error) => {
            let dead =
                exam.stored.iter().find(|(path, known)| exam.is_own(path) && matches!(known, Ok(Standing::Dead(_))));
            let finding = Finding::failed("identity", Health::Problem, error);
            match dead {
                Some((path, _)) => finding.fix(format!("rm {}", path.display())),
                None => finding,
            }
        }
    }]
}

/// The MCP servers behind it answer, and nothing of them waits to be looked at.
pub fn servers(exam: &Exam<'_>) -> Vec<Finding> {
    let servers = exam.status.iter().flat_map(|status| &status.upstreams);
    servers
        .map(|server| {
            let check = format!("server {}", server.name);
            match (server.state, server.quarantined) {
                (State::Down, _) => {
                    let why = server.problem.as_deref().unwrap_or("nobody knows why");
                    Finding::problem(check, format!("down: {why}")).fix("mend what it says, or disable it in its file")
                }
                (State::Starting, _) => Finding::warning(check, "starting"),
                (State::Up, 0) if server.problem.is_some() => {
                    let problem = server.problem.as_deref().unwrap_or_default();
                    Finding::warning(check, format!("up, {} tools; {problem}", server.tools)).fix("mend its file")
                }
                (State::Up, 0) => Finding::ok(check, format!("up, {} tools", server.tools)),
                (State::Up, waiting) => {
                    Finding::warning(check, format!("up, {} tools, {waiting} wait to be looked at", server.tools))
                        .fix(format!("toolctl tools trust {}", server.name))
                }
            }
        })
        .collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

//! Stored keys: private, and still good.

use std::path::Path;

use super::{Exam, Finding, Health, clients};
use crate::api::admin::{KeyInfo, Me};
use crate::cli::error::{CliError, Exit};
use crate::cli::init::client::McpClient;
use crate::cli::init::key::{Standing, ends_soon};
use crate::cli::text::relative;

/// Every stored key is good.
pub fn stored(exam: &Exam<'_>) -> Vec<Finding> {
    // A dead key is told once, with one fix: where it is used, by the check of whoever uses it.
    let told = |path: &Path, standing: &Result<Standing, CliError>| {
        matches!(standing, Ok(Standing::Dead(_))) && (exam.is_own(path) || clients::is_used(exam, path))
    };
    let stored = exam.stored.iter().filter(|(path, standing)| !told(path, standing));
    stored.map(|(path, standing)| judge(exam, path, standing)).collect()
}

fn judge(exam: &Exam<'_>, path: &Path, standing: &Result<Standing, CliError>) -> Finding {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let check = if path == exam.paths.default_key() { "key".to_owned() } else { format!("key {name}") };
    match standing {
        Ok(Standing::Good(me)) => match exam.keys.iter().find(|info| info.id == me.credential) {
            Some(info) if ends_soon(info, exam.cx.now()) => {
                Finding::warning(check, format!("{}, {}", me.principal, until(exam, info))).fix(renewal(&name, me))
            }
            Some(info) => Finding::ok(check, format!("{}, {}", me.principal, until(exam, info))),
            None => Finding::ok(check, format!("{}, good", me.principal)),
        },
        Ok(Standing::Dead(why)) => {
            Finding::warning(check, format!("no longer good: {why}")).fix(format!("rm {}", path.display()))
        }
        Ok(Standing::Missing) => Finding::warning(check, format!("{} is gone", path.display())),
        Err(error) if error.exit == Exit::Unauthenticated => Finding::failed(check, Health::Problem, error),
        Err(_) if exam.healthy.is_err() => Finding::ok(check, "private; no daemon to ask whether it is good"),
        Err(error) => Finding::failed(check, Health::Warning, error),
    }
}

/// Until when a key is good, in words.
fn until(exam: &Exam<'_>, info: &KeyInfo) -> String {
    match info.expires_at.as_deref() {
        Some(at) => format!("good until {}, {}", at.split('T').next().unwrap_or(at), relative(at, exam.cx.now())),
        None => "good for ever".to_owned(),
    }
}

/// How a key is replaced: setting a client up again does it.
fn renewal(name: &str, me: &Me) -> String {
    match McpClient::ALL.iter().find(|client| client.word() == name && me.principal == format!("agent:{name}")) {
        Some(client) => format!("toolctl init {}", client.word()),
        None => format!("toolctl keys rotate {}, and store what it prints", me.credential),
    }
}

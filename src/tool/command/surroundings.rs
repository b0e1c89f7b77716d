//! The environment of a command: it begins empty. What every command gets is fixed, what else it gets its
//! definition names, and some names nothing may give, as they make other programs do other things.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::domain::call::Call;
use crate::domain::digest::Digest;
use crate::domain::tool::EffectClass;
use crate::domain::tool::command::{CommandAction, PATH, SecretRef, Variable};

/// The longest secret, in bytes.
const LONGEST_SECRET: u64 = 64 << 10;

/// Every secret of a command by the name of its variable.
///
/// # Errors
/// Names the reference that leads nowhere, never its value: nothing has run.
pub fn secrets(
    command: &CommandAction,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, String> {
    let wanted = command.environment.iter().filter_map(|(name, variable)| match variable {
        Variable::Secret(reference) => Some((name, reference)),
        Variable::Text(_) => None,
    });
    wanted.map(|(name, reference)| Ok((name.clone(), secret(reference, environment)?))).collect()
}

fn secret(reference: &SecretRef, environment: &BTreeMap<String, String>) -> Result<String, String> {
    match reference {
        SecretRef::Environment(name) => {
            let value = environment.get(name).cloned();
            value.ok_or_else(|| format!("the secret `{reference}` is not set in the daemon's environment"))
        }
        SecretRef::File(path) => from_file(path, reference),
        SecretRef::Credential(name) => {
            let folder = environment.get("CREDENTIALS_DIRECTORY");
            let folder = folder.ok_or_else(|| format!("the secret `{reference}` needs systemd, which gave none"))?;
            from_file(&PathBuf::from(folder).join(name), reference)
        }
    }
}

/// One line break at its end is not part of a secret.
fn from_file(path: &Path, reference: &SecretRef) -> Result<String, String> {
    let told = |why: &dyn std::fmt::Display| format!("the secret `{reference}` cannot be read: {why}");
    let length = fs::metadata(path).map_err(|error| told(&error))?.len();
    if length > LONGEST_SECRET {
        return Err(told(&"it is too long"));
    }
    let text = fs::read_to_string(path).map_err(|error| told(&error))?;
    Ok(text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line)).to_owned())
}

/// The whole environment of one run.
///
/// # Errors
/// An argument that cannot stand in a variable: nothing has run.
pub fn environment(
    command: &CommandAction,
    call: &Call,
    arguments: &Value,
    secrets: &[(String, String)],
    run: &Path,
) -> Result<BTreeMap<String, String>, String> {
    let folder = |name: &str| run.join(name).display().to_string();
    let mut variables: BTreeMap<String, String> = [
        ("PATH", PATH.to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TZ", "UTC".to_owned()),
        ("HOME", folder("home")),
        ("TMPDIR", folder("tmp")),
        ("TOOLCTL_CALL_ID", call.id.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if call.effect == EffectClass::Keyed {
        variables.insert("TOOLCTL_IDEMPOTENCY_KEY".to_owned(), downstream_key(call));
    }
    for (name, variable) in &command.environment {
        if let Variable::Text(text) = variable {
            variables.insert(name.clone(), text.fill(arguments).map_err(|error| error.to_string())?);
        }
    }
    variables.extend(secrets.iter().cloned());
    Ok(variables)
}

/// What the other side dedupes by: the same for every attempt of a call, told by nothing that the caller sent.
fn downstream_key(call: &Call) -> String {
    Digest::of("toolctl/down/v1", &[&call.salt, &call.id.bytes()]).hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_where_they_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        fs::write(&file, "from a file\n").expect("written");
        let credentials = folder.path().display().to_string();
        let environment = [("GH", "from the environment"), ("CREDENTIALS_DIRECTORY", credentials.as_str())];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let read = |text: &str| secret(&text.parse().expect("a reference"), &environment);
        assert_eq!(read("env:GH"), Ok("from the environment".to_owned()));
        assert_eq!(read(&format!("file:{}", file.display())), Ok("from a file".to_owned()));
        assert_eq!(read("credential:token"), Ok("from a file".to_owned()));
        assert_eq!(read("env:NO"), Err("the secret `env:NO` is not set in the daemon's environment".to_owned()));
        assert!(read("credential:other").is_err_and(|why| why.contains("`credential:other` cannot be read")));
    }
}

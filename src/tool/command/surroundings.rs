//! The environment of a command: it begins empty. What every command gets is fixed, what else it gets its
//! definition names, and some names nothing may give, as they make other programs do other things.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::domain::call::Call;
use crate::domain::tool::EffectClass;
use crate::domain::tool::command::{CommandAction, PATH, Variable};
use crate::tool::secret;

/// What a command is given from references: each value with the name of its variable.
pub struct Given {
    /// Variables that hold a secret.
    pub variables: Vec<(String, String)>,
    /// Variables that say where a file with a secret is.
    pub files: Vec<(String, String)>,
}

/// Every secret of a command.
///
/// # Errors
/// Names the reference that leads nowhere, never its value: nothing has run.
pub fn secrets(command: &CommandAction, environment: &BTreeMap<String, String>) -> Result<Given, String> {
    let mut given = Given { variables: Vec::new(), files: Vec::new() };
    for (name, variable) in &command.environment {
        let (list, reference) = match variable {
            Variable::Secret(reference) => (&mut given.variables, reference),
            Variable::SecretFile(reference) => (&mut given.files, reference),
            Variable::Text(_) => continue,
        };
        list.push((name.clone(), secret::read(reference, environment)?));
    }
    Ok(given)
}

/// The environment of one run, but for the variables that say where files are.
///
/// # Errors
/// An argument that cannot stand in a variable: nothing has run.
pub fn environment(
    command: &CommandAction,
    call: &Call,
    arguments: &Value,
    given: &Given,
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
        variables.insert("TOOLCTL_IDEMPOTENCY_KEY".to_owned(), call.downstream_key());
    }
    for (name, variable) in &command.environment {
        if let Variable::Text(text) = variable {
            variables.insert(name.clone(), text.fill(arguments).map_err(|error| error.to_string())?);
        }
    }
    variables.extend(given.variables.iter().cloned());
    Ok(variables)
}

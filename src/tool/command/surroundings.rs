//! The environment of a command: it begins empty. What every command gets is fixed, what else it gets its
//! definition names, and some names nothing may give, as they make other programs do other things.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::domain::call::Call;
use crate::domain::tool::EffectClass;
use crate::domain::tool::command::{CommandAction, PATH, Variable};
use crate::tool::secret;

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
    wanted.map(|(name, reference)| Ok((name.clone(), secret::read(reference, environment)?))).collect()
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
        variables.insert("TOOLCTL_IDEMPOTENCY_KEY".to_owned(), call.downstream_key());
    }
    for (name, variable) in &command.environment {
        if let Variable::Text(text) = variable {
            variables.insert(name.clone(), text.fill(arguments).map_err(|error| error.to_string())?);
        }
    }
    variables.extend(secrets.iter().cloned());
    Ok(variables)
}

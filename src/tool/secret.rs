//! Secrets by reference: where they are is part of a definition, what they are is read when a call needs it, and
//! stands in no definition, no log and no store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::domain::tool::command::SecretRef;

/// The longest secret, in bytes.
const LONGEST: u64 = 64 << 10;

/// The secret that `reference` names; `environment` is the daemon's own.
///
/// # Errors
/// Names the reference that leads nowhere, never its value: nothing has run.
pub fn read(reference: &SecretRef, environment: &BTreeMap<String, String>) -> Result<String, String> {
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
    if length > LONGEST {
        return Err(told(&"it is too long"));
    }
    let text = fs::read_to_string(path).map_err(|error| told(&error))?;
    Ok(text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line)).to_owned())
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
        let read = |text: &str| read(&text.parse().expect("a reference"), &environment);
        assert_eq!(read("env:GH"), Ok("from the environment".to_owned()));
        assert_eq!(read(&format!("file:{}", file.display())), Ok("from a file".to_owned()));
        assert_eq!(read("credential:token"), Ok("from a file".to_owned()));
        assert_eq!(read("env:NO"), Err("the secret `env:NO` is not set in the daemon's environment".to_owned()));
        assert!(read("credential:other").is_err_and(|why| why.contains("`credential:other` cannot be read")));
    }
}

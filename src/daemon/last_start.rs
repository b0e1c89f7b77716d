//! Writes down how this daemon was started, and that it was stopped on purpose, for whoever may start the next
//! one unasked. A daemon that crashes leaves no word of a stop.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::{LastStart, RULES, absolute};
use crate::transport::private;

use super::{CannotStart, Inputs, Plan};

/// The note of a running daemon.
pub struct Note {
    last: LastStart,
    files: Vec<PathBuf>,
}

impl Note {
    /// Writes down how this daemon was started. An earlier stop is forgotten.
    ///
    /// # Errors
    /// When the state folder does not take it.
    pub fn write(inputs: &Inputs, plan: &Plan) -> Result<Self, CannotStart> {
        let usual = &inputs.paths.state;
        let of_socket = LastStart::file_of_socket(usual, &plan.socket);
        let mut files = vec![LastStart::file(&plan.state)];
        if absolute(&plan.state) == absolute(usual) {
            // A daemon of another store may have had this socket before.
            remove(&of_socket)?;
        } else {
            files.push(of_socket);
        }
        let note = Self { last: last_start(inputs, plan), files };
        if let Err(error) = serde_json::to_string(&note.last) {
            // A path that is no text cannot be written down, and an earlier note would be wrong.
            tracing::warn!("how this daemon was started is not noted: {error}");
            note.files.iter().try_for_each(|file| remove(file))?;
            return Ok(Self { files: Vec::new(), ..note });
        }
        note.save(&note.last)?;
        Ok(note)
    }

    /// Notes that it stops on purpose.
    ///
    /// # Errors
    /// When the state folder does not take it.
    pub fn stopped(&self, how: &str) -> Result<(), CannotStart> {
        self.save(&LastStart { stopped: Some(how.to_owned()), ..self.last.clone() })
    }

    fn save(&self, last: &LastStart) -> Result<(), CannotStart> {
        let text = serde_json::to_string_pretty(last);
        for file in &self.files {
            let written = match &text {
                Ok(text) => private::replace(file, &format!("{text}\n")),
                Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
            };
            written.map_err(|source| CannotStart::file(file, source))?;
        }
        Ok(())
    }
}

fn last_start(inputs: &Inputs, plan: &Plan) -> LastStart {
    let said = |name: &str| inputs.environment.get(name).filter(|value| !value.is_empty());
    let flags = &inputs.flags;
    LastStart {
        config: inputs.config_file.as_deref().map(absolute),
        config_dir: absolute(&inputs.paths.config),
        env_file: inputs.env_file.as_deref().map(absolute),
        data_dir: absolute(&plan.state),
        socket: absolute(&plan.socket),
        listen: flags.listen.map(|address| address.to_string()).or_else(|| said("TOOLCTL_LISTEN").cloned()),
        allow_remote: flags.allow_remote,
        drain_ms: flags.drain.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        environment: RULES.iter().filter(|name| said(name).is_some()).map(|name| (*name).to_owned()).collect(),
        stopped: None,
    }
}

fn remove(file: &Path) -> Result<(), CannotStart> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CannotStart::file(file, error)),
        _ => Ok(()),
    }
}

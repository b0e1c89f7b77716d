//! Tools of an operator's own: what a file defines is listed, guarded, run and recorded like what is built in,
//! and stays honest about what happened whatever the program or the daemon does.

mod commands;
mod crash;
mod doubt;
mod examples;
mod http;
mod http_kills;
mod leftovers;
mod manifests;
mod openapi;
mod paths;
mod preview;
mod retries;
mod sandbox;
mod secrets;
mod ssrf;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::Daemon;

/// A daemon with these files in its folder of tools; what begins with `#!` is made executable.
pub fn daemon(files: &[(&str, &str)]) -> Daemon {
    let mut daemon = Daemon::prepared(&[], &[]);
    put(&daemon, files);
    daemon.restart();
    daemon
}

/// Writes files into the folder of tools.
pub fn put(daemon: &Daemon, files: &[(&str, &str)]) {
    for (name, text) in files {
        daemon.configure(&format!("tools/{name}"), text);
        if text.starts_with("#!") {
            std::fs::set_permissions(path(daemon, name), std::fs::Permissions::from_mode(0o755)).expect("executable");
        }
    }
}

/// A file in the folder of tools.
pub fn path(daemon: &Daemon, name: &str) -> PathBuf {
    daemon.dir().join("config").join("tools").join(name)
}

/// A call by the daemon's own user, and the whole answer.
pub fn call(daemon: &Daemon, tool: &str, arguments: &Value) -> Value {
    daemon.http("POST", "/v1/calls").json(&serde_json::json!({"tool": tool, "arguments": arguments})).send().json()
}

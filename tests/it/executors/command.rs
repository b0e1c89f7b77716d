//! Commands in every case: a script that writes a line when it does it.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{Case, Kind, SECRET, Stage};
use crate::support::Daemon;

/// Programs of this machine.
pub struct Commands;

impl Kind for Commands {
    const LEAVES_PROOF: bool = true;

    fn stage(&self, case: Case) -> Result<Stage, &'static str> {
        const DOES: &str = "echo x >> \"${0%/*}/effects\"; printf '{\"n\":1}'";
        let script = match case {
            Case::Succeeds | Case::IsGone | Case::DaemonDiesBefore | Case::DaemonDiesAfter | Case::IsTakenBack => DOES,
            Case::Declines => "echo 'not today' >&2; exit 3",
            Case::IsSlow(_) => "exec sleep 600",
            Case::SaysTooMuch => "yes",
            Case::SaysSomethingElse => "echo x >> \"${0%/*}/effects\"; printf '{\"n\":\"one\"}'",
            Case::SaysASecret => "echo x >> \"${0%/*}/effects\"; printf '{\"n\":1,\"said\":\"%s\"}' \"$THE_SECRET\"",
        };
        let effect = match case {
            Case::IsSlow(effect) => effect,
            Case::SaysTooMuch => "readonly",
            Case::SaysSomethingElse => "idempotent",
            _ => "once",
        };
        let timeout = if matches!(case, Case::IsSlow(_)) { "300ms" } else { "20s" };
        let environment = match case {
            Case::DaemonDiesBefore => vec![("TOOLCTL_FAILPOINT", "open_started:after:kill")],
            Case::DaemonDiesAfter => vec![("TOOLCTL_FAILPOINT", "finished:before:kill")],
            _ => vec![("THE_SECRET", SECRET)],
        };
        let mut daemon = Daemon::prepared(&[], &environment);
        let secret = if case == Case::SaysASecret {
            "environment = { THE_SECRET = { secret = \"env:THE_SECRET\" } }"
        } else {
            ""
        };
        let tool = format!(
            "[tool]\nname = \"t\"\ndescription = \"A test.\"\neffect = \"{effect}\"\ndestructive = false\nrisk = \"low\"\n\
             timeout = \"{timeout}\"\noutput_limit = \"10 KiB\"\n\
             output = {{ type = \"object\", required = [\"n\"], properties = {{ n = {{ type = \"integer\" }} }} }}\n\
             [tool.command]\nprogram = \"./t.sh\"\noutput = \"json\"\nno_effect_exit = [3]\nlimits = {{ grace = \"50ms\" }}\n{secret}\n"
        );
        daemon.configure("tools/t.toml", &tool);
        daemon.configure("tools/t.sh", &format!("#!/bin/sh\n{script}\n"));
        let folder = daemon.dir().join("config").join("tools");
        let program = folder.join("t.sh");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("executable");
        daemon.restart();
        if case == Case::IsGone {
            std::fs::remove_file(&program).expect("removed");
        }
        let ledger = folder.join("effects");
        let effects = move |_: &mut Daemon| std::fs::read_to_string(&ledger).unwrap_or_default().lines().count();
        Ok(Stage { daemon, tool: "t", arguments: json!({}), effects: Box::new(effects) })
    }
}

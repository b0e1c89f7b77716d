//! Tools of MCP servers in every case: a server that writes a line when it does something.

use serde_json::json;

use super::{Case, Kind, SECRET, Stage};
use crate::support::Daemon;
use crate::upstreams::fake;

/// Servers of others, spoken to in MCP.
pub struct Upstreams;

impl Kind for Upstreams {
    // Nothing of a conversation outlives the daemon that held it.
    const LEAVES_PROOF: bool = false;

    fn stage(&self, case: Case) -> Result<Stage, &'static str> {
        let (tool, effect) = match case {
            Case::Succeeds | Case::IsGone | Case::DaemonDiesBefore | Case::DaemonDiesAfter | Case::IsTakenBack => {
                ("fake.acts", "once")
            }
            Case::Declines => return Err("no word of MCP says that nothing was done"),
            Case::IsSlow(effect) => ("fake.hang", effect),
            Case::SaysTooMuch => ("fake.flood", "readonly"),
            Case::SaysSomethingElse => ("fake.breaks_word", "idempotent"),
            Case::SaysASecret => ("fake.says_secret", "once"),
        };
        let name = tool.trim_start_matches("fake.");
        let timeout = if matches!(case, Case::IsSlow(_)) { "1s" } else { "20s" };
        let environment = match case {
            Case::DaemonDiesBefore => vec![("TOOLCTL_FAILPOINT", "open_started:after:kill")],
            Case::DaemonDiesAfter => vec![("TOOLCTL_FAILPOINT", "finished:before:kill")],
            _ => vec![("THE_SECRET", SECRET)],
        };
        let manner = if case == Case::SaysASecret { "secretive" } else { "legacy" };
        let more = format!("[upstream.tools.{name}]\neffect = \"{effect}\"\ntimeout = \"{timeout}\"\n");
        let mut listed = fake::tool(name, "A test.");
        if case == Case::SaysSomethingElse {
            listed["outputSchema"] =
                json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
        }
        let (daemon, folder) = fake::armed(&environment, manner, &more, &[listed]);
        fake::trust(&daemon);
        if case == Case::IsGone {
            fake::is_gone(&daemon, &folder, &more);
        }
        let effects = move |_: &mut Daemon| fake::count(&folder, "effects");
        Ok(Stage { daemon, tool, arguments: json!({}), effects: Box::new(effects) })
    }
}

//! `status`, `stop`, `reload`, `whoami`, `version`: about the daemon itself.

use serde_json::json;

use crate::api::admin::{self, Healthy};
use crate::api::endpoint::Nothing;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::table::{facts, facts_within};
use crate::cli::text::{counted, escape_untrusted, relative};
use crate::cli::ui::Tone;
use crate::cli::upstreams;

/// A question about the daemon must not take longer than a person looks.
const PROBE: std::time::Duration = std::time::Duration::from_secs(3);

/// Says how the daemon is.
///
/// # Errors
/// Exit 7 when there is none.
pub fn status(cx: &Context) -> Result<Exit, CliError> {
    let report = cx.try_send::<admin::Status>(&Nothing {}, cx.globals.timeout.unwrap_or(PROBE))??;
    cx.ui.show(&report, || {
        let mut pairs = vec![
            ("daemon", format!("toolctl {}, pid {}", escape_untrusted(&report.version), report.pid)),
            ("running", relative(&report.started_at, cx.now()).replace(" ago", "")),
            ("listens", escape_untrusted(&report.listeners.join(", "))),
            ("store", format!("{} ({})", escape_untrusted(&report.data_dir), escape_untrusted(&report.store))),
            ("tools", report.tools.to_string()),
            (
                "calls",
                format!(
                    "{} running, {} waiting for people, {} in doubt",
                    report.running, report.pending, report.in_doubt
                ),
            ),
            ("runs", format!("{} left to the daemon", report.detached)),
            ("log", format!("{} records, root {}", report.records, escape_untrusted(&report.root))),
            ("policy", escape_untrusted(&report.policy)),
        ];
        pairs.extend(report.doubts.iter().flat_map(|doubt| {
            let since = relative(&doubt.since, cx.now());
            let what = format!("{} by {}, {since}", escape_untrusted(&doubt.tool), escape_untrusted(&doubt.principal));
            [("in doubt", cx.ui.paint(Tone::Care, &what)), ("", escape_untrusted(&doubt.resolve))]
        }));
        if report.in_doubt > report.doubts.len() as u64 {
            pairs.push(("", "all of them: toolctl calls list --state in_doubt".to_owned()));
        }
        pairs.extend(report.upstreams.iter().map(|server| ("server", upstreams::line(cx, server))));
        pairs.extend(report.notes.iter().map(|note| ("note", cx.ui.paint(Tone::Care, &escape_untrusted(note)))));
        facts_within(cx.ui.seen.width, &pairs)
    })?;
    Ok(Exit::Done)
}

/// Stops the daemon.
///
/// # Errors
/// The daemon's own.
pub fn stop(cx: &Context) -> Result<Exit, CliError> {
    let reply = cx.send::<admin::Stop>(&Nothing {})?;
    cx.ui.show(&reply, || match reply.running {
        0 => "stopping".to_owned(),
        running => format!("stopping after {}", counted(running, "running call", "running calls")),
    })?;
    Ok(Exit::Done)
}

/// Loads config, policies and tools again.
///
/// # Errors
/// The daemon's own, which then keeps the old ones.
pub fn reload(cx: &Context) -> Result<Exit, CliError> {
    let reply = cx.send::<admin::Reload>(&Nothing {})?;
    cx.ui.show(&reply, || {
        let changes: String = reply.changes.iter().map(|change| format!("\n  {}", escape_untrusted(change))).collect();
        let changes = if changes.is_empty() { "\n  nothing changed".to_owned() } else { changes };
        format!("{}, policy {}{changes}", counted(reply.tools, "tool", "tools"), escape_untrusted(&reply.policy))
    })?;
    Ok(Exit::Done)
}

/// Says who the caller is to the daemon.
///
/// # Errors
/// The daemon's own.
pub fn whoami(cx: &Context) -> Result<Exit, CliError> {
    let me = cx.send::<admin::Whoami>(&Nothing {})?;
    cx.ui.show(&me, || {
        let mut pairs = vec![
            ("principal", escape_untrusted(&me.principal)),
            ("kind", me.kind.word().to_owned()),
            ("groups", escape_untrusted(&me.groups.join(", "))),
            ("by", escape_untrusted(&me.credential)),
        ];
        if me.may_self_approve {
            pairs.push(("approves", "its own calls too".to_owned()));
        }
        if !me.scope.tools.is_empty() {
            pairs.push(("tools", escape_untrusted(&me.scope.tools.join(", "))));
        }
        if let Some(effect) = me.scope.greatest_effect {
            pairs.push(("at most", effect.word().to_owned()));
        }
        facts(&pairs)
    })?;
    Ok(Exit::Done)
}

/// Prints both versions; no daemon is no error here.
///
/// # Errors
/// When stdout is gone.
pub fn version(cx: &Context) -> Result<Exit, CliError> {
    let client = env!("CARGO_PKG_VERSION");
    let healthy: Option<Healthy> = cx.try_send::<admin::Health>(&Nothing {}, PROBE).ok().and_then(Result::ok);
    let daemon = healthy.map(|healthy| healthy.version);
    cx.ui.show(&json!({ "client": client, "daemon": daemon }), || {
        let shown = daemon.as_deref().map_or("not running".to_owned(), escape_untrusted);
        facts(&[("client", client.to_owned()), ("daemon", shown)])
    })?;
    if daemon.is_some_and(|daemon| daemon != client) {
        cx.ui.note(&cx.ui.paint_err(Tone::Care, "client and daemon differ: restart the daemon after an upgrade"));
    }
    Ok(Exit::Done)
}

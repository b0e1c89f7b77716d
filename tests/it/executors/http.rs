//! Requests in every case: a server on loopback that counts what it does, outside of the daemon.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{Case, Kind, SECRET, Stage};
use crate::support::server::answer;
use crate::support::{Daemon, Server};

/// Servers of others, asked over HTTP.
pub struct Requests;

impl Kind for Requests {
    // Nothing of a request outlives the daemon that sent it.
    const LEAVES_PROOF: bool = false;

    fn stage(&self, case: Case) -> Result<Stage, &'static str> {
        let done = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&done);
        let server = Server::start(move |heard, stream| {
            let mut does = |body: &str| {
                counts.fetch_add(1, Ordering::AcqRel);
                answer(stream, 200, body);
            };
            match case {
                Case::Succeeds | Case::IsGone | Case::DaemonDiesBefore | Case::DaemonDiesAfter | Case::IsTakenBack => {
                    does("{\"n\":1}")
                }
                Case::SaysSomethingElse => does("{\"n\":\"one\"}"),
                Case::SaysASecret => does(&json!({"n": 1, "said": heard.headers.get("authorization")}).to_string()),
                Case::Declines => answer(stream, 422, "{\"detail\":\"not today\"}"),
                Case::IsSlow(_) => std::thread::sleep(Duration::from_secs(600)),
                Case::SaysTooMuch => answer(stream, 200, &"x".repeat(100_000)),
            }
        });
        // Where nobody listens any more.
        let place = if case == Case::IsGone {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
            listener.local_addr().expect("an address").to_string()
        } else {
            server.place()
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
        let auth = if case == Case::SaysASecret { "auth = { bearer = \"env:THE_SECRET\" }" } else { "" };
        let mut daemon = Daemon::prepared(&[], &environment);
        let tool = format!(
            "[tool]\nname = \"t\"\ndescription = \"A test.\"\neffect = \"{effect}\"\ndestructive = false\nrisk = \"low\"\n\
             timeout = \"{timeout}\"\noutput_limit = \"10 KiB\"\n\
             output = {{ type = \"object\", required = [\"n\"], properties = {{ n = {{ type = \"integer\" }} }} }}\n\
             [tool.http]\nmethod = \"POST\"\nurl = \"http://{place}/do\"\njson = \"arguments\"\nallow = [\"{place}\"]\n{auth}\n"
        );
        daemon.configure("tools/t.toml", &tool);
        daemon.restart();
        let effects = move |_: &mut Daemon| {
            // The server lives as long as it may be asked what it did.
            let _lives = &server;
            done.load(Ordering::Acquire)
        };
        Ok(Stage { daemon, tool: "t", arguments: json!({}), effects: Box::new(effects) })
    }
}

//! Why there is no daemon to talk to, in sentences that a model can act on and a person can follow.

use std::path::Path;

use crate::client::{BadKey, Target};

/// Why nobody answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong: a whole sentence.
    pub why: String,
    /// What to do about it: whole sentences.
    pub help: String,
    /// Whether waiting a moment does not help.
    pub lasts: bool,
    /// For programs.
    pub code: &'static str,
}

const SERVE: &str = "Ask the person to run `toolctl serve` in a terminal";

/// The code of a key that is refused or missing.
const UNAUTHENTICATED: &str = "unauthenticated";

impl Trouble {
    fn new(why: String, help: impl Into<String>) -> Self {
        Self { why, help: help.into(), lasts: false, code: "daemon-unreachable" }
    }

    fn lasting(why: String, help: impl Into<String>) -> Self {
        Self { lasts: true, ..Self::new(why, help) }
    }

    fn unauthenticated(why: String, help: &str) -> Self {
        Self { code: UNAUTHENTICATED, ..Self::lasting(why, help) }
    }

    /// Both, one after the other.
    pub fn sentences(&self) -> String {
        format!("{} {}", self.why, self.help)
    }

    /// What is wrong, for programs: nobody is there, or somebody who does not know us.
    pub fn status(&self) -> &'static str {
        if self.code == UNAUTHENTICATED { "denied" } else { "daemon_unreachable" }
    }

    /// Nobody listens there.
    pub fn not_running(target: &Target) -> Self {
        Self::new(
            format!("The toolctl daemon is not running: nobody listens at {target}."),
            format!("{SERVE}, then try again."),
        )
    }

    /// It was started a moment ago.
    pub fn starting() -> Self {
        Self::new("The toolctl daemon is starting.".to_owned(), "Try again in a few seconds.")
    }

    /// It was started and ended.
    pub fn not_started(why: &str, log: &str) -> Self {
        Self::lasting(
            format!("The toolctl daemon could not be started: {why}"),
            format!("{SERVE} and read what it says; the log of the failed start is {log}."),
        )
    }

    /// A person, or the system, stopped it; `flags` are those it had.
    pub fn stopped(how: &str, flags: Option<&str>) -> Self {
        Self::lasting(
            format!("The toolctl daemon was stopped on purpose ({how}), so this client does not start it again."),
            serve_with(flags, "when it is to run again"),
        )
    }

    /// Its rules were in an environment that is not ours.
    pub fn other_rules(lacking: &[&str], flags: Option<&str>) -> Self {
        let names = lacking.join(", ");
        Self::lasting(
            format!(
                "The toolctl daemon is not running, and this client does not start it again: the last one had rules in \
                 its environment ({names}) that this client's environment lacks."
            ),
            serve_with(flags, &format!("with {names} set")),
        )
    }

    /// The last one of this store listened at another place.
    pub fn elsewhere(target: &Target, socket: &Path) -> Self {
        Self::lasting(
            format!(
                "Nobody listens at {target}, and this client starts no daemon there: the last one of this store \
                 listened at {}.",
                socket.display()
            ),
            format!("{SERVE} with `--socket` and {target}, or to give this client the other `--socket`."),
        )
    }

    /// What is known about the last one cannot be read.
    pub fn unreadable(file: &Path, why: &str) -> Self {
        Self::lasting(
            format!(
                "The toolctl daemon is not running, and this client does not start it again: how the last one was \
                 started cannot be read from {}: {why}.",
                file.display()
            ),
            format!("{SERVE} with the flags it had."),
        )
    }

    /// It was there a moment ago.
    pub fn lost(target: &Target) -> Self {
        Self::new(
            format!("The connection to the toolctl daemon at {target} was lost."),
            format!("If it stays so: {SERVE}."),
        )
    }

    /// It cannot be reached.
    pub fn unreachable(target: &Target, reason: &str) -> Self {
        Self::new(
            format!("The toolctl daemon at {target} cannot be reached: {reason}."),
            "Ask the person to check where `toolctl serve` listens, and `--socket` or `TOOLCTL_SOCKET` of this client.",
        )
    }

    /// It does not know the key.
    pub fn refused(message: &str) -> Self {
        Self::unauthenticated(
            format!("The toolctl daemon does not accept the key of this client: {message}."),
            "Ask the person to make a new one (`toolctl init`, or `toolctl keys create NAME --save`).",
        )
    }

    /// There is no key to show.
    pub fn key(bad: &BadKey) -> Self {
        Self::unauthenticated(
            format!("The key of this client cannot be used: {bad}."),
            "Ask the person to make one (`toolctl init`, or `toolctl keys create NAME --save`).",
        )
    }

    /// Over TCP nobody is known without one.
    pub fn no_key(target: &Target) -> Self {
        Self::unauthenticated(
            format!("The toolctl daemon at {target} wants a key, and this client has none."),
            "Ask the person to name one with `--as NAME` or `TOOLCTL_KEY_FILE`.",
        )
    }

    /// Something else listens there, or an older toolctl.
    pub fn foreign(target: &Target) -> Self {
        Self::lasting(
            format!(
                "What listens at {target} does not speak this protocol: it is older than this toolctl, or no toolctl."
            ),
            "Ask the person to restart the daemon: `toolctl stop`, then `toolctl serve`.",
        )
    }
}

/// Asks for a daemon like the last one.
fn serve_with(flags: Option<&str>, more: &str) -> String {
    let flags = flags.map(|flags| format!(" The last one had these flags: `{flags}`.")).unwrap_or_default();
    format!("{SERVE} {more}; this client then finds it by itself.{flags}")
}

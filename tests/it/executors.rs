//! What runs tools, told once for every kind: one table of what may happen to a call and what must be said of it
//! then. A kind stages each case against a real daemon, with an effect that is counted outside of it, or says why the
//! case cannot happen to it. A new kind is one more implementation of [`Kind`] and one more line in [`every_kind`].

mod command;
mod desk;
mod http;
mod upstream;

use serde_json::{Value, json};

use crate::support::{Daemon, until};

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// The tool does what it is for.
    Succeeds,
    /// The tool says that it did nothing.
    Declines,
    /// Whatever runs it is not there.
    IsGone,
    /// A tool of this effect does not end in time.
    IsSlow(&'static str),
    /// A tool that only reads says more than it may.
    SaysTooMuch,
    /// A tool that may be repeated does it, and says something else than it declared.
    SaysSomethingElse,
    /// The tool says a secret that it was given.
    SaysASecret,
    /// The daemon dies when the start is durable, before anything is run.
    DaemonDiesBefore,
    /// The daemon dies when the tool has done it, before that is durable.
    DaemonDiesAfter,
    /// The requester takes it back while people think.
    IsTakenBack,
}

const CASES: [Case; 13] = [
    Case::Succeeds,
    Case::Declines,
    Case::IsGone,
    Case::IsSlow("readonly"),
    Case::IsSlow("idempotent"),
    Case::IsSlow("keyed"),
    Case::IsSlow("once"),
    Case::SaysTooMuch,
    Case::SaysSomethingElse,
    Case::SaysASecret,
    Case::DaemonDiesBefore,
    Case::DaemonDiesAfter,
    Case::IsTakenBack,
];

/// What must be said of a call, and how often it must have happened.
struct Expected {
    state: &'static str,
    effect: &'static str,
    /// Any of these.
    codes: &'static [&'static str],
    effects: usize,
}

impl Case {
    fn expected(self) -> Expected {
        const fn is(
            state: &'static str,
            effect: &'static str,
            codes: &'static [&'static str],
            effects: usize,
        ) -> Expected {
            Expected { state, effect, codes, effects }
        }
        match self {
            Self::Succeeds | Self::SaysASecret | Self::DaemonDiesBefore | Self::DaemonDiesAfter => {
                is("succeeded", "done", &[""], 1)
            }
            Self::Declines => is("failed", "none", &["tool-failed", "object-not-found"], 0),
            Self::IsGone => is("failed", "none", &["tool-failed"], 0),
            Self::IsSlow("readonly") => is("failed", "none", &["tool-timeout"], 0),
            Self::IsSlow("idempotent") => is("failed", "unknown", &["tool-timeout"], 0),
            Self::IsSlow(_) => is("in_doubt", "unknown", &["outcome-unknown"], 0),
            Self::SaysTooMuch => is("failed", "none", &["output-invalid"], 0),
            Self::SaysSomethingElse => is("failed", "done", &["output-invalid"], 1),
            Self::IsTakenBack => is("cancelled", "none", &["cancelled"], 0),
        }
    }
}

/// The secret that [`Case::SaysASecret`] plants in the daemon's environment, as `THE_SECRET`.
pub const SECRET: &str = "canary-4f1d9c27-canary";

/// A case that is ready to happen.
pub struct Stage {
    /// The daemon, running; armed with a fail point where it is to die.
    pub daemon: Daemon,
    /// The tool.
    pub tool: &'static str,
    /// What it is called with.
    pub arguments: Value,
    /// How often the effect has happened, as the world outside the daemon tells it. Asked when the call has ended; the
    /// daemon may be stopped for it.
    pub effects: Box<dyn Fn(&mut Daemon) -> usize>,
}

/// A kind of tools.
pub trait Kind {
    /// Whether what its runs leave tells every later daemon what happened. Without, a daemon that dies in the middle may
    /// leave doubt, and never a second effect.
    const LEAVES_PROOF: bool;

    /// Stages a case.
    ///
    /// # Errors
    /// Why it cannot happen to this kind.
    fn stage(&self, case: Case) -> Result<Stage, &'static str>;
}

#[test]
fn every_kind_says_the_truth_about_every_end() {
    hold(&command::Commands);
    hold(&desk::Desk);
    hold(&http::Requests);
    hold(&upstream::Upstreams);
}

fn hold<K: Kind>(kind: &K) {
    let name = std::any::type_name::<K>();
    let mut held = 0;
    // Builds without debug assertions have no fail points.
    let dies = |case: &Case| matches!(case, Case::DaemonDiesBefore | Case::DaemonDiesAfter);
    for case in CASES.into_iter().filter(|case| cfg!(debug_assertions) || !dies(case)) {
        match kind.stage(case) {
            Ok(stage) => {
                happens::<K>(name, case, stage);
                held += 1;
            }
            Err(why) => println!("{name}: {case:?} cannot happen: {why}"),
        }
    }
    assert!(held > 0, "{name} stages nothing");
}

fn happens<K: Kind>(name: &str, case: Case, mut stage: Stage) {
    let told = format!("{name}, {case:?}");
    let asks = case == Case::IsTakenBack;
    let body = json!({"tool": stage.tool, "arguments": stage.arguments, "idempotency_key": "k", "wait": "30s"});
    let dies = matches!(case, Case::DaemonDiesBefore | Case::DaemonDiesAfter);
    if dies {
        let gone = stage.daemon.http("POST", "/v1/calls").json(&body).try_send();
        assert!(gone.is_none_or(|answer| answer.body.is_empty()), "{told}: the daemon did not die");
        until(|| stage.daemon.has_ended().then_some(()));
        stage.daemon.unarm();
        stage.daemon.restart();
    }
    let agent = stage.daemon.agent("somebody");
    let send = |daemon: &Daemon, body: &Value| daemon.http("POST", "/v1/calls").json(body).send().json();
    let answer = if asks {
        let waits = json!({"tool": stage.tool, "arguments": stage.arguments, "approval": "required"});
        let asked = stage.daemon.http("POST", "/v1/calls").key(&agent).json(&waits).send().json();
        let id = asked["id"].as_str().unwrap_or_else(|| panic!("{told}: {asked}"));
        stage.daemon.http("POST", &format!("/v1/calls/{id}/cancel")).key(&agent).json(&json!({})).send().json()
    } else {
        send(&stage.daemon, &body)
    };
    let Expected { state, effect, codes, effects } = case.expected();
    let code = answer["error"]["code"].as_str().unwrap_or_default().to_owned();
    let in_doubt = !K::LEAVES_PROOF && dies && answer["state"] == "in_doubt" && answer["effect"] == "unknown";
    if !in_doubt {
        assert_eq!((&answer["state"], &answer["effect"]), (&json!(state), &json!(effect)), "{told}: {answer}");
        assert!(codes.contains(&code.as_str()), "{told}: {answer}");
    }
    assert!(!answer.to_string().contains(SECRET), "{told}: {answer}");
    stage.daemon.cli(&["audit", "verify"]).exits(0);
    if !asks {
        // The same request again is answered from the record, whatever happened.
        let again = send(&stage.daemon, &body);
        assert_eq!(
            (&again["id"], &again["state"], &again["effect"]),
            (&answer["id"], &answer["state"], &answer["effect"]),
            "{told}"
        );
    }
    let happened = (stage.effects)(&mut stage.daemon);
    let right = if in_doubt { happened <= 1 } else { happened == effects };
    assert!(right, "{told}: it happened {happened} times, and it was said: {answer}");
}

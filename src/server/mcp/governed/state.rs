//! What a modern client brings back between the legs of one `tools/call` (`requestState`): which call the exchange
//! is about and how far it is. It is sealed, and good for one caller, one request and one hour; a state that is
//! not ours changes nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::mcp::Fault;
use crate::domain::digest::Digest;
use crate::domain::id::{CallId, PrincipalId};
use crate::domain::json::canonical;
use crate::domain::time::Timestamp;
use crate::server::mcp::seal::Seal;

const LABEL: &str = "request-state";
/// For how long a state is good: longer than anybody takes to type a digest.
const GOOD_FOR: Duration = Duration::from_secs(3600);

/// How far an exchange is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The call it is about.
    pub call: CallId,
    /// Whose exchange it is.
    pub caller: PrincipalId,
    /// Digest of tool and arguments: see [`State::about`].
    pub request: Digest,
    /// What the client was asked for.
    pub step: Step,
    /// Its first request opened the call: who takes a later one back takes the call back.
    #[serde(default)]
    pub opened: bool,
}

/// What the client was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// To let somebody type the digest, for the so-manieth time.
    Asked(u8),
    /// To come again: so many short waits are over.
    Held(u8),
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    state: State,
    until: Timestamp,
}

impl State {
    /// Digest of a request: the same tool with the same arguments, as they were sent, has the same.
    pub fn about(tool: &str, arguments: &Value) -> Digest {
        Digest::of("toolctl/mcp/request/v1", &[tool.as_bytes(), canonical(arguments).as_bytes()])
    }

    /// The text that the client brings back.
    pub fn close(&self, seal: &Seal, now: Timestamp) -> String {
        seal.close(LABEL, &Sealed { state: self.clone(), until: now.plus(GOOD_FOR) })
    }

    /// Reads what the client brought back.
    ///
    /// # Errors
    /// -32602, the same whatever is wrong with it.
    pub fn open(seal: &Seal, text: &str, caller: &PrincipalId, request: Digest, now: Timestamp) -> Result<Self, Fault> {
        seal.open::<Sealed>(LABEL, text)
            .filter(|sealed| sealed.until > now && sealed.state.caller == *caller && sealed.state.request == request)
            .map(|sealed| sealed.state)
            .ok_or_else(|| {
                Fault::invalid_params(
                    "`requestState` was not given to this caller for this tool with these arguments, or is too old: \
                     send the call again without it",
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[test]
    fn a_state_is_good_for_one_caller_one_request_and_one_hour() {
        let seal = Seal::new([1; 32]);
        let (anna, bo): (PrincipalId, PrincipalId) = ("user:anna".parse().unwrap(), "user:bo".parse().unwrap());
        let about = State::about("t", &json!({"b": 1, "a": 2.0}));
        assert_eq!(State::about("t", &json!({"a": 2, "b": 1})), about, "the same request in other words");
        let (call, step) = (CallId::from_bytes([7; 16]), Step::Held(3));
        let state = State { call, caller: anna.clone(), request: about, step, opened: true };
        let text = state.close(&seal, NOW);
        let open =
            |seal: &Seal, text: &str, who, about, now| State::open(seal, text, who, about, now).map_err(|no| no.code);

        assert_eq!(open(&seal, &text, &anna, about, NOW), Ok(state));
        let other = State::about("t", &json!({"a": 2, "b": 2}));
        let late = NOW.plus(GOOD_FOR);
        for (what, found) in [
            ("another caller", open(&seal, &text, &bo, about, NOW)),
            ("other arguments", open(&seal, &text, &anna, other, NOW)),
            ("another tool", open(&seal, &text, &anna, State::about("u", &json!({"a": 2, "b": 1})), NOW)),
            ("too late", open(&seal, &text, &anna, about, late)),
            ("another key", open(&Seal::new([2; 32]), &text, &anna, about, NOW)),
            ("cut", open(&seal, &text[1..], &anna, about, NOW)),
            ("empty", open(&seal, "", &anna, about, NOW)),
        ] {
            assert_eq!(found, Err(-32_602), "{what}");
        }
    }
}

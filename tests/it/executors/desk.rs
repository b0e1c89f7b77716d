//! The customer desk in every case that can happen to it: its effect and its record are one transaction.

use serde_json::json;

use super::{Case, Kind, Stage};
use crate::support::{Daemon, store};

/// What is built in.
pub struct Desk;

impl Kind for Desk {
    const LEAVES_PROOF: bool = true;

    fn stage(&self, case: Case) -> Result<Stage, &'static str> {
        let (customer, fault) = match case {
            Case::Succeeds | Case::IsTakenBack => (1, None),
            Case::Declines => (99, None),
            Case::DaemonDiesBefore => (1, Some("open_settled:before:kill")),
            Case::DaemonDiesAfter => (1, Some("open_settled:after:kill")),
            Case::IsGone => return Err("it is built in"),
            Case::IsSlow(_) => return Err("it runs inside a transaction of our own"),
            Case::SaysTooMuch | Case::SaysSomethingElse => return Err("what it says is ours"),
            Case::SaysASecret => return Err("it is given none"),
        };
        let environment: Vec<_> = fault.map(|fault| ("TOOLCTL_FAILPOINT", fault)).into_iter().collect();
        let daemon = Daemon::start_with(&[], &environment);
        let arguments = json!({"customer_id": customer, "title": "Login broken"});
        let effects = |daemon: &mut Daemon| {
            assert_eq!(daemon.terminate(), Some(0));
            store::reading(daemon, async |store| store.tickets(10).await.expect("tickets").len())
        };
        Ok(Stage { daemon, tool: "create_ticket", arguments, effects: Box::new(effects) })
    }
}

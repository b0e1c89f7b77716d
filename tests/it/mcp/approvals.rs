//! A call that waits for people, as every kind of client hears of it: each rung of the ladder over a real daemon,
//! decided meanwhile by an approver over REST. Behind all of them stands the one record of the call.

mod client;
mod consent;
mod holds;
mod legacy;
mod tasks;

use serde_json::{Value, json};

use crate::support::{Daemon, until};

/// Everybody may call; what is of high risk waits for an approver.
const PEOPLE: &str = r#"
@id("all")
permit (principal, action, resource);

@id("people")
@approval_group("approvers")
forbid (principal, action in [Toolctl::Action::"high_risk"], resource) unless { context.session.attended };
"#;

/// A daemon, an agent's key, an approver's key.
struct World {
    daemon: Daemon,
    agent: String,
    anna: String,
}

impl World {
    /// A daemon under the rule above that holds a waiting call for this long.
    fn holding(hold: &str) -> Self {
        Self::under(PEOPLE, hold)
    }

    /// The same where the rule takes the caller's consent as well.
    fn taking_consent() -> Self {
        let rule = "@approval_group(\"approvers\")";
        Self::under(&PEOPLE.replace(rule, &format!("{rule}\n@approval_consent(\"caller\")")), "100ms")
    }

    fn under(policy: &str, hold: &str) -> Self {
        let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[]);
        std::fs::write(daemon.dir().join(".env"), crate::support::daemon::UNHURRIED).expect("the env file");
        daemon.configure("policies/main.cedar", policy);
        daemon.configure("toolctl.toml", &format!("[mcp]\nhold = \"{hold}\"\n"));
        daemon.restart();
        let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
        Self { daemon, agent, anna }
    }

    /// The one approval that waits, once it does.
    fn waiting(&self) -> Value {
        until(|| {
            let listed = self.daemon.http("GET", "/v1/approvals").key(&self.anna).send().json();
            listed["approvals"].get(0).map(|dossier| dossier["call"]["approval"].clone())
        })
    }

    /// The approver decides about what waits.
    fn anna_says(&self, verdict: &str) {
        let asked = self.waiting();
        let path = format!("/v1/approvals/{}/decisions", asked["id"].as_str().expect("an id"));
        let body = json!({"decision": verdict, "digest": asked["digest"], "wait": "30s"});
        self.daemon.http("POST", &path).key(&self.anna).json(&body).send().is(200);
    }

    /// How the call of an answer stands.
    fn state(&self, answer: &Value) -> String {
        let id = answer["_meta"]["dev.toolctl/call"].as_str().unwrap_or_else(|| panic!("no call in {answer}"));
        self.daemon.http("GET", &format!("/v1/calls/{id}")).key(&self.anna).send().text("/state")
    }

    /// The types of all records about calls, in order.
    fn story(&self) -> Vec<String> {
        let kind = |record: &Value| record["type"].as_str().expect("a type").to_owned();
        let about_calls = |kind: &String| kind.starts_with("call.") || kind.starts_with("approval.");
        self.daemon.audit("limit=1000").iter().map(kind).filter(about_calls).collect()
    }

    /// The log verifies.
    fn verifies(&self) {
        let report = self.daemon.cli(&["-o", "json", "audit", "verify"]).json();
        assert_eq!(report["verified"], true, "{report}");
    }
}

/// The arguments of the call that waits.
fn paused() -> Value {
    json!({"customer_id": 2, "new_status": "Paused"})
}

/// The status word of a result that is not the tool's output.
#[track_caller]
fn status(result: &Value) -> String {
    assert_eq!(result["isError"], true, "{result}");
    // Not every client is shown it as structured content too.
    let text = result["content"][0]["text"].as_str().expect("a text");
    let said: Value = serde_json::from_str(text).expect("JSON");
    said["status"].as_str().unwrap_or_else(|| panic!("no status in {result}")).to_owned()
}

/// Asserts that the tool ran and that this is its output.
#[track_caller]
fn is_paused(result: &Value) {
    assert_eq!(result["isError"], false, "{result}");
    assert_eq!(result["structuredContent"]["customer"]["status"], "Paused", "{result}");
}

//! One case: a day with a fault in it, the next start, every step once more, and what is on disk then.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tempfile::TempDir;
use toolctl::domain::tool::EffectClass;
use toolctl::pipeline::port::CallFilter;

use super::check::{Expected, History, Row, Told, broken, is_closed};
use super::day::{Before, Day, Step, Who, arguments};
use super::seed;
use crate::support::{Daemon, Exchange, Response, store, until};

/// A day whose folder is ready to be copied.
pub struct Prepared<'a> {
    day: &'a Day,
    folder: Option<TempDir>,
    agent: String,
    anna: String,
}

/// A fault: point, number, side and what happens.
#[derive(Clone, Copy)]
pub struct Case {
    /// The point.
    pub point: &'static str,
    /// Which write of its kind.
    pub nth: u32,
    /// `before` or `after`.
    pub side: &'static str,
    /// `kill`, `error` or `panic`.
    pub fault: &'static str,
}

impl Case {
    /// The text that arms it.
    pub fn spec(&self) -> String {
        format!("{}:{}:{}:{}", self.point, self.side, self.fault, self.nth)
    }
}

/// How a step went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Went {
    Well,
    /// Nobody answers any more.
    Gone,
    /// No record can be written.
    Refused,
}

impl<'a> Prepared<'a> {
    /// Makes the folder that every case of this day starts from.
    pub fn new(day: &'a Day) -> Self {
        if day.before == Before::Nothing {
            return Self { day, folder: None, agent: String::new(), anna: String::new() };
        }
        let mut daemon = Daemon::start();
        let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
        match day.before {
            Before::Ticket => {
                let asked = ask(&daemon, "create_ticket", "k1").key(&agent).send();
                assert_eq!(asked.json()["state"], "succeeded");
            }
            Before::Ready => {
                daemon.kill();
                start(&mut daemon, Some("settled_after_approval:before:kill")).expect("it starts");
                let call = ask(&daemon, "update_customer_status", "k1").key(&agent).send().json();
                assert_eq!(decision(&daemon, &call, true).key(&anna).try_send().map(|answer| answer.status), None);
                until(|| daemon.has_ended().then_some(()));
            }
            Before::Nothing | Before::People | Before::Running(..) | Before::Outside => {}
        }
        daemon.kill();
        if let Before::Running(tool, keys) = day.before {
            for key in keys {
                seed::dispatch(&store::file(&daemon), None, tool, key).expect("it is opened");
            }
        }
        let folder = TempDir::new().expect("a folder");
        for name in ["store.redb", "pepper"] {
            std::fs::copy(daemon.state().join(name), folder.path().join(name)).expect("copied");
        }
        Self { day, folder: Some(folder), agent, anna }
    }

    /// The day.
    pub const fn day(&self) -> &'a Day {
        self.day
    }

    /// Lives through the day with a fault in it, and judges it.
    pub fn run(&self, case: Case) {
        let mut life = Life { prepared: self, daemon: self.folder(), told: Vec::new(), is_first: true };
        life.faulty_day(case);
        life.next_day();
        let history = life.history();
        assert_eq!(broken(&history), std::collections::BTreeSet::new(), "{:#?}", history.told);
    }

    /// Lives through the day without a fault.
    pub fn run_plainly(&self) {
        let mut life = Life { prepared: self, daemon: self.folder(), told: Vec::new(), is_first: true };
        life.next_day();
        let history = life.history();
        assert_eq!(broken(&history), std::collections::BTreeSet::new(), "{:#?}", history.told);
    }

    fn folder(&self) -> Daemon {
        let daemon = Daemon::prepared(&[], &[]);
        if let Some(folder) = &self.folder {
            std::fs::create_dir(daemon.state()).expect("a folder");
            std::fs::set_permissions(daemon.state(), PermissionsExt::from_mode(0o700)).expect("its mode");
            for name in ["store.redb", "pepper"] {
                std::fs::copy(folder.path().join(name), daemon.state().join(name)).expect("copied");
            }
        }
        if let Some(policy) = self.day.policy {
            daemon.configure("policies/main.cedar", policy);
        }
        daemon
    }
}

/// A folder on its way through a case.
struct Life<'a> {
    prepared: &'a Prepared<'a>,
    daemon: Daemon,
    told: Vec<Told>,
    is_first: bool,
}

impl Life<'_> {
    fn faulty_day(&mut self, case: Case) {
        let day = self.prepared.day;
        if day.before == Before::Outside && case.point == "open_started" {
            let ended = seed::dispatch_in_a_child(&store::file(&self.daemon), &case.spec());
            assert_eq!(ended.code(), if case.fault == "kill" { None } else { Some(0) }, "the fault did not strike");
            return;
        }
        if let Some(settings) = day.settings {
            self.daemon.configure("toolctl.toml", settings);
        }
        let went = match start(&mut self.daemon, Some(&case.spec())) {
            Err(said) => {
                let code = self.daemon.ended();
                assert_eq!(code, if case.fault == "kill" { None } else { Some(1) }, "{said:?}");
                return self.forget_settings();
            }
            Ok(_) => self.steps(),
        };
        match (case.fault, went) {
            // What happens in the background may take a moment.
            ("kill", Went::Well | Went::Gone) => {
                until(|| self.daemon.has_ended().then_some(()));
                assert_eq!(self.daemon.ended(), None, "it was not killed");
            }
            (_, Went::Gone) => {
                until(|| self.daemon.has_ended().then_some(()));
                assert_eq!(self.daemon.ended(), Some(1), "a stop that cannot be recorded");
            }
            (_, Went::Well | Went::Refused) => {
                until(|| self.store_is_refused().then_some(()));
                self.survives();
            }
        }
        self.forget_settings();
    }

    fn forget_settings(&self) {
        if self.prepared.day.settings.is_some() {
            self.daemon.configure("toolctl.toml", "");
        }
    }

    fn store_is_refused(&self) -> bool {
        let status = self.daemon.http("GET", "/v1/status").send();
        status.is(200);
        status.text("/store").starts_with("the store is not available: ")
    }

    /// Reads go on, nothing is written, and it ends when it is told to.
    fn survives(&mut self) {
        for path in ["/health", "/v1/calls", "/v1/approvals", "/v1/keys", "/v1/audit", "/v1/audit/checkpoint"] {
            self.daemon.http("GET", path).send().is(200);
        }
        let key = json!({"name": "late", "kind": "agent"});
        let writes = [
            ask(&self.daemon, "create_ticket", "late"),
            ask(&self.daemon, "update_customer_status", "later"),
            self.daemon.http("POST", "/tools/search_customer").json(&json!({"query": "acme"})),
            self.daemon.http("POST", "/tools/nothing").json(&json!({})),
            self.daemon.http("POST", "/v1/keys").json(&key),
        ];
        // The agent's policy may deny some of them; its own user's may not.
        for write in writes {
            write.send().is_problem(503, "audit-unavailable");
        }
        self.daemon.signal("TERM");
        until(|| self.daemon.has_ended().then_some(()));
        assert_eq!(self.daemon.ended(), Some(1), "a stop that cannot be recorded");
    }

    /// The next start has no fault; whoever is not sure asks again with the same key.
    fn next_day(&mut self) {
        self.is_first = false;
        start(&mut self.daemon, None).unwrap_or_else(|said| panic!("it does not start again: {said:?}"));
        assert_eq!(self.steps(), Went::Well);
        for (key, ends, _) in self.prepared.day.ends {
            if !ends.contains(&"gone") {
                assert_eq!(self.step(Step::End(key)), Went::Well);
            }
        }
        assert_eq!(self.daemon.http("GET", "/v1/status").send().text("/store"), "ok");
        assert_eq!(self.daemon.terminate(), Some(0));
    }

    fn steps(&mut self) -> Went {
        for step in self.prepared.day.steps {
            let went = self.step(*step);
            if went != Went::Well {
                return went;
            }
        }
        Went::Well
    }

    fn step(&mut self, step: Step) -> Went {
        match step {
            Step::Search => {
                let search = self.daemon.http("POST", "/tools/search_customer").json(&json!({"query": "acme"}));
                self.judge(search.key(&self.prepared.agent), &[200])
            }
            Step::Stray => {
                let stray = self.daemon.http("POST", "/tools/nothing").json(&json!({}));
                self.judge(stray.key(&self.prepared.agent), &[404])
            }
            Step::Ask(who, key, tool, arguments) => {
                let arguments: Value = serde_json::from_str(arguments).expect("arguments");
                let body = json!({"tool": tool, "arguments": arguments, "wait": "0s"});
                let asked = self.daemon.http("POST", "/v1/calls").once(key).json(&body);
                self.judge(self.present(asked, who), &[200, 202])
            }
            Step::Decide(who, key, yes) => match self.call_of(key) {
                Err(went) => went,
                Ok(call) if call["state"] != "awaiting_approval" => Went::Well,
                Ok(call) => self.judge(self.present(decision(&self.daemon, &call, yes), who), &[200, 202]),
            },
            Step::Cancel(key) => match self.call_of(key) {
                Err(went) => went,
                Ok(call) if call["state"] != "awaiting_approval" => Went::Well,
                Ok(call) => {
                    let path = format!("/v1/calls/{}/cancel", call["id"].as_str().expect("an id"));
                    self.judge(self.daemon.http("POST", &path).key(&self.prepared.agent), &[200])
                }
            },
            Step::Resolve(key, resolution) => match self.call_of(key) {
                Err(went) => went,
                Ok(call) if call["state"] != "in_doubt" => Went::Well,
                Ok(call) => {
                    let path = format!("/v1/calls/{}/resolve", call["id"].as_str().expect("an id"));
                    let body = json!({"as": resolution});
                    self.judge(self.daemon.http("POST", &path).json(&body), &[200, 202])
                }
            },
            Step::End(key) => self.end(key),
            Step::MakeKey => match self.temporary_keys() {
                Err(went) => went,
                Ok(keys) if !keys.is_empty() => Went::Well,
                Ok(_) => {
                    let body = json!({"name": "temporary", "kind": "agent"});
                    self.judge(self.daemon.http("POST", "/v1/keys").json(&body), &[200])
                }
            },
            Step::RotateKey => match self.temporary_keys() {
                Err(went) => went,
                Ok(keys) if keys.len() != 1 => Went::Well,
                Ok(keys) => {
                    let path = format!("/v1/keys/{}/rotate", keys[0]["id"].as_str().expect("an id"));
                    self.judge(self.daemon.http("POST", &path).json(&json!({})), &[200])
                }
            },
            Step::RevokeKey => match self.temporary_keys() {
                Err(went) => went,
                Ok(keys) => {
                    let path = format!("/v1/keys/{}", keys[0]["id"].as_str().expect("an id"));
                    self.judge(self.daemon.http("DELETE", &path), &[200])
                }
            },
            Step::Reload => {
                self.daemon.configure(
                    "policies/main.cedar",
                    "@id(\"reads\") permit (principal, action in Toolctl::Action::\"readonly\", resource);",
                );
                self.judge(self.daemon.http("POST", "/v1/reload"), &[200])
            }
            Step::BeginRun => {
                let body = json!({"run": "r1", "workflow": "w", "plan": {"steps": 1}});
                self.judge(self.present(self.daemon.http("POST", "/v1/runs").json(&body), Who::Agent), &[200])
            }
            Step::EndRun => {
                let body = json!({"verdict": "succeeded"});
                self.judge(self.present(self.daemon.http("POST", "/v1/runs/r1/end").json(&body), Who::Agent), &[200])
            }
            Step::Stop if !self.is_first => Went::Well,
            Step::Stop => {
                self.daemon.signal("TERM");
                Went::Gone
            }
        }
    }

    fn present(&self, request: Exchange, who: Who) -> Exchange {
        match who {
            Who::Agent => request.key(&self.prepared.agent),
            Who::Anna => request.key(&self.prepared.anna),
            Who::Own => request,
        }
    }

    /// Sends a request, keeps what it tells, and says how it went.
    fn judge(&mut self, request: Exchange, fine: &[u16]) -> Went {
        let Some(answer) = request.try_send() else { return Went::Gone };
        if answer.status == 503 && self.is_first {
            answer.is_problem(503, "audit-unavailable");
            return Went::Refused;
        }
        assert!(fine.contains(&answer.status), "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
        self.hear(&answer);
        Went::Well
    }

    fn hear(&mut self, answer: &Response) {
        let document: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let text = |name: &str| document[name].as_str().map(str::to_owned);
        if let (Some(key), Some(call), Some(state)) = (text("idempotency_key"), text("id"), text("state")) {
            let result = format!("{} {}", document["output"], document["error"]);
            self.told.push(Told { key, call, state, result });
        }
    }

    /// The call of a key, as the operator sees it.
    fn call_of(&self, key: &str) -> Result<Value, Went> {
        let Some(listed) = self.daemon.http("GET", "/v1/calls").try_send() else { return Err(Went::Gone) };
        let listed = listed.is(200).json();
        let mut calls = listed["calls"].as_array().expect("calls").iter();
        Ok(calls.find(|call| call["idempotency_key"] == key).expect("a call of that key").clone())
    }

    fn temporary_keys(&self) -> Result<Vec<Value>, Went> {
        let Some(listed) = self.daemon.http("GET", "/v1/keys").try_send() else { return Err(Went::Gone) };
        let keys = listed.is(200).json()["keys"].as_array().expect("keys").clone();
        Ok(keys.into_iter().filter(|key| key["principal"] == "agent:temporary").collect())
    }

    /// Asks until the call has ended, is in doubt, or nothing can change any more.
    fn end(&mut self, key: &str) -> Went {
        until(|| {
            let call = match self.call_of(key) {
                Ok(call) => call,
                Err(went) => return Some(went),
            };
            let state = call["state"].as_str().expect("a state");
            if is_closed(state) || state == "in_doubt" {
                let path = format!("/v1/calls/{}", call["id"].as_str().expect("an id"));
                let shown = self.daemon.http("GET", &path);
                return Some(self.judge(shown, &[200, 202]));
            }
            match self.daemon.http("GET", "/v1/status").try_send() {
                None => Some(Went::Gone),
                Some(status) => (status.text("/store") != "ok").then_some(Went::Refused),
            }
        })
    }

    fn history(&mut self) -> History {
        let (mut history, customers) = store::reading(&self.daemon, async |store| {
            let filter = CallFilter { limit: 1_000, ..CallFilter::default() };
            let calls = store.calls(filter).await.expect("calls");
            let rows = calls.iter().map(|call| Row {
                key: call.key.to_string(),
                call: call.id.to_string(),
                state: call.state.word().to_owned(),
                output: call
                    .outcome()
                    .and_then(|end| end.output())
                    .map_or("null".to_owned(), |o| o.value().to_string()),
                once: call.effect == EffectClass::Once,
            });
            let tickets = store.tickets(1_000).await.expect("tickets");
            let messages = store.messages(1_000).await.expect("messages");
            let customers = store.search("e", 1_000).await.expect("customers");
            let tickets = tickets.iter().map(|ticket| format!("ticket {}", ticket.title));
            let messages = messages.iter().map(|message| format!("message {}", message.message));
            let changed = customers.iter().filter(|customer| customer.status != "Active");
            let changed = changed.map(|customer| format!("customer {} is {}", customer.id, customer.status));
            let frontier = store.frontier().await.expect("the head");
            let entries = store.read(0, 10_000).await.expect("records");
            let keys = store.all().await.expect("keys");
            let history = History {
                rows: rows.collect(),
                effects: tickets.chain(messages).chain(changed).collect(),
                keys: keys.iter().map(|key| format!("key_{}", key.id)).collect(),
                log: entries.into_iter().map(|entry| (entry.leaf, entry.hash)).collect(),
                head: Some((frontier.size(), frontier.root())),
                ..History::default()
            };
            let names = store.search("a", 1_000).await.expect("customers").len() + customers.len();
            (history, names)
        });
        assert!(customers >= 3, "the desk's first customers are not there");
        history.told = std::mem::take(&mut self.told);
        history.expected = self.prepared.day.ends.iter().map(expected).collect();
        history
    }
}

fn expected((key, ends, effect): &(&str, &[&str], Option<&str>)) -> Expected {
    Expected {
        key: (*key).to_owned(),
        ends: ends.iter().map(|end| (*end).to_owned()).collect(),
        effect: effect.map(str::to_owned),
    }
}

fn start(daemon: &mut Daemon, armed: Option<&str>) -> Result<Vec<String>, Vec<String>> {
    let mut command = daemon.command();
    if let Some(armed) = armed {
        command.env("TOOLCTL_FAILPOINT", armed);
    }
    daemon.attempt(command)
}

fn ask(daemon: &Daemon, tool: &str, key: &str) -> Exchange {
    let arguments: Value = serde_json::from_str(arguments(tool)).expect("arguments");
    daemon.http("POST", "/v1/calls").once(key).json(&json!({"tool": tool, "arguments": arguments}))
}

fn decision(daemon: &Daemon, call: &Value, yes: bool) -> Exchange {
    let id = call["approval"]["id"].as_str().expect("an approval");
    let verdict = if yes { "approve" } else { "reject" };
    let body = json!({"decision": verdict, "digest": call["approval"]["digest"], "wait": "30s"});
    daemon.http("POST", &format!("/v1/approvals/{id}/decisions")).json(&body)
}

//! A client with a journal: what it asked for, what it was told, and what it must still ask again.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::check::{Answer, Ticket};
use crate::support::{Door, Response};

/// Small random numbers from a seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    /// Starts from a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Something that differs from run to run.
    pub fn now() -> u32 {
        SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").subsec_micros()
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What a client has asked for and has no answer to.
#[derive(Debug, Clone)]
enum Open {
    /// A ticket.
    Ticket { key: String, title: String },
    /// A status that people must approve.
    Status { key: String, status: String },
}

/// One client.
pub struct Client {
    name: String,
    key: String,
    approver: String,
    dice: Dice,
    count: usize,
    open: Option<Open>,
    /// Titles it asked for.
    pub asked: BTreeSet<String>,
    /// What it was told.
    pub answers: Vec<Answer>,
}

impl Client {
    /// A client with the key of an agent, and the key of the person who approves for it.
    pub fn new(number: usize, key: String, approver: String, seed: u64) -> Self {
        Self {
            name: format!("bot{number}"),
            key,
            approver,
            dice: Dice::new(seed),
            count: 0,
            open: None,
            asked: BTreeSet::new(),
            answers: Vec::new(),
        }
    }

    /// Repeats what it has no answer to, then asks for more, until nobody answers.
    pub fn works_until_the_daemon_is_gone(&mut self, door: &Door) {
        while self.step(door).is_some() {}
    }

    /// Gets the answer to what is still open; the daemon stays.
    pub fn settles(&mut self, door: &Door) {
        if let Some(open) = self.open.clone() {
            self.ask(door, open).expect("an answer");
        }
        // A repeat of something old is answered from the record.
        if let Some(old) = self.answers.first().cloned().filter(|old| old.ticket.is_some()) {
            let title = old.ticket.expect("a ticket").title;
            let key = old.key.rsplit(' ').next().expect("a key").to_owned();
            self.ask(door, Open::Ticket { key, title }).expect("an answer");
        }
    }

    /// One request; none when the daemon is gone.
    fn step(&mut self, door: &Door) -> Option<()> {
        let open = match self.open.clone() {
            Some(open) => open,
            None => match self.dice.below(10) {
                0 | 1 => return self.search(door),
                2 | 3 => {
                    self.count += 1;
                    Open::Status { key: format!("s{}", self.count), status: format!("{} {}", self.name, self.count) }
                }
                _ => {
                    self.count += 1;
                    let title = format!("{} ticket {}", self.name, self.count);
                    self.asked.insert(title.clone());
                    Open::Ticket { key: format!("t{}", self.count), title }
                }
            },
        };
        self.ask(door, open)
    }

    fn search(&mut self, door: &Door) -> Option<()> {
        let found =
            door.http("POST", "/tools/search_customer").key(&self.key).json(&json!({"query": "a"})).try_send()?;
        answered(&found).then(|| assert!(found.json()["results"].is_array()))
    }

    fn ask(&mut self, door: &Door, open: Open) -> Option<()> {
        self.open = Some(open.clone());
        let answer = match open {
            Open::Ticket { key, title } => self.ticket(door, &key, title)?,
            Open::Status { key, status } => self.status(door, &key, &status)?,
        };
        self.answers.push(answer);
        self.open = None;
        Some(())
    }

    fn ticket(&self, door: &Door, key: &str, title: String) -> Option<Answer> {
        let told = self.call(door, key, "create_ticket", &json!({"customer_id": 1, "title": title}))?;
        let call = told.json();
        assert_eq!(call["state"], "succeeded", "{call}");
        let id = call["output"]["ticket"]["id"].as_i64().expect("a number");
        Some(self.answer(key, &call, Some(Ticket { id, title })))
    }

    /// Asks as the agent, approves as the person, and has the answer when the call has ended.
    fn status(&self, door: &Door, key: &str, status: &str) -> Option<Answer> {
        let arguments = json!({"customer_id": 2, "new_status": status});
        let mut call = self.call(door, key, "update_customer_status", &arguments)?.json();
        if call["state"] != "succeeded" {
            let body = json!({"decision": "approve", "digest": call["approval"]["digest"], "wait": "30s"});
            let path = format!("/v1/approvals/{}/decisions", call["approval"]["id"].as_str().expect("an approval"));
            let decided = door.http("POST", &path).key(&self.approver).json(&body).try_send()?;
            if !answered(&decided) {
                return None;
            }
            // The person's answer has the audit index of the decision; what counts is the end of the call.
            call = decided.json();
            assert_eq!(call["state"], "succeeded", "{call}");
            call["audit"] = Value::Null;
        }
        Some(self.answer(key, &call, None))
    }

    fn call(&self, door: &Door, key: &str, tool: &str, arguments: &Value) -> Option<Response> {
        let body = json!({"tool": tool, "arguments": arguments});
        let told = door.http("POST", "/v1/calls").key(&self.key).once(key).json(&body).try_send()?;
        answered(&told).then_some(told)
    }

    fn answer(&self, key: &str, call: &Value, ticket: Option<Ticket>) -> Answer {
        Answer {
            key: format!("agent:{} {key}", self.name),
            call: call["id"].as_str().expect("an id").to_owned(),
            output: call["output"].to_string(),
            ticket,
            record: call["audit"].as_u64(),
        }
    }
}

/// Whether it is an answer about the call, and not one about a daemon that is on its way.
fn answered(answer: &Response) -> bool {
    if answer.status == 503 || answer.status == 409 {
        let code = answer.text("/code");
        assert!(
            ["shutting-down", "overloaded", "idempotency-in-progress"].contains(&code.as_str()),
            "{}",
            answer.json()
        );
        return false;
    }
    assert!(matches!(answer.status, 200 | 202), "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
    true
}

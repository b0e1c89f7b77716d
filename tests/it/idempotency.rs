//! Many callers, one key: one execution, and everybody gets the same bytes. The store is counted by the
//! library after the daemon has ended, not by asking the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Barrier};

use serde_json::{Value, json};

use crate::support::store;
use crate::support::{Daemon, Door};

const KEYS: usize = 100;
const CALLERS: usize = 64;

/// Which way a caller takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Native,
    Compatible,
    CommandLine,
}

/// Asks once, patiently: while the first request has not ended, a caller may be told to come again.
fn ask(door: &Door, way: Way, key: &str, arguments: &Value) -> String {
    loop {
        let answer = match way {
            Way::Compatible => door.http("POST", "/tools/create_ticket").once(key).json(arguments).send(),
            _ => {
                let body = json!({"tool": "create_ticket", "arguments": arguments, "wait": "30s"});
                door.http("POST", "/v1/calls").once(key).json(&body).send()
            }
        };
        if answer.status == 409 {
            answer.is_problem(409, "idempotency-in-progress");
            continue;
        }
        let document = answer.is(200).json();
        return match way {
            Way::Compatible => json!({"ticket": document["ticket"]}).to_string(),
            _ => document["output"].to_string(),
        };
    }
}

#[test]
fn a_hundred_keys_of_sixty_four_callers_are_a_hundred_executions() {
    let mut daemon = Daemon::unhurried();
    let door = daemon.door();
    let barrier = Arc::new(Barrier::new(CALLERS));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (door, barrier) = (door.clone(), Arc::clone(&barrier));
            let way = if caller % 2 == 0 { Way::Native } else { Way::Compatible };
            std::thread::spawn(move || {
                let mut answers = Vec::new();
                for key in 0..KEYS {
                    let arguments = json!({"customer_id": 1, "title": format!("Ticket {key}")});
                    barrier.wait();
                    answers.push(ask(&door, way, &format!("key-{key}"), &arguments));
                }
                answers
            })
        })
        .collect();
    let answers: Vec<Vec<String>> = callers.into_iter().map(|caller| caller.join().expect("a caller")).collect();
    for key in 0..KEYS {
        let outputs: BTreeSet<_> = answers.iter().map(|of_caller| &of_caller[key]).collect();
        assert_eq!(outputs.len(), 1, "key-{key}: {outputs:?}");
    }
    assert_eq!(daemon.terminate(), Some(0));
    let titles = tickets_by_title(&daemon);
    assert_eq!(titles.len(), KEYS);
    assert!(titles.values().all(|count| *count == 1), "a ticket was made twice: {titles:?}");
}

#[test]
fn the_command_line_and_both_doors_share_a_key() {
    let mut daemon = Daemon::unhurried();
    let ways = [Way::Native, Way::Compatible, Way::CommandLine];
    for round in 0..4 {
        let key = format!("key-{round}");
        let title = format!("Ticket {round}");
        let barrier = Barrier::new(12);
        let outputs: BTreeMap<String, Vec<Way>> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..12)
                .map(|caller| {
                    let (daemon, barrier, key, title) = (&daemon, &barrier, &key, &title);
                    let way = ways[caller % 3];
                    scope.spawn(move || {
                        barrier.wait();
                        let arguments = json!({"customer_id": 1, "title": title});
                        match way {
                            Way::CommandLine => (command_line(daemon, key, title), way),
                            _ => (ask(&daemon.door(), way, key, &arguments), way),
                        }
                    })
                })
                .collect();
            let mut outputs = BTreeMap::<String, Vec<Way>>::new();
            for caller in callers {
                let (output, way) = caller.join().expect("a caller");
                outputs.entry(output).or_default().push(way);
            }
            outputs
        });
        assert_eq!(outputs.len(), 1, "round {round}: {outputs:?}");
    }
    assert_eq!(daemon.terminate(), Some(0));
    assert!(tickets_by_title(&daemon).values().all(|count| *count == 1));
}

fn command_line(daemon: &Daemon, key: &str, title: &str) -> String {
    let arguments = [
        "-o",
        "json",
        "call",
        "create_ticket",
        "--idempotency-key",
        key,
        "--wait",
        "30s",
        "--customer-id",
        "1",
        "--title",
        title,
    ];
    daemon.cli(&arguments).json().to_string()
}

#[test]
fn a_key_survives_the_daemon() {
    let mut daemon = Daemon::start();
    let ticket = json!({"customer_id": 1, "title": "Before the restart"});
    let request = |daemon: &Daemon| daemon.http("POST", "/tools/create_ticket").once("k").json(&ticket).send();
    let first = request(&daemon);
    let raw = |daemon: &Daemon| {
        let call = daemon.http("GET", &format!("/v1/calls/{}", first.header("toolctl-call"))).send();
        call.json()["output"].to_string()
    };
    let before = raw(&daemon);
    assert_eq!(daemon.terminate(), Some(0));
    daemon.restart();
    let second = request(&daemon);
    assert_eq!(
        (second.is(200).json()["idempotent_replay"].clone(), second.text("/ticket/id")),
        (json!(true), first.text("/ticket/id"))
    );
    daemon.kill();
    daemon.restart();
    assert_eq!(request(&daemon).body, second.body, "byte for byte, however often");
    assert_eq!(raw(&daemon), before);
}

#[test]
fn a_key_of_a_waiting_call_attaches_to_it() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let first = crate::http::ask(&daemon, &agent, "k", "Suspended");
    let again = crate::http::ask(&daemon, &agent, "k", "Suspended");
    assert_eq!(again["id"], first["id"]);
    let change = json!({"customer_id": 2, "new_status": "Suspended"});
    let compatible = daemon.http("POST", "/tools/update_customer_status").key(&agent).once("k").json(&change).send();
    assert_eq!(compatible.is(202).text("/pending_action_id"), first["approval"]["id"].as_str().expect("an id"));
    crate::http::decision(&daemon, &first, "approve").send().is(200);
    let done = daemon.http("POST", "/tools/update_customer_status").key(&agent).once("k").json(&change).send();
    assert_eq!(
        (done.is(200).json()["idempotent_replay"].clone(), done.text("/customer/status")),
        (json!(true), "Suspended".into())
    );
}

fn tickets_by_title(daemon: &Daemon) -> BTreeMap<String, usize> {
    store::reading(daemon, async |store| {
        let mut titles = BTreeMap::new();
        for ticket in store.tickets(100_000).await.expect("tickets") {
            *titles.entry(ticket.title).or_default() += 1;
        }
        assert_eq!(store.unfinished().await.expect("calls").len(), 0);
        titles
    })
}

#[test]
fn a_result_that_is_no_longer_kept_is_410_and_never_runs_again() {
    let mut daemon = Daemon::prepared(&[], &[]);
    daemon.configure("toolctl.toml", "[retention]\nresults = \"1ms\"\ntombstones = \"1h\"\n");
    daemon.restart();
    let request = |daemon: &Daemon, title: &str| {
        let ticket = json!({"customer_id": 1, "title": title});
        daemon.http("POST", "/tools/create_ticket").once("k").json(&ticket).send()
    };
    request(&daemon, "Long ago").is(200);
    // A daemon removes what is too old when it starts.
    let gone = crate::support::until(|| {
        assert_eq!(daemon.terminate(), Some(0));
        daemon.restart();
        let answer = request(&daemon, "Long ago");
        (answer.status != 200).then_some(answer)
    });
    gone.is_problem(410, "idempotency-result-expired");
    assert_eq!(gone.text("/retryable"), "never");
    assert!(matches!(request(&daemon, "Another").status, 410 | 422), "the key stays used, for whatever request");
    let ending = daemon.cli(&[
        "-o",
        "json",
        "call",
        "create_ticket",
        "--idempotency-key",
        "k",
        "customer_id=1",
        "title=Long ago",
    ]);
    assert_eq!(ending.exits(9).error()["code"], "idempotency-result-expired");
    assert_eq!(daemon.audit("kind=call.completed&tool=create_ticket").len(), 1);
    assert!(daemon.audit("kind=log.pruned").len() == 1);
    assert_eq!(daemon.terminate(), Some(0));
    assert_eq!(tickets_by_title(&daemon).len(), 1);
}

#[test]
fn a_key_that_attached_to_an_identical_request_is_a_key_of_it() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let first = crate::http::ask(&daemon, &agent, "first", "Suspended");
    let second = crate::http::ask(&daemon, &agent, "second", "Suspended");
    assert_eq!(second["id"], first["id"], "an identical pending request attaches");
    crate::http::decision(&daemon, &first, "approve").send().is(200);
    // Both keys were answered with this call, so both are answered with its end.
    for key in ["first", "second"] {
        let change = json!({"customer_id": 2, "new_status": "Suspended"});
        let again = daemon.http("POST", "/tools/update_customer_status").key(&agent).once(key).json(&change).send();
        assert_eq!(again.status, 200, "`{key}`: {}", String::from_utf8_lossy(&again.body));
    }
}

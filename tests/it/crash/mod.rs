//! kill -9 at any moment, under a mixed load: no effect twice, nothing lost that a client was told, no call
//! left in doubt. Each round kills the daemon, starts it again, and every client first repeats what it got no
//! answer to, with the same key. `TOOLCTL_P1_KILLS` sets the number of kills, `TOOLCTL_P1_SEED` repeats a run.

mod bad;
mod check;
pub mod client;

use std::collections::BTreeSet;
use std::time::Duration;

use toolctl::domain::digest::Digest;
use toolctl::pipeline::port::CallFilter;

use crate::support::{Daemon, store};
use check::{Head, History, Row, Ticket, broken};
use client::{Client, Dice};

const CLIENTS: usize = 8;
const KILLS: usize = 100;

fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn nothing_is_lost_or_doubled_by_kills() {
    let kills = number_from("TOOLCTL_P1_KILLS").map_or(KILLS, |kills| usize::try_from(kills).expect("a number"));
    let seed =
        number_from("TOOLCTL_P1_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | u64::from(Dice::now()));
    println!("{kills} kills, TOOLCTL_P1_SEED={seed}");
    let mut dice = Dice::new(seed);

    let mut daemon = Daemon::unhurried();
    let approver = daemon.approver("anna");
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::new(number, daemon.agent(&format!("bot{number}")), approver.clone(), dice.next()))
        .collect();
    let mut remembered = Vec::new();
    for _ in 0..kills {
        remembered.extend(head(&daemon));
        let span = Duration::from_millis(1 + dice.below(120));
        let door = daemon.door();
        std::thread::scope(|scope| {
            for client in &mut clients {
                let door = &door;
                scope.spawn(move || client.works_until_the_daemon_is_gone(door));
            }
            // The one place where time is the point: the moment of the kill.
            std::thread::sleep(span);
            remembered.extend(head(&daemon));
            daemon.kill();
        });
        daemon.restart();
    }
    for client in &mut clients {
        client.settles(&daemon.door());
    }
    remembered.extend(head(&daemon));
    daemon.kill();

    let mut history = on_disk(&daemon);
    history.remembered = remembered;
    for client in clients {
        history.asked.extend(client.asked);
        history.answers.extend(client.answers);
    }
    println!("{} tickets, {} answers, {} records", history.tickets.len(), history.answers.len(), history.log.len());
    assert!(history.answers.len() > kills, "a load that was no load proves nothing");
    assert_eq!(broken(&history), BTreeSet::new(), "TOOLCTL_P1_SEED={seed}");
}

/// What the daemon says of its log; nothing when it is gone.
fn head(daemon: &Daemon) -> Option<Head> {
    let told = daemon.http("GET", "/v1/audit/checkpoint").try_send()?;
    let told = (told.status == 200).then(|| told.json())?;
    let root: Digest = told["root"].as_str()?.parse().ok()?;
    Some(Head { size: told["size"].as_u64()?, root })
}

/// Everything that is on disk.
fn on_disk(daemon: &Daemon) -> History {
    store::reading(daemon, async |store| {
        let tickets = store.tickets(1_000_000).await.expect("tickets");
        let mut calls = Vec::new();
        let mut before = None;
        loop {
            let page = store.calls(CallFilter { before, limit: 1_000, ..CallFilter::default() }).await.expect("calls");
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            calls.extend(page.iter().map(|call| Row {
                id: call.id.to_string(),
                // A key belongs to its principal.
                key: format!("{} {}", call.principal, call.key),
                state: call.state.word().to_owned(),
            }));
        }
        let mut log = Vec::new();
        loop {
            let page = store.read(log.len() as u64, 1_000).await.expect("records");
            if page.is_empty() {
                break;
            }
            log.extend(page.into_iter().map(|entry| (entry.leaf, entry.hash)));
        }
        let frontier = store.frontier().await.expect("the head");
        History {
            tickets: tickets.into_iter().map(|ticket| Ticket { id: ticket.id, title: ticket.title }).collect(),
            calls,
            log,
            head: Some(Head { size: frontier.size(), root: frontier.root() }),
            ..History::default()
        }
    })
}

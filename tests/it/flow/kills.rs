//! kill -9 of the client, the daemon, or both: at every step boundary, around every write, and at random moments of
//! random graphs. No step's effect happens twice, and the run completes. `TOOLCTL_FLOW_GRAPHS` sets the number of
//! graphs, `TOOLCTL_FLOW_SEED` repeats them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{file, ticket};
use crate::crash::client::Dice;
use crate::support::daemon::UNHURRIED;
use crate::support::{Daemon, Ending, store};

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Client,
    Daemon,
    Both,
}

/// How often each ticket was made; the daemon ends.
pub(super) fn tickets(daemon: &mut Daemon) -> BTreeMap<String, usize> {
    daemon.kill();
    let made = store::reading(daemon, async |store| store.tickets(100_000).await.expect("tickets"));
    let mut count = BTreeMap::new();
    for ticket in made {
        *count.entry(ticket.title).or_default() += 1;
    }
    count
}

fn once<'a>(titles: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, usize> {
    titles.into_iter().map(|title| (title.clone(), 1)).collect()
}

/// Steps one after another and beside one another, and a list; with the titles of all tickets.
fn small() -> (String, Vec<String>) {
    let list = "[[step]]\nid = \"list\"\ntool = \"create_ticket\"\nneeds = \"a\"\nfor_each = [0, 1, 2]\nmax_parallel = 2\n\
                with = { customer_id = 1, title = \"Item {{ item }}\" }\n";
    let text = format!(
        "name = \"w\"\n{}{list}{}{}",
        ticket("a", "Ticket A", ""),
        ticket("b", "Ticket B", "needs = \"a\""),
        ticket("c", "Ticket C of {{ steps.b.output.ticket.id }}", "needs = [\"b\", \"list\"]"),
    );
    (text, vec!["Ticket A".into(), "Ticket B".into(), "Item 0".into(), "Item 1".into(), "Item 2".into()])
}

/// A step that fails, and what is done about it.
fn rollback() -> (String, Vec<String>) {
    let more = |list: &str, id: &str, title: &str| ticket(id, title, "").replace("[[step]]", list);
    let fails = "[[step]]\nid = \"bad\"\ntool = \"create_ticket\"\nneeds = \"a\"\nwith = { customer_id = 999, title = \"Nobody's\" }\n";
    let text = format!(
        "name = \"w\"\n{}{fails}{}{}",
        ticket("a", "Ticket A", ""),
        more("[[on_failure]]", "undo", "Undo"),
        more("[[finally]]", "end", "At the end"),
    );
    (text, vec!["Ticket A".into(), "Undo".into(), "At the end".into()])
}

/// Runs until it ends as it must; only a lost daemon may stop it before.
fn completes(daemon: &Daemon, path: &str, code: i32) -> Ending {
    for _ in 0..20 {
        let ending = daemon.cli(&["run", path, "--run", "r", "-o", "json"]).ends();
        match ending.code {
            Some(ended) if ended == code => return ending,
            Some(1 | 7 | 10) => {}
            _ => panic!("stdout:\n{}\nstderr:\n{}", ending.stdout, ending.stderr),
        }
    }
    panic!("the run does not complete");
}

/// Kills at every event of a run that ends with `code`.
fn killed_at_every_event((text, titles): (String, Vec<String>), code: i32) {
    let events = {
        let daemon = Daemon::unhurried();
        let path = file(&daemon, "w.toml", &text);
        daemon.cli(&["run", &path, "--run", "r", "-o", "jsonl"]).exits(code).stdout.lines().count()
    };
    for who in [Who::Client, Who::Daemon, Who::Both] {
        for boundary in 0..events {
            let mut daemon = Daemon::unhurried();
            let path = file(&daemon, "w.toml", &text);
            let mut client = daemon.cli(&["run", &path, "--run", "r", "-o", "jsonl"]).start();
            (0..boundary).for_each(|_| drop(client.line()));
            if who != Who::Daemon {
                client.signal("KILL");
            }
            if who != Who::Client {
                daemon.kill();
                daemon.restart();
            }
            let ending = client.ends();
            // Before the first event there may be no run yet to go on with.
            if who == Who::Daemon && boundary > 0 {
                assert_eq!(ending.code, Some(code), "the client waits for its daemon, {boundary}: {}", ending.stderr);
            }
            completes(&daemon, &path, code);
            let mut made = tickets(&mut daemon);
            made.retain(|title, count| !title.starts_with("Ticket C") || *count != 1);
            assert_eq!(made, once(&titles), "{who:?} killed after {boundary} events");
        }
    }
}

#[test]
fn killed_at_every_step_boundary_a_run_completes_with_every_effect_once() {
    killed_at_every_event(small(), 0);
}

#[test]
fn killed_at_every_step_boundary_a_failed_run_is_rolled_back_once() {
    killed_at_every_event(rollback(), 3);
}

#[test]
fn killed_while_people_think_a_run_goes_on_once_they_have_decided() {
    for who in [Who::Client, Who::Daemon, Who::Both] {
        let mut daemon = Daemon::unhurried();
        let path = super::example("support.toml");
        let words = ["run", &path, "-i", "customer=acme", "-i", "problem=Login is broken", "--run", "r", "-o", "jsonl"];
        let mut client = daemon.cli(&[&words[..], &["--wait", "50s"]].concat()).start();
        while !client.line().contains("\"call_waits\"") {}
        if who != Who::Daemon {
            client.signal("KILL");
        }
        if who != Who::Client {
            daemon.kill();
            daemon.restart();
        }
        daemon.cli(&["approve", "#1", "--yes", "-o", "json"]).exits(0);
        let ending = client.ends();
        assert_eq!(ending.code, (who == Who::Daemon).then_some(0), "{who:?}: {}", ending.stderr);
        daemon.cli(&["run", "--run", "r"]).exits(0);
        assert_eq!((super::happened(&daemon, "create_ticket"), super::happened(&daemon, "send_message")), (1, 1));
        let shown = daemon.cli(&["runs", "show", "r", "-o", "json"]).json();
        let attempts: Vec<_> =
            shown["calls"].as_array().expect("calls").iter().map(|call| call["attempts"].clone()).collect();
        assert_eq!(attempts, [1, 1, 1, 1], "{who:?}");
    }
}

/// Builds without debug assertions have no fail points.
#[cfg(debug_assertions)]
#[test]
fn killed_around_every_write_of_a_step_a_run_completes_with_every_effect_once() {
    let (text, titles) = small();
    for side in ["before", "after"] {
        for point in (1..=6)
            .map(|nth| format!("open_settled:{side}:kill:{nth}"))
            .chain((1..=2).map(|nth| format!("run:{side}:kill:{nth}")))
        {
            let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[("TOOLCTL_FAILPOINT", &point)]);
            std::fs::write(daemon.dir().join(".env"), UNHURRIED).expect("the env file");
            daemon.restart();
            let path = file(&daemon, "w.toml", &text);
            let client = daemon.cli(&["run", &path, "--run", "r", "-o", "json"]).start();
            daemon.ended();
            daemon.unarm();
            daemon.restart();
            let ending = client.ends();
            assert_eq!(ending.code, Some(0), "{point}: {}", ending.stderr);
            completes(&daemon, &path, 0);
            let mut made = tickets(&mut daemon);
            made.retain(|title, count| !title.starts_with("Ticket C") || *count != 1);
            assert_eq!(made, once(&titles), "{point}");
        }
    }
}

/// A random graph of tickets and lists of them, and their titles.
fn graph(dice: &mut Dice) -> (String, Vec<String>) {
    let steps = 3 + dice.below(8);
    let mut text = "name = \"w\"\n".to_owned();
    let mut titles = Vec::new();
    for number in 0..steps {
        let needs: Vec<String> =
            (0..number).filter(|_| dice.below(3) == 0).map(|need| format!("\"s{need}\"")).collect();
        text.push_str(&format!(
            "[[step]]\nid = \"s{number}\"\ntool = \"create_ticket\"\nneeds = [{}]\n",
            needs.join(", ")
        ));
        if dice.below(3) == 0 {
            let items = dice.below(12);
            let parallel = 1 + dice.below(6);
            text.push_str(&format!("for_each = {:?}\nmax_parallel = {parallel}\n", (0..items).collect::<Vec<_>>()));
            text.push_str(&format!("with = {{ customer_id = 1, title = \"Step {number} item {{{{ item }}}}\" }}\n"));
            titles.extend((0..items).map(|item| format!("Step {number} item {item}")));
        } else {
            text.push_str(&format!("with = {{ customer_id = 1, title = \"Step {number}\" }}\n"));
            titles.push(format!("Step {number}"));
        }
    }
    (text, titles)
}

pub(super) fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn random_graphs_under_random_kills_have_the_effects_of_a_plain_run() {
    let graphs = number_from("TOOLCTL_FLOW_GRAPHS").unwrap_or(12);
    let seed = number_from("TOOLCTL_FLOW_SEED")
        .unwrap_or_else(|| u64::from(std::process::id()) << 20 | u64::from(Dice::now()));
    println!("{graphs} graphs, TOOLCTL_FLOW_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut kills = 0;
    for number in 0..graphs {
        let (text, titles) = graph(&mut dice);
        let plain = {
            let mut daemon = Daemon::unhurried();
            let path = file(&daemon, "w.toml", &text);
            completes(&daemon, &path, 0);
            tickets(&mut daemon)
        };
        assert_eq!(plain, once(&titles), "a plain run of graph {number}, TOOLCTL_FLOW_SEED={seed}\n{text}");
        let mut daemon = Daemon::unhurried();
        let path = file(&daemon, "w.toml", &text);
        for _ in 0..1 + dice.below(4) {
            let client = daemon.cli(&["run", &path, "--run", "r", "-o", "json"]).start();
            // The one place where time is the point: the moment of the kill.
            std::thread::sleep(Duration::from_millis(dice.below(60)));
            let who = [Who::Client, Who::Daemon, Who::Both][usize::try_from(dice.below(3)).expect("a number")];
            if who != Who::Daemon {
                client.signal("KILL");
            }
            if who != Who::Client {
                daemon.kill();
                daemon.restart();
            }
            client.ends();
            kills += 1;
        }
        completes(&daemon, &path, 0);
        assert_eq!(tickets(&mut daemon), plain, "graph {number}, TOOLCTL_FLOW_SEED={seed}\n{text}");
    }
    println!("{kills} kills");
}

//! Random graphs whose steps may need people, who decide at random moments, while client, daemon or both are killed at
//! others: the effects are those of a run that nobody disturbed. Some graphs are driven by a client, some are left to
//! the daemon. `TOOLCTL_FLOW_GRAPHS` sets the number of graphs, `TOOLCTL_FLOW_SEED` repeats them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::file;
use super::kills::{Who, number_from, tickets};
use crate::crash::client::Dice;
use crate::support::{Daemon, Story, until};

/// What people say no to.
const NEVER: &str = "Never";

/// A graph, and the tickets that it makes.
struct Graph {
    text: String,
    titles: BTreeMap<String, usize>,
    /// Somebody says no to a step.
    fails: bool,
}

impl Graph {
    /// Steps and lists of tickets; a third of them need people, and at most one meets a no, which stops what needs it.
    fn random(dice: &mut Dice) -> Self {
        let steps = 3 + dice.below(6);
        let never = (dice.below(2) == 0).then(|| dice.below(steps));
        let mut text = "name = \"w\"\n".to_owned();
        let mut titles = BTreeMap::new();
        let mut stopped: Vec<u64> = Vec::new();
        for number in 0..steps {
            let needs: Vec<u64> = (0..number).filter(|_| dice.below(3) == 0).collect();
            let is_stopped = needs.iter().any(|need| stopped.contains(need));
            let names: Vec<String> = needs.iter().map(|need| format!("\"s{need}\"")).collect();
            text.push_str(&format!(
                "[[step]]\nid = \"s{number}\"\ntool = \"create_ticket\"\nneeds = [{}]\n",
                names.join(", ")
            ));
            let asks = if dice.below(3) == 0 { "approval = \"required\"\n" } else { "" };
            if never == Some(number) {
                text.push_str("approval = \"required\"\n");
                text.push_str(&format!("with = {{ customer_id = 1, title = \"{NEVER} {number}\" }}\n"));
                stopped.push(number);
                continue;
            }
            if is_stopped {
                stopped.push(number);
            }
            let mut made = Vec::new();
            if dice.below(3) == 0 {
                let items = dice.below(6);
                let parallel = 1 + dice.below(4);
                text.push_str(&format!("for_each = {:?}\nmax_parallel = {parallel}\n", (0..items).collect::<Vec<_>>()));
                text.push_str(&format!(
                    "with = {{ customer_id = 1, title = \"Step {number} item {{{{ item }}}}\" }}\n{asks}"
                ));
                made.extend((0..items).map(|item| format!("Step {number} item {item}")));
            } else {
                text.push_str(&format!("with = {{ customer_id = 1, title = \"Step {number}\" }}\n{asks}"));
                made.push(format!("Step {number}"));
            }
            if !is_stopped {
                titles.extend(made.into_iter().map(|title| (title, 1)));
            }
        }
        Self { text, titles, fails: never.is_some() }
    }

    fn exit(&self) -> i32 {
        if self.fails { 6 } else { 0 }
    }
}

/// Somebody who looks at what waits and decides, now and then.
struct Approver {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Approver {
    fn start(daemon: &Daemon, seed: u64) -> Self {
        let (stop, dir) = (Arc::new(AtomicBool::new(false)), daemon.dir().to_owned());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || decide(&dir, Dice::new(seed), &stopped));
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Approver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the approver ends");
        }
    }
}

fn decide(dir: &Path, mut dice: Dice, stopped: &AtomicBool) {
    let dir: PathBuf = dir.to_owned();
    while !stopped.load(Ordering::SeqCst) {
        // The moment of the decision is the point.
        std::thread::sleep(Duration::from_millis(dice.below(40)));
        let listed = Story::new(&dir, &["approvals", "list", "-o", "json"]).ends();
        let Ok(listed) = serde_json::from_str::<Value>(&listed.stdout) else { continue };
        let waiting = listed["approvals"].as_array().cloned().unwrap_or_default();
        for approval in waiting.iter().filter(|_| dice.below(2) == 0) {
            let number = approval["call"]["approval"]["number"].to_string();
            let title = approval["call"]["arguments"]["title"].as_str().unwrap_or_default();
            let words: &[&str] = if title.starts_with(NEVER) {
                &["deny", &number, "--reason", "never"]
            } else {
                &["approve", &number, "--yes"]
            };
            // The daemon may be gone, or somebody else was first: it is asked again.
            Story::new(&dir, words).ends();
        }
    }
}

/// The run, again and again until it ends as it must.
fn completes(daemon: &Daemon, path: &str, graph: &Graph) {
    for _ in 0..40 {
        let ending = daemon.cli(&["run", path, "--run", "r", "--wait", "60s", "-o", "json"]).ends();
        match ending.code {
            Some(code) if code == graph.exit() => return,
            Some(1 | 7 | 8 | 10) => {}
            _ => panic!("stdout:\n{}\nstderr:\n{}", ending.stdout, ending.stderr),
        }
    }
    panic!("the run does not complete");
}

/// The daemon's part: the run ends without anybody starting it.
fn is_completed(daemon: &Daemon, graph: &Graph) {
    let state = if graph.fails { "failed" } else { "succeeded" };
    until(|| {
        let run = daemon.cli(&["runs", "show", "r", "-o", "json"]).json()["run"].clone();
        (run["state"] == state && run["runner"] == Value::Null).then_some(())
    });
}

#[test]
fn random_graphs_with_people_under_random_kills_have_the_effects_of_a_plain_run() {
    let graphs = number_from("TOOLCTL_FLOW_GRAPHS").unwrap_or(6);
    let seed = number_from("TOOLCTL_FLOW_SEED")
        .unwrap_or_else(|| u64::from(std::process::id()) << 20 | u64::from(Dice::now()));
    println!("{graphs} graphs, TOOLCTL_FLOW_SEED={seed}");
    let mut dice = Dice::new(seed);
    let (mut kills, mut left) = (0, 0);
    for number in 0..graphs {
        let graph = Graph::random(&mut dice);
        let plain = {
            let mut daemon = Daemon::unhurried();
            let path = file(&daemon, "w.toml", &graph.text);
            let people = Approver::start(&daemon, dice.next());
            completes(&daemon, &path, &graph);
            drop(people);
            tickets(&mut daemon)
        };
        assert_eq!(plain, graph.titles, "a plain run of graph {number}, TOOLCTL_FLOW_SEED={seed}\n{}", graph.text);
        let mut daemon = Daemon::unhurried();
        let path = file(&daemon, "w.toml", &graph.text);
        let people = Approver::start(&daemon, dice.next());
        let is_left = dice.below(2) == 0;
        if is_left {
            daemon.cli(&["run", &path, "--run", "r", "--detach"]).exits(0);
            left += 1;
        }
        for _ in 0..1 + dice.below(4) {
            let client = daemon.cli(&["run", &path, "--run", "r", "--wait", "60s", "-o", "json"]).start();
            // As is that of the kill.
            std::thread::sleep(Duration::from_millis(dice.below(250)));
            let who = [Who::Client, Who::Daemon, Who::Both][usize::try_from(dice.below(3)).expect("a number")];
            if who != Who::Daemon {
                client.signal("KILL");
            }
            if who != Who::Client {
                daemon.kill();
                daemon.restart();
            }
            if who != Who::Daemon || is_left {
                client.signal("KILL");
            }
            client.ends();
            kills += 1;
        }
        if is_left {
            is_completed(&daemon, &graph);
        } else {
            completes(&daemon, &path, &graph);
        }
        drop(people);
        assert_eq!(tickets(&mut daemon), plain, "graph {number}, TOOLCTL_FLOW_SEED={seed}\n{}", graph.text);
    }
    println!("{kills} kills, {left} graphs left to the daemon");
}

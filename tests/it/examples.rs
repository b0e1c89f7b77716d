//! The scripts in `examples/` do what they say, with nothing but toolctl and the usual small programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Daemon, story, until};

/// The script of this name, run in the daemon's folder with toolctl on its path.
fn script(daemon: &Daemon, name: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    story::shell(daemon.dir(), &path)
}

fn run(mut command: Command, input: &str) -> (Option<i32>, String, String) {
    use std::io::Write as _;
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the script starts");
    let _unread = child.stdin.take().expect("its stdin").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the script ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

fn tickets(daemon: &Daemon) -> usize {
    daemon.audit("kind=call.completed&tool=create_ticket").len()
}

#[test]
fn triage_opens_one_ticket_a_customer_however_often_it_runs() {
    let daemon = Daemon::start();
    let triage = || {
        let mut command = script(&daemon, "triage.sh");
        command.arg("Login is slow");
        run(command, "acme\n\nbeta\nnobody\n")
    };
    let first = triage();
    assert_eq!(first.0, Some(0), "{first:?}");
    let titles: Vec<Value> = first.1.lines().filter(|line| !line.is_empty()).map(parsed).collect();
    let customers: Vec<_> = titles.iter().map(|output| output["ticket"]["customer_id"].clone()).collect();
    assert_eq!(customers, [json!(1), json!(3)]);
    let second = triage();
    assert_eq!((second.0, second.1), (Some(0), first.1), "the same answers again");
    assert_eq!(tickets(&daemon), 2);
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))
}

#[test]
fn the_cron_job_has_one_effect_a_day() {
    let daemon = Daemon::start();
    let job = |day: &str| {
        let mut command = script(&daemon, "cron-safe.sh");
        command.env("DAY", day);
        run(command, "")
    };
    let first = job("2026-11-23");
    assert_eq!(first.0, Some(0), "{first:?}");
    assert_eq!(job("2026-11-23").1, first.1);
    assert_eq!(tickets(&daemon), 1);
    assert_eq!(job("2026-11-24").0, Some(0));
    assert_eq!(tickets(&daemon), 2);
}

/// Runs the pipeline in a thread of its own and lets a person decide as soon as it asks.
fn pipeline(verdict: Option<&str>) -> (Option<i32>, String, String) {
    let daemon = Daemon::start();
    let agent = daemon.agent("ci");
    let mut command = script(&daemon, "pipeline-approval.sh");
    let patience = if verdict.is_some() { "60s" } else { "300ms" };
    command.args(["2", "Suspended", patience]).env("RUN_ID", "17").env("TOOLCTL_KEY", &agent);
    let ended = std::thread::spawn(move || run(command, ""));
    if let Some(verdict) = verdict {
        let asked = until(|| {
            let waiting = daemon.http("GET", "/v1/approvals").send().json();
            waiting["approvals"].get(0).map(|dossier| dossier["call"].clone())
        });
        crate::http::decision(&daemon, &asked, verdict).send().is(200);
    }
    ended.join().expect("the script ends")
}

#[test]
fn the_pipeline_goes_on_when_a_person_agrees() {
    let (code, stdout, stderr) = pipeline(Some("approve"));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("Suspended"), "{stdout}");
}

#[test]
fn the_pipeline_stops_when_a_person_says_no_or_nobody_answers() {
    let (code, stdout, stderr) = pipeline(Some("reject"));
    assert_eq!(code, Some(6), "{stdout}{stderr}");
    let (code, stdout, stderr) = pipeline(None);
    assert_eq!(code, Some(8), "{stdout}{stderr}");
}

#[test]
fn every_example_is_run_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("examples").map(|entry| entry.expect("a file").path()).collect();
    found.sort();
    let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    let scripts: Vec<_> = names.iter().filter(|name| name.ends_with(".sh")).collect();
    // The workflows, and the script that goes on with them, are run by `flow::examples`.
    assert_eq!(scripts, [&"cron-safe.sh", &"cron-workflow.sh", &"go-on.sh", &"pipeline-approval.sh", &"triage.sh"]);
    let workflows: Vec<_> = names.iter().filter(|name| name.ends_with(".toml")).collect();
    assert_eq!(workflows, [&"deploy.toml", &"incident.toml", &"support.toml"]);
}

#[test]
fn the_daily_workflow_is_one_run_a_day_which_the_daemon_drives() {
    let daemon = Daemon::start();
    let job = |day: &str| {
        let mut command = script(&daemon, "cron-workflow.sh");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/support.toml");
        command.arg(file).args(["customer=acme", "problem=Login is broken"]).env("DAY", day);
        let (code, stdout, stderr) = run(command, "");
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    assert_eq!(job("2026-11-23"), "support-2026-11-23\n");
    until(|| {
        (daemon.cli(&["approvals", "list", "-o", "json"]).json()["approvals"].as_array()?.len() == 1).then_some(())
    });
    assert_eq!(job("2026-11-23"), "support-2026-11-23\n", "the same run");
    daemon.cli(&["approve", "#1", "--yes"]).exits(0);
    let state = || daemon.cli(&["runs", "show", "support-2026-11-23", "-o", "json"]).json()["run"]["state"].clone();
    until(|| (state() == "succeeded").then_some(()));
    assert_eq!(job("2026-11-23"), "support-2026-11-23\n");
    assert_eq!(tickets(&daemon), 1);
    assert_eq!(job("2026-11-24"), "support-2026-11-24\n");
    until(|| (tickets(&daemon) == 2).then_some(()));
}

//! What a step of a workflow costs on top of its call, W1: the same calls by `toolctl run` and directly, by the client
//! that runs use, over connections that are kept, with the same number at once. A run also reads and checks its file,
//! begins and ends: that is told apart, as the time of a run of one step, and taken off before the steps are compared.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use toolctl::api::calls::{Create, NewCall};
use toolctl::client::{Client, Target};

use super::daemon::{self, Daemon, PROGRAM};
use super::options::Options;
use super::report::{Goal, Report};
use super::{Fault, median};

/// The most that a step may cost: its call, and a tenth.
const STEP: Goal = Goal::AtMost(1.1);
/// Items of a list that are called at once.
const PARALLEL: usize = 16;
/// How long one answer may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Measures.
///
/// # Errors
/// When a run or a call fails.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Fault> {
    let calls = if options.quick { 300 } else { 1_000 };
    let home = options.folder()?;
    let daemon = Daemon::start(home.path())?;
    let files = Files::write(home.path(), calls)?;
    let (mut starts, mut number) = (Vec::new(), 0);
    for (file, at_once, what) in [
        (&files.sequence, 1, format!("a step in a sequence of {calls}")),
        (&files.list, PARALLEL, format!("an item in a list of {calls}, {PARALLEL} at once")),
    ] {
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..options.rounds * 3 {
            number += 1;
            let start = timed(home.path(), &files.one, &format!("one-{number}"))?;
            let whole = timed(home.path(), file, &format!("all-{number}"))?;
            let direct = direct(&daemon, calls, at_once, number)?;
            // What is left are all steps but the one of the short run.
            let step = whole.saturating_sub(start).as_secs_f64() / (calls - 1) as f64;
            let call = direct.as_secs_f64() / calls as f64;
            starts.push(start.as_secs_f64() * 1e3);
            ours.push(step * 1e6);
            theirs.push(call * 1e6);
            ratios.push(step / call);
        }
        let figure = format!("{:.0} µs; a direct call {:.0} µs", median(ours), median(theirs));
        report.goal("W1", what, figure, (STEP, "× direct"), median(ratios));
    }
    report.figure("W1", "a run of one step, from the shell", format!("{:.1} ms", median(starts)));
    Ok(())
}

/// Workflows, written down.
struct Files {
    one: PathBuf,
    sequence: PathBuf,
    list: PathBuf,
}

impl Files {
    fn write(folder: &Path, calls: usize) -> Result<Self, Fault> {
        let file = |name: &str, text: String| -> Result<PathBuf, Fault> {
            let path = folder.join(name);
            std::fs::write(&path, text)?;
            Ok(path)
        };
        let list = |items: usize| {
            format!(
                "name = \"measure\"\n[[step]]\nid = \"all\"\ntool = \"create_ticket\"\nfor_each = \"{{{{ range({items}) }}}}\"\n\
                 max_parallel = {PARALLEL}\nwith = {{ customer_id = 1, title = \"Item {{{{ item }}}}\" }}\n"
            )
        };
        let steps = (0..calls).map(|step| {
            let needs = step.checked_sub(1).map(|before| format!("needs = \"s{before}\"\n")).unwrap_or_default();
            format!(
                "[[step]]\nid = \"s{step}\"\ntool = \"create_ticket\"\n{needs}with = {{ customer_id = 1, title = \"Step {step}\" }}\n"
            )
        });
        Ok(Self {
            one: file("one.toml", list(1))?,
            sequence: file("sequence.toml", format!("name = \"measure\"\n{}", steps.collect::<String>()))?,
            list: file("list.toml", list(calls))?,
        })
    }
}

/// How long a run takes, from the shell.
fn timed(home: &Path, file: &Path, run: &str) -> Result<Duration, Fault> {
    let mut command = Command::new(PROGRAM);
    command.arg("run").arg(file).args(["--run", run, "--quiet"]).stdin(Stdio::null());
    daemon::at_home(&mut command, home);
    let begun = Instant::now();
    let output = command.output()?;
    let took = begun.elapsed();
    if output.status.success() {
        return Ok(took);
    }
    Err(format!("`{}`: {}", file.display(), String::from_utf8_lossy(&output.stderr)).into())
}

/// How long so many calls take, so many at once.
fn direct(daemon: &Daemon, calls: usize, at_once: usize, round: u32) -> Result<Duration, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Arc::new(Client::new(&Target::Socket(daemon.socket()), None)?);
    let begun = Instant::now();
    runtime.block_on(async {
        let mut lanes = tokio::task::JoinSet::new();
        for lane in 0..at_once {
            let client = Arc::clone(&client);
            lanes.spawn(async move {
                for call in (lane..calls).step_by(at_once) {
                    let new = NewCall {
                        tool: "create_ticket".into(),
                        arguments: json!({"customer_id": 1, "title": format!("Step {call}")}),
                        idempotency_key: Some(format!("direct-{at_once}-{round}/s{call}")),
                        dry_run: false,
                        reason: Some(format!("step `s{call}` of run `all-{round}` of `measure`")),
                        wait: None,
                        approval: None,
                    };
                    let call = client.send::<Create>(&new, DEADLINE).await?;
                    if call.state != "succeeded" {
                        return Err(Fault::from(format!("a direct call is `{}`", call.state)));
                    }
                }
                Ok(())
            });
        }
        while let Some(lane) = lanes.join_next().await {
            lane??;
        }
        Ok(begun.elapsed())
    })
}

//! What one call costs from a shell, S6: our own client next to `curl` with the same request, and our own
//! start next to that of a program that does nothing but read its arguments. That program is this one,
//! started with an argument of its own.

use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use super::daemon::{self, Daemon, PROGRAM};
use super::load::TICKET;
use super::options::{BARE, Options};
use super::report::{Goal, Report};
use super::{Fault, median};

/// Measures.
///
/// # Errors
/// When a program fails.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Fault> {
    let home = options.folder()?;
    let daemon = Daemon::start(home.path())?;
    let ours = || {
        let mut command = Command::new(PROGRAM);
        command.args(["call", "create_ticket", "--customer-id", "1", "--title", "Login broken"]);
        command.args(["--description", "since the update of last night", "--priority", "high"]);
        daemon::at_home(&mut command, home.path());
        command
    };
    let socket = daemon.socket();
    let curl = || {
        let mut command = Command::new("curl");
        command.args(["--silent", "--fail-with-body", "--header", "content-type: application/json", "--data", TICKET]);
        command.arg("--unix-socket").arg(&socket).arg("http://localhost/tools/create_ticket");
        command
    };
    let programs: [&dyn Fn() -> Command; 2] = [&ours, &curl];
    let what = "`toolctl call create_ticket`, once";
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok() {
        let [ours, curl] = interleaved(options, programs)?;
        report.figure("D", "`curl --unix-socket` of create_ticket, once", milliseconds(&curl));
        report.goal("S6", what, milliseconds(&ours), (Goal::AtMost(0.5), "× curl"), ratio(&ours, &curl));
    } else {
        report.skip("S6", what, "there is no `curl` to compare with");
    }
    report.skip("S6", "the same with 1 000 tools in the catalog", "tools of one's own are not there yet");

    let this = std::env::current_exe()?;
    let version = || {
        let mut command = Command::new(PROGRAM);
        command.arg("--version");
        command
    };
    let bare = || {
        let mut command = Command::new(&this);
        command.arg(BARE);
        command
    };
    let [version, bare] = interleaved(options, [&version, &bare])?;
    report.figure("D", "a program that reads its arguments with clap", milliseconds(&bare));
    let goal = (Goal::AtMost(2.0), "× bare clap");
    report.goal("S6", "`toolctl --version`", milliseconds(&version), goal, ratio(&version, &bare));
    Ok(())
}

/// Is the program that does nothing.
pub fn bare() -> ExitCode {
    let flag = clap::Arg::new("bare").long("bare").action(clap::ArgAction::SetTrue);
    let matches = clap::Command::new("bare").version("1").arg(flag).get_matches();
    match writeln!(std::io::stdout(), "bare {}", matches.get_flag("bare")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Starts both in turn, and gives how long each took, every time.
fn interleaved(options: &Options, programs: [&dyn Fn() -> Command; 2]) -> Result<[Vec<Duration>; 2], Fault> {
    let [mut first, mut second] = [Vec::new(), Vec::new()];
    let [run_first, run_second] = programs;
    for _ in 0..options.starts {
        first.push(once(run_first())?);
        second.push(once(run_second())?);
    }
    Ok([first, second])
}

fn once(mut command: Command) -> Result<Duration, Fault> {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let took = begun.elapsed();
    if output.status.success() {
        return Ok(took);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    Err(format!("{}: {said}", command.get_program().display()).into())
}

fn milliseconds(spans: &[Duration]) -> String {
    format!("{:.1} ms", median(spans.iter().map(|span| span.as_secs_f64() * 1e3).collect()))
}

fn ratio(ours: &[Duration], theirs: &[Duration]) -> f64 {
    let middle = |spans: &[Duration]| median(spans.iter().map(Duration::as_secs_f64).collect());
    middle(ours) / middle(theirs)
}

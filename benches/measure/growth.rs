//! What a store that has grown costs, S7 and S8: starting on it after a kill, calling on it, holding it in
//! memory; and what the daemon takes before anything has happened.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::daemon::{self, Daemon, PROGRAM};
use super::load::{self, Operation, Sample};
use super::options::Options;
use super::report::{Goal, Report};
use super::rows::Footprint;
use super::{Fault, median, progress};

/// Connections under which the daemon is busy.
const CONNECTIONS: usize = 64;

/// Starts of which the median counts.
const STARTS: usize = 5;

/// Customers of a small desk and of a large one.
const CUSTOMERS: [usize; 2] = [1_000, 1_000_000];

/// Measures.
///
/// # Errors
/// When a daemon fails.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Fault> {
    start_anew(options, report)?;
    let home = options.folder()?;
    let mut daemon = Daemon::start(home.path())?;
    let before = disk(home.path())?;
    let (mut calls, mut records) = (0, daemon.records()?);
    while records < options.records {
        calls += load::drive(&daemon.socket(), Operation::CreateTicket, CONNECTIONS, Duration::from_secs(1))?.calls;
        records = daemon.records()?;
        progress(&format!("  {records} of {} records", options.records));
    }
    let resident = daemon.resident()?;
    let goal = (Goal::AtMost(64.0), "MB");
    report.goal(
        "S7",
        format!("memory after {calls} calls, {CONNECTIONS} connections"),
        megabytes(resident),
        goal,
        resident,
    );
    daemon.stop()?;
    let kept = Footprint::read(&daemon::data_in(home.path()), calls)?.kept as f64 / calls as f64;
    let grown = (disk(home.path())? - before) as f64 / calls as f64;
    let figure = format!("{kept:.0} B; the file grew by {grown:.0} B");
    report.goal("S9", "kept on disk a create_ticket", figure, (Goal::AtMost(1.0), "KiB"), kept / 1_024.0);
    daemon = Daemon::start(home.path())?;

    let mut ready = Vec::new();
    for _ in 0..STARTS {
        daemon.kill()?;
        daemon = Daemon::start(home.path())?;
        ready.push(daemon.ready.as_secs_f64() * 1e3);
        // The next kill shall find a store that was written to.
        load::drive(&daemon.socket(), Operation::CreateTicket, CONNECTIONS, options.slice / 4)?;
    }
    let worst = ready.iter().copied().fold(0.0, f64::max);
    let figure = format!("worst of {STARTS} {worst:.1} ms, median {:.1} ms", median(ready));
    let what = format!("ready after kill -9, {records} records");
    report.goal("S7", what, figure, (Goal::AtMost(1_000.0), "ms"), worst);
    flat(options, report, &daemon, records)?;
    customers(options, report)
}

/// A daemon on a new store.
fn start_anew(options: &Options, report: &mut Report) -> Result<(), Fault> {
    let (mut ready, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let home = options.folder()?;
        let daemon = Daemon::start(home.path())?;
        ready.push(daemon.ready.as_secs_f64() * 1e3);
        idle.push(daemon.resident()?);
        daemon.stop()?;
    }
    let (ready, idle) = (median(ready), median(idle));
    report.goal("S7", "ready on a new store", format!("{ready:.1} ms"), (Goal::AtMost(50.0), "ms"), ready);
    report.goal("S7", "memory, idle", megabytes(idle), (Goal::AtMost(15.0), "MB"), idle);
    let binary = fs::metadata(PROGRAM)?.len() as f64 / 1e6;
    report.goal("S7", "the program, stripped", megabytes(binary), (Goal::AtMost(20.0), "MB"), binary);
    Ok(())
}

/// The same calls on the grown store and on a new one.
fn flat(options: &Options, report: &mut Report, grown: &Daemon, records: u64) -> Result<(), Fault> {
    let mut rates = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let home = options.folder()?;
        let fresh = Daemon::start(home.path())?;
        for (daemon, rates) in [(&fresh, &mut rates.0), (grown, &mut rates.1)] {
            let sample = load::drive(&daemon.socket(), Operation::CreateTicket, CONNECTIONS, options.slice)?;
            rates.push(sample.rate());
        }
    }
    let ratio = median(rates.0.iter().zip(&rates.1).map(|(fresh, grown)| grown / fresh).collect());
    let figure = format!("{:.0}/s; on a new store {:.0}/s", median(rates.1), median(rates.0));
    let what = format!("create_ticket at {records} records, {CONNECTIONS} connections");
    report.goal("S8", what, figure, (Goal::AtLeast(0.8), "× new"), ratio);
    Ok(())
}

/// A search among few customers and among many.
fn customers(options: &Options, report: &mut Report) -> Result<(), Fault> {
    let what = "search_customer among 1 000 000 customers";
    if !Command::new(PROGRAM).args(["desk", "import", "--help"]).output()?.status.success() {
        report.skip("S8", what, "there is no `toolctl desk import` yet");
        return Ok(());
    }
    let mut medians = Vec::new();
    for count in CUSTOMERS {
        let home = options.folder()?;
        let daemon = Daemon::start(home.path())?;
        let file = home.path().join("customers.csv");
        let lines =
            (0..count).map(|number| format!("{},Customer {number} of Nordic {},Active\n", number + 10, number % 97));
        fs::write(&file, "id,name,status\n".to_owned() + &lines.collect::<String>())?;
        let mut import = Command::new(PROGRAM);
        let output = daemon::at_home(&mut import, home.path()).args(["desk", "import"]).arg(&file).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let samples =
            (0..options.rounds).map(|_| load::drive(&daemon.socket(), Operation::SearchCustomer, 1, options.slice));
        let samples = samples.collect::<Result<Vec<Sample>, Fault>>()?;
        medians.push(median(samples.iter().map(|sample| sample.quantile(0.5)).collect()));
    }
    if let [few, many] = medians.as_slice() {
        let figure = format!("p50 {many:.0} µs; among 1 000 {few:.0} µs");
        report.goal("S8", what, figure, (Goal::AtMost(2.0), "× among 1 000"), many / few);
    }
    Ok(())
}

/// Bytes of the files of the store.
fn disk(home: &Path) -> Result<u64, Fault> {
    let files = fs::read_dir(daemon::data_in(home))?;
    files.map(|file| Ok(file?.metadata()?.len())).sum()
}

fn megabytes(figure: f64) -> String {
    format!("{figure:.1} MB")
}

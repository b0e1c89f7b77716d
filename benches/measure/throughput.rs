//! How many governed, durable calls, at what latency, for how much CPU and disk: S1, S2, S3, S4 and S9, with
//! the baselines A, B and C in the same rounds. Each round has stores of its own.

use super::daemon::{self, Daemon};
use super::echo::Served;
use super::group_commit::Bare;
use super::load::{self, Operation, Sample};
use super::machine::Usage;
use super::options::Options;
use super::report::{Goal, Report};
use super::rows::Footprint;
use super::{Fault, median, progress};

/// How many connections, or callers.
const CONNECTIONS: [usize; 3] = [1, 8, LARGEST];

/// The number at which most goals are.
const LARGEST: usize = 64;

/// Calls made to see what they leave.
const SAMPLED: u64 = 400;

/// One kind of measurement over all rounds, for each number of connections.
#[derive(Default)]
struct Series {
    samples: Vec<(usize, Sample)>,
}

/// The daemon's side of one operation at the largest number of connections.
#[derive(Default)]
struct Cost {
    used: Vec<(u64, Usage)>,
}

/// What rounds bring.
#[derive(Default)]
struct Rounds {
    echo: Series,
    bare: Series,
    bare_record: Series,
    alone: Series,
    create: Series,
    search: Series,
    create_cost: Cost,
    search_cost: Cost,
    bare_written: Vec<f64>,
}

/// Measures.
///
/// # Errors
/// When the daemon or a baseline fails.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Fault> {
    let ticket = footprint(options, Operation::CreateTicket)?;
    let search = footprint(options, Operation::SearchCustomer)?;
    let mut rounds = Rounds::default();
    for round in 1..=options.rounds {
        progress(&format!("  round {round} of {}", options.rounds));
        rounds.run(options, &ticket, &search.record_alone()?)?;
    }
    report.figure("B", "rows that one create_ticket leaves, and so does the baseline", ticket.to_string());
    report.figure("B", "rows that one search_customer leaves", search.to_string());
    rounds.baselines(report);
    rounds.goals(report);
    Ok(())
}

/// Rows that an operation leaves in a new store.
fn footprint(options: &Options, operation: Operation) -> Result<Footprint, Fault> {
    let home = options.folder()?;
    let daemon = Daemon::start(home.path())?;
    let mut calls = 0;
    while calls < SAMPLED {
        calls += load::drive(&daemon.socket(), operation, 8, options.slice / 8)?.calls;
    }
    daemon.stop()?;
    Footprint::read(&daemon::data_in(home.path()), calls)
}

impl Rounds {
    fn run(&mut self, options: &Options, ticket: &Footprint, record: &Footprint) -> Result<(), Fault> {
        let (home, folder) = (options.folder()?, options.folder()?);
        let daemon = Daemon::start(home.path())?;
        let echo = Served::echo(folder.path())?;
        let mut bare = Bare::create(folder.path(), "rows", ticket)?;
        let mut bare_record = Bare::create(folder.path(), "record", record)?;
        for connections in CONNECTIONS {
            let records = daemon.records()?;
            bare.follow(records);
            bare_record.follow(records);
            self.echo
                .add(connections, load::drive(echo.socket(), Operation::CreateTicket, connections, options.slice)?);

            let (back, sample, bytes) = bare.group(connections, options.slice)?;
            bare = back;
            if connections == LARGEST {
                self.bare_written.push(bytes as f64 / sample.calls as f64);
            }
            self.bare.add(connections, sample);
            let create = drive(&daemon, Operation::CreateTicket, connections, options, &mut self.create_cost)?;
            self.create.add(connections, create);

            let (back, sample, _) = bare_record.group(connections, options.slice)?;
            bare_record = back;
            self.bare_record.add(connections, sample);
            let search = drive(&daemon, Operation::SearchCustomer, connections, options, &mut self.search_cost)?;
            self.search.add(connections, search);
            if connections == 1 {
                self.alone.add(1, bare.alone(options.slice)?);
            }
        }
        Ok(())
    }

    fn baselines(&self, report: &mut Report) {
        for connections in CONNECTIONS {
            report.figure("A", format!("bare echo, {}", many(connections)), self.echo.words(connections));
        }
        for connections in CONNECTIONS {
            report.figure("B", format!("bare group commit, {connections} at once"), self.bare.words(connections));
        }
        let what = format!("bare group commit of the record alone, {LARGEST} at once");
        report.figure("B", what, self.bare_record.words(LARGEST));
        report.figure("C", "one bare commit", self.alone.words(1));
    }

    fn goals(&self, report: &mut Report) {
        self.create.rates("S1", "create_ticket", report, (Goal::AtLeast(0.7), "× B"), &self.bare);
        let p99 = self.create.median(LARGEST, |sample| sample.quantile(0.99));
        let spread = self.create.median(LARGEST, |sample| sample.quantile(0.99) / sample.quantile(0.5));
        report.goal("S1", "its p99", format!("{:.1} ms", p99 / 1e3), (Goal::AtMost(3.0), "× p50"), spread);
        let goal = (Goal::AtLeast(0.6), "× B of the record alone");
        self.search.rates("S2", "search_customer", report, goal, &self.bare_record);
        let p50 = |sample: &Sample| sample.quantile(0.5);
        for (name, ours) in [("create_ticket", &self.create), ("search_customer", &self.search)] {
            let figure = format!("p50 {:.0} µs", ours.median(1, p50));
            let ratio = ours.against(&self.alone, 1, p50);
            report.goal("S3", format!("{name} alone"), figure, (Goal::AtMost(1.6), "× C"), ratio);
        }
        for (name, cost) in [("create_ticket", &self.create_cost), ("search_customer", &self.search_cost)] {
            let cpu = cost.cpu_each();
            let goal = (Goal::AtMost(80.0), "µs");
            report.goal("S4", format!("CPU a {name}, {}", many(LARGEST)), format!("{cpu:.1} µs"), goal, cpu);
        }
        let written = self.create_cost.written_each();
        let bare = median(self.bare_written.clone());
        let figure = format!("{written:.0} B; bare commit {bare:.0} B");
        report.goal("S9", "written to disk a create_ticket", figure, (Goal::AtMost(4.0), "KiB"), written / 1_024.0);
    }
}

fn many(connections: usize) -> String {
    format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
}

fn drive(
    daemon: &Daemon,
    operation: Operation,
    connections: usize,
    options: &Options,
    cost: &mut Cost,
) -> Result<Sample, Fault> {
    let before = daemon.usage()?;
    let sample = load::drive(&daemon.socket(), operation, connections, options.slice)?;
    if connections == LARGEST {
        cost.used.push((sample.calls, daemon.usage()?.since(before)));
    }
    Ok(sample)
}

impl Series {
    fn add(&mut self, connections: usize, sample: Sample) {
        self.samples.push((connections, sample));
    }

    fn at(&self, connections: usize) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |(at, _)| *at == connections).map(|(_, sample)| sample)
    }

    fn median(&self, connections: usize, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.at(connections).map(of).collect())
    }

    /// The ratio of each round, and of these the median: what disturbs a round disturbs both sides of it.
    fn against(&self, other: &Self, connections: usize, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.at(connections).zip(other.at(connections)).map(|(ours, theirs)| of(ours) / of(theirs)).collect())
    }

    /// Tells the rate at each number of connections; the goal is about the largest.
    fn rates(&self, id: &'static str, name: &str, report: &mut Report, goal: (Goal, &'static str), bare: &Self) {
        for connections in CONNECTIONS {
            let (what, figure) = (format!("{name}, {}", many(connections)), self.words(connections));
            if connections == LARGEST {
                report.goal(id, what, figure, goal, self.against(bare, connections, Sample::rate));
            } else {
                report.figure(id, what, figure);
            }
        }
    }

    fn words(&self, connections: usize) -> String {
        let rate = self.median(connections, Sample::rate);
        let quantile = |share| self.median(connections, |sample: &Sample| sample.quantile(share));
        format!("{rate:.0}/s, p50 {:.0} µs, p99 {:.0} µs", quantile(0.5), quantile(0.99))
    }
}

impl Cost {
    /// Microseconds of CPU a call.
    fn cpu_each(&self) -> f64 {
        median(self.used.iter().map(|(calls, used)| used.cpu.as_secs_f64() * 1e6 / *calls as f64).collect())
    }

    /// Bytes written a call.
    fn written_each(&self) -> f64 {
        median(self.used.iter().map(|(calls, used)| used.written as f64 / *calls as f64).collect())
    }
}

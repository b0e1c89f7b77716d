//! What is measured, in which order, and what comes out of it.

mod client;
mod daemon;
mod echo;
mod flow;
mod group_commit;
mod growth;
mod idle;
mod load;
mod machine;
mod mcp;
mod options;
mod policy;
mod report;
mod rows;
mod throughput;
mod upstream;

use std::io::Write as _;
use std::process::ExitCode;

use self::options::{Asked, Options};
use self::report::Report;

/// Anything that ends a measurement.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// One measurement and the goals it speaks of.
struct Group {
    name: &'static str,
    goals: &'static [&'static str],
    run: fn(&Options, &mut Report) -> Result<(), Fault>,
}

const GROUPS: [Group; 8] = [
    Group { name: "throughput", goals: &["A", "B", "C", "S1", "S2", "S3", "S4", "S9"], run: throughput::run },
    Group { name: "policy", goals: &["S4"], run: policy::run },
    Group { name: "mcp", goals: &["S5"], run: mcp::run },
    Group { name: "flow", goals: &["W1"], run: flow::run },
    Group { name: "upstream", goals: &["S5"], run: upstream::run },
    Group { name: "client", goals: &["D", "S6"], run: client::run },
    Group { name: "growth", goals: &["S7", "S8", "S9"], run: growth::run },
    Group { name: "idle", goals: &["S10"], run: idle::run },
];

/// Runs what the arguments ask for.
pub fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == upstream::ANSWERS) {
        return upstream::answers();
    }
    match options::read(std::env::args().skip(1)) {
        Ok(Asked::Nothing) => ExitCode::SUCCESS,
        Ok(Asked::Bare) => client::bare(),
        Ok(Asked::Run(options)) => match measure(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => complain(&fault),
        },
        Err(fault) => complain(&fault),
    }
}

fn measure(options: &Options) -> Result<(), Fault> {
    let known = |name: &String| GROUPS.iter().any(|group| group.answers_to(name));
    if let Some(name) = options.names.iter().find(|name| !known(name)) {
        let names = GROUPS.map(|group| group.name).join("`, `");
        return Err(format!("there is no measurement `{name}`; there are `{names}`, or a goal such as `S1`").into());
    }
    let mut report = Report::new(machine::facts(options)?);
    for group in GROUPS.iter().filter(|group| group.is_asked_for(&options.names)) {
        progress(&format!("measuring {}", group.name));
        (group.run)(options, &mut report).map_err(|fault| format!("{}: {fault}", group.name))?;
    }
    let text = if options.json { report.json()? } else { report.table() };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

impl Group {
    fn answers_to(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.goals.iter().any(|goal| goal.eq_ignore_ascii_case(name))
    }

    fn is_asked_for(&self, names: &[String]) -> bool {
        names.is_empty() || names.iter().any(|name| self.answers_to(name))
    }
}

/// Tells what goes on, beside the results.
pub fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn complain(fault: &Fault) -> ExitCode {
    progress(&format!("error: {fault}"));
    ExitCode::FAILURE
}

/// The middle of some figures; 0 of none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

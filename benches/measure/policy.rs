//! What a thousand rules cost that do not decide: the second half of S4. Half of them are about another
//! tool, half about this one and other principals, so that finding the few that matter is work.

use std::fmt::Write as _;
use std::fs;

use super::daemon::{self, Daemon};
use super::load::{self, Operation};
use super::options::Options;
use super::report::{Goal, Report};
use super::{Fault, median};

/// The rules that are in force when there is no folder of them.
const SHIPPED: &str = include_str!("../../src/guard/policy/shipped.cedar");

/// How many rules are added.
const ADDED: usize = 1_000;

/// Connections under which the daemon is busy.
const CONNECTIONS: usize = 64;

/// Measures.
///
/// # Errors
/// When a daemon fails.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Fault> {
    let (few_home, many_home) = (options.folder()?, options.folder()?);
    let folder = daemon::config_in(many_home.path()).join("policies");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("main.cedar"), SHIPPED)?;
    fs::write(folder.join("more.cedar"), rules()?)?;
    let (few, many) = (Daemon::start(few_home.path())?, Daemon::start(many_home.path())?);
    let mut costs = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        costs.0.push(cpu(&few, options)?);
        costs.1.push(cpu(&many, options)?);
    }
    let ratio = median(costs.0.iter().zip(&costs.1).map(|(few, many)| many / few).collect());
    let figure = format!("{:.1} µs; shipped policy alone {:.1} µs", median(costs.1), median(costs.0));
    let what = format!("CPU a create_ticket with {ADDED} more policies");
    report.goal("S4", what, figure, (Goal::AtMost(1.2), "× shipped"), ratio);
    Ok(())
}

/// Microseconds of CPU a call.
fn cpu(daemon: &Daemon, options: &Options) -> Result<f64, Fault> {
    let before = daemon.usage()?;
    let calls = load::drive(&daemon.socket(), Operation::CreateTicket, CONNECTIONS, options.slice)?.calls;
    Ok(daemon.usage()?.since(before).cpu.as_secs_f64() * 1e6 / calls as f64)
}

fn rules() -> Result<String, Fault> {
    let mut rules = String::new();
    for number in 0..ADDED {
        let action = if number % 2 == 0 { "send_message" } else { "create_ticket" };
        writeln!(
            rules,
            "@id(\"more-{number}\")\npermit (\n    principal == Toolctl::Agent::\"agent:more-{number}\",\n    \
             action == Toolctl::Action::\"{action}\",\n    resource\n);"
        )?;
    }
    Ok(rules)
}

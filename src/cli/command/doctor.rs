//! `doctor`: prints what every check found, and says by its exit status whether anything is wrong.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::doctor::{Exam, Finding, Health, examine};
use crate::cli::error::{CliError, Exit};
use crate::cli::table::Table;
use crate::cli::text::{counted, escape_untrusted};
use crate::cli::ui::Tone;

/// Looks the set-up over; exit 1 when there is a problem.
///
/// # Errors
/// When there is no home folder, after Ctrl-C, and when stdout is gone.
pub fn run(cx: &Context) -> Result<Exit, CliError> {
    let findings = examine(&Exam::new(cx)?);
    let count = |health| findings.iter().filter(|finding| finding.health == health).count();
    let (problems, warnings) = (count(Health::Problem), count(Health::Warning));
    if cx.ui.for_people() {
        let lines: String = findings.iter().map(|finding| line(cx, finding)).collect();
        let end = match (problems, warnings) {
            (0, 0) => cx.ui.paint(Tone::Good, "nothing to mend"),
            (problems, warnings) => format!("{}, {}", several(problems, "problem"), several(warnings, "warning")),
        };
        cx.ui.out(&format!("{lines}\n{end}\n"))?;
    } else {
        let mut table = Table::new(["HEALTH", "CHECK", "MESSAGE", "FIX"], "nothing was checked");
        for finding in &findings {
            let health = match finding.health {
                Health::Ok => "ok",
                Health::Warning => "warning",
                Health::Problem => "problem",
            };
            let fix = finding.fix.clone().unwrap_or_default();
            table.row([health.into(), finding.check.as_str().into(), finding.message.as_str().into(), fix.into()]);
        }
        let document = json!({ "problems": problems, "warnings": warnings, "checks": findings });
        cx.ui.list(&document, &findings, &table)?;
    }
    Ok(if problems == 0 { Exit::Done } else { Exit::Failure })
}

fn line(cx: &Context, finding: &Finding) -> String {
    let (mark, tone) = match finding.health {
        Health::Ok => ("✔", Tone::Good),
        Health::Warning => ("!", Tone::Care),
        Health::Problem => ("✖", Tone::Bad),
    };
    let fix =
        finding.fix.as_ref().map(|fix| format!("\n    {} {}", cx.ui.paint(Tone::Faint, "fix:"), escape_untrusted(fix)));
    let (check, message) = (escape_untrusted(&finding.check), escape_untrusted(&finding.message));
    format!("{} {check}: {message}{}\n", cx.ui.paint(tone, mark), fix.unwrap_or_default())
}

fn several(count: usize, what: &str) -> String {
    counted(count, what, &format!("{what}s"))
}

//! Stored keys: private, and still good.

use std::path::Path;
use std::time::Duration;

use super::{Exam, Finding, Health};
use crate::api::admin::Me;
use crate::cli::error::{CliError, Exit};
use crate::cli::init::key::Standing;
use crate::cli::text::relative;
use crate::domain::time::Timestamp;

/// How long before its end a key is told about.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// Every stored key is good.
pub fn stored(exam: &Exam<'_>) -> Vec<Finding> {
    exam.stored.iter().map(|(path, standing)| judge(exam, path, standing)).collect()
}

fn judge(exam: &Exam<'_>, path: &Path, standing: &Result<Standing, CliError>) -> Finding {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let check = if path == exam.paths.default_key() { "key".to_owned() } else { format!("key {name}") };
    match standing {
        Ok(Standing::Good(me)) => match ends(exam, me) {
            Some((end, at)) if end <= exam.cx.now().plus(SOON) => {
                Finding::warning(check, format!("{}, good until {at}", me.principal))
                    .fix(format!("toolctl keys rotate {}", me.credential))
            }
            Some((_, at)) => Finding::ok(check, format!("{}, good until {at}", me.principal)),
            None => Finding::ok(check, format!("{}, good", me.principal)),
        },
        Ok(Standing::Dead(why)) => {
            Finding::warning(check, format!("no longer good: {why}")).fix(format!("rm {}", path.display()))
        }
        Ok(Standing::Missing) => Finding::warning(check, format!("{} is gone", path.display())),
        Err(error) if error.exit == Exit::Unauthenticated => Finding::failed(check, Health::Problem, error),
        Err(_) if exam.healthy.is_err() => Finding::ok(check, "private; no daemon to ask whether it is good"),
        Err(error) => Finding::failed(check, Health::Warning, error),
    }
}

/// When a key ends, for the clock and in words.
fn ends(exam: &Exam<'_>, me: &Me) -> Option<(Timestamp, String)> {
    let info = exam.keys.iter().find(|info| info.id == me.credential)?;
    let at = info.expires_at.as_deref()?;
    let day = at.split('T').next().unwrap_or(at);
    Some((at.parse().ok()?, format!("{day}, {}", relative(at, exam.cx.now()))))
}

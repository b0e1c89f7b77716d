//! The state folder: closed to others, and on a disk with room for the log.

use super::{Exam, Finding};
use crate::transport::inspect::{look, room as room_at};
use crate::transport::private;

/// Words in the names of files that hold secrets. The store itself is closed to others by its folder.
const SECRETS: [&str; 2] = ["pepper", "key"];
/// Bytes below which the store will soon refuse to write.
const TIGHT: u64 = 100 << 20;
/// Bytes below which somebody should look.
const LOW: u64 = 1 << 30;

/// The folder is closed to others.
pub fn folder(exam: &Exam<'_>) -> Vec<Finding> {
    let state = exam.state();
    let Ok(found) = look(&state) else {
        return vec![Finding::ok("state", format!("{} is not there yet: `toolctl serve` makes it", state.display()))];
    };
    if let Some(owner) = found.owner.filter(|owner| Some(*owner) != private::own_uid()) {
        return vec![Finding::warning("state", format!("{} belongs to user {owner}, not to you", state.display()))];
    }
    vec![match found.mode {
        Some(mode) if mode & 0o077 != 0 => {
            Finding::problem("state", format!("other users may enter {} (mode {mode:04o})", state.display()))
                .fix(format!("chmod 700 {}", state.display()))
        }
        _ => Finding::ok("state", format!("{} is closed to others", state.display())),
    }]
}

/// The secrets in it are closed to others by themselves, too.
pub fn secrets(exam: &Exam<'_>) -> Vec<Finding> {
    let files = std::fs::read_dir(exam.state()).into_iter().flatten().flatten();
    let secret = files.filter(|file| {
        let name = file.file_name().to_string_lossy().to_lowercase();
        SECRETS.iter().any(|word| name.contains(word))
    });
    let open = secret.map(|file| file.path()).filter(|path| !private::is_private(path).unwrap_or(true));
    let open = open.map(|path| {
        Finding::problem("state files", format!("others can read {}", path.display()))
            .fix(format!("chmod 600 {}", path.display()))
    });
    open.collect()
}

/// There is room for more.
pub fn room(exam: &Exam<'_>) -> Vec<Finding> {
    let state = exam.state();
    let place = state.ancestors().find(|path| path.exists());
    let Some(free) = place.and_then(|path| room_at(path).ok()).flatten() else { return Vec::new() };
    vec![amount(free)]
}

fn amount(free: u64) -> Finding {
    let words = match free {
        small if small < LOW => format!("{} MiB", small >> 20),
        large => format!("{} GiB", large >> 30),
    };
    let fix = "make room on that disk: a store that cannot write stops every call";
    match free {
        0..TIGHT => Finding::problem("disk", format!("{words} left for the store")).fix(fix),
        TIGHT..LOW => Finding::warning("disk", format!("{words} left for the store")).fix(fix),
        LOW.. => Finding::ok("disk", format!("{words} left for the store")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Health;

    #[test]
    fn little_room_is_told_before_it_is_none() {
        let health = |free| amount(free).health;
        assert_eq!([health(0), health(TIGHT - 1)], [Health::Problem; 2]);
        assert_eq!([health(TIGHT), health(LOW - 1)], [Health::Warning; 2]);
        assert_eq!((health(LOW), amount(5 << 30).message), (Health::Ok, "5 GiB left for the store".to_owned()));
    }
}

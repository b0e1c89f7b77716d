//! Completion: whether the shell of this person loads it. A child process cannot see what its shell has loaded, so
//! the files are read from which it would be.

use std::path::{Path, PathBuf};

use super::{Exam, Finding};

/// Bytes of a start-up file at most.
const LARGEST: u64 = 1 << 20;

/// The shell loads our completions.
pub fn completions(_: &Exam<'_>) -> Vec<Finding> {
    let shell = std::env::var_os("SHELL").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let (Some(shell), Some(home)) = (shell, home) else { return Vec::new() };
    let Some(name) = shell.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    judge(name, &home).into_iter().collect()
}

fn judge(shell: &str, home: &Path) -> Option<Finding> {
    let (sourced, shipped, line): (&[&str], &[&str], &str) = match shell {
        "bash" => (
            &[".bashrc", ".bash_profile", ".bash_completion", ".profile"],
            &[
                ".local/share/bash-completion/completions/toolctl",
                "/usr/share/bash-completion/completions/toolctl",
                "/usr/local/share/bash-completion/completions/toolctl",
            ],
            "echo 'source <(toolctl completions bash)' >> ~/.bashrc",
        ),
        "zsh" => (
            &[".zshrc", ".zprofile"],
            &["/usr/share/zsh/site-functions/_toolctl", "/usr/local/share/zsh/site-functions/_toolctl"],
            "echo 'source <(toolctl completions zsh)' >> ~/.zshrc",
        ),
        "fish" => (
            &[".config/fish/config.fish"],
            &[".config/fish/completions/toolctl.fish", "/usr/share/fish/vendor_completions.d/toolctl.fish"],
            "toolctl completions fish > ~/.config/fish/completions/toolctl.fish",
        ),
        _ => return None,
    };
    let loaded =
        shipped.iter().any(|path| home.join(path).exists()) || sourced.iter().any(|path| names_us(&home.join(path)));
    Some(if loaded {
        Finding::ok("completions", format!("{shell} loads them"))
    } else {
        Finding::warning("completions", format!("{shell} does not load them")).fix(line)
    })
}

fn names_us(path: &Path) -> bool {
    let small = std::fs::metadata(path).is_ok_and(|found| found.len() <= LARGEST);
    let text = if small { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("toolctl"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Health;

    #[test]
    fn a_line_in_a_start_up_file_is_enough() {
        let home = tempfile::tempdir().expect("a folder");
        let health = |shell| judge(shell, home.path()).map(|finding| finding.health);
        assert_eq!((health("bash"), health("tcsh")), (Some(Health::Warning), None));
        std::fs::write(home.path().join(".bashrc"), "# toolctl\n").expect("written");
        assert_eq!(health("bash"), Some(Health::Warning));
        std::fs::write(home.path().join(".bashrc"), "source <(toolctl completions bash)\n").expect("written");
        assert_eq!(health("bash"), Some(Health::Ok));
    }
}

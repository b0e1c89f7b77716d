//! Programs that run what they are given. An argument of a caller's where one of them reads code is a shell for
//! that caller, whatever else the daemon checks; so it is refused unless the operator says that it is meant.

use std::path::Path;

use crate::domain::tool::template::{Element, Piece, Text};

/// Programs that read code, and the options behind which it stands. Names are compared without version.
const LANGUAGES: &[(&str, &[&str])] = &[
    ("sh", &["-c"]),
    ("bash", &["-c"]),
    ("dash", &["-c"]),
    ("zsh", &["-c"]),
    ("ksh", &["-c"]),
    ("fish", &["-c", "--command"]),
    ("csh", &["-c"]),
    ("tcsh", &["-c"]),
    ("python", &["-c", "-m"]),
    ("pypy", &["-c", "-m"]),
    ("perl", &["-e", "-E", "-M", "-I"]),
    ("ruby", &["-e", "-r", "-I"]),
    ("node", &["-e", "--eval", "-p", "--print", "-r", "--require", "--import"]),
    ("nodejs", &["-e", "--eval", "-p", "--print", "-r", "--require"]),
    ("deno", &["eval"]),
    ("bun", &["-e", "--eval"]),
    ("php", &["-r", "-B", "-R", "-E"]),
    ("lua", &["-e", "-l"]),
    ("awk", &["-e", "-f", "-E", "-i"]),
    ("gawk", &["-e", "-f", "-E", "-i"]),
    ("mawk", &["-f"]),
    ("sed", &["-e", "-f"]),
    ("pwsh", &["-c", "-Command", "-EncodedCommand"]),
    ("powershell", &["-c", "-Command", "-EncodedCommand"]),
    ("tclsh", &[]),
    ("expect", &["-c"]),
    ("osascript", &["-e"]),
];

/// Programs whose arguments become a command line, here or elsewhere.
const RUNNERS: &[&str] = &[
    "env",
    "xargs",
    "ssh",
    "su",
    "sudo",
    "doas",
    "nohup",
    "timeout",
    "nice",
    "ionice",
    "setsid",
    "stdbuf",
    "watch",
    "busybox",
    "cmd",
    "cmd.exe",
    "parallel",
    "make",
    "eval",
    "script",
    "chroot",
    "unshare",
    "nsenter",
    "systemd-run",
    "at",
    "batch",
];

/// What an interpreter does with its arguments.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// An argument stands where code is read: its place among the elements.
    pub code: Option<usize>,
    /// The element that names the script, when it names one by itself.
    pub script: Option<usize>,
}

/// Looks at the arguments of `program`; nothing when it interprets nothing.
pub fn look(program: &Path, elements: &[Element]) -> Found {
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = name.trim_end_matches(|sign: char| sign.is_ascii_digit() || sign == '.').trim_end_matches('-');
    if RUNNERS.contains(&name.as_str()) {
        let code = elements.iter().position(|element| !element.arguments().is_empty());
        return Found { code, script: None };
    }
    let Some((language, options)) = LANGUAGES.iter().find(|(language, _)| *language == plain || *language == name)
    else {
        return Found::default();
    };
    let reads_program = !matches!(*language, "awk" | "gawk" | "mawk" | "sed");
    let mut next_is_code = false;
    for (place, element) in elements.iter().enumerate() {
        let is_caller = !element.arguments().is_empty();
        let Element::One(text) = element else {
            // Optional or repeated elements before the code: any of them could be where it stands.
            if is_caller {
                return Found { code: Some(place), script: None };
            }
            continue;
        };
        let start = start(text);
        if next_is_code || !start.starts_with('-') {
            let script = (!is_caller && !next_is_code && reads_program && !options.contains(&start)).then_some(place);
            if !is_caller && options.contains(&start) {
                next_is_code = true;
                continue;
            }
            return Found { code: is_caller.then_some(place), script };
        }
        let option = options.iter().any(|option| start.starts_with(option) && start.len() >= option.len());
        if option && is_caller {
            return Found { code: Some(place), script: None };
        }
        // `-c` itself, or several letters in one that end with it.
        next_is_code = options.iter().any(|option| {
            start == *option
                || (option.len() == 2
                    && !start.starts_with("--")
                    && option.get(1..).is_some_and(|end| start.ends_with(end)))
        });
    }
    Found::default()
}

/// What an element begins with, whatever a caller sends.
fn start(text: &Text) -> &str {
    match text.0.first() {
        Some(Piece::Literal(start)) => start,
        Some(Piece::Argument(_)) | None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(program: &str, arguments: &[&str]) -> Found {
        let elements: Vec<Element> = arguments
            .iter()
            .map(|text| match Text::parse(text).expect("a template") {
                (text, Some(list)) => Element::Each { list, text },
                (text, None) => Element::One(text),
            })
            .collect();
        look(Path::new(program), &elements)
    }

    #[test]
    fn a_callers_code_is_found() {
        for (program, arguments, place) in [
            ("/bin/sh", &["-c", "{x}"][..], 1),
            ("/bin/bash", &["-euc", "echo {x}"], 1),
            ("/usr/bin/python3.11", &["-c{x}"], 0),
            ("/usr/bin/python3", &["{script}"], 0),
            ("/usr/bin/perl", &["-w", "-e", "{x}"], 2),
            ("/usr/bin/node", &["--eval={x}"], 0),
            ("/usr/bin/awk", &["{x}", "file"], 0),
            ("/usr/bin/env", &["FOO={x}", "prog"], 0),
            ("/usr/bin/ssh", &["host", "ls", "{x}"], 2),
            ("/bin/sh", &["{all...}"], 0),
        ] {
            assert_eq!(found(program, arguments), Found { code: Some(place), script: None }, "{program} {arguments:?}");
        }
    }

    #[test]
    fn a_callers_value_behind_the_operators_code_is_none() {
        for (program, arguments, script) in [
            ("/bin/sh", &["-c", "echo \"$1\"", "--", "{x}"][..], None),
            ("/usr/bin/python3", &["report.py", "--for={x}"], Some(0)),
            ("/usr/bin/python3", &["-I", "report.py", "{x}"], Some(1)),
            ("/usr/bin/awk", &["{{print}}", "{x}"], None),
            ("/usr/bin/git", &["log", "{x}"], None),
        ] {
            assert_eq!(found(program, arguments), Found { code: None, script }, "{program} {arguments:?}");
        }
    }
}

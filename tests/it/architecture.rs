//! The layers of ARCHITECTURE.md, held by a test: no `crate::` path points upwards, and what must happen in
//! one place happens there only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules each module may name. A module may always name itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("guard", &["domain"]),
    ("api", &["domain"]),
    ("pipeline", &["domain", "guard", "api"]),
    ("store", &["domain", "guard", "pipeline"]),
    // Servers of others are spoken to in the words of `api::mcp`, framed as `transport::lines` frames them.
    ("tool", &["domain", "guard", "api", "pipeline", "transport"]),
    ("authn", &["domain", "guard", "pipeline"]),
    ("runner", &["domain", "pipeline", "transport"]),
    ("transport", &["domain"]),
    ("config", &["domain", "guard", "pipeline"]),
    ("clock", &["domain", "pipeline"]),
    ("server", &["domain", "guard", "api", "pipeline", "transport"]),
    ("client", &["domain", "api", "transport"]),
    (
        "daemon",
        &[
            "domain",
            "guard",
            "api",
            "pipeline",
            "store",
            "tool",
            "authn",
            "runner",
            "transport",
            "config",
            "clock",
            "server",
        ],
    ),
    ("cli", &["domain", "api", "client", "config", "transport"]),
];

/// The files of the command line that may start a daemon or open its store.
const MAY_START_DAEMONS: &[&str] = &[
    "cli/command/serve.rs",
    "cli/command/demo.rs",
    "cli/command/demo/",
    "cli/command/audit.rs",
    "cli/command/tools/test.rs",
];

/// What may be written in some files only, and where.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("SystemTime::now", &["clock.rs"]),
    ("Timestamp::now", &["clock.rs", "cli/"]),
    ("println!", &["cli/ui"]),
    // Processes differ by platform as connections do; what differs stands behind this one file.
    ("cfg(unix)", &["transport/", "tool/command/process.rs"]),
    ("cfg(windows)", &["transport/", "tool/command/process.rs"]),
    ("std::env::var", &["config/", "cli/"]),
];

/// Every source file of the program, without modules that only tests have.
fn sources() -> BTreeMap<String, String> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("src is readable").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() { walk(&entry, found) } else { found.push(entry) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    let name = |path: &Path| path.strip_prefix(&root).expect("inside src").to_string_lossy().replace('\\', "/");
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let all: BTreeMap<String, String> =
        found.iter().map(|path| (name(path), fs::read_to_string(path).expect("UTF-8"))).collect();
    let for_tests: Vec<String> = all.iter().flat_map(|(file, text)| test_modules(file, text)).collect();
    let only_tests = |file: &str| {
        for_tests.iter().any(|module| file == format!("{module}.rs") || file.starts_with(&format!("{module}/")))
    };
    all.into_iter().filter(|(file, _)| !only_tests(file)).collect()
}

/// Paths of the modules that `file` declares for tests only.
fn test_modules(file: &str, text: &str) -> Vec<String> {
    let folder =
        file.strip_suffix("mod.rs").map_or_else(|| format!("{}/", file.trim_end_matches(".rs")), ToOwned::to_owned);
    let declared = text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
        let line = rest.lines().next()?.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        line.strip_prefix("mod ")?.strip_suffix(';').map(ToOwned::to_owned)
    });
    declared.map(|module| format!("{folder}{module}")).collect()
}

/// The program text of a file: without comments and without its unit tests at the foot.
fn program(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_path_points_upwards() {
    let mut upward = Vec::new();
    for (file, text) in sources() {
        let own = file.split(['/', '.']).next().unwrap_or_default();
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(module, _)| *module == own) else {
            assert!(matches!(file.as_str(), "lib.rs" | "main.rs"), "`{file}` has no layer");
            continue;
        };
        for path in program(&text).split("crate::").skip(1) {
            let target: String = path.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let known = MAY_IMPORT.iter().any(|(module, _)| *module == target);
            let starts = target == "daemon" && MAY_START_DAEMONS.iter().any(|start| file.starts_with(start));
            if known && target != own && !allowed.contains(&target.as_str()) && !starts {
                upward.push(format!("{file} names crate::{target}"));
            }
        }
    }
    assert_eq!(upward, Vec::<String>::new());
}

#[test]
fn what_belongs_in_one_place_is_there_only() {
    let mut strays = Vec::new();
    for (file, text) in sources() {
        let program = program(&text);
        for (what, places) in ONLY_IN {
            if program.contains(what) && !places.iter().any(|place| file.starts_with(place)) {
                strays.push(format!("{file} has {what}"));
            }
        }
    }
    assert_eq!(strays, Vec::<String>::new());
}

#[test]
fn every_file_says_what_it_is_for_and_stays_small() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if !text.starts_with("//! ") {
            wrong.push(format!("{file} does not open with what it is for"));
        }
        let lines = text.lines().count();
        if lines > 500 {
            wrong.push(format!("{file} has {lines} lines"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

//! The commands in the documentation run. A fence that starts with ` ```console run ` is a story: each line
//! after `$ ` is a command in one shell with a daemon of its own, and must succeed; a line `# exit N` before a
//! command names another exit status. A fence that starts with ` ```console run on ` goes on with the story before it.

use std::path::Path;

use crate::support::{Daemon, story};

const MARKER: &str = "console run";
const GOES_ON: &str = "console run on";

/// One command of a story.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    exit: i32,
}

/// The stories of a text, one a fence and those that go on with it.
fn stories(text: &str) -> Vec<Vec<Step>> {
    let mut stories: Vec<Vec<Step>> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let info = info.trim();
        let mut steps: Vec<Step> = Vec::new();
        let mut exit = 0;
        let mut goes_on = false;
        for line in lines.by_ref().take_while(|line| !line.trim_start().starts_with("```")) {
            let (text, more) = line.strip_suffix('\\').map_or((line, false), |text| (text, true));
            if let Some(last) = steps.last_mut().filter(|_| goes_on) {
                last.command.push_str(text.trim_start());
            } else if let Some(status) = line.strip_prefix("# exit ") {
                exit = status.trim().parse().expect("an exit status");
                continue;
            } else if let Some(command) = text.strip_prefix("$ ") {
                steps.push(Step { command: command.to_owned(), exit });
                exit = 0;
            } else {
                continue;
            }
            goes_on = more;
        }
        match (info, stories.last_mut()) {
            (GOES_ON, Some(before)) => before.append(&mut steps),
            (MARKER | GOES_ON, _) => stories.push(steps),
            _ => {}
        }
    }
    stories
}

/// Runs one story in a folder and with a daemon of its own.
fn play(name: &str, steps: &[Step]) {
    let daemon = Daemon::start();
    for step in steps.iter().filter(|step| !step.command.starts_with("toolctl serve")) {
        let script = daemon.dir().join("step.sh");
        std::fs::write(&script, &step.command).expect("a script");
        let output = story::shell(daemon.dir(), &script).output().expect("a shell");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(step.exit), "{name}: `{}` said:\n{said}", step.command);
    }
}

#[test]
fn the_commands_of_the_documentation_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["README.md", "ARCHITECTURE.md"] {
        let Ok(text) = std::fs::read_to_string(root.join(name)) else { continue };
        for (number, steps) in stories(&text).iter().enumerate() {
            play(&format!("{name}, story {}", number + 1), steps);
        }
    }
}

#[test]
fn a_story_is_found_and_played() {
    let text = "\
Words.

```console
$ not a story
```

```console run
$ toolctl serve
$ toolctl call search_customer \\
    --query acme
{\"results\":[]}
# exit 8
$ toolctl call update_customer_status --customer-id 2 --new-status Suspended
```

More words.

```console run on
$ toolctl approve 1 --yes
```
";
    let found = stories(text);
    let step = |command: &str, exit| Step { command: command.to_owned(), exit };
    assert_eq!(
        found,
        [vec![
            step("toolctl serve", 0),
            step("toolctl call search_customer --query acme", 0),
            step("toolctl call update_customer_status --customer-id 2 --new-status Suspended", 8),
            step("toolctl approve 1 --yes", 0),
        ]]
    );
    play("the sample", &found[0]);
}

#[test]
#[should_panic(expected = "`toolctl call nothing` said")]
fn a_story_that_is_not_true_fails() {
    play("a lie", &[Step { command: "toolctl call nothing".into(), exit: 0 }]);
}

//! A run of the client: given arguments and input, when it runs, then exit status, stdout and stderr.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The program in a fixed environment, with its folders inside `dir`.
pub fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolctl"));
    command.env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", dir).env("LANG", "C.UTF-8").env("TZ", "UTC");
    command.env("TOOLCTL_DATA_DIR", dir.join("state")).env("TOOLCTL_CONFIG_DIR", dir.join("config"));
    command.current_dir(dir);
    command
}

/// A run of the client about to happen.
pub struct Story {
    command: Command,
    input: Vec<u8>,
}

/// A run of the client that has not ended.
pub struct Running {
    child: Child,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The exit status; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Story {
    /// A run with these arguments.
    pub fn new(dir: &Path, args: &[&str]) -> Self {
        let mut command = program(dir);
        command.args(args);
        Self { command, input: Vec::new() }
    }

    /// Presents a key.
    pub fn key(self, key: &str) -> Self {
        self.env("TOOLCTL_KEY", key)
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it this on stdin.
    pub fn input(mut self, text: &str) -> Self {
        self.input = text.as_bytes().to_vec();
        self
    }

    /// Starts it; the test goes on while it runs.
    pub fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the client starts");
        // It may end without reading its input.
        let _unread = child.stdin.take().expect("its stdin").write_all(&self.input);
        Running { child }
    }

    /// Runs it.
    pub fn ends(self) -> Ending {
        self.start().ends()
    }

    /// Runs it, and it must exit with this status.
    #[track_caller]
    pub fn exits(self, code: i32) -> Ending {
        let ending = self.ends();
        assert_eq!(ending.code, Some(code), "stdout:\n{}\nstderr:\n{}", ending.stdout, ending.stderr);
        ending
    }

    /// Runs it, and it must succeed without a word on stderr; gives its stdout.
    #[track_caller]
    pub fn succeeds(self) -> String {
        let ending = self.exits(0);
        assert_eq!(ending.stderr, "", "an unexpected word on stderr");
        ending.stdout
    }

    /// Runs it, and it must succeed and print one JSON document.
    #[track_caller]
    pub fn json(self) -> Value {
        let text = self.exits(0).stdout;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }
}

impl Running {
    /// Sends it a signal by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits until it would catch Ctrl-C: before that, the signal ends it like any program.
    pub fn catches_interrupts(&self) -> &Self {
        super::until(|| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim().to_owned();
            let caught = u64::from_str_radix(&caught, 16).ok()?;
            // Bit 1 is signal 2, SIGINT.
            (caught & 0b10 != 0).then_some(())
        });
        self
    }

    /// Reads the next line of its stdout.
    pub fn line(&mut self) -> String {
        let stdout = self.child.stdout.as_mut().expect("its stdout");
        let mut line = Vec::new();
        let mut byte = [0];
        while stdout.read(&mut byte).expect("a byte of stdout") == 1 && byte != *b"\n" {
            line.extend(byte);
        }
        String::from_utf8(line).expect("UTF-8 on stdout")
    }

    /// Waits for its end.
    pub fn ends(self) -> Ending {
        let output = self.child.wait_with_output().expect("the client ends");
        Ending {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
        }
    }
}

impl Ending {
    /// The one JSON line that `-o json` puts on stderr for an error.
    #[track_caller]
    pub fn error(&self) -> Value {
        let mut lines = self.stderr.lines().filter(|line| line.starts_with('{'));
        let text = lines.next().unwrap_or_else(|| panic!("no JSON line on stderr: {}", self.stderr));
        assert_eq!(lines.next(), None, "more than one JSON line on stderr: {}", self.stderr);
        let document: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"));
        document.get("error").unwrap_or_else(|| panic!("no `error` in {text}")).clone()
    }

    /// Stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {}", self.stdout))
    }
}

/// A script in the environment of [`program`], which finds toolctl on its path.
pub fn shell(dir: &Path, script: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg(script).env_clear().env("HOME", dir).env("LANG", "C.UTF-8").env("TZ", "UTC");
    command.env("TOOLCTL_DATA_DIR", dir.join("state")).env("TOOLCTL_CONFIG_DIR", dir.join("config"));
    let folder = Path::new(env!("CARGO_BIN_EXE_toolctl")).parent().expect("a folder").to_owned();
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(folder).chain(std::env::split_paths(&usual));
    command.env("PATH", std::env::join_paths(paths).expect("a path")).current_dir(dir);
    command
}

//! Starts, kills and stops `toolctl serve` in a temporary folder.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tempfile::TempDir;

use serde_json::{Value, json};

use super::http::{Door, Exchange};
use super::story::{Story, program};

/// How long a daemon may take to say that it listens, or to end: generous, as test machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Allows any load: for tests that are about something else than speed.
pub const UNHURRIED: &str = "RATE_LIMIT_PER_MIN=1000000\n";

/// A daemon and its folder. Dropped, it is killed and its folder removed.
pub struct Daemon {
    dir: TempDir,
    child: Option<Child>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    said: Arc<Mutex<String>>,
}

impl Daemon {
    /// Starts a daemon without any configuration.
    pub fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// Starts a daemon with arguments and environment of its own.
    pub fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut daemon = Self::prepared(args, env);
        daemon.restart();
        daemon
    }

    /// Starts a daemon with this text as its `--env-file`, and arguments of its own.
    pub fn with_env_file(text: &str, args: &[&str]) -> Self {
        let mut all = vec!["--env-file", ".env"];
        all.extend(args);
        let mut daemon = Self::prepared(&all, &[]);
        std::fs::write(daemon.dir().join(".env"), text).expect("the env file");
        daemon.restart();
        daemon
    }

    /// Starts a daemon that takes any load.
    pub fn unhurried() -> Self {
        Self::with_env_file(UNHURRIED, &[])
    }

    /// A folder and arguments, and no process yet.
    pub fn prepared(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self {
            dir: tempfile::Builder::new().prefix("toolctl").tempdir().expect("a temporary folder"),
            child: None,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            said: Arc::default(),
        }
    }

    /// Its folder: `state` and `config` are inside.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir().join("state").join("toolctl.sock")
    }

    /// Its state folder.
    pub fn state(&self) -> PathBuf {
        self.dir().join("state")
    }

    /// Writes a file of its configuration.
    pub fn configure(&self, name: &str, text: &str) {
        let path = self.dir().join("config").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the config folder");
        std::fs::write(path, text).expect("the config file");
    }

    /// The command that starts it, for tests of starts that fail.
    pub fn command(&self) -> Command {
        let mut command = program(self.dir());
        command.arg("serve").args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Starts it and waits until it refuses to go on; gives its exit status and what it said.
    pub fn refuses(&self) -> (i32, String) {
        let output = self.command().output().expect("the daemon starts");
        let said = String::from_utf8(output.stderr).expect("UTF-8 on stderr");
        let code = output.status.code().expect("an exit status");
        assert_ne!(code, 0, "it did not refuse: {said}");
        (code, said)
    }

    /// Starts it (again) and waits until it listens; gives what it said until then.
    pub fn restart(&mut self) -> Vec<String> {
        self.restart_as(self.command())
    }

    /// Starts it by a command of the test's own.
    pub fn restart_as(&mut self, command: Command) -> Vec<String> {
        self.attempt(command)
            .unwrap_or_else(|lines| panic!("the daemon did not become ready; it said:\n{}", lines.join("\n")))
    }

    /// Starts it by a command of the test's own; gives what it said, as an error when it ended before it listened.
    pub fn attempt(&mut self, mut command: Command) -> Result<Vec<String>, Vec<String>> {
        let mut child = command.spawn().expect("the daemon starts");
        let stderr = child.stderr.take().expect("its stderr");
        let (said, heard) = mpsc::channel();
        let log = Arc::clone(&self.said);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                log.lock().expect("the log").push_str(&format!("{line}\n"));
                // Nobody may be listening any more; the pipe must be drained all the same.
                let _gone = said.send(line);
            }
        });
        self.child = Some(child);
        let mut lines = Vec::new();
        loop {
            match heard.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let ready = line.contains("ready");
                    lines.push(line);
                    if ready {
                        return Ok(lines);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(lines),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the daemon hangs; it said:\n{}", lines.join("\n")),
            }
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().expect("a daemon").try_wait().expect("a state").is_some()
    }

    /// Starts without its own environment from here on.
    pub fn unarm(&mut self) {
        self.env.clear();
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the daemon is killed");
            child.wait().expect("the daemon ended");
        }
    }

    /// SIGTERM, and its exit status.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.take()?.wait().expect("the daemon ended").code()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits until it ends by itself; gives its exit status.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.take()?.wait().expect("the daemon ended").code()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running daemon").id()
    }

    /// A command of the client, talking to this daemon.
    pub fn cli(&self, args: &[&str]) -> Story {
        Story::new(self.dir(), args)
    }

    /// Everything it has said on stderr in all its lives.
    pub fn log(&self) -> String {
        self.said.lock().expect("the log").clone()
    }

    /// Its socket as a door.
    pub fn door(&self) -> Door {
        Door::Socket(self.socket())
    }

    /// Its TCP listener as a door.
    pub fn tcp(&self) -> Door {
        let status = self.http("GET", "/v1/status").send().json();
        let listeners = status["listeners"].as_array().expect("listeners");
        let mut addresses = listeners.iter().filter_map(Value::as_str).filter_map(|text| {
            let text = text.trim_start_matches("http://").trim_start_matches("tcp://").trim_end_matches('/');
            text.parse().ok()
        });
        Door::Tcp(addresses.next().unwrap_or_else(|| panic!("no TCP listener in {listeners:?}")))
    }

    /// A request to this daemon over its socket, without a key.
    pub fn http(&self, method: &str, path: &str) -> Exchange {
        self.door().http(method, path)
    }

    /// Makes a key and gives the reply: `key` and `info`.
    pub fn make_key(&self, wanted: &Value) -> Value {
        let made = self.http("POST", "/v1/keys").json(wanted).send();
        made.is(200);
        made.json()
    }

    /// Makes the key of an agent that may act, and gives its text.
    pub fn agent(&self, name: &str) -> String {
        text_of(&self.make_key(&json!({"name": name, "kind": "agent"})))
    }

    /// Makes the key of a person in `groups`, and gives its text.
    pub fn person(&self, name: &str, groups: &[&str]) -> String {
        text_of(&self.make_key(&json!({"name": name, "kind": "user", "groups": groups})))
    }

    /// Makes the key of a person who approves, and gives its text.
    pub fn approver(&self, name: &str) -> String {
        self.person(name, &["approvers"])
    }

    /// The records of the log that match a query such as `kind=call.*`.
    pub fn audit(&self, query: &str) -> Vec<Value> {
        let lines = self.http("GET", &format!("/v1/audit?{query}")).send();
        lines.is(200);
        let leaf = |line: &Value| serde_json::from_str(line["leaf"].as_str().expect("a leaf")).expect("a record");
        lines.lines().iter().map(leaf).collect()
    }
}

/// The secret of a new key.
fn text_of(made: &Value) -> String {
    made["key"].as_str().expect("a key").to_owned()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

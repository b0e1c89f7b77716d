//! The daemon under measurement: the built program as a child process, with folders of its own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Fault;
use super::machine::{self, Usage};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_toolctl");

/// The most traffic and connections that a daemon can be told to take: no measurement shall meet a limit.
const CONFIG: &str = "[server]
most_connections = 1000000

[limits]
rate_per_minute = 1000000
burst = 1000000
pending_per_principal = 10000
";

/// How long a daemon may take to be ready, or to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a daemon that starts is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_micros(200);

/// A running daemon. It is killed when dropped.
pub struct Daemon {
    child: Child,
    home: PathBuf,
    /// From the start of the process until it answered.
    pub ready: Duration,
}

impl Daemon {
    /// Starts it on the folders in `home`, which are made if need be.
    ///
    /// # Errors
    /// When it does not get ready; with what it said.
    pub fn start(home: &Path) -> Result<Self, Fault> {
        fs::create_dir_all(config_in(home))?;
        fs::write(config_in(home).join("toolctl.toml"), CONFIG)?;
        let log = File::create(home.join("log"))?;
        let mut command = Command::new(PROGRAM);
        command.arg("serve").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let begun = Instant::now();
        let child = at_home(&mut command, home).spawn()?;
        let mut daemon = Self { child, home: home.to_owned(), ready: Duration::ZERO };
        while daemon.get("/health").is_err() {
            if daemon.child.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                let said = fs::read_to_string(home.join("log")).unwrap_or_default();
                return Err(format!("the daemon did not get ready: {said}").into());
            }
            std::thread::sleep(ASK_EVERY);
        }
        daemon.ready = begun.elapsed();
        Ok(daemon)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.home)
    }

    /// What it used so far.
    ///
    /// # Errors
    /// When it is gone.
    pub fn usage(&self) -> Result<Usage, Fault> {
        Usage::of(self.child.id())
    }

    /// How long its threads were on a processor so far, to the nanosecond.
    ///
    /// # Errors
    /// When it is gone.
    pub fn on_cpu(&self) -> Result<Duration, Fault> {
        machine::on_cpu(self.child.id())
    }

    /// Its resident memory in megabytes of 10⁶ bytes.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resident(&self) -> Result<f64, Fault> {
        Ok(machine::resident(self.child.id())? as f64 / 1e6)
    }

    /// Records in its log.
    ///
    /// # Errors
    /// When it does not say.
    pub fn records(&self) -> Result<u64, Fault> {
        let status: Value = serde_json::from_str(&self.get("/v1/status")?)?;
        status.get("records").and_then(Value::as_u64).ok_or_else(|| format!("no `records` in {status}").into())
    }

    /// One request on a connection of its own; gives the body of a success.
    ///
    /// # Errors
    /// When there is no success.
    pub fn get(&self, path: &str) -> Result<String, Fault> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
    }

    /// One call of a tool on a connection of its own; gives the body of a success.
    ///
    /// # Errors
    /// When there is no success.
    pub fn call(&self, tool: &str, arguments: &str) -> Result<String, Fault> {
        let length = arguments.len();
        self.ask(&format!(
            "POST /tools/{tool} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{arguments}"
        ))
    }

    fn ask(&self, request: &str) -> Result<String, Fault> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        if head.starts_with("HTTP/1.1 2") { Ok(body.to_owned()) } else { Err(answer.into()) }
    }

    /// Stops it as an operator would, and waits until it is gone.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(mut self) -> Result<(), Fault> {
        let pid = Pid::from_raw(self.child.id().try_into()?).ok_or("the daemon has no process id")?;
        kill_process(pid, Signal::TERM)?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                return Err("the daemon did not stop".into());
            }
            std::thread::sleep(ASK_EVERY);
        }
        Ok(())
    }

    /// Ends it without warning, as a crash would.
    ///
    /// # Errors
    /// When it was gone already.
    pub fn kill(mut self) -> Result<(), Fault> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configuration folder.
pub fn config_in(home: &Path) -> PathBuf {
    home.join("config")
}

/// The state folder.
pub fn data_in(home: &Path) -> PathBuf {
    home.join("data")
}

/// The socket.
fn socket_in(home: &Path) -> PathBuf {
    home.join("socket").join("s")
}

/// Makes a command look for everything in `home`.
pub fn at_home<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    for name in ["TOOLCTL_KEY", "TOOLCTL_KEY_FILE", "API_KEY", "ALLOWED_TOOLS"] {
        command.env_remove(name);
    }
    command
        .env("TOOLCTL_CONFIG_DIR", config_in(home))
        .env("TOOLCTL_DATA_DIR", data_in(home))
        .env("TOOLCTL_SOCKET", socket_in(home))
}

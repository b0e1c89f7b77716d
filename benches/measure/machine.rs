//! What the kernel says about the machine and about a process.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::Fault;
use super::options::Options;

/// `USER_HZ`: what the times in `/proc/<pid>/stat` are counted in on every Linux that has a libc.
const TICKS_PER_SECOND: u64 = 100;

/// On what a run was made: figures without this say little.
pub struct Facts {
    cores: usize,
    cpu: String,
    kernel: String,
    file_system: String,
    load: String,
    commit: String,
    command: String,
}

/// Looks at the machine.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn facts(options: &Options) -> Result<Facts, Fault> {
    let folder = options.folder()?;
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let mut command = "cargo bench --bench measure".to_owned();
    let arguments: Vec<String> =
        [options.quick.then(|| "--quick".to_owned()), options.json.then(|| "--json".to_owned())]
            .into_iter()
            .flatten()
            .chain(options.names.iter().cloned())
            .collect();
    if !arguments.is_empty() {
        command = format!("{command} -- {}", arguments.join(" "));
    }
    Ok(Facts {
        cores: std::thread::available_parallelism()?.get(),
        cpu: cpu.trim_matches([' ', '\t', ':']).to_owned(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .split('-')
            .next()
            .unwrap_or_default()
            .to_owned(),
        file_system: file_system(folder.path())?,
        load: fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default().to_owned(),
        commit: commit(),
        command,
    })
}

impl Facts {
    /// For machines.
    pub fn json(&self) -> Value {
        json!({
            "cores": self.cores, "cpu": self.cpu, "kernel": self.kernel, "file_system": self.file_system,
            "load_before": self.load, "commit": self.commit, "command": self.command,
        })
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, cpu, kernel, file_system, load, commit, command } = self;
        write!(
            f,
            "{cores} cores ({cpu}), Linux {kernel}, {file_system}, load before {load}, commit {commit}\n`{command}`"
        )
    }
}

/// The file system of the longest mount point above `folder`.
fn file_system(folder: &Path) -> Result<String, Fault> {
    let folder = folder.canonicalize()?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let best = mounts.filter(|(point, _)| folder.starts_with(point)).max_by_key(|(point, _)| point.len());
    Ok(best.map_or("unknown file system", |(_, kind)| kind).to_owned())
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "--short", "HEAD"]), git(&["status", "--porcelain", "--untracked-files=no"])) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit} with changes"),
        (None, _) => "unknown".to_owned(),
    }
}

/// What a process used since it began.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// In user and kernel mode, of all threads.
    pub cpu: Duration,
    /// Bytes it caused to be sent to the storage layer.
    pub written: u64,
}

impl Usage {
    /// Of a process.
    ///
    /// # Errors
    /// When it is gone.
    pub fn of(pid: u32) -> Result<Self, Fault> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field is the name in brackets, and may hold anything.
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let cpu = Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND);
        Ok(Self { cpu, written: written(&format!("/proc/{pid}/io"))? })
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(earlier.cpu), written: self.written.saturating_sub(earlier.written) }
    }
}

/// How long the threads that a process has now were on a processor (`schedstat` of proc(5), the first field).
///
/// # Errors
/// When it is gone.
pub fn on_cpu(pid: u32) -> Result<Duration, Fault> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while it is looked for.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanoseconds += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Bytes that the calling thread caused to be sent to the storage layer.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn written_by_this_thread() -> Result<u64, Fault> {
    written("/proc/thread-self/io")
}

fn written(file: &str) -> Result<u64, Fault> {
    field(&fs::read_to_string(file)?, "write_bytes:").ok_or_else(|| format!("no `write_bytes` in `{file}`").into())
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// When it is gone.
pub fn resident(pid: u32) -> Result<u64, Fault> {
    let file = format!("/proc/{pid}/status");
    let kilobytes = field(&fs::read_to_string(&file)?, "VmRSS:").ok_or_else(|| format!("no `VmRSS` in `{file}`"))?;
    Ok(kilobytes * 1_024)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

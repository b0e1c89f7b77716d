//! What one run measures, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use super::Fault;

/// The argument on which this program is the one that does nothing (see [`super::client`]).
pub const BARE: &str = "--bare";

/// What the arguments ask for.
pub enum Asked {
    /// Nothing: this is no `cargo bench`, but for example `cargo test --all-targets`.
    Nothing,
    /// To be the program that does nothing.
    Bare,
    /// To measure.
    Run(Options),
}

/// Counts and spans.
pub struct Options {
    /// Measurements to make; all when empty.
    pub names: Vec<String>,
    /// Print JSON instead of a table.
    pub json: bool,
    /// Where stores are made; the temporary folder otherwise. What is measured is this folder's file system.
    pub dir: Option<PathBuf>,
    /// The small set.
    pub quick: bool,
    /// How often each measurement is made; the median counts.
    pub rounds: usize,
    /// How long each one runs.
    pub slice: Duration,
    /// Records in the log of a grown store.
    pub records: u64,
    /// How often a program is started and timed.
    pub starts: usize,
}

/// Reads the arguments.
///
/// # Errors
/// When one is unknown.
pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Asked, Fault> {
    let (mut is_bench, mut quick, mut json, mut dir, mut names) = (false, false, false, None, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            BARE => return Ok(Asked::Bare),
            "--bench" => is_bench = true,
            "--quick" => quick = true,
            "--json" => json = true,
            "--dir" => dir = Some(PathBuf::from(arguments.next().ok_or("`--dir` needs a folder")?)),
            flag if flag.starts_with('-') => {
                return Err(format!("unknown option `{flag}`; there are `--quick`, `--json` and `--dir`").into());
            }
            name => names.push(name.to_owned()),
        }
    }
    if !is_bench {
        return Ok(Asked::Nothing);
    }
    let (rounds, slice, records, starts) = if quick {
        (3, Duration::from_millis(400), 100_000, 50)
    } else {
        (5, Duration::from_millis(2_000), 1_000_000, 200)
    };
    Ok(Asked::Run(Options { names, json, dir, quick, rounds, slice, records, starts }))
}

impl Options {
    /// A new folder for a store.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self) -> Result<tempfile::TempDir, Fault> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("m");
        Ok(match &self.dir {
            Some(dir) => builder.tempdir_in(dir)?,
            None => builder.tempdir()?,
        })
    }
}

//! The measurements: what a governed, durable call costs, next to what the same machine can do at all. Every
//! goal is a ratio between two figures of one run, and the baselines are in here, so that anyone can see
//! both sides of it:
//!
//! * A: a bare HTTP/1.1 echo over a Unix socket, which is also the ceiling of the load generator;
//! * B: a bare group commit of rows of the same number and size in the same database;
//! * C: one such commit, alone;
//! * D: `curl` with the same call, and a program that does nothing but read its arguments.
//!
//! `cargo bench --bench measure [-- --quick | --json | --dir FOLDER | NAME…]`, where a name is that of a group
//! below or a goal such as `S1`. Goals that are not met are told and fail nothing: only an error does.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[path = "measure/mod.rs"]
mod measure;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    measure::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    // What it reads of a process (its CPU time, memory and disk bytes) is in `/proc`.
    ExitCode::SUCCESS
}

//! How often a call waits for the disk, counted by strace and not by a clock: one durable wait for a built-in
//! or read-only call, at most two where people decide as well.

use std::process::Command;

use serde_json::json;

use crate::http::{ask, decision, tool};
use crate::support::{Daemon, until};

/// strace on a running daemon; none when it is not installed or not allowed.
struct Trace {
    strace: std::process::Child,
    log: std::path::PathBuf,
}

impl Trace {
    fn of(daemon: &Daemon) -> Option<Self> {
        let log = daemon.dir().join("trace");
        let pid = daemon.pid().to_string();
        let started = Command::new("strace")
            .args(["-f", "-qq", "-y", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-p", &pid, "-o"])
            .arg(&log)
            .stderr(std::process::Stdio::null())
            .spawn();
        let Ok(mut strace) = started else { return skipped("strace is not installed") };
        let traced = until(|| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let attached = status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
            let ended = strace.try_wait().is_ok_and(|ended| ended.is_some());
            (attached || ended).then_some(attached)
        });
        if !traced {
            return skipped("strace may not attach here");
        }
        // Each thread is attached by itself: all of them, or the count would be too small.
        until(|| {
            let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
            let all = threads.flatten().all(|thread| {
                let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                !status.contains("TracerPid:\t0\n")
            });
            all.then_some(())
        });
        Some(Self { strace, log })
    }

    fn count(&self) -> usize {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().filter(|line| line.contains("sync(") && !line.contains("resumed")).count()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _gone = self.strace.kill();
        let _reaped = self.strace.wait();
    }
}

/// Locally a machine without strace may skip; in CI that would be a test that cannot fail.
fn skipped(why: &str) -> Option<Trace> {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{why}, and in CI this test must run");
    println!("SKIPPED: {why}");
    None
}

const ROUNDS: usize = 20;

#[test]
fn a_call_waits_once_for_the_disk_and_one_with_people_at_most_twice_a_step() {
    let daemon = Daemon::unhurried();
    let (agents, anna): (Vec<_>, _) =
        ((0..ROUNDS).map(|n| daemon.agent(&format!("bot{n}"))).collect(), daemon.approver("anna"));
    let Some(trace) = Trace::of(&daemon) else { return };
    let per_call = |what: &str, most: usize, mut run: Box<dyn FnMut(usize) + '_>| {
        let before = trace.count();
        (0..ROUNDS).for_each(&mut run);
        let waits = trace.count() - before;
        println!("{what}: {waits} durable waits in {ROUNDS} rounds");
        assert!(waits >= 1, "{what}: a count of none means that the trace sees nothing");
        // A few of the daemon's own (a sweep, a checkpoint) may fall into the time.
        assert!(waits <= most * ROUNDS + 3, "{what}: {waits} durable waits in {ROUNDS} rounds, at most {most} each");
    };
    let ticket = |round: usize| json!({"customer_id": 1, "title": format!("Ticket {round}")});
    per_call(
        "create_ticket",
        1,
        Box::new(|round| {
            tool(&daemon, "create_ticket", &ticket(round)).once(&format!("t{round}")).send().is(200);
        }),
    );
    per_call(
        "search_customer",
        1,
        Box::new(|_| {
            tool(&daemon, "search_customer", &json!({"query": "a"})).send().is(200);
        }),
    );
    per_call(
        "denied",
        1,
        Box::new(|_| {
            tool(&daemon, "nothing", &json!({})).send().is(404);
        }),
    );
    // Asked, decided, run: each is one fact that must not be lost.
    per_call(
        "approved",
        3,
        Box::new(|round| {
            let call = ask(&daemon, &agents[round], "k", &format!("Status {round}"));
            decision(&daemon, &call, "approve").key(&anna).send().is(200);
        }),
    );
    let before = trace.count();
    for round in 0..ROUNDS {
        let replay = tool(&daemon, "create_ticket", &ticket(round)).once(&format!("t{round}")).send();
        assert_eq!(replay.header("idempotent-replayed"), "true");
    }
    assert!(trace.count() - before <= 3, "a replay has nothing to write");
}

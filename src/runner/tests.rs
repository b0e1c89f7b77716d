//! Drivers that are small scripts: what they are started with, what becomes of their ends, and that none is left.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::authn::key::Pepper;
use crate::authn::{LocalUser, Schemes};
use crate::domain::json::Canonical;
use crate::domain::run::{Detached, Run, RunEnd, RunVerdict};
use crate::domain::time::Timestamp;
use crate::guard::quota::{Limiter, QuotaSettings};
use crate::pipeline::port::Log as _;
use crate::store::memory::MemoryStore;

const PEER: Credential = Credential::Peer(7);

struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

struct World {
    runners: ProcessRunners,
    store: Arc<MemoryStore>,
    folder: tempfile::TempDir,
    principal: PrincipalId,
    id: RunId,
}

impl World {
    /// A run that was left with this credential, and what drives it in place of the program.
    async fn new(script: &str, known: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("driver");
        write_program(&program, &format!("#!/bin/sh\ncd {}\necho >> starts\n{script}\n", folder.path().display()));
        Self::of(folder, program, known).await
    }

    async fn of(folder: tempfile::TempDir, program: PathBuf, known: u32) -> Self {
        let own = LocalUser { uid: known, groups: BTreeSet::new(), may_self_approve: false };
        let quota = QuotaSettings { per_minute: 10, burst: 10, most_principals: 10 };
        let mut byte = 0_u8;
        let random = Box::new(move || {
            byte = byte.wrapping_add(1);
            byte
        });
        let authn = Schemes::new(Pepper::new([1; 32]), None, vec![own], Vec::new(), Limiter::new(quota), random);
        let store = Arc::new(MemoryStore::new());
        let (principal, id): (PrincipalId, RunId) = ("os:7".parse().unwrap(), "r".parse().unwrap());
        let at = Timestamp::from_micros(1);
        let record = |kind| AuditRecord::new(kind, at);
        let run = Run {
            principal: principal.clone(),
            id: id.clone(),
            workflow: "w".to_owned(),
            plan: Canonical::of(&serde_json::json!({})),
            began_at: at,
            end: None,
            detached: None,
        };
        store.begin_run(run, record(RecordType::RunBegun)).await.unwrap();
        let detached = Detached { credential: PEER, at };
        store.detach_run(principal.clone(), id.clone(), detached, record(RecordType::RunDetached)).await.unwrap();
        let runners = ProcessRunners::new(Means {
            program,
            socket: "/the/socket".into(),
            runs: store.clone(),
            authn: Arc::new(authn),
            clock: Arc::new(Ticking(AtomicI64::new(2))),
        });
        Self { runners, store, folder, principal, id }
    }

    fn drive(&self) {
        self.runners.drive(&self.principal, &self.id, &PEER);
    }

    async fn until<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        for _ in 0..6_000 {
            if let Some(found) = look(self) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not happen within a minute; it stands at {:?}", self.standing());
    }

    fn standing(&self) -> Option<Standing> {
        self.runners.standing(&self.principal, &self.id)
    }

    fn said(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join(file)).ok()
    }

    fn starts(&self) -> usize {
        self.said("starts").unwrap_or_default().len()
    }
}

/// Written by another process: a program that this one has open for writing while another test forks cannot be
/// started.
fn write_program(path: &Path, text: &str) {
    let made = std::process::Command::new("sh")
        .args(["-c", "printf %s \"$2\" > \"$1\" && chmod 700 \"$1\"", "sh"])
        .arg(path)
        .arg(text)
        .status();
    assert!(made.unwrap().success());
}

#[tokio::test]
async fn a_driver_is_told_what_to_drive_and_nothing_else_and_is_over_when_it_says_so() {
    let script = "printf '%s\\n' \"$@\" > args; env | sort > env; IFS= read -r token; echo \"$token\" > token; exit 0";
    let world = World::new(script, 7).await;
    let end = RunEnd {
        verdict: RunVerdict::Failed,
        detail: Canonical::of(&serde_json::json!({})),
        at: Timestamp::from_micros(3),
    };
    let record = AuditRecord::new(RecordType::RunEnded, Timestamp::from_micros(3));
    world.store.end_run(world.principal.clone(), world.id.clone(), end, record).await.unwrap();
    world.drive();
    world.until(|world| (world.runners.driven() == 0).then_some(())).await;
    let args = world.said("args").unwrap();
    let wanted = ["run", "--run", "r", "--owned", "--no-input", "--output", "json", "--socket", "/the/socket"];
    assert_eq!(args.lines().collect::<Vec<_>>(), wanted);
    let env = world.said("env").unwrap();
    let names: BTreeSet<&str> = env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // The shell itself sets the others.
    let of_shell = BTreeSet::from(["PWD", "OLDPWD", "SHLVL", "_"]);
    assert!(names.is_subset(&of_shell), "{names:?}");
    let token = world.said("token").unwrap();
    assert!(token.starts_with("tctl_token_") && !env.contains("tctl_"), "it is said on its stdin and nowhere else");
    assert_eq!(world.store.detached().await, Ok(vec![]), "nothing is left to do for it");
    assert_eq!(world.store.frontier().await.unwrap().size(), 4, "and that is a record");
}

#[tokio::test]
async fn a_driver_that_cannot_go_on_says_why_and_is_started_again() {
    let script = "[ $(wc -l < starts) -gt 2 ] && exit 0; echo '{\"error\":{\"message\":\"`t` is gone\"}}' >&2; exit 2";
    let world = World::new(script, 7).await;
    world.drive();
    let why = world.until(|world| match world.standing() {
        Some(Standing::Resting { why, .. }) => Some(why),
        _ => None,
    });
    assert_eq!(why.await, "`t` is gone");
    // Whoever asks for it again ends the pause.
    world.drive();
    world.until(|world| (world.starts() == 2).then_some(())).await;
    world.until(|world| matches!(world.standing(), Some(Standing::Resting { .. })).then_some(())).await;
    world.until(|world| (world.runners.driven() == 0).then_some(())).await;
    assert_eq!(world.starts(), 3);
}

#[tokio::test]
async fn a_driver_that_cannot_be_started_or_is_killed_is_told_as_such() {
    let world = World::new("kill -9 $$", 7).await;
    world.drive();
    let why = |world: &World| match world.standing() {
        Some(Standing::Resting { why, .. }) => Some(why),
        _ => None,
    };
    assert_eq!(world.until(why).await, "it was killed");
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    let world = World::of(folder, gone, 7).await;
    world.drive();
    let said = world.until(why).await;
    assert!(said.starts_with("it cannot be started: No such file"), "{said}");
}

#[tokio::test]
async fn what_nobody_stands_for_is_not_driven() {
    let world = World::new("exit 0", 8).await;
    world.drive();
    let why = world.until(|world| match world.standing() {
        Some(Standing::Stopped { why }) => Some(why),
        _ => None,
    });
    assert_eq!(why.await, "what it was left with (uid:7) is no longer good");
    assert_eq!(world.starts(), 0);
    world.runners.let_go(&world.principal, &world.id);
    world.until(|world| (world.runners.driven() == 0).then_some(())).await;
    assert_eq!(world.store.detached().await.unwrap().len(), 1, "whoever has another key can leave it again");
}

#[tokio::test]
async fn a_driver_ends_with_its_line_and_one_that_does_not_is_killed() {
    for script in ["cat; echo cut > cut", "trap '' TERM HUP INT; while :; do sleep 0.1; done"] {
        let world = World::new(&format!("echo $$ > pid; {script}"), 7).await;
        world.drive();
        let pid = world.until(|world| world.said("pid").filter(|pid| pid.ends_with('\n'))).await;
        world.runners.close().await;
        assert_eq!((world.runners.driven(), world.starts()), (0, 1));
        assert_eq!(world.said("cut").is_some(), script.starts_with("cat"));
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "it is gone");
        world.drive();
        assert_eq!(world.runners.driven(), 0, "a daemon that stops drives nothing more");
    }
}

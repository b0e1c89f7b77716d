//! L3, driving runs of workflows that were left to the daemon. A driver is this very program again, as a client of the
//! daemon: `toolctl run --run RUN --owned`, with its stdin as the line by which it hangs. The first thing that is said
//! on it is a token that stands for whoever left the run; nothing else is. When it breaks, because the daemon stops,
//! crashes or lets go of the run, the driver ends at once, so a run never has two of them for longer than a moment;
//! that would be harmless, as keys are.
//!
//! A driver that could not bring its run to an end is started again, at first soon, then less often: whatever was in its
//! way, a tool that is gone or a call in doubt, may be put right by somebody meanwhile, and what is done is not done
//! again.

mod process;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::id::{PrincipalId, RunId};
use crate::domain::principal::Credential;
use crate::pipeline::port::{Authenticator, Clock, Runners, Runs, Standing, Wait};

use process::Driver;

/// The pause before a driver is started again; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A driver that worked for so long had nothing in its way: pauses begin anew.
const GOOD_TURN: Duration = Duration::from_secs(60);
/// How long all drivers together may take to end when the daemon stops.
const LAST_MOMENT: Duration = Duration::from_secs(5);

/// Drives runs by processes.
pub struct ProcessRunners(Arc<Shared>);

/// What drivers need.
pub struct Means {
    /// The program to start.
    pub program: PathBuf,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// Where runs are remembered.
    pub runs: Arc<dyn Runs>,
    /// Who lends tokens.
    pub authn: Arc<dyn Authenticator>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

struct Shared {
    means: Means,
    state: Mutex<State>,
    /// A run is driven no more.
    less: Notify,
}

#[derive(Default)]
struct State {
    driven: BTreeMap<Name, Driven>,
    is_closed: bool,
}

/// Whose run, and which.
type Name = (PrincipalId, RunId);

struct Driven {
    standing: Option<Standing>,
    wish: watch::Sender<Wish>,
}

/// What is wanted of a run, as it was said last.
#[derive(Clone)]
struct Wish {
    credential: Credential,
    is_over: bool,
}

/// What came of one driver.
enum Turn {
    /// There is nothing left to do.
    Over,
    /// It was ended because something else is wanted.
    Ended,
    /// It could not go on.
    CouldNot(String),
}

impl ProcessRunners {
    /// Drives nothing yet.
    pub fn new(means: Means) -> Self {
        Self(Arc::new(Shared { means, state: Mutex::default(), less: Notify::new() }))
    }
}

impl Runners for ProcessRunners {
    fn drive(&self, principal: &PrincipalId, id: &RunId, credential: &Credential) {
        let wish = Wish { credential: credential.clone(), is_over: false };
        let name = (principal.clone(), id.clone());
        let mut state = self.0.state();
        if state.is_closed {
            return;
        }
        match state.driven.get(&name) {
            Some(driven) => {
                driven.wish.send_replace(wish);
            }
            None => {
                let (wish, wishes) = watch::channel(wish);
                state.driven.insert(name.clone(), Driven { standing: None, wish });
                tokio::spawn(Arc::clone(&self.0).watch_over(name, wishes));
            }
        }
    }

    fn let_go(&self, principal: &PrincipalId, id: &RunId) {
        if let Some(driven) = self.0.state().driven.get(&(principal.clone(), id.clone())) {
            driven.end();
        }
    }

    fn standing(&self, principal: &PrincipalId, id: &RunId) -> Option<Standing> {
        self.0.state().driven.get(&(principal.clone(), id.clone()))?.standing.clone()
    }

    fn driven(&self) -> usize {
        self.0.state().driven.len()
    }

    fn close(&self) -> Wait<'_, ()> {
        Box::pin(async {
            {
                let mut state = self.0.state();
                state.is_closed = true;
                state.driven.values().for_each(Driven::end);
            }
            let emptied = async {
                loop {
                    let less = self.0.less.notified();
                    if self.driven() == 0 {
                        return;
                    }
                    less.await;
                }
            };
            if tokio::time::timeout(LAST_MOMENT, emptied).await.is_err() {
                tracing::warn!("what drives runs does not end; it will when this daemon is gone");
            }
        })
    }
}

impl Driven {
    fn end(&self) {
        self.wish.send_modify(|wish| wish.is_over = true);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stand(&self, name: &Name, standing: Standing) {
        if let Some(driven) = self.state().driven.get_mut(name) {
            driven.standing = Some(standing);
        }
    }

    /// Starts one driver of a run after another until there is nothing left to do, or nobody wants it any more.
    async fn watch_over(self: Arc<Self>, name: Name, mut wishes: watch::Receiver<Wish>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let wish = wishes.borrow_and_update().clone();
            if wish.is_over {
                if self.forget(&name, &wishes) {
                    return;
                }
                continue;
            }
            let begun = Instant::now();
            let why = match self.turn(&name, &wish.credential, &mut wishes).await {
                Turn::Ended => continue,
                Turn::Over => {
                    self.release(&name).await;
                    if self.forget(&name, &wishes) {
                        return;
                    }
                    continue;
                }
                Turn::CouldNot(why) => why,
            };
            if begun.elapsed() >= GOOD_TURN {
                pause = FIRST_PAUSE;
            }
            let now = self.means.clock.now();
            if self.means.authn.recall(&wish.credential, now).is_none() {
                let why = format!("what it was left with ({}) is no longer good", wish.credential);
                tracing::info!(run = %name.1, %why, "a run is not driven any more");
                self.stand(&name, Standing::Stopped { why });
                // Ended by a wish, of which the sender lives as long as the run is driven.
                let _changed = wishes.changed().await;
                continue;
            }
            tracing::info!(run = %name.1, %why, "what drives a run could not go on");
            self.stand(&name, Standing::Resting { why, until: now.plus(pause) });
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                _ = wishes.changed() => pause = FIRST_PAUSE,
            }
        }
    }

    /// One driver, from its start to its end.
    async fn turn(&self, name: &Name, credential: &Credential, wishes: &mut watch::Receiver<Wish>) -> Turn {
        let now = self.means.clock.now();
        let Some(token) = self.means.authn.lend(credential, now) else {
            return Turn::CouldNot(String::new());
        };
        let turn = match Driver::start(&self.means, &name.1, &token).await {
            Err(error) => Turn::CouldNot(format!("it cannot be started: {error}")),
            Ok(mut driver) => {
                self.stand(name, Standing::Running { since: now });
                tokio::select! {
                    turn = driver.ended() => turn,
                    () = other_wish(credential, wishes) => {
                        driver.end().await;
                        Turn::Ended
                    }
                }
            }
        };
        self.means.authn.take_back(&token);
        turn
    }

    async fn release(&self, name: &Name) {
        let record = AuditRecord::new(RecordType::RunReleased, self.means.clock.now()).detail("run", name.1.as_str());
        let record = AuditRecord { actor: Some(name.0.clone()), ..record };
        if let Err(why) = self.means.runs.release_run(name.0.clone(), name.1.clone(), record).await {
            tracing::warn!(run = %name.1, %why, "it is not noted that nothing is left to do; the next daemon looks again");
        }
    }

    /// Drives a run no more, unless that is wanted again since it was last asked.
    fn forget(&self, name: &Name, wishes: &watch::Receiver<Wish>) -> bool {
        let mut state = self.state();
        if wishes.has_changed().unwrap_or(false) && !wishes.borrow().is_over {
            return false;
        }
        state.driven.remove(name);
        self.less.notify_waiters();
        true
    }
}

/// Waits until something else is wanted than to drive with this credential.
async fn other_wish(credential: &Credential, wishes: &mut watch::Receiver<Wish>) {
    // The sender lives as long as the run is driven.
    let _gone = wishes.wait_for(|wish| wish.is_over || wish.credential != *credential).await;
}

#[cfg(test)]
mod tests;

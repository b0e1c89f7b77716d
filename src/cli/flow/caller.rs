//! One call of a run, until it has ended or nobody can say when it will. Whatever is sent is sent with a key that
//! the run gave it, so every answer that was lost can be asked for again and nothing happens twice: the daemon's
//! record of keys is the run's journal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep};

use super::definition::Retry;
use crate::api::calls::{self, Call, NewCall, ShowCall};
use crate::api::endpoint::Endpoint;
use crate::api::problem::Problem;
use crate::cli::error::{CliError, Exit};
use crate::cli::outcome;
use crate::client::{Client, ClientError};
use crate::domain::denial::Code;
use crate::domain::outcome::Effect;

/// How long a daemon that is gone may take to come back.
const DAEMON_PATIENCE: Duration = Duration::from_secs(10);
/// How long a rate limit is waited for.
const LIMIT_PATIENCE: Duration = Duration::from_secs(600);
/// Between two knocks.
const KNOCK: Duration = Duration::from_millis(100);
/// How long a call may run when its step does not say.
const USUAL_TIMEOUT: Duration = Duration::from_secs(600);
/// One question of a long wait: below what daemon and network give up after.
const POLL: Duration = Duration::from_secs(25);
/// How much longer than the wait itself an answer to it may take.
const MARGIN: Duration = Duration::from_secs(10);
/// The longest pause between two attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// A call to be made, and how.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What is sent, with the key of the first attempt.
    pub call: NewCall,
    /// The key is the run's own, so that other arguments under it mean that the run has changed.
    pub is_of_run: bool,
    /// How often it is made again when it failed.
    pub retry: Option<Retry>,
    /// How long it may run.
    pub timeout: Duration,
    /// Making it again is harmless, whatever the first time did.
    pub is_harmless: bool,
}

impl Wanted {
    /// The time a call may run when its step does not say.
    pub fn timeout(said: Option<Duration>) -> Duration {
        said.unwrap_or(USUAL_TIMEOUT)
    }

    /// The key under which it is sent.
    pub fn key(&self) -> &str {
        self.call.idempotency_key.as_deref().unwrap_or_default()
    }
}

/// What became of a call.
#[derive(Debug, Clone)]
pub enum Ended {
    /// It succeeded.
    Done(Call),
    /// It ended otherwise, or was refused; nothing more will come of it.
    Failed(CliError, Option<Call>),
    /// It has not ended, or nobody knows: the run can go on later.
    Open(CliError, Option<Call>),
}

/// Makes calls.
#[derive(Debug)]
pub struct Caller {
    /// The daemon.
    pub client: Arc<Client>,
    /// How long an answer may take.
    pub answer_within: Duration,
    /// How long people may take.
    pub people: Duration,
}

/// Says that a call waits for people, while it does.
pub type Waits = UnboundedSender<(usize, Call)>;

impl Caller {
    /// Makes a call, again if it failed and that is allowed; `place` is the step's, named when it waits.
    pub async fn make(&self, mut wanted: Wanted, place: usize, waits: &Waits) -> Ended {
        let first = wanted.key().to_owned();
        let attempts = wanted.retry.map_or(1, |retry| retry.attempts);
        let mut pause = wanted.retry.map_or(Duration::ZERO, |retry| retry.backoff);
        let mut attempt = 1;
        loop {
            let ended = self.settle(&wanted, place, waits).await;
            let again = matches!(&ended, Ended::Failed(_, Some(call)) if may_repeat(call, &wanted));
            if !again || attempt >= attempts {
                return ended;
            }
            // What was answered long ago needs no pause.
            if !matches!(&ended, Ended::Failed(_, Some(call)) if call.replayed) {
                sleep(pause).await;
            }
            pause = (pause * 2).min(LONGEST_BACKOFF);
            attempt += 1;
            wanted.call.idempotency_key = Some(format!("{first}~{attempt}"));
        }
    }

    /// Carries out an operation that is harmless to repeat, however often its answer is lost.
    ///
    /// # Errors
    /// The daemon's own, and when it stays away.
    pub async fn ask<E: Endpoint>(&self, request: &E::Request) -> Result<E::Reply, CliError> {
        let mut patience = Patience::new(Duration::ZERO, USUAL_TIMEOUT);
        loop {
            match self.client.send::<E>(request, self.answer_within).await {
                Ok(reply) => return Ok(reply),
                Err(error) => match patience.after(&error) {
                    Some(pause) => sleep(pause).await,
                    None => return Err(error.into()),
                },
            }
        }
    }

    /// One attempt, asked for under its key until there is an answer.
    async fn settle(&self, wanted: &Wanted, place: usize, waits: &Waits) -> Ended {
        let mut patience = Patience::new(self.people, wanted.timeout);
        loop {
            let within = self.answer_within.min(patience.left_to_run());
            let sent = self.client.send::<calls::Create>(&wanted.call, within).await;
            let followed = match sent {
                Ok(call) => {
                    patience.found();
                    self.follow(call, &mut patience, place, waits).await
                }
                Err(error) => Err(error),
            };
            match followed {
                Ok(call) => return ended(call),
                Err(error) => match patience.after(&error) {
                    Some(pause) => sleep(pause).await,
                    None => return refused(error, wanted),
                },
            }
        }
    }

    /// Waits for the end of a call: for people as long as they are given, for the tool as long as it may run.
    async fn follow(
        &self,
        mut call: Call,
        patience: &mut Patience,
        place: usize,
        waits: &Waits,
    ) -> Result<Call, ClientError> {
        let mut told = false;
        while !outcome::is_final(&call) {
            let is_running = call.state == "running";
            let left = if is_running { patience.left_to_run() } else { patience.left_for_people() };
            if !is_running {
                patience.idle();
            }
            if !is_running && !told {
                // Nobody may be listening any more.
                let _gone = waits.send((place, call.clone()));
                told = true;
            }
            if left.is_zero() {
                break;
            }
            let question = left.min(POLL);
            let show = ShowCall { id: call.id.clone(), wait: Some(format!("{}ms", question.as_millis().max(1))) };
            let asked = Instant::now();
            let replayed = call.replayed;
            call = self.client.send::<calls::Show>(&show, question + MARGIN).await?;
            call.replayed = replayed;
            // A daemon that answers at once although nothing ended must not be asked in a tight loop.
            if !outcome::is_final(&call) && asked.elapsed() < KNOCK {
                sleep(KNOCK.min(left)).await;
            }
        }
        Ok(call)
    }
}

/// How long each thing is waited for.
struct Patience {
    started: Instant,
    /// Since when the tool may have been running: what people, limits and a daemon that is gone took is not its fault.
    running_since: Instant,
    gone_since: Option<Instant>,
    people: Duration,
    timeout: Duration,
}

impl Patience {
    fn new(people: Duration, timeout: Duration) -> Self {
        let now = Instant::now();
        Self { started: now, running_since: now, gone_since: None, people, timeout }
    }

    fn left_for_people(&self) -> Duration {
        self.people.saturating_sub(self.started.elapsed())
    }

    fn left_to_run(&self) -> Duration {
        self.timeout.saturating_sub(self.running_since.elapsed())
    }

    /// The daemon has answered.
    fn found(&mut self) {
        self.gone_since = None;
    }

    /// It does not run yet.
    fn idle(&mut self) {
        self.running_since = Instant::now();
    }

    /// How long to wait before the same is sent again; none when that would not help.
    fn after(&mut self, error: &ClientError) -> Option<Duration> {
        match error {
            ClientError::Problem(problem) => self.after_problem(problem),
            ClientError::NotRunning { .. } | ClientError::Unreachable { .. } | ClientError::Broken { .. } => {
                self.knock()
            }
            // The call goes on without us; asking again attaches to it.
            ClientError::Timeout { .. } => (!self.left_to_run().is_zero()).then_some(KNOCK),
            ClientError::Foreign { .. } => None,
        }
    }

    fn after_problem(&mut self, problem: &Problem) -> Option<Duration> {
        let told = Duration::from_secs(problem.retry_after.unwrap_or(1));
        match problem.known_code()? {
            Code::RateLimited | Code::Overloaded => {
                self.idle();
                (self.started.elapsed() < self.people + LIMIT_PATIENCE).then_some(told)
            }
            Code::IdempotencyInProgress => (!self.left_to_run().is_zero()).then_some(KNOCK),
            // People have enough to decide: that ends when they do. Each no is a record, so the longer it takes, the
            // less often it is asked.
            Code::CircuitOpen => {
                self.idle();
                (!self.left_for_people().is_zero()).then(|| told.min((self.started.elapsed() / 4).max(POLL / 10)))
            }
            Code::ShuttingDown => self.knock(),
            _ => None,
        }
    }

    fn knock(&mut self) -> Option<Duration> {
        self.idle();
        let since = *self.gone_since.get_or_insert_with(Instant::now);
        (since.elapsed() < DAEMON_PATIENCE).then_some(KNOCK)
    }
}

/// Whether a call that failed may be made again under another key: when nothing happened, or again is harmless.
fn may_repeat(call: &Call, wanted: &Wanted) -> bool {
    call.state == "failed" && (call.effect == Effect::None || wanted.is_harmless)
}

fn ended(call: Call) -> Ended {
    match outcome::verdict(&call) {
        Ok(()) => Ended::Done(call),
        Err(error) => match error.exit {
            Exit::Pending | Exit::Timeout | Exit::Unknown => Ended::Open(error, Some(call)),
            _ => Ended::Failed(error, Some(call)),
        },
    }
}

/// A call that was not taken. What can be put right outside the run leaves it open; a no is a no.
fn refused(error: ClientError, wanted: &Wanted) -> Ended {
    let code = match &error {
        ClientError::Problem(problem) => problem.known_code(),
        _ => None,
    };
    let is_timeout = matches!(error, ClientError::Timeout { .. });
    let mut error = CliError::from(error);
    if code == Some(Code::IdempotencyKeyReused) && wanted.is_of_run {
        error = CliError::new(
            Exit::Conflict,
            "workflow-nondeterminism",
            format!("this run has called `{}` before with other arguments (key `{}`)", wanted.call.tool, wanted.key()),
        )
        .hint("the file or what it is given has changed; start a new run for it");
        return Ended::Open(error, None);
    }
    if is_timeout {
        error.message = format!("`{}` still runs; it goes on without us", wanted.call.tool);
        error.hint = None;
    }
    match error.exit {
        // A result that is no longer kept will not be kept again either.
        Exit::Denied | Exit::Usage | Exit::ToolFailed | Exit::Conflict | Exit::Expired => Ended::Failed(error, None),
        _ => Ended::Open(error, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::denial::{Denial, Stage};

    fn problem(code: Code) -> ClientError {
        let denial = Denial::new(Stage::Policy, code, "no").retry_after(Duration::from_secs(2));
        ClientError::Problem(Box::new(Problem::of(&denial, 400)))
    }

    fn wanted(is_of_run: bool) -> Wanted {
        Wanted {
            call: NewCall {
                tool: "t".into(),
                arguments: serde_json::Value::Null,
                idempotency_key: Some("r/a".into()),
                dry_run: false,
                reason: None,
                wait: None,
                approval: None,
            },
            is_of_run,
            retry: None,
            timeout: Duration::from_secs(60),
            is_harmless: false,
        }
    }

    #[test]
    fn what_passes_is_asked_again_and_a_no_is_not() {
        let again = |error: ClientError| Patience::new(Duration::ZERO, Duration::from_secs(60)).after(&error).is_some();
        for code in [Code::RateLimited, Code::Overloaded, Code::IdempotencyInProgress, Code::ShuttingDown] {
            assert!(again(problem(code)), "{code}");
        }
        // Nobody waits for people here, so nobody waits for them to have less to decide.
        for code in [Code::CircuitOpen, Code::PolicyDenied, Code::Unauthenticated, Code::AuditUnavailable] {
            assert!(!again(problem(code)), "{code}");
        }
        assert!(again(ClientError::NotRunning { target: "x".into() }));
        assert!(again(ClientError::Broken { target: "x".into(), reason: "y".into() }));
        assert!(!again(ClientError::Foreign { target: "x".into(), reason: "y".into() }));
        let late = Patience::new(Duration::ZERO, Duration::ZERO);
        let timeout = ClientError::Timeout { target: "x".into(), after: Duration::ZERO };
        assert_eq!({ late }.after(&timeout), None);
    }

    #[test]
    fn what_can_be_put_right_leaves_a_run_open() {
        for (code, is_open) in [
            (Code::Unauthenticated, true),
            (Code::CircuitOpen, true),
            (Code::AuditUnavailable, true),
            (Code::PolicyDenied, false),
            (Code::ArgumentsInvalid, false),
            (Code::ToolNotFound, false),
            (Code::IdempotencyResultExpired, false),
        ] {
            assert_eq!(matches!(refused(problem(code), &wanted(true)), Ended::Open(..)), is_open, "{code}");
        }
        let Ended::Open(error, None) = refused(problem(Code::IdempotencyKeyReused), &wanted(true)) else {
            panic!("it must not be taken for a failure of the tool")
        };
        assert_eq!((error.code.as_str(), error.exit), ("workflow-nondeterminism", Exit::Conflict));
        assert!(matches!(refused(problem(Code::IdempotencyKeyReused), &wanted(false)), Ended::Failed(..)));
    }
}

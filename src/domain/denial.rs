//! Every way to say no. Guards make denials; doors map their class to a status and never look at single
//! ones, so a new guard changes no door.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::CallId;
use super::outcome::Effect;

/// Which guard said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The door itself: framing, media type, size.
    Door,
    /// Who is it.
    Authentication,
    /// Is there such a tool.
    Catalog,
    /// How fast.
    Quota,
    /// Are the arguments well-formed.
    Arguments,
    /// May they.
    Policy,
    /// Was it done before.
    Idempotency,
    /// Must a person agree.
    Approval,
    /// Run it.
    Execution,
    /// Record it.
    Store,
}

/// What kind of no it is: all that a door needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenialClass {
    /// Who the caller is is not known.
    Unauthenticated,
    /// Known, and not allowed.
    Forbidden,
    /// No such thing, or not visible to this caller.
    NotFound,
    /// Too fast, or too many.
    Throttled,
    /// The request is not well-formed.
    Invalid,
    /// At odds with what is already recorded.
    Conflict,
    /// It was there, and is no longer kept.
    Gone,
    /// More bytes than the limit.
    TooLarge,
    /// Not now: the daemon or its store cannot.
    Unavailable,
    /// A tool or upstream failed.
    Failed,
    /// A tool did not answer in time.
    TimedOut,
    /// Our own fault, or an outcome nobody knows.
    Internal,
}

/// Whether and how asking again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retryable {
    /// Again with the same key.
    SameKey,
    /// Again, but as a new request with a new key.
    NewKey,
    /// Only after something is changed: the request, a policy, a credential.
    AfterChange,
    /// Never.
    Never,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $slug:literal, $title:literal, $class:ident, $retry:ident;)*) => {
        /// The stable problem codes of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code on the wire.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// The constant title of this problem type (RFC 9457 section 3.1.3).
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What kind of no it is.
            pub const fn class(self) -> DenialClass {
                match self { $(Self::$name => DenialClass::$class,)* }
            }

            /// Whether and how asking again can help.
            pub const fn retryable(self) -> Retryable {
                match self { $(Self::$name => Retryable::$retry,)* }
            }
        }
    };
}

codes! {
    /// No, wrong or expired credential.
    Unauthenticated = "unauthenticated", "who you are is not known", Unauthenticated, AfterChange;
    /// A rule forbids it, or none permits it.
    PolicyDenied = "policy-denied", "policy does not allow this", Forbidden, AfterChange;
    /// A rule could not be evaluated; errors mean no.
    PolicyEvaluationError = "policy-evaluation-error", "a policy could not be evaluated", Forbidden, AfterChange;
    /// This principal may not do that to the daemon or to an approval.
    NotAllowed = "not-allowed", "you may not do this", Forbidden, AfterChange;
    /// No such tool, or not visible.
    ToolNotFound = "tool-not-found", "no such tool", NotFound, AfterChange;
    /// No such call, approval, key or path.
    NotFound = "not-found", "no such thing", NotFound, AfterChange;
    /// A path that does not take this method.
    MethodNotAllowed = "method-not-allowed", "the path does not take this method", Invalid, AfterChange;
    /// The request is malformed outside the arguments.
    RequestMalformed = "request-malformed", "the request is malformed", Invalid, AfterChange;
    /// A content type other than JSON.
    UnsupportedMediaType = "unsupported-media-type", "the body is not JSON", Invalid, AfterChange;
    /// Arguments that fail the tool's schema.
    ArgumentsInvalid = "arguments-invalid", "the arguments fail the tool's schema", Invalid, AfterChange;
    /// Arguments with more than one meaning.
    ArgsNotCanonical = "args-not-canonical", "the arguments are not strict JSON", Invalid, AfterChange;
    /// A key that is not 1–255 visible ASCII characters.
    IdempotencyKeyInvalid = "idempotency-key-invalid", "the idempotency key is malformed", Invalid, AfterChange;
    /// The key was used before for another request.
    IdempotencyKeyReused = "idempotency-key-reused", "the idempotency key was used for another request", Invalid, NewKey;
    /// The first request with this key has not ended.
    IdempotencyInProgress = "idempotency-in-progress", "the first request with this key has not ended", Conflict, SameKey;
    /// The result is no longer kept; it is not run again.
    IdempotencyResultExpired = "idempotency-result-expired", "the result is no longer kept", Gone, Never;
    /// Waiting for people.
    ApprovalPending = "approval-pending", "waiting for people to approve", Conflict, SameKey;
    /// What was looked at or approved is not what would run.
    ApprovalStale = "approval-stale", "what was approved is not what would run", Conflict, NewKey;
    /// Nobody decided in time.
    ApprovalExpired = "approval-expired", "nobody approved in time", Conflict, NewKey;
    /// A person said no.
    ApprovalRejected = "approval-rejected", "a person rejected this", Forbidden, NewKey;
    /// Too few people could ever approve it.
    ApprovalUnsatisfiable = "approval-unsatisfiable", "too few people could ever approve this", Conflict, AfterChange;
    /// The approval has its decision.
    ApprovalAlreadyDecided = "approval-already-decided", "this approval has been decided", Conflict, Never;
    /// Only what is in doubt can be resolved.
    CallNotInDoubt = "call-not-in-doubt", "the call is not in doubt", Conflict, Never;
    /// Requests too fast.
    RateLimited = "rate-limited", "too many requests", Throttled, SameKey;
    /// A safety limit is used up.
    BudgetExceeded = "budget-exceeded", "a limit is used up", Throttled, SameKey;
    /// Repeated rejections opened the circuit, or too many requests of this caller wait for people.
    CircuitOpen = "circuit-open", "people need a pause from these requests", Throttled, SameKey;
    /// The call was taken back.
    Cancelled = "cancelled", "the call was cancelled", Conflict, NewKey;
    /// The run of a workflow has ended, so nothing can be done with it.
    RunEnded = "run-ended", "the run has ended", Conflict, Never;
    /// The tool ran and failed.
    ToolFailed = "tool-failed", "the tool failed", Failed, NewKey;
    /// The tool ran, and the object that the arguments name does not exist.
    ObjectNotFound = "object-not-found", "the object does not exist", NotFound, NewKey;
    /// The tool did not end in time.
    ToolTimeout = "tool-timeout", "the tool did not end in time", TimedOut, NewKey;
    /// The tool's output is not what it declared.
    OutputInvalid = "output-invalid", "the tool's output is not what it declared", Failed, NewKey;
    /// An outbound address that no operator listed; nothing was sent there.
    EgressForbidden = "egress-forbidden", "nothing may be sent to this address", Forbidden, AfterChange;
    /// It may have run.
    OutcomeUnknown = "outcome-unknown", "it may have run; nobody knows yet", Internal, Never;
    /// More bytes than the limit.
    PayloadTooLarge = "payload-too-large", "the request is too large", TooLarge, AfterChange;
    /// No record can be written, so nothing runs.
    AuditUnavailable = "audit-unavailable", "no record can be written, so nothing runs", Unavailable, SameKey;
    /// Too much at once.
    Overloaded = "overloaded", "too much at once", Unavailable, SameKey;
    /// The daemon is stopping.
    ShuttingDown = "shutting-down", "the daemon is stopping", Unavailable, SameKey;
    /// Our own fault.
    Internal = "internal", "something went wrong inside the daemon", Internal, SameKey;
}

impl Code {
    /// The URI that names this problem type (RFC 9457 section 3.1.1).
    pub fn uri(self) -> String {
        format!("https://toolctl.dev/problems/{}", self.slug())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

impl FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|code| code.slug() == text).ok_or(())
    }
}

/// One place in the arguments that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Violation {
    /// JSON Pointer (RFC 6901); empty for the whole object.
    pub path: String,
    /// What is wrong there, without the value when it is secret.
    pub message: String,
}

/// A no, with everything its reader needs: what happened, on which input, what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Which guard said no.
    pub stage: Stage,
    /// The stable code.
    pub code: Code,
    /// What the caller may know.
    pub detail: String,
    /// What the caller can do about it.
    pub hint: Option<String>,
    /// What only the operator's log may know.
    pub log: Option<String>,
    /// All places in the arguments that are wrong.
    pub violations: Vec<Violation>,
    /// Ids of the policies that decided.
    pub rules: Vec<String>,
    /// When asking again can help.
    pub retry_after: Option<Duration>,
    /// The call this is about, if one exists.
    pub call: Option<CallId>,
    /// What happened to the world.
    pub effect: Effect,
}

impl Denial {
    /// A denial with nothing but the necessary; [`Effect::None`].
    pub fn new(stage: Stage, code: Code, detail: impl Into<String>) -> Self {
        Self {
            stage,
            code,
            detail: detail.into(),
            hint: None,
            log: None,
            violations: Vec::new(),
            rules: Vec::new(),
            retry_after: None,
            call: None,
            effect: Effect::None,
        }
    }

    /// Adds what the caller can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what only the operator may know.
    #[must_use]
    pub fn log(mut self, log: impl Into<String>) -> Self {
        self.log = Some(log.into());
        self
    }

    /// Adds when asking again can help.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds the call this is about.
    #[must_use]
    pub const fn about(mut self, call: CallId) -> Self {
        self.call = Some(call);
        self
    }

    /// Adds what happened to the world.
    #[must_use]
    pub const fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// Adds the policies that decided.
    #[must_use]
    pub fn rules(mut self, rules: Vec<String>) -> Self {
        self.rules = rules;
        self
    }

    /// Adds the places in the arguments that are wrong.
    #[must_use]
    pub fn violations(mut self, violations: Vec<Violation>) -> Self {
        self.violations = violations;
        self
    }

    /// What kind of no it is.
    pub const fn class(&self) -> DenialClass {
        self.code.class()
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Denial {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        for code in Code::ALL {
            assert_eq!(code.slug().parse(), Ok(*code));
        }
    }
}

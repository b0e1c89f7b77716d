//! The kinds of facts, and their words on the wire: stable, as queries and exports rely on them.

use serde::{Deserialize, Serialize};

/// What kind of fact a record states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum RecordType {
    /// A call was dispatched: from here on it may have an effect.
    #[serde(rename = "call.dispatched")]
    CallDispatched,
    /// A call ended. For a call whose effect shares our transaction this is its only record.
    #[serde(rename = "call.completed")]
    CallCompleted,
    /// A request was refused before a call existed.
    #[serde(rename = "call.denied")]
    CallDenied,
    /// A call ended without running: expired, cancelled or stale.
    #[serde(rename = "call.closed")]
    CallClosed,
    /// A lost call may be started again, as that is harmless.
    #[serde(rename = "call.recovered")]
    CallRecovered,
    /// A call lost its runner; nobody knows what happened.
    #[serde(rename = "call.in_doubt")]
    CallInDoubt,
    /// Somebody said how an uncertain call ended.
    #[serde(rename = "call.resolved")]
    CallResolved,
    /// A call was accepted and waits for people.
    #[serde(rename = "approval.requested")]
    ApprovalRequested,
    /// The same request came with another key while the call waited for people: the key stands for the call.
    #[serde(rename = "approval.attached")]
    ApprovalAttached,
    /// A person said yes or no.
    #[serde(rename = "approval.decided")]
    ApprovalDecided,
    /// A policy set came into force.
    #[serde(rename = "policy.activated")]
    PolicyActivated,
    /// A tool is new.
    #[serde(rename = "tool.registered")]
    ToolRegistered,
    /// A tool's definition changed.
    #[serde(rename = "tool.changed")]
    ToolChanged,
    /// A tool is gone.
    #[serde(rename = "tool.removed")]
    ToolRemoved,
    /// An API key was made.
    #[serde(rename = "key.created")]
    KeyCreated,
    /// An API key was revoked.
    #[serde(rename = "key.revoked")]
    KeyRevoked,
    /// Credentials were refused; counted over a short time.
    #[serde(rename = "auth.failed")]
    AuthFailed,
    /// Requests were refused as too fast; counted over a short time.
    #[serde(rename = "limit.exceeded")]
    LimitExceeded,
    /// Data was loaded into the customer desk.
    #[serde(rename = "desk.imported")]
    DeskImported,
    /// A run of a workflow began.
    #[serde(rename = "run.begun")]
    RunBegun,
    /// A run of a workflow ended.
    #[serde(rename = "run.ended")]
    RunEnded,
    /// A run of a workflow was left to the daemon.
    #[serde(rename = "run.detached")]
    RunDetached,
    /// The daemon has done all there was to do for a run that was left to it and failed.
    #[serde(rename = "run.released")]
    RunReleased,
    /// A daemon started.
    #[serde(rename = "daemon.started")]
    DaemonStarted,
    /// A daemon stopped cleanly.
    #[serde(rename = "daemon.stopped")]
    DaemonStopped,
    /// Old results were removed.
    #[serde(rename = "log.pruned")]
    LogPruned,
}

impl RecordType {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CallDispatched => "call.dispatched",
            Self::CallCompleted => "call.completed",
            Self::CallDenied => "call.denied",
            Self::CallClosed => "call.closed",
            Self::CallRecovered => "call.recovered",
            Self::CallInDoubt => "call.in_doubt",
            Self::CallResolved => "call.resolved",
            Self::ApprovalRequested => "approval.requested",
            Self::ApprovalAttached => "approval.attached",
            Self::ApprovalDecided => "approval.decided",
            Self::PolicyActivated => "policy.activated",
            Self::ToolRegistered => "tool.registered",
            Self::ToolChanged => "tool.changed",
            Self::ToolRemoved => "tool.removed",
            Self::KeyCreated => "key.created",
            Self::KeyRevoked => "key.revoked",
            Self::AuthFailed => "auth.failed",
            Self::LimitExceeded => "limit.exceeded",
            Self::DeskImported => "desk.imported",
            Self::RunBegun => "run.begun",
            Self::RunEnded => "run.ended",
            Self::RunDetached => "run.detached",
            Self::RunReleased => "run.released",
            Self::DaemonStarted => "daemon.started",
            Self::DaemonStopped => "daemon.stopped",
            Self::LogPruned => "log.pruned",
        }
    }
}

//! Requests of the client that have no answer yet, in the order they came.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::glance::{Glance, Params, glance};
use super::stand_in::Sent;
use crate::api::mcp::{Era, meta};
use crate::domain::digest::Digest;

/// A request.
#[derive(Debug)]
pub struct Pending {
    /// Its line, as it goes to the daemon.
    pub line: Bytes,
    /// Its id, as JSON text, as the client wrote it.
    pub id: String,
    /// Its id, the same however it is written.
    pub same: String,
    /// What is asked for.
    pub kind: Kind,
    /// When a daemon was sent it first.
    pub sent: Option<Sending>,
    /// When the bridge answers in the daemon's place.
    pub deadline: Option<Instant>,
    /// The line with which the client took it back, while there was no daemon to tell.
    pub cancelled: Option<Bytes>,
}

/// When a daemon was sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// The connection.
    pub generation: u64,
    /// As whom.
    pub shown: Shown,
}

/// Who we are on a connection, as far as we know: a key belongs to a principal, and to nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown(Digest);

impl Shown {
    /// Who shows this hello; without one it is the user of this machine.
    pub fn of(hello: Option<&Bytes>) -> Self {
        let parts: Vec<&[u8]> = hello.iter().map(|hello| hello.as_ref()).collect();
        Self(Digest::of("toolctl/mcp/bridge-hello/v1", &parts))
    }
}

/// What is asked for, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `initialize`: the bridge knows the answer.
    Initialize,
    /// `server/discover`: the bridge knows the answer.
    Discover,
    /// `tools/list`.
    Tools,
    /// `tools/call` of the tool that stands in for a daemon; the bridge answers it.
    Status,
    /// `tools/call`.
    Call {
        /// The key that the bridge gave it.
        key: Option<String>,
    },
    /// `subscriptions/listen`.
    Listen {
        /// Whether the client was told that it is heard.
        acknowledged: bool,
        /// Whether it wants to be told about tools.
        tools: bool,
    },
    /// Anything else.
    Other,
}

/// For how long to wait for a daemon before the truth is told.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a daemon that answers the opening of a conversation.
    pub opening: Duration,
    /// For a daemon that comes, with a request that none has seen.
    pub fresh: Duration,
    /// For a daemon that comes back, with a request that an earlier one was sent.
    pub sent: Duration,
}

impl Patience {
    /// A daemon that is being started needs longer than one that may be restarted by chance.
    pub const fn new(autostart: bool) -> Self {
        Self {
            opening: Duration::from_millis(300),
            fresh: Duration::from_secs(if autostart { 10 } else { 2 }),
            sent: Duration::from_secs(30),
        }
    }
}

impl Pending {
    /// Whether somebody waits for its end: a subscription has none.
    pub const fn ends(&self) -> bool {
        !matches!(self.kind, Kind::Listen { .. }) && self.cancelled.is_none()
    }

    /// Whether it may have an effect.
    pub const fn is_call(&self) -> bool {
        matches!(self.kind, Kind::Call { .. })
    }

    /// Whether a daemon that is alive answers at once.
    pub const fn is_answered_soon(&self) -> bool {
        self.opens() || matches!(self.kind, Kind::Tools | Kind::Status)
    }

    /// Whether the next daemon knows it again by its name, if an earlier one was sent it.
    pub fn runs_once(&self) -> bool {
        match &self.kind {
            Kind::Call { key: None } if self.sent.is_some() => {
                let params = self.params();
                params.is_named() || params.meta(meta::BRIDGE_KEY).is_some()
            }
            _ => true,
        }
    }

    /// Whether it opens a conversation.
    pub const fn opens(&self) -> bool {
        matches!(self.kind, Kind::Initialize | Kind::Discover)
    }

    /// Its era.
    pub fn era(&self) -> Era {
        self.params().era()
    }

    /// What became of it, when no answer came.
    pub fn what_became(&self) -> Sent {
        match &self.kind {
            _ if self.sent.is_none() => Sent::Never,
            Kind::Call { key } => Sent::Perhaps(key.clone().filter(|_| !self.params().is_named())),
            _ => Sent::Perhaps(None),
        }
    }

    /// Its parameters, looked at again.
    pub fn params(&self) -> Params<'_> {
        match glance(&self.line) {
            Ok(Glance::Request { params, .. }) => Params::of(params),
            _ => Params::default(),
        }
    }
}

//! L3, doing: the wiring table from a kind of tool to what runs it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::call::Call;
use crate::domain::id::CallId;
use crate::domain::tool::ToolKind;
use crate::pipeline::port::{DeskRead, Executor, Executors, Trace, Wait};

use self::command::CommandExecutor;
use self::desk::DeskExecutor;
use self::http::HttpExecutor;
use self::upstream::Upstreams;

pub mod command;
pub mod desk;
pub mod http;
pub mod outbound;
mod output;
mod scrub;
mod secret;
pub mod upstream;

/// One executor for each kind of tool.
pub struct Tools {
    desk: DeskExecutor,
    command: CommandExecutor,
    http: HttpExecutor,
    upstreams: Arc<Upstreams>,
}

impl Tools {
    /// Wires every kind. `desk` is where the customer desk reads, `command` runs programs, `http` sends requests,
    /// `upstreams` calls servers.
    pub fn new(
        desk: Arc<dyn DeskRead>,
        command: CommandExecutor,
        http: HttpExecutor,
        upstreams: Arc<Upstreams>,
    ) -> Self {
        Self { desk: DeskExecutor { desk }, command, http, upstreams }
    }
}

impl Executors for Tools {
    fn of(&self, kind: ToolKind) -> &dyn Executor {
        match kind {
            ToolKind::Desk => &self.desk,
            ToolKind::Command => &self.command,
            ToolKind::Http => &self.http,
            ToolKind::Upstream => &*self.upstreams,
        }
    }

    fn trace<'a>(&'a self, call: &'a Call, kind: Option<ToolKind>) -> Wait<'a, Trace> {
        // Only commands leave anything; what they have left shows that it was one.
        Box::pin(self.command.trace(call, kind == Some(ToolKind::Command)))
    }

    fn settled(&self, call: CallId) {
        self.command.settled(call);
    }

    fn settled_but(&self, calls: BTreeSet<CallId>) {
        self.command.settled_but(calls);
    }
}

//! The proof that a call may run: it exists only once the store has durably recorded that the call was
//! dispatched. Executors take nothing else.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::call::{Call, CallEvent, CallState};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::CallId;
use crate::domain::time::Timestamp;
use crate::domain::tool::Registered;

use super::opening::Opening;
use super::port::{Advanced, Conditions, Ledger, Opened, Recorded, Unavailable};

/// A call that is dispatched, with its tool. It cannot be made outside this module:
///
/// ```compile_fail,E0451
/// # use toolctl::pipeline::cleared::Cleared;
/// # fn forge(call: toolctl::domain::call::Call, tool: std::sync::Arc<toolctl::domain::tool::Registered>) {
/// let forged = Cleared { call, tool, index: 0, trace: None };
/// # }
/// ```
#[derive(Debug)]
pub struct Cleared {
    call: Call,
    tool: Arc<Registered>,
    index: u64,
    trace: Option<String>,
}

/// What opening a call led to.
#[derive(Debug)]
pub enum Begun {
    /// It is dispatched: run it.
    Cleared(Cleared),
    /// Anything else the ledger found or did.
    Other(Opened),
}

/// What starting an approved call led to.
#[derive(Debug)]
pub enum Started {
    /// It is dispatched: run it.
    Cleared(Cleared),
    /// It ran to its end in the same transaction.
    Settled(Recorded),
    /// It did not start.
    Other(Advanced),
}

impl Cleared {
    /// Opens a call and, if nobody has to agree, dispatches it in the same transaction.
    ///
    /// # Errors
    /// When the store cannot write: nothing may run.
    pub async fn open(ledger: &dyn Ledger, opening: Opening, tool: &Arc<Registered>) -> Result<Begun, Unavailable> {
        let trace = opening.trace().map(ToOwned::to_owned);
        Ok(match ledger.open(opening).await? {
            Opened::Started(Recorded { call, index }) => {
                Begun::Cleared(Self { call, tool: Arc::clone(tool), index, trace })
            }
            other => Begun::Other(other),
        })
    }

    /// Dispatches a call that is ready: of all who try, one wins.
    ///
    /// # Errors
    /// When the store cannot write: nothing may run.
    pub async fn start(
        ledger: &dyn Ledger,
        id: CallId,
        event: CallEvent,
        conditions: Conditions,
        tool: &Arc<Registered>,
        now: Timestamp,
    ) -> Result<Started, Unavailable> {
        Ok(match ledger.advance(id, event, conditions, now).await? {
            Advanced::Done(recorded) => match recorded.call.state {
                CallState::Running { .. } => {
                    let (tool, trace) = (Arc::clone(tool), None);
                    Started::Cleared(Self { call: recorded.call, tool, index: recorded.index, trace })
                }
                CallState::Closed(_) | CallState::AwaitingApproval | CallState::Ready | CallState::InDoubt => {
                    Started::Settled(recorded)
                }
            },
            other => Started::Other(other),
        })
    }

    /// Clears a call of a tool without effect: there is nothing that a record would have to precede. Its
    /// one record is durable before the answer leaves.
    ///
    /// # Errors
    /// When the tool has an effect.
    pub fn read_only(call: Call, tool: &Arc<Registered>) -> Result<Self, Denial> {
        if tool.is_read_only() {
            Ok(Self { call, tool: Arc::clone(tool), index: 0, trace: None })
        } else {
            Err(Denial::new(Stage::Execution, Code::Internal, "a tool with an effect cannot run without its record"))
        }
    }

    /// The call.
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// The tool's definition.
    pub fn tool(&self) -> &Registered {
        &self.tool
    }

    /// The arguments with defaults, exactly those that were hashed, judged and approved.
    pub fn arguments(&self) -> Value {
        self.call.arguments.value()
    }

    /// The trace that the caller's request belongs to (W3C Trace Context, `traceparent`), unless people were asked in
    /// between.
    pub fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// The same, as part of a trace.
    #[must_use]
    pub fn traced(self, trace: Option<&str>) -> Self {
        Self { trace: trace.map(ToOwned::to_owned), ..self }
    }

    /// Index of the record of the dispatch.
    pub const fn index(&self) -> u64 {
        self.index
    }
}

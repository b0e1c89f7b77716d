//! L3, doing: the wiring table from a kind of tool to what runs it.

use std::sync::Arc;

use crate::domain::tool::ToolKind;
use crate::pipeline::port::{DeskRead, Executor, Executors};

use self::desk::DeskExecutor;

pub mod desk;

/// One executor for each kind of tool.
pub struct Tools {
    desk: DeskExecutor,
}

impl Tools {
    /// Wires every kind. `desk` is where the customer desk reads.
    pub fn new(desk: Arc<dyn DeskRead>) -> Self {
        Self { desk: DeskExecutor { desk } }
    }
}

impl Executors for Tools {
    fn of(&self, kind: ToolKind) -> &dyn Executor {
        match kind {
            ToolKind::Desk => &self.desk,
        }
    }
}

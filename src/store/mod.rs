//! L3, remembering: the backends behind the ports of [`crate::pipeline::port`], and which one is opened.
//!
//! | store | for |
//! | --- | --- |
//! | [`RedbStore`] | a daemon: one file, durable before each answer |
//! | [`MemoryStore`] | the reference, and tests that need no disk |
//! | [`Faulty`] | tests: any store whose nth write fails |
//!
//! What a write does is decided in `decide` for all of them; `conformance` runs one suite on each.

mod decide;
pub mod failpoint;
pub mod faulty;
pub mod memory;
pub mod redb;
mod select;

#[cfg(test)]
mod conformance;

use std::path::Path;

pub use failpoint::FailPoint;
pub use faulty::Faulty;
pub use memory::MemoryStore;
pub use redb::{OpenStore, RedbStore};

/// Opens the store of a daemon in this file, or makes it.
///
/// # Errors
/// [`OpenStore`]: in use, newer, damaged, or not to be read.
pub fn open(path: &Path) -> Result<RedbStore, OpenStore> {
    RedbStore::open(path)
}

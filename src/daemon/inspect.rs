//! Looking at a store without a daemon.

use std::path::Path;

use crate::domain::audit::{Report, Verifier};
use crate::store::redb::inspect::read_log;

use super::CannotStart;

/// Verifies the log in a state folder whose daemon is not running. Nothing is changed.
///
/// # Errors
/// When a daemon has the store open, or the file cannot be read at all.
pub fn verify(state: &Path) -> Result<Report, CannotStart> {
    let mut verifier = Verifier::default();
    let (size, root) = read_log(&state.join("store.redb"), |leaf, hash| verifier.leaf(leaf, hash.as_ref()))?;
    Ok(verifier.finish(size, &root))
}

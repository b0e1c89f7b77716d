//! The store of a daemon that has ended, opened by the library: what a test believes is what is on disk.

use std::path::PathBuf;
use std::sync::Arc;

use toolctl::pipeline::port::Store;

use super::Daemon;

/// Opens the store, reads it and closes it again. The daemon must have ended.
pub fn reading<T>(daemon: &Daemon, read: impl AsyncFnOnce(Arc<dyn Store>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = toolctl::store::open(&file(daemon)).expect("the store opens");
        read(Arc::new(store)).await
    })
}

/// The file of the store: the only one of its kind in the state folder.
pub fn file(daemon: &Daemon) -> PathBuf {
    let entries = std::fs::read_dir(daemon.state()).expect("the state folder");
    let mut stores =
        entries.map(|entry| entry.expect("a file").path()).filter(|path| path.extension().is_some_and(|e| e == "redb"));
    let file = stores.next().expect("a store");
    assert_eq!(stores.next(), None, "more than one store");
    file
}

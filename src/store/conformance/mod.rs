//! One suite, run on every backend: each test is a story about an empty store. It lives inside the crate, as
//! an opening without a permit can be made only here.

mod approving;
mod faults;
pub(super) mod kit;
mod opening;
mod reading;
mod running;
mod speed;

/// Runs each story on every backend.
macro_rules! on_every_backend {
    ($($story:ident),* $(,)?) => {
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    super::$story(std::sync::Arc::new(crate::store::MemoryStore::new())).await;
                }
            )*
        }
        mod redb {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    let folder = tempfile::tempdir().expect("a folder");
                    let store = crate::store::open(&folder.path().join("store.redb")).expect("a new store");
                    super::$story(std::sync::Arc::new(store)).await;
                }
            )*
        }
    };
}

use on_every_backend;

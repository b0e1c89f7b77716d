//! A daemon on a thread of its own, for programs that bring their own: the demo.

use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::server::Shutdown;

use super::{CannotStart, Daemon, Inputs, Started};

/// A running daemon. Dropped without [`Hosted::stop`], it ends with the process.
pub struct Hosted {
    started: Started,
    shutdown: Shutdown,
    thread: JoinHandle<Result<(), CannotStart>>,
}

impl Hosted {
    /// Starts a daemon and waits until it listens.
    ///
    /// # Errors
    /// Everything that keeps a daemon from starting.
    pub fn start(inputs: Inputs) -> Result<Self, CannotStart> {
        let (told, tells) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|source| CannotStart::file(std::path::Path::new("runtime"), source))?;
            runtime.block_on(async {
                let daemon = Daemon::prepare(inputs).await?;
                // Whoever started us may have gone; then nobody will stop us either.
                if told.send((daemon.started().clone(), daemon.shutdown())).is_err() {
                    return Ok(());
                }
                daemon.serve().await
            })
        });
        match tells.recv() {
            Ok((started, shutdown)) => Ok(Self { started, shutdown, thread }),
            Err(_) => Err(ended(thread).err().unwrap_or(CannotStart::Tools("it ended at once".to_owned()))),
        }
    }

    /// What it found and made.
    pub const fn started(&self) -> &Started {
        &self.started
    }

    /// Stops it and waits until its store is clean.
    ///
    /// # Errors
    /// When it could not leave a clean store.
    pub fn stop(self) -> Result<(), CannotStart> {
        self.shutdown.begin();
        ended(self.thread)
    }
}

fn ended(thread: JoinHandle<Result<(), CannotStart>>) -> Result<(), CannotStart> {
    thread.join().unwrap_or_else(|_| Err(CannotStart::Tools("the daemon ended in an unforeseen way".to_owned())))
}

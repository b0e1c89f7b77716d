//! Baseline A: what HTTP/1.1 over a Unix socket costs when the answer is the request. One thread, as the
//! load generator has the other core.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use super::Fault;

/// A server on a Unix socket, in one thread of this process. It ends when dropped.
pub struct Served {
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Starts the baseline, which repeats what it hears, in `folder`.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn echo(folder: &Path) -> Result<Self, Fault> {
        Self::start(folder.join("echo"), accept)
    }

    /// Lets `accept` take the connections to `socket`.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn start<F: Future<Output = ()>>(
        socket: PathBuf,
        accept: impl FnOnce(UnixListener) -> F + Send + 'static,
    ) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&socket)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { socket, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: UnixListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(repeat)));
    }
}

async fn repeat(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    Ok(Response::new(Full::new(body)))
}

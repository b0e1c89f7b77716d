//! What every command works with: the flags, the output, the paths, and a daemon that is connected to when
//! it is first needed.

use std::cell::OnceCell;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::args::Globals;
use super::error::{CliError, Exit};
use super::ui::Ui;
use crate::api::endpoint::Endpoint;
use crate::client::{Client, ClientError, Lines, Secret, Sources, Target};
use crate::config::paths::Paths;
use crate::domain::time::{Timestamp, parse_span};

/// How long an answer may take when nothing else is said.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What every command works with.
pub struct Context {
    /// Flags that every command takes.
    pub globals: Globals,
    /// The only way to print.
    pub ui: Ui,
    paths: OnceCell<Option<Paths>>,
    runtime: OnceCell<Runtime>,
    client: OnceCell<Arc<Client>>,
}

impl Context {
    /// Nothing is looked up or connected yet.
    pub fn new(globals: Globals) -> Self {
        let ui = Ui::new(&globals);
        Self { globals, ui, paths: OnceCell::new(), runtime: OnceCell::new(), client: OnceCell::new() }
    }

    /// A context that prints elsewhere.
    #[cfg(test)]
    pub fn printing_to(globals: Globals, ui: Ui) -> Self {
        Self { globals, ui, paths: OnceCell::new(), runtime: OnceCell::new(), client: OnceCell::new() }
    }

    /// Where things live.
    ///
    /// # Errors
    /// When there is no home folder and no variable in its place.
    pub fn paths(&self) -> Result<&Paths, CliError> {
        self.paths.get_or_init(Paths::find).as_ref().ok_or_else(|| {
            CliError::new(Exit::Failure, "no-home", "there is no home folder to find toolctl's files in")
                .hint("set `TOOLCTL_DATA_DIR` and `TOOLCTL_CONFIG_DIR`")
        })
    }

    /// Where the daemon is expected.
    ///
    /// # Errors
    /// When no flag says so and there are no paths.
    pub fn target(&self) -> Result<Target, CliError> {
        match &self.globals.socket {
            Some(socket) => Ok(Target::parse(socket)),
            None => Ok(Target::parse(&self.paths()?.socket.to_string_lossy())),
        }
    }

    /// How long an answer may take.
    pub fn deadline(&self) -> Duration {
        self.globals.timeout.unwrap_or(DEADLINE)
    }

    /// What time it is, for words such as `2m ago` and `--since 2h`.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }

    /// A point in time from `2h` (before now) or RFC 3339, as RFC 3339.
    ///
    /// # Errors
    /// Exit 2 when it is neither.
    pub fn moment(&self, text: Option<&str>) -> Result<Option<String>, CliError> {
        let Some(text) = text else { return Ok(None) };
        if let Ok(span) = parse_span(text) {
            return Ok(Some(self.now().minus(span).to_string()));
        }
        let time: Timestamp = text.parse().map_err(|_| {
            CliError::usage(format!("`{text}` is neither a span (`2h`) nor a time (`2026-11-23T09:00:00Z`)"))
        })?;
        Ok(Some(time.to_string()))
    }

    /// Runs a future to its end, or to Ctrl-C.
    ///
    /// # Errors
    /// Exit 130 after Ctrl-C.
    pub fn run<F: Future>(&self, future: F) -> Result<F::Output, CliError> {
        self.runtime()?.block_on(async {
            tokio::select! {
                biased;
                signal = tokio::signal::ctrl_c() => match signal {
                    Ok(()) => Err(CliError::interrupted()),
                    Err(error) => Err(CliError::io("cannot listen for Ctrl-C", &error)),
                },
                output = future => Ok(output),
            }
        })
    }

    /// Makes Ctrl-C an error of the prompt that follows instead of the end of the process with the terminal
    /// as the prompt left it.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn arm_interrupt(&self) -> Result<(), CliError> {
        self.run(std::future::ready(()))
    }

    /// The daemon; connected to by its first operation.
    ///
    /// # Errors
    /// When the target or the key cannot be used.
    pub fn client(&self) -> Result<&Client, CliError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let key = self.key_sources()?.find()?;
        let client = Client::new(&self.target()?, key.as_ref())?;
        if self.ui.verbose > 0 {
            let shown = if key.is_some() { "with a key" } else { "without a key" };
            self.ui.note(&format!("daemon: {}, {shown}", client.target()));
        }
        Ok(self.client.get_or_init(|| Arc::new(client)))
    }

    /// Acts with this key and no other, wherever else one may be found.
    ///
    /// # Errors
    /// When the target or the key cannot be used.
    pub fn act_with(&self, key: &Secret) -> Result<(), CliError> {
        let client = Client::new(&self.target()?, Some(key))?;
        // Whoever is connected already stays who it is.
        let _known = self.client.set(Arc::new(client));
        Ok(())
    }

    /// The daemon, for calls that are under way at once.
    ///
    /// # Errors
    /// As [`Self::client`].
    pub fn shared_client(&self) -> Result<Arc<Client>, CliError> {
        self.client()?;
        self.client.get().cloned().ok_or_else(|| CliError::new(Exit::Failure, "internal", "there is no client"))
    }

    /// Carries out one operation.
    ///
    /// # Errors
    /// As the daemon or the way to it says.
    pub fn send<E: Endpoint>(&self, request: &E::Request) -> Result<E::Reply, CliError> {
        Ok(self.try_send::<E>(request, self.deadline())??)
    }

    /// Carries out one operation whose failure the caller wants to look at.
    ///
    /// # Errors
    /// The outer error is ours (Ctrl-C, no key), the inner one the client's.
    pub fn try_send<E: Endpoint>(
        &self,
        request: &E::Request,
        deadline: Duration,
    ) -> Result<Result<E::Reply, ClientError>, CliError> {
        let client = self.client()?;
        self.run(client.send::<E>(request, deadline))
    }

    /// Opens a stream and hands every object to `take`, until it ends or `take` fails. A stream that does not
    /// `follow` must not fall silent for longer than the deadline.
    ///
    /// # Errors
    /// As the daemon, the way to it, or `take` says.
    pub fn stream<E: Endpoint>(
        &self,
        request: &E::Request,
        follow: bool,
        mut take: impl FnMut(E::Reply) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let client = self.client()?;
        let deadline = self.deadline();
        self.run(async {
            let mut lines: Lines<E::Reply> = client.stream::<E>(request, deadline).await?;
            loop {
                let next = if follow {
                    lines.next().await
                } else {
                    let silence = |_| ClientError::Timeout { target: client.target().to_owned(), after: deadline };
                    tokio::time::timeout(deadline, lines.next()).await.map_err(silence)?
                };
                match next? {
                    Some(item) => take(item)?,
                    None => return Ok(()),
                }
            }
        })?
    }

    /// Where a stored key is.
    ///
    /// # Errors
    /// Exit 2 for a name that would leave the folder of keys.
    pub fn stored_key(&self, name: &str) -> Result<PathBuf, CliError> {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@+".contains(&byte));
        if name.is_empty() || name.starts_with('.') || !plain {
            return Err(CliError::usage(format!("`{name}` is not the name of a stored key"))
                .hint("letters, digits and `-_.@+`, not starting with a dot"));
        }
        Ok(self.paths()?.named_key(name))
    }

    /// Where the key is looked for.
    ///
    /// # Errors
    /// As [`Context::stored_key`].
    pub fn key_sources(&self) -> Result<Sources, CliError> {
        Ok(Sources {
            named: self.globals.key_name.as_deref().map(|name| self.stored_key(name)).transpose()?,
            variable: std::env::var("TOOLCTL_KEY").ok(),
            file: std::env::var_os("TOOLCTL_KEY_FILE").filter(|path| !path.is_empty()).map(PathBuf::from),
            fallback: self.paths().ok().map(Paths::default_key),
        })
    }

    fn runtime(&self) -> Result<&Runtime, CliError> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| CliError::io("cannot start", &error))?;
        Ok(self.runtime.get_or_init(|| runtime))
    }
}

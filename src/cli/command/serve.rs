//! `serve`: runs the daemon in this process, and says on stderr where it listens, what it made and what to
//! type next.

use std::net::SocketAddr;

use crate::cli::args::ServeArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::text::{counted, wrapped};
use crate::cli::ui::Tone;
use crate::config::Flags;
use crate::daemon::{CannotServe, CannotStart, Daemon, Fixtures, Inputs, Started};
use crate::transport::signals::{Asked, Signals};

/// Columns for the names of what is announced.
const NAMES: usize = 8;

/// Runs the daemon until it is stopped.
///
/// # Errors
/// When it cannot start, or cannot leave a clean store.
pub fn run(cx: &Context, args: &ServeArgs) -> Result<Exit, CliError> {
    log(cx.globals.verbose);
    let runtime = runtime().map_err(|error| CliError::io("cannot start", &error))?;
    if let Some(listen) = args.listen.as_deref().filter(|_| args.conformance_fixtures) {
        runtime.block_on(serve_fixtures(cx, address(listen)?))?;
        return Ok(Exit::Done);
    }
    let inputs = inputs(cx, args)?;
    runtime.block_on(serve(cx, inputs)).map_err(|cannot| not_started(&cannot))?;
    Ok(Exit::Done)
}

async fn serve(cx: &Context, inputs: Inputs) -> Result<(), CannotStart> {
    let daemon = Daemon::prepare(inputs).await?;
    let reins = daemon.reins();
    match Signals::listen() {
        Ok(mut signals) => {
            tokio::spawn(async move {
                loop {
                    match signals.next().await {
                        Asked::Stop => reins.stop_because("a signal, as of Ctrl-C or `kill`"),
                        Asked::Reload => match reins.reload_rules().await {
                            Ok(changes) => tracing::info!("loaded again: {}", changes.join("; ")),
                            Err(cannot) => tracing::error!("the old rules stay in force: {cannot}"),
                        },
                    }
                }
            });
        }
        Err(error) => tracing::warn!(%error, "signals are not heard; stop with `toolctl stop`"),
    }
    // Only now: whoever reads that it is ready may send it a signal at once.
    announce(cx, daemon.started());
    daemon.serve().await
}

/// Serves the conformance fixtures in place of a daemon.
async fn serve_fixtures(cx: &Context, address: SocketAddr) -> Result<(), CliError> {
    let fixtures = Fixtures::listen(address).await.map_err(|cannot| match cannot {
        CannotServe::NotLoopback(_) => CliError::usage(cannot.to_string()).hint("listen on 127.0.0.1:0"),
        CannotServe::Listen(cannot) => {
            CliError::new(Exit::Failure, "cannot-listen", cannot.to_string()).hint(cannot.hint())
        }
    })?;
    let mut signals = Signals::listen().map_err(|error| CliError::io("signals are not heard", &error))?;
    let (url, shutdown) = (fixtures.url(), fixtures.shutdown());
    row(cx, "toolctl", &format!("{} · {url}", env!("CARGO_PKG_VERSION")));
    row(cx, "serves", "the fixtures of the MCP conformance suite: no key, no policy, no store, no record");
    row(cx, "ready", &format!("conformance server --url {url}/mcp"));
    tokio::spawn(async move {
        while signals.next().await != Asked::Stop {}
        shutdown.begin();
    });
    fixtures.serve().await;
    Ok(())
}

/// One thread when the machine has two cores or fewer, as the client needs one too; all but one otherwise.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match cores {
        0..=2 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        more => tokio::runtime::Builder::new_multi_thread().worker_threads(more - 1).enable_all().build(),
    }
}

fn inputs(cx: &Context, args: &ServeArgs) -> Result<Inputs, CliError> {
    let listen = args.listen.as_deref().map(address).transpose()?;
    Ok(Inputs {
        flags: Flags {
            socket: cx.globals.socket.clone().map(Into::into),
            listen,
            allow_remote: args.allow_remote,
            data_dir: args.data_dir.clone(),
            drain: args.drain,
        },
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        config_file: args.config.clone(),
        env_file: args.env_file.clone(),
        paths: cx.paths()?.clone(),
    })
}

fn address(text: &str) -> Result<SocketAddr, CliError> {
    text.parse().map_err(|_| {
        CliError::usage(format!("`{text}` is not an address to listen on"))
            .hint("for example 127.0.0.1:8000 or [::1]:8000")
    })
}

fn announce(cx: &Context, started: &Started) {
    let row = |name: &str, text: String| row(cx, name, &text);
    row("toolctl", format!("{} · {}", env!("CARGO_PKG_VERSION"), started.listeners.join(" · ")));
    let new = if started.is_new { " (new: store, pepper and the desk's first customers)" } else { "" };
    row("state", format!("{}{new}", started.state.display()));
    let policies = match started.policies.as_slice() {
        [one] if one == "shipped" => {
            "shipped: reads run, operators and agents act, high risk asks the approvers".to_owned()
        }
        files => files.join(", "),
    };
    row("policy", policies);
    row("tools", format!("{}", started.tools));
    if started.restarted > 0 {
        row("resumed", format!("{} that an earlier daemon left", counted(started.restarted, "call", "calls")));
    }
    if started.adopted > 0 {
        row("adopted", format!("{} that an earlier daemon began", counted(started.adopted, "command", "commands")));
    }
    if started.in_doubt > 0 {
        let calls = counted(started.in_doubt, "call", "calls");
        let text = format!("{calls} in doubt: toolctl calls list --state in_doubt");
        row("doubt", cx.ui.paint_err(Tone::Care, &text));
    }
    if started.detached > 0 {
        row("runs", format!("{} left to an earlier daemon; this one goes on", started.detached));
    }
    for note in &started.notes {
        row("note", note.clone());
    }
    row("ready", "in another terminal: toolctl tools list · toolctl call search_customer --query acme".to_owned());
}

fn row(cx: &Context, name: &str, text: &str) {
    let text = wrapped(text, cx.ui.seen.width_err, NAMES + 1);
    cx.ui.note(&format!("{} {text}", cx.ui.paint_err(Tone::Faint, &format!("{name:<NAMES$}"))));
}

fn log(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    // A second daemon in one process keeps the first one's log.
    let _first =
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false).try_init();
}

/// What keeps a daemon from starting, with the place in the file where there is one.
fn not_started(cannot: &CannotStart) -> CliError {
    let (code, exit) = match cannot {
        CannotStart::Config(_)
        | CannotStart::Policies(_)
        | CannotStart::Manifests(_)
        | CannotStart::Tools(_)
        | CannotStart::FailPoint(_) => ("config-invalid", Exit::Usage),
        CannotStart::Listen(_) => ("cannot-listen", Exit::Failure),
        CannotStart::Store(_) => ("store", Exit::Failure),
        CannotStart::File { .. }
        | CannotStart::Exposed { .. }
        | CannotStart::Pepper { .. }
        | CannotStart::Unavailable(_) => ("state", Exit::Failure),
    };
    CliError::new(exit, code, cannot.in_short()).errors(cannot.faults()).hint(cannot.hint())
}

//! What a server behind the daemon costs, S5: the same call of the same server, once by the official Rust SDK's client
//! and once through the daemon, whose read of a built-in tool has the same door, guards and durable wait and calls nobody.
//! The server is this program, started again, on the SDK's server.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt as _};

use super::daemon::{self, Daemon};
use super::load::{Connection, Operation};
use super::options::Options;
use super::report::{Goal, Report};
use super::{Fault, median};

/// The argument that makes this program the server.
pub const ANSWERS: &str = "__answers";

/// How long the daemon may take to have the server up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most that the daemon may add, in microseconds.
const ADDED: Goal = Goal::AtMost(100.0);

/// Measures.
///
/// # Errors
/// When daemon or server fail.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Fault> {
    let home = options.folder()?;
    let daemon = behind(home.path())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let turns = runtime.block_on(turns(&daemon.socket(), options.slice * options.rounds as u32))?;
    daemon.stop()?;
    let of = |what: fn(&Turn) -> Duration| median(turns.iter().map(|turn| what(turn).as_secs_f64() * 1e6).collect());
    let (direct, built_in, through) = (of(|turn| turn.direct), of(|turn| turn.built_in), of(|turn| turn.through));
    let added = |turn: &Turn| (turn.through.as_secs_f64() - (turn.direct + turn.built_in).as_secs_f64()) * 1e6;
    let figure = format!("{through:.1} µs through the daemon; direct {direct:.1} µs; a built-in read {built_in:.1} µs");
    let what = "p50 of what an upstream call costs beyond a built-in read and the same call direct";
    report.goal("S5", what, figure, (ADDED, "µs"), median(turns.iter().map(added).collect()));
    Ok(())
}

/// What one client waited for, one after the other.
struct Turn {
    /// A tool that the daemon has itself: the same door, guards and durable wait.
    built_in: Duration,
    /// The call, of a server of the client's own.
    direct: Duration,
    /// The call through the daemon.
    through: Duration,
}

/// Takes turns for so long. What is compared is asked in turn and not each by itself: a server that is called again
/// at once is still awake, with all it needs in its caches, and one whose callers wait for a disk in between is not.
async fn turns(socket: &Path, span: Duration) -> Result<Vec<Turn>, Fault> {
    let mut server = tokio::process::Command::new(std::env::current_exe()?);
    server.arg(ANSWERS).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut server = server.spawn()?;
    let pipes = server.stdout.take().zip(server.stdin.take()).ok_or("the server has no pipes")?;
    let client = ().serve(pipes).await?;
    let mut daemon = Connection::open(socket).await?;
    let (begun, mut turns) = (Instant::now(), Vec::new());
    while begun.elapsed() < span {
        let mut params = CallToolRequestParams::new("echo");
        params.arguments = serde_json::json!({"message": "nordic"}).as_object().cloned();
        let start = Instant::now();
        daemon.ask(Operation::NativeSearchCustomer).await?;
        let read = Instant::now();
        client.call_tool(params).await?;
        let called = Instant::now();
        daemon.ask(Operation::NativeUpstream).await?;
        turns.push(Turn { built_in: read - start, direct: called - read, through: called.elapsed() });
    }
    client.cancel().await?;
    Ok(turns)
}

/// A daemon with the server behind it, all of which is trusted.
fn behind(home: &Path) -> Result<Daemon, Fault> {
    let tools = daemon::config_in(home).join("tools");
    std::fs::create_dir_all(&tools)?;
    let own = std::env::current_exe()?;
    let table = format!(
        "[[upstream]]\nname = \"bench\"\ncommand = [{:?}, {ANSWERS:?}]\n[upstream.tools.echo]\neffect = \"readonly\"\n",
        own.display().to_string()
    );
    std::fs::write(tools.join("bench.toml"), table)?;
    let daemon = Daemon::start(home)?;
    let begun = Instant::now();
    while !daemon.get("/v1/upstreams")?.contains(r#""state":"up""#) {
        if begun.elapsed() > PATIENCE {
            return Err("the server did not come up".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut trust = Command::new(daemon::PROGRAM);
    trust.args(["tools", "trust", "bench", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !daemon::at_home(&mut trust, home).status()?.success() {
        return Err("the server could not be trusted".into());
    }
    Ok(daemon)
}

/// Is the server, until its input ends.
pub fn answers() -> ExitCode {
    let served = || -> Result<(), Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let server = Echo.serve((tokio::io::stdin(), tokio::io::stdout())).await?;
            server.waiting().await?;
            Ok(())
        })
    };
    match served() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            super::progress(&format!("error: {fault}"));
            ExitCode::FAILURE
        }
    }
}

/// One tool, which answers at once.
#[derive(Clone)]
struct Echo;

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = serde_json::json!({"type": "object", "properties": {"message": {"type": "string"}}});
        let schema = schema.as_object().cloned().unwrap_or_default();
        Ok(ListToolsResult::with_all_items(vec![Tool::new("echo", "Says it again.", schema)]))
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text("done")]).into())
    }
}

//! What MCP costs, S5: the same calls over REST (`POST /v1/calls`, whose answer is the call as a whole, as MCP's
//! is) and through the MCP door of one daemon, and, in the same rounds, a server of the official Rust SDK that
//! does nothing but answer. The thinnest face, `/tools/NAME`, is told beside them.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::UnixListener;

use super::daemon::Daemon;
use super::echo::Served;
use super::load::{self, Operation, Sample};
use super::options::Options;
use super::report::{Goal, Report};
use super::{Fault, median};

/// Connections under which the daemon is busy.
const CONNECTIONS: usize = 64;

/// Turns in which a round is taken.
const TURNS: usize = 8;

/// The most that the door may cost on top of the same call over REST.
const DOOR: Goal = Goal::AtMost(1.15);

/// Measures.
///
/// # Errors
/// When a server fails.
pub fn run(options: &Options, report: &mut Report) -> Result<(), Fault> {
    let (home, folder) = (options.folder()?, options.folder()?);
    let daemon = Daemon::start(home.path())?;
    let bare = Served::start(folder.path().join("rmcp"), accept)?;
    let pairs = [
        (Operation::NativeCreateTicket, Operation::McpCreateTicket),
        (Operation::NativeSearchCustomer, Operation::McpSearchCustomer),
    ];
    let mut costs = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // A machine is now quick and now slow: the two are compared in many short turns, each of them first in half.
    let (turns, turn) = (options.rounds * TURNS, options.slice / TURNS as u32);
    for number in 0..turns {
        for ((rest, mcp), cost) in pairs.into_iter().zip(&mut costs) {
            let mut one = |operation| -> Result<(), Fault> {
                let (cpu, sample) = cpu(&daemon, operation, turn)?;
                if operation == rest {
                    cost.0.push(cpu)
                } else {
                    cost.1.push(cpu)
                }
                if operation == Operation::McpCreateTicket {
                    ours.push(sample.rate());
                }
                Ok(())
            };
            let (first, second) = if number % 2 == 0 { (rest, mcp) } else { (mcp, rest) };
            one(first)?;
            one(second)?;
        }
        theirs.push(load::drive(bare.socket(), Operation::McpSearchCustomer, CONNECTIONS, turn)?.rate());
    }
    for operation in [Operation::CreateTicket, Operation::SearchCustomer] {
        let what = format!("CPU a {} over /tools/{}", operation.name(), operation.name());
        report.figure("S5", what, format!("{:.1} µs", cpu(&daemon, operation, options.slice)?.0));
    }
    for ((_, mcp), (rest, door)) in pairs.into_iter().zip(costs) {
        let ratio = median(rest.iter().zip(&door).map(|(rest, door)| door / rest).collect());
        let figure = format!("{:.1} µs; over REST {:.1} µs", median(door), median(rest));
        report.goal("S5", format!("CPU a {} over MCP", mcp.name()), figure, (DOOR, "× REST"), ratio);
    }
    let ratio = median(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect());
    let figure = format!("{:.0}/s; rmcp {:.0}/s", median(ours), median(theirs));
    let what = format!("durable create_ticket over MCP, {CONNECTIONS} connections, against rmcp that only answers");
    report.goal("S5", what, figure, (Goal::AtLeast(1.0), "× rmcp"), ratio);
    Ok(())
}

/// Microseconds of CPU a call, and the calls.
fn cpu(daemon: &Daemon, operation: Operation, span: Duration) -> Result<(f64, Sample), Fault> {
    let before = daemon.on_cpu()?;
    let sample = load::drive(&daemon.socket(), operation, CONNECTIONS, span)?;
    let used = daemon.on_cpu()?.saturating_sub(before).as_secs_f64() * 1e6;
    Ok((used / sample.calls as f64, sample))
}

/// Answers every call at once, and keeps nothing.
#[derive(Clone)]
struct Answers;

impl ServerHandler for Answers {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text("done")]).into())
    }
}

/// The SDK's server, stateless and with plain JSON: the fastest way it has.
async fn accept(listener: UnixListener) {
    let mut config = StreamableHttpServerConfig::default();
    config.legacy_session_mode = false;
    config.json_response = true;
    let sessions = Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(|| Ok(Answers), sessions, config);
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

//! Servers at a URL: the official SDK's, in both eras, and ones that do everything wrong that HTTP lets them do.

use std::borrow::Cow;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, ListToolsResult,
    PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};

use super::{call, server, until_up};
use crate::support::server::{answer, raw};
use crate::support::{Daemon, Heard, Server, until};

/// The SDK's server with one tool, for the revisions it is told.
#[derive(Clone)]
struct Official(Vec<ProtocolVersion>);

impl ServerHandler for Official {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.0.clone().into()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({"type": "object", "properties": {"x": {"type": "string"}}});
        let schema = schema.as_object().cloned().expect("an object");
        Ok(ListToolsResult::with_all_items(vec![Tool::new("say", "Says it again.", schema)]))
    }

    async fn call_tool(
        &self,
        asked: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let said = asked.arguments.and_then(|all| all.get("x").cloned()).unwrap_or_default();
        Ok(CallToolResult::success(vec![ContentBlock::text(said.as_str().unwrap_or_default().to_owned())]).into())
    }
}

/// Starts it on loopback; it serves until the test ends.
fn official(versions: &[ProtocolVersion], json_response: bool) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.set_nonblocking(true).expect("nonblocking");
    let (address, versions) = (listener.local_addr().expect("an address"), versions.to_vec());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let mut config = StreamableHttpServerConfig::default();
            config.json_response = json_response;
            let sessions = std::sync::Arc::new(LocalSessionManager::default());
            let service = StreamableHttpService::new(move || Ok(Official(versions.clone())), sessions, config);
            while let Ok((stream, _)) = listener.accept().await {
                let service = hyper_util::service::TowerToHyperService::new(service.clone());
                let stream = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
            }
        });
    });
    address
}

/// A daemon with the server at this address behind it.
fn behind(address: &str, more: &str, environment: &[(&str, &str)]) -> Daemon {
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], environment);
    std::fs::write(daemon.dir().join(".env"), crate::support::daemon::UNHURRIED).expect("the env file");
    let table =
        format!("[[upstream]]\nname = \"far\"\nurl = \"http://{address}/mcp\"\nallow = [\"{address}\"]\n{more}\n");
    daemon.configure("tools/far.toml", &table);
    daemon.configure("policies/all.cedar", "@id(\"everything\")\npermit (principal, action, resource);\n");
    daemon.restart();
    daemon
}

fn trusted(daemon: &Daemon) {
    until_up(daemon);
    daemon.cli(&["tools", "trust", "far", "--yes"]).exits(0);
}

#[test]
fn the_official_server_is_spoken_to_in_both_eras_and_both_ways() {
    for (version, json_response) in [
        (ProtocolVersion::V_2026_07_28, true),
        (ProtocolVersion::V_2026_07_28, false),
        (ProtocolVersion::V_2025_11_25, true),
        (ProtocolVersion::V_2025_11_25, false),
    ] {
        let address = official(std::slice::from_ref(&version), json_response);
        let daemon = behind(&address.to_string(), "", &[]);
        trusted(&daemon);
        assert_eq!(server(&daemon)["protocol"], version.to_string());
        let said = call(&daemon, "far.say", &json!({"x": "hällo"}));
        assert_eq!(said["output"], json!({"content": [{"type": "text", "text": "hällo"}]}), "{version} {said}");
    }
}

/// What a small server of today answers, but for `tools/call`.
fn usual(heard: &Heard) -> Option<String> {
    let message: Value = serde_json::from_str(&heard.body).ok()?;
    let result = match message["method"].as_str()? {
        "server/discover" => {
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
        }
        "tools/list" => json!({"resultType": "complete", "tools": [super::fake::tool("act", "Acts.")]}),
        _ => return None,
    };
    Some(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string())
}

fn json_answer(stream: &mut TcpStream, body: &str) {
    let length = body.len();
    raw(
        stream,
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
            .as_bytes(),
    );
}

/// A server whose answer to `tools/call` is `acts`.
fn doing(acts: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Server {
    Server::start(move |heard, stream| match usual(heard) {
        Some(body) => json_answer(stream, &body),
        None => {
            let message: Value = serde_json::from_str(&heard.body).unwrap_or_default();
            acts(&message["id"].to_string(), stream);
        }
    })
}

/// State, effect and code of a call of a tool of this class at this server.
fn outcome(server: &Server, effect: &str) -> (String, String, String) {
    let more = format!("timeout = \"3s\"\noutput_limit = \"4 KiB\"\n[upstream.tools.act]\neffect = \"{effect}\"\n");
    let daemon = behind(&server.place(), &more, &[]);
    trusted(&daemon);
    let answer = call(&daemon, "far.act", &json!({}));
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (word(&answer["state"]), word(&answer["effect"]), word(&answer["error"]["code"]))
}

#[track_caller]
fn expect(server: &Server, once: (&str, &str, &str), reads: (&str, &str, &str)) {
    for (effect, (state, left, code)) in [("once", once), ("readonly", reads)] {
        assert_eq!(outcome(server, effect), (state.to_owned(), left.to_owned(), code.to_owned()), "{effect}");
    }
}

const DOUBT: (&str, &str, &str) = ("in_doubt", "unknown", "outcome-unknown");

#[test]
fn a_connection_that_breaks_is_in_doubt_unless_it_only_reads() {
    let hangs_up = doing(|_, _| {});
    expect(&hangs_up, DOUBT, ("failed", "none", "tool-failed"));
    let half = doing(|id, stream| {
        raw(
            stream,
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{{\"id\":{id}")
                .as_bytes(),
        );
    });
    expect(&half, DOUBT, ("failed", "none", "tool-failed"));
    let stream_ends = doing(|_, stream| {
        raw(stream, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: wait\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n");
    });
    expect(&stream_ends, DOUBT, ("failed", "none", "tool-failed"));
}

#[test]
fn an_answer_without_an_end_is_given_up() {
    let endless = doing(|id, stream| {
        raw(
            stream,
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {{\"id\":{id},\"result\":{{\"x\":\""
            )
            .as_bytes(),
        );
        let block = [b'x'; 64 << 10];
        while std::io::Write::write_all(stream, &block).is_ok() {}
    });
    expect(&endless, DOUBT, ("failed", "none", "output-invalid"));
    let silent = doing(|_, stream| {
        raw(stream, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        std::thread::sleep(std::time::Duration::from_secs(20));
    });
    expect(&silent, DOUBT, ("failed", "none", "tool-timeout"));
}

#[test]
fn a_refusal_is_told_and_a_failing_server_leaves_doubt() {
    let unavailable = doing(|_, stream| answer(stream, 502, "bad gateway"));
    expect(&unavailable, DOUBT, ("failed", "none", "tool-failed"));
    let elsewhere = doing(|_, stream| {
        raw(stream, b"HTTP/1.1 307 X\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n");
    });
    expect(&elsewhere, ("failed", "unknown", "tool-failed"), ("failed", "none", "tool-failed"));
    let fault = doing(|id, stream| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32602,"message":"no such tool"}}}}"#);
        let length = body.len();
        raw(
            stream,
            format!("HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
                .as_bytes(),
        );
    });
    expect(&fault, ("failed", "unknown", "tool-failed"), ("failed", "none", "tool-failed"));
    let daemon = behind(&fault.place(), "", &[]);
    trusted(&daemon);
    let told = call(&daemon, "far.act", &json!({}));
    assert!(told["error"]["detail"].as_str().expect("text").contains("no such tool (-32602)"), "{told}");
}

/// A server of 2025-11-25 with sessions, which answers `tools/call` with 404 and `says` of the request's id.
fn forgetful(says: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
    Server::start(move |heard, stream| {
        let message: Value = serde_json::from_str(&heard.body).unwrap_or_default();
        let id = message["id"].to_string();
        let result = |stream: &mut TcpStream, result: Value| {
            let body = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
            let length = body.len();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s1";
            raw(stream, format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes());
        };
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => result(
                stream,
                json!({
                    "protocolVersion": "2025-11-25",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "far", "version": "1"},
                }),
            ),
            "tools/list" => result(stream, json!({"tools": [super::fake::tool("act", "Acts.")]})),
            "tools/call" => {
                let body = says(&id);
                let length = body.len();
                let head = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json";
                raw(stream, format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes());
            }
            "server/discover" => {
                let error = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"no"}}}}"#);
                json_answer(stream, &error);
            }
            _ => raw(stream, b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
        }
    })
}

fn calls(server: &Server) -> usize {
    server.heard().iter().filter(|heard| heard.body.contains("\"tools/call\"")).count()
}

#[test]
fn a_404_in_a_session_is_no_proof_that_nothing_ran() {
    let fault =
        |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32001,"message":"no such invoice"}}}}"#);
    let word = |found: (&str, &str, &str)| (found.0.to_owned(), found.1.to_owned(), found.2.to_owned());
    // Behind a tool that ran, or a session that is gone: nobody knows, and it is not sent again.
    let bare = forgetful(|_| String::new());
    assert_eq!(outcome(&bare, "once"), word(DOUBT));
    assert_eq!(calls(&bare), 1);
    // In the words of the protocol, about this request: that is its answer.
    let answered = forgetful(move |id| fault(id));
    assert_eq!(outcome(&answered, "once"), word(("failed", "unknown", "tool-failed")));
    assert_eq!(calls(&answered), 1);
    // About none: the session is gone and the request was not taken, and it is begun anew a few times at most.
    let gone = forgetful(move |_| fault("null"));
    assert_eq!(outcome(&gone, "once"), word(("failed", "none", "tool-failed")));
    assert!((1..=4).contains(&calls(&gone)), "{}", calls(&gone));
}

#[test]
fn a_server_is_shown_its_secret_and_nobody_else_is() {
    let server = doing(|id, stream| {
        let content = r#"[{"type":"text","text":"you are s3cr3t-token"}]"#;
        json_answer(stream, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":{content}}}}}"#));
    });
    let more = "auth = { bearer = \"env:FAR_TOKEN\" }\nheaders = { X-Team = \"ops\" }\n";
    let daemon = behind(&server.place(), more, &[("FAR_TOKEN", "s3cr3t-token")]);
    trusted(&daemon);
    let said = call(&daemon, "far.act", &json!({}));
    assert_eq!(said["output"]["content"][0]["text"], "you are ‹secret:env:FAR_TOKEN›", "{said}");
    let heard = server.heard();
    assert!(
        heard.iter().all(|one| one.headers["authorization"] == "Bearer s3cr3t-token" && one.headers["x-team"] == "ops")
    );
    let called = heard.last().expect("a call");
    assert_eq!((called.headers["mcp-method"].as_str(), called.headers["mcp-name"].as_str()), ("tools/call", "act"));
    assert_eq!(called.headers["mcp-protocol-version"], "2026-07-28");
    for place in ["/v1/upstreams", "/v1/tools", "/v1/audit", "/v1/status"] {
        let said = String::from_utf8(daemon.http("GET", place).send().body).expect("UTF-8");
        assert!(!said.contains("s3cr3t-token"), "{place}");
    }
    let files = std::fs::read_dir(daemon.state().join("pins")).expect("pins");
    for file in files.filter_map(Result::ok) {
        assert!(!std::fs::read_to_string(file.path()).expect("text").contains("s3cr3t-token"));
        assert_mode(&file.path(), 0o600);
    }
}

#[track_caller]
fn assert_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(path).expect("a file").permissions().mode() & 0o777, mode, "{}", path.display());
}

#[test]
fn arguments_are_mirrored_in_headers_where_their_schema_wants_it() {
    let schema = json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"}, "count": {"type": "integer", "x-mcp-header": "Count"},
        "odd": {"type": "string", "x-mcp-header": "no header"}, "plain": {"type": "string"},
    }});
    let listed = json!({"name": "act", "description": "Acts.", "inputSchema": schema});
    let server = Server::start(move |heard, stream| {
        let message: Value = serde_json::from_str(&heard.body).unwrap_or_default();
        let result = match message["method"].as_str().unwrap_or_default() {
            "tools/list" => json!({"resultType": "complete", "tools": [listed]}),
            "tools/call" => json!({"content": []}),
            _ => return json_answer(stream, &usual(heard).expect("an answer")),
        };
        json_answer(stream, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string());
    });
    let daemon = behind(&server.place(), "", &[]);
    trusted(&daemon);
    let arguments = json!({"region": "södra", "count": 42, "odd": "x", "plain": "y"});
    assert_eq!(call(&daemon, "far.act", &arguments)["state"], "succeeded");
    let heard = server.heard();
    let called = heard.last().expect("a call");
    let mirrored: Vec<_> = called.headers.iter().filter(|(name, _)| name.starts_with("mcp-param")).collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = [pair("mcp-param-count", "42"), pair("mcp-param-region", "=?base64?c8O2ZHJh?=")];
    assert_eq!(mirrored, expected.iter().map(|(name, value)| (name, value)).collect::<Vec<_>>());
    // What is not there, or null, is not mirrored.
    call(&daemon, "far.act", &json!({"plain": "y"}));
    let heard = server.heard();
    assert!(heard.last().expect("a call").headers.keys().all(|name| !name.starts_with("mcp-param")));
}

/// A server of yesterday that tells of changes on a stream of its own, as often as it is asked for one, and lists one
/// tool more each time that it has told.
fn telling(streams: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Server {
    let told = AtomicUsize::new(0);
    Server::start(move |heard, stream| {
        if heard.method == "GET" {
            assert_eq!(
                (heard.headers["accept"].as_str(), heard.headers["mcp-session-id"].as_str()),
                ("text/event-stream", "s1")
            );
            return streams(told.fetch_add(1, Ordering::AcqRel), stream);
        }
        let message: Value = serde_json::from_str(&heard.body).unwrap_or_default();
        let tools = |more: usize| {
            let tool = |number| super::fake::tool(&format!("t{number}"), "Acts.");
            json!({"tools": (0..=more).map(tool).collect::<Vec<_>>()})
        };
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": true}}}),
            "tools/list" => tools(told.load(Ordering::Acquire)),
            "server/discover" => {
                let error = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}});
                return json_answer(stream, &error.to_string());
            }
            _ => return raw(stream, b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
        };
        let body = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s1";
        raw(stream, format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    })
}

const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

#[test]
fn a_change_that_a_server_of_yesterday_tells_on_its_stream_is_seen_at_once() {
    // Far sooner than the minute after which a list is looked at anyway. The stream ends, and is asked for again.
    let server = telling(|_, stream| {
        raw(stream, STREAM);
        raw(stream, b": here\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n");
    });
    let daemon = behind(&server.place(), "", &[]);
    until_up(&daemon);
    until(|| (super::states(&daemon).len() >= 3).then_some(()));
    assert_eq!(super::server(&daemon)["state"], "up", "a stream that ends is no end of the conversation");
    assert!(server.heard().iter().filter(|heard| heard.body.contains("\"initialize\"")).count() == 1);
}

#[test]
fn a_server_without_a_stream_of_its_own_is_asked_for_it_once() {
    let server = telling(|_, stream| answer(stream, 405, ""));
    let daemon = behind(&server.place(), "", &[]);
    until_up(&daemon);
    let asked = || server.heard().iter().filter(|heard| heard.method == "GET").count();
    until(|| (asked() == 1).then_some(()));
    daemon.cli(&["tools", "trust", "far", "--yes"]).exits(0);
    assert_eq!(call(&daemon, "far.t0", &json!({}))["effect"], "unknown", "it answers no calls");
    assert_eq!(asked(), 1);
}

#[test]
fn a_private_address_that_is_not_listed_is_not_reached() {
    let server = doing(|_, _| {});
    let daemon = Daemon::prepared(&[], &[]);
    daemon.configure("tools/far.toml", &format!("[[upstream]]\nname = \"far\"\nurl = \"{}/mcp\"\n", server.url()));
    let (_, said) = daemon.refuses();
    assert!(said.contains("is a loopback address"), "{said}");
    let mut daemon = Daemon::prepared(&[], &[]);
    let (_, port) =
        server.place().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).expect("a port");
    daemon
        .configure("tools/far.toml", &format!("[[upstream]]\nname = \"far\"\nurl = \"http://localhost:{port}/mcp\"\n"));
    daemon.restart();
    let down = until(|| Some(super::server(&daemon)).filter(|server| server["state"] == "down"));
    assert!(down["problem"].as_str().expect("why").contains("address"), "{down}");
    assert_eq!(server.heard(), Vec::<Heard>::new());
}

#[test]
fn a_server_that_is_not_there_runs_nothing() {
    let server = doing(|_, _| {});
    let daemon = behind(&server.place(), "", &[]);
    trusted(&daemon);
    drop(server);
    let answer = call(&daemon, "far.act", &json!({}));
    assert_eq!((&answer["state"], &answer["effect"]), (&json!("failed"), &json!("none")), "{answer}");
}

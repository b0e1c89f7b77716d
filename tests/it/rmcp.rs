//! The official Rust client of MCP, over the daemon's socket, in both eras: what it lists, calls, is kept waiting
//! for and is told.

use std::sync::Arc;

use rmcp::model::{CallToolRequestParams, CallToolResult, MetaObject, ProtocolVersion, RequestMetaObject, Tool};
use rmcp::service::{NotificationContext, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::Daemon;

/// A client that hears when the list of tools changes.
#[derive(Clone, Default)]
struct Ears(Arc<Notify>);

impl ClientHandler for Ears {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.notify_one();
    }
}

type Client = RunningService<RoleClient, Ears>;

async fn connect(daemon: &Daemon, key: &str, lifecycle: ClientLifecycleMode, ears: Ears) -> Client {
    let config = StreamableHttpClientTransportConfig::with_uri("http://localhost/mcp").auth_header(key);
    let socket = daemon.socket();
    let socket = socket.to_str().expect("a path in UTF-8");
    let transport = StreamableHttpClientTransport::from_unix_socket_with_config(socket, config);
    ears.serve_with_lifecycle(transport, lifecycle).await.expect("a conversation")
}

fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

async fn call(client: &Client, tool: &'static str, arguments: Value, key: Option<&str>) -> CallToolResult {
    let mut params = CallToolRequestParams::new(tool);
    params.arguments = arguments.as_object().cloned();
    params.meta = key.map(|key| {
        let mut meta = MetaObject::default();
        meta.insert("dev.toolctl/idempotency-key".to_owned(), json!(key));
        RequestMetaObject(meta)
    });
    client.call_tool(params).await.expect("an answer")
}

fn structured(result: &CallToolResult) -> Value {
    let structured = result.structured_content.clone().expect("structured content");
    let text = serde_json::to_value(&result.content).expect("content");
    let text: Value = serde_json::from_str(text[0]["text"].as_str().expect("text")).expect("JSON text");
    assert_eq!(text, structured, "the same facts in both");
    structured
}

fn named<'a>(tools: &'a [Tool], name: &str) -> &'a Tool {
    tools.iter().find(|tool| tool.name == name).unwrap_or_else(|| panic!("no `{name}`"))
}

fn offers_key(tool: &Tool) -> bool {
    tool.input_schema["properties"].get("idempotency_key").is_some()
}

async fn story(lifecycle: ClientLifecycleMode) {
    let mut daemon = Daemon::prepared(&[], &[]);
    daemon.configure("toolctl.toml", "[mcp]\nhold = \"0s\"\n");
    daemon.restart();
    let (bot, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    let client = connect(&daemon, &bot, lifecycle, Ears::default()).await;

    let tools = client.list_all_tools().await.expect("tools");
    let search = named(&tools, "search_customer").annotations.clone().expect("annotations");
    assert_eq!((search.read_only_hint, search.open_world_hint), (Some(true), Some(false)));
    assert!(!offers_key(named(&tools, "search_customer")) && offers_key(named(&tools, "create_ticket")));
    assert!(tools.iter().all(|tool| tool.annotations.as_ref().is_some_and(|hints| {
        hints.read_only_hint.is_some()
            && hints.destructive_hint.is_some()
            && hints.idempotent_hint.is_some()
            && hints.open_world_hint.is_some()
    })));

    let found = call(&client, "search_customer", json!({"query": "acme"}), None).await;
    assert_eq!(structured(&found)["results"][0]["name"], "ACME AB");
    let ticket = json!({"customer_id": 1, "title": "Login broken"});
    let first = call(&client, "create_ticket", ticket.clone(), Some("t-1")).await;
    let again = call(&client, "create_ticket", ticket, Some("t-1")).await;
    assert_eq!(structured(&first), structured(&again));
    assert_eq!(again.meta.as_ref().expect("meta").get("dev.toolctl/replayed"), Some(&json!(true)));

    let status = json!({"customer_id": 2, "new_status": "Paused"});
    let pending = call(&client, "update_customer_status", status.clone(), Some("s-1")).await;
    assert_eq!(pending.is_error, Some(true));
    let text = serde_json::to_value(&pending.content).expect("content");
    let pending: Value = serde_json::from_str(text[0]["text"].as_str().expect("text")).expect("JSON text");
    assert_eq!((&pending["status"], &pending["executed"]), (&json!("approval_pending"), &json!(false)));
    let id = pending["approval_id"].as_str().expect("an approval").to_owned();
    let decided = daemon.cli(&["approve", &id, "--yes"]).key(&anna);
    tokio::task::spawn_blocking(move || assert_eq!(decided.ends().code, Some(0))).await.expect("decided");
    let waited = call(&client, "toolctl_wait", json!({"approval_id": id}), None).await;
    assert_eq!(structured(&waited)["customer"]["status"], "Paused");
    let again = call(&client, "update_customer_status", status, Some("s-1")).await;
    assert_eq!(structured(&again)["customer"]["status"], "Paused");
    client.cancel().await.expect("the conversation ends");
}

#[tokio::test]
async fn the_official_client_of_2025_11_25() {
    story(ClientLifecycleMode::Initialize).await;
}

#[tokio::test]
async fn the_official_client_of_2026_07_28() {
    story(modern()).await;
}

#[tokio::test]
async fn a_legacy_client_hears_that_its_tools_changed() {
    let daemon = Daemon::start();
    let (bot, ears) = (daemon.agent("bot"), Ears::default());
    let client = connect(&daemon, &bot, ClientLifecycleMode::Initialize, ears.clone()).await;
    let can_send =
        async || client.list_all_tools().await.expect("tools").iter().any(|tool| tool.name == "send_message");
    assert!(can_send().await);
    let forbid = "@id(\"quiet\") forbid(principal, action == Toolctl::Action::\"send_message\", resource);";
    let permit = "@id(\"all\") permit(principal, action, resource);";
    daemon.configure("policies/some.cedar", &format!("{permit}\n{forbid}\n"));
    let heard = ears.0.notified();
    let reload = daemon.cli(&["reload"]);
    tokio::task::spawn_blocking(move || assert_eq!(reload.ends().code, Some(0))).await.expect("reloaded");
    heard.await;
    assert!(!can_send().await);
    client.cancel().await.expect("the conversation ends");
}

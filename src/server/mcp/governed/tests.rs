//! Whole answers of the governed tools, over a path in memory.

mod call;
mod list;
mod own;
mod pending;
mod results;

use serde_json::json;

use super::*;
use crate::api::mcp::meta;
use crate::domain::audit::AuditRecord;
use crate::domain::tool::Tool;
use crate::pipeline::tests::world::{World, who};
use crate::server::Shutdown;
use crate::server::mcp::exchange::{Asks, Messages, Outlet};
use crate::server::mcp::params::Params;
use crate::server::mcp::talk::Mcp;
use crate::store::MemoryStore;

const MODERN: Version = Version::V2026_07_28;
const RAISE: &str = "update_customer_status";

/// A world and a door in front of it.
struct House {
    world: World,
    governed: Arc<Governed>,
    mcp: Arc<Mcp>,
}

/// What a caller sends beside the request.
#[derive(Default)]
struct Extra {
    meta: Value,
    header_key: Option<&'static str>,
    header_trace: Option<&'static str>,
}

async fn house() -> House {
    let world = World::over(Arc::new(MemoryStore::new())).await.unwrap();
    let seal = Seal::new([7; 32]);
    let governed = Arc::new(Governed::new(Arc::clone(&world.path), seal.clone(), Duration::from_millis(20)));
    let service: Arc<dyn Service> = governed.clone();
    let mcp = Arc::new(Mcp { service, seal, asks: Arc::new(Asks::default()), shutdown: Shutdown::new() });
    House { world, governed, mcp }
}

fn exchange(name: &str, version: Version, extra: Extra) -> (Exchange, Messages) {
    let (outlet, messages) = Outlet::new();
    let exchange = Exchange {
        version,
        presented: who(name),
        client: Some("claude-code 2.1.330".to_owned()),
        capabilities: Arc::default(),
        meta: Arc::new(extra.meta.as_object().cloned().unwrap_or_default()),
        header_key: extra.header_key.map(str::to_owned),
        header_trace: extra.header_trace.map(str::to_owned),
        outlet,
        gone: Shutdown::new(),
        shows_leaving: true,
        asks: None,
    };
    (exchange, messages)
}

fn request(method: &str, params: &str) -> Request {
    Request { id: "7".to_owned(), method: method.to_owned(), params: Params::of(params) }
}

impl House {
    async fn ask(&self, name: &str, version: Version, method: &str, params: &str, extra: Extra) -> Value {
        let (exchange, _messages) = exchange(name, version, extra);
        let (_, text) = self.mcp.respond(request(method, params), exchange).await;
        serde_json::from_str(&text).unwrap()
    }

    /// A call in 2026-07-28.
    async fn call(&self, name: &str, tool: &str, arguments: Value) -> Value {
        self.call_with(name, tool, arguments, Extra::default()).await
    }

    async fn call_with(&self, name: &str, tool: &str, arguments: Value, extra: Extra) -> Value {
        let params = json!({ "name": tool, "arguments": arguments }).to_string();
        self.ask(name, MODERN, "tools/call", &params, extra).await["result"].take()
    }

    async fn list(&self, name: &str, version: Version) -> Vec<Value> {
        let mut answer = self.ask(name, version, "tools/list", "{}", Extra::default()).await;
        match answer["result"]["tools"].take() {
            Value::Array(tools) => tools,
            _ => panic!("{answer}"),
        }
    }

    async fn names(&self, name: &str) -> Vec<String> {
        let tools = self.list(name, MODERN).await;
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What the first record of the newest call says about how its request came.
    async fn labels(&self) -> Value {
        let entries = self.world.store.read(0, 10_000).await.unwrap();
        let records = entries.iter().map(|entry| serde_json::from_str::<AuditRecord>(&entry.leaf).unwrap());
        let records: Vec<_> = records.filter(|record| record.call.is_some()).collect();
        let newest = records.last().unwrap().call;
        json!(records.iter().find(|record| record.call == newest).unwrap().detail)
    }

    async fn key_from(&self) -> Value {
        self.labels().await["key_from"].take()
    }
}

fn message() -> Value {
    json!({ "channel": "#ops", "message": "hi" })
}

fn status() -> Value {
    json!({ "customer_id": 1, "new_status": "Paused" })
}

/// The JSON in the text of a result, which holds the same facts as its structured content.
fn text(result: &Value) -> Value {
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    if let Some(structured) = result.get("structuredContent") {
        assert_eq!(*structured, text, "the same facts in both");
    }
    text
}

fn without(mut object: Value, names: &[&str]) -> Value {
    for name in names {
        object.as_object_mut().unwrap().remove(*name);
    }
    object
}

/// A tool of the desk.
fn tool(name: &str) -> Tool {
    crate::tool::desk::tools().into_iter().find(|tool| tool.name.as_str() == name).unwrap()
}

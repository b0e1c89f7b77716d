//! The conversation itself, the same over HTTP and over lines: in which revision a request is, the answers that
//! are about the conversation and not about tools, and how a result is written in each revision.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::mcp::{self, Era, Fault, Version, meta};
use crate::pipeline::port::Wait;
use crate::server::Shutdown;

pub use super::envelope::{Envelope, name_and_version};
use super::exchange::{Asks, Exchange};
use super::message::Request;
use super::seal::Seal;
use super::service::{Body, Change, Changes, Service};

/// An answer in the making: gives its HTTP status, and the whole message.
pub struct Responding {
    id: String,
    version: Version,
    result: Wait<'static, Result<Body, Fault>>,
}

impl Future for Responding {
    type Output = (u16, String);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.result.as_mut().poll(cx).map(|result| match result {
            Ok(body) => (200, write(&self.id, self.version, body)),
            Err(fault) => (fault.status, fault.answer(&self.id)),
        })
    }
}

/// What all conversations share.
pub struct Mcp {
    /// Answers what is not about the conversation.
    pub service: Arc<dyn Service>,
    /// Seals what clients bring back.
    pub seal: Seal,
    /// Our own requests to clients.
    pub asks: Arc<Asks>,
    /// The order to stop.
    pub shutdown: Shutdown,
}

impl Mcp {
    /// Answers one request.
    pub fn respond(self: &Arc<Self>, request: Request, exchange: Exchange) -> Responding {
        let (id, version) = (request.id.clone(), exchange.version);
        Responding { id, version, result: self.answer(request, exchange) }
    }

    fn answer(self: &Arc<Self>, request: Request, exchange: Exchange) -> Wait<'static, Result<Body, Fault>> {
        let at_once = |result| -> Wait<'static, _> { Box::pin(ready(result)) };
        match (request.method.as_str(), exchange.era()) {
            ("initialize", Era::Legacy) => {
                let capabilities = self.service.capabilities(exchange.version);
                at_once(Ok(Body::of(&mcp::initialize(exchange.version, &capabilities, self.service.instructions()))))
            }
            ("ping", Era::Legacy) => at_once(Ok(Body::of(&json!({})))),
            ("initialize" | "ping", Era::Modern) => at_once(Err(Fault::method_not_found(&request.method))),
            ("server/discover", Era::Modern) => {
                let capabilities = self.service.capabilities(exchange.version);
                at_once(Ok(Body::discovered(&capabilities, self.service.instructions())))
            }
            ("subscriptions/listen", Era::Modern) => {
                let mcp = Arc::clone(self);
                Box::pin(async move { mcp.listen(&request, exchange).await })
            }
            _ => Arc::clone(&self.service).answer(request, exchange),
        }
    }

    /// Tells a modern client what changes, until it goes or the daemon stops.
    async fn listen(&self, request: &Request, exchange: Exchange) -> Result<Body, Fault> {
        let wanted = Wanted::of(request)?;
        let id: Value = serde_json::from_str(&request.id).unwrap_or_default();
        // Followed before it is acknowledged: what changes in between is told.
        let mut changes = self.service.follow(&exchange.presented);
        let tagged = |mut params: Value| {
            if let Some(members) = params.as_object_mut() {
                members.insert("_meta".to_owned(), json!({ (meta::SUBSCRIPTION): id }));
            }
            params
        };
        let acknowledged =
            tagged(json!({ "notifications": wanted.honoured(&self.service.capabilities(exchange.version)) }));
        let mut read = exchange.notify("notifications/subscriptions/acknowledged", acknowledged).await;
        while read {
            let change = tokio::select! {
                change = changes.next() => change,
                () = self.shutdown.begun() => None,
                () = exchange.gone.begun() => None,
            };
            let Some(change) = change else { break };
            if wanted.wants(&change) {
                let (method, params) = told(&change);
                read = exchange.notify(method, tagged(params)).await;
            }
        }
        Ok(Body::of(&json!({})).meta(meta::SUBSCRIPTION, &id))
    }

    /// Tells a legacy client what changes, on the stream behind `exchange`, until it goes or the daemon stops.
    pub async fn tell_changes(&self, mut changes: Box<dyn Changes>, exchange: &Exchange) {
        loop {
            let change = tokio::select! {
                change = changes.next() => change,
                () = self.shutdown.begun() => None,
                () = exchange.gone.begun() => None,
            };
            let Some(change) = change else { return };
            let (method, params) = told(&change);
            if !exchange.notify(method, params).await {
                return;
            }
        }
    }
}

fn told(change: &Change) -> (&'static str, Value) {
    match change {
        Change::Tools => ("notifications/tools/list_changed", json!({})),
        Change::Prompts => ("notifications/prompts/list_changed", json!({})),
    }
}

/// What a listener wants to be told.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wanted {
    tools_list_changed: bool,
    prompts_list_changed: bool,
}

impl Wanted {
    fn of(request: &Request) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Params {
            notifications: Wanted,
        }
        request.params.read().map(|Params { notifications }| notifications)
    }

    fn wants(&self, change: &Change) -> bool {
        match change {
            Change::Tools => self.tools_list_changed,
            Change::Prompts => self.prompts_list_changed,
        }
    }

    /// The part of it that this server can keep: what it advertises.
    fn honoured(&self, capabilities: &Map<String, Value>) -> Map<String, Value> {
        let says = |capability: &str, what: &str| {
            capabilities.get(capability).and_then(|said| said.get(what)).is_some_and(|said| *said == true)
        };
        let mut honoured = Map::new();
        let lists = [
            ("toolsListChanged", self.tools_list_changed, "tools"),
            ("promptsListChanged", self.prompts_list_changed, "prompts"),
        ];
        for (name, wanted, capability) in lists {
            if wanted && says(capability, "listChanged") {
                honoured.insert(name.to_owned(), true.into());
            }
        }
        honoured
    }
}

/// The whole message of a result. What only modern clients know is left out for the others.
fn write(id: &str, version: Version, body: Body) -> String {
    const FRAME: usize = 256;
    let Body { members, kind, ttl_ms, meta } = body;
    let modern = version.era() == Era::Modern;
    let mut text = String::with_capacity(members.len() + FRAME);
    text.push_str(r#"{"jsonrpc":"2.0","id":"#);
    text.push_str(id);
    text.push_str(r#","result":{"#);
    let start = text.len();
    if modern {
        text.push_str(r#""resultType":""#);
        text.push_str(kind.word());
        text.push('"');
        if let Some(ttl) = ttl_ms {
            text.push_str(&format!(r#","ttlMs":{ttl},"cacheScope":"private""#));
        }
    }
    let mut member = |parts: &[&str]| {
        if text.len() > start {
            text.push(',');
        }
        parts.iter().for_each(|part| text.push_str(part));
    };
    if !members.is_empty() {
        member(&[&members]);
    }
    match (meta.as_str(), modern) {
        ("", true) => member(&[r#""_meta":{"#, WHO, "}"]),
        (said, true) => member(&[r#""_meta":{"#, said, ",", WHO, "}"]),
        ("", false) => {}
        (said, false) => member(&[r#""_meta":{"#, said, "}"]),
    }
    text.push_str("}}");
    text
}

/// The member of a modern result's `_meta` that names us, written: [`mcp::server_info`].
const WHO: &str = concat!(
    r#""io.modelcontextprotocol/serverInfo":{"name":"toolctl","title":"toolctl","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_written_in_the_words_of_its_revision() {
        let body = || Body::written(r#""tools":[]"#.to_owned()).ttl_ms(5).meta("a/b", &1);
        assert_eq!(
            write("7", Version::V2025_06_18, body()),
            r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[],"_meta":{"a/b":1}}}"#
        );
        let modern = write("\"x\"", Version::V2026_07_28, body());
        let info = mcp::server_info();
        assert_eq!(
            modern,
            format!(
                r#"{{"jsonrpc":"2.0","id":"x","result":{{"resultType":"complete","ttlMs":5,"cacheScope":"private","tools":[],"_meta":{{"a/b":1,"io.modelcontextprotocol/serverInfo":{info}}}}}}}"#
            )
        );
        assert_eq!(write("7", Version::V2025_03_26, Body::of(&json!({}))), r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
        let bare: Value = serde_json::from_str(&write("7", Version::V2026_07_28, Body::of(&json!({})))).unwrap();
        assert_eq!(bare["result"], json!({"resultType": "complete", "_meta": {(meta::SERVER_INFO): info}}));
    }
}

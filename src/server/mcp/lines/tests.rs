//! Conversations with a stand-in for the tools.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::*;
use crate::api::mcp::{Fault, Version, capabilities};
use crate::pipeline::port::Wait;
use crate::server::Shutdown;
use crate::server::mcp::exchange::Exchange;
use crate::server::mcp::message::Request;
use crate::server::mcp::seal::Seal;
use crate::server::mcp::service::{Body, Change, Changes, Service};

/// Answers `who`; `slow` once the test lets it, `stubborn` even then after its client took it back; `ask` what
/// its client answered.
struct Stand {
    let_go: Semaphore,
    begun: Semaphore,
    ended: Semaphore,
    changes: broadcast::Sender<()>,
}

impl Service for Stand {
    fn capabilities(&self, version: Version) -> Map<String, Value> {
        capabilities(version)
    }

    fn instructions(&self) -> &str {
        "ask"
    }

    fn answer(self: Arc<Self>, request: Request, exchange: Exchange) -> Wait<'static, Result<Body, Fault>> {
        Box::pin(async move {
            self.begun.add_permits(1);
            let said = match request.method.as_str() {
                "who" => json!({
                    "key": exchange.presented.key, "client": exchange.client, "version": exchange.version.word(),
                    "can": *exchange.capabilities,
                }),
                "slow" => {
                    tokio::select! {
                        permit = self.let_go.acquire() => permit.unwrap().forget(),
                        () = exchange.gone.begun() => {}
                    }
                    self.ended.add_permits(1);
                    json!({ "slow": true })
                }
                "ask" => {
                    let answer = exchange.ask("elicitation/create", json!({})).await;
                    self.ended.add_permits(1);
                    json!({ "answered": answer.map(|answer| answer.map(|text| text.get().to_owned())) })
                }
                "pretty" => return Ok(Body::written("\"a\": [\r\n  1\n]".to_owned())),
                "broken" => panic!("as it should"),
                other => return Err(Fault::method_not_found(other)),
            };
            Ok(Body::of(&said))
        })
    }

    fn recognise(&self, presented: &Presented) -> Result<String, Fault> {
        match (&presented.key, presented.uid) {
            (Some(key), _) if key == "tctl_good" => Ok("anna".to_owned()),
            (None, Some(uid)) => Ok(format!("os:{uid}")),
            _ => Err(Fault::own(401, "nobody knows this key")),
        }
    }

    fn follow(&self, _: &Presented) -> Box<dyn Changes> {
        struct Followed(broadcast::Receiver<()>);
        impl Changes for Followed {
            fn next(&mut self) -> Wait<'_, Option<Change>> {
                Box::pin(async { self.0.recv().await.ok().map(|()| Change::Tools) })
            }
        }
        Box::new(Followed(self.changes.subscribe()))
    }
}

/// A conversation and the client's end of it.
struct Client {
    stand: Arc<Stand>,
    shutdown: Shutdown,
    reader: BufReader<ReadHalf<DuplexStream>>,
    writer: Option<WriteHalf<DuplexStream>>,
    ended: JoinHandle<()>,
}

const LOCAL: Option<u32> = Some(7);

impl Client {
    fn connect(uid: Option<u32>, limits: Limits) -> Self {
        let stand = Arc::new(Stand {
            let_go: Semaphore::new(0),
            begun: Semaphore::new(0),
            ended: Semaphore::new(0),
            changes: broadcast::Sender::new(4),
        });
        let shutdown = Shutdown::new();
        let mcp =
            Mcp { service: stand.clone(), seal: Seal::new([0; 32]), asks: Arc::default(), shutdown: shutdown.clone() };
        let [requests, waiters] = [limits.requests, limits.waiters].map(|most| Arc::new(Semaphore::new(most)));
        let lines = Arc::new(Lines::new(Arc::new(mcp), limits, requests, waiters));
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let presented = Presented { key: None, uid, peer: "uid:7".to_owned() };
        let ended = tokio::spawn(lines.converse(presented, theirs));
        let (reader, writer) = tokio::io::split(ours);
        Self { stand, shutdown, reader: BufReader::new(reader), writer: Some(writer), ended }
    }

    fn local() -> Self {
        Self::connect(LOCAL, Limits::default())
    }

    async fn raw(&mut self, bytes: &[u8]) {
        self.writer.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    async fn say(&mut self, message: Value) {
        self.raw(format!("{message}\n").as_bytes()).await;
    }

    async fn request(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        let id: Value = id.into();
        self.say(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
    }

    async fn hears(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line:?}"))
    }

    async fn hears_error(&mut self) -> (Value, i64) {
        let mut heard = self.hears().await;
        (heard["id"].take(), heard["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {heard}")))
    }

    async fn initialize(&mut self, version: &str) -> Value {
        let params =
            json!({ "protocolVersion": version, "capabilities": { "roots": {} }, "clientInfo": { "name": "t" } });
        self.request(0, "initialize", params).await;
        self.hears().await["result"]["protocolVersion"].take()
    }

    /// Says no more.
    async fn finish(&mut self) {
        self.writer.take().unwrap().shutdown().await.unwrap();
    }

    async fn hears_the_end(mut self) {
        let mut rest = String::new();
        self.reader.read_line(&mut rest).await.unwrap();
        assert_eq!(rest, "");
        self.ended.await.unwrap();
    }
}

fn modern() -> Value {
    json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
        "io.modelcontextprotocol/clientInfo": { "name": "m", "version": "2" },
    }})
}

#[tokio::test]
async fn initialize_sets_the_era_and_metadata_overrides_it() {
    let mut client = Client::local();
    client.request(1, "who", json!({})).await;
    assert_eq!(client.hears().await["result"]["version"], "2025-03-26", "nothing is settled yet");

    assert_eq!(client.initialize("2025-06-18").await, "2025-06-18");
    client.say(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    client.request("a", "who", json!({})).await;
    let heard = client.hears().await;
    let said = json!({ "key": null, "client": "t", "version": "2025-06-18", "can": { "roots": {} } });
    assert_eq!(heard, json!({ "jsonrpc": "2.0", "id": "a", "result": said }));

    client.request(2, "who", modern()).await;
    let heard = client.hears().await;
    assert_eq!(heard["result"]["resultType"], "complete");
    assert_eq!((&heard["result"]["client"], &heard["result"]["version"]), (&json!("m 2"), &json!("2026-07-28")));

    client.request(3, "ping", json!({})).await;
    assert_eq!(client.hears().await, json!({ "jsonrpc": "2.0", "id": 3, "result": {} }));
    client.request(4, "server/discover", json!({})).await;
    assert_eq!(client.hears_error().await, (json!(4), -32_602));
    client.request(5, "initialize", json!({})).await;
    assert_eq!(client.hears_error().await, (json!(5), -32_602));
    client.finish().await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn answers_come_in_the_order_they_finish() {
    let mut client = Client::local();
    client.request(1, "slow", json!({})).await;
    client.request(2, "who", json!({})).await;
    assert_eq!(client.hears().await["id"], 2);
    client.request(1, "who", json!({})).await;
    assert_eq!(client.hears_error().await, (json!(1), -32_600), "this id is still under way");
    client.stand.let_go.add_permits(1);
    assert_eq!(client.hears().await["id"], 1);
    client.request(1, "broken", json!({})).await;
    assert_eq!(client.hears_error().await, (json!(1), 500));
    client.request(1, "pretty", json!({})).await;
    assert_eq!(client.hears().await["result"]["a"], json!([1]), "on one line");
}

#[tokio::test]
async fn what_is_no_message_is_answered_and_the_conversation_goes_on() {
    let limits = Limits { body_bytes: 100, ..Limits::default() };
    let mut client = Client::connect(LOCAL, limits);
    client.raw(b"{\"jsonrpc\":\"2.0\",\xff\n").await;
    assert_eq!(client.hears_error().await, (Value::Null, -32_700));
    client.raw(b"nonsense\r\n\r\n").await;
    assert_eq!(client.hears_error().await, (Value::Null, -32_700));
    client.raw(b"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"").await;
    client.raw("x".repeat(200).as_bytes()).await;
    client.raw(b"\"}\n").await;
    assert_eq!(client.hears_error().await, (json!(5), 413));
    client.raw(b"{\"jsonrpc\":\"2.0\",\"id\":6,\"met").await;
    client.raw(b"hod\":\"who\"}\r\n").await;
    assert_eq!(client.hears().await["id"], 6);
    // The last line needs no end.
    client.raw(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"who\"}").await;
    client.finish().await;
    assert_eq!(client.hears().await["id"], 7);
    client.hears_the_end().await;
}

#[tokio::test]
async fn a_batch_belongs_to_the_revisions_that_know_it() {
    let mut client = Client::local();
    assert_eq!(client.initialize("2025-03-26").await, "2025-03-26");
    let one = |id: u8, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method });
    client.say(json!([one(1, "ping"), { "jsonrpc": "2.0", "method": "n" }, one(2, "nothing"), 7])).await;
    let mut heard = client.hears().await;
    let answers = heard.as_array_mut().unwrap();
    answers.sort_by_key(|answer| answer["id"].as_i64());
    let found: Vec<_> = answers.iter().map(|answer| (answer["id"].clone(), answer["error"]["code"].clone())).collect();
    assert_eq!(found, [(json!(null), json!(-32_600)), (json!(1), json!(null)), (json!(2), json!(-32_601))]);

    assert_eq!(client.initialize("2025-11-25").await, "2025-11-25");
    client.say(json!([one(1, "ping")])).await;
    assert_eq!(client.hears_error().await, (Value::Null, -32_600));
}

#[tokio::test]
async fn what_is_taken_back_is_not_answered() {
    let mut client = Client::local();
    client.request("x\u{e9}", "slow", json!({})).await;
    client.stand.begun.acquire().await.unwrap().forget();
    client.raw(br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x\u00e9"}}"#).await;
    client.raw(b"\n").await;
    client.stand.ended.acquire().await.unwrap().forget();
    client.request(2, "who", json!({})).await;
    assert_eq!(client.hears().await["id"], 2, "and nothing before it");
}

#[tokio::test]
async fn the_end_of_what_the_client_says_takes_nothing_back() {
    let mut client = Client::local();
    client.initialize("2025-11-25").await;
    client.request(1, "slow", json!({})).await;
    client.request(2, "ask", json!({})).await;
    assert_eq!(client.hears().await["method"], "elicitation/create");
    let mut listen = modern();
    listen["notifications"] = json!({ "toolsListChanged": true });
    client.request(3, "subscriptions/listen", listen).await;
    assert_eq!(client.hears().await["method"], "notifications/subscriptions/acknowledged");
    client.finish().await;
    // Who can be told nothing any more is asked and told nothing.
    let mut heard = [client.hears().await, client.hears().await];
    heard.sort_by_key(|answer| answer["id"].as_i64());
    assert_eq!(heard[0]["result"], json!({ "answered": null }));
    assert_eq!(heard[1]["id"], 3);
    client.stand.let_go.add_permits(1);
    assert_eq!(client.hears().await["result"], json!({ "slow": true }));
    client.hears_the_end().await;
}

#[tokio::test]
async fn a_client_that_is_gone_leaves_its_calls_running() {
    let mut client = Client::local();
    client.request(1, "slow", json!({})).await;
    client.stand.begun.acquire().await.unwrap().forget();
    let Client { stand, reader, writer, ended, .. } = client;
    drop((reader, writer));
    stand.let_go.add_permits(1);
    stand.ended.acquire().await.unwrap().forget();
    ended.await.unwrap();
}

#[tokio::test]
async fn changes_are_told_after_initialize_and_questions_are_answered_by_lines() {
    let mut client = Client::local();
    client.initialize("2025-06-18").await;
    client.stand.changes.send(()).unwrap();
    assert_eq!(client.hears().await["method"], "notifications/tools/list_changed");

    client.request(1, "ask", json!({})).await;
    let asked = client.hears().await;
    assert_eq!(asked["method"], "elicitation/create");
    client.say(json!({ "jsonrpc": "2.0", "id": "unknown", "result": {} })).await;
    client.say(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "action": "accept" } })).await;
    let heard = client.hears().await;
    assert_eq!(heard["result"], json!({ "answered": { "Ok": "{\"action\":\"accept\"}" } }));
}

#[tokio::test]
async fn a_key_in_the_first_message_says_who_speaks() {
    let hello = |key: Value| json!({ "jsonrpc": "2.0", "method": "dev.toolctl/hello", "params": key });
    let mut client = Client::connect(None, Limits::default());
    client.say(hello(json!({ "key": "tctl_good" }))).await;
    client.request(1, "who", json!({})).await;
    assert_eq!(client.hears().await["result"]["key"], "tctl_good");
    client.say(hello(json!({ "key": "tctl_other" }))).await;
    assert_eq!(client.hears_error().await, (Value::Null, -32_600), "only once");

    for (uid, params) in [(LOCAL, json!({ "key": "tctl_bad" })), (LOCAL, json!({})), (None, json!({ "key": 7 }))] {
        let mut client = Client::connect(uid, Limits::default());
        client.say(hello(params)).await;
        assert_eq!(client.hears_error().await, (Value::Null, 401));
        client.request(1, "initialize", json!({})).await;
        assert_eq!(client.hears_error().await, (json!(1), 401));
        if uid.is_none() {
            client.hears_the_end().await;
        }
    }
    let mut client = Client::connect(None, Limits::default());
    client.request(1, "server/discover", modern()).await;
    assert_eq!(client.hears_error().await, (json!(1), 401), "over TCP a key is needed");
    client.hears_the_end().await;
}

#[tokio::test]
async fn nobody_holds_much_before_they_are_known() {
    let limits = Limits { header_bytes: 100, header_time: Duration::from_millis(20), ..Limits::default() };
    let mut client = Client::connect(None, limits);
    client.raw("x".repeat(200).as_bytes()).await;
    client.raw(b"\n").await;
    assert_eq!(client.hears_error().await, (Value::Null, 413));

    let mut client = Client::connect(None, limits);
    client.raw(b"{\"half").await;
    client.hears_the_end().await;

    let mut client = Client::connect(None, limits);
    client.raw(b"{}\n").await;
    assert_eq!(client.hears_error().await, (Value::Null, -32_600));
    client.hears_the_end().await;
}

#[tokio::test]
async fn a_daemon_that_stops_answers_what_runs_and_nothing_new() {
    let limits = Limits { requests: 1, ..Limits::default() };
    let mut client = Client::connect(LOCAL, limits);
    client.request(1, "slow", json!({})).await;
    client.stand.begun.acquire().await.unwrap().forget();
    client.request(2, "who", json!({})).await;
    client.request(3, "server/discover", json!({})).await;
    assert_eq!(client.hears_error().await.0, 3, "the second waits for its turn");
    client.shutdown.begin();
    client.stand.let_go.add_permits(1);
    assert_eq!(client.hears().await["id"], 1);
    client.hears_the_end().await;
}

#[tokio::test]
async fn what_is_taken_back_before_its_turn_never_begins() {
    let limits = Limits { requests: 1, ..Limits::default() };
    let mut client = Client::connect(LOCAL, limits);
    client.request(1, "slow", json!({})).await;
    client.stand.begun.acquire().await.unwrap().forget();
    client.request(2, "slow", json!({})).await;
    client.say(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 2 } })).await;
    client.raw(b"nonsense\n").await;
    assert_eq!(client.hears_error().await, (Value::Null, -32_700), "what came before it is read");
    client.stand.let_go.add_permits(1);
    assert_eq!(client.hears().await["id"], 1);
    client.request(3, "who", json!({})).await;
    assert_eq!(client.hears().await["id"], 3);
    assert_eq!(client.stand.begun.available_permits(), 1, "only the last one");
}

#[tokio::test]
async fn a_conversation_listens_a_bounded_number_of_times() {
    let mut listen = modern();
    listen["notifications"] = json!({});
    for (limits, most) in [(Limits::default(), 16), (Limits { waiters: 2, ..Limits::default() }, 2)] {
        let mut client = Client::connect(LOCAL, limits);
        for id in 0..most {
            client.request(id, "subscriptions/listen", listen.clone()).await;
            assert_eq!(client.hears().await["method"], "notifications/subscriptions/acknowledged");
        }
        client.request(most, "subscriptions/listen", listen.clone()).await;
        assert_eq!(client.hears_error().await, (json!(most), 503));
        client
            .say(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 0 } }))
            .await;
        client.request("other", "server/discover", modern()).await;
        assert_eq!(client.hears().await["id"], "other", "the rest goes on");
    }
}

#[tokio::test]
async fn a_request_that_takes_long_makes_room_for_others() {
    let limits = Limits { requests: 1, ..Limits::default() };
    let mut client = Client::connect(LOCAL, limits);
    client.request(1, "slow", json!({})).await;
    client.request(2, "who", json!({})).await;
    assert_eq!(client.hears().await["id"], 2);
    client.stand.let_go.add_permits(1);
    assert_eq!(client.hears().await["id"], 1);
}

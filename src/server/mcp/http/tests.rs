//! The endpoint in front of a stand-in for the tools: what goes over HTTP, without a daemon.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::*;
use crate::api::mcp::meta;
use crate::domain::time::Timestamp;
use crate::pipeline::port::Wait;
use crate::server::mcp::exchange::{Asks, Exchange};
use crate::server::mcp::message::Request;
use crate::server::mcp::seal::Seal;
use crate::server::mcp::service::{Body, Change, Changes, MirroredParameter, Service};

/// Methods that do what their names say.
struct Stage {
    /// Lets `slow` end.
    go: Notify,
    /// Has a permit for each `slow` that began.
    begun: Semaphore,
    /// Requests that came to their end.
    ended: AtomicUsize,
    /// Requests that saw their client go.
    gone: AtomicUsize,
    changed: Notify,
}

impl Stage {
    fn new() -> Self {
        let [ended, gone] = [0, 0].map(AtomicUsize::new);
        Self { go: Notify::new(), begun: Semaphore::new(0), ended, gone, changed: Notify::new() }
    }

    /// Waits until one more `slow` has begun.
    async fn begun(&self) {
        self.begun.acquire().await.unwrap().forget();
    }
}

impl Service for Arc<Stage> {
    fn capabilities(&self, version: Version) -> Map<String, Value> {
        crate::api::mcp::capabilities(version)
    }

    fn instructions(&self) -> &str {
        "be kind"
    }

    fn answer(self: Arc<Self>, request: Request, exchange: Exchange) -> Wait<'static, Result<Body, Fault>> {
        Box::pin(async move {
            let answer = match request.method.as_str() {
                "tools/call" => Ok(Body::of(&json!({"client": exchange.client, "key": exchange.header_key}))),
                "tell" => {
                    exchange.notify("notifications/progress", json!({"progress": 1})).await;
                    Ok(Body::of(&json!({})))
                }
                "slow" => {
                    self.begun.add_permits(1);
                    tokio::select! {
                        () = self.go.notified() => {}
                        () = exchange.gone.begun() => {
                            self.gone.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    Ok(Body::of(&json!({"slow": true})))
                }
                "ask" => match exchange.ask("elicitation/create", json!({"message": "sure?"})).await {
                    Some(Ok(answer)) => Ok(Body::written(format!(r#""answered":{}"#, answer.get()))),
                    other => Ok(Body::of(&json!({"asked": other.is_some()}))),
                },
                "leaving" => Ok(Body::of(&json!({"shown": exchange.shows_leaving}))),
                "capable" => Ok(Body::of(&*exchange.capabilities)),
                _ => Err(Fault::method_not_found(&request.method)),
            };
            self.ended.fetch_add(1, Ordering::SeqCst);
            answer
        })
    }

    fn recognise(&self, presented: &Presented) -> Result<String, Fault> {
        presented.key.clone().ok_or_else(|| Fault::own(401, "who are you"))
    }

    fn follow(&self, _: &Presented) -> Box<dyn Changes> {
        Box::new(Following(Arc::clone(self)))
    }

    fn mirrored_parameters(&self, _: &Presented, tool: &str) -> Vec<MirroredParameter> {
        let schema = json!({"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
        if tool == "regional" { MirroredParameter::of(&schema) } else { Vec::new() }
    }
}

struct Following(Arc<Stage>);

impl Changes for Following {
    fn next(&mut self) -> Wait<'_, Option<Change>> {
        Box::pin(async {
            self.0.changed.notified().await;
            Some(Change::Tools)
        })
    }
}

struct House {
    stage: Arc<Stage>,
    endpoint: Arc<Endpoint>,
    shutdown: Shutdown,
    slots: Arc<Semaphore>,
}

impl House {
    fn new() -> Self {
        let (stage, shutdown) = (Arc::new(Stage::new()), Shutdown::new());
        let seal = Seal::new([7; 32]);
        let service = Arc::new(Arc::clone(&stage));
        let mcp = Mcp { service, seal: seal.clone(), asks: Arc::new(Asks::default()), shutdown: shutdown.clone() };
        let sessions = Sessions::new(seal, || Timestamp::EPOCH, || [9; 16]);
        let limits = Limits { heartbeat: Duration::from_millis(20), ..Limits::default() };
        let endpoint = Endpoint::new(Arc::new(mcp), sessions, Arc::new(Semaphore::new(8)), limits);
        Self { stage, endpoint: Arc::new(endpoint), shutdown, slots: Arc::new(Semaphore::new(8)) }
    }

    fn arrival(&self, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Arrival {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let presented = Presented { key: Some("anna".to_owned()), ..Presented::default() };
        let slot = Arc::clone(&self.slots).try_acquire_owned().unwrap();
        Arrival { headers: map, presented, body: body.into(), slot }
    }

    async fn post(&self, headers: &[(&'static str, &str)], body: &Value) -> Reply {
        Arc::clone(&self.endpoint).post(self.arrival(headers, body.to_string())).await
    }

    async fn session(&self) -> String {
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {"elicitation": {}}, "clientInfo": {"name": "c", "version": "2"}});
        let reply = self.post(&[], &request("initialize", params)).await;
        reply.headers()["mcp-session-id"].to_str().unwrap().to_owned()
    }

    /// Nothing is left that counts as a request.
    async fn quiet(&self) {
        let _all = self.slots.acquire_many(8).await.unwrap();
        let _all = self.endpoint.waiters.acquire_many(8).await.unwrap();
    }
}

fn request(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({(meta::VERSION): "2026-07-28", (meta::CLIENT_CAPABILITIES): {"x": {}}});
    request(method, params)
}

const BOTH: (&str, &str) = ("accept", "application/json, text/event-stream");
const MODERN: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

/// Status and document.
async fn read(reply: Reply) -> (u16, Value) {
    let (parts, body) = reply.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// The next piece of a stream.
async fn piece(reply: &mut Reply) -> String {
    let frame = reply.body_mut().frame().await.expect("a piece").unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

/// The next piece that is no comment.
async fn event(reply: &mut Reply) -> Value {
    loop {
        let piece = piece(reply).await;
        if let Some(message) = piece.strip_prefix("data: ") {
            return serde_json::from_str(message).unwrap();
        }
        assert_eq!(piece, ":\n\n");
    }
}

#[tokio::test]
async fn a_quick_answer_is_a_document() {
    let house = House::new();
    let reply = house.post(&[BOTH, ("idempotency-key", "k")], &request("tools/call", json!({"name": "x"}))).await;
    assert_eq!(reply.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(read(reply).await.1["result"], json!({"client": null, "key": "k"}));
    house.quiet().await;
}

#[tokio::test]
async fn a_message_before_the_answer_makes_it_a_stream() {
    let house = House::new();
    let mut reply = house.post(&[BOTH], &request("tell", json!({}))).await;
    assert_eq!(reply.headers()[CONTENT_TYPE], "text/event-stream");
    assert_eq!(reply.headers()["x-accel-buffering"], "no");
    let text = piece(&mut reply).await;
    let events: Vec<_> = text.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 2, "{text}");
    assert!(events[0].starts_with("data: {") && events[0].contains("notifications/progress"), "{text}");
    assert_eq!(events[1], r#"data: {"jsonrpc":"2.0","id":7,"result":{}}"#);
    for accept in ["application/json", "*/*"] {
        let reply = house.post(&[("accept", accept)], &request("tell", json!({}))).await;
        assert_eq!(read(reply).await.1["result"], json!({}), "whoever reads no streams gets the answer alone");
    }
    let mut only = house.post(&[("accept", "text/event-stream")], &request("tools/call", json!({}))).await;
    assert_eq!(event(&mut only).await["id"], 7, "and who reads nothing else gets a stream");
}

#[tokio::test]
async fn a_slow_answer_becomes_a_stream_that_shows_that_it_is_alive() {
    let house = House::new();
    let mut reply = house.post(&[BOTH], &request("slow", json!({}))).await;
    assert_eq!(reply.headers()[CONTENT_TYPE], "text/event-stream");
    assert_eq!(house.slots.available_permits(), 8, "it counts among the waiters");
    assert_eq!(piece(&mut reply).await, ":\n\n");
    house.stage.go.notify_one();
    assert_eq!(event(&mut reply).await["result"], json!({"slow": true}));
    assert!(reply.body_mut().frame().await.is_none(), "and ends");
    house.quiet().await;
}

#[tokio::test]
async fn a_modern_client_that_hangs_up_takes_its_request_back() {
    let house = House::new();
    let headers = [BOTH, MODERN, ("mcp-method", "slow")];
    let streaming = house.post(&headers, &modern("slow", json!({}))).await;
    drop(streaming);
    house.quiet().await;
    assert_eq!(house.stage.gone.load(Ordering::SeqCst), 1, "in the stream");
    let waiting = {
        let arrival = house.arrival(&headers, modern("slow", json!({})).to_string());
        let endpoint = Arc::clone(&house.endpoint);
        tokio::spawn(async move { endpoint.post(arrival).await.status() })
    };
    house.stage.begun().await;
    house.stage.begun().await;
    waiting.abort();
    house.quiet().await;
    let stage = &house.stage;
    assert_eq!((stage.gone.load(Ordering::SeqCst), stage.ended.load(Ordering::SeqCst)), (2, 2), "and before it");
}

#[tokio::test]
async fn a_legacy_request_goes_on_without_its_client() {
    let house = House::new();
    let streaming = house.post(&[BOTH], &request("slow", json!({}))).await;
    drop(streaming);
    let arrival = house.arrival(&[BOTH], request("slow", json!({})).to_string());
    let endpoint = Arc::clone(&house.endpoint);
    let waiting = tokio::spawn(async move { endpoint.post(arrival).await.status() });
    house.stage.begun().await;
    house.stage.begun().await;
    waiting.abort();
    let _aborted = waiting.await;
    house.stage.go.notify_waiters();
    house.quiet().await;
    let stage = &house.stage;
    assert_eq!((stage.gone.load(Ordering::SeqCst), stage.ended.load(Ordering::SeqCst)), (0, 2));
}

#[tokio::test]
async fn a_legacy_client_takes_a_request_back_by_saying_so() {
    let house = House::new();
    let session = house.session().await;
    let headers = [BOTH, ("mcp-session-id", session.as_str())];
    let mut slow = request("slow", json!({}));
    slow["id"] = json!("a b");
    let mut reply = house.post(&headers, &slow).await;
    let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a\u0020b"}}"#;
    let told = Arc::clone(&house.endpoint).post(house.arrival(&headers, cancelled)).await;
    assert_eq!(told.status(), 202);
    assert_eq!(event(&mut reply).await["id"], "a b");
    assert_eq!(house.stage.gone.load(Ordering::SeqCst), 1);
    assert!(house.endpoint.running.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_client_with_a_session_is_asked_on_the_stream_of_its_request() {
    let house = House::new();
    let session = house.session().await;
    let headers = [BOTH, ("mcp-session-id", session.as_str())];
    let mut reply = house.post(&headers, &request("ask", json!({}))).await;
    let asked = event(&mut reply).await;
    assert_eq!(asked["method"], "elicitation/create");
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept"}});
    assert_eq!(house.post(&[BOTH], &answer).await.status(), 400, "nobody was asked outside a session");
    assert_eq!(house.post(&headers, &answer).await.status(), 202);
    assert_eq!(event(&mut reply).await["result"], json!({"answered": {"action": "accept"}}));
    assert_eq!(house.post(&headers, &answer).await.status(), 202, "late, but taken");
    for headers in [vec![BOTH], vec![("accept", "application/json"), headers[1]]] {
        let reply = house.post(&headers, &request("ask", json!({}))).await;
        assert_eq!(read(reply).await.1["result"], json!({"asked": false}), "{headers:?}");
    }
}

#[tokio::test]
async fn a_session_gives_its_requests_what_initialize_said() {
    let house = House::new();
    let session = house.session().await;
    let headers = [("mcp-session-id", session.as_str()), ("mcp-protocol-version", "2025-11-25")];
    let capable = house.post(&headers, &request("capable", json!({}))).await;
    assert!(!capable.headers().contains_key("mcp-session-id"), "said once");
    assert_eq!(read(capable).await, (200, json!({"jsonrpc": "2.0", "id": 7, "result": {"elicitation": {}}})));
    let unknown = house.post(&headers, &request("nope", json!({}))).await;
    assert_eq!(unknown.status(), 200, "a 404 would say that the session is gone");
    let mut stranger = house.arrival(&headers, request("capable", json!({})).to_string());
    stranger.presented.key = Some("bert".to_owned());
    let (status, body) = read(Arc::clone(&house.endpoint).post(stranger).await).await;
    assert_eq!((status, &body["id"], &body["error"]["code"]), (404, &json!(7), &json!(404)));
}

#[tokio::test]
async fn the_stream_of_a_session_tells_changes_until_it_is_replaced_or_the_daemon_stops() {
    let house = House::new();
    let session = house.session().await;
    let headers = [("accept", "text/event-stream"), ("mcp-session-id", session.as_str())];
    let open = || house.endpoint.get(house.arrival(&headers, ""));
    let mut first = open();
    assert_eq!(piece(&mut first).await, ":\n\n");
    house.stage.changed.notify_one();
    assert_eq!(event(&mut first).await["method"], "notifications/tools/list_changed");
    let mut second = open();
    while let Some(frame) = first.body_mut().frame().await {
        assert_eq!(frame.unwrap().into_data().unwrap(), ":\n\n", "only signs of life, then the end");
    }
    house.stage.changed.notify_waiters();
    house.shutdown.begin();
    while let Some(frame) = second.body_mut().frame().await {
        assert!(frame.is_ok());
    }
    house.quiet().await;
}

#[tokio::test]
async fn a_listener_is_told_what_it_wants_and_gets_its_answer_in_the_end() {
    let house = House::new();
    let headers = [MODERN, ("mcp-method", "subscriptions/listen")];
    let listen = modern("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let mut reply = house.post(&headers, &listen).await;
    assert_eq!(reply.headers()[CONTENT_TYPE], "text/event-stream", "there is no other way to answer it");
    let subscription = |message: &Value| message["params"]["_meta"][meta::SUBSCRIPTION].clone();
    let acknowledged = event(&mut reply).await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(subscription(&acknowledged), 7);
    house.stage.changed.notify_one();
    let changed = event(&mut reply).await;
    assert_eq!((&changed["method"], subscription(&changed)), (&json!("notifications/tools/list_changed"), json!(7)));
    house.shutdown.begin();
    let end = event(&mut reply).await;
    assert_eq!((&end["id"], &end["result"]["resultType"]), (&json!(7), &json!("complete")));
    let json_only = [MODERN, ("mcp-method", "subscriptions/listen"), ("accept", "application/json")];
    assert_eq!(house.post(&json_only, &listen).await.status(), 406);
}

#[tokio::test]
async fn arguments_that_are_mirrored_in_headers_must_be_the_same_there() {
    let house = House::new();
    let call = modern("tools/call", json!({"name": "regional", "arguments": {"region": "eu"}}));
    let headers = [MODERN, ("mcp-method", "tools/call"), ("mcp-name", "regional"), ("mcp-param-region", "eu")];
    assert_eq!(house.post(&headers, &call).await.status(), 200);
    let (status, body) = read(house.post(&headers[..3], &call).await).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!(-32_020)));
}

#[tokio::test]
async fn who_cannot_be_recognised_is_told_how_to_show_who_it_is() {
    let house = House::new();
    let mut nobody = house.arrival(&[], request("initialize", json!({})).to_string());
    nobody.presented.key = None;
    let reply = Arc::clone(&house.endpoint).post(nobody).await;
    assert_eq!(
        (reply.status().as_u16(), &reply.headers()["www-authenticate"]),
        (401, &HeaderValue::from_static("Bearer"))
    );
}

#[tokio::test]
async fn the_requests_of_a_batch_run_together_and_their_answers_stand_in_order() {
    let house = House::new();
    let call = |id: u8, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method});
    let batch = json!([call(1, "slow"), call(2, "slow"), call(3, "tell"), {"jsonrpc": "2.0", "method": "n"}, 7]);
    let arrival = house.arrival(&[], batch.to_string());
    let endpoint = Arc::clone(&house.endpoint);
    let answer = tokio::spawn(async move { read(endpoint.post(arrival).await).await });
    house.stage.begun().await;
    house.stage.go.notify_one();
    house.stage.begun().await;
    house.stage.go.notify_one();
    let (status, answers) = answer.await.unwrap();
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!((status, ids), (200, vec![json!(1), json!(2), json!(3), json!(null)]));
    let told = house.post(&[], &json!([{"jsonrpc": "2.0", "method": "n"}])).await;
    assert_eq!(told.status(), 202);
}

#[tokio::test]
async fn one_listener_too_many_is_told_so() {
    let house = House::new();
    let _all = house.endpoint.waiters.acquire_many(8).await.unwrap();
    let listen = modern("subscriptions/listen", json!({"notifications": {}}));
    let (status, body) = read(house.post(&[BOTH, MODERN, ("mcp-method", "subscriptions/listen")], &listen).await).await;
    assert_eq!((status, &body["id"], &body["error"]["code"]), (503, &json!(7), &json!(503)));
}

#[tokio::test]
async fn only_who_reads_streams_shows_that_it_leaves() {
    let house = House::new();
    for (accept, shown) in [(BOTH, true), (("accept", "application/json"), false), (("accept", "*/*"), false)] {
        let reply = house.post(&[accept, MODERN, ("mcp-method", "leaving")], &modern("leaving", json!({}))).await;
        assert_eq!(read(reply).await.1["result"]["shown"], shown, "{accept:?}");
    }
}

#[tokio::test]
async fn the_end_of_a_request_leaves_another_of_the_same_id_alone() {
    let house = House::new();
    let session = house.session().await;
    let headers = [BOTH, ("mcp-session-id", session.as_str())];
    let mut first = house.post(&headers, &request("slow", json!({}))).await;
    let mut second = house.post(&headers, &request("slow", json!({}))).await;
    house.stage.go.notify_one();
    assert_eq!(event(&mut first).await["id"], 7);
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert_eq!(house.post(&headers, &cancelled).await.status(), 202);
    assert_eq!(event(&mut second).await["id"], 7);
    assert_eq!(house.stage.gone.load(Ordering::SeqCst), 1);
    assert!(house.endpoint.running.0.lock().unwrap().is_empty());
}

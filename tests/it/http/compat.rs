//! A client that was written for the original demo server: base URL and key are all that differ.

use serde_json::{Value, json};

use crate::support::{Daemon, Door, Exchange, Response};

const KEY: &str = "demo-key-of-the-original-server";

/// How the client shows its key.
#[derive(Debug, Clone, Copy)]
enum Header {
    ApiKey,
    Bearer,
}

/// The client: a base URL and a key.
struct Client {
    door: Door,
    header: Header,
}

impl Client {
    fn request(&self, method: &str, path: &str) -> Exchange {
        let request = self.door.http(method, path);
        match self.header {
            Header::ApiKey => request.header("X-API-Key", KEY),
            Header::Bearer => request.key(KEY),
        }
    }

    fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Response {
        let request = self.request("POST", path).json(body);
        key.map_or(request.clone(), |key| request.once(key)).send()
    }
}

/// What one run of the client ends with.
#[derive(Debug, PartialEq)]
struct Journal {
    customer: Value,
    ticket: Value,
    replayed: Value,
    pending: String,
    sent: Value,
}

/// Finds a customer, opens a ticket, changes the status with a confirmation, sends a message.
fn scenario(client: &Client, run: &str) -> Journal {
    let health = client.door.http("GET", "/health").send();
    assert_eq!(health.is(200).json()["ok"], true);
    let listed = client.request("GET", "/mcp/tools").send();
    assert_eq!(listed.is(200).json()["tools"].as_array().map(Vec::len), Some(5));

    let found = client.post("/tools/search_customer", None, &json!({"query": "acme"}));
    let customer = found.is(200).json()["results"][0].clone();
    assert_eq!((&customer["id"], &customer["name"]), (&json!(1), &json!("ACME AB")));
    assert!(found.json().get("idempotent_replay").is_none(), "a read is never a replay: {}", found.json());

    let ticket = json!({"customer_id": customer["id"], "title": "Login broken", "priority": "high"});
    let ticket = client.post("/tools/create_ticket", Some(&format!("ticket-{run}")), &ticket);
    let replayed = ticket.is(200).json()["idempotent_replay"].clone();
    assert_eq!(ticket.headers.get("idempotent-replayed").map(String::as_str), (replayed == true).then_some("true"));

    let change = json!({"customer_id": 2, "new_status": "Suspended", "confirm": false});
    let asked = client.post("/tools/update_customer_status", Some(&format!("status-{run}")), &change);
    let pending = if replayed == true {
        // The change was confirmed in the first run; its result is what a repeat gets.
        let repeated = asked.is(200).json();
        assert_eq!(repeated["customer"], json!({"id": 2, "name": "Nordic Widgets", "status": "Suspended"}));
        assert_eq!(repeated["idempotent_replay"], true);
        String::new()
    } else {
        let waiting = asked.is(202).json();
        let id = waiting["pending_action_id"].as_str().expect("an id").to_owned();
        assert_eq!(waiting, json!({"requires_confirmation": true, "pending_action_id": id, "customer": null}));
        let confirmed = client.post(&format!("/confirm/{id}"), None, &json!({"approve": true}));
        let confirmed = confirmed.is(200).json();
        assert_eq!((&confirmed["ok"], &confirmed["status"]), (&json!(true), &json!("confirmed")));
        assert_eq!(confirmed["customer"], json!({"id": 2, "name": "Nordic Widgets", "status": "Suspended"}));
        id
    };

    let message = json!({"channel": "#ops", "message": "Nordic Widgets is suspended"});
    let sent = client.post("/tools/send_message", Some(&format!("message-{run}")), &message);
    let sent = sent.is(200).json();
    assert_eq!((&sent["sent"], &sent["channel"]), (&json!(true), &json!("#ops")));
    assert_eq!(sent["idempotent_replay"], replayed);
    Journal { customer, ticket: ticket.json()["ticket"].clone(), replayed, pending, sent }
}

fn runs_twice(header: Header, over_tcp: bool) {
    let daemon = Daemon::with_env_file(&format!("API_KEY={KEY}\n"), &["--listen", "127.0.0.1:0"]);
    let door = if over_tcp { daemon.tcp() } else { daemon.door() };
    let client = Client { door, header };
    let first = scenario(&client, "a");
    assert_eq!(first.replayed, false);
    let second = scenario(&client, "a");
    assert_eq!(second.replayed, true, "the second run only repeats the first");
    assert_eq!((second.customer, second.ticket), (first.customer.clone(), first.ticket.clone()));
    let other = scenario_ticket(&client);
    assert_ne!(other, first.ticket, "without a key every request is a new one");
}

fn scenario_ticket(client: &Client) -> Value {
    let ticket = json!({"customer_id": 1, "title": "Login broken", "priority": "high"});
    client.post("/tools/create_ticket", None, &ticket).is(200).json()["ticket"].clone()
}

#[test]
fn the_original_client_runs_twice_over_tcp_with_its_api_key_header() {
    runs_twice(Header::ApiKey, true);
}

#[test]
fn the_original_client_runs_twice_over_tcp_with_a_bearer_key() {
    runs_twice(Header::Bearer, true);
}

#[test]
fn the_original_client_runs_twice_over_the_socket() {
    runs_twice(Header::ApiKey, false);
    runs_twice(Header::Bearer, false);
}

#[test]
fn discovery_has_the_members_of_the_contract() {
    let daemon = Daemon::start();
    let listed = daemon.http("GET", "/mcp/tools").send().is(200).json();
    let mut rows = Vec::new();
    for tool in listed["tools"].as_array().expect("tools") {
        assert_eq!(tool["path"], format!("/tools/{}", tool["name"].as_str().expect("a name")));
        assert!(tool["input_schema"].is_object() && tool["output_schema"].is_object(), "{tool}");
        assert!(tool["description"].as_str().is_some_and(|text| !text.is_empty()), "{tool}");
        rows.push(format!(
            "{} {} {} {}",
            tool["method"].as_str().expect("a method"),
            tool["path"].as_str().expect("a path"),
            tool["risk"].as_str().expect("a risk"),
            tool["supports_idempotency_key"]
        ));
    }
    assert_eq!(
        rows,
        [
            "POST /tools/create_ticket medium true",
            "POST /tools/get_incident_impact low false",
            "POST /tools/search_customer low false",
            "POST /tools/send_message low true",
            "POST /tools/update_customer_status high true",
        ]
    );
}

#[test]
fn what_was_confirmed_or_rejected_stays_so() {
    let daemon = Daemon::with_env_file(&format!("API_KEY={KEY}\n"), &[]);
    let client = Client { door: daemon.door(), header: Header::ApiKey };
    let change = json!({"customer_id": 3, "new_status": "Closed"});
    let asked = client.post("/tools/update_customer_status", None, &change).is(202).json();
    let path = format!("/confirm/{}", asked["pending_action_id"].as_str().expect("an id"));
    let rejected = client.post(&path, None, &json!({"approve": false})).is(200).json();
    assert_eq!(rejected, json!({"ok": true, "status": "rejected"}));
    client.post(&path, None, &json!({"approve": true})).is_problem(409, "approval-already-decided");
    client.post("/confirm/4711", None, &json!({"approve": true})).is_problem(404, "not-found");
    let found = client.post("/tools/search_customer", None, &json!({"query": "beta"})).json();
    assert_eq!(found["results"][0]["status"], "Active");
}

#[test]
fn a_pending_action_is_accepted_in_every_form() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let forms: [fn(&Value) -> String; 5] = [
        |call| call["approval"]["id"].as_str().expect("apr_…").to_owned(),
        |call| call["id"].as_str().expect("call_…").to_owned(),
        |call| call["approval"]["number"].to_string(),
        |call| format!("%23{}", call["approval"]["number"]),
        uuid_of,
    ];
    for (index, form) in forms.into_iter().enumerate() {
        let call = super::ask(&daemon, &agent, &format!("k{index}"), &format!("Status {index}"));
        let answer = daemon.http("POST", &format!("/confirm/{}", form(&call))).json(&json!({"approve": true})).send();
        assert_eq!(answer.is(200).json()["status"], "confirmed", "form {index}");
    }
    assert_eq!(super::customer(&daemon, 2)["status"], "Status 4");
}

/// The UUID that a call id stands for.
fn uuid_of(call: &Value) -> String {
    let id: toolctl::domain::id::CallId = call["id"].as_str().expect("call_…").parse().expect("a call id");
    uuid::Uuid::from_bytes(id.bytes()).to_string()
}

#[test]
fn a_customer_who_does_not_exist_is_404_and_the_key_remembers_it() {
    let daemon = Daemon::start();
    let ticket = json!({"customer_id": 99, "title": "Nobody's"});
    let first = super::tool(&daemon, "create_ticket", &ticket).once("k").send();
    assert_eq!(first.is(404).text("/effect"), "none");
    let second = super::tool(&daemon, "create_ticket", &ticket).once("k").send();
    assert_eq!((second.status, second.header("idempotent-replayed")), (404, "true"));
    assert_eq!(second.body, first.body, "a definite failure is replayed byte for byte");
}

#[test]
fn an_incident_shows_whom_it_affects() {
    let daemon = Daemon::start();
    let impact = super::tool(&daemon, "get_incident_impact", &json!({"incident_id": "INC-1001"})).send();
    let impact = impact.is(200).json();
    let customers = impact["affected_customers"].as_array().expect("customers");
    assert_eq!(impact["incident_id"], "INC-1001");
    assert!(!customers.is_empty(), "the seed has a graph: {impact}");
    assert_eq!(impact["paths"].as_array().map(Vec::len), Some(customers.len()), "one path a customer: {impact}");
}

//! The tools of the desk over plain collections.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;

use proptest::prelude::*;

use super::*;
use crate::domain::call::{Call, CallState};
use crate::domain::digest::Digest;
use crate::domain::id::CallId;
use crate::domain::principal::Credential;
use crate::domain::time::Timestamp;
use crate::domain::tool::{Catalog, Registered, ToolKind};
use crate::pipeline::port::{DeskTables, Edge, Executors, Message, Ticket};
use crate::pipeline::tests::world::{Counted, SetClock};
use crate::tool::Tools;
use crate::tool::command::CommandExecutor;
use crate::tool::http::HttpExecutor;
use crate::tool::upstream::Upstreams;

#[derive(Default)]
struct Desk {
    customers: BTreeMap<i64, Customer>,
    tickets: Vec<Ticket>,
    messages: Vec<Message>,
    edges: BTreeSet<Edge>,
    broken: bool,
    limits: Mutex<Vec<usize>>,
}

impl Desk {
    fn seeded() -> Self {
        let (customers, edges) = seed();
        let customers = customers.into_iter().map(|customer| (customer.id, customer)).collect();
        Self { customers, edges: edges.into_iter().collect(), ..Self::default() }
    }

    fn check(&self) -> Result<(), Unavailable> {
        if self.broken { Err(Unavailable::new("disk on fire")) } else { Ok(()) }
    }
}

impl DeskRead for Desk {
    fn search<'a>(&'a self, query: &'a str, limit: usize) -> Wait<'a, Result<Vec<Customer>, Unavailable>> {
        self.limits.lock().unwrap().push(limit);
        let matches = self.customers.values().filter(|customer| customer.name.contains(query)).cloned().collect();
        Box::pin(async move { self.check().map(|()| matches) })
    }

    fn find_customer(&self, id: i64) -> Wait<'_, Result<Option<Customer>, Unavailable>> {
        Box::pin(async move { self.check().map(|()| self.customers.get(&id).cloned()) })
    }

    fn edges_from<'a>(&'a self, node: &'a str) -> Wait<'a, Result<Vec<Edge>, Unavailable>> {
        let edges = self.edges.iter().filter(|edge| edge.from == node).cloned().collect();
        Box::pin(async move { self.check().map(|()| edges) })
    }

    fn tickets(&self, _: usize) -> Wait<'_, Result<Vec<Ticket>, Unavailable>> {
        unreachable!("no tool lists tickets")
    }

    fn messages(&self, _: usize) -> Wait<'_, Result<Vec<Message>, Unavailable>> {
        unreachable!("no tool lists messages")
    }
}

impl DeskTables for Desk {
    fn customer(&mut self, id: i64) -> Result<Option<Customer>, Unavailable> {
        self.check().map(|()| self.customers.get(&id).cloned())
    }

    fn put_customer(&mut self, customer: &Customer) -> Result<(), Unavailable> {
        self.customers.insert(customer.id, customer.clone());
        Ok(())
    }

    fn add_ticket(&mut self, ticket: Ticket) -> Result<i64, Unavailable> {
        let id = i64::try_from(self.tickets.len()).unwrap() + 1;
        self.tickets.push(Ticket { id, ..ticket });
        Ok(id)
    }

    fn add_message(&mut self, message: &Message) -> Result<(), Unavailable> {
        self.messages.push(message.clone());
        Ok(())
    }

    fn add_edge(&mut self, edge: &Edge) -> Result<(), Unavailable> {
        self.edges.insert(edge.clone());
        Ok(())
    }
}

fn tool(name: &str) -> Arc<Registered> {
    Arc::clone(Catalog::new(tools()).unwrap().get(name).unwrap())
}

fn call(tool: &Registered, arguments: Value) -> Call {
    Call {
        id: CallId::from_bytes([7; 16]),
        tool: tool.name.clone(),
        tool_digest: tool.digest,
        effect: tool.effect,
        principal: "user:anna".parse().unwrap(),
        credential: Credential::Peer(1000),
        chain: vec![],
        key: "k1".parse().unwrap(),
        fingerprint: Digest([1; 32]),
        arguments: Canonical::of(&arguments),
        effective: Digest([2; 32]),
        salt: [3; 16],
        reason: None,
        created_at: Timestamp::EPOCH,
        changed_at: Timestamp::EPOCH,
        attempts: 0,
        approval: None,
        state: CallState::Ready,
    }
}

fn wired(desk: Desk) -> Tools {
    let (clock, chance) = (Arc::new(SetClock(AtomicI64::new(0))), Arc::new(Counted::default()));
    let upstreams = Upstreams::new(PathBuf::new(), BTreeMap::new(), clock, chance);
    Tools::new(Arc::new(desk), CommandExecutor::none(), HttpExecutor::default(), Arc::new(upstreams))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn read(desk: Desk, name: &str, arguments: Value) -> Outcome {
    let tool = tool(name);
    let cleared = Cleared::read_only(call(&tool, arguments), &tool).unwrap();
    wait(wired(desk).of(ToolKind::Desk).run(&cleared)).ending.of_read()
}

fn apply(desk: &mut Desk, name: &str, arguments: Value) -> Result<Outcome, Unavailable> {
    let tool = tool(name);
    let tools = wired(Desk::default());
    let effect = tools.of(ToolKind::Desk).in_store(&tool.name).unwrap();
    effect.apply(&call(&tool, arguments), desk, Timestamp::from_micros(1_795_420_800_000_000))
}

/// The output as it is stored, after its own schema has accepted it.
fn output(name: &str, outcome: Outcome) -> String {
    let Outcome::Succeeded { output } = outcome else { panic!("{outcome:?}") };
    let schema = jsonschema::draft202012::new(&tool(name).output_schema).unwrap();
    assert!(schema.is_valid(&output.value()), "{output:?}");
    output.as_str().to_owned()
}

fn edge(from: &str, to: &str) -> Edge {
    Edge { from: from.to_owned(), kind: "needed_by".to_owned(), to: to.to_owned() }
}

#[test]
fn a_search_lists_customers_and_is_limited() {
    let desk = Desk::seeded();
    let tool = tool("search_customer");
    let cleared = Cleared::read_only(call(&tool, json!({"query": "Nordic"})), &tool).unwrap();
    let desk = Arc::new(desk);
    let outcome = wait(DeskExecutor { desk: Arc::clone(&desk) as Arc<dyn DeskRead> }.run(&cleared)).ending.of_read();
    assert_eq!(
        output("search_customer", outcome),
        r#"{"results":[{"id":2,"name":"Nordic Widgets","status":"Active"}]}"#
    );
    assert_eq!(*desk.limits.lock().unwrap(), [100]);
    let nobody = read(Desk::seeded(), "search_customer", json!({"query": "?"}));
    assert_eq!(output("search_customer", nobody), r#"{"results":[]}"#);
}

#[test]
fn a_desk_that_cannot_be_read_fails_without_saying_why() {
    let broken = Desk { broken: true, ..Desk::seeded() };
    let outcome = read(broken, "search_customer", json!({"query": "a"}));
    assert_eq!(outcome, failed("the desk cannot be read".to_owned()));
}

#[test]
fn a_ticket_is_kept_and_numbered() {
    let mut desk = Desk::seeded();
    let arguments = json!({"customer_id": 2, "title": "Login", "description": "since 8", "priority": "high"});
    let outcome = apply(&mut desk, "create_ticket", arguments).unwrap();
    assert_eq!(
        output("create_ticket", outcome),
        r#"{"ticket":{"created_at":"2026-11-23T08:00:00.000000Z","customer_id":2,"id":1,"priority":"high","title":"Login"}}"#
    );
    assert_eq!(desk.tickets[0].description, "since 8");
}

#[test]
fn an_unknown_customer_changes_nothing() {
    for (name, arguments) in [
        ("create_ticket", json!({"customer_id": 9, "title": "Login", "description": "", "priority": "low"})),
        ("update_customer_status", json!({"customer_id": 9, "new_status": "Closed", "confirm": true})),
    ] {
        let mut desk = Desk::seeded();
        let outcome = apply(&mut desk, name, arguments).unwrap();
        assert_eq!(outcome, not_found("there is no customer `9`".to_owned()), "{name}");
        assert!(desk.tickets.is_empty() && desk.customers == Desk::seeded().customers);
    }
}

#[test]
fn a_status_is_replaced_and_nothing_else() {
    let mut desk = Desk::seeded();
    let outcome =
        apply(&mut desk, "update_customer_status", json!({"customer_id": 1, "new_status": "Closed"})).unwrap();
    assert_eq!(
        output("update_customer_status", outcome),
        r#"{"customer":{"id":1,"name":"ACME AB","status":"Closed"},"pending_action_id":null,"requires_confirmation":false}"#
    );
    assert_eq!(desk.customers[&1].status, "Closed");
    assert_eq!(desk.customers[&2].status, "Active");
}

#[test]
fn a_message_goes_to_the_outbox() {
    let mut desk = Desk::default();
    let outcome = apply(&mut desk, "send_message", json!({"channel": "#ops", "message": "up again"})).unwrap();
    assert_eq!(output("send_message", outcome), r##"{"channel":"#ops","sent":true}"##);
    assert_eq!(desk.messages[0].message, "up again");
}

#[test]
fn a_store_that_fails_ends_the_transaction() {
    let mut desk = Desk { broken: true, ..Desk::seeded() };
    let result = apply(&mut desk, "update_customer_status", json!({"customer_id": 1, "new_status": "Closed"}));
    assert_eq!(result, Err(Unavailable::new("disk on fire")));
}

#[test]
fn only_tools_that_write_run_in_the_store() {
    let tools_of_the_desk = wired(Desk::default());
    for tool in tools() {
        let in_store = tools_of_the_desk.of(ToolKind::Desk).in_store(&tool.name).is_some();
        assert_eq!(in_store, tool.runs_in_store(), "{}", tool.name);
    }
    assert!(tools_of_the_desk.of(ToolKind::Desk).in_store(&"other".parse().unwrap()).is_none());
}

#[test]
fn the_seeded_incidents_reach_customers_along_shortest_paths() {
    let outcome = read(Desk::seeded(), "get_incident_impact", json!({"incident_id": "INC-1001"}));
    let expected = json!({
        "incident_id": "INC-1001",
        "affected_customers": [
            {"id": 1, "name": "ACME AB", "status": "Active"},
            {"id": 2, "name": "Nordic Widgets", "status": "Active"},
        ],
        "paths": [
            ["INC-1001", "svc:payments", "svc:checkout", "customer:1"],
            ["INC-1001", "svc:payments", "svc:checkout", "svc:storefront", "customer:2"],
        ],
    });
    assert_eq!(output("get_incident_impact", outcome), Canonical::of(&expected).as_str());

    let outcome = read(Desk::seeded(), "get_incident_impact", json!({"incident_id": "INC-1002"}));
    let output: Value = serde_json::from_str(&output("get_incident_impact", outcome)).unwrap();
    assert_eq!(
        output["paths"],
        json!([["INC-1002", "svc:search", "svc:storefront", "customer:2"], ["INC-1002", "svc:search", "customer:3"]])
    );
}

#[test]
fn an_unknown_incident_is_not_found() {
    let outcome = read(Desk::seeded(), "get_incident_impact", json!({"incident_id": "INC-9"}));
    assert_eq!(outcome, not_found("there is no incident `INC-9`".to_owned()));
}

#[test]
fn a_customer_the_desk_does_not_have_is_listed_all_the_same() {
    let mut desk = Desk::default();
    desk.edges.insert(edge("incident:i", "customer:77"));
    let outcome = read(desk, "get_incident_impact", json!({"incident_id": "i"}));
    assert_eq!(
        output("get_incident_impact", outcome),
        r#"{"affected_customers":[{"id":77,"name":"","status":"Unknown"}],"incident_id":"i","paths":[["i","customer:77"]]}"#
    );
}

#[test]
fn a_walk_stops_at_its_limit() {
    let mut desk = Desk::default();
    desk.edges.extend((0..9).map(|n| edge("incident:i", &format!("service:{n}"))));
    assert_eq!(wait(impact::of(&desk, "i", 9)), Ok(Impact::TooLarge { most: 9 }));
    assert_eq!(wait(impact::of(&desk, "i", 10)), Ok(Impact::Known(vec![])));
}

#[test]
fn an_output_beyond_the_limit_is_refused() {
    let name = "x".repeat(1 << 20);
    let mut desk = Desk::default();
    desk.put_customer(&Customer { id: 1, name, status: "Active".to_owned() }).unwrap();
    let Outcome::Failed { kind, message, .. } = read(desk, "search_customer", json!({"query": "x"})) else { panic!() };
    assert_eq!(kind, FailureKind::OutputInvalid);
    assert_eq!(message, "the output of `search_customer` has 1048626 bytes; the limit is 1048576");
}

/// Distances from the incident by going through all edges until nothing changes.
fn naive_distances(edges: &BTreeSet<Edge>) -> BTreeMap<String, usize> {
    let mut distances = BTreeMap::from([("incident:i".to_owned(), 0)]);
    loop {
        let before = distances.clone();
        for edge in edges {
            if let Some(distance) = distances.get(&edge.from).map(|distance| distance + 1) {
                let known = distances.entry(edge.to.clone()).or_insert(distance);
                *known = distance.min(*known);
            }
        }
        if before == distances {
            return distances;
        }
    }
}

proptest! {
    #[test]
    fn the_impact_is_what_can_be_reached(
        services in proptest::collection::vec((0..8_u8, 0..8_u8), 0..20),
        customers in proptest::collection::vec((0..8_u8, 0..6_i64), 0..12),
        affected in proptest::collection::btree_set(0..8_u8, 1..3),
    ) {
        let mut desk = Desk::seeded();
        desk.edges = services.iter().map(|(a, b)| edge(&format!("service:{a}"), &format!("service:{b}"))).collect();
        desk.edges.extend(customers.iter().map(|(a, c)| edge(&format!("service:{a}"), &format!("customer:{c}"))));
        desk.edges.extend(affected.iter().map(|a| edge("incident:i", &format!("service:{a}"))));

        let Ok(Impact::Known(found)) = wait(impact::of(&desk, "i", impact::MOST_NODES)) else { panic!() };

        let distances = naive_distances(&desk.edges);
        let reached: BTreeMap<i64, usize> = distances
            .iter()
            .filter_map(|(node, distance)| Some((node.strip_prefix("customer:")?.parse().ok()?, *distance)))
            .collect();
        let told: BTreeMap<i64, usize> = found.iter().map(|one| (one.customer.id, one.path.len() - 1)).collect();
        prop_assert_eq!(told, reached);
        prop_assert!(found.is_sorted_by_key(|one| one.customer.id));
        let stored = |shown: &str| if shown == "i" { "incident:i".to_owned() } else { shown.replace("svc:", "service:") };
        for impact::Affected { path, .. } in &found {
            for step in path.windows(2) {
                prop_assert!(desk.edges.contains(&edge(&stored(&step[0]), &stored(&step[1]))));
            }
        }
    }
}

#[test]
fn the_definitions_are_those_that_existing_stores_know() {
    let known = [
        ("create_ticket", "66aede6956eeee280b5e755497ad3eeb7b295a8e72544459bb146b766f672119"),
        ("get_incident_impact", "3f490cc72bc82000a17af8e841a12fc1da30764988620cdd3efa4e2ba9b808e6"),
        ("search_customer", "8efbee546523b7d4a544c3a55e77421753d965d2d8e4283e2fd034b3ba737d40"),
        ("send_message", "b6a531e8220eb7307b0a6253762a12f93d30bbc07bc1c6475c0c61604df7fcca"),
        ("update_customer_status", "b8979143aa0cfa3f5a741b5fda07ad77ceba6790e71dd1929b0977886f866a6d"),
    ];
    let catalog = Catalog::new(tools()).unwrap();
    let now: Vec<_> = catalog.iter().map(|tool| (tool.name.to_string(), tool.digest.hex())).collect();
    assert_eq!(known.map(|(name, _)| name), crate::domain::tool::BUILT_IN);
    assert_eq!(now, known.map(|(name, digest)| (name.to_owned(), digest.to_owned())));
}

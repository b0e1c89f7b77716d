//! Large runs: a thousand items, ten megabytes of output, and what a step costs beside a direct call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolctl::api::calls::{Create, NewCall};
use toolctl::client::{Client, Target};

use super::{file, run, step};
use crate::support::Daemon;

const ITEMS: usize = 1_000;

/// A thousand direct calls by the client that runs use, sixteen at once.
fn direct(daemon: &Daemon) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = Arc::new(Client::new(&Target::Socket(daemon.socket()), None).expect("a client"));
    let started = Instant::now();
    runtime.block_on(async {
        let mut lanes = tokio::task::JoinSet::new();
        for lane in 0..16 {
            let client = Arc::clone(&client);
            lanes.spawn(async move {
                for item in (lane..ITEMS).step_by(16) {
                    let new = NewCall {
                        tool: "create_ticket".into(),
                        arguments: json!({"customer_id": 1, "title": format!("Direct {item}")}),
                        idempotency_key: Some(format!("direct/{item}")),
                        dry_run: false,
                        reason: Some("a thousand calls".into()),
                        wait: None,
                        approval: None,
                    };
                    let call = client.send::<Create>(&new, Duration::from_secs(60)).await.expect("an answer");
                    assert_eq!(call.state, "succeeded");
                }
            });
        }
        while let Some(lane) = lanes.join_next().await {
            lane.expect("a lane ends");
        }
    });
    started.elapsed()
}

#[test]
fn a_thousand_items_sixteen_at_once() {
    let daemon = Daemon::unhurried();
    let text = "name = \"w\"\n[[step]]\nid = \"all\"\ntool = \"create_ticket\"\nfor_each = \"{{ range(1000) }}\"\nmax_parallel = 16\n\
                with = { customer_id = 1, title = \"Item {{ item }}\" }\n[outputs]\ncount = \"{{ steps.all.output | length }}\"\n";
    let path = file(&daemon, "w.toml", text);
    let calls = direct(&daemon);
    let started = Instant::now();
    let report = run(&daemon, &path, &[], &["--run", "r"]).json();
    let took = started.elapsed();
    let ratio = took.as_secs_f64() / calls.as_secs_f64();
    println!("1000 items in {took:?}, 1000 direct calls in {calls:?}: {ratio:.2} times");
    assert_eq!(report["outputs"]["count"], ITEMS);
    let titles = step(&report, "all")["output"].as_array().expect("a list").iter().enumerate();
    assert!(
        titles.clone().all(|(place, output)| output["ticket"]["title"] == format!("Item {place}")),
        "outputs stand in the order of the items"
    );
    let started = Instant::now();
    let again = run(&daemon, &path, &[], &["--run", "r"]).json();
    println!("replayed in {:?}", started.elapsed());
    assert_eq!(step(&again, "all")["output"], step(&report, "all")["output"]);
    let shown = daemon.cli(&["runs", "show", "r", "-o", "json"]).json();
    assert_eq!(shown["calls"].as_array().map(Vec::len), Some(ITEMS));
}

#[test]
fn a_rate_limit_slows_a_run_and_does_not_fail_it() {
    let daemon = Daemon::with_env_file("RATE_LIMIT_PER_MIN=6000\n", &[]);
    let text = "name = \"w\"\n[[step]]\nid = \"all\"\ntool = \"create_ticket\"\nfor_each = \"{{ range(150) }}\"\nmax_parallel = 64\n\
                with = { customer_id = 1, title = \"Item {{ item }}\" }\n";
    let report = run(&daemon, &file(&daemon, "w.toml", text), &[], &[]).json();
    assert_eq!(step(&report, "all")["output"].as_array().map(Vec::len), Some(150));
}

#[test]
fn ten_megabytes_of_output_go_through() {
    let daemon = Daemon::unhurried();
    let customers: Vec<Value> = (0..2_000)
        .map(|id| json!({"id": 10_000 + id, "name": format!("{id} {}", "n".repeat(190)), "status": "Active"}))
        .collect();
    let edges: Vec<Value> = (0..2_000)
        .map(|id| json!({"from": "service:big", "kind": "serves", "to": format!("customer:{}", 10_000 + id)}))
        .collect();
    let mut edges = edges;
    edges.push(json!({"from": "incident:BIG", "kind": "affects", "to": "service:big"}));
    daemon.http("POST", "/v1/desk/import").json(&json!({"customers": customers, "edges": edges})).send().is(200);
    let text = "name = \"w\"\n[[step]]\nid = \"all\"\ntool = \"get_incident_impact\"\nfor_each = \"{{ range(20) }}\"\n\
                with = { incident_id = \"BIG\" }\n[[step]]\nid = \"count\"\ntool = \"send_message\"\n\
                with = { channel = \"c\", message = \"{{ steps.all.output | map(attribute='affected_customers') | map('length') | sum }} customers\" }\n\
                [outputs]\nfirst = \"{{ steps.all.output[19].affected_customers[0].id }}\"\n";
    let path = file(&daemon, "w.toml", text);
    let started = Instant::now();
    let ending = run(&daemon, &path, &[], &["--run", "r"]).ends();
    assert_eq!(ending.code, Some(0), "{}", ending.stderr);
    println!("{} bytes in {:?}", ending.stdout.len(), started.elapsed());
    assert!(ending.stdout.len() > 10 << 20, "only {} bytes", ending.stdout.len());
    assert_eq!(ending.json()["outputs"]["first"], 10_000);
    let shown = daemon.cli(&["runs", "show", "r", "-o", "json"]).json();
    let said = shown["calls"]
        .as_array()
        .expect("calls")
        .iter()
        .find(|call| call["tool"] == "send_message")
        .expect("a message");
    assert_eq!(said["arguments"]["message"], "40000 customers");
}

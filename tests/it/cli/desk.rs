//! `desk import`: real data comes in whole or not at all, and the tools find it.

use serde_json::json;

use super::fails;
use crate::support::Daemon;

fn file(daemon: &Daemon, name: &str, text: &str) -> String {
    let path = daemon.dir().join(name);
    std::fs::write(&path, text).expect("the file");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn customers_and_incidents_are_loaded_and_found() {
    let daemon = Daemon::start();
    let customers =
        file(&daemon, "customers.csv", "id,name,status\n10,Straße AG,Active\n11,\"Müller, Söhne\",Paused\n");
    assert_eq!(daemon.cli(&["-o", "json", "desk", "import", &customers]).json(), json!({"customers": 2, "edges": 0}));
    let found = daemon.cli(&["-o", "json", "call", "search_customer", "--query", "STRASSE"]).json();
    assert_eq!(found["results"], json!([{"id": 10, "name": "Straße AG", "status": "Active"}]));

    let graph = r#"{"services": [{"id": "mail", "depends_on": ["disk"], "customers": [10]}, {"id": "disk", "customers": [11]}],
        "incidents": [{"id": "INC-9", "services": ["disk"]}]}"#;
    let graph = file(&daemon, "incidents.json", graph);
    daemon.cli(&["desk", "import", &graph]).exits(0);
    let impact = daemon.cli(&["-o", "json", "call", "get_incident_impact", "--incident-id", "INC-9"]).json();
    let ids: Vec<_> = impact["affected_customers"].as_array().expect("customers").iter().map(|c| &c["id"]).collect();
    assert_eq!(ids, [&json!(10), &json!(11)]);
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn a_file_that_will_not_do_is_refused_with_its_place_and_changes_nothing() {
    let daemon = Daemon::start();
    for (name, text, place) in [
        ("twice.csv", "id,name\n1,New\n1,Newer\n", "line 3"),
        ("number.csv", "id,name\nx,New\n", "line 2"),
        ("column.csv", "id,nane\n1,New\n", "name"),
        ("graph.json", r#"{"services": [], "incidents": [{"id": "I", "services": ["mial"]}]}"#, "mial"),
        ("words.txt", "1,New", ".csv"),
    ] {
        let path = file(&daemon, name, text);
        let error = fails(daemon.cli(&["-o", "json", "desk", "import", &path]), 2);
        assert!(error.to_string().contains(place), "{name}: {error}");
    }
    let found = daemon.cli(&["-o", "json", "call", "search_customer", "--query", "new"]).json();
    assert_eq!(found["results"], json!([]));
}

#[test]
fn only_administrators_load_data() {
    let daemon = Daemon::start();
    let agent = daemon.agent("bot");
    let customers = file(&daemon, "customers.csv", "id,name\n10,Somebody\n");
    fails(daemon.cli(&["-o", "json", "desk", "import", &customers]).key(&agent), 5);
}

//! The incident graph from JSON:
//!
//! ```json
//! {
//!   "services": [
//!     {"id": "payments", "depends_on": ["ledger"], "customers": [1, 2]},
//!     {"id": "ledger"}
//!   ],
//!   "incidents": [{"id": "INC-7", "services": ["ledger"]}]
//! }
//! ```
//!
//! `depends_on` and `customers` may be left out. Every service that is named must be described, in any
//! order; services may depend on each other in circles. An incident affects at least one service.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{ImportProblem, LARGEST_ID, LONGEST_NODE, MOST_GRAPH_BYTES, cut, nearest};
use crate::api::desk::Edge;
use crate::domain::json::{Limits, parse};

/// Reads a graph as the edges it consists of, in order and each once.
///
/// # Errors
/// The first thing that is wrong, with its JSON Pointer.
pub fn incidents_json(bytes: &[u8]) -> Result<Vec<Edge>, ImportProblem> {
    let limits = Limits { bytes: MOST_GRAPH_BYTES, depth: 8 };
    let graph = parse(bytes, limits).map_err(ImportProblem::NotJson)?;
    let graph = Place::new(&graph, String::new()).members(&["services", "incidents"])?;
    let services = graph.list("services")?;
    let incidents = graph.list("incidents")?;

    let mut known = BTreeSet::new();
    for service in &services {
        known.insert(service.members(&["id", "depends_on", "customers"])?.new_name(&known)?);
    }

    let mut edges = BTreeSet::new();
    for service in &services {
        let service = service.members(&["id", "depends_on", "customers"])?;
        let name = service.get("id")?.name()?;
        for needed in service.list("depends_on")? {
            edges.insert(edge("service", needed.one_of(&known)?, "needed_by", format!("service:{name}")));
        }
        for customer in service.list("customers")? {
            edges.insert(edge("service", name, "serves", format!("customer:{}", customer.number()?)));
        }
    }
    let mut seen = BTreeSet::new();
    for incident in &incidents {
        let incident = incident.members(&["id", "services"])?;
        let name = incident.new_name(&seen)?;
        let affected = incident.list("services")?;
        if affected.is_empty() {
            return Err(problem(incident.path, format!("the incident `{name}` affects no service")));
        }
        for service in affected {
            edges.insert(edge("incident", name, "affects", format!("service:{}", service.one_of(&known)?)));
        }
        seen.insert(name);
    }
    Ok(edges.into_iter().collect())
}

fn edge(kind: &str, from: &str, means: &str, to: String) -> Edge {
    Edge { from: format!("{kind}:{from}"), kind: means.to_owned(), to }
}

fn problem(path: String, why: String) -> ImportProblem {
    ImportProblem::Graph { path, why, nearest: None }
}

/// A value and where it stands.
struct Place<'a> {
    value: &'a Value,
    path: String,
}

/// An object and where it stands.
struct Members<'a> {
    members: &'a Map<String, Value>,
    path: String,
}

impl<'a> Place<'a> {
    const fn new(value: &'a Value, path: String) -> Self {
        Self { value, path }
    }

    fn refuse(&self, why: impl Into<String>) -> ImportProblem {
        problem(self.path.clone(), why.into())
    }

    fn members(&self, allowed: &[&str]) -> Result<Members<'a>, ImportProblem> {
        let members = self.value.as_object().ok_or_else(|| self.refuse("not an object"))?;
        match members.keys().find(|member| !allowed.contains(&member.as_str())) {
            Some(unknown) => Err(ImportProblem::Graph {
                path: self.path.clone(),
                why: format!("the member `{}` is not known", cut(unknown)),
                nearest: nearest(unknown, allowed.iter().copied()),
            }),
            None => Ok(Members { members, path: self.path.clone() }),
        }
    }

    fn name(&self) -> Result<&'a str, ImportProblem> {
        self.value
            .as_str()
            .filter(|name| (1..=LONGEST_NODE).contains(&name.chars().count()))
            .ok_or_else(|| self.refuse(format!("not a name of 1 to {LONGEST_NODE} characters")))
    }

    fn number(&self) -> Result<i64, ImportProblem> {
        self.value
            .as_i64()
            .filter(|number| (-LARGEST_ID..=LARGEST_ID).contains(number))
            .ok_or_else(|| self.refuse("not the number of a customer"))
    }

    fn one_of(&self, services: &BTreeSet<&str>) -> Result<&'a str, ImportProblem> {
        let name = self.name()?;
        if services.contains(name) {
            return Ok(name);
        }
        Err(ImportProblem::Graph {
            path: self.path.clone(),
            why: format!("the service `{name}` is not described"),
            nearest: nearest(name, services.iter().copied()),
        })
    }
}

impl<'a> Members<'a> {
    fn get(&self, member: &str) -> Result<Place<'a>, ImportProblem> {
        let value = self.members.get(member);
        let value = value.ok_or_else(|| problem(self.path.clone(), format!("the member `{member}` is missing")))?;
        Ok(Place::new(value, format!("{}/{member}", self.path)))
    }

    /// The items of an array; none when it is left out.
    fn list(&self, member: &str) -> Result<Vec<Place<'a>>, ImportProblem> {
        if !self.members.contains_key(member) {
            return Ok(Vec::new());
        }
        let list = self.get(member)?;
        let items = list.value.as_array().ok_or_else(|| list.refuse("not an array"))?;
        Ok(items.iter().enumerate().map(|(at, item)| Place::new(item, format!("{}/{at}", list.path))).collect())
    }

    fn new_name(&self, known: &BTreeSet<&str>) -> Result<&'a str, ImportProblem> {
        let id = self.get("id")?;
        let name = id.name()?;
        if known.contains(name) { Err(id.refuse(format!("`{name}` is described twice"))) } else { Ok(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_becomes_its_edges() {
        let graph = br#"{
            "services": [
                {"id": "payments", "depends_on": ["ledger", "ledger"], "customers": [2, -1]},
                {"id": "ledger", "depends_on": ["payments"]}
            ],
            "incidents": [{"id": "INC-7", "services": ["ledger"]}]
        }"#;
        let edges: Vec<String> = incidents_json(graph)
            .unwrap()
            .into_iter()
            .map(|edge| format!("{} {} {}", edge.from, edge.kind, edge.to))
            .collect();
        assert_eq!(
            edges,
            [
                "incident:INC-7 affects service:ledger",
                "service:ledger needed_by service:payments",
                "service:payments needed_by service:ledger",
                "service:payments serves customer:-1",
                "service:payments serves customer:2",
            ]
        );
        assert_eq!(incidents_json(b"{}"), Ok(vec![]));
    }

    #[test]
    fn a_refusal_names_the_place() {
        for (graph, why) in [
            ("{", "not JSON: expected a member name in quotes (at byte 1)"),
            ("[]", "at ``: not an object"),
            (r#"{"services": {}}"#, "at `/services`: not an array"),
            (r#"{"services": [{}]}"#, "at `/services/0`: the member `id` is missing"),
            (r#"{"services": [{"id": ""}]}"#, "at `/services/0/id`: not a name of 1 to 100 characters"),
            (r#"{"services": [{"id": "a"}, {"id": "a"}]}"#, "at `/services/1/id`: `a` is described twice"),
            (
                r#"{"services": [{"id": "a", "customers": ["1"]}]}"#,
                "at `/services/0/customers/0`: not the number of a customer",
            ),
            (r#"{"incidents": [{"id": "i"}]}"#, "at `/incidents/0`: the incident `i` affects no service"),
        ] {
            assert_eq!(incidents_json(graph.as_bytes()).unwrap_err().to_string(), why, "{graph}");
        }
    }

    #[test]
    fn a_service_that_is_not_described_is_guessed() {
        for (graph, why, hint) in [
            (
                r#"{"services": [{"id": "payments"}], "incidents": [{"id": "i", "services": ["paymets"]}]}"#,
                "at `/incidents/0/services/0`: the service `paymets` is not described",
                Some("did you mean `payments`?"),
            ),
            (
                r#"{"services": [{"id": "payments", "depends_on": ["x"]}]}"#,
                "at `/services/0/depends_on/0`: the service `x` is not described",
                None,
            ),
            (
                r#"{"services": [{"id": "a", "dependson": []}]}"#,
                "at `/services/0`: the member `dependson` is not known",
                Some("did you mean `depends_on`?"),
            ),
        ] {
            let problem = incidents_json(graph.as_bytes()).unwrap_err();
            assert_eq!((problem.to_string().as_str(), problem.hint().as_deref()), (why, hint));
        }
    }
}

//! Whom an incident affects: a walk from the incident to the services it affects, on to the services that
//! need those, and to the customers they serve. Breadth first, so the first path to a customer is a shortest
//! one; services may need each other in circles, so every node is visited once.

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::pipeline::port::{Customer, DeskRead, Unavailable};

/// Nodes that one walk visits at most.
pub(super) const MOST_NODES: usize = 100_000;

/// What a walk came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Impact {
    /// No edge starts at such an incident.
    Unknown,
    /// The walk has more nodes than it may visit.
    TooLarge {
        /// The limit.
        most: usize,
    },
    /// Everybody it reaches, in the order of their numbers.
    Known(Vec<Affected>),
}

/// A customer and why it is affected.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Affected {
    pub(super) customer: Customer,
    /// A shortest path from the incident: names of nodes as people see them.
    pub(super) path: Vec<String>,
}

/// Reads that are in memory end at once: without a rest now and then a long walk would let nobody else run, and
/// its own time limit could not strike.
async fn pace(step: usize) {
    if step % 64 == 63 {
        tokio::task::yield_now().await;
    }
}

/// Walks from `incident`, visiting at most `most` nodes.
pub(super) async fn of(desk: &dyn DeskRead, incident: &str, most: usize) -> Result<Impact, Unavailable> {
    let mut walk = Walk::from(format!("incident:{incident}"));
    while let Some(here) = walk.next() {
        let edges = desk.edges_from(&here.name).await?;
        pace(here.index).await;
        if here.parent.is_none() && edges.is_empty() {
            return Ok(Impact::Unknown);
        }
        for edge in edges {
            walk.reach(edge.to, here.index);
            if walk.nodes.len() > most {
                return Ok(Impact::TooLarge { most });
            }
        }
    }
    let mut affected = Vec::with_capacity(walk.customers.len());
    for (id, index) in &walk.customers {
        pace(*index).await;
        let unknown = || Customer { id: *id, name: String::new(), status: "Unknown".to_owned() };
        let customer = desk.find_customer(*id).await?.unwrap_or_else(unknown);
        affected.push(Affected { customer, path: walk.path(*index) });
    }
    Ok(Impact::Known(affected))
}

struct Walk {
    /// Every node seen, and the one it was reached from.
    nodes: Vec<(String, Option<usize>)>,
    seen: HashSet<String>,
    waiting: VecDeque<usize>,
    customers: BTreeMap<i64, usize>,
}

struct Here {
    index: usize,
    name: String,
    parent: Option<usize>,
}

impl Walk {
    fn from(start: String) -> Self {
        Self {
            nodes: vec![(start.clone(), None)],
            seen: HashSet::from([start]),
            waiting: VecDeque::from([0]),
            customers: BTreeMap::new(),
        }
    }

    fn next(&mut self) -> Option<Here> {
        let index = self.waiting.pop_front()?;
        let (name, parent) = self.nodes.get(index)?;
        Some(Here { index, name: name.clone(), parent: *parent })
    }

    fn reach(&mut self, name: String, from: usize) {
        if !self.seen.insert(name.clone()) {
            return;
        }
        let index = self.nodes.len();
        if let Some(number) = name.strip_prefix("customer:").and_then(|number| number.parse().ok()) {
            self.customers.entry(number).or_insert(index);
        } else {
            self.waiting.push_back(index);
        }
        self.nodes.push((name, Some(from)));
    }

    fn path(&self, last: usize) -> Vec<String> {
        let step = |index: &usize| self.nodes.get(*index).and_then(|(_, parent)| *parent);
        let mut path: Vec<String> = std::iter::successors(Some(last), step)
            .filter_map(|index| self.nodes.get(index))
            .map(|(name, _)| shown(name))
            .collect();
        path.reverse();
        path
    }
}

/// A node as the tool's output names it: an incident by its bare name, a service as `svc:NAME`.
fn shown(node: &str) -> String {
    match node.split_once(':') {
        Some(("incident", name)) => name.to_owned(),
        Some(("service", name)) => format!("svc:{name}"),
        _ => node.to_owned(),
    }
}

//! The customer desk, the tools that are built in. What reads runs here; what writes is handed to the store
//! as an effect that runs inside the transaction of its own record, so it happens exactly once.

mod catalog;
mod effect;
mod impact;
mod seed;

use std::sync::Arc;

use serde_json::{Value, json};

use self::catalog::Name;
use self::impact::Impact;
use crate::domain::id::ToolName;
use crate::domain::json::Canonical;
use crate::domain::outcome::{Effect, FailureKind, Outcome, Ran};
use crate::pipeline::cleared::Cleared;
use crate::pipeline::port::{Customer, DeskRead, Executor, InStore, Unavailable, Wait};

pub use self::catalog::tools;
pub use self::seed::seed;

/// Customers that one search gives at most.
pub const MOST_RESULTS: usize = 100;

/// Runs the tools of the desk.
pub struct DeskExecutor {
    /// Where it reads.
    pub desk: Arc<dyn DeskRead>,
}

impl Executor for DeskExecutor {
    fn run<'a>(&'a self, cleared: &'a Cleared) -> Wait<'a, Ran> {
        Box::pin(async move {
            let name = &cleared.tool().name;
            let arguments = cleared.arguments();
            let output = match Name::of(name) {
                Some(Name::SearchCustomer) => self.search(&arguments).await,
                Some(Name::GetIncidentImpact) => self.impact(&arguments).await,
                Some(Name::CreateTicket | Name::UpdateCustomerStatus | Name::SendMessage) | None => {
                    Err(failed(format!("`{name}` is not run outside the store's transaction")))
                }
            };
            let outcome = match output.map(|output| Canonical::of(&output)) {
                Ok(output) if output.as_str().len() > cleared.tool().output_limit => Outcome::Failed {
                    kind: FailureKind::OutputInvalid,
                    message: format!(
                        "the output of `{name}` has {} bytes; the limit is {}",
                        output.as_str().len(),
                        cleared.tool().output_limit
                    ),
                    output: None,
                    effect: Effect::None,
                },
                Ok(output) => Outcome::Succeeded { output },
                Err(failure) => failure,
            };
            outcome.into()
        })
    }

    fn in_store(&self, tool: &ToolName) -> Option<Arc<dyn InStore>> {
        match Name::of(tool)? {
            Name::CreateTicket => Some(Arc::new(effect::CreateTicket)),
            Name::UpdateCustomerStatus => Some(Arc::new(effect::UpdateCustomerStatus)),
            Name::SendMessage => Some(Arc::new(effect::SendMessage)),
            Name::SearchCustomer | Name::GetIncidentImpact => None,
        }
    }
}

impl DeskExecutor {
    async fn search(&self, arguments: &Value) -> Result<Value, Outcome> {
        let found = self.desk.search(text(arguments, "query")?, MOST_RESULTS).await.map_err(unreadable)?;
        let results: Vec<Value> = found.iter().map(customer_json).collect();
        Ok(json!({"results": results}))
    }

    async fn impact(&self, arguments: &Value) -> Result<Value, Outcome> {
        let incident = text(arguments, "incident_id")?;
        match impact::of(&*self.desk, incident, impact::MOST_NODES).await.map_err(unreadable)? {
            Impact::Unknown => Err(not_found(format!("there is no incident `{incident}`"))),
            Impact::TooLarge { most } => {
                Err(failed(format!("the incident `{incident}` reaches more than {most} services and customers")))
            }
            Impact::Known(affected) => {
                let customers: Vec<Value> = affected.iter().map(|one| customer_json(&one.customer)).collect();
                let paths: Vec<&[String]> = affected.iter().map(|one| one.path.as_slice()).collect();
                Ok(json!({"incident_id": incident, "affected_customers": customers, "paths": paths}))
            }
        }
    }
}

fn customer_json(customer: &Customer) -> Value {
    json!({"id": customer.id, "name": customer.name, "status": customer.status})
}

/// An argument that the schema promised to be there, as text.
fn text<'a>(arguments: &'a Value, name: &str) -> Result<&'a str, Outcome> {
    arguments.get(name).and_then(Value::as_str).ok_or_else(|| failed(format!("the argument `{name}` is no text")))
}

/// An argument that the schema promised to be there, as a whole number.
fn integer(arguments: &Value, name: &str) -> Result<i64, Outcome> {
    arguments
        .get(name)
        .and_then(Value::as_i64)
        .ok_or_else(|| failed(format!("the argument `{name}` is no whole number")))
}

/// What was read, not what was written, is missing: nothing happened.
fn unreadable(error: Unavailable) -> Outcome {
    tracing::error!(why = error.why, "the desk cannot be read");
    failed("the desk cannot be read".to_owned())
}

const fn failed(message: String) -> Outcome {
    Outcome::Failed { kind: FailureKind::Failed, message, output: None, effect: Effect::None }
}

const fn not_found(message: String) -> Outcome {
    Outcome::Failed { kind: FailureKind::NotFound, message, output: None, effect: Effect::None }
}

#[cfg(test)]
mod tests;

//! What the five tools of the desk say of themselves: names, texts, schemas, effects. People, models, the
//! schema guard and approvals all read this.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::id::ToolName;
use crate::domain::tool::{Action, EffectClass, Extras, Risk, Tool};

const TIMEOUT: Duration = Duration::from_secs(10);
const OUTPUT_LIMIT: usize = 1 << 20;
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The tools by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    SearchCustomer,
    CreateTicket,
    UpdateCustomerStatus,
    SendMessage,
    GetIncidentImpact,
}

impl Name {
    const ALL: [Self; 5] = [
        Self::SearchCustomer,
        Self::CreateTicket,
        Self::UpdateCustomerStatus,
        Self::SendMessage,
        Self::GetIncidentImpact,
    ];

    pub(super) fn of(name: &ToolName) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.word() == name.as_str())
    }

    const fn word(self) -> &'static str {
        match self {
            Self::SearchCustomer => "search_customer",
            Self::CreateTicket => "create_ticket",
            Self::UpdateCustomerStatus => "update_customer_status",
            Self::SendMessage => "send_message",
            Self::GetIncidentImpact => "get_incident_impact",
        }
    }
}

/// The five tools of the desk.
pub fn tools() -> Vec<Tool> {
    Name::ALL.into_iter().map(describe).collect()
}

fn describe(name: Name) -> Tool {
    match name {
        Name::SearchCustomer => Tool {
            title: "Search customers".to_owned(),
            description: "Finds customers whose name contains `query`, whatever the letter case, in any script. Gives \
                          at most 100, in the order of their numbers; an empty list means that nobody matches. Use it \
                          to learn the number of a customer, which the other tools ask for."
                .to_owned(),
            input_schema: object(
                &["query"],
                json!({"query": {
                    "type": "string", "minLength": 1, "maxLength": 200,
                    "description": "Part of the customer's name, for example `acme`.",
                }}),
            ),
            output_schema: object(&["results"], json!({"results": {"type": "array", "items": customer()}})),
            example: Some(json!({"query": "acme"})),
            ..plain(name, EffectClass::ReadOnly, Risk::Low)
        },
        Name::CreateTicket => Tool {
            title: "Create a ticket".to_owned(),
            description: "Opens a ticket for an existing customer and gives its number. Each call opens another \
                          ticket: to repeat a call safely, send the same idempotency key."
                .to_owned(),
            input_schema: object(
                &["customer_id", "title"],
                json!({
                    "customer_id": customer_id(),
                    "title": {
                        "type": "string", "minLength": 3, "maxLength": 200,
                        "description": "The matter in one line.",
                    },
                    "description": {
                        "type": "string", "maxLength": 10_000, "default": "",
                        "description": "What happened, since when, and what was tried.",
                    },
                    "priority": {
                        "type": "string", "enum": ["low", "medium", "high", "urgent"], "default": "medium",
                        "description": "How soon somebody must look at it.",
                    },
                }),
            ),
            output_schema: object(&["ticket"], json!({"ticket": ticket()})),
            example: Some(json!({"customer_id": 1, "title": "Login is broken", "priority": "high"})),
            ..plain(name, EffectClass::Once, Risk::Medium)
        },
        Name::UpdateCustomerStatus => Tool {
            title: "Change a customer's status".to_owned(),
            description: "Replaces the status of a customer, for example `Active` by `Suspended`. The shipped policy \
                          asks a person to approve each call: until somebody does, nothing changes, and the answer \
                          says that the call waits and under which number."
                .to_owned(),
            input_schema: object(
                &["customer_id", "new_status"],
                json!({
                    "customer_id": customer_id(),
                    "new_status": {
                        "type": "string", "minLength": 2, "maxLength": 100,
                        "description": "The status from now on.",
                    },
                    "confirm": {
                        "type": "boolean", "default": false,
                        "description": "Approve your own call. Heeded only where an administrator allows you that; \
                                        otherwise the call waits for people as without it.",
                    },
                }),
            ),
            output_schema: object(
                &["requires_confirmation", "pending_action_id", "customer"],
                json!({
                    "requires_confirmation": {"type": "boolean"},
                    "pending_action_id": {"type": ["string", "null"]},
                    "customer": {"anyOf": [customer(), {"type": "null"}]},
                }),
            ),
            confirm_argument: Some("confirm".to_owned()),
            example: Some(json!({"customer_id": 2, "new_status": "Suspended"})),
            ..plain(name, EffectClass::Once, Risk::High)
        },
        Name::SendMessage => Tool {
            title: "Send a message".to_owned(),
            description: "Puts a message for a channel into the desk's outbox, where it is kept. Nothing leaves this \
                          machine; to reach a real channel, add a webhook tool."
                .to_owned(),
            input_schema: object(
                &["channel", "message"],
                json!({
                    "channel": {
                        "type": "string", "minLength": 1, "maxLength": 200,
                        "description": "Where to, for example `#operations`.",
                    },
                    "message": {
                        "type": "string", "minLength": 1, "maxLength": 10_000,
                        "description": "What to say.",
                    },
                }),
            ),
            output_schema: object(
                &["sent", "channel"],
                json!({"sent": {"type": "boolean"}, "channel": {"type": "string"}}),
            ),
            example: Some(json!({"channel": "#operations", "message": "Payments are back."})),
            ..plain(name, EffectClass::Once, Risk::Low)
        },
        Name::GetIncidentImpact => Tool {
            title: "Show whom an incident affects".to_owned(),
            description: "Follows an incident to the services it affects, to the services that depend on those, and \
                          to the customers they serve. Gives every affected customer and one shortest path to each, \
                          in the same order."
                .to_owned(),
            input_schema: object(
                &["incident_id"],
                json!({"incident_id": {
                    "type": "string", "minLength": 1, "maxLength": 100,
                    "description": "Name of the incident, for example `INC-1001`.",
                }}),
            ),
            output_schema: object(
                &["incident_id", "affected_customers", "paths"],
                json!({
                    "incident_id": {"type": "string"},
                    "affected_customers": {
                        "type": "array", "items": customer(),
                        "description": "In the order of their numbers. A customer that the graph names and the desk \
                                        does not have is listed without name, its status `Unknown`.",
                    },
                    "paths": {
                        "type": "array",
                        "items": {"type": "array", "minItems": 2, "items": {"type": "string"}},
                        "description": "For each affected customer one shortest path from the incident: its name, \
                                        services as `svc:NAME`, and last `customer:NUMBER`.",
                    },
                }),
            ),
            example: Some(json!({"incident_id": "INC-1001"})),
            ..plain(name, EffectClass::ReadOnly, Risk::Low)
        },
    }
}

/// What all tools of the desk have in common.
fn plain(name: Name, effect: EffectClass, risk: Risk) -> Tool {
    #[expect(clippy::expect_used, reason = "the names above are letters and `_`; a test makes each of them")]
    let name = name.word().parse().expect("the names of the desk are tool names");
    Tool {
        name,
        title: String::new(),
        description: String::new(),
        action: Action::Desk,
        effect,
        destructive: false,
        open_world: false,
        risk,
        input_schema: Value::Null,
        output_schema: Value::Null,
        confirm_argument: None,
        idempotency_ignore: Vec::new(),
        example: None,
        timeout: TIMEOUT,
        output_limit: OUTPUT_LIMIT,
        extras: Extras::default(),
    }
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({
        "$schema": DIALECT,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn customer_id() -> Value {
    json!({"type": "integer", "description": "Number of the customer, as `search_customer` gives it."})
}

fn customer() -> Value {
    json!({
        "type": "object",
        "properties": {"id": {"type": "integer"}, "name": {"type": "string"}, "status": {"type": "string"}},
        "required": ["id", "name", "status"],
        "additionalProperties": false,
    })
}

fn ticket() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "customer_id": {"type": "integer"},
            "title": {"type": "string"},
            "priority": {"type": "string"},
            "created_at": {"type": "string", "format": "date-time"},
        },
        "required": ["id", "customer_id", "title", "priority", "created_at"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tool::Catalog;

    #[test]
    fn the_contract_names_these_tools() {
        let catalog = Catalog::new(tools()).unwrap();
        let listed: Vec<String> = catalog
            .iter()
            .map(|tool| format!("{} {} {} {:?}", tool.name, tool.effect, tool.risk, tool.confirm_argument))
            .collect();
        assert_eq!(
            listed,
            [
                "create_ticket once medium None",
                "get_incident_impact readonly low None",
                "search_customer readonly low None",
                "send_message once low None",
                "update_customer_status once high Some(\"confirm\")",
            ]
        );
    }

    #[test]
    fn schemas_are_schemas_and_every_example_passes() {
        for tool in tools() {
            let input = jsonschema::draft202012::new(&tool.input_schema).unwrap();
            assert!(jsonschema::draft202012::meta::is_valid(&tool.input_schema), "{}", tool.name);
            assert!(jsonschema::draft202012::meta::is_valid(&tool.output_schema), "{}", tool.name);
            assert!(input.is_valid(&tool.example.unwrap()), "{}", tool.name);
            assert!(!input.is_valid(&json!({})), "{}", tool.name);
            assert_eq!(Name::of(&tool.name).map(Name::word), Some(tool.name.as_str()));
        }
    }

    #[test]
    fn arguments_outside_the_limits_are_refused() {
        for (name, arguments) in [
            (Name::SearchCustomer, json!({"query": ""})),
            (Name::SearchCustomer, json!({"query": "x".repeat(201)})),
            (Name::SearchCustomer, json!({"query": "x", "limit": 3})),
            (Name::CreateTicket, json!({"customer_id": "1", "title": "abc"})),
            (Name::CreateTicket, json!({"customer_id": 1, "title": "ab"})),
            (Name::CreateTicket, json!({"customer_id": 1, "title": "abc", "priority": "soon"})),
            (Name::CreateTicket, json!({"customer_id": 1, "title": "abc", "description": "x".repeat(10_001)})),
            (Name::UpdateCustomerStatus, json!({"customer_id": 1, "new_status": "x"})),
            (Name::UpdateCustomerStatus, json!({"customer_id": 1, "new_status": "Closed", "confirm": "yes"})),
            (Name::SendMessage, json!({"channel": "", "message": "x"})),
            (Name::SendMessage, json!({"channel": "x", "message": ""})),
            (Name::GetIncidentImpact, json!({"incident_id": 1001})),
        ] {
            let input = jsonschema::draft202012::new(&describe(name).input_schema).unwrap();
            assert!(!input.is_valid(&arguments), "{name:?} {arguments}");
        }
    }
}

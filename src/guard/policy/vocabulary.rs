//! The words rules may use: the Cedar schema made from the tools, and the entities behind it.

use std::collections::HashSet;
use std::str::FromStr;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema, SchemaFragment};
use serde_json::{Map, Value, json};

use super::shape::Shape;
use crate::domain::principal::{Principal, PrincipalKind};
use crate::domain::tool::{Catalog, Risk, Tool};

/// Action groups; no tool may have such a name.
pub const GROUPS: [&str; 8] =
    ["call", "readonly", "mutating", "destructive", "open_world", "low_risk", "medium_risk", "high_risk"];

/// An action in every group, which no tool can be called. Without it a rule about, say, destructive tools
/// could not be validated while there is none, and one about all tools could be validated against only
/// those that happen to be there.
const ANY: &str = "*";

/// A name of an entity type in our namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Toolctl::User`.
    User,
    /// `Toolctl::Agent`.
    Agent,
    /// `Toolctl::Service`.
    Service,
    /// `Toolctl::Group`.
    Group,
    /// `Toolctl::Action`.
    Action,
    /// `Toolctl::Tool`.
    Tool,
}

impl Kind {
    /// The type of a principal's entity.
    pub const fn of(kind: PrincipalKind) -> Self {
        match kind {
            PrincipalKind::User => Self::User,
            PrincipalKind::Agent => Self::Agent,
            PrincipalKind::Service => Self::Service,
        }
    }

    /// The name with its namespace.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "Toolctl::User",
            Self::Agent => "Toolctl::Agent",
            Self::Service => "Toolctl::Service",
            Self::Group => "Toolctl::Group",
            Self::Action => "Toolctl::Action",
            Self::Tool => "Toolctl::Tool",
        }
    }

    /// The entity of this type and id. None never happens, as our names are well-formed; but if one were
    /// not, no entity must mean no permit.
    pub fn entity(self, id: &str) -> Option<EntityUid> {
        let name = EntityTypeName::from_str(self.name()).ok()?;
        Some(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
    }
}

/// The groups that a tool's action is in.
pub fn groups(tool: &Tool) -> Vec<&'static str> {
    let mut groups = vec!["call", if tool.is_read_only() { "readonly" } else { "mutating" }];
    if tool.destructive {
        groups.push("destructive");
    }
    if tool.open_world {
        groups.push("open_world");
    }
    groups.push(match tool.risk {
        Risk::Low => "low_risk",
        Risk::Medium => "medium_risk",
        Risk::High => "high_risk",
    });
    groups
}

/// The schema for Cedar, and its text for people.
///
/// # Errors
/// Says why no schema can be made from these tools.
pub fn schema(catalog: &Catalog) -> Result<(Schema, String), String> {
    let mut actions: Map<String, Value> = GROUPS.iter().map(|group| ((*group).to_owned(), json!({}))).collect();
    actions.insert(ANY.to_owned(), action(&GROUPS, &Shape::Record(Vec::new())));
    for tool in catalog.iter() {
        let declared = action(&groups(tool), &Shape::of_arguments(&tool.input_schema));
        if actions.insert(tool.name.as_str().to_owned(), declared).is_some() {
            return Err(format!("a tool may not be named `{}`: rules use this name for a group of tools", tool.name));
        }
    }
    let member = json!({"memberOfTypes": ["Group"]});
    let text = json!({"type": "String"});
    let tool = json!({"type": "Record", "attributes": {"effect": text, "risk": text, "source": text}});
    let fragment = json!({"Toolctl": {
        "entityTypes": {
            "Agent": member, "Group": {}, "Service": member, "Tool": {"shape": tool}, "User": member,
        },
        "actions": actions,
    }});
    let fragment = || SchemaFragment::from_json_value(fragment.clone()).map_err(|error| error.to_string());
    let text = fragment()?.to_cedarschema().map_err(|error| error.to_string())?;
    let schema = Schema::from_schema_fragments([fragment()?]).map_err(|error| error.to_string())?;
    Ok((schema, text))
}

fn action(groups: &[&str], input: &Shape) -> Value {
    let memberships: Vec<Value> = groups.iter().map(|group| json!({"id": group})).collect();
    let session = json!({"type": "Record", "attributes": {
        "attended": {"type": "Boolean"},
        "dry_run": {"type": "Boolean"},
        "now": {"type": "Extension", "name": "datetime"},
        "transport": {"type": "String"},
    }});
    json!({
        "memberOf": memberships,
        "appliesTo": {
            "principalTypes": ["User", "Agent", "Service"],
            "resourceTypes": ["Tool"],
            "context": {"type": "Record", "attributes": {
                "input": input.declared(), "input_json": {"type": "String"}, "session": session,
            }},
        },
    })
}

/// The entities of one tool: its action with the groups it is in, and the tool as a resource.
pub fn of_tool(tool: &Tool) -> Option<Vec<Entity>> {
    let parents: HashSet<EntityUid> =
        groups(tool).into_iter().map(|group| Kind::Action.entity(group)).collect::<Option<_>>()?;
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let attributes = [
        ("effect".to_owned(), text(tool.effect.word())),
        ("risk".to_owned(), text(tool.risk.word())),
        ("source".to_owned(), text(tool.kind().word())),
    ];
    let resource = Entity::new(Kind::Tool.entity(tool.name.as_str())?, attributes.into(), HashSet::new()).ok()?;
    Some(vec![Entity::new_no_attrs(Kind::Action.entity(tool.name.as_str())?, parents), resource])
}

/// The entity of a principal, with the groups it is in.
pub fn of_principal(principal: &Principal) -> Option<Entity> {
    let groups = principal.groups.iter().map(|group| Kind::Group.entity(group.as_str()));
    let uid = Kind::of(principal.kind).entity(principal.id.as_str())?;
    Some(Entity::new_no_attrs(uid, groups.collect::<Option<_>>()?))
}

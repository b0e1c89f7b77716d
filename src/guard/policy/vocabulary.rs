//! The words rules may use: the Cedar schema made from the tools, and the entities behind it.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::LazyLock;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema, SchemaFragment};
use serde_json::{Map, Value, json};

use super::shape::Shape;
use crate::domain::principal::{Principal, PrincipalKind};
use crate::domain::tool::{Risk, Tool};

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

    /// Whether `name` is this type's.
    pub fn is(self, name: &EntityTypeName) -> bool {
        self.type_name() == Some(name)
    }

    /// The entity of this type and id. None never happens, as our names are well-formed; but if one were
    /// not, no entity must mean no permit.
    pub fn entity(self, id: &str) -> Option<EntityUid> {
        Some(EntityUid::from_type_name_and_id(self.type_name()?.clone(), EntityId::new(id)))
    }

    /// The name as Cedar reads it, which costs it a grammar: once for all tools.
    fn type_name(self) -> Option<&'static EntityTypeName> {
        static NAMES: LazyLock<Vec<(Kind, EntityTypeName)>> = LazyLock::new(|| {
            let kinds = [Kind::User, Kind::Agent, Kind::Service, Kind::Group, Kind::Action, Kind::Tool];
            kinds.into_iter().filter_map(|kind| Some((kind, EntityTypeName::from_str(kind.name()).ok()?))).collect()
        });
        NAMES.iter().find(|(kind, _)| *kind == self).map(|(_, name)| name)
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

/// One tool, as rules speak of it.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// The name of its action.
    pub name: &'a str,
    /// The groups that the action is in.
    pub groups: &'a [&'static str],
    /// The type of its arguments.
    pub input: &'a Shape,
}

/// The schema for Cedar.
///
/// # Errors
/// Says why none can be made of these words.
pub fn schema<'a>(words: impl Iterator<Item = Word<'a>>) -> Result<Schema, String> {
    Schema::from_schema_fragments([fragment(words)?]).map_err(|error| error.to_string())
}

/// The schema as text, for people.
///
/// # Errors
/// Says why none can be made of these words.
pub fn text<'a>(words: impl Iterator<Item = Word<'a>>) -> Result<String, String> {
    fragment(words)?.to_cedarschema().map_err(|error| error.to_string())
}

fn fragment<'a>(words: impl Iterator<Item = Word<'a>>) -> Result<SchemaFragment, String> {
    let mut actions: Map<String, Value> = GROUPS.iter().map(|group| ((*group).to_owned(), json!({}))).collect();
    actions.insert(ANY.to_owned(), action(&GROUPS, &Shape::Record(Vec::new())));
    for Word { name, groups, input } in words {
        if actions.insert(name.to_owned(), action(groups, input)).is_some() {
            return Err(format!("a tool may not be named `{name}`: rules use this name for a group of tools"));
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
    SchemaFragment::from_json_value(fragment).map_err(|error| error.to_string())
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

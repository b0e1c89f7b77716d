//! Which rules can matter. A rule whose scope does not match is never satisfied and never errs, so leaving
//! it out changes no decision, and a thousand rules about other tools cost nothing. A slice is made once
//! per principal, with its groups, and tool, and shared by all for whom it holds the same rules.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cedar_policy::{ActionConstraint, Entities, EntityUid, PrincipalConstraint, ResourceConstraint};

use super::looks::Looks;
use super::rule::Rule;
use super::shape::Shape;
use super::vocabulary::{self, Kind, Word};
use crate::domain::digest::Digest;
use crate::domain::id::{GroupName, PrincipalId, ToolName};
use crate::domain::principal::{Principal, PrincipalKind};
use crate::domain::tool::{Registered, Tool};

/// The most pairs of principal and tool remembered; then all are forgotten, and made again when needed.
const MOST_PAIRS: usize = 4096;

/// Rules by the action that their scope names, so that a tool is compared with those that may be about it and not
/// with all.
#[derive(Debug, Default)]
pub struct Scopes {
    any: Vec<usize>,
    named: HashMap<EntityUid, Vec<usize>>,
}

impl Scopes {
    /// Sorts the rules.
    pub fn of(rules: &[Rule]) -> Self {
        let mut scopes = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            let actions = match rule.policy.action_constraint() {
                ActionConstraint::Any => {
                    scopes.any.push(place);
                    continue;
                }
                ActionConstraint::Eq(one) => vec![one],
                ActionConstraint::In(some) => some,
            };
            for action in actions {
                scopes.named.entry(action).or_default().push(place);
            }
        }
        scopes
    }

    /// The rules that any of these actions is in the scope of, in their order.
    fn about(&self, actions: &[EntityUid]) -> BTreeSet<usize> {
        let named = actions.iter().filter_map(|action| self.named.get(action)).flatten();
        self.any.iter().chain(named).copied().collect()
    }
}

/// What is fixed about one tool.
#[derive(Debug)]
pub struct Subject {
    definition: Digest,
    name: ToolName,
    /// The groups that its action is in.
    pub groups: Vec<&'static str>,
    /// Its action.
    pub action: EntityUid,
    /// The tool as a resource.
    pub resource: EntityUid,
    /// The type of its arguments.
    pub input: Shape,
    /// The part of that type that any rule about it looks at.
    pub judged: Shape,
    candidates: Vec<usize>,
}

impl Subject {
    /// Finds the rules whose action and resource can be this tool.
    pub fn new(tool: &Registered, rules: &[Rule], scopes: &Scopes) -> Option<Self> {
        let action = Kind::Action.entity(tool.name.as_str())?;
        let resource = Kind::Tool.entity(tool.name.as_str())?;
        let groups = vocabulary::groups(tool);
        let mut actions: Vec<EntityUid> =
            groups.iter().map(|group| Kind::Action.entity(group)).collect::<Option<_>>()?;
        actions.push(action.clone());
        let about = scopes.about(&actions);
        let fits = |place: &usize| {
            rules.get(*place).is_some_and(|rule| match rule.policy.resource_constraint() {
                ResourceConstraint::Any => true,
                ResourceConstraint::Eq(one) | ResourceConstraint::In(one) => one == resource,
                ResourceConstraint::Is(kind) => Kind::Tool.is(&kind),
                ResourceConstraint::IsIn(kind, one) => Kind::Tool.is(&kind) && one == resource,
            })
        };
        let candidates = about.iter().copied().filter(fits).collect();
        let input = Shape::of_arguments(&tool.input_schema);
        // Whatever resource its scope names: validation asks the rule about every resource of the type.
        let names = || about.iter().filter_map(|place| rules.get(*place)).map(|rule| &rule.names);
        let judged = if names().any(|names| names.all_arguments) {
            input.clone()
        } else {
            input.only(&names().flat_map(|names| &names.arguments).map(String::as_str).collect())
        };
        let (definition, name) = (tool.digest, tool.name.clone());
        Some(Self { definition, name, groups, action, resource, input, judged, candidates })
    }

    /// The tool as rules speak of it.
    pub fn word(&self) -> Word<'_> {
        Word { name: self.name.as_str(), groups: &self.groups, input: &self.input }
    }

    /// Whether it was made from this very definition.
    pub fn is(&self, tool: &Registered) -> bool {
        self.definition == tool.digest
    }
}

/// The rules that can matter for one principal and tool.
#[derive(Debug)]
pub struct Slice {
    /// The rules.
    pub policies: cedar_policy::PolicySet,
    /// What of the context any of them looks at.
    pub looks: Looks,
    /// Whether any of them permits.
    pub permits: bool,
    /// Whether one of them forbids whatever the context.
    pub forbids_always: bool,
}

/// One principal and one tool, ready for decisions.
#[derive(Debug)]
pub struct Pair {
    kind: PrincipalKind,
    groups: BTreeSet<GroupName>,
    /// The principal.
    pub principal: EntityUid,
    /// The principal, the action and the tool, with the groups they are in.
    pub entities: Entities,
    /// The rules that can matter.
    pub slice: Arc<Slice>,
}

/// The pairs made so far.
#[derive(Debug, Default)]
pub struct Pairs {
    made: RwLock<HashMap<(PrincipalId, ToolName), Arc<Pair>>>,
    slices: Mutex<HashMap<Vec<usize>, Arc<Slice>>>,
}

impl Pairs {
    /// The pair of `principal` and `tool`. None when it cannot be made, which well-formed names rule out.
    pub fn of(&self, principal: &Principal, tool: &Tool, subject: &Subject, rules: &[Rule]) -> Option<Arc<Pair>> {
        let key = (principal.id.clone(), tool.name.clone());
        let known = self.made.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(pair) = known.filter(|pair| pair.kind == principal.kind && pair.groups == principal.groups) {
            return Some(pair);
        }
        let pair = Arc::new(self.make(principal, tool, subject, rules)?);
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= MOST_PAIRS {
            made.clear();
        }
        made.insert(key, Arc::clone(&pair));
        Some(pair)
    }

    fn make(&self, principal: &Principal, tool: &Tool, subject: &Subject, rules: &[Rule]) -> Option<Pair> {
        let entity = vocabulary::of_principal(principal)?;
        let uid = entity.uid();
        let kind = Kind::of(principal.kind);
        let inside = |group: &EntityUid| {
            *group == uid
                || (Kind::Group.is(group.type_name())
                    && principal.groups.iter().any(|mine| mine.as_str() == AsRef::<str>::as_ref(group.id())))
        };
        let matches = |place: &usize| {
            rules.get(*place).is_some_and(|rule| match rule.policy.principal_constraint() {
                PrincipalConstraint::Any => true,
                PrincipalConstraint::Eq(one) => one == uid,
                PrincipalConstraint::In(group) => inside(&group),
                PrincipalConstraint::Is(name) => kind.is(&name),
                PrincipalConstraint::IsIn(name, group) => kind.is(&name) && inside(&group),
            })
        };
        let places: Vec<usize> = subject.candidates.iter().copied().filter(matches).collect();
        let entities = vocabulary::of_tool(tool)?.into_iter().chain([entity]);
        let entities = Entities::from_entities(entities, None).ok()?;
        let slice = self.slice(places, rules)?;
        let (kind, groups) = (principal.kind, principal.groups.clone());
        Some(Pair { kind, groups, principal: uid, entities, slice })
    }

    fn slice(&self, places: Vec<usize>, rules: &[Rule]) -> Option<Arc<Slice>> {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slice) = slices.get(&places) {
            return Some(Arc::clone(slice));
        }
        let some: Vec<&Rule> = places.iter().filter_map(|place| rules.get(*place)).collect();
        let slice = Arc::new(Slice {
            policies: cedar_policy::PolicySet::from_policies(some.iter().map(|rule| rule.policy.clone())).ok()?,
            looks: some.iter().fold(Looks::default(), |looks, rule| looks.and(rule.looks)),
            permits: some.iter().any(|rule| rule.permits()),
            forbids_always: some.iter().any(|rule| !rule.permits() && !rule.policy.has_non_scope_constraint()),
        });
        if slices.len() >= MOST_PAIRS {
            slices.clear();
        }
        slices.insert(places, Arc::clone(&slice));
        Some(slice)
    }
}

//! The defaults of a schema, collected once, so that a call of a tool without defaults pays nothing for
//! them. They are applied to properties of objects, also inside arrays; not inside `anyOf` and the like,
//! where more than one could apply.

use serde_json::Value;

use super::reference::{default, resolve};

/// How deep defaults are looked for: a schema may refer to itself.
const DEEPEST: usize = 16;

/// What to fill in, at one place.
#[derive(Debug, Default)]
pub struct Defaults {
    members: Vec<Member>,
    items: Option<Box<Self>>,
}

#[derive(Debug)]
struct Member {
    name: String,
    value: Option<Value>,
    inside: Option<Defaults>,
}

impl Defaults {
    /// Collects the defaults of `schema`; none when there are none.
    pub fn of(schema: &Value) -> Option<Self> {
        Self::at(schema, schema, DEEPEST)
    }

    fn at(node: &Value, root: &Value, depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        let node = resolve(node, root)?;
        let mut found = Self::default();
        for (name, property) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let value = default(property, root).cloned();
            let inside = Self::at(property, root, depth);
            if value.is_some() || inside.is_some() {
                found.members.push(Member { name: name.clone(), value, inside });
            }
        }
        if let Some(items) = node.get("items") {
            found.items = Self::at(items, root, depth).map(Box::new);
        }
        (!found.members.is_empty() || found.items.is_some()).then_some(found)
    }

    /// Fills in what is absent. Says whether anything was.
    pub fn apply(&self, value: &mut Value) -> bool {
        let mut filled = false;
        match value {
            Value::Object(members) => {
                for Member { name, value, inside } in &self.members {
                    if let (false, Some(value)) = (members.contains_key(name), value) {
                        members.insert(name.clone(), value.clone());
                        filled = true;
                    }
                    if let (Some(inside), Some(present)) = (inside, members.get_mut(name)) {
                        filled |= inside.apply(present);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(inside) = &self.items {
                    for item in items {
                        filled |= inside.apply(item);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        filled
    }
}

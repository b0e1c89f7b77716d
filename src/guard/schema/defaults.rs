//! The defaults of a schema, collected once, so that a call of a tool without defaults pays nothing for
//! them. They are applied to properties of objects, also inside arrays; not inside `anyOf` and the like,
//! where more than one could apply.

use serde_json::Value;

use super::reference::{default, resolve};

/// How deep defaults are looked for: a schema may refer to itself.
const DEEPEST: usize = 16;
/// How many schemas are looked at: one that refers to itself twice doubles with every level.
const MOST_LOOKS: usize = 10_000;

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
        Self::at(schema, schema, DEEPEST, &mut { MOST_LOOKS })
    }

    fn at(node: &Value, root: &Value, depth: usize, left: &mut usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        *left = left.checked_sub(1)?;
        let node = resolve(node, root)?;
        let mut found = Self::default();
        for (name, property) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let value = default(property, root).cloned();
            let inside = Self::at(property, root, depth, left);
            if value.is_some() || inside.is_some() {
                found.members.push(Member { name: name.clone(), value, inside });
            }
        }
        if let Some(items) = node.get("items") {
            found.items = Self::at(items, root, depth, left).map(Box::new);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_refers_to_itself_many_times_is_looked_at_for_a_while_only() {
        let each = (0..8).map(|number| (format!("p{number}"), json!({"$ref": "#/$defs/knot"})));
        let properties: Value = each.chain([("a".to_owned(), json!({"default": 1}))]).collect();
        let knot = json!({"type": "object", "properties": properties});
        let schema = json!({"$ref": "#/$defs/knot", "$defs": {"knot": knot}});
        let mut value = json!({"p0": {}});
        assert!(Defaults::of(&schema).expect("a default").apply(&mut value));
        assert_eq!(value, json!({"a": 1, "p0": {"a": 1}}));
    }
}

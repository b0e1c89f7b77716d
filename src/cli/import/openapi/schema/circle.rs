//! Circles of references that look at one and the same value, as `a: {allOf: [{$ref: b}]}` and the other way round.
//! JSON Schema gives them no meaning (2020-12 section 9.4.1) and a validator would follow them for ever. A circle
//! through members or items is another thing: values end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Words whose schemas look at the value itself.
const IN_PLACE: &[&str] = &["allOf", "anyOf", "oneOf"];

/// Opens every such circle among definitions: the reference that closes one takes anything.
pub fn open(definitions: &mut Map<String, Value>) {
    let mut edges = BTreeMap::new();
    for (name, schema) in definitions.iter() {
        let mut targets = BTreeSet::new();
        each(&mut schema.clone(), &mut |target, _| {
            targets.insert(target.to_owned());
        });
        edges.insert(name.clone(), targets);
    }
    let mut walk = Walk { edges: &edges, done: BTreeSet::new(), way: Vec::new(), closing: BTreeSet::new() };
    for name in edges.keys() {
        walk.from(name);
    }
    for (from, to) in walk.closing {
        if let Some(schema) = definitions.get_mut(&from) {
            each(schema, &mut |target, schema| {
                if target == to {
                    *schema = Value::Bool(true);
                }
            });
        }
    }
}

struct Walk<'a> {
    edges: &'a BTreeMap<String, BTreeSet<String>>,
    done: BTreeSet<&'a str>,
    way: Vec<&'a str>,
    closing: BTreeSet<(String, String)>,
}

impl<'a> Walk<'a> {
    fn from(&mut self, name: &'a str) {
        if self.way.contains(&name) || self.done.contains(name) {
            return;
        }
        self.way.push(name);
        for target in self.edges.get(name).into_iter().flatten() {
            if self.way.contains(&target.as_str()) {
                self.closing.insert((name.to_owned(), target.clone()));
            } else {
                self.from(target);
            }
        }
        self.way.pop();
        self.done.insert(name);
    }
}

/// Calls `found` with the name of each definition that `schema` refers to in place, and the reference.
fn each(schema: &mut Value, found: &mut dyn FnMut(&str, &mut Value)) {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix("#/$defs/"));
    if let Some(target) = target.map(ToOwned::to_owned) {
        found(&target, schema);
    }
    let Value::Object(words) = schema else { return };
    for word in IN_PLACE {
        for branch in words.get_mut(*word).and_then(Value::as_array_mut).into_iter().flatten() {
            each(branch, found);
        }
    }
    if let Some(not) = words.get_mut("not") {
        each(not, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_circle_in_place_is_opened_and_one_through_members_stays() {
        let mut definitions = json!({
            "a": {"allOf": [{"$ref": "#/$defs/b"}, {"type": "object"}]},
            "b": {"anyOf": [{"$ref": "#/$defs/a"}, {"not": {"$ref": "#/$defs/b"}}]},
            "tree": {"properties": {"child": {"$ref": "#/$defs/tree"}}, "allOf": [{"$ref": "#/$defs/leaf"}]},
            "leaf": {"type": "object"},
        });
        let Value::Object(map) = &mut definitions else { panic!("an object") };
        open(map);
        assert_eq!(
            definitions,
            json!({
                "a": {"allOf": [{"$ref": "#/$defs/b"}, {"type": "object"}]},
                "b": {"anyOf": [true, {"not": true}]},
                "tree": {"properties": {"child": {"$ref": "#/$defs/tree"}}, "allOf": [{"$ref": "#/$defs/leaf"}]},
                "leaf": {"type": "object"},
            })
        );
    }
}

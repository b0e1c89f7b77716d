//! Arguments as Cedar sees them. From a tool's JSON Schema we take what Cedar can type, and the value of a
//! call is then read by that type alone:
//!
//! | JSON Schema | Cedar |
//! | --- | --- |
//! | `string`, or an enumeration of strings | `String` |
//! | `integer` | `Long` |
//! | `number` | `decimal`: four digits after the point |
//! | `boolean` | `Bool` |
//! | `array` with `items` | `Set` |
//! | `object` with `properties` | record; a property is required when the schema requires it or fills it in |
//!
//! Anything else (several types, free-form objects, `null`) is not in `context.input`, so that a rule about
//! it does not load. It is still in the text of `context.input_json`.

use std::collections::BTreeSet;

use cedar_policy::RestrictedExpression;
use serde_json::{Map, Value, json};

use crate::guard::schema::reference::{default, resolve};

/// How deep a type may go: a schema may refer to itself.
const DEEPEST: usize = 8;
/// How many attributes a type may have, all levels together. A type with more goes less deep: schemas that refer to
/// themselves and to one another would otherwise double with every level.
const MOST_FIELDS: usize = 200;

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `String`.
    Text,
    /// `Long`.
    Integer,
    /// `Bool`.
    Truth,
    /// `decimal`.
    Decimal,
    /// `Set`.
    Set(Box<Self>),
    /// A record.
    Record(Vec<Field>),
}

/// One attribute of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    name: String,
    shape: Shape,
    required: bool,
}

/// A value that its type cannot hold; the place is a JSON Pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untypable(pub String);

impl Shape {
    /// The type of a tool's arguments, always a record.
    pub fn of_arguments(schema: &Value) -> Self {
        for depth in (2..=DEEPEST).rev() {
            let mut left = MOST_FIELDS;
            let shape = Self::of(schema, schema, depth, &mut left);
            if left > 0 {
                return shape
                    .filter(|shape| matches!(shape, Self::Record(_)))
                    .unwrap_or_else(|| Self::Record(Vec::new()));
            }
        }
        Self::Record(Vec::new())
    }

    fn of(node: &Value, root: &Value, depth: usize, left: &mut usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        *left = left.saturating_sub(1);
        let node = resolve(node, root)?;
        match node.get("type").and_then(Value::as_str) {
            Some("string") => Some(Self::Text),
            Some("integer") => Some(Self::Integer),
            Some("number") => Some(Self::Decimal),
            Some("boolean") => Some(Self::Truth),
            Some("array") => Self::of(node.get("items")?, root, depth, left).map(|items| Self::Set(Box::new(items))),
            Some("object") => Self::record(node, root, depth, left),
            Some(_) => None,
            None if node.get("type").is_some() => None,
            None => {
                let words = node.get("enum")?.as_array()?;
                words.iter().all(Value::is_string).then_some(Self::Text)
            }
        }
    }

    fn record(node: &Value, root: &Value, depth: usize, left: &mut usize) -> Option<Self> {
        let required = node.get("required").and_then(Value::as_array);
        let field = |(name, property): (&String, &Value)| {
            let shape = Self::of(property, root, depth, left).filter(|_| *left > 0)?;
            let named = required.is_some_and(|names| names.iter().any(|required| required.as_str() == Some(name)));
            let required = named || default(property, root).is_some();
            // Names with this beginning mean something else in Cedar's JSON.
            (!name.starts_with("__")).then(|| Field { name: name.clone(), shape, required })
        };
        Some(Self::Record(node.get("properties")?.as_object()?.iter().filter_map(field).collect()))
    }

    /// The type with no more of a record's attributes than these.
    #[must_use]
    pub fn only(&self, names: &BTreeSet<&str>) -> Self {
        match self {
            Self::Record(fields) => {
                Self::Record(fields.iter().filter(|field| names.contains(field.name.as_str())).cloned().collect())
            }
            Self::Text | Self::Integer | Self::Truth | Self::Decimal | Self::Set(_) => self.clone(),
        }
    }

    /// The type in Cedar's JSON schema format.
    pub fn declared(&self) -> Value {
        match self {
            Self::Text => json!({"type": "String"}),
            Self::Integer => json!({"type": "Long"}),
            Self::Truth => json!({"type": "Boolean"}),
            Self::Decimal => json!({"type": "Extension", "name": "decimal"}),
            Self::Set(items) => json!({"type": "Set", "element": items.declared()}),
            Self::Record(fields) => {
                let attributes: Map<String, Value> = fields.iter().map(Field::declared).collect();
                json!({"type": "Record", "attributes": attributes})
            }
        }
    }

    /// Reads a value by this type.
    ///
    /// # Errors
    /// Where the value has another type, or one that Cedar cannot hold: then no rule can judge it.
    pub fn read(&self, value: &Value) -> Result<RestrictedExpression, Untypable> {
        self.expression(value).map_err(|mut steps| {
            steps.reverse();
            Untypable(steps.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect())
        })
    }

    /// As [`Shape::read`]; the error is the way to the place, innermost step first.
    fn expression(&self, value: &Value) -> Result<RestrictedExpression, Vec<String>> {
        let step_in = |step: String| {
            move |mut steps: Vec<String>| {
                steps.push(step);
                steps
            }
        };
        match (self, value) {
            (Self::Text, Value::String(text)) => Ok(RestrictedExpression::new_string(text.clone())),
            (Self::Truth, Value::Bool(truth)) => Ok(RestrictedExpression::new_bool(*truth)),
            (Self::Integer, Value::Number(number)) => {
                number.as_i64().map(RestrictedExpression::new_long).ok_or_else(Vec::new)
            }
            (Self::Decimal, Value::Number(number)) => {
                decimal(number).map(RestrictedExpression::new_decimal).ok_or_else(Vec::new)
            }
            (Self::Set(shape), Value::Array(items)) => {
                let read = |(place, item): (usize, &Value)| shape.expression(item).map_err(step_in(place.to_string()));
                Ok(RestrictedExpression::new_set(items.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?))
            }
            (Self::Record(fields), Value::Object(members)) => {
                let mut attributes = Vec::with_capacity(fields.len());
                for Field { name, shape, required } in fields {
                    match members.get(name) {
                        Some(member) => {
                            let read = shape.expression(member).map_err(step_in(name.clone()))?;
                            attributes.push((name.clone(), read));
                        }
                        None if *required => return Err(vec![name.clone()]),
                        None => {}
                    }
                }
                RestrictedExpression::new_record(attributes).map_err(|_| Vec::new())
            }
            (
                Self::Text | Self::Truth | Self::Integer | Self::Decimal | Self::Set(_) | Self::Record(_),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            ) => Err(Vec::new()),
        }
    }
}

impl Field {
    fn declared(&self) -> (String, Value) {
        let mut declared = self.shape.declared();
        if let Value::Object(keywords) = &mut declared {
            keywords.insert("required".to_owned(), self.required.into());
        }
        (self.name.clone(), declared)
    }
}

/// A number as Cedar's `decimal`: one to four digits after the point, inside ±922337203685477.5807.
fn decimal(number: &serde_json::Number) -> Option<String> {
    /// One more would not fit whatever follows the point.
    const LARGEST: u64 = 922_337_203_685_476;
    if let Some(integer) = number.as_i64() {
        return (integer.unsigned_abs() <= LARGEST).then(|| format!("{integer}.0"));
    }
    let float = number.as_f64()?;
    let text = float.to_string();
    let (whole, fraction) = text.split_once('.')?;
    let fits = (1..=4).contains(&fraction.len()) && whole.trim_start_matches('-').parse::<u64>().ok()? <= LARGEST;
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cedar_can_type_is_typed_and_the_rest_left_out() {
        let schema = json!({
            "type": "object",
            "required": ["n"],
            "$defs": {"tag": {"type": "string"}, "loop": {"type": "object", "properties": {"next": {"$ref": "#/$defs/loop"}}}},
            "properties": {
                "n": {"type": "integer"}, "level": {"enum": ["a", "b"], "default": "a"}, "price": {"type": "number"},
                "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}}, "on": {"type": "boolean"},
                "deep": {"type": "object", "properties": {"x": {"type": "integer", "default": 1}}},
                "free": {"type": "object"}, "either": {"type": ["string", "null"]}, "any": true, "__entity": {"type": "string"}
            }
        });
        let declared = Shape::of_arguments(&schema).declared();
        let attributes = declared["attributes"].as_object().unwrap();
        let mut names: Vec<&str> = attributes.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["deep", "level", "n", "on", "price", "tags"]);
        assert_eq!(attributes["n"], json!({"type": "Long", "required": true}));
        assert_eq!(attributes["level"], json!({"type": "String", "required": true}));
        assert_eq!(attributes["price"], json!({"type": "Extension", "name": "decimal", "required": false}));
        assert_eq!(attributes["deep"]["attributes"]["x"], json!({"type": "Long", "required": true}));
        let nested = Shape::of_arguments(&json!({"$ref": "#/$defs/loop", "$defs": schema["$defs"]}));
        assert!(matches!(nested, Shape::Record(_)), "a circle ends");
    }

    #[test]
    fn a_type_that_would_grow_goes_less_deep() {
        let refs = |names: &[&str]| -> Value {
            let each = names.iter().map(|name| ((*name).to_owned(), json!({"$ref": "#/$defs/loop"})));
            Value::Object(each.chain([("n".to_owned(), json!({"type": "integer"}))]).collect())
        };
        let knot = json!({"type": "object", "properties": refs(&["a", "b", "c", "d", "e", "f", "g", "h"])});
        let schema =
            json!({"type": "object", "properties": {"x": knot, "id": {"type": "string"}}, "$defs": {"loop": knot}});
        let declared = Shape::of_arguments(&schema).declared();
        assert_eq!(declared["attributes"]["id"], json!({"type": "String", "required": false}));
        assert!(declared["attributes"]["x"]["attributes"]["a"]["attributes"]["n"].is_object(), "{declared}");
        assert!(declared.to_string().len() < 50 * MOST_FIELDS);
    }

    #[test]
    fn a_number_is_a_decimal_or_nothing() {
        let read = |value: Value| value.as_number().and_then(decimal);
        assert_eq!(read(json!(1.5)).as_deref(), Some("1.5"));
        assert_eq!(read(json!(-7)).as_deref(), Some("-7.0"));
        for value in [json!(0.00001), json!(1e300), json!(5e-324), json!(9_007_199_254_740_991_i64)] {
            assert_eq!(read(value.clone()), None, "{value}");
        }
        let shape = Shape::of_arguments(&json!({
            "type": "object",
            "properties": {"a/b": {"type": "array", "items": {"type": "number"}}}
        }));
        assert_eq!(shape.read(&json!({"a/b": [1, 0.00001]})).unwrap_err(), Untypable("/a~1b/1".into()));
    }
}

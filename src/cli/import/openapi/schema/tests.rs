//! Schemas of documents, and what becomes of them.

use super::*;

fn document(dialect: Dialect, schemas: Value) -> Document {
    Document { root: json!({"components": {"schemas": schemas}}), dialect }
}

fn convert(dialect: Dialect, schema: Value) -> Value {
    let document = document(dialect, json!({}));
    let mut converter = Converter::new(&document, Detail::Full, Way::Sent);
    converter.schema(&schema).expect("a schema")
}

#[test]
fn the_dialect_of_three_zero_becomes_json_schema() {
    for (written, expected) in [
        (json!({"type": "string", "nullable": true}), json!({"type": ["string", "null"]})),
        (
            json!({"type": "string", "nullable": true, "enum": ["a"]}),
            json!({"type": ["string", "null"], "enum": ["a", null]}),
        ),
        (
            json!({"minimum": 1, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false}),
            json!({"exclusiveMinimum": 1, "maximum": 9}),
        ),
        (
            json!({"type": "integer", "example": 5, "xml": {}, "x-foo": 1, "discriminator": {}}),
            json!({"type": "integer"}),
        ),
        (
            json!({"type": "string", "default": "x", "description": "A word"}),
            json!({"type": "string", "description": "A word. Default: x."}),
        ),
        (
            json!({"allOf": [{"type": "integer"}], "nullable": true}),
            json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "integer"}]}),
            json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ),
        (
            json!({"properties": {"a": {"type": "string", "readOnly": true}, "b": {}}, "required": ["a", "b"]}),
            json!({"type": "object", "properties": {"b": {}}, "required": ["b"]}),
        ),
        (
            json!({"items": {"type": "string"}, "minItems": 1}),
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
        ),
    ] {
        assert_eq!(convert(Dialect::Own, written.clone()), expected, "{written}");
    }
    let bounds = json!({"exclusiveMinimum": 1, "const": 5, "type": ["integer", "null"]});
    assert_eq!(
        convert(Dialect::JsonSchema, bounds),
        json!({"exclusiveMinimum": 1, "enum": [5], "type": ["integer", "null"]})
    );
}

#[test]
fn what_nothing_could_fulfil_is_left_out() {
    for (written, expected) in [
        (json!({"type": "object", "required": true}), json!({"type": "object"})),
        (json!({"type": "file"}), json!({"type": "string"})),
        (json!({"type": "money"}), json!({})),
        (json!({"type": "string", "pattern": "(?<=unclosed"}), json!({"type": "string"})),
        (json!({"type": "integer", "enum": ["1", "2"]}), json!({"enum": ["1", "2"]})),
        (json!({"type": "integer", "maximum": 9_223_372_036_854_775_807_i64}), json!({"type": "integer"})),
        (json!({"type": "number", "multipleOf": 0.01, "minLength": -1}), json!({"type": "number"})),
        (json!({"anyOf": [{"type": "string"}, {}]}), json!({})),
        (json!({"enum": []}), json!({})),
        (json!("nonsense"), json!(true)),
    ] {
        assert_eq!(convert(Dialect::Own, written.clone()), expected, "{written}");
    }
}

#[test]
fn two_closed_parts_do_not_exclude_each_other() {
    let part = |name: &str| json!({"type": "object", "properties": {name: {"type": "string"}}, "additionalProperties": false, "not": {"type": "null"}});
    let both = convert(Dialect::Own, json!({"allOf": [part("a"), part("b")]}));
    assert!(
        both["allOf"]
            .as_array()
            .is_some_and(|parts| parts.iter().all(|part| part.get("additionalProperties").is_none())),
        "{both}"
    );
    let plain = json!({"allOf": [
        {"properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": false},
    ]});
    assert_eq!(
        convert(Dialect::Own, plain),
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]})
    );
}

#[test]
fn references_become_definitions_and_circles_end() {
    let schemas = json!({
        "Node": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}, "kind": {"$ref": "#/components/schemas/Kind"}}},
        "Kind": {"type": "string", "enum": ["leaf", "tree"]},
        "Ring": {"anyOf": [{"$ref": "#/components/schemas/Ring"}, {"$ref": "#/components/schemas/Node"}]},
    });
    let document = document(Dialect::Own, schemas);
    let mut converter = Converter::new(&document, Detail::Full, Way::Sent);
    let schema = json!({"properties": {"a": {"$ref": "#/components/schemas/Ring"}}});
    let told = converter.schema(&schema).expect("a schema");
    assert_eq!(told, json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/Ring"}}}));
    let (definitions, whole) = converter.definitions(10_000).expect("definitions");
    let kind = json!({"type": "string", "enum": ["leaf", "tree"]});
    let node = json!({"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "kind": kind}});
    assert_eq!(
        Value::Object(definitions.clone()),
        json!({"Node": node, "Ring": {"anyOf": [true, {"$ref": "#/$defs/Node"}]}})
    );
    assert!(whole);
    let mut all = told;
    all["$defs"] = Value::Object(definitions);
    let validator = jsonschema::options().offline().build(&all).expect("a schema");
    assert!(validator.is_valid(&json!({"a": {"next": {"kind": "leaf"}}})));
}

#[test]
fn what_has_no_room_takes_anything() {
    let deep = |target: &str| json!({"type": "object", "properties": {"x": {"$ref": format!("#/components/schemas/{target}")}}});
    let document = document(Dialect::Own, json!({"A": deep("B"), "B": deep("C"), "C": deep("A")}));
    let mut converter = Converter::new(&document, Detail::Full, Way::Sent);
    let schema = json!({"$ref": "#/components/schemas/A"});
    converter.schema(&schema).expect("a schema");
    let (definitions, whole) = converter.definitions(100).expect("definitions");
    assert!(!whole);
    let a = json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/B"}}});
    assert_eq!(Value::Object(definitions), json!({"A": a, "B": {"type": "object"}}));
}

#[test]
fn a_schema_made_to_grow_is_given_up() {
    let mut schemas = Map::new();
    for level in 0..30 {
        let next = json!({"$ref": format!("#/components/schemas/S{}", (level + 1) % 30)});
        schemas.insert(
            format!("S{level}"),
            json!({"additionalProperties": false, "not": {}, "allOf": [next, next, next]}),
        );
    }
    let document = document(Dialect::Own, Value::Object(schemas));
    let mut converter = Converter::new(&document, Detail::Full, Way::Sent);
    let schema = json!({"allOf": [{"$ref": "#/components/schemas/S0"}, {"type": "string"}]});
    assert_eq!(converter.schema(&schema), Err(Stop::Skip(Skip::TooLarge)));
}

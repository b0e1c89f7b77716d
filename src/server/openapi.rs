//! `/openapi.json`: the published description (OpenAPI 3.1), made from the endpoint types and from the tools
//! the caller may see, so that it cannot differ from what is served.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::api::problem::Problem;
use crate::domain::denial::Code;
use crate::domain::tool::Registered;
use crate::pipeline::submission::Answer;

use super::respond;
use super::route::{About, Route, Routes};
use super::status::of_code;
use super::visit::Visit;

/// Shows the description: tools only as far as the caller may see them, none to a caller who shows nothing.
pub async fn show(visit: Visit) -> respond::Reply {
    let anonymous = visit.presented.key.is_none() && visit.presented.uid.is_none();
    let tools = if anonymous {
        Answer { quota: None, result: Ok(Vec::new()) }
    } else {
        visit.door.pipeline.tools(visit.presented).await
    };
    let tools = tools.map(|views| views.into_iter().map(|view| view.tool).collect::<Vec<_>>());
    respond::answer_with(tools, |tools| respond::json(StatusCode::OK, &document(&visit.door.routes, &tools)))
}

/// The whole description.
pub fn document(routes: &Routes, tools: &[Arc<Registered>]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in routes.iter() {
        if let Some(about) = &route.about {
            let operation = operation(route, about, &mut generator);
            insert(&mut paths, route.path, &route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    for tool in tools {
        insert(&mut paths, &format!("/tools/{}", tool.name), "post", tool_operation(tool));
    }
    let problem = generator.subschema_for::<Problem>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "toolctl",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Operational tools behind policy, approval, idempotency and a tamper-evident record. \
                            `/mcp` beside them speaks the Model Context Protocol (Streamable HTTP).",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }, { "apiKey": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {
                "Problem": {
                    "description": "A no, with its reason (RFC 9457).",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
        },
    })
}

fn insert(paths: &mut Map<String, Value>, path: &str, method: &str, operation: Value) {
    let item = paths.entry(path).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(item) = item {
        item.insert(method.to_owned(), operation);
    }
}

fn operation(route: &Route, about: &About, generator: &mut SchemaGenerator) -> Value {
    let request = Value::from((about.request)(generator));
    let reply = Value::from((about.reply)(generator));
    let mut members = request.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let required: Vec<String> = request
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();

    let mut parameters = Vec::new();
    for name in route.member_names() {
        let schema = members.remove(name).unwrap_or_else(|| json!({ "type": "string" }));
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    let mut operation = json!({
        "operationId": about.id,
        "summary": about.summary,
        "responses": responses(&reply, about.stream, about.pending),
    });
    if route.method == hyper::Method::POST {
        if about.pending {
            parameters.push(idempotency_key());
        }
        if !members.is_empty() {
            let required: Vec<_> = required.iter().filter(|name| members.contains_key(*name)).collect();
            let mut schema = json!({ "type": "object", "properties": members, "required": required });
            for keyword in ["description", "additionalProperties"] {
                copy(&request, &mut schema, keyword);
            }
            put(&mut operation, "requestBody", json_body(&schema, !required.is_empty()));
        }
    } else {
        for (name, schema) in members {
            let required = required.contains(&name);
            parameters.push(json!({ "name": name, "in": "query", "required": required, "schema": schema }));
        }
    }
    if route.path == "/health" {
        put(&mut operation, "security", json!([]));
    }
    put(&mut operation, "parameters", Value::Array(parameters));
    operation
}

fn tool_operation(tool: &Registered) -> Value {
    let mut operation = json!({
        "operationId": format!("call_{}", tool.name),
        "summary": tool.title,
        "description": tool.description,
        "parameters": [idempotency_key()],
        "requestBody": json_body(&own(tool, "input", &tool.input_schema), true),
        "responses": responses(&own(tool, "output", &tool.output_schema), false, false),
        "x-toolctl-risk": tool.risk,
        "x-toolctl-effect": tool.effect,
    });
    let waits = json!({
        "description": "People must agree first.",
        "content": { "application/json": { "schema": {
            "type": "object",
            "properties": { "requires_confirmation": { "const": true }, "pending_action_id": { "type": "string" } },
            "required": ["requires_confirmation", "pending_action_id"],
        } } },
    });
    if let Some(responses) = operation.get_mut("responses") {
        put(responses, "202", waits);
    }
    operation
}

/// A tool's schema refers to its own root, so it gets an identity of its own inside the document.
fn own(tool: &Registered, side: &str, schema: &Value) -> Value {
    let mut schema = schema.clone();
    if schema.get("$defs").is_some() && schema.get("$id").is_none() {
        put(&mut schema, "$id", json!(format!("urn:toolctl:tool:{}:{side}", tool.name)));
    }
    schema
}

fn responses(reply: &Value, stream: bool, pending: bool) -> Value {
    let kind = if stream { "application/jsonl" } else { "application/json" };
    let mut responses = Map::new();
    let done = |description: &str| json!({ "description": description, "content": { kind: { "schema": reply } } });
    responses.insert("200".to_owned(), done("Done."));
    if pending {
        responses.insert("202".to_owned(), done("It has not ended."));
    }
    for code in Code::ALL {
        let status = of_code(*code).as_u16().to_string();
        responses.insert(status, json!({ "$ref": "#/components/responses/Problem" }));
    }
    Value::Object(responses)
}

fn json_body(schema: &Value, required: bool) -> Value {
    json!({ "required": required, "content": { "application/json": { "schema": schema } } })
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "Makes a repeat harmless: 1–255 visible ASCII characters, bare or as a quoted string.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
    })
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

fn copy(from: &Value, to: &mut Value, name: &str) {
    if let Some(value) = from.get(name) {
        put(to, name, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::server::operations;

    #[test]
    fn the_description_is_whole_and_its_names_are_unique() {
        let document = document(&operations::all(), &[]);
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id), "{id} stands twice");
                let said = operation["responses"]["422"]["$ref"].as_str();
                assert_eq!(said, Some("#/components/responses/Problem"), "{method} {path}");
                let in_path = operation["parameters"].as_array().unwrap().iter().filter(|p| p["in"] == "path").count();
                assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
            }
        }
        assert!(ids.contains("createCall") && ids.contains("health") && ids.contains("confirmAction"), "{ids:?}");
        for reference in references(&document) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    fn references(value: &Value) -> Vec<&str> {
        match value {
            Value::Object(members) => members
                .iter()
                .flat_map(|(name, value)| match value.as_str() {
                    Some(reference) if name == "$ref" => vec![reference],
                    _ => references(value),
                })
                .collect(),
            Value::Array(items) => items.iter().flat_map(references).collect(),
            _ => Vec::new(),
        }
    }
}

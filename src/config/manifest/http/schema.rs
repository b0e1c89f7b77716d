//! The JSON Schema of `[tool.http]`.

use serde_json::{Value, json};

/// The schema (2020-12).
pub fn schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let span = |description: &str| json!({"type": "string", "description": description, "examples": ["500ms", "10s"]});
    let texts = |description: &str| json!({"type": "array", "items": {"type": "string"}, "description": description});
    let closed = |required: Value, properties: Value| json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false});
    let field = json!({"anyOf": [
        text("A template: {name} is an argument, {name...} one for each item of a list; left out when it is absent."),
        {"type": ["integer", "boolean"]},
        closed(json!(["each", "join"]), json!({
            "each": text("A template with {name...}."), "join": text("Between the items."),
        })),
        closed(json!(["deep"]), json!({"deep": text("An object, as {name}: each member by itself, its name in brackets.")})),
    ]});
    let fields =
        |description: &str| json!({"type": "object", "additionalProperties": field, "description": description});
    let secret = || text("env:NAME, file:/path or credential:NAME.");
    let by = |name: &str, description: &str| {
        closed(
            json!([name, "secret"]),
            json!({name: text(description), "secret": secret(), "prefix": text("Before it, in a header.")}),
        )
    };
    let auth = json!({"anyOf": [
        closed(json!(["bearer"]), json!({"bearer": secret()})),
        closed(json!(["basic"]), json!({"basic": closed(json!(["user", "password"]), json!({
            "user": {"anyOf": [text("Who."), closed(json!(["secret"]), json!({"secret": secret()}))]},
            "password": secret(),
        }))})),
        by("header", "The name of a header."),
        by("query", "The name of a parameter."),
        by("cookie", "The name of a cookie."),
        by("path", "The name that stands in braces in the path."),
    ]});
    let statuses = |description: &str| {
        json!({
            "type": "array", "description": description,
            "items": {"anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {"type": "string", "pattern": "^([1-5][0-9]{2}(-[1-5][0-9]{2})?|[1-5]xx)$"},
            ]},
        })
    };
    let response = closed(
        json!([]),
        json!({
            "success": statuses("It was done; 2xx when not said."),
            "not_found": statuses("The object is not there; 404 and 410 when not said."),
            "temporary": statuses("Not now, and nothing happened; 425 and 429 when not said."),
            "no_effect": statuses("Nothing happened; 307, 308 and the other 4xx but 408 when not said."),
            "unknown": statuses("It failed, and perhaps it happened; everything else when not said."),
            "form": {"enum": ["json", "text", "lines"], "default": "json", "description": "How the body is read."},
            "output": {
                "type": ["string", "object"], "additionalProperties": {"type": "string"},
                "description": "A JSON Pointer to the output, or members by name; the whole body when not said.",
            },
            "error": text("A JSON Pointer to where a failing answer says why."),
        }),
    );
    closed(
        json!(["url"]),
        json!({
            "method": {"enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], "default": "GET"},
            "url": text("Scheme, host and port as they are; {name} in the path is one argument, percent-encoded."),
            "slashes": texts("Arguments of the path that may have a / in them."),
            "query": fields("Parameters by name."),
            "headers": fields("Headers by name."),
            "json": {"description": "A JSON body: \"{name}\" alone keeps its type; \"arguments\" is all that is not used elsewhere."},
            "form": fields("A form body."),
            "text": text("A text body."),
            "auth": {"anyOf": [auth, {"type": "array", "items": auth}]},
            "idempotency": closed(json!([]), json!({
                "header": text("The header that carries the key; Idempotency-Key when not said."),
                "query": text("The parameter that does."),
                "member": text("The member of the JSON body that does."),
                "form": {"enum": ["hex", "uuid", "quoted"], "default": "hex"},
            })),
            "allow": texts("Private targets: networks such as 10.0.0.0/8, hosts with a port such as grafana.internal:3000."),
            "ca": text("A PEM file with the certificates that are trusted instead of the system's."),
            "connect_timeout": span("How long a connection may take; 10s when not said."),
            "response": response,
            "retry": closed(json!([]), json!({
                "attempts": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "wait": span("Before the second attempt, doubled each time; 500ms when not said."),
            })),
        }),
    )
}

//! The JSON Schema of the files of tools, for editors that complete and check TOML.

use serde_json::{Value, json};

use super::http;

/// The schema (2020-12).
pub fn schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let span = |description: &str| json!({"type": "string", "description": description, "examples": ["30s", "5m"]});
    let size = |description: &str| json!({"type": ["integer", "string"], "description": description, "examples": ["512 KiB", "64 MiB"]});
    let exits = |description: &str| json!({"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}, "description": description});
    let paths = |description: &str| json!({"type": "array", "items": {"type": "string"}, "description": description});
    let flag = |description: &str| json!({"type": "boolean", "description": description});
    let closed = |required: Value, properties: Value| json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false});
    let element = json!({"anyOf": [
        text("A template: {name} is an argument, {name...} each item of a list, {{ and }} the signs themselves."),
        closed(json!(["if", "then"]), json!({
            "if": text("An argument; the elements count if it is given and not false, null or empty."),
            "then": {"type": "array", "items": {"$ref": "#/$defs/element"}},
        })),
    ]});
    let command = closed(
        json!(["program"]),
        json!({
            "program": text("A whole path, a path from this file's folder, or a name on the fixed path."),
            "arguments": {"type": "array", "items": {"$ref": "#/$defs/element"}},
            "stdin": {"enum": ["none", "json"], "default": "none", "description": "What the program reads."},
            "output": {"enum": ["json", "text", "lines"], "default": "text", "description": "How its stdout is read."},
            "success_exit": exits("Exit statuses of success; 0 when not said."),
            "no_effect_exit": exits("Exit statuses of a failure in which nothing happened."),
            "tempfail_exit": exits("Exit statuses of a failure for now, in which nothing happened: it is started again."),
            "retry": closed(json!([]), json!({
                "attempts": {"type": "integer", "minimum": 1, "maximum": 10, "description": "Starts at most; 3 when not said."},
                "wait": span("Before the second start, doubled before each further one; 250ms when not said."),
            })),
            "folder": text("Where it runs; a private folder for each call when not said."),
            "environment": {"type": "object", "additionalProperties": {"anyOf": [
                text("A template."),
                closed(json!(["secret"]), json!({
                    "secret": text("env:NAME, file:/path or credential:NAME."),
                    "as": {
                        "enum": ["value", "file"], "default": "value",
                        "description": "The variable holds it, or the path of a file without a name that holds it.",
                    },
                })),
            ]}},
            "limits": closed(json!([]), json!({
                "grace": span("Between SIGTERM and SIGKILL; 5s when not said."),
                "memory": size("Address space of each process."),
                "file_size": size("The largest file it may write."),
                "files": {"type": "integer", "minimum": 16, "description": "Open files of each process; 256 when not said."},
                "processes": {"type": "integer", "minimum": 1, "description": "Processes of the daemon's user meanwhile."},
                "cpu": span("Processor time of each process."),
            })),
            "sandbox": closed(json!([]), json!({
                "level": {"enum": ["none", "files"], "default": "files"},
                "read": paths("What it may read beside the system's programs."),
                "write": paths("What it may change beside its private folder."),
                "network": {
                    "type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65_535},
                    "description": "TCP ports it may connect to; none when not said.",
                },
                "best_effort": flag("Run it even where the kernel cannot enforce all of this."),
            })),
            "allow_interpreter": flag("A caller's argument may be code; makes the tool destructive."),
        }),
    );
    let mut tool = closed(
        json!(["name", "description"]),
        json!({
            "name": text("1–128 letters, digits, _, - and ."),
            "title": text("A short title for people."),
            "description": text("What it does and when to use it, for people and models."),
            "enabled": flag("Whether it is loaded; true when not said."),
            "effect": {
                "enum": ["readonly", "idempotent", "keyed", "once"], "default": "once",
                "description": "What running it a second time would do.",
            },
            "destructive": flag("It may destroy something; true when not said, unless it only reads."),
            "open_world": flag("It reaches beyond this machine; true when not said."),
            "risk": {"enum": ["low", "medium", "high"], "description": "How much harm a call could do."},
            "timeout": span("How long a run may take; 30s when not said."),
            "output_limit": size("The longest output; 1 MiB when not said."),
            "idempotency_ignore": paths("JSON Pointers of arguments that do not count when requests are compared."),
            "dedupe_window": span("How long the other side of a keyed tool remembers a key."),
            "probe": text("A read-only tool that says whether a call in doubt happened."),
            "preview": text("A read-only tool that shows what a call would do."),
            "preview_varies": flag("What the preview says changes by itself: it is not compared when the call starts."),
            "tags": paths("Words to find it by."),
            "arguments": {
                "type": "object", "description": "The short form of `input`: one argument a line.",
                "additionalProperties": {"type": "object"},
            },
            "input": {"type": ["object", "string"], "description": "JSON Schema of the arguments."},
            "output": {"type": ["object", "string"], "description": "JSON Schema of the output."},
            "example": {"type": "array", "items": closed(json!(["arguments"]), json!({
                "arguments": {"type": "object"}, "output": {"description": "What it answers, when always the same."},
            }))},
            "command": {"$ref": "#/$defs/command"},
            "http": {"$ref": "#/$defs/http"},
        }),
    );
    if let Some(words) = tool.as_object_mut() {
        words.insert("oneOf".to_owned(), json!([{"required": ["command"]}, {"required": ["http"]}]));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tools of toolctl",
        "type": "object",
        "anyOf": [{"required": ["tool"]}, {"required": ["upstream"]}],
        "properties": {
            "tool": {"anyOf": [
                {"$ref": "#/$defs/tool"},
                {"type": "array", "items": {"$ref": "#/$defs/tool"}},
            ]},
            "upstream": {"anyOf": [
                {"$ref": "#/$defs/upstream"},
                {"type": "array", "items": {"$ref": "#/$defs/upstream"}},
            ]},
        },
        "additionalProperties": false,
        "$defs": {"tool": tool, "command": command, "element": element, "http": http::schema(), "upstream": upstream()},
    })
}

/// The schema of a server of others.
fn upstream() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let span = |description: &str| json!({"type": "string", "description": description, "examples": ["30s", "5m"]});
    let size = |description: &str| json!({"type": ["integer", "string"], "description": description, "examples": ["512 KiB", "64 MiB"]});
    let texts = |description: &str| json!({"type": "array", "items": {"type": "string"}, "description": description});
    let flag = |description: &str| json!({"type": "boolean", "description": description});
    let closed = |required: Value, properties: Value| json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false});
    let given = |description: &str| {
        json!({"type": "object", "description": description, "additionalProperties": {"anyOf": [
            text("The value itself."),
            closed(json!(["secret"]), json!({"secret": text("env:NAME, file:/path or credential:NAME.")})),
        ]}})
    };
    let declared = closed(
        json!([]),
        json!({
            "effect": {
                "enum": ["readonly", "idempotent", "keyed", "once"], "default": "once",
                "description": "What running it a second time would do; what the server says of itself is no proof.",
            },
            "destructive": flag("It may destroy something; true when not said, unless it only reads."),
            "open_world": flag("It reaches beyond this machine; true when not said."),
            "risk": {"enum": ["low", "medium", "high"], "description": "How much harm a call could do."},
            "timeout": span("How long a call may take; that of the server when not said."),
            "output_limit": size("The longest output; that of the server when not said."),
            "idempotency_ignore": texts("JSON Pointers of arguments that do not count when requests are compared."),
            "dedupe_window": span("How long the server remembers the key of a keyed tool."),
            "probe": text("A read-only tool that says whether a call in doubt happened."),
            "preview": text("A read-only tool that shows what a call would do."),
            "preview_varies": flag("What the preview says changes by itself: it is not compared when the call starts."),
            "tags": texts("Words to find it by."),
        }),
    );
    closed(
        json!(["name"]),
        json!({
            "name": text("1–32 letters, digits, _ and -: the names of its tools begin with it and a dot."),
            "enabled": flag("Whether it is used; true when not said."),
            "command": texts("A program that speaks MCP on stdin and stdout, and its arguments."),
            "folder": text("Where it runs; the home folder when not said."),
            "environment": given("Variables beside PATH, HOME, LANG and TMPDIR."),
            "url": text("A server that speaks Streamable HTTP, instead of `command`."),
            "auth": closed(json!(["bearer"]), json!({"bearer": text("The token: env:NAME, file:/path or credential:NAME.")})),
            "headers": given("Headers of each request."),
            "allow": texts("Private addresses that it may be at."),
            "timeout": span("How long one call may take; 30s when not said."),
            "start_timeout": span("How long it may take to be there; 60s when not said."),
            "output_limit": size("The longest output; 1 MiB when not said."),
            "concurrency": {"type": "integer", "minimum": 1, "maximum": 256, "default": 8, "description": "Calls at the same time."},
            "include": texts("Only tools whose names match one of these; * stands for any characters."),
            "exclude": texts("Not the tools whose names match one of these."),
            "tools": {
                "type": "object", "description": "What its tools do, by their names at the server.",
                "additionalProperties": declared,
            },
        }),
    )
}

//! Whole documents, and the tools that become of them.

use serde_json::json;

use super::*;
use crate::config::manifest::Manifests;

const PETS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/documents/pets.yaml"));
const SHOP: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/documents/shop.json"));

fn chosen(include: &[&str]) -> Choices {
    let include = include.iter().map(|glob| (*glob).to_owned()).collect();
    Choices { selection: Selection { include, exclude: Vec::new() }, ..Choices::default() }
}

fn read(document: &str, choices: &Choices) -> Imported {
    import(document.as_bytes(), "test.yaml", None, choices).expect("a document")
}

fn refused(document: &str, choices: &Choices) -> String {
    import(document.as_bytes(), "test.yaml", None, choices).expect_err("refused").to_string()
}

/// Loads what was made, as the daemon does.
fn loaded(imported: &Imported) -> Result<Manifests, Problems> {
    let source = |(number, text): (usize, &String)| Source {
        path: format!("/etc/tools/{number}.toml").into(),
        text: text.as_str().into(),
    };
    load(&imported.files.iter().enumerate().map(source).collect::<Vec<_>>())
}

fn skipped(imported: &Imported) -> Vec<String> {
    imported.skipped.iter().map(|one| format!("{}: {}", one.operation, one.why)).collect()
}

/// A document of one path, in YAML's flow style.
fn document(paths: &str, more: &str) -> String {
    format!(
        "openapi: 3.0.0\ninfo: {{title: T, version: '1'}}\nservers: [{{url: 'https://t.example'}}]\n{more}\npaths:\n{paths}\n"
    )
}

#[test]
fn documents_become_files_that_a_person_would_write() {
    for (name, document) in [("pets", PETS), ("shop", SHOP)] {
        let made = read(document, &Choices::default());
        let path = format!("{}/tests/documents/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = made.files.concat();
        if std::env::var_os("TOOLCTL_WRITE_DOCUMENTS").is_some() {
            std::fs::write(&path, &text).expect("written");
        }
        let expected = std::fs::read_to_string(&path).expect("a file");
        assert_eq!(text, expected, "{name}: TOOLCTL_WRITE_DOCUMENTS=1 writes it anew");
        let loaded = loaded(&made).map_err(|problems| problems.to_string()).expect("tools");
        assert_eq!(loaded.tools.len(), made.tools.len());
        assert_eq!(loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), expected_warnings(name));
    }
}

/// The shop's document sends a key in the clear, and says so itself.
fn expected_warnings(name: &str) -> Vec<String> {
    match name {
        "shop" => vec!["its secrets go over the network for everybody to read".to_owned(); 5],
        _ => Vec::new(),
    }
}

#[test]
fn what_does_not_become_a_tool_is_told() {
    let pets = read(PETS, &Choices::default());
    assert_eq!(
        (pets.title.as_str(), pets.version.as_str(), pets.operations, pets.tools.len()),
        ("Pet Shop", "1.2.0", 10, 8)
    );
    assert_eq!(
        skipped(&pets),
        [
            "PUT /pets/{id}/photo: its body is image/png",
            "GET /old: it is deprecated; name it with --include to have it all the same",
        ]
    );
    let notes: Vec<String> = pets.notes.iter().map(|note| format!("{} {}", note.tool, note.note)).collect();
    assert_eq!(
        notes,
        [
            "list_pets leaves out the parameter `session`, as it goes into a cookie",
            "add_note takes `id` of its path as text, as it is not described",
        ]
    );
    let secrets: Vec<&str> = pets.secrets.iter().map(|secret| secret.reference.as_str()).collect();
    assert_eq!(secrets, ["env:PET_SHOP_KEY", "env:PET_SHOP_OTHER", "env:PET_SHOP_TOKEN"]);
    assert_eq!(pets.servers.iter().collect::<Vec<_>>(), ["https://eu.pets.example"]);
    let shop = read(SHOP, &Choices::default());
    let notes: Vec<String> = shop.notes.iter().map(|note| format!("{} {}", note.tool, note.note)).collect();
    assert_eq!(notes, ["show_order takes `id` of its path as text, as it is not described"]);
}

#[test]
fn effects_follow_the_method_and_nothing_else_is_promised() {
    let loaded = loaded(&read(PETS, &Choices::default())).expect("tools");
    for manifest in loaded.tools {
        let tool = manifest.tool;
        let reads = matches!(tool.name.as_str(), "list_pets" | "show_pet" | "get_fixed_view_short");
        let expected = if reads { ("readonly", false, "low") } else { ("once", true, "high") };
        assert_eq!((tool.effect.word(), tool.destructive, tool.risk.word()), expected, "{}", tool.name);
        assert!(tool.open_world);
    }
}

#[test]
fn a_deprecated_operation_becomes_a_tool_when_it_is_named() {
    for (include, tools) in [(&["old"][..], 1), (&["GET /old"], 1), (&["*old*"], 0)] {
        assert_eq!(read(PETS, &chosen(include)).tools.len(), tools, "{include:?}");
    }
}

#[test]
fn names_do_not_depend_on_what_is_chosen() {
    let all = read(PETS, &Choices::default());
    let one = read(PETS, &chosen(&["DELETE *"]));
    assert_eq!(one.tools.len(), 1);
    assert!(all.tools.iter().any(|tool| tool.name == one.tools[0].name));
}

#[test]
fn the_operator_says_where_and_who() {
    let reference: SecretRef = "file:/run/token".parse().expect("a reference");
    let choices = Choices {
        server: Some("http://10.0.0.7:8080/api/".into()),
        bearer: Some(reference),
        allow: vec!["10.0.0.7:8080".into()],
        name: Some("My pets".into()),
        prefix: "pets".into(),
        ..chosen(&["showPet"])
    };
    let made = read(PETS, &choices);
    assert_eq!((made.name.as_str(), made.tools[0].name.as_str()), ("my_pets", "pets_show_pet"));
    let text = made.files.concat();
    for line in [
        "url = \"http://10.0.0.7:8080/api/pets/{id}\"",
        "auth = { bearer = \"file:/run/token\" }",
        "allow = [\"10.0.0.7:8080\"]",
    ] {
        assert!(text.contains(line), "`{line}` is not in:\n{text}");
    }
    loaded(&made).expect("a tool");
    let renamed = Choices {
        secrets: BTreeMap::from([("token".to_owned(), "credential:pets".parse().expect("a reference"))]),
        ..chosen(&["showPet"])
    };
    assert!(read(PETS, &renamed).files.concat().contains("auth = { bearer = \"credential:pets\" }"));
}

#[test]
fn answers_are_described_only_when_asked_and_only_of_tools_that_read() {
    let made = read(PETS, &Choices { answers: true, ..Choices::default() });
    let loaded = loaded(&made).expect("tools");
    let output = |name: &str| {
        loaded.tools.iter().find(|one| one.tool.name.as_str() == name).expect(name).tool.output_schema.clone()
    };
    assert_eq!(output("list_pets")["properties"]["result"]["items"], json!({"$ref": "#/$defs/Pet"}));
    assert_eq!(output("create_pet"), json!({"type": "object"}));
}

#[test]
fn a_document_that_cannot_be_taken_is_refused_and_told() {
    let get = "  /a: {get: {responses: {}}}";
    for (text, why) in [
        (
            document("  /a: {$ref: 'paths/a.yaml'}", ""),
            "`/a` needs the `$ref` to `paths/a.yaml`, which is another document",
        ),
        (
            document("  /a: {get: {parameters: [{$ref: 'https://x.example/p.json#/limit'}], responses: {}}}", ""),
            "GET /a needs the `$ref` to `https://x.example/p.json#/limit`, which is another document",
        ),
        (
            document(
                "  /a: {post: {requestBody: {content: {application/json: {schema: {properties: {x: {$ref: './x.yaml'}}}}}}, responses: {}}}",
                "",
            ),
            "POST /a needs the `$ref` to `./x.yaml`, which is another document",
        ),
        (
            "openapi: 3.0.0\npaths:\n  /a: {get: {responses: {}}}\n".to_owned(),
            "GET /a has no server with a whole address",
        ),
        (
            format!("openapi: 3.0.0\nservers: [{{url: /v1}}]\npaths:\n{get}\n"),
            "GET /a has no server with a whole address: `/v1` is a part of one",
        ),
        ("openapi: 3.0.0\npaths: {}\n".to_owned(), "the document has no operations"),
    ] {
        assert_eq!(refused(&text, &Choices::default()), why);
    }
    assert_eq!(
        refused(PETS, &chosen(&["listPet", "GET /pet"])),
        "no operation of the document fits `listPet` or `GET /pet`"
    );
    let bad = Choices { server: Some("pets.example".into()), ..Choices::default() };
    assert_eq!(refused(PETS, &bad), "`pets.example` is no address of a server");
    let unknown = Choices {
        secrets: BTreeMap::from([("tokn".to_owned(), SecretRef::Environment("X".into()))]),
        ..Choices::default()
    };
    assert_eq!(refused(PETS, &unknown), "the document has no security scheme `tokn`");
}

#[test]
fn what_is_wrong_with_one_operation_costs_that_one_alone() {
    let paths = "  /good: {get: {responses: {}}}
  /gone: {get: {parameters: [{$ref: '#/components/parameters/gone'}], responses: {}}}
  /ring: {get: {parameters: [{$ref: '#/components/parameters/ring'}], responses: {}}}
  /deep: {post: {requestBody: {content: {application/json: {schema: {properties: {x: {$ref: '#/components/schemas/gone'}}}}}}, responses: {}}}
  /style/{m}: {get: {parameters: [{name: m, in: path, required: true, style: matrix, schema: {type: string}}], responses: {}}}
  /object: {get: {parameters: [{name: o, in: query, required: true, schema: {type: object}}], responses: {}}}
  /upload: {post: {requestBody: {required: true, content: {multipart/form-data: {}}}, responses: {}}}
  /digest: {get: {security: [{d: []}], responses: {}}}
  /odd: {trace: {responses: {}}}
  '/hash#here': {get: {responses: {}}}
  '/half{open': {get: {responses: {}}}
  /lost: {$ref: '#/nowhere'}
  /twice: {get: {operationId: good, responses: {}}, put: {operationId: good, responses: {}}}
  x-more: {get: {}}";
    let more = "components: {parameters: {ring: {$ref: '#/components/parameters/ring'}}, securitySchemes: {d: {type: http, scheme: digest}}}";
    let made = read(&document(paths, more), &Choices::default());
    let mut why = skipped(&made);
    why.sort();
    assert_eq!(
        why,
        [
            "/lost: the `$ref` to `#/nowhere` leads nowhere",
            "GET /digest: it needs `d` (http digest), which no tool has",
            "GET /gone: the `$ref` to `#/components/parameters/gone` leads nowhere",
            "GET /half{open: its path `/half{open` has a `{` alone",
            "GET /object: its parameter `o` is an object",
            "GET /ring: the `$ref` to `#/components/parameters/ring` leads back to itself",
            "GET /style/{m}: its parameter `m` has the style `matrix`",
            "POST /deep: the `$ref` to `#/components/schemas/gone` leads nowhere",
            "POST /upload: its body is multipart/form-data",
            "TRACE /odd: no tool has this method",
        ]
    );
    let names: Vec<&str> = made.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["get_good", "get_hash_here", "get_twice", "put_twice"]);
    loaded(&made).expect("tools");
    assert!(made.files.concat().contains("url = \"https://t.example/hash\""));
}

#[test]
fn parameters_and_members_of_one_name_are_two_arguments() {
    let paths = "  /a/{id}: {put: {parameters: [{name: id, in: path, required: true, schema: {type: string}}, {name: id, in: query, schema: {type: integer}}, {name: id, in: header, schema: {type: string}}], requestBody: {content: {application/json: {schema: {properties: {id: {type: boolean}}}}}}, responses: {}}}";
    let made = read(&document(paths, ""), &Choices::default());
    let loaded = loaded(&made).expect("a tool");
    let properties = loaded.tools[0].tool.input_schema["properties"].as_object().expect("properties").clone();
    let kinds: Vec<String> = properties.iter().map(|(name, schema)| format!("{name}: {}", schema["type"])).collect();
    assert_eq!(kinds, ["body_id: \"boolean\"", "header_id: \"string\"", "id: \"string\"", "query_id: \"integer\""]);
}

#[test]
fn what_would_be_too_large_is_told_in_less_words_and_in_as_many_files_as_it_takes() {
    let mut schemas = serde_json::Map::new();
    let text = "Words about it. ".repeat(9);
    for number in 0..400 {
        let next = |step: usize| json!({"$ref": format!("#/components/schemas/S{}", (number + step) % 400)});
        schemas.insert(
            format!("S{number}"),
            json!({"type": "object", "description": text, "properties": {"a": next(1), "b": next(7), "c": {"type": "string", "description": text}}}),
        );
    }
    let mut paths = serde_json::Map::new();
    for number in 0..100 {
        let schema = json!({"$ref": format!("#/components/schemas/S{number}")});
        let post = json!({"requestBody": {"content": {"application/json": {"schema": schema}}}, "responses": {}});
        paths.insert(format!("/p{number}"), json!({"post": post}));
    }
    let whole = json!({
        "openapi": "3.0.0", "info": {"title": "Big"}, "servers": [{"url": "https://b.example"}],
        "paths": paths, "components": {"schemas": schemas},
    });
    let made = read(&whole.to_string(), &Choices::default());
    assert_eq!(made.tools.len(), 100);
    assert_eq!(made.notes.len(), 100);
    assert!(made.files.len() > 1 && made.files.iter().all(|file| file.len() <= 1 << 20), "{}", made.files.len());
    let loaded = loaded(&made).map_err(|problems| problems.to_string()).expect("tools");
    assert!(loaded.tools.iter().all(|one| one.tool.input_schema.to_string().len() < 20_000));
}

#[test]
fn too_many_operations_are_refused_with_the_way_out() {
    let paths: String = (0..=MOST_TOOLS).map(|number| format!("  /p{number}: {{get: {{}}}}\n")).collect();
    let text = document(&paths, "");
    let refused = import(text.as_bytes(), "big", None, &Choices::default()).expect_err("too many");
    assert_eq!(refused.to_string(), "10001 operations would become tools, and 10000 can be loaded together");
    assert_eq!(refused.hint().as_deref(), Some("choose some with --include, for example --include 'GET *'"));
}

#[test]
fn text_of_a_document_cannot_break_out_of_its_place() {
    let nasty = "x'''\n[[tool]]\nname = \"evil\"\n\u{7}\"{{}}\\";
    let whole = json!({
        "openapi": "3.1.0", "info": {"title": nasty, "version": nasty}, "servers": [{"url": "https://n.example"}],
        "paths": {"/a": {"post": {
            "operationId": nasty, "summary": nasty, "description": nasty, "tags": [nasty],
            "parameters": [{"name": nasty, "in": "query", "description": nasty, "schema": {"enum": [nasty, null]}}],
            "requestBody": {"content": {"application/json": {"schema": {
                "properties": {nasty: {"enum": [nasty, null], "description": nasty}, "{x}": {"type": "string"}},
            }}}},
        }}},
    });
    let made = read(&whole.to_string(), &Choices::default());
    let loaded = loaded(&made).map_err(|problems| problems.to_string()).expect("one tool");
    assert_eq!(loaded.tools.len(), 1);
    assert!(made.files.concat().lines().take(2).all(|line| line.starts_with("# ")), "{}", made.files.concat());
    let values = &loaded.tools[0].tool.input_schema["properties"];
    assert!(values.as_object().expect("properties").values().any(|one| one["enum"][0] == json!(nasty)), "{values}");
}

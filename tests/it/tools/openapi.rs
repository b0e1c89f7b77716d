//! `tools add --openapi`: a document becomes tools, and they do what the document says, through the daemon.

use serde_json::{Value, json};

use super::call;
use crate::support::server::{answer, raw};
use crate::support::{Daemon, Heard, Server};

const PETS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/documents/pets.yaml"));
const SHOP: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/documents/shop.json"));

/// A policy that lets everybody do everything: who may do what is not the matter here.
const POLICY: &str = "@id(\"everything\")\npermit (principal, action, resource);\n";

fn daemon(env: &[(&str, &str)]) -> Daemon {
    let mut daemon = Daemon::prepared(&[], env);
    daemon.configure("policies/everything.cedar", POLICY);
    daemon.restart();
    daemon
}

/// Writes a document beside the daemon's folders.
fn document(daemon: &Daemon, name: &str, text: &str) {
    std::fs::write(daemon.dir().join(name), text).expect("written");
}

/// A server that answers each request with itself.
fn echo() -> Server {
    Server::start(|heard, stream| {
        answer(stream, 200, &json!({"method": heard.method, "target": heard.target}).to_string())
    })
}

/// Calls a tool, which must succeed, and gives what the server heard of it.
#[track_caller]
fn heard(daemon: &Daemon, server: &Server, tool: &str, arguments: &Value) -> Heard {
    let before = server.heard().len();
    let answer = call(daemon, tool, arguments);
    assert_eq!(answer["state"], "succeeded", "{answer}");
    let mut all = server.heard();
    assert_eq!(all.len(), before + 1, "one request a call");
    all.pop().expect("a request")
}

#[test]
fn a_document_becomes_tools_that_send_what_it_describes() {
    let server = echo();
    let daemon = daemon(&[("PETS_TOKEN", "s3cret")]);
    document(&daemon, "pets.yaml", PETS);
    let url = format!("{}/v1", server.url());
    let place = server.place();
    let flags = ["--name", "pets", "--server", &url, "--allow", &place, "--yes"];
    let added = daemon.cli(&[&["-o", "json", "tools", "add", "--openapi", "pets.yaml"][..], &flags].concat()).json();
    assert_eq!((added["tools"].as_array().map(Vec::len), &added["in_force"]), (Some(8), &json!(true)), "{added}");
    assert_eq!(added["skipped"].as_array().map(Vec::len), Some(2));
    assert_eq!(added["secrets"][2], json!({"reference": "env:PETS_TOKEN", "what": "a bearer token: Under Settings"}));

    let listed = heard(
        &daemon,
        &server,
        "list_pets",
        &json!({"limit": 5, "tags": ["a b", "c"], "fields": ["id", "name"], "filter_kind": "cat", "X-Trace": "t1"}),
    );
    let mut query: Vec<&str> = listed.target.split(['?', '&']).collect();
    query.sort_unstable();
    assert_eq!(query, ["/v1/pets", "fields=id%2Cname", "filter%5Bkind%5D=cat", "limit=5", "tags=a%20b", "tags=c"]);
    assert_eq!((listed.headers["x-trace"].as_str(), listed.headers["authorization"].as_str()), ("t1", "Bearer s3cret"));
    // What the other side would take for granted is left to it.
    assert_eq!(heard(&daemon, &server, "list_pets", &json!({})).target, "/v1/pets");

    let pet = json!({"name": "Tom", "kind": "cat", "children": [{"name": "Tim", "kind": "cat", "children": []}]});
    let made = heard(&daemon, &server, "create_pet", &pet);
    assert_eq!((made.method.as_str(), serde_json::from_str::<Value>(&made.body).expect("JSON")), ("POST", pet));
    let refused = call(&daemon, "create_pet", &json!({"name": "Tom", "kind": "cat", "children": [{"name": ""}]}));
    assert_eq!(refused["code"], "arguments-invalid", "{refused}");

    let changed = heard(&daemon, &server, "change_pet", &json!({"id": 7, "body_id": "8", "name": null}));
    assert_eq!((changed.method.as_str(), changed.target.as_str()), ("PATCH", "/v1/pets/7"));
    assert_eq!(
        (changed.body.as_str(), changed.headers["content-type"].as_str()),
        (r#"{"id":"8","name":null}"#, "application/merge-patch+json")
    );
    assert_eq!(heard(&daemon, &server, "remove_pet", &json!({"id": 7})).method, "DELETE");
    assert_eq!(heard(&daemon, &server, "add_note", &json!({"id": "7", "body": "a & b"})).body, "a & b");
    assert_eq!(heard(&daemon, &server, "show_pet", &json!({"id": 7})).headers["accept"], "application/vnd.pets+json");
    let login = heard(&daemon, &server, "log_in", &json!({"user": "ann", "scopes": ["r", "w"]}));
    assert_eq!((login.body.as_str(), login.headers.get("authorization")), ("scopes=r&scopes=w&user=ann", None));
}

#[test]
fn objects_go_into_queries_and_forms_by_their_members() {
    let server = echo();
    let daemon = daemon(&[("SHOP_API_KEY", "k3y")]);
    document(&daemon, "shop.json", SHOP);
    let place = server.place();
    daemon
        .cli(&["tools", "add", "--openapi", "shop.json", "--server", &server.url(), "--allow", &place, "--yes"])
        .exits(0);
    let listed = heard(&daemon, &server, "list_orders", &json!({"created": {"gte": 1, "lt": 9}, "state": ["new"]}));
    assert_eq!(listed.target, "/orders?created%5Bgte%5D=1&created%5Blt%5D=9&state=new");
    assert_eq!(listed.headers["x-key"], "k3y");
    let added = heard(
        &daemon,
        &server,
        "add_customer",
        &json!({"email": "a@b.example", "address": {"city": "Oslo"}, "tags": ["x", "y"]}),
    );
    assert_eq!(added.body, "address%5Bcity%5D=Oslo&email=a%40b.example&tags%5B%5D=x&tags%5B%5D=y");
    let refused = call(&daemon, "add_customer", &json!({"email": "a@b.example", "address": {"city": "x", "to][x": 1}}));
    assert_eq!(refused["code"], "arguments-invalid", "{refused}");
    let ordered = heard(&daemon, &server, "place_order", &json!({"item": "book", "to": {"street": null}}));
    assert_eq!(ordered.body, r#"{"item":"book","to":{"street":null}}"#);
}

#[test]
fn nothing_is_written_unless_somebody_says_so_and_nothing_is_overwritten() {
    let daemon = daemon(&[]);
    document(&daemon, "pets.yaml", PETS);
    let add =
        |more: &[&str]| daemon.cli(&[&["-o", "table", "tools", "add", "--openapi", "pets.yaml"][..], more].concat());
    let file = daemon.dir().join("config/tools/pet_shop.toml");
    let asked = add(&["--include", "GET *"]).exits(2);
    assert!(asked.stderr.contains("toolctl tools add --openapi pets.yaml --include 'GET *' --yes"), "{}", asked.stderr);
    assert!(asked.stderr.contains("tools    3: 3 only read, 0 act"), "{}", asked.stderr);
    assert!(!file.exists());
    let printed = add(&["--print", "--include", "showPet"]).exits(0);
    assert!(printed.stdout.contains("name = \"show_pet\"") && !file.exists(), "{}", printed.stdout);

    assert_eq!(add(&["--include", "GET *", "--yes"]).exits(0).stdout, "added 3 tools\n");
    let first = std::fs::read_to_string(&file).expect("the file");
    let again = add(&["--yes"]).exits(12);
    assert!(again.stderr.contains("is there already") && again.stderr.contains("--force"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), first);
    let other = add(&["--yes", "--name", "other"]).exits(2);
    assert!(
        other.stderr.contains("two tools are named `list_pets`") && other.stderr.contains("--prefix"),
        "{}",
        other.stderr
    );
    assert_eq!(add(&["--yes", "--name", "other", "--prefix", "other"]).exits(0).stdout, "added 8 tools\n");
    assert_eq!(add(&["--yes", "--force"]).exits(0).stdout, "added 8 tools\n");
    assert_eq!(daemon.cli(&["-o", "jsonl", "tools", "search", "pet"]).exits(0).stdout.lines().count(), 16);
}

#[test]
fn a_later_import_leaves_nothing_of_an_earlier_one() {
    let daemon = Daemon::prepared(&[], &[]);
    document(&daemon, "pets.yaml", PETS);
    let add = |more: &[&str]| {
        daemon.cli(&[&["-o", "table", "tools", "add", "--openapi", "pets.yaml", "--yes"][..], more].concat())
    };
    let said = add(&[]).exits(0);
    assert_eq!(said.stdout, "added 8 tools; no daemon runs, so they count from the next start\n");
    let second = daemon.dir().join("config/tools/pet_shop-2.toml");
    std::fs::rename(daemon.dir().join("config/tools/pet_shop.toml"), &second).expect("renamed");
    daemon.configure("tools/pet_shop.toml", "# nothing\ntool = []\n");
    add(&["--force", "--include", "showPet"]).exits(0);
    assert!(!second.exists());
    let lint = daemon.cli(&["-o", "json", "tools", "lint"]).json();
    assert_eq!((&lint["files"], &lint["tools"]), (&json!(1), &json!(1)));
}

#[test]
fn documents_come_from_stdin_and_from_addresses() {
    let document = PETS.replace("https://{region}.pets.example/v1", "/api");
    let served = document.clone();
    let server = Server::start(move |heard: &Heard, stream| match heard.target.as_str() {
        "/docs/pets.yaml?x=1" => answer(stream, 200, &served),
        "/moved" => {
            raw(stream, b"HTTP/1.1 301 X\r\nLocation: https://other.example/pets.yaml\r\nContent-Length: 0\r\n\r\n")
        }
        "/endless" => raw(
            stream,
            format!("HTTP/1.1 200 X\r\nContent-Length: 99999999\r\n\r\n{}", " ".repeat(40 << 20)).as_bytes(),
        ),
        _ => answer(stream, 404, "{}"),
    });
    let daemon = daemon(&[]);
    let place = server.place();
    let add = |source: &str, more: &[&str]| {
        daemon.cli(&[&["-o", "json", "tools", "add", "--openapi", source, "--yes"][..], more].concat())
    };
    let added = add(&format!("{}/docs/pets.yaml?x=1", server.url()), &["--allow", &place]).json();
    assert_eq!(added["servers"], json!([server.url()]));
    let text = std::fs::read_to_string(daemon.dir().join("config/tools/pet_shop.toml")).expect("the file");
    assert!(text.contains(&format!("url = \"{}/api/pets\"", server.url())), "{text}");
    for (target, why, hint) in [
        ("/moved", "answers 301", "https://other.example/pets.yaml"),
        ("/gone", "answers 404", "give the file"),
        ("/endless", "has more than 33554432 bytes", "take the parts"),
    ] {
        let error = add(&format!("{}{target}", server.url()), &[]).exits(1).error();
        assert!(error["message"].as_str().is_some_and(|message| message.contains(why)), "{error}");
        assert!(error["hint"].as_str().is_some_and(|said| said.contains(hint)), "{error}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let error = add(&format!("http://{closed}/x.json"), &[]).exits(1).error();
    assert_eq!(error["code"], "not-fetched", "{error}");
    let error = add("ftp://example.com/x.json", &[]).exits(1).error();
    assert_eq!(error["message"], "`ftp://example.com/x.json` is no address of the Web");

    let piped = daemon.cli(&[
        "-o",
        "json",
        "tools",
        "add",
        "--openapi",
        "-",
        "--name",
        "piped",
        "--prefix",
        "p",
        "--server",
        "https://p.example",
        "--yes",
    ]);
    assert_eq!(piped.input(&document).json()["name"], "piped");
    let error =
        daemon.cli(&["-o", "json", "tools", "add", "--openapi", "-", "--yes"]).input(&document).exits(2).error();
    assert_eq!(error["message"], "stdin: GET /pets has no server with a whole address: `/api` is a part of one");
    assert_eq!(error["hint"], "say where it is: --server https://…");
}

#[test]
fn what_cannot_be_taken_is_refused_and_nothing_is_written() {
    let daemon = daemon(&[]);
    let huge = std::fs::File::create(daemon.dir().join("huge.json")).expect("a file");
    huge.set_len(100_000_000).expect("100 MB");
    for (name, text) in [
        ("none.yaml", "hello"),
        ("broken.json", "{\"openapi\": "),
        ("swagger.json", "{\"swagger\": \"2.0\", \"paths\": {}}"),
        ("four.yaml", "openapi: 4.0.0\npaths: {}\n"),
        ("remote.yaml", "openapi: 3.0.0\nservers: [{url: 'https://x.example'}]\npaths: {/a: {$ref: './a.yaml'}}\n"),
        (
            "nothing.yaml",
            "openapi: 3.0.0\npaths: {/up: {post: {requestBody: {required: true, content: {image/png: {}}}}}}\n",
        ),
        ("pets.yaml", PETS),
    ] {
        document(&daemon, name, text);
    }
    let at_home = PETS.replace("https://{region}.pets.example/v1", "http://127.0.0.1:9/v1");
    document(&daemon, "home.yaml", &at_home);
    for (args, code, message, hint) in [
        (
            &["none.yaml"][..],
            2,
            "none.yaml: this is no OpenAPI document: it is no object",
            "a document begins with `openapi: 3.…`",
        ),
        (&["broken.json"], 2, "broken.json: this is not JSON that can be read: EOF", ""),
        (
            &["swagger.json"],
            2,
            "swagger.json: this document is Swagger 2.0, and only OpenAPI 3 is read",
            "swagger2openapi",
        ),
        (&["four.yaml"], 2, "four.yaml: this document is OpenAPI 4.0.0", "save it as 3.1"),
        (
            &["remote.yaml"],
            2,
            "remote.yaml: `/a` needs the `$ref` to `./a.yaml`, which is another document",
            "redocly bundle",
        ),
        (
            &["nothing.yaml", "--server", "https://x.example"],
            2,
            "nothing.yaml: no operation can become a tool",
            "its body is image/png",
        ),
        (&["home.yaml"], 2, "home.yaml: no operation can become a tool", "allow = [\"127.0.0.1:9\"]"),
        (
            &["pets.yaml", "--include", "listPet"],
            2,
            "pets.yaml: no operation of the document fits `listPet`",
            "did you mean `listPets`",
        ),
        (
            &["pets.yaml", "--server", "nowhere"],
            2,
            "pets.yaml: `nowhere` is no address of a server",
            "https://api.example.com/v1",
        ),
        (&["pets.yaml", "--secret", "nothing=env:X"], 2, "the document has no security scheme `nothing`", "`token`"),
        (&["huge.json"], 2, "huge.json: the document has more than 32 MiB", "take the parts out of it"),
        (&["gone.json"], 1, "cannot read `gone.json`", ""),
    ] {
        let error =
            daemon.cli(&[&["-o", "json", "tools", "add", "--yes", "--openapi"][..], args].concat()).exits(code).error();
        assert!(error["message"].as_str().is_some_and(|said| said.contains(message)), "{args:?}: {error}");
        assert!(hint.is_empty() || error["hint"].as_str().is_some_and(|said| said.contains(hint)), "{args:?}: {error}");
    }
    assert!(!daemon.dir().join("config/tools").exists());
    for args in [
        &["tools", "add"][..],
        &["tools", "add", "x.toml", "--openapi", "pets.yaml"],
        &["tools", "add", "x.toml", "--yes"],
    ] {
        daemon.cli(args).exits(2);
    }
}

//! `[tool.http]`, and what can be wrong with it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::{Manifests, Problems, Source, load};
use super::*;
use crate::domain::tool::Action;
use crate::domain::tool::http::Secrets;

const GOOD: &str = r#"
[tool]
name = "add_note"
description = "Adds a note."
effect = "keyed"

[tool.arguments]
customer = { type = "integer", required = true }
text = { type = "string", required = true }
tags = { type = "array", items = { type = "string" } }
meta = { type = "object" }

[tool.http]
method = "POST"
url = "https://api.example.com/v1/customers/{customer}/notes"
query = { limit = 5, tag = "{tags...}", all = { each = "{tags...}", join = "," } }
headers = { X-Team = "support" }
json = { text = "{text}", by = "bot for {customer}", meta = "{meta}", urgent = false }
auth = { bearer = "env:API_TOKEN" }
"#;

fn read(text: &str) -> Result<Manifests, Problems> {
    load(&[Source { path: PathBuf::from("/etc/toolctl/tools/a.toml"), text: text.into() }])
}

fn with(before: &str, after: &str) -> String {
    assert!(GOOD.contains(before), "`{before}`");
    GOOD.replacen(before, after, 1)
}

fn action(text: &str) -> HttpAction {
    match &read(text).unwrap_or_else(|problems| panic!("{problems}")).tools[0].tool.action {
        Action::Http(http) => (**http).clone(),
        other => panic!("{other:?}"),
    }
}

fn lines(text: &str, arguments: Value) -> Vec<String> {
    action(text).request(&arguments, Secrets::Named).expect("a request").lines()
}

#[test]
fn a_table_is_the_request_it_looks_like() {
    let arguments = json!({"customer": 7, "text": "x", "tags": ["a", "b"], "meta": {"k": 1}});
    let lines = lines(GOOD, arguments);
    assert_eq!(
        lines[..4],
        [
            "POST https://api.example.com/v1/customers/7/notes?all=a%2Cb&limit=5&tag=a&tag=b",
            "X-Team: support",
            "Authorization: Bearer ‹secret:env:API_TOKEN›",
            "Idempotency-Key: ‹key of this call›",
        ]
    );
    assert_eq!(
        lines.last().map(String::as_str),
        Some(r#"{"by":"bot for 7","meta":{"k":1},"text":"x","urgent":false}"#)
    );
    assert_eq!(read(GOOD).expect("good").warnings, []);
}

#[test]
fn everything_that_is_left_is_one_word() {
    let text = GOOD.lines().map(|line| if line.starts_with("json") { "json = \"arguments\"" } else { line });
    let text = text.collect::<Vec<_>>().join("\n");
    let arguments = json!({"customer": 7, "text": "x", "tags": ["a"], "meta": {}});
    assert_eq!(lines(&text, arguments).last().map(String::as_str), Some(r#"{"meta":{},"text":"x"}"#));
}

#[test]
fn everything_that_is_wrong_is_told_with_its_hint() {
    let more = |line: &str| format!("{GOOD}{line}\n");
    for (text, expected) in [
        (with("https://", "ftp://"), "begins with neither https:// nor http://"),
        (with("api.example.com", "{customer}.example.com"), "scheme, host and port cannot have arguments"),
        (with("api.example.com", "me:pw@api.example.com"), "say auth = { basic"),
        (with("api.example.com", "0x7f.1"), "usual spelling"),
        (with("api.example.com", "127.0.0.1"), "`127.0.0.1` is a loopback address (list it if it is meant: allow"),
        (with("api.example.com", "169.254.169.254"), "is a metadata address"),
        (with("api.example.com", "[::ffff:10.0.0.1]"), "is a private address"),
        (with("/notes\"", "/notes?x=1\""), "the address has a `?` (put it under `query`"),
        (with("/notes\"", "/notes#x\""), "the address has a `#`"),
        (with("/notes\"", "/../x\""), "`.` or `..` in its path"),
        (with("/notes\"", "/%2E%2e/x\""), "`.` or `..` in its path"),
        (with("/notes\"", "/a b\""), "` ` cannot stand in a path as it is (write it percent-encoded"),
        (with("/notes\"", "/a%zz\""), "`%` cannot stand in a path"),
        (with("{customer}/notes", "{custmer}/notes"), "has no argument `custmer` (did you mean `customer`?)"),
        (with("{customer}/notes", "{meta}/notes"), "the argument `meta` is an object"),
        (with("{customer}/notes", "{tags}/notes"), "the argument `tags` is a list"),
        (with("{customer}/notes", "{tags...}/notes"), "the list `tags` has no place in a path"),
        (
            with("customer = { type = \"integer\", required = true }", "customer = { type = \"integer\" }"),
            "may be missing",
        ),
        (with("tag = \"{tags...}\"", "tag = \"{tags}\""), "the argument `tags` is a list (write {tags...})"),
        (with("tag = \"{tags...}\"", "tag = \"{text...}\""), "the argument `text` is no list"),
        (
            with("tag = \"{tags...}\"", "tag = \"{meta}\""),
            "objects have a place in `json`, and in queries and forms as { deep = \"{name}\" }",
        ),
        (with("each = \"{tags...}\"", "each = \"{text}\""), "`each` needs a list"),
        (with("tag = \"{tags...}\"", "tag = { deep = \"a{meta}\" }"), "`deep` is one argument and nothing else"),
        (with("tag = \"{tags...}\"", "tag = { deep = \"{mta}\" }"), "has no argument `mta` (did you mean `meta`?)"),
        (with("tag = \"{tags...}\"", "tag = { deep = \"{meta}\", join = \",\" }"), "write { each ="),
        (with("\"support\"", "{ deep = \"{meta}\" }"), "an object has no place in a header"),
        (with("X-Team", "Host"), "the header `Host` cannot be set"),
        (with("X-Team", "Transfer-Encoding"), "the header `Transfer-Encoding` cannot be set"),
        (with("X-Team", "Proxy-Authorization"), "the header `Proxy-Authorization` cannot be set"),
        (with("X-Team", "\"X Team\""), "`X Team` is no name of a header"),
        (with("X-Team", "Authorization"), "who asks is shown by `auth`"),
        (with("X-Team", "Idempotency-Key"), "the header `Idempotency-Key` is set by `auth` or by the key"),
        (with("\"support\"", "\"a\\r\\nb\""), "a header has visible ASCII letters"),
        (with("method = \"POST\"", "method = \"GET\""), "a GET request carries no body (say method = \"POST\""),
        (with("method = \"POST\"", "method = \"TRACE\""), "unknown variant `TRACE`"),
        (more("form = { a = \"{text}\" }"), "a request carries one body"),
        (with("json = {", "text = \"{text}\"\nzson = {"), "unknown field `zson`"),
        (
            with("X-Team = \"support\"", "Content-Type = \"application/json\"")
                .replace("json = { text", "text = \"{text}\" #"),
            "a value could change what stands around it",
        ),
        (with("\"{meta}\"", "\"{tags...}\""), "a list stays a list in JSON"),
        (with("\"{meta}\"", "2026-11-26"), "JSON has no dates"),
        (with("\"env:API_TOKEN\"", "\"s3cr3t\""), "a secret is named `env:NAME`"),
        (with("bearer = \"env:API_TOKEN\"", "header = \"X-Key\""), "no secret is named (add where it is"),
        (with("bearer = \"env:API_TOKEN\"", "secret = \"env:X\""), "this is not one way to show who asks"),
        (
            with("bearer = \"env:API_TOKEN\"", "bearer = \"env:X\", query = \"k\""),
            "this is not one way to show who asks",
        ),
        (with("bearer = \"env:API_TOKEN\"", "path = \"hook\", secret = \"env:X\""), "does not stand in the path"),
        (with("bearer = \"env:API_TOKEN\"", "basic = { user = \"a:b\", password = \"env:X\" }"), "has no `:`"),
        (more("slashes = [\"text\"]"), "`{text}` does not stand in the path"),
        (more("allow = [\"10.0.0.1\"]"), "is neither a network"),
        (more("allow = [\"10.1.0.0/8\"]"), "has bits set behind its prefix"),
        (more("ca = \"no-such.pem\""), "there is no file"),
        (more("connect_timeout = \"10m\""), "1 ms to 5 minutes"),
        (more("idempotency = { header = \"X\", query = \"y\" }"), "the key goes to one place"),
        (more("idempotency = { header = \"X\" }").replace("keyed", "once"), "only a keyed tool sends a key"),
        (more("idempotency = { member = \"id\" }").replace("json = { text", "json = \"{meta}\" #"), "no JSON object"),
        (more("retry = { attempts = 11 }"), "1 to 10 attempts"),
        (more("retry = { attempts = 2, wait = \"2m\" }"), "a minute at most"),
        (more("response = { success = [99] }"), "`99` is no status"),
        (more("response = { success = [\"2xx\", 404], not_found = [404] }"), "the status 404 is given two meanings"),
        (more("response = { output = \"data\" }"), "`data` is not a JSON Pointer (write /data)"),
        (more("response = { output = { id = \"id\" } }"), "`id` is not a JSON Pointer"),
        (more("response = { form = \"text\", output = \"/x\" }"), "only of JSON can a part be taken"),
        (more("response = { succes = [200] }"), "unknown field `succes`"),
        (more("[tool.command]\nprogram = \"true\""), "a tool is run by one thing"),
        (
            more("response = { form = \"text\" }").replace("effect", "output = { type = \"object\" }\neffect"),
            "say form = \"json\" under [tool.http.response]",
        ),
    ] {
        let told: Vec<String> = match read(&text) {
            Ok(_) => panic!("`{expected}`: nothing is wrong"),
            Err(problems) => {
                problems.0.iter().map(|one| format!("{one} ({})", one.hint.clone().unwrap_or_default())).collect()
            }
        };
        assert!(told.iter().any(|line| line.contains(expected)), "`{expected}` is not in {told:#?}");
    }
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let warnings = |text: &str| {
        let found = read(text).unwrap_or_else(|problems| panic!("{problems}")).warnings;
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&with("https://", "http://")), ["its secrets go over the network for everybody to read"]);
    assert_eq!(warnings(&with(", meta = \"{meta}\"", "")), ["the request never uses the argument `meta`"]);
    let get =
        with("method = \"POST\"", "").replace("json = {", "# ").replace("effect = \"keyed\"", "effect = \"once\"");
    assert_eq!(
        warnings(&get),
        ["the request never uses the argument `meta`, `text`", "a GET request usually only reads"]
    );
}

#[test]
fn what_is_listed_may_be_private() {
    let text = with("api.example.com", "127.0.0.1:8080");
    for allow in ["127.0.0.1/32", "127.0.0.1:8080", "127.0.0.0/8"] {
        assert!(read(&format!("{text}allow = [\"{allow}\"]\n")).is_ok(), "{allow}");
    }
    assert!(read(&format!("{text}allow = [\"127.0.0.1:8081\"]\n")).is_err());
}

#[test]
fn the_schema_for_editors_takes_what_we_take() {
    let checked = crate::guard::schema::OutputSchema::compile(&super::super::schema()).expect("a schema");
    let document = |text: &str| toml::from_str::<Value>(text).expect("TOML");
    assert_eq!(checked.check(&document(GOOD)), Ok(()));
    let new = include_str!("../../../cli/command/tools/http.toml");
    assert_eq!(checked.check(&document(new)), Ok(()));
    assert_eq!(read(new).unwrap_or_else(|problems| panic!("{problems}")).warnings, []);
    for wrong in [with("url =", "uri ="), with("limit = 5", "limit = [5]"), with("bearer =", "barer =")] {
        assert!(checked.check(&document(&wrong)).is_err());
    }
    assert!(checked.check(&document(&format!("{GOOD}[tool.command]\nprogram = \"true\"\n"))).is_err());
}

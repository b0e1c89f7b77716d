//! The grammar of a tool's arguments, as a table.

use serde_json::json;

use super::*;
use crate::cli::dynamic::{build, sample};

struct Desk {
    stdin: Option<&'static str>,
}

impl Outside for Desk {
    fn file(&mut self, path: &str) -> io::Result<Vec<u8>> {
        match path {
            "note.md" => Ok(b"two\nlines\n".to_vec()),
            "meta.json" => Ok(br#"{"a":[1,2]}"#.to_vec()),
            "all.json" => Ok(br#"{"customer_id":"seven","title":"abc","address":{"city":"Berlin"}}"#.to_vec()),
            "twice.json" => Ok(br#"{"a":1,"a":2}"#.to_vec()),
            "list.json" => Ok(b"[]".to_vec()),
            "secret" => Ok(b"s3cret\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn stdin(&mut self) -> io::Result<Vec<u8>> {
        self.stdin.take().map(|text| text.as_bytes().to_vec()).ok_or_else(|| io::Error::other("stdin was read before"))
    }

    fn variable(&self, name: &str) -> Option<String> {
        (name == "KEY").then(|| "from-env".to_owned())
    }
}

fn typed(words: &[&str], given: Given<'_>) -> Result<Value, String> {
    let tool = sample::tool();
    let arguments = Arguments::of(&tool.input_schema, &BTreeSet::from(["reason".to_owned()]));
    let matches =
        build::command(&tool.name, &arguments).try_get_matches_from(words).map_err(|error| error.kind().to_string())?;
    collect(&tool.name, &arguments, &matches, given, &mut Desk { stdin: Some("from stdin") })
        .map(Value::Object)
        .map_err(|error| {
            let places: Vec<String> =
                error.details.errors.iter().map(|e| format!("{} {}", e.path, e.message)).collect();
            if places.is_empty() { error.message } else { places.join(" | ") }
        })
}

#[test]
fn what_is_typed_becomes_what_the_schema_says() {
    let plain = Given::default();
    let reason = ["reason".to_owned(), "because".to_owned()];
    for (words, given, expected) in [
        (
            vec!["--customer-id", "42", "--title", "Login broken"],
            plain,
            json!({"customer_id": 42, "title": "Login broken"}),
        ),
        (vec!["--customer_id", "42"], plain, json!({"customer_id": 42})),
        (vec!["--customer-id", "-5"], plain, json!({"customer_id": -5})),
        (vec!["--zip", "01234"], plain, json!({"zip": "01234"})),
        (vec!["--zip", "@anna"], plain, json!({"zip": "@anna"})),
        (vec!["--zip=--x"], plain, json!({"zip": "--x"})),
        (vec!["--notify"], plain, json!({"notify": true})),
        (vec!["--notify=false"], plain, json!({"notify": false})),
        (vec!["--tags", "a", "--tags", "b"], plain, json!({"tags": ["a", "b"]})),
        (vec!["--levels", "1", "levels=2"], plain, json!({"levels": [1, 2]})),
        (vec!["levels:=[3,4]"], plain, json!({"levels": [3, 4]})),
        (
            vec!["--address.city", "Berlin", "address.geo.lat=52.5"],
            plain,
            json!({"address": {"city": "Berlin", "geo": {"lat": 52.5}}}),
        ),
        (vec!["--address.geo.deep", "{\"x\":1}"], plain, json!({"address": {"geo": {"deep": {"x": 1}}}})),
        (vec!["--maybe", "null"], plain, json!({"maybe": null})),
        (vec!["--either", "true"], plain, json!({"either": true})),
        (vec!["title=a=b"], plain, json!({"title": "a=b"})),
        (vec!["customer-id=7"], plain, json!({"customer_id": 7})),
        (vec!["title=@note.md"], plain, json!({"title": "two\nlines\n"})),
        (vec!["title=@-"], plain, json!({"title": "from stdin"})),
        (vec!["title=@@home"], plain, json!({"title": "@home"})),
        (vec!["meta:=@meta.json"], plain, json!({"meta": {"a": [1, 2]}})),
        (vec!["priority:=\"high\""], plain, json!({"priority": "high"})),
        (vec!["--api-key", "env:KEY"], plain, json!({"apiKey": "from-env"})),
        (vec!["--api-key", "@secret"], plain, json!({"apiKey": "s3cret"})),
        (
            vec!["--customer-id", "7", "address.city=Bonn"],
            Given { input: Some("all.json"), arg: &[] },
            json!({"customer_id": 7, "title": "abc", "address": {"city": "Bonn"}}),
        ),
        (
            vec![],
            Given { input: Some("all.json"), arg: &[] },
            json!({"customer_id": "seven", "title": "abc", "address": {"city": "Berlin"}}),
        ),
        (vec![], Given { input: None, arg: &reason }, json!({"reason": "because"})),
    ] {
        assert_eq!(typed(&words, given), Ok(expected), "{words:?}");
    }
}

#[test]
fn what_is_wrong_is_told_all_at_once_with_advice() {
    let plain = Given::default();
    let secret = "a secret is not typed on a command line; give env:NAME, @FILE or @- for stdin";
    for (words, given, expected) in [
        (vec!["--customer-id", "07", "levels=x"], plain,
            "/customer_id --customer-id: `07` is not an integer: it starts with 0; write 7 | /levels levels=: `x` is not an integer".to_owned()),
        (vec!["titel=x"], plain, " titel=: there is no argument `titel`; did you mean `title`?".to_owned()),
        (vec!["title"], plain, " `title` is neither a flag nor KEY=VALUE; did you mean `--title`?".to_owned()),
        (vec!["--title", "a", "title=b"], plain, "/title title=: given twice".to_owned()),
        (vec!["title=@-", "zip=@-"], plain, "/zip zip=: cannot read `-`: stdin was read before".to_owned()),
        (vec!["title=@missing"], plain, "/title title=: cannot read `missing`: entity not found".to_owned()),
        (vec!["--api-key", "hunter2"], plain, format!("/apiKey --api-key: {secret}")),
        (vec!["apiKey=hunter2"], plain, format!("/apiKey apiKey=: {secret}")),
        (vec!["apiKey:=\"hunter2\""], plain, format!("/apiKey apiKey=: {secret}")),
        (vec!["customer_id:=9007199254740993"], plain,
            "/customer_id customer_id:=: the number `9007199254740993` cannot be held exactly; send it as a string (at byte 16)".to_owned()),
        (vec!["meta:={a}"], plain, "/meta meta:=: not JSON: expected a member name in quotes (at byte 1)".to_owned()),
        (vec!["address:=1", "address.city=x"], plain, "/address/city address.city=: a parent of it is not an object".to_owned()),
        (vec![], Given { input: Some("twice.json"), arg: &[] }, "`twice.json` is no arguments: the member `a` stands twice (at byte 11)".to_owned()),
        (vec![], Given { input: Some("list.json"), arg: &[] }, "`list.json` is not a JSON object".to_owned()),
    ] {
        assert_eq!(typed(&words, given), Err(expected), "{words:?}");
    }
}

#[test]
fn everything_missing_is_listed_with_a_command() {
    let tool = sample::tool();
    let arguments = Arguments::of(&tool.input_schema, &BTreeSet::new());
    let error = missing(&tool.name, "toolctl call create_ticket notify:=true", &arguments.missing(&Map::new()));
    assert_eq!(
        error.for_people(str::to_owned),
        "error[usage]: `create_ticket` needs 2 more arguments\n  /customer_id: missing --customer-id <INTEGER>: Whose \
         ticket it is.\n  /title: missing --title <TEXT>\n  try:  toolctl call create_ticket notify:=true --customer-id \
         <INTEGER> --title <TEXT>\n"
    );
}

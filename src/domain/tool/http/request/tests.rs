//! What arguments become of a request, and what they never become.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::domain::tool::http::{Json, KeyForm, KeyPlace, Pick, Reach, Reading, Retry};

fn text(text: &str) -> Text {
    Text::parse(text).expect("a template").0
}

fn field(name: &str, value: &str) -> Field {
    let (value, list) = Text::parse(value).expect("a template");
    Field { name: name.to_owned(), value, list, join: None, deep: false }
}

fn action(path: &str) -> HttpAction {
    HttpAction {
        method: Method::Post,
        origin: Origin::split("https://api.example.com/").expect("an origin").0,
        path: path.split('/').map(text).collect(),
        slashes: ["deep".to_owned()].into(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Body::None,
        auth: Vec::new(),
        idempotency: None,
        reading: Reading { statuses: BTreeMap::new(), form: Form::Json, output: Pick::Whole, error: None },
        retry: Retry::default(),
        reach: Reach::default(),
    }
}

fn target(action: &HttpAction, arguments: &Value) -> String {
    action.request(arguments, Secrets::Named).expect("a request").target
}

fn refused(action: &HttpAction, arguments: &Value) -> String {
    action.request(arguments, Secrets::Named).map(|request| request.target).expect_err("refused").to_string()
}

#[test]
fn a_value_never_leaves_its_place_in_the_address() {
    let action = HttpAction { query: vec![field("q", "{q}")], ..action("v1/users/{id}/notes") };
    assert_eq!(target(&action, &json!({"id": 7})), "/v1/users/7/notes");
    for hostile in ["a?admin=1", "a#b", "a&q=2", "a;b=c", "a@evil.example", "a:80", "%2e%2e", "a%2Fb", "a b", "å"] {
        let made = target(&action, &json!({"id": hostile, "q": hostile}));
        let (path, query) = made.split_once('?').expect("a query");
        assert_eq!(path.matches('/').count(), 4, "{made}");
        assert!(!query.contains(['&', '#', '/', '?', ' ', ';', '@']) && query.matches('=').count() == 1, "{made}");
        assert!(made.is_ascii(), "{made}");
    }
    for hostile in ["", ".", "..", "a/b", "../../admin", "..\\admin", "a\r\nX: y", "a\0"] {
        let why = refused(&action, &json!({"id": hostile}));
        assert!(why.starts_with("the argument `id` must not"), "{hostile:?}: {why}");
    }
    assert_eq!(refused(&action, &json!({})), "the argument `id` is missing");
}

#[test]
fn dots_cannot_be_put_together() {
    for (path, value) in [("a/.{x}", "."), ("a/{x}.", "."), ("a/%2e{x}", "."), ("a/{x}%2E", "."), ("a/{x}{x}", ".")] {
        assert!(refused(&action(path), &json!({"x": value})).contains("must not make `.` or `..`"), "{path}");
    }
    assert_eq!(target(&action("a/v{x}.json"), &json!({"x": "."})), "/a/v..json");
}

#[test]
fn slashes_stay_inside_where_they_are_declared() {
    let action = action("projects/{deep}/issues");
    assert_eq!(target(&action, &json!({"deep": "group/project"})), "/projects/group%2Fproject/issues");
    assert!(refused(&action, &json!({"deep": "group/../x"})).contains("between its slashes"));
}

#[test]
fn what_is_absent_is_left_out_and_lists_repeat() {
    let mut action = action("x");
    let joined = Field { join: Some(",".to_owned()), ..field("ids", "{tags...}") };
    action.query = vec![field("limit", "{limit}"), field("tag", "t:{tags...}"), joined, field("a[b]", "c d")];
    action.headers = vec![field("X-Trace", "{trace}")];
    let request = action.request(&json!({"limit": null, "tags": ["a&b", 2]}), Secrets::Named).expect("a request");
    assert_eq!(request.target, "/x?tag=t%3Aa%26b&tag=t%3A2&ids=a%26b%2C2&a%5Bb%5D=c%20d");
    assert!(!request.headers.iter().any(|(name, _)| name == "X-Trace"));
    let request = action.request(&json!({"limit": 5, "tags": [], "trace": "abc"}), Secrets::Named).expect("a request");
    assert_eq!(request.target, "/x?limit=5&a%5Bb%5D=c%20d");
    assert!(request.headers.contains(&("X-Trace".to_owned(), "abc".to_owned())));
    assert!(refused(&action, &json!({"trace": "a\r\nX-Admin: 1"})).contains("control character"));
}

#[test]
fn bodies_are_written_whole() {
    let mut action = action("x");
    let body = |action: &HttpAction, arguments: &Value| {
        let request = action.request(arguments, Secrets::Named).expect("a request");
        let kind = request.headers.iter().find(|(name, _)| name == "Content-Type").map(|(_, value)| value.clone());
        (request.body, kind.unwrap_or_default())
    };
    action.body = Body::Rest(["a".to_owned(), "b".to_owned()].into());
    let json = "application/json".to_owned();
    let arguments = json!({"b": [1], "a": {"x": null}, "id": 3});
    assert_eq!(body(&action, &arguments), (Some(r#"{"a":{"x":null},"b":[1]}"#.to_owned()), json.clone()));
    action.body = Body::Json(Json::Argument("body".to_owned()));
    assert_eq!(body(&action, &json!({"body": [1, 2]})), (Some("[1,2]".to_owned()), json));
    assert_eq!(body(&action, &json!({})), (None, String::new()));
    action.body = Body::Form(vec![field("a", "{a}"), field("b", "x y")]);
    let form = "application/x-www-form-urlencoded".to_owned();
    assert_eq!(body(&action, &json!({"a": "1&admin=true"})), (Some("a=1%26admin%3Dtrue&b=x%20y".to_owned()), form));
    action.body = Body::Text(text("hello {a}"));
    assert_eq!(body(&action, &json!({"a": "x"})).0.as_deref(), Some("hello x"));
    let long = json!({"a": "y".repeat(3 << 20)});
    assert_eq!(refused(&action, &long), "the body of the request would have more than 2097152 bytes");
}

#[test]
fn secrets_and_keys_are_named_to_people_and_told_to_the_wire() {
    let secret = |name: &str| format!("env:{name}").parse::<SecretRef>().expect("a reference");
    let mut action = action("services/{hook}");
    let bearer = |name: &str| Auth::Header {
        name: "Authorization".to_owned(),
        prefix: "Bearer ".to_owned(),
        secret: secret(name),
    };
    action.auth = vec![
        Auth::Path { name: "hook".to_owned(), secret: secret("HOOK") },
        bearer("TOKEN"),
        Auth::Query { name: "key".to_owned(), secret: secret("KEY") },
        Auth::Cookie { name: "s".to_owned(), secret: secret("S") },
    ];
    action.idempotency = Some(KeyPlace { place: KeyIn::Header("Idempotency-Key".to_owned()), form: KeyForm::Quoted });
    action.body = Body::Rest(BTreeSet::new());
    let named = action.request(&json!({}), Secrets::Named).expect("a request").lines();
    assert_eq!(
        named,
        [
            "POST https://api.example.com/services/‹secret:env:HOOK›?key=‹secret:env:KEY›",
            "Authorization: Bearer ‹secret:env:TOKEN›",
            "Cookie: s=‹secret:env:S›",
            "Idempotency-Key: ‹key of this call›",
            "Content-Type: application/json",
            "Accept: application/json",
            concat!("User-Agent: toolctl/", env!("CARGO_PKG_VERSION")),
            "{}",
        ]
    );
    let values = ["HOOK", "TOKEN", "KEY", "S"].map(|name| (secret(name), format!("T0/{name} &"))).into();
    let told = action.request(&json!({}), Secrets::Told { values: &values, key: "abc" }).expect("a request");
    assert_eq!(told.target, "/services/T0/HOOK%20%26?key=T0%2FKEY%20%26");
    let header = |name: &str| told.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    assert_eq!((header("Authorization"), header("Idempotency-Key")), (Some("Bearer T0/TOKEN &"), Some("\"abc\"")));

    action.auth = vec![Auth::Basic { user: User::Text("me".to_owned()), password: secret("KEY") }];
    action.path = vec![text("x")];
    action.idempotency = Some(KeyPlace { place: KeyIn::Member("request_id".to_owned()), form: KeyForm::Hex });
    let values = [(secret("KEY"), "pass word".to_owned())].into();
    let told = action.request(&json!({}), Secrets::Told { values: &values, key: "abc" }).expect("a request");
    assert!(told.headers.contains(&("Authorization".to_owned(), "Basic bWU6cGFzcyB3b3Jk".to_owned())));
    assert_eq!(told.body.as_deref(), Some(r#"{"request_id":"abc"}"#));
}

#[test]
fn every_part_of_a_definition_counts_in_its_digest() {
    let plain = serde_json::to_value(action("x")).expect("JSON");
    assert!(plain.is_object(), "{plain}");
    let mut others = vec![action("y"), action("x"), action("x"), action("x"), action("x"), action("x")];
    others[1].origin.port = 8443;
    others[2].body = Body::Json(Json::Fixed(json!({"a": 1.5})));
    others[3].reading.statuses.insert("5xx".parse().expect("a status"), crate::domain::tool::http::Meaning::NoEffect);
    others[4].reach.allow.push("10.0.0.0/8".parse().expect("a network"));
    others[5].retry.attempts = 2;
    for other in others {
        assert_ne!(serde_json::to_value(other).expect("JSON"), plain);
    }
}

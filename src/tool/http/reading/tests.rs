//! What a server can do, and what it means for each class of effects: a table a person can check against the promises.

use super::*;
use crate::domain::tool::command::Form;
use crate::domain::tool::http::{Body, Method, Reach, Retry};
use crate::domain::tool::{Action, Extras, Risk};

fn action(reading: Reading) -> HttpAction {
    HttpAction {
        method: Method::Post,
        origin: Origin::split("https://api.example.com").expect("an origin").0,
        path: Vec::new(),
        slashes: [].into(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Body::None,
        auth: Vec::new(),
        idempotency: None,
        reading,
        retry: Retry::default(),
        reach: Reach::default(),
    }
}

fn tool(effect: EffectClass, schema: Value) -> Tool {
    Tool {
        name: "pay".parse().expect("a name"),
        title: String::new(),
        description: String::new(),
        action: Action::Desk,
        effect,
        destructive: false,
        open_world: true,
        risk: Risk::Low,
        input_schema: json!({"type": "object"}),
        output_schema: schema,
        confirm_argument: None,
        idempotency_ignore: Vec::new(),
        example: None,
        timeout: Duration::from_secs(1),
        output_limit: 100,
        extras: Extras::default(),
    }
}

fn usual() -> Reading {
    Reading { statuses: BTreeMap::new(), form: Form::Json, output: Pick::Whole, error: None }
}

fn answered(status: u16, body: &str) -> Met {
    let body = Ok(body.as_bytes().to_vec());
    Met::Answered { status, body, encoding: None, location: None, retry_after: None }
}

fn cut(status: u16, cut: Cut) -> Met {
    Met::Answered { status, body: Err(cut), encoding: None, location: None, retry_after: None }
}

fn lost(kind: FailureKind) -> Met {
    Met::Lost { why: "it is gone".to_owned(), kind }
}

/// An ending in a word: what a caller learns, and what of the world.
fn word(ending: &Ending) -> String {
    match ending {
        Ending::InDoubt { .. } => "in doubt".to_owned(),
        Ending::Known(Outcome::Failed { kind, effect, .. }) => format!("{kind:?} {effect}"),
        Ending::Known(outcome) => format!("{} {}", outcome.word(), outcome.output().expect("an output").as_str()),
    }
}

/// How a met thing ends for readonly, idempotent, keyed and once tools, and whether another try may follow.
fn row(met: impl Fn() -> Met) -> ([String; 4], Again) {
    let classes = [EffectClass::ReadOnly, EffectClass::Idempotent, EffectClass::Keyed, EffectClass::Once];
    let schema = json!({"type": "object", "properties": {"id": {"type": "integer"}}});
    let read = classes.map(|effect| {
        let (tool, action) = (tool(effect, schema.clone()), action(usual()));
        Reader::of(&tool, &action, &BTreeMap::new()).read(met())
    });
    let again = read[0].again;
    (read.map(|read| word(&read.ending)), again)
}

/// What came back, what it means for each class, and whether it may be asked again.
type Row<'a> = (&'a str, &'a dyn Fn() -> Met, [&'a str; 4], Again);

#[test]
fn every_way_a_server_can_answer_means_something_for_each_class() {
    let unsent = || Met::Unsent { why: "nobody listens".to_owned(), kind: FailureKind::Failed, again: true };
    let nothing = ["Failed none"; 4];
    let unknown = ["Failed none", "Failed unknown", "in doubt", "in doubt"];
    let invalid = ["OutputInvalid none", "OutputInvalid done", "OutputInvalid done", "OutputInvalid done"];
    let slow = ["Timeout none", "Timeout unknown", "in doubt", "in doubt"];
    let flooded = ["OutputInvalid none", "OutputInvalid unknown", "in doubt", "in doubt"];
    let longer = || cut(200, Cut::Unread(Unread::Longer { length: 1_000, most: 100 }));
    let endless = || cut(200, Cut::Unread(Unread::Endless { most: 100 }));
    let broken = || cut(201, Cut::Unread(Unread::Cut("reset".to_owned())));
    let encoded = || match answered(200, "x") {
        Met::Answered { status, body, location, retry_after, .. } => {
            Met::Answered { status, body, encoding: Some("gzip".to_owned()), location, retry_after }
        }
        other => other,
    };
    let rows: [Row<'_>; 24] = [
        ("done", &|| answered(200, "{\"id\":7}"), ["succeeded {\"id\":7}"; 4], Again::Never),
        ("done, empty", &|| answered(204, ""), ["succeeded {}"; 4], Again::Never),
        ("done, a list", &|| answered(200, "[1]"), ["succeeded {\"result\":[1]}"; 4], Again::Never),
        ("nothing was sent", &unsent, nothing, Again::Harmless),
        ("lost", &|| lost(FailureKind::Failed), unknown, Again::IfRepeatable),
        ("too slow", &|| lost(FailureKind::Timeout), slow, Again::Never),
        ("refused", &|| answered(422, "{}"), nothing, Again::Never),
        ("conflict", &|| answered(409, ""), nothing, Again::Never),
        ("not there", &|| answered(404, ""), ["NotFound none"; 4], Again::Never),
        ("not now", &|| answered(429, ""), nothing, Again::Harmless),
        ("a gateway's 408", &|| answered(408, ""), unknown, Again::IfRepeatable),
        ("a server's failure", &|| answered(500, ""), unknown, Again::Never),
        ("a gateway's failure", &|| answered(502, ""), unknown, Again::IfRepeatable),
        ("unavailable", &|| answered(503, ""), unknown, Again::IfRepeatable),
        ("elsewhere, and perhaps done", &|| answered(303, ""), unknown, Again::Never),
        ("elsewhere, and not done", &|| answered(308, ""), nothing, Again::Never),
        ("no JSON", &|| answered(200, "<html>"), invalid, Again::Never),
        ("no UTF-8", &|| cut_bytes(b"{\"id\":\"\xff\"}"), invalid, Again::Never),
        ("not as declared", &|| answered(200, "{\"id\":\"x\"}"), invalid, Again::Never),
        ("encoded", &encoded, invalid, Again::Never),
        ("longer than may be", &longer, invalid, Again::Never),
        ("endless", &endless, flooded, Again::Never),
        ("cut off", &broken, unknown, Again::IfRepeatable),
        ("slow to its end", &|| cut(200, Cut::TooSlow), slow, Again::Never),
    ];
    for (what, met, expected, again) in rows {
        let (told, tried) = row(met);
        assert_eq!((told, tried), (expected.map(ToOwned::to_owned), again), "{what}");
    }
}

fn cut_bytes(bytes: &[u8]) -> Met {
    Met::Answered { status: 200, body: Ok(bytes.to_vec()), encoding: None, location: None, retry_after: None }
}

fn message(reading: Reading, met: Met, secrets: &BTreeMap<SecretRef, String>) -> (String, String) {
    let (tool, action) = (tool(EffectClass::ReadOnly, json!({})), action(reading));
    match Reader::of(&tool, &action, secrets).read(met).ending {
        Ending::Known(Outcome::Failed { message, output, .. }) => {
            (message, output.map(|output| output.as_str().to_owned()).unwrap_or_default())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failing_answer_says_why_in_its_own_words() {
    let told = |reading, body: &str| message(reading, answered(422, body), &BTreeMap::new()).0;
    let nothing = "`pay` was answered 422 Unprocessable Entity, which means that nothing happened";
    assert_eq!(told(usual(), "<html>"), nothing);
    assert_eq!(told(usual(), r#"{"detail":"too\nmuch","title":"x"}"#), format!("{nothing}: too much"));
    assert_eq!(told(usual(), r#"{"error":{"message":"no card"}}"#), format!("{nothing}: no card"));
    let declared = Reading { error: Some("/e/0".to_owned()), ..usual() };
    assert_eq!(told(declared.clone(), r#"{"e":["here"],"detail":"not here"}"#), format!("{nothing}: here"));
    assert_eq!(told(declared, r#"{"detail":"not here"}"#), nothing);
    let output = message(usual(), answered(422, r#"{"detail":"x"}"#), &BTreeMap::new()).1;
    assert_eq!(output, r#"{"body":{"detail":"x"},"status":422}"#);
}

#[test]
fn where_a_redirect_leads_is_named_by_its_host() {
    let told = |location: &str| {
        let location = Some(location.to_owned());
        let met = Met::Answered { status: 302, body: Ok(Vec::new()), encoding: None, location, retry_after: None };
        message(usual(), met, &BTreeMap::new()).0
    };
    assert_eq!(
        told("http://169.254.169.254/latest/meta-data"),
        "`pay` was answered 302 Found; it would lead to http://169.254.169.254, and redirects are not followed"
    );
    assert_eq!(told("/elsewhere"), "`pay` was answered 302 Found; redirects are not followed");
}

#[test]
fn a_server_that_says_a_secret_back_is_not_quoted() {
    let secrets = [("env:TOKEN".parse().expect("a reference"), "s3cr3t-value".to_owned())].into();
    let body = r#"{"detail":"the key s3cr3t-value is wrong"}"#;
    let (message, output) = message(usual(), answered(401, body), &secrets);
    assert!(message.ends_with(": the key ‹secret:env:TOKEN› is wrong"), "{message}");
    assert!(!output.contains("s3cr3t"), "{output}");
    let (tool, action) = (tool(EffectClass::Once, json!({})), action(usual()));
    let read = Reader::of(&tool, &action, &secrets).read(answered(200, r#"{"echo":"s3cr3t-value"}"#));
    assert_eq!(word(&read.ending), "succeeded {\"echo\":\"‹secret:env:TOKEN›\"}");
}

#[test]
fn the_output_is_what_pointers_lead_to() {
    let output = |output: Pick| {
        let (tool, action) = (tool(EffectClass::Once, json!({})), action(Reading { output, ..usual() }));
        let met = answered(200, r#"{"data":{"id":7},"meta":{"total":2},"list":[1,2]}"#);
        word(&Reader::of(&tool, &action, &BTreeMap::new()).read(met).ending)
    };
    assert_eq!(output(Pick::One("/data".to_owned())), "succeeded {\"id\":7}");
    assert_eq!(output(Pick::One("/list".to_owned())), "succeeded {\"result\":[1,2]}");
    assert_eq!(output(Pick::One("/nothing".to_owned())), "OutputInvalid done");
    let members = [("id", "/data/id"), ("total", "/meta/total"), ("none", "/x")];
    let members = members.map(|(name, pointer)| (name.to_owned(), pointer.to_owned())).into();
    assert_eq!(output(Pick::Members(members)), "succeeded {\"id\":7,\"total\":2}");
}

#[test]
fn a_server_may_ask_to_be_left_alone() {
    let date = "Thu, 26 Nov 2026 10:00:00 GMT";
    assert_eq!(wait("7", None), Some(Duration::from_secs(7)));
    assert_eq!(wait("Thu, 26 Nov 2026 10:01:30 GMT", Some(date)), Some(Duration::from_secs(90)));
    assert_eq!(wait("Thu, 26 Nov 2026 09:00:00 GMT", Some(date)), None);
    for odd in ["-1", "soon", "", "1e9"] {
        assert_eq!(wait(odd, Some(date)), None, "{odd}");
    }
}

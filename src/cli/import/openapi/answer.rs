//! What an operation answers (3.1.1 section 4.8.16), as far as a tool needs to know: whether it is JSON and, where it
//! is asked for, what it looks like.
//!
//! An answer that does not fit the schema of its tool fails the call, and documents are wrong about answers more often
//! than about anything else. So no tool gets such a schema unless the operator asks, and a tool that acts gets none even
//! then: it must not be called a failure after it has acted because its document was wrong.

use serde_json::{Map, Value, json};

use super::document::Document;
use super::problem::Stop;
use super::schema::{Converter, Detail, Way};

/// Bytes of a described answer at most.
const ROOM: usize = 16 << 10;

/// What an operation answers.
#[derive(Debug, Default)]
pub struct Answer {
    /// Whether it is JSON.
    pub json: bool,
    /// The type to ask for, where JSON or anything is not what there is.
    pub accept: Option<String>,
    /// What it looks like; always an object.
    pub schema: Option<Value>,
}

/// Reads what an operation answers when it succeeds.
///
/// # Errors
/// When a schema that is asked for refers to another document.
pub fn read(document: &Document, operation: &Value, method: &str, describe: bool) -> Result<Answer, Stop> {
    let Some(content) = content(document, operation).filter(|_| method != "HEAD") else { return Ok(Answer::default()) };
    let mut kinds: Vec<(&String, &Value)> = content.iter().collect();
    kinds.sort_by_key(|(kind, media)| rank(kind, media));
    let Some((kind, media)) = kinds.first().copied() else { return Ok(Answer::default()) };
    let json = rank(kind, media) < TEXT;
    let asks_by_itself = plain(kind) == "application/json" || kind.contains('*') || !json && content.len() == 1;
    let accept = Some(kind.clone()).filter(|_| !asks_by_itself);
    let schema = match media.get("schema").filter(|_| json && describe) {
        Some(schema) => described(document, schema)?,
        None => None,
    };
    Ok(Answer { json, accept, schema })
}

/// The content of the first answer that means success and has some.
fn content<'a>(document: &'a Document, operation: &'a Value) -> Option<&'a Map<String, Value>> {
    let all = operation.get("responses").and_then(Value::as_object)?;
    let mut good: Vec<&String> = all.keys().filter(|status| status.starts_with('2')).collect();
    good.sort();
    if good.is_empty() {
        good.extend(all.keys().filter(|status| *status == "default"));
    }
    let content = |status: &String| document.follow(all.get(status)?).ok()?.get("content")?.as_object();
    good.into_iter().filter_map(content).find(|content| !content.is_empty())
}

/// Ranks of kinds: below this JSON, from here on text.
const TEXT: u8 = 3;

fn rank(kind: &str, media: &Value) -> u8 {
    match plain(kind).as_str() {
        "application/json" => 0,
        plain if plain.ends_with("+json") && !plain.contains("problem") => 1,
        // Whoever describes members means JSON.
        "*/*" | "application/*"
            if media.get("schema").is_some_and(|schema| schema.get("type") != Some(&json!("string"))) =>
        {
            2
        }
        plain if plain.starts_with("text/") => TEXT,
        _ => TEXT + 1,
    }
}

fn plain(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The schema of a tool's output: what is no object is the member `result` of one. None when it says nothing.
fn described(document: &Document, schema: &Value) -> Result<Option<Value>, Stop> {
    let mut converter = Converter::new(document, Detail::Terse, Way::Answered);
    let told = match converter.schema(schema) {
        Ok(told) => told,
        Err(stop @ Stop::Elsewhere(_)) => return Err(stop),
        Err(Stop::Skip(_) | Stop::NoServer(_)) => return Ok(None),
    };
    let size = told.to_string().len();
    let (definitions, _) = converter.definitions(ROOM.saturating_sub(size))?;
    let target = told.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix("#/$defs/"));
    let kind = target.and_then(|target| definitions.get(target)).unwrap_or(&told).get("type").and_then(Value::as_str);
    let is_object = kind == Some("object");
    let mut out = match told {
        told if size > ROOM || told == json!({}) || told == json!(true) => return Ok(None),
        Value::Object(told) if is_object => told,
        told => {
            Map::from_iter([("type".to_owned(), json!("object")), ("properties".to_owned(), json!({"result": told}))])
        }
    };
    out.insert("type".to_owned(), json!("object"));
    if !definitions.is_empty() {
        out.insert("$defs".to_owned(), Value::Object(definitions));
    }
    Ok(Some(Value::Object(out)))
}

#[cfg(test)]
mod tests {
    use super::super::document::Dialect;
    use super::*;

    fn answer(responses: Value, describe: bool) -> Answer {
        let pet = json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "of": {"$ref": "#/pet"}}});
        let document = Document { root: json!({"pet": pet}), dialect: Dialect::Own };
        read(&document, &json!({"responses": responses}), "GET", describe).expect("an answer")
    }

    #[test]
    fn json_is_taken_where_there_is_some_and_asked_for_where_it_has_another_name() {
        let of = |kinds: &[&str]| {
            let content: Map<String, Value> = kinds.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
            let answer = answer(json!({"404": {}, "200": {"content": content}}), false);
            (answer.json, answer.accept)
        };
        for (kinds, json, accept) in [
            (&["application/xml", "application/json; charset=utf-8"][..], true, None),
            (&["application/vnd.api+json"], true, Some("application/vnd.api+json")),
            (&["application/pdf"], false, None),
            (&["image/png", "text/csv"], false, Some("text/csv")),
            (&["*/*"], false, None),
            (&[], false, None),
        ] {
            assert_eq!(of(kinds), (json, accept.map(ToOwned::to_owned)), "{kinds:?}");
        }
        let any = answer(json!({"200": {"content": {"*/*": {"schema": {"$ref": "#/pet"}}}}}), false);
        assert_eq!((any.json, any.accept), (true, None));
        let second = answer(json!({"202": {}, "201": {"content": {"application/json": {}}}}), false);
        assert!(second.json);
        let only_default = answer(json!({"default": {"content": {"application/json": {}}}}), false);
        assert!(only_default.json);
    }

    #[test]
    fn a_described_answer_is_an_object_of_which_nothing_must_be_there() {
        let of =
            |schema: Value| answer(json!({"200": {"content": {"application/json": {"schema": schema}}}}), true).schema;
        assert_eq!(
            of(json!({"$ref": "#/pet"})),
            Some(json!({
                "type": "object", "$ref": "#/$defs/pet",
                "$defs": {"pet": {"type": "object", "properties": {"id": {"type": "integer"}, "of": {"$ref": "#/$defs/pet"}}}},
            }))
        );
        assert_eq!(
            of(json!({"type": "array", "items": {"type": "string"}})),
            Some(json!({"type": "object", "properties": {"result": {"type": "array", "items": {"type": "string"}}}}))
        );
        assert_eq!(of(json!({})), None);
        assert_eq!(of(json!({"$ref": "#/gone"})), None);
    }
}

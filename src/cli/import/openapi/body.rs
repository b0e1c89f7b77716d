//! The body of a request (3.1.1 section 4.8.13) as arguments. The members of an object become one argument each, as
//! flags and policies speak of arguments; whatever else a body is becomes the one argument `body`.

use serde_json::{Value, json};

use super::flat::{self, Form, Sink};
use super::parameter::Arguments;
use super::problem::{Skip, Stop};
use super::schema::{Converter, Members};
use super::words::{self, described};

/// What a request carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    #[default]
    None,
    /// A JSON object: its members, and their arguments.
    Members(Vec<(String, String)>),
    /// The value of one argument as JSON.
    Json(String),
    /// A form.
    Form(Vec<(String, Sink)>),
    /// The value of one argument as text.
    Text(String),
}

/// A body, and what has to be said about it.
#[derive(Debug, Default)]
pub struct Carried {
    /// What is carried.
    pub body: Body,
    /// The `Content-Type`, where the body does not say it by itself.
    pub kind: Option<String>,
    /// What has to be told of the tool, such as `leaves out …`.
    pub notes: Vec<String>,
}

/// Reads the body of an operation and adds its arguments.
///
/// # Errors
/// When a body that must be sent cannot be.
pub fn read<'a>(
    operation: &'a Value,
    reads_only: bool,
    converter: &mut Converter<'a>,
    arguments: &mut Arguments,
) -> Result<Carried, Stop> {
    let Some(written) = operation.get("requestBody") else { return Ok(Carried::default()) };
    let written = converter.document.follow(written)?;
    let required = written.get("required") == Some(&Value::Bool(true));
    let nothing = |why: String| match required {
        true => Err(Skip::Body(format!("its body {why}")).into()),
        false => Ok(Carried { notes: vec![format!("leaves out its body, as it {why}")], ..Carried::default() }),
    };
    let content: Vec<(&String, &Value)> =
        written.get("content").and_then(Value::as_object).into_iter().flatten().collect();
    if !required && content.iter().all(|(_, media)| media.get("schema").is_none_or(says_nothing)) {
        return Ok(Carried::default());
    }
    if reads_only {
        return nothing("goes with a method that has none".to_owned());
    }
    let best = content
        .iter()
        .filter_map(|(kind, media)| Some((Kind::of(kind)?, *kind, *media)))
        .min_by_key(|(rank, _, _)| *rank);
    let Some((rank, kind, media)) = best else {
        let kinds: Vec<&str> = content.iter().map(|(kind, _)| kind.as_str()).collect();
        return nothing(match kinds.as_slice() {
            [] => "is not described".to_owned(),
            kinds => format!("is {}", kinds.join(" or ")),
        });
    };
    let schema = media.get("schema");
    let mut carried = Carried::default();
    if !matches!(rank, Kind::Json | Kind::Anything | Kind::Form | Kind::Text) {
        carried.kind = Some(kind.clone());
    }
    let about = written.get("description").and_then(Value::as_str).unwrap_or_default();
    carried.body = match rank {
        Kind::Json | Kind::Anything | Kind::MergePatch | Kind::OtherJson => {
            json(schema, about, required, converter, arguments)?
        }
        Kind::Form => match form(schema, media.get("encoding"), converter, arguments, &mut carried.notes)? {
            Some(fields) => Body::Form(fields),
            None => return nothing("is a form without members".to_owned()),
        },
        Kind::Text | Kind::OtherText => {
            let text = described(about, None, words::ARGUMENT);
            let text = if text.is_empty() { "The text that is sent.".to_owned() } else { text };
            Body::Text(arguments.add("body", "body", json!({"type": "string", "description": text}), required))
        }
    };
    Ok(carried)
}

/// Whether a body that need not be sent is described as an object without members: generators write that for nothing.
fn says_nothing(schema: &Value) -> bool {
    let is_empty = |word: &str| schema.get(word).and_then(Value::as_object).is_none_or(serde_json::Map::is_empty);
    schema.get("type").and_then(Value::as_str) == Some("object")
        && is_empty("properties")
        && !["allOf", "anyOf", "oneOf"].iter().any(|word| schema.get(*word).is_some())
        && schema.get("properties").is_some()
}

/// Kinds of bodies that tools have, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Json,
    Anything,
    MergePatch,
    OtherJson,
    Form,
    Text,
    OtherText,
}

impl Kind {
    fn of(kind: &str) -> Option<Self> {
        let plain = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match plain.as_str() {
            "application/json" => Some(Self::Json),
            "*/*" | "application/*" => Some(Self::Anything),
            "application/merge-patch+json" => Some(Self::MergePatch),
            "application/x-www-form-urlencoded" => Some(Self::Form),
            "text/plain" => Some(Self::Text),
            "text/xml" => None,
            plain if plain.ends_with("+json") => Some(Self::OtherJson),
            plain if plain.starts_with("text/") => Some(Self::OtherText),
            _ => None,
        }
    }
}

/// A body of JSON. What an object says must be there must be given even when the body need not be: few documents say
/// that a body is required, and all of them mean it.
fn json<'a>(
    schema: Option<&'a Value>,
    about: &str,
    required: bool,
    converter: &mut Converter<'a>,
    arguments: &mut Arguments,
) -> Result<Body, Stop> {
    let members = schema.map(|schema| Members::of(converter.document, schema)).transpose()?.flatten();
    if let Some(members) = members {
        let mut placed = Vec::new();
        for (name, property) in &members.properties {
            if converter.goes_the_other_way(property) {
                continue;
            }
            let told = argument(converter, property)?;
            placed.push(((*name).to_owned(), arguments.add(name, "body", told, members.required.contains(name))));
        }
        return Ok(Body::Members(placed));
    }
    let mut told = match schema {
        Some(schema) => argument(converter, schema)?,
        None => json!({}),
    };
    if let (Value::Object(told), false) = (&mut told, about.is_empty()) {
        told.entry("description").or_insert_with(|| described(about, None, words::ARGUMENT).into());
    }
    Ok(Body::Json(arguments.add("body", "body", told, required)))
}

/// The schema of an argument, with more of its description than inside one.
fn argument<'a>(converter: &mut Converter<'a>, schema: &'a Value) -> Result<Value, Stop> {
    let mut told = converter.schema(schema)?;
    let resolved = converter.document.follow(schema)?;
    let own = [schema, resolved].into_iter().find_map(|level| level.get("description")?.as_str());
    let text = described(own.unwrap_or_default(), resolved.get("default"), words::ARGUMENT);
    if let Value::Bool(true) = told {
        told = json!({});
    }
    if let (Value::Object(told), false) = (&mut told, text.is_empty()) {
        told.insert("description".to_owned(), text.into());
    }
    Ok(told)
}

/// The fields of a form; none when it has no members.
fn form<'a>(
    schema: Option<&'a Value>,
    encoding: Option<&Value>,
    converter: &mut Converter<'a>,
    arguments: &mut Arguments,
    notes: &mut Vec<String>,
) -> Result<Option<Vec<(String, Sink)>>, Stop> {
    let Some(schema) = schema else { return Ok(None) };
    let Some(members) = Members::of(converter.document, schema)? else { return Ok(None) };
    let mut fields = Vec::new();
    for (name, property) in &members.properties {
        if converter.goes_the_other_way(property) {
            continue;
        }
        let required = members.required.contains(name);
        let said = encoding.and_then(|encoding| encoding.get(*name));
        let style = said.and_then(|said| said.get("style")).and_then(Value::as_str).unwrap_or("form");
        let explode = said.and_then(|said| said.get("explode")).and_then(Value::as_bool).unwrap_or(style == "form");
        let form = flat::form(converter.document, property, style)?;
        if form == Form::Object && style != "deepObject" {
            let why = format!("`{name}` of its form is an object");
            if required {
                return Err(Skip::Body(why).into());
            }
            notes.push(format!("leaves out a member, as {why}"));
            continue;
        }
        let mut told = match form {
            Form::One => flat::one(converter.document, property)?,
            Form::List => flat::list(converter.document, property)?,
            Form::Object => argument(converter, property)?,
        };
        let resolved = converter.document.follow(property)?;
        let own = [property, resolved].into_iter().find_map(|level| level.get("description")?.as_str());
        let text = described(own.unwrap_or_default(), resolved.get("default"), words::ARGUMENT);
        if let (Value::Object(told), false) = (&mut told, text.is_empty()) {
            told.insert("description".to_owned(), text.into());
        }
        let argument = arguments.add(name, "body", told, required);
        fields.push(flat::sink(name, argument, form, style, explode));
    }
    Ok(Some(fields))
}

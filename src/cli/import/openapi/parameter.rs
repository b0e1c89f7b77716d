//! Parameters of an operation (3.1.1 section 4.8.12) as arguments of a tool, and where each goes. One that cannot be
//! sent as the document wants it is left out and told; if it must be given, the operation has no tool.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::document::Document;
use super::flat::{self, Form, Sink};
use super::naming;
use super::problem::{Skip, Stop};
use super::schema::Converter;
use super::security::Auth;
use super::words::{self, described};

/// Headers that are not parameters (3.1.1 section 4.8.12.1), and those that belong to the connection.
const NOT_HEADERS: &[&str] = &[
    "accept",
    "content-type",
    "authorization",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
];

/// One argument of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// JSON Schema.
    pub schema: Value,
    /// It must be given.
    pub required: bool,
}

impl Argument {
    /// Bytes of it as JSON.
    pub fn size(&self) -> usize {
        self.name.len() + self.schema.to_string().len()
    }
}

/// The arguments of a tool, each with a name of its own.
#[derive(Debug, Default)]
pub struct Arguments {
    /// In the order in which they were added.
    pub list: Vec<Argument>,
    taken: BTreeSet<String>,
}

impl Arguments {
    /// Adds one and says how it is named.
    pub fn add(&mut self, wanted: &str, place: &str, schema: Value, required: bool) -> String {
        let name = naming::argument(wanted, place, &self.taken);
        self.taken.insert(name.clone());
        self.list.push(Argument { name: name.clone(), schema, required });
        name
    }
}

/// Where the parameters of an operation go.
#[derive(Debug, Default)]
pub struct Places {
    /// Names in the path, and their arguments.
    pub path: BTreeMap<String, String>,
    /// Arguments of the path that may have a `/` in them.
    pub slashes: BTreeSet<String>,
    /// The query, in order.
    pub query: Vec<(String, Sink)>,
    /// Headers, and their arguments.
    pub headers: Vec<(String, String)>,
    /// What has to be told of the tool, such as `leaves out …`.
    pub notes: Vec<String>,
}

/// The parameters of an operation: its own, and those of its path that it does not replace.
///
/// # Errors
/// When a reference leaves the document, leads nowhere or back to itself.
pub fn all<'a>(document: &'a Document, item: &'a Value, operation: &'a Value) -> Result<Vec<&'a Value>, Stop> {
    let key = |parameter: &'a Value| (parameter.get("in"), parameter.get("name"));
    let mut all: Vec<&Value> = Vec::new();
    for level in [item, operation] {
        for parameter in level.get("parameters").and_then(Value::as_array).into_iter().flatten() {
            let parameter = document.follow(parameter)?;
            match all.iter_mut().find(|known| key(known) == key(parameter)) {
                Some(known) => *known = parameter,
                None => all.push(parameter),
            }
        }
    }
    Ok(all)
}

/// Adds the parameters to the arguments, and says where they go. What `auth` sends itself is none of them.
///
/// # Errors
/// When one that must be given cannot be.
pub fn place<'a>(
    parameters: &[&'a Value],
    auth: &[Auth],
    converter: &mut Converter<'a>,
    arguments: &mut Arguments,
) -> Result<Places, Stop> {
    let mut places = Places::default();
    for parameter in parameters {
        let text = |word: &str| parameter.get(word).and_then(Value::as_str).unwrap_or_default();
        let (name, place) = (text("name"), text("in"));
        if auth.iter().any(|auth| auth.sends(place, name))
            || place == "header" && !is_header(name)
            || places.has(place, name)
        {
            continue;
        }
        let required = place == "path" || parameter.get("required") == Some(&Value::Bool(true));
        match read(parameter, place, converter)? {
            Read::As(schema, form) => {
                let argument = arguments.add(name, place, schema, required);
                places.put(parameter, name, place, argument, form);
            }
            Read::Not(why) if required => return Err(Skip::Parameter(format!("its parameter `{name}` {why}")).into()),
            Read::Not(why) => places.notes.push(format!("leaves out the parameter `{name}`, as it {why}")),
        }
    }
    Ok(places)
}

/// Whether a header is a parameter of an operation at all.
fn is_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !NOT_HEADERS.contains(&name.as_str()) && !name.starts_with("proxy-")
}

impl Places {
    /// Whether something of this name goes there already; names of headers are the same in any case.
    fn has(&self, place: &str, name: &str) -> bool {
        place == "header" && self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn put(&mut self, parameter: &Value, name: &str, place: &str, argument: String, form: Form) {
        match place {
            "path" => {
                let says = |word: &str| parameter.get(word) == Some(&Value::Bool(true));
                if says("allowReserved") || says("x-multi-segment") {
                    self.slashes.insert(argument.clone());
                }
                self.path.insert(name.to_owned(), argument);
            }
            "header" => self.headers.push((name.to_owned(), argument)),
            _ => {
                let style = parameter.get("style").and_then(Value::as_str).unwrap_or("form");
                let explode = parameter.get("explode").and_then(Value::as_bool).unwrap_or(style == "form");
                let (name, sink) = flat::sink(name, argument, form, style, explode);
                self.query.push((name, sink));
            }
        }
    }
}

/// What becomes of a parameter.
enum Read {
    /// An argument with this schema, sent like this.
    As(Value, Form),
    /// Nothing, and why.
    Not(String),
}

fn read<'a>(parameter: &'a Value, place: &str, converter: &mut Converter<'a>) -> Result<Read, Stop> {
    let text = |word: &str| parameter.get(word).and_then(Value::as_str).unwrap_or_default();
    let style = text("style");
    match (place, style) {
        ("path", "" | "simple") | ("header", "" | "simple") => {}
        ("query", "" | "form" | "spaceDelimited" | "pipeDelimited" | "deepObject") => {}
        ("cookie", _) => return Ok(Read::Not("goes into a cookie".to_owned())),
        ("path" | "header" | "query", style) => return Ok(Read::Not(format!("has the style `{style}`"))),
        (other, _) => return Ok(Read::Not(format!("goes into `{other}`"))),
    }
    if text("name").is_empty() || place == "header" && !naming::is_token(text("name")) {
        return Ok(Read::Not("has no name that can be sent".to_owned()));
    }
    let unsaid = json!({});
    let written = parameter.get("schema").unwrap_or(&unsaid);
    let resolved = converter.document.follow(written)?;
    let own = Some(text("description")).filter(|text| !text.is_empty());
    let own = own.or_else(|| resolved.get("description")?.as_str()).unwrap_or_default();
    let own = described(own, resolved.get("default"), words::ARGUMENT);
    // What goes somewhere as one text, whatever it means there.
    let as_text = |how: &str| {
        let description = format!("{own} {how}").trim().to_owned();
        Ok(Read::As(json!({"type": "string", "description": description}), Form::One))
    };
    if let Some(content) = parameter.get("content").and_then(Value::as_object) {
        let kind = content.keys().next().map_or("application/json", String::as_str);
        return as_text(&format!("As text of the type {kind}."));
    }
    let form = flat::form(converter.document, written, style)?;
    let mut schema = match (form, parameter.get("schema")) {
        (Form::List, _) if place != "query" => return as_text("Several are separated by commas."),
        (Form::Object, _) if place != "query" || style != "deepObject" => {
            return Ok(Read::Not("is an object".to_owned()));
        }
        (Form::One, _) => flat::one(converter.document, resolved)?,
        (Form::List, _) => flat::list(converter.document, resolved)?,
        (Form::Object, Some(schema)) => converter.schema(schema)?,
        (Form::Object, None) => json!({"type": "object"}),
    };
    if let Value::Object(schema) = &mut schema {
        schema.remove("description");
        if !own.is_empty() {
            schema.insert("description".to_owned(), own.into());
        }
    }
    Ok(Read::As(schema, form))
}

//! One operation as a tool, before it is written down: every part of it is read by its own file, and put together here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::body::{self, Body, Carried};
use super::document::Document;
use super::flat::Sink;
use super::naming::Of;
use super::parameter::{self, Argument, Arguments, Places};
use super::problem::{Skip, Stop};
use super::schema::{Converter, Detail, Way};
use super::security::{Auth, Secret, Security};
use super::{answer, server, words};

/// Bytes of one tool's arguments as JSON Schema: some four thousand words of a model. What is longer is told without the
/// descriptions inside arguments, and what is still longer without what is deepest.
const MOST_SCHEMA: usize = 16 << 10;
/// Bytes of arguments whose schemas cannot be shortened.
const MOST_ARGUMENTS: usize = 128 << 10;
/// Tags of a tool at most, and characters of one.
const MOST_TAGS: usize = 8;
const LONGEST_TAG: usize = 64;

/// An operation of the document.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    /// What it is named after.
    pub of: Of<'a>,
    /// The path it is under.
    pub item: &'a Value,
    /// What is said of it.
    pub value: &'a Value,
}

/// What is the same for every operation.
#[derive(Debug)]
pub struct Common<'a> {
    /// The document.
    pub document: &'a Document,
    /// Where it was fetched from.
    pub fetched: Option<&'a str>,
    /// The server that the operator gave.
    pub server: Option<String>,
    /// How calls show who makes them.
    pub security: Security<'a>,
    /// A tag of every tool.
    pub tag: &'a str,
    /// Whether answers are described, of tools that only read.
    pub answers: bool,
}

/// A tool.
#[derive(Debug)]
pub struct Draft {
    /// Its name.
    pub name: String,
    /// The method.
    pub method: &'static str,
    /// `GET /pets/{id}`, as the document has it.
    pub place: String,
    /// A short title, or nothing.
    pub title: String,
    /// What it does.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Whether it only reads.
    pub reads: bool,
    /// Where it goes.
    pub url: String,
    /// Arguments of the path that may have a `/` in them.
    pub slashes: Vec<String>,
    /// What it takes.
    pub arguments: Vec<Argument>,
    /// What its arguments refer to.
    pub definitions: Map<String, Value>,
    /// The query, in order.
    pub query: Vec<(String, Sink)>,
    /// Headers: text of the document's, or an argument.
    pub headers: Vec<(String, Sink)>,
    /// What it carries.
    pub body: Body,
    /// How it shows who calls.
    pub auth: Vec<Auth>,
    /// The secrets that takes.
    pub secrets: Vec<Secret>,
    /// Whether the answer is JSON.
    pub json: bool,
    /// What the answer looks like.
    pub output: Option<Value>,
    /// What has to be told of it, such as `leaves out …`.
    pub notes: Vec<String>,
}

/// Makes a tool of an operation.
///
/// # Errors
/// Why it cannot be one.
pub fn draft<'a>(common: &Common<'a>, operation: &Operation<'a>, name: &str) -> Result<Draft, Stop> {
    let full = with(common, operation, name, Detail::Full, MOST_SCHEMA)?;
    if full.size() <= MOST_SCHEMA {
        return Ok(full);
    }
    let terse = with(common, operation, name, Detail::Terse, MOST_SCHEMA)?;
    if terse.arguments.iter().map(Argument::size).sum::<usize>() > MOST_ARGUMENTS {
        return Err(Skip::TooLarge.into());
    }
    Ok(terse)
}

fn with<'a>(
    common: &Common<'a>,
    operation: &Operation<'a>,
    name: &str,
    detail: Detail,
    room: usize,
) -> Result<Draft, Stop> {
    let Operation { of, item, value } = *operation;
    let method = method(of.method).ok_or(Skip::Method)?;
    let reads = matches!(method, "GET" | "HEAD");
    let (auth, secrets) = common.security.of(value)?;
    let parameters = parameter::all(common.document, item, value)?;
    let mut converter = Converter::new(common.document, detail, Way::Sent);
    let mut arguments = Arguments::default();
    let places = parameter::place(&parameters, &auth, &mut converter, &mut arguments)?;
    let Places { path, slashes, mut query, headers, mut notes } = places;
    let Carried { body, kind, notes: of_body } = body::read(value, reads, &mut converter, &mut arguments)?;
    notes.extend(of_body);
    let base = match &common.server {
        Some(server) => server.clone(),
        None => server::base(
            [value.get("servers"), item.get("servers"), common.document.root.get("servers")],
            common.fetched,
        )?,
    };
    let mut url = Url { text: base, path, slashes, undeclared: Vec::new() };
    let fixed = url.extend(of.path, &mut arguments)?;
    query.splice(
        0..0,
        fixed.into_iter().filter(|(name, _)| !query.iter().any(|(known, _)| known == name)).collect::<Vec<_>>(),
    );
    notes.extend(
        url.undeclared.iter().map(|name| format!("takes `{name}` of its path as text, as it is not described")),
    );
    let answer = answer::read(common.document, value, method, common.answers && reads)?;
    let mut headers: Vec<(String, Sink)> =
        headers.into_iter().map(|(name, argument)| (name, Sink::One(argument))).collect();
    headers.extend(kind.map(|kind| ("Content-Type".to_owned(), Sink::Fixed(kind))));
    headers.extend(answer.accept.map(|kind| ("Accept".to_owned(), Sink::Fixed(kind))));
    let arguments = arguments.list;
    let used = arguments.iter().map(Argument::size).sum::<usize>();
    let (definitions, whole) = converter.definitions(room.saturating_sub(used))?;
    if !whole {
        notes.push("does not check what is deepest in its arguments".to_owned());
    }
    let text = |word: &str| value.get(word).or_else(|| item.get(word)).and_then(Value::as_str).unwrap_or_default();
    let title = words::paragraph(text("summary"), words::TITLE);
    let place = super::select::place(&of);
    let description =
        [text("description"), text("summary"), &format!("Calls {place} of {}.", common.document.info("title"))]
            .into_iter()
            .map(|text| words::paragraph(text, words::DESCRIPTION))
            .find(|text| !text.is_empty())
            .unwrap_or_else(|| place.clone());
    let tags = value.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let tags = tags.map(|tag| words::paragraph(tag, LONGEST_TAG)).filter(|tag| !tag.is_empty() && tag != common.tag);
    let tags = std::iter::once(common.tag.to_owned()).chain(tags.take(MOST_TAGS)).collect();
    Ok(Draft {
        name: name.to_owned(),
        method,
        place,
        title,
        description,
        tags,
        reads,
        url: url.text,
        slashes: url.slashes.into_iter().collect(),
        arguments,
        definitions,
        query,
        headers,
        body,
        auth,
        secrets,
        json: answer.json,
        output: answer.schema,
        notes,
    })
}

impl Draft {
    /// Bytes of everything that it takes.
    fn size(&self) -> usize {
        let arguments = self.arguments.iter().map(Argument::size).sum::<usize>();
        arguments + self.definitions.iter().map(|(name, schema)| name.len() + schema.to_string().len()).sum::<usize>()
    }
}

/// The methods that tools have.
fn method(word: &str) -> Option<&'static str> {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].into_iter().find(|method| *method == word)
}

/// An address that grows by the path of an operation.
struct Url {
    text: String,
    path: BTreeMap<String, String>,
    slashes: BTreeSet<String>,
    undeclared: Vec<String>,
}

impl Url {
    /// Adds a path, its names replaced by those of arguments. What stands behind a `?` is a fixed part of the query.
    fn extend(&mut self, path: &str, arguments: &mut Arguments) -> Result<Vec<(String, Sink)>, Skip> {
        // Some tell operations apart by what stands behind a `#`, which is never sent.
        let path = path.split('#').next().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if !path.starts_with('/') {
            self.text.push('/');
        }
        let mut rest = path;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) =
                after.split_once('}').ok_or_else(|| Skip::Path(format!("its path `{path}` has a `{{` alone")))?;
            literal(before, &mut self.text);
            let argument = match self.path.get(name) {
                Some(argument) => argument.clone(),
                None => {
                    let added = arguments.add(name, "path", json!({"type": "string"}), true);
                    self.undeclared.push(name.to_owned());
                    self.path.insert(name.to_owned(), added.clone());
                    added
                }
            };
            self.text.push_str(&format!("{{{argument}}}"));
            rest = behind;
        }
        literal(rest, &mut self.text);
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let fixed = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), Sink::Fixed(value.to_owned()))
        });
        Ok(fixed.collect())
    }
}

/// Text of a path, percent-encoded where it must be (RFC 3986 section 3.3).
fn literal(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

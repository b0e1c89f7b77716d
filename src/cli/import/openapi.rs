//! Tools from an OpenAPI document: one for each operation, as the text of the files in which an operator keeps tools of
//! their own. Pure: reading the document and writing the files is the command's.
//!
//! The document is walked as JSON and not read into the types of a library. Those ask for whole documents that keep the
//! specification; real ones are broken in places, mostly in such as no tool needs, and one broken answer must not cost a
//! thousand operations. So each operation is read by itself, and what cannot be read costs that one alone.

mod answer;
mod body;
mod document;
mod draft;
mod flat;
mod manifest;
mod naming;
mod parameter;
mod problem;
mod schema;
mod security;
mod select;
mod server;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use document::MOST_BYTES;
pub use problem::Refused;
pub use security::Secret;
pub use select::Selection;

use document::Document;
use draft::{Common, Draft, Operation};
use naming::Of;
use problem::{Skip, Stop};
use security::Security;
use select::Meant;

use crate::config::manifest::{MOST_TOOLS, Problems, Source, load};
use crate::domain::digest::Digest;
use crate::domain::tool::command::SecretRef;

/// Methods that a path may have (3.1.1 section 4.8.9, and `query` of 3.2).
const METHODS: [&str; 9] = ["get", "head", "post", "put", "patch", "delete", "options", "trace", "query"];

/// What an operator chooses.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Which operations.
    pub selection: Selection,
    /// The name of the file; else it is made from the document's title.
    pub name: Option<String>,
    /// What the names of all tools begin with.
    pub prefix: String,
    /// Where to send, instead of what the document says.
    pub server: Option<String>,
    /// A bearer token for every call, instead of what the document says.
    pub bearer: Option<SecretRef>,
    /// References by scheme, instead of those made from its name; `SCHEME.user` for the user of a basic one.
    pub secrets: BTreeMap<String, SecretRef>,
    /// Private addresses that the tools may reach.
    pub allow: Vec<String>,
    /// Whether answers are described, of tools that only read.
    pub answers: bool,
}

/// What becomes of a document.
#[derive(Debug, serde::Serialize)]
pub struct Imported {
    /// The document's title.
    pub title: String,
    /// The document's own version.
    pub version: String,
    /// The name of the file, without its ending.
    pub name: String,
    /// Operations of the document, whether chosen or not.
    pub operations: usize,
    /// The tools.
    pub tools: Vec<Made>,
    /// Chosen operations that do not become tools.
    pub skipped: Vec<Skipped>,
    /// What has to be told of tools.
    pub notes: Vec<Note>,
    /// Where calls go.
    pub servers: BTreeSet<String>,
    /// Secrets that the operator has to set.
    pub secrets: BTreeSet<Secret>,
    /// Security schemes of the document that no tool uses.
    pub unused_schemes: Vec<String>,
    /// The text of the files.
    #[serde(skip)]
    pub files: Vec<String>,
}

/// One tool.
#[derive(Debug, serde::Serialize)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// `GET /pets`
    pub operation: String,
    /// `readonly` or `once`.
    pub effect: &'static str,
}

/// One operation without a tool.
#[derive(Debug, serde::Serialize)]
pub struct Skipped {
    /// `GET /pets`
    pub operation: String,
    /// Why, in a word.
    pub kind: &'static str,
    /// Why.
    pub why: String,
}

/// Something to be told of a tool.
#[derive(Debug, serde::Serialize)]
pub struct Note {
    /// Its name.
    pub tool: String,
    /// What it does or does not, such as `leaves out …`.
    pub note: String,
}

/// Reads a document. `source` names it for people; `fetched` is where it came from, if from an address.
///
/// # Errors
/// When it cannot be read, chooses nothing, has no server, or needs another document.
pub fn import(bytes: &[u8], source: &str, fetched: Option<&str>, choices: &Choices) -> Result<Imported, Refused> {
    let document = Document::read(bytes)?;
    let (operations, mut skipped) = operations(&document)?;
    let names = naming::tools(&operations.iter().map(|operation| operation.of).collect::<Vec<_>>(), &choices.prefix);
    let name = naming::file(choices.name.as_deref(), document.info("title"));
    let common = Common {
        document: &document,
        fetched,
        server: choices.server.as_deref().map(server::given).transpose()?,
        security: Security::new(&document, &name, &choices.secrets, choices.bearer.as_ref())?,
        tag: &name,
        answers: choices.answers,
    };
    let chosen: Vec<(&Operation<'_>, String, Meant)> = operations
        .iter()
        .zip(names)
        .map(|(operation, name)| (operation, name, choices.selection.means(&operation.of)))
        .filter(|(_, _, meant)| *meant != Meant::No)
        .collect();
    if chosen.is_empty() && skipped.is_empty() {
        return Err(choices.selection.nothing(&operations.iter().map(|operation| operation.of).collect::<Vec<_>>()));
    }
    if chosen.len() > MOST_TOOLS {
        return Err(Refused::TooMany { count: chosen.len(), most: MOST_TOOLS });
    }
    let mut drafts = Vec::new();
    for (operation, name, meant) in chosen {
        let place = select::place(&operation.of);
        match made(&common, operation, &name, meant, &choices.allow) {
            Ok(made) => drafts.push(made),
            Err(Stop::Skip(skip)) => {
                skipped.push(Skipped { operation: place, kind: skip.kind(), why: skip.to_string() })
            }
            Err(Stop::Elsewhere(target)) => return Err(Refused::Elsewhere { operation: place, target }),
            Err(Stop::NoServer(found)) => return Err(Refused::NoServer { operation: place, found }),
        }
    }
    let (drafts, texts): (Vec<Draft>, Vec<String>) = drafts.into_iter().unzip();
    let used: BTreeSet<Secret> = drafts.iter().flat_map(|draft| draft.secrets.iter().cloned()).collect();
    let files = if drafts.is_empty() {
        Vec::new()
    } else {
        manifest::files(&head(&document, bytes, source), texts.iter().map(String::as_str))
    };
    Ok(Imported {
        title: words::paragraph(document.info("title"), words::TITLE),
        version: words::paragraph(document.info("version"), words::TITLE),
        operations: operations.len(),
        servers: drafts.iter().map(|draft| origin(&draft.url)).collect(),
        unused_schemes: if used.is_empty() {
            common.security.names().into_iter().map(ToOwned::to_owned).collect()
        } else {
            Vec::new()
        },
        secrets: used,
        notes: drafts
            .iter()
            .flat_map(|draft| draft.notes.iter().map(|note| Note { tool: draft.name.clone(), note: note.clone() }))
            .collect(),
        tools: drafts
            .iter()
            .map(|draft| Made {
                name: draft.name.clone(),
                operation: draft.place.clone(),
                effect: if draft.reads { "readonly" } else { "once" },
            })
            .collect(),
        skipped,
        name,
        files,
    })
}

/// A tool and its text, which loads: a document is never so good that this could be taken for granted.
fn made<'a>(
    common: &Common<'a>,
    operation: &Operation<'a>,
    name: &str,
    meant: Meant,
    allow: &[String],
) -> Result<(Draft, String), Stop> {
    if operation.value.get("deprecated") == Some(&Value::Bool(true)) && meant != Meant::ByName {
        return Err(Skip::Deprecated.into());
    }
    let draft = draft::draft(common, operation, name)?;
    let text = manifest::tool(&draft, allow);
    let source = Source { path: "/import.toml".into(), text: text.as_str().into() };
    match load(std::slice::from_ref(&source)) {
        Ok(_) => Ok((draft, text)),
        Err(Problems(problems)) => {
            let why = problems.into_iter().map(|problem| match problem.hint {
                Some(hint) => format!("{} ({hint})", problem.message),
                None => problem.message,
            });
            Err(Skip::Invalid(why.collect::<Vec<_>>().join("; ")).into())
        }
    }
}

/// Every operation, by path and method in the order of the document, and paths that lead nowhere.
fn operations(document: &Document) -> Result<(Vec<Operation<'_>>, Vec<Skipped>), Refused> {
    let (mut operations, mut skipped) = (Vec::new(), Vec::new());
    for (path, written) in document.root.get("paths").and_then(Value::as_object).into_iter().flatten() {
        if path.starts_with("x-") {
            continue;
        }
        let item = match document.follow(written) {
            Ok(item) => item,
            Err(Stop::Elsewhere(target)) => return Err(Refused::Elsewhere { operation: format!("`{path}`"), target }),
            Err(Stop::Skip(skip)) => {
                skipped.push(Skipped { operation: path.clone(), kind: skip.kind(), why: skip.to_string() });
                continue;
            }
            Err(Stop::NoServer(_)) => continue,
        };
        for method in METHODS {
            let Some(value) = item.get(method).filter(|value| value.is_object()) else { continue };
            let id = value.get("operationId").and_then(Value::as_str).map(str::trim).filter(|id| !id.is_empty());
            operations.push(Operation { of: Of { id, method: upper(method), path }, item, value });
        }
    }
    Ok((operations, skipped))
}

/// Methods as they are on the wire.
fn upper(method: &str) -> &'static str {
    match method {
        "get" => "GET",
        "head" => "HEAD",
        "post" => "POST",
        "put" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "options" => "OPTIONS",
        "trace" => "TRACE",
        _ => "QUERY",
    }
}

/// Scheme and host of an address.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    format!("{scheme}://{}", rest.split('/').next().unwrap_or_default())
}

/// The comment that each file begins with.
fn head(document: &Document, bytes: &[u8], source: &str) -> String {
    let plain = |text: &str| words::paragraph(text, words::TITLE);
    format!(
        "# {} {}, from {} (SHA-256 {}).\n# Imported by toolctl {}. It is yours now: say here which tools are harmless to repeat, or destroy nothing.\n",
        plain(document.info("title")),
        plain(document.info("version")),
        plain(source),
        Digest::plain(bytes).short(),
        env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests;

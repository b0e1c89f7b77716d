//! What can be wrong with an OpenAPI document: what stops an import, and what only costs one operation its tool.
//! Real documents have flaws in corners that nobody uses, so whatever is about one operation alone leaves that one
//! out and is told; the rest is taken.

use std::fmt;

/// Why a document is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More bytes than the limit.
    #[error("the document has more than {0} MiB")]
    TooLong(usize),
    /// Neither of the two languages.
    #[error("this is not {language} that can be read: {why}")]
    Unreadable {
        /// JSON or YAML.
        language: &'static str,
        /// What its reader said.
        why: String,
    },
    /// Something else than an OpenAPI document.
    #[error("this is no OpenAPI document: {0}")]
    NotOpenApi(&'static str),
    /// The format before OpenAPI 3.
    #[error("this document is Swagger {0}, and only OpenAPI 3 is read")]
    Swagger(String),
    /// A version that nobody here knows.
    #[error("this document is OpenAPI {0}, and only 3.0 and 3.1 are read")]
    Version(String),
    /// A reference to another document.
    #[error("{operation} needs the `$ref` to `{target}`, which is another document")]
    Elsewhere {
        /// The operation.
        operation: String,
        /// The reference.
        target: String,
    },
    /// No address to send to.
    #[error("{operation} has no server with a whole address{}", given(.found))]
    NoServer {
        /// The first operation without one.
        operation: String,
        /// The server that it has.
        found: Option<String>,
    },
    /// A server that was given and is none.
    #[error("`{0}` is no address of a server")]
    BadServer(String),
    /// Globs that choose nothing.
    #[error("no operation of the document fits {}", list(.globs))]
    NothingChosen {
        /// What was asked for.
        globs: Vec<String>,
        /// Operations with names like it.
        near: Vec<String>,
    },
    /// A document without operations.
    #[error("the document has no operations")]
    Empty,
    /// A scheme that the document does not have.
    #[error("the document has no security scheme `{scheme}`")]
    NoScheme {
        /// What was asked for.
        scheme: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// More tools than may be loaded.
    #[error("{count} operations would become tools, and {most} can be loaded together")]
    TooMany {
        /// How many.
        count: usize,
        /// The limit.
        most: usize,
    },
}

fn given(found: &Option<String>) -> String {
    found.as_ref().map(|found| format!(": `{found}` is a part of one")).unwrap_or_default()
}

fn list(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
}

impl Refused {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TooLong(_) => "take the parts out of it that you need",
            Self::Unreadable { .. } => return None,
            Self::NotOpenApi(_) => "a document begins with `openapi: 3.…` and lists its `paths`",
            Self::Swagger(_) => "convert it first, for example with the program swagger2openapi",
            Self::Version(_) => "save it as 3.1, if its program can",
            Self::Elsewhere { .. } => {
                "put everything into one file first (`redocly bundle` does), or leave the operation out with --exclude"
            }
            Self::NoServer { .. } => "say where it is: --server https://…",
            Self::BadServer(_) => "write http:// or https://, a host, and perhaps a path: https://api.example.com/v1",
            Self::NothingChosen { near, .. } if near.is_empty() => {
                "globs are compared with operation ids and with `METHOD /path`; `*` stands for any characters"
            }
            Self::NothingChosen { near, .. } => return Some(format!("did you mean {}?", list(near))),
            Self::Empty => "a document of a client's webhooks alone has none",
            Self::NoScheme { known, .. } if known.is_empty() => "it has none at all; --bearer REF goes with every call",
            Self::NoScheme { known, .. } => return Some(format!("it has {}", list(known).replace(" or ", ", "))),
            Self::TooMany { .. } => "choose some with --include, for example --include 'GET *'",
        };
        Some(hint.to_owned())
    }
}

/// Why an operation does not become a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// The document says not to use it any more.
    Deprecated,
    /// A method that no tool has.
    Method,
    /// A path that cannot be sent.
    Path(String),
    /// A parameter that must be given and cannot be.
    Parameter(String),
    /// A body that must be given and cannot be.
    Body(String),
    /// A way to show who calls that no tool has.
    Security(String),
    /// A reference that leads nowhere.
    Reference(String),
    /// Arguments that nobody could read.
    TooLarge,
    /// What became of it is no tool; why.
    Invalid(String),
}

impl Skip {
    /// The kind, for counting.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Deprecated => "deprecated",
            Self::Method => "method",
            Self::Path(_) => "path",
            Self::Parameter(_) => "parameter",
            Self::Body(_) => "body",
            Self::Security(_) => "security",
            Self::Reference(_) => "reference",
            Self::TooLarge => "too large",
            Self::Invalid(_) => "invalid",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deprecated => f.write_str("it is deprecated; name it with --include to have it all the same"),
            Self::Method => f.write_str("no tool has this method"),
            Self::TooLarge => f.write_str("its arguments are too large to be described"),
            Self::Invalid(why) => write!(f, "its tool could not be loaded: {why}"),
            Self::Path(why) | Self::Parameter(why) | Self::Body(why) | Self::Security(why) | Self::Reference(why) => {
                f.write_str(why)
            }
        }
    }
}

/// What ends the reading of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// This operation alone.
    Skip(Skip),
    /// A reference to another document, which stops the import.
    Elsewhere(String),
    /// No server with a whole address, which stops the import; the one there is.
    NoServer(Option<String>),
}

impl From<Skip> for Stop {
    fn from(skip: Skip) -> Self {
        Self::Skip(skip)
    }
}

//! A request that runs a tool: where it goes, what it carries, and how the answer is to be read. All of it is part of
//! the definition's digest, so whoever approves a call approves the host, the path and the body it fills in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::command::{Form, Pinned, SecretRef};
use super::template::Text;

pub mod body;
pub mod deep;
pub mod encode;
pub mod origin;
pub mod request;
pub mod status;

pub use body::Json;
pub use origin::{Allowed, Host, Origin};
pub use request::{Request, Secrets};
pub use status::{Meaning, Statuses};

/// A request, its limits, and what its answer means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HttpAction {
    /// The method.
    pub method: Method,
    /// Scheme, host and port: literal, so that no argument chooses where a request goes.
    pub origin: Origin,
    /// The segments of the path behind its first `/`.
    pub path: Vec<Text>,
    /// Arguments that may have a `/` in them where they stand in the path.
    pub slashes: BTreeSet<String>,
    /// The query, in order.
    pub query: Vec<Field>,
    /// Headers beside those that every request has.
    pub headers: Vec<Field>,
    /// What it carries.
    pub body: Body,
    /// How it shows who asks.
    pub auth: Vec<Auth>,
    /// Where the key of a keyed tool goes.
    pub idempotency: Option<KeyPlace>,
    /// What the answer means.
    pub reading: Reading,
    /// How often it is tried.
    pub retry: Retry,
    /// What it may connect to.
    pub reach: Reach,
}

/// A method of RFC 9110.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    #[default]
    Get,
    /// Reads the headers only.
    Head,
    /// Does something.
    Post,
    /// Puts in place.
    Put,
    /// Changes in part.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether it is safe (RFC 9110 section 9.2.1) and carries nothing.
    pub const fn only_reads(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

/// One parameter of a query or a form, or one header. Left out when an argument it names is absent or null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Text,
    /// The list of which it has an item each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// Between the items, when they make one value; otherwise there is one parameter for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// Its value is one argument, of whose members each stands by itself; see [`deep`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deep: bool,
}

/// What a request carries.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// Nothing.
    #[default]
    None,
    /// A JSON document.
    Json(Json),
    /// A JSON object of every argument that nothing else uses.
    Rest(BTreeSet<String>),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<Field>),
    /// Text.
    Text(Text),
}

/// How a request shows who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// A header; `prefix` stands before the secret.
    Header {
        /// Its name.
        name: String,
        /// For example `Bearer `.
        prefix: String,
        /// Where the secret is.
        secret: SecretRef,
    },
    /// The `Basic` scheme (RFC 7617).
    Basic {
        /// Who.
        user: User,
        /// Where the password is.
        password: SecretRef,
    },
    /// A parameter of the query.
    Query {
        /// Its name.
        name: String,
        /// Where the secret is.
        secret: SecretRef,
    },
    /// A cookie.
    Cookie {
        /// Its name.
        name: String,
        /// Where the secret is.
        secret: SecretRef,
    },
    /// A part of the path, where `{name}` stands.
    Path {
        /// The name.
        name: String,
        /// Where the secret is.
        secret: SecretRef,
    },
}

/// Who, in the `Basic` scheme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum User {
    /// As it stands.
    Text(String),
    /// Also a secret.
    Secret(SecretRef),
}

impl Auth {
    /// Every secret it needs.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::Header { secret, .. }
            | Self::Query { secret, .. }
            | Self::Cookie { secret, .. }
            | Self::Path { secret, .. } => vec![secret],
            Self::Basic { user: User::Secret(user), password } => vec![user, password],
            Self::Basic { user: User::Text(_), password } => vec![password],
        }
    }
}

/// Where the key of a keyed tool goes, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyPlace {
    /// Where.
    pub place: KeyIn,
    /// How.
    pub form: KeyForm,
}

/// Where a key goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyIn {
    /// A header.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// A member of the JSON body.
    Member(String),
}

/// How a key is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyForm {
    /// 64 hexadecimal digits.
    #[default]
    Hex,
    /// The first 32 of them as a UUID (version 8, RFC 9562).
    Uuid,
    /// The 64 digits in double quotes, as the draft of `Idempotency-Key` has it.
    Quoted,
}

impl KeyForm {
    /// A key of [`Call::downstream_key`](crate::domain::call::Call::downstream_key) in this form.
    pub fn write(self, hex: &str) -> String {
        match self {
            Self::Hex => hex.to_owned(),
            Self::Quoted => format!("\"{hex}\""),
            Self::Uuid => {
                let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
                // Version and variant take the place of two digits.
                format!("{}-{}-8{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
            }
        }
    }
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// What statuses mean, where that is not the usual.
    pub statuses: BTreeMap<Statuses, Meaning>,
    /// How the body is read.
    pub form: Form,
    /// What of it is the output.
    pub output: Pick,
    /// A JSON Pointer to where a failing answer says why.
    pub error: Option<String>,
}

/// What of an answer is the output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pick {
    /// All of it.
    #[default]
    Whole,
    /// What a JSON Pointer (RFC 6901) leads to.
    One(String),
    /// An object: members by name, from where pointers lead; those that lead nowhere are left out.
    Members(BTreeMap<String, String>),
}

/// How often a request is tried, where its effect allows that at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// How often, all together.
    pub attempts: u32,
    /// Before the second, in milliseconds; doubled each time.
    pub wait_ms: u64,
}

impl Default for Retry {
    /// Once.
    fn default() -> Self {
        Self { attempts: 1, wait_ms: 500 }
    }
}

/// What a request may connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Private targets that are meant.
    pub allow: Vec<Allowed>,
    /// Certificates that are trusted instead of the system's.
    pub ca: Option<Pinned>,
    /// How long one connection may take to be made, in milliseconds.
    pub connect_ms: u64,
}

impl Reach {
    /// How long one connection may take to be made.
    pub const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_ms)
    }
}

impl Default for Reach {
    /// Nothing private, the system's certificates, 10 s.
    fn default() -> Self {
        Self { allow: Vec::new(), ca: None, connect_ms: 10_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_form_that_the_other_side_takes() {
        let hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        assert_eq!(KeyForm::Hex.write(hex), hex);
        assert_eq!(KeyForm::Quoted.write(hex), format!("\"{hex}\""));
        let uuid = KeyForm::Uuid.write(hex);
        assert_eq!(uuid, "01234567-89ab-8def-a123-456789abcdef");
        assert!(uuid::Uuid::parse_str(&uuid).is_ok_and(|uuid| uuid.get_version_num() == 8));
    }
}

//! The request of one call: the same function makes what goes over the wire and what an approver reads, so that the two
//! cannot differ. To a person secrets and the key are named; to the wire they are told.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::encode::{LONGEST_HEADER, fill, header, percent, segment};
use super::{Auth, Body, Field, HttpAction, KeyIn, Method, Origin, User, deep};
use crate::domain::json::Canonical;
use crate::domain::tool::command::{Form, SecretRef};
use crate::domain::tool::template::{BadArgument, Piece, Text};

/// The longest path with its query, in bytes.
const LONGEST_TARGET: usize = 16 << 10;
/// The most bytes of all headers.
const LONGEST_HEADERS: usize = 32 << 10;
/// The longest body, in bytes.
const LONGEST_BODY: usize = 2 << 20;
/// What stands for the key of a call towards people.
const KEY: &str = "‹key of this call›";

/// What is known of secrets and of the call.
#[derive(Clone, Copy)]
pub enum Secrets<'a> {
    /// They are named: for people.
    Named,
    /// They are told: for the wire. `key` is the key of the call.
    Told {
        /// Each by its reference.
        values: &'a BTreeMap<SecretRef, String>,
        /// [`Call::downstream_key`](crate::domain::call::Call::downstream_key).
        key: &'a str,
    },
}

/// A request with everything in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub origin: Origin,
    /// Path and query.
    pub target: String,
    /// Headers, without `Host` and what frames the body.
    pub headers: Vec<(String, String)>,
    /// The body, if there is one.
    pub body: Option<String>,
}

impl Secrets<'_> {
    /// A secret as `write` has it, or its name as it is.
    fn write(&self, secret: &SecretRef, write: impl Fn(&str) -> String) -> String {
        match self {
            Self::Named => format!("‹secret:{secret}›"),
            Self::Told { values, .. } => write(values.get(secret).map_or("", String::as_str)),
        }
    }
}

impl Request {
    /// What exactly is sent, for people: method and address, each header, the body.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} {}{}", self.method.word(), self.origin, self.target)];
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.extend(self.body.clone());
        lines
    }
}

impl HttpAction {
    /// Every secret it needs.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        self.auth.iter().flat_map(Auth::secrets).collect()
    }

    /// The request of a call with these arguments.
    ///
    /// # Errors
    /// The first argument that cannot stand where it would; nothing was sent.
    pub fn request(&self, arguments: &Value, secrets: Secrets<'_>) -> Result<Request, BadArgument> {
        let body = self.body(arguments, secrets)?;
        let request = Request {
            method: self.method,
            origin: self.origin.clone(),
            target: self.target(arguments, secrets)?,
            headers: self.headers(arguments, body.is_some(), secrets)?,
            body,
        };
        let headers = request.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
        for (what, length, most) in [
            ("address", request.target.len(), LONGEST_TARGET),
            ("headers", headers, LONGEST_HEADERS),
            ("body", request.body.as_ref().map_or(0, String::len), LONGEST_BODY),
        ] {
            if length > most {
                return Err(BadArgument::TooLarge { what, most });
            }
        }
        Ok(request)
    }

    fn target(&self, arguments: &Value, secrets: Secrets<'_>) -> Result<String, BadArgument> {
        let mut target = String::new();
        for text in &self.path {
            target.push('/');
            target.push_str(&self.segment(text, arguments, secrets)?);
        }
        if target.is_empty() {
            target.push('/');
        }
        let mut parameters = parameters(&self.query, arguments)?;
        for auth in &self.auth {
            if let Auth::Query { name, secret } = auth {
                parameters.push(format!("{}={}", percent(name), secrets.write(secret, percent)));
            }
        }
        if let Some((KeyIn::Query(name), key)) = self.key(secrets) {
            parameters.push(format!("{}={}", percent(name), if key == KEY { key } else { percent(&key) }));
        }
        if !parameters.is_empty() {
            target.push('?');
            target.push_str(&parameters.join("&"));
        }
        Ok(target)
    }

    /// One segment of the path, and never another number of them, but for a secret of the operator's own.
    fn segment(&self, text: &Text, arguments: &Value, secrets: Secrets<'_>) -> Result<String, BadArgument> {
        let (mut written, mut plain) = (String::new(), String::new());
        let mut blame = None;
        for piece in &text.0 {
            match piece {
                Piece::Literal(text) => {
                    written.push_str(text);
                    plain.push_str(&text.to_ascii_lowercase().replace("%2e", "."));
                }
                Piece::Argument(name) => {
                    if let Some(secret) = self.path_secret(name) {
                        let whole = |value: &str| value.split('/').map(percent).collect::<Vec<_>>().join("/");
                        written.push_str(&secrets.write(secret, whole));
                        plain.push_str("secret");
                        continue;
                    }
                    blame = Some(name);
                    let hole = Text(vec![Piece::Argument(name.clone())]);
                    let slashes = self.slashes.contains(name);
                    let value = fill(&hole, arguments, |_, value| Ok(value.to_owned()))?;
                    let value = value.ok_or_else(|| BadArgument::Missing(name.clone()))?;
                    written.push_str(&segment(name, &value, slashes)?);
                    plain.push_str(&value);
                }
            }
        }
        match (blame, plain.as_str()) {
            (Some(name), "") => {
                Err(BadArgument::Place(name.clone(), "must not be empty here, as it is part of a path"))
            }
            (Some(name), "." | "..") => {
                Err(BadArgument::Place(name.clone(), "must not make `.` or `..` here, as it is part of a path"))
            }
            _ => Ok(written),
        }
    }

    fn path_secret(&self, wanted: &str) -> Option<&SecretRef> {
        self.auth.iter().find_map(|auth| match auth {
            Auth::Path { name, secret } if name == wanted => Some(secret),
            Auth::Path { .. } | Auth::Header { .. } | Auth::Basic { .. } | Auth::Query { .. } | Auth::Cookie { .. } => {
                None
            }
        })
    }

    fn headers(
        &self,
        arguments: &Value,
        has_body: bool,
        secrets: Secrets<'_>,
    ) -> Result<Vec<(String, String)>, BadArgument> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for field in &self.headers {
            for value in values(field, arguments, header)? {
                if value.len() > LONGEST_HEADER {
                    return Err(BadArgument::TooLarge { what: "header", most: LONGEST_HEADER });
                }
                headers.push((field.name.clone(), value));
            }
        }
        let mut cookies = Vec::new();
        for auth in &self.auth {
            match auth {
                Auth::Header { name, prefix, secret } => {
                    headers.push((name.clone(), format!("{prefix}{}", secrets.write(secret, ToOwned::to_owned))));
                }
                Auth::Basic { user, password } => {
                    headers.push(("Authorization".to_owned(), format!("Basic {}", basic(user, password, secrets))));
                }
                Auth::Cookie { name, secret } => {
                    cookies.push(format!("{name}={}", secrets.write(secret, ToOwned::to_owned)));
                }
                Auth::Query { .. } | Auth::Path { .. } => {}
            }
        }
        if !cookies.is_empty() {
            headers.push(("Cookie".to_owned(), cookies.join("; ")));
        }
        if let Some((KeyIn::Header(name), key)) = self.key(secrets) {
            headers.push((name.clone(), key));
        }
        let content = match &self.body {
            _ if !has_body => None,
            Body::None => None,
            Body::Json(_) | Body::Rest(_) => Some("application/json"),
            Body::Form(_) => Some("application/x-www-form-urlencoded"),
            Body::Text(_) => Some("text/plain; charset=utf-8"),
        };
        let accept = match self.reading.form {
            Form::Json => "application/json",
            Form::Text | Form::Lines => "*/*",
        };
        let agent = concat!("toolctl/", env!("CARGO_PKG_VERSION"));
        for (name, value) in [("Content-Type", content), ("Accept", Some(accept)), ("User-Agent", Some(agent))] {
            let given = headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
            if let (Some(value), false) = (value, given) {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(headers)
    }

    fn body(&self, arguments: &Value, secrets: Secrets<'_>) -> Result<Option<String>, BadArgument> {
        let mut document = match &self.body {
            Body::None => return Ok(None),
            Body::Form(fields) => return Ok(Some(parameters(fields, arguments)?.join("&"))),
            Body::Text(text) => return fill(text, arguments, |_, value| Ok(value.to_owned())),
            Body::Json(json) => match json.fill(arguments)? {
                Some(document) => document,
                None => return Ok(None),
            },
            Body::Rest(names) => {
                let given = arguments.as_object().into_iter().flatten();
                let rest = given.filter(|(name, _)| names.contains(*name));
                Value::Object(rest.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
            }
        };
        if let (Some((KeyIn::Member(name), key)), Value::Object(members)) = (self.key(secrets), &mut document) {
            members.insert(name.clone(), Value::String(key));
        }
        Ok(Some(Canonical::of(&document).as_str().to_owned()))
    }

    /// Where the key of the call goes, and the key as it is written there.
    fn key(&self, secrets: Secrets<'_>) -> Option<(&KeyIn, String)> {
        let place = self.idempotency.as_ref()?;
        let key = match secrets {
            Secrets::Named => KEY.to_owned(),
            Secrets::Told { key, .. } => place.form.write(key),
        };
        Some((&place.place, key))
    }
}

/// `user:password` in base64 (RFC 7617).
fn basic(user: &User, password: &SecretRef, secrets: Secrets<'_>) -> String {
    match secrets {
        Secrets::Named => match user {
            User::Text(user) => format!("{user}:‹secret:{password}›"),
            User::Secret(user) => format!("‹secret:{user}›:‹secret:{password}›"),
        },
        Secrets::Told { .. } => {
            let plain = |secret: &SecretRef| secrets.write(secret, ToOwned::to_owned);
            let user = match user {
                User::Text(user) => user.clone(),
                User::Secret(user) => plain(user),
            };
            STANDARD.encode(format!("{user}:{}", plain(password)))
        }
    }
}

/// The parameters of a query or a form.
fn parameters(fields: &[Field], arguments: &Value) -> Result<Vec<String>, BadArgument> {
    let mut all = Vec::new();
    for field in fields {
        if field.deep {
            for argument in field.value.arguments() {
                let value = arguments.get(argument).unwrap_or(&Value::Null);
                all.extend(deep::pairs(&field.name, argument, value)?);
            }
            continue;
        }
        let name = percent(&field.name);
        // The literal parts of a value are written like the rest of it.
        let values = values(field, arguments, |_, value| Ok(value.to_owned()))?;
        all.extend(values.iter().map(|value| format!("{name}={}", percent(value))));
    }
    Ok(all)
}

/// The values of a field: one, or one for each item of its list, or none where an argument is absent or null.
fn values(
    field: &Field,
    arguments: &Value,
    write: impl Fn(&str, &str) -> Result<String, BadArgument>,
) -> Result<Vec<String>, BadArgument> {
    let Some(list) = &field.list else {
        return Ok(fill(&field.value, arguments, write)?.into_iter().collect());
    };
    let items = match arguments.get(list) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(BadArgument::Place(list.clone(), "must be a list")),
    };
    let mut all = Vec::new();
    for item in items {
        let one = Value::Object(Map::from_iter([(list.clone(), item.clone())]));
        all.extend(fill(&field.value, &one, &write)?);
    }
    match &field.join {
        Some(join) if !all.is_empty() => Ok(vec![all.join(join)]),
        Some(_) | None => Ok(all),
    }
}

#[cfg(test)]
mod tests;

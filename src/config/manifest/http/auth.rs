//! How a request shows who asks. Secrets are named, never written.

use toml::Spanned;

use super::super::tool::Desk;
use super::super::written::VariableTable;
use super::fields::{header_name, is_token};
use super::written::{AuthTable, BasicTable};
use crate::domain::tool::command::{NotASecretRef, SecretRef};
use crate::domain::tool::http::{Auth, User};

/// Reads `auth`.
pub fn read(desk: &mut Desk<'_>, tables: &[AuthTable]) -> Vec<Auth> {
    tables.iter().filter_map(|table| one(desk, table)).collect()
}

fn one(desk: &mut Desk<'_>, table: &AuthTable) -> Option<Auth> {
    let AuthTable { bearer, basic, header, query, cookie, path, secret, prefix } = table;
    let names = [bearer, header, query, cookie, path].map(|name| name.as_ref().map(Spanned::span));
    let places: Vec<_> =
        names.into_iter().chain([basic.as_ref().map(|basic| basic.password.span())]).flatten().collect();
    let place = places.first().cloned().or_else(|| secret.as_ref().or(prefix.as_ref()).map(Spanned::span));
    if places.len() != 1 {
        let hint = "say one of bearer, basic, header, query, cookie and path; for several, write a list".to_owned();
        desk.wrong(place.unwrap_or(0..0), "this is not one way to show who asks", Some(hint));
        return None;
    }
    if let (Some(prefix), None) = (prefix, header) {
        desk.wrong(prefix.span(), "only a header has a prefix", None);
    }
    if let (Some(secret), true) = (secret, bearer.is_some() || basic.is_some()) {
        desk.wrong(secret.span(), "the secret is named twice", None);
    }
    if let Some(bearer) = bearer {
        let secret = reference(desk, bearer)?;
        return Some(Auth::Header { name: "Authorization".to_owned(), prefix: "Bearer ".to_owned(), secret });
    }
    if let Some(BasicTable { user, password }) = basic {
        let user = match user.get_ref() {
            VariableTable::Text(text) if text.contains(':') || text.chars().any(char::is_control) => {
                desk.wrong(user.span(), "a user of the Basic scheme has no `:` and no control characters", None);
                return None;
            }
            VariableTable::Text(text) => User::Text(text.clone()),
            VariableTable::Secret(table) => User::Secret(reference(desk, &table.secret)?),
        };
        return Some(Auth::Basic { user, password: reference(desk, password)? });
    }
    let Some(secret) = secret else {
        let hint = "add where it is: secret = \"env:NAME\"".to_owned();
        desk.wrong(place.unwrap_or(0..0), "no secret is named", Some(hint));
        return None;
    };
    let secret = reference(desk, secret)?;
    match (header, query, cookie, path) {
        (Some(name), ..) => {
            header_name(desk, name)?;
            let prefix = prefix.as_ref().map(|prefix| prefix.get_ref().clone()).unwrap_or_default();
            Some(Auth::Header { name: name.get_ref().clone(), prefix, secret })
        }
        (_, Some(name), ..) => Some(Auth::Query { name: name.get_ref().clone(), secret }),
        (_, _, Some(name), _) => {
            if !is_token(name.get_ref()) {
                desk.wrong(name.span(), format!("`{}` is no name of a cookie", name.get_ref()), None);
            }
            Some(Auth::Cookie { name: name.get_ref().clone(), secret })
        }
        (_, _, _, Some(name)) => Some(Auth::Path { name: name.get_ref().clone(), secret }),
        (None, None, None, None) => None,
    }
}

fn reference(desk: &mut Desk<'_>, written: &Spanned<String>) -> Option<SecretRef> {
    match written.get_ref().parse() {
        Ok(reference) => Some(reference),
        Err(error) => {
            let error: NotASecretRef = error;
            desk.wrong(written.span(), error.to_string(), None);
            None
        }
    }
}

//! The address of a request: literal up to its path, and a template from there on, segment by segment.

use toml::Spanned;

use super::super::tool::Desk;
use super::fields::Holes;
use crate::domain::tool::http::origin::BadOrigin;
use crate::domain::tool::http::{Auth, Origin};
use crate::domain::tool::template::{Piece, Text};

/// Reads `url`: where it goes, and the segments of the path.
pub fn read(
    desk: &mut Desk<'_>,
    written: &Spanned<String>,
    holes: &mut Holes<'_>,
    auth: &[Auth],
    slashes: &[Spanned<String>],
) -> Option<(Origin, Vec<Text>)> {
    let (origin, rest) = match Origin::split(written.get_ref()) {
        Ok(split) => split,
        Err(error) => {
            let hint = match &error {
                BadOrigin::Scheme => Some("write the whole address: https://api.example.com/…".to_owned()),
                _ => None,
            };
            desk.wrong(written.span(), format!("the address cannot be used: {error}"), hint);
            return None;
        }
    };
    for (sign, hint) in
        [('?', "put it under `query`: query = { name = \"{name}\" }"), ('#', "leave it out"), ('\\', "write /")]
    {
        if rest.contains(sign) {
            desk.wrong(written.span(), format!("the address has a `{sign}`"), Some(hint.to_owned()));
            return None;
        }
    }
    let secrets: Vec<&str> = auth
        .iter()
        .filter_map(|auth| match auth {
            Auth::Path { name, .. } => Some(name.as_str()),
            Auth::Header { .. } | Auth::Basic { .. } | Auth::Query { .. } | Auth::Cookie { .. } => None,
        })
        .collect();
    let mut path = Vec::new();
    let mut named: Vec<String> = Vec::new();
    for part in rest.strip_prefix('/').unwrap_or(rest).split('/') {
        let text = segment(desk, written, part, holes, &secrets)?;
        named.extend(text.arguments().map(ToOwned::to_owned));
        path.push(text);
    }
    for secret in secrets {
        if !named.iter().any(|name| name == secret) {
            desk.wrong(written.span(), format!("the secret `{{{secret}}}` does not stand in the path"), None);
        }
    }
    for name in slashes {
        if !named.contains(name.get_ref()) {
            desk.wrong(name.span(), format!("`{{{}}}` does not stand in the path", name.get_ref()), None);
        }
    }
    Some((origin, path))
}

fn segment(
    desk: &mut Desk<'_>,
    written: &Spanned<String>,
    part: &str,
    holes: &mut Holes<'_>,
    secrets: &[&str],
) -> Option<Text> {
    let text = match Text::parse(part) {
        Ok((text, None)) => text,
        Ok((_, Some(list))) => {
            desk.wrong(written.span(), format!("the list `{list}` has no place in a path"), None);
            return None;
        }
        Err(error) => {
            desk.wrong(written.span(), error.to_string(), None);
            return None;
        }
    };
    for piece in &text.0 {
        match piece {
            Piece::Literal(literal) => {
                if let Some(sign) = odd(literal) {
                    let message = format!("`{sign}` cannot stand in a path as it is");
                    desk.wrong(written.span(), message, Some("write it percent-encoded".to_owned()));
                }
            }
            Piece::Argument(name) if secrets.contains(&name.as_str()) => {}
            Piece::Argument(name) => holes.needed(desk, &written.span(), name),
        }
    }
    let plain = text.literal().map(|literal| literal.to_ascii_lowercase().replace("%2e", "."));
    if plain.is_some_and(|plain| plain == "." || plain == "..") {
        desk.wrong(
            written.span(),
            "the address has a `.` or `..` in its path",
            Some("write where it leads".to_owned()),
        );
    }
    Some(text)
}

/// The first sign that RFC 3986 (`pchar`) does not let stand in a segment.
fn odd(literal: &str) -> Option<char> {
    let mut rest = literal.chars();
    while let Some(sign) = rest.next() {
        if sign == '%' {
            let digits: String = rest.by_ref().take(2).collect();
            if digits.len() != 2 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Some('%');
            }
        } else if !(sign.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(sign)) {
            return Some(sign);
        }
    }
    None
}

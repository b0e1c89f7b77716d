//! Each place of a request has signs that mean something there. What a caller sends is written so that none of them is
//! left, or refused where no writing helps.

use serde_json::Value;

use super::super::template::{BadArgument, Piece, Text, plain};

/// The longest header, in bytes.
pub const LONGEST_HEADER: usize = 8 << 10;

/// Every byte but the unreserved ones (RFC 3986 section 2.3) as `%XX`.
pub fn percent(value: &str) -> String {
    let mut written = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    written
}

/// Text with every argument written by `write`, which is given its name; none if one of them is absent or null.
///
/// # Errors
/// An argument that is no text, number or truth value, or that `write` refuses.
pub fn fill(
    text: &Text,
    arguments: &Value,
    write: impl Fn(&str, &str) -> Result<String, BadArgument>,
) -> Result<Option<String>, BadArgument> {
    let mut whole = String::new();
    for piece in &text.0 {
        match piece {
            Piece::Literal(text) => whole.push_str(text),
            Piece::Argument(name) => match arguments.get(name) {
                None | Some(Value::Null) => return Ok(None),
                Some(value) => whole.push_str(&write(name, &plain(name, value)?)?),
            },
        }
    }
    Ok(Some(whole))
}

/// A value as one segment of a path, or as several if `slashes` may stay.
///
/// A `%2F` is a `/` again to servers that decode before they route, and then `..` climbs; so a value that has any of
/// it is refused rather than written.
///
/// # Errors
/// A value that would be, or could be taken for, another path.
pub fn segment(name: &str, value: &str, slashes: bool) -> Result<String, BadArgument> {
    let refused = |why| Err(BadArgument::Place(name.to_owned(), why));
    if value.contains('\\') || (value.contains('/') && !slashes) {
        return refused("must not have a `/` or `\\` here, as it is one part of a path");
    }
    if value.chars().any(char::is_control) {
        return refused("must not have a line break or another control character here");
    }
    if slashes && value.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refused("must not have an empty part, `.` or `..` between its slashes");
    }
    Ok(percent(value))
}

/// A value as part of a header.
///
/// # Errors
/// A value that would end the header or that servers read differently.
pub fn header(name: &str, value: &str) -> Result<String, BadArgument> {
    let refused = |why| Err(BadArgument::Place(name.to_owned(), why));
    if value.chars().any(char::is_control) {
        return refused("must not have a line break or another control character here, as it stands in a header");
    }
    if !value.is_ascii() {
        return refused("must have only ASCII letters here, as it stands in a header");
    }
    if value.len() > LONGEST_HEADER {
        return refused("is too long for a header");
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_in_its_segment() {
        let one = |value: &str| segment("x", value, false);
        assert_eq!(one("a b?c#d&e=f;g@h:i%2e"), Ok("a%20b%3Fc%23d%26e%3Df%3Bg%40h%3Ai%252e".to_owned()));
        assert_eq!(one("å"), Ok("%C3%A5".to_owned()));
        for value in ["a/b", "../admin", "..\\admin", "a\nb", "a\0b", "/"] {
            assert!(one(value).is_err(), "{value:?}");
        }
        assert_eq!(segment("x", "group/project", true), Ok("group%2Fproject".to_owned()));
        for value in ["a/../b", "/a", "a/", "a//b", "./a", "a\\b", "..", ""] {
            assert!(segment("x", value, true).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_value_cannot_begin_a_header() {
        assert_eq!(header("x", "a: b"), Ok("a: b".to_owned()));
        for value in ["a\r\nX-Admin: 1", "a\nb", "a\0", "å", &"y".repeat(LONGEST_HEADER + 1)] {
            assert!(header("x", value).is_err());
        }
    }
}

//! An `.env` file: `KEY=VALUE` lines. Values may stand in quotes, lines may begin with `export`, and nothing
//! is ever expanded: what is written is what is meant.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Invalid, Place};

/// Reads the text of an `.env` file. A later line replaces an earlier one of the same name.
///
/// # Errors
/// Names the first line that is no assignment. The value never stands in the message: it may be a secret.
pub fn read(path: &Path, text: &str) -> Result<BTreeMap<String, String>, Invalid> {
    let mut variables = BTreeMap::new();
    for (number, raw) in text.lines().enumerate() {
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = assignment(line).map_err(|(message, hint)| Invalid {
            place: Place::Line { file: path.to_owned(), line: number + 1 },
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
        })?;
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

type Wrong = (&'static str, &'static str);

fn assignment(line: &str) -> Result<(&str, String), Wrong> {
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let (name, value) = line.split_once('=').ok_or(("this is no assignment", "write `NAME=value`"))?;
    let name = name.trim_end();
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(("the name before `=` is not a variable's", "use letters, digits and `_`, first a letter"));
    }
    self::value(value.trim()).map(|value| (name, value))
}

fn value(text: &str) -> Result<String, Wrong> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        // A `#` inside a word belongs to it.
        return Ok(text.split(" #").next().unwrap_or_default().trim_end().to_owned());
    };
    let mut plain = String::new();
    let mut rest = text.chars();
    rest.next();
    while let Some(symbol) = rest.next() {
        match symbol {
            '\\' if quote == '"' => match rest.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                Some(escaped @ ('"' | '\\' | '$')) => plain.push(escaped),
                _ => return Err(("an escape in the value is not known", "use \\n, \\t, \\\", \\\\ or \\$")),
            },
            end if end == quote => {
                let after = rest.as_str().trim();
                return if after.is_empty() || after.starts_with('#') {
                    Ok(plain)
                } else {
                    Err(("something follows the closing quote", "put a `#` before a remark"))
                };
            }
            other => plain.push(other),
        }
    }
    Err(("the closing quote is missing", "end the value with the quote it begins with"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        super::read(Path::new(".env"), text)
            .map(|variables| variables.into_iter().collect())
            .map_err(|invalid| format!("{invalid} ({})", invalid.hint.as_deref().unwrap()))
    }

    #[test]
    fn lines_are_assignments_remarks_or_empty() {
        let text =
            "# keys\n\nexport API_KEY=\"a b\\n\"  # demo\r\nTOOLS='x,$y'\nRATE = 60 # a minute\nPLAIN=a#b\nNONE=\n";
        let expected = [("API_KEY", "a b\n"), ("NONE", ""), ("PLAIN", "a#b"), ("RATE", "60"), ("TOOLS", "x,$y")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(text), Ok(expected.to_vec()));
    }

    #[test]
    fn a_refusal_names_the_line_and_never_the_value() {
        for (text, expected) in [
            ("A=1\nsecret", ".env:2: this is no assignment (write `NAME=value`)"),
            (
                "1A=secret",
                ".env:1: the name before `=` is not a variable's (use letters, digits and `_`, first a letter)",
            ),
            ("A=\"secret", ".env:1: the closing quote is missing (end the value with the quote it begins with)"),
            ("A='secret' more", ".env:1: something follows the closing quote (put a `#` before a remark)"),
            (r#"A="\q""#, r#".env:1: an escape in the value is not known (use \n, \t, \", \\ or \$)"#),
        ] {
            assert_eq!(read(text), Err(expected.to_owned()));
        }
    }
}

//! The id of a message that is too long to be read, from its two ends: whoever sent it waits for an answer
//! with that id, and an answer to nobody would leave it waiting.

/// The id of the message that begins with `head` and ends with `tail`, as JSON text; `null` when neither end
/// shows it. Clients write it first or last, so what stands between is not looked at.
pub fn id(head: &[u8], tail: &[u8]) -> String {
    first(head).or_else(|| last(tail)).unwrap_or_else(|| "null".to_owned())
}

/// `{"jsonrpc":"2.0","id":ID,…` or `{"id":ID,…`, with or without blanks.
fn first(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let mut rest = text.trim_start().strip_prefix('{')?.trim_start();
    if let Some(after) = member(rest, "jsonrpc") {
        rest = after.strip_prefix("\"2.0\"")?.trim_start().strip_prefix(',')?.trim_start();
    }
    let value = member(rest, "id")?;
    let end = value.find([',', '}'])?;
    scalar(value.get(..end)?)
}

/// `…,"id":ID}`: what stands right before the last brace is a member of the message itself.
fn last(tail: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(tail);
    let inside = text.trim_end().strip_suffix('}')?.trim_end();
    let name = inside.rfind("\"id\"")?;
    let before = inside.get(..name)?.trim_end();
    if !before.ends_with([',', '{']) {
        return None;
    }
    scalar(member(inside.get(name..)?, "id")?)
}

/// What follows `"name":`.
fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.strip_prefix('"')?.strip_prefix(name)?.strip_prefix('"')?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

/// A whole string or integer and nothing else.
fn scalar(text: &str) -> Option<String> {
    let text = text.trim();
    let is_text = text.starts_with('"') && serde_json::from_str::<String>(text).is_ok();
    (is_text || text.parse::<i64>().is_ok()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_where_clients_write_it() {
        let found = |head: &str, tail: &str| id(head.as_bytes(), tail.as_bytes());
        assert_eq!(found(r#"{"jsonrpc":"2.0","id":7,"method":"#, "x"), "7");
        assert_eq!(found(r#" { "id" : "a\"b" , "method":"#, "x"), r#""a\"b""#);
        assert_eq!(found(r#"{"method":"tools/call","params":"#, r#"xx"}},"jsonrpc":"2.0","id":12}"#), "12");
        assert_eq!(found(r#"{"method":"tools/call","params":"#, r#"xx","id":"a"}}}"#), "null", "of an argument");
        assert_eq!(found(r#"{"method":"tools/call","params":"#, "aaaa"), "null");
        assert_eq!(found(r#"{"jsonrpc":"2.0","id":{},"#, ""), "null");
    }
}

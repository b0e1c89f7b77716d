//! The canonical form of RFC 8785 (JCS): members sorted by UTF-16 code units, no white space, the
//! shortest escapes, ECMAScript numbers.

use serde_json::{Map, Value};

use super::number;

/// Writes `value` in canonical form. A number that is not finite cannot occur in a [`Value`].
pub fn canonical(value: &Value) -> String {
    let mut out = String::with_capacity(128);
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(integer), _) if integer.unsigned_abs() <= number::LARGEST.unsigned_abs() => {
                out.push_str(&integer.to_string());
            }
            (_, Some(float)) => number::write(float, out),
            (_, None) => out.push_str("null"),
        },
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => object(members, out),
    }
}

fn object(members: &Map<String, Value>, out: &mut String) {
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    // UTF-8 order is UTF-16 order but for characters beyond the basic plane, which UTF-16 sorts
    // before U+E000..U+FFFF.
    sorted.sort_unstable_by(|(a, _), (b, _)| {
        if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
    });
    out.push('{');
    for (place, (name, value)) in sorted.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        string(name, out);
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = text;
    while let Some(at) = plain.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (before, rest) = plain.split_at(at);
        out.push_str(before);
        let mut rest = rest.chars();
        match rest.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\t') => out.push_str("\\t"),
            Some('\n') => out.push_str("\\n"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\r') => out.push_str("\\r"),
            Some(control) => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            None => {}
        }
        plain = rest.as_str();
    }
    out.push_str(plain);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_sorted_by_utf16_and_strings_escaped() {
        // RFC 8785 section 3.2.3 sorts these seven names in this order.
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control",
            "\u{f6}": "Latin Small Letter O With Diaeresis"
        });
        let order: Vec<usize> = ["\\r", "\"1\"", "\u{80}", "\u{f6}", "\u{20ac}", "\u{1f600}", "\u{fb33}"]
            .iter()
            .map(|name| canonical(&value).find(name).expect("present"))
            .collect();
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(canonical(&json!("\u{20ac}$\u{f}\nA'B\"\\\"/")), r#""€$\u000f\nA'B\"\\\"/""#);
    }

    #[test]
    fn nested_values_have_no_white_space() {
        let value = json!({"b": [1, 2.5, -0.0, null, true], "a": {"y": {}, "x": []}});
        assert_eq!(canonical(&value), r#"{"a":{"x":[],"y":{}},"b":[1,2.5,0,null,true]}"#);
    }
}

//! Text of a document as a tool carries it: one paragraph, without the markup of the page it was written for, and
//! short, because models pay for every word of every tool.

use serde_json::Value;

/// Characters of a tool's title at most.
pub const TITLE: usize = 100;
/// Characters of a tool's description at most.
pub const DESCRIPTION: usize = 1_000;
/// Characters of an argument's description at most.
pub const ARGUMENT: usize = 400;
/// Characters of a description inside an argument at most.
pub const INSIDE: usize = 160;
/// Characters of a default that is told.
const DEFAULT: usize = 60;

/// Elements of HTML that documents are written with. Anything else in angle brackets is text, such as `<id>`.
const MARKUP: &[&str] = &[
    "a",
    "b",
    "blockquote",
    "br",
    "code",
    "div",
    "dl",
    "dt",
    "dd",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "li",
    "ol",
    "p",
    "pre",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
];

/// One paragraph of at most `most` characters.
pub fn paragraph(text: &str, most: usize) -> String {
    let text = without_links(&without_markup(text));
    let mut out = String::with_capacity(text.len().min(4 * most));
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    // Control characters that are no white space say nothing to anybody.
    out.retain(|sign| !sign.is_control());
    cut(&out, most)
}

/// The description of a schema or a parameter, with what the other side takes when nothing is given. Its default is
/// told and not filled in: filled in it would be sent, and a PATCH would set what nobody named.
pub fn described(description: &str, default: Option<&Value>, most: usize) -> String {
    let text = paragraph(description, most);
    let default = match default {
        None | Some(Value::Null | Value::Object(_) | Value::Array(_)) => return text,
        Some(Value::String(default)) if default.is_empty() => return text,
        Some(Value::String(default)) => default.clone(),
        Some(default) => default.to_string(),
    };
    if default.chars().count() > DEFAULT || text.to_lowercase().contains("default") {
        return text;
    }
    let stop = if text.is_empty() || text.ends_with(['.', '!', '?', '…', ':']) { "" } else { "." };
    let space = if text.is_empty() { "" } else { " " };
    format!("{text}{stop}{space}Default: {}.", paragraph(&default, DEFAULT))
}

/// Cuts at the end of a sentence if one ends in the last third, else behind a word.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    let sentence = [". ", "! ", "? "].iter().filter_map(|end| kept.rfind(end)).max();
    if let Some(end) = sentence.filter(|end| *end > kept.len() / 3 * 2) {
        return kept.get(..=end).unwrap_or_default().to_owned();
    }
    let word = kept.rfind(' ').and_then(|end| kept.get(..end)).unwrap_or(&kept);
    format!("{}…", word.trim_end_matches([',', ';', ':', ' ']))
}

/// Links of Markdown as their words alone: nobody follows them here, and models pay for them.
fn without_links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let target = after.split_once(')').filter(|(target, _)| !target.contains(char::is_whitespace));
        match (before.rsplit_once('['), target) {
            (Some((left, words)), Some((_, behind))) => {
                out.push_str(left);
                out.push_str(words);
                rest = behind;
            }
            _ => {
                out.push_str(before);
                out.push_str("](");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn without_markup(text: &str) -> String {
    if !text.contains('<') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let name = after.trim_start_matches('/');
        let name: String = name.chars().take_while(char::is_ascii_alphanumeric).collect();
        match after.split_once('>') {
            Some((_, behind)) if MARKUP.contains(&name.to_ascii_lowercase().as_str()) => {
                out.push(' ');
                rest = behind;
            }
            _ => {
                out.push('<');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_becomes_one_short_paragraph() {
        assert_eq!(paragraph("<p>Lists  <b>all</b>\n pets of `<owner>`.</p>", 99), "Lists all pets of `<owner>`.");
        assert_eq!(
            paragraph("See \"[the docs](https://x.example/a#b)\", [1] or a[i](x y).", 99),
            "See \"the docs\", [1] or a[i](x y)."
        );
        assert_eq!(paragraph("a < b and c > d\u{7}", 99), "a < b and c > d");
        assert_eq!(paragraph("One two three. Four five six seven eight.", 20), "One two three.");
        assert_eq!(paragraph("One, two three four", 10), "One, two…");
        assert_eq!(paragraph("ååååå ååååå", 7), "ååååå…");
    }

    #[test]
    fn a_default_is_told_once_and_in_words() {
        for (description, default, told) in [
            ("How many", json!(30), "How many. Default: 30."),
            ("How many, by default 30", json!(30), "How many, by default 30"),
            ("", json!("x"), "Default: x."),
            ("A.", json!(null), "A."),
            ("A.", json!([1]), "A."),
            ("A.", json!(false), "A. Default: false."),
        ] {
            assert_eq!(described(description, Some(&default), 99), told);
        }
    }
}

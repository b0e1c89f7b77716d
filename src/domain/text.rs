//! Text that others wrote, made harmless for who reads it, on a terminal or in a chat: nothing in it can act,
//! hide or pass for something else unseen.

/// Shows text that others wrote so that it can do nothing to the terminal and hide nothing from its
/// reader: control characters (C0, C1, and with them every ANSI sequence), bidirectional controls, invisible
/// and blank look-alike characters, tag characters, variation selectors and piled-up combining marks
/// appear as `\n`, `\t` or `\u{…}`. Everything else stays as it is.
pub fn escape_untrusted(text: &str) -> String {
    escape(text, false)
}

/// The same for text of several lines: line feeds stay.
pub fn escape_lines(text: &str) -> String {
    escape(text, true)
}

/// One field of tab-separated output: only what would break the line is escaped.
pub fn escape_field(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for symbol in text.chars() {
        if symbol.is_control() { write_escape(symbol, &mut out) } else { out.push(symbol) }
    }
    out
}

/// JSON text for a terminal: the same characters as in [`escape_untrusted`], as the `\uXXXX` of JSON, so that
/// it stays JSON. White space between values is expected to be spaces and line feeds.
pub fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut marks = 0;
    for symbol in json.chars() {
        if symbol != '\n' && is_deceptive(symbol, &mut marks) {
            let mut units = [0; 2];
            for unit in symbol.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(symbol);
        }
    }
    out
}

/// A number of things: `1 call`, `2 calls`.
pub fn counted(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    // What is more than a `u64` holds is many.
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {}", if count == 1 { one } else { many })
}

fn escape(text: &str, keep_lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    for symbol in text.chars() {
        if keep_lines && symbol == '\n' {
            out.push(symbol);
        } else if is_deceptive(symbol, &mut marks) {
            write_escape(symbol, &mut out);
        } else {
            out.push(symbol);
        }
    }
    out
}

fn write_escape(symbol: char, out: &mut String) {
    match symbol {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        other => out.push_str(&format!("\\u{{{:x}}}", u32::from(other))),
    }
}

/// `marks` counts the combining marks just before: more than two in a row are never a language.
fn is_deceptive(symbol: char, marks: &mut u32) -> bool {
    if is_combining(symbol) {
        *marks += 1;
        return *marks > 2;
    }
    *marks = 0;
    symbol.is_control()
        || (symbol.is_whitespace() && symbol != ' ')
        || matches!(u32::from(symbol),
            0x00ad | 0x034f | 0x061c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f
            | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164
            | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffc | 0x1_d173..=0x1_d17a
            | 0xe000..=0xf8ff | 0xe_0000..=0x10_ffff)
        || u32::from(symbol) & 0xfffe == 0xfffe
        || matches!(u32::from(symbol), 0xfdd0..=0xfdef)
}

fn is_combining(symbol: char) -> bool {
    matches!(u32::from(symbol),
        0x0300..=0x034e | 0x0350..=0x036f | 0x0483..=0x0489 | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff
        | 0xfe20..=0xfe2f)
}

/// The first letter that a reader would take for another: one of another alphabet inside a word that has
/// Latin letters.
pub fn foreign_letter(text: &str) -> Option<char> {
    text.split(|symbol: char| !symbol.is_alphanumeric()).find_map(|word| {
        let latin = word.chars().any(|letter| letter.is_ascii_alphabetic());
        let foreign = word.chars().find(|letter| {
            matches!(u32::from(*letter),
                0x0370..=0x03ff | 0x0400..=0x052f | 0x0530..=0x058f | 0x13a0..=0x13ff | 0x1c80..=0x1c8f
                | 0xab70..=0xabbf | 0xff21..=0xff3a | 0xff41..=0xff5a | 0x1_d400..=0x1_d7ff)
        });
        foreign.filter(|_| latin)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_deceptive_reaches_the_terminal() {
        for (text, shown) in [
            ("plain, ünïcode, 日本語, 👍", "plain, ünïcode, 日本語, 👍"),
            ("\x1b[2J\x1b]0;x\x07", "\\u{1b}[2J\\u{1b}]0;x\\u{7}"),
            ("a\nb\rc\td", "a\\nb\\rc\\td"),
            ("\u{9b}31m\u{7f}\u{85}", "\\u{9b}31m\\u{7f}\\u{85}"),
            ("safe\u{202e}gpj.exe", "safe\\u{202e}gpj.exe"),
            ("\u{2066}x\u{2069}\u{61c}\u{200e}\u{200f}", "\\u{2066}x\\u{2069}\\u{61c}\\u{200e}\\u{200f}"),
            ("a\u{200b}b\u{200d}\u{2060}\u{feff}\u{ad}", "a\\u{200b}b\\u{200d}\\u{2060}\\u{feff}\\u{ad}"),
            ("\u{e0061}\u{e0001}\u{e007f}", "\\u{e0061}\\u{e0001}\\u{e007f}"),
            ("x\u{fe0f}\u{e0100}\u{180e}", "x\\u{fe0f}\\u{e0100}\\u{180e}"),
            ("\u{2028}\u{2029}\u{a0}\u{3000}\u{2800}\u{3164}", "\\u{2028}\\u{2029}\\u{a0}\\u{3000}\\u{2800}\\u{3164}"),
            ("e\u{301}\u{302}\u{303}\u{304}", "e\u{301}\u{302}\\u{303}\\u{304}"),
            ("\u{fff9}\u{e000}\u{fffe}\u{10ffff}", "\\u{fff9}\\u{e000}\\u{fffe}\\u{10ffff}"),
        ] {
            assert_eq!(escape_untrusted(text), shown);
        }
        assert_eq!(escape_lines("a\n\u{1b}b"), "a\n\\u{1b}b");
        assert_eq!(escape_field("a\tb\u{202e}"), "a\\tb\u{202e}");
    }

    #[test]
    fn one_is_one() {
        assert_eq!(
            [0, 1, 2].map(|n: u64| counted(n, "tool is", "tools are")),
            ["0 tools are", "1 tool is", "2 tools are"]
        );
    }

    #[test]
    fn json_stays_json_when_it_is_escaped() {
        let value = serde_json::json!({"a\u{202e}": "\u{e0061}\u{9b}x\u{7f}", "b": "ok 👍"});
        let shown = escape_json(&serde_json::to_string_pretty(&value).expect("JSON"));
        assert!(shown.contains("\\u202e") && shown.contains("\\udb40\\udc61") && shown.contains("👍"), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
    }

    #[test]
    fn a_letter_of_another_alphabet_is_found_inside_a_word() {
        assert_eq!(foreign_letter("p\u{430}ypal.com"), Some('\u{430}'));
        assert_eq!(foreign_letter("paypal Москва Ωμέγα"), None);
    }
}

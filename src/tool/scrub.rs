//! Secrets do not stay in what is kept of an output: each value that a tool was given, as it is or in
//! the usual encodings, becomes its name. This stops accidents; whoever hides a secret on purpose can.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter values are left alone: they would be found everywhere.
const SHORTEST: usize = 8;

/// What one run must not tell.
pub struct Secrets<'a> {
    /// Each form of each value without its line breaks, and the name of the value.
    forms: Vec<(Vec<u8>, &'a str)>,
    /// Finds them; none when there are none.
    finder: Option<AhoCorasick>,
}

impl<'a> Secrets<'a> {
    /// Values with their names.
    pub fn of(secrets: &'a [(String, String)]) -> Self {
        let long = secrets.iter().filter(|(_, value)| value.len() >= SHORTEST);
        let forms: Vec<_> =
            long.flat_map(|(name, value)| forms(value).into_iter().map(move |form| (form, name.as_str()))).collect();
        // A longer form may hold a shorter one. Patterns that are too many for a finder cannot be: they fit in a job.
        let patterns = forms.iter().map(|(form, _)| form);
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns);
        let finder = finder.ok().filter(|_| !forms.is_empty());
        Self { forms, finder }
    }

    /// Bytes of the longest form: how much of a secret may stand where output was cut.
    pub fn longest(&self) -> usize {
        self.forms.iter().map(|(form, _)| form.len()).max().unwrap_or_default()
    }

    /// Puts `‹secret:name›` where a secret stands. Line breaks inside one, as encoders make them, do not hide it.
    pub fn scrub(&self, bytes: Vec<u8>) -> Vec<u8> {
        let Some(finder) = &self.finder else { return bytes };
        let lines = Lines::of(&bytes);
        let (mut clean, mut at) = (Vec::new(), 0);
        for found in finder.find_iter(&lines.joined) {
            let name = self.forms.get(found.pattern().as_usize()).map_or("", |(_, name)| name);
            let (start, end) = (lines.place(found.start()), lines.place(found.end().saturating_sub(1)) + 1);
            clean.extend_from_slice(bytes.get(at..start).unwrap_or_default());
            clean.extend(format!("‹secret:{name}›").bytes());
            at = end;
        }
        if at == 0 {
            return bytes;
        }
        clean.extend_from_slice(bytes.get(at..).unwrap_or_default());
        clean
    }
}

/// Bytes without their line breaks.
struct Lines {
    joined: Vec<u8>,
    /// Before which byte of `joined` each break stood.
    breaks: Vec<usize>,
}

impl Lines {
    fn of(bytes: &[u8]) -> Self {
        let mut lines = Self { joined: Vec::with_capacity(bytes.len()), breaks: Vec::new() };
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => lines.breaks.push(lines.joined.len()),
                byte => lines.joined.push(*byte),
            }
        }
        lines
    }

    /// Where the byte at `place` stood.
    fn place(&self, place: usize) -> usize {
        place + self.breaks.partition_point(|at| *at <= place)
    }
}

/// The value itself, backwards, in UTF-16, and as it looks in JSON, base64 (whatever stands before it), hexadecimal
/// and URLs.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let bytes = value.as_bytes();
    let quoted = serde_json::Value::String(value.to_owned()).to_string();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent = percent(bytes);
    let mut forms: Vec<Vec<u8>> = [
        value.to_owned(),
        value.chars().rev().collect(),
        quoted.trim_matches('"').to_owned(),
        // As JSON for readers that know ASCII alone, and with every sign escaped.
        escaped(quoted.trim_matches('"'), |unit| unit > 0x7e),
        escaped(value, |_| true),
        hex.to_uppercase(),
        hex,
        lower_escapes(&percent),
        percent.replace("%20", "+"),
        percent,
    ]
    .map(String::into_bytes)
    .to_vec();
    forms.push(value.encode_utf16().flat_map(u16::to_le_bytes).collect());
    forms.push(value.encode_utf16().flat_map(u16::to_be_bytes).collect());
    for before in 0..3 {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = engine.encode([vec![0; before], bytes.to_vec()].concat());
            // The first and the last signs also hold bits of what stands beside the value.
            let first = (before * 8).div_ceil(6);
            let last = (before + bytes.len()) * 8 / 6;
            forms.extend(text.get(first..last).map(|inner| inner.as_bytes().to_vec()));
        }
    }
    forms.iter_mut().for_each(|form| form.retain(|byte| !matches!(byte, b'\r' | b'\n')));
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort();
    forms.dedup();
    forms
}

fn percent(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    bytes.iter().map(one).collect()
}

/// The same with `%2f` for `%2F`.
fn lower_escapes(percent: &str) -> String {
    let mut parts = percent.split('%');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(part.len().min(2));
        whole.push('%');
        whole.push_str(&code.to_lowercase());
        whole.push_str(rest);
    }
    whole
}

/// `\uXXXX` for the UTF-16 units that `must` be escaped.
fn escaped(text: &str, must: impl Fn(u16) -> bool) -> String {
    let mut whole = String::new();
    for sign in text.chars() {
        let mut units = [0; 2];
        for unit in sign.encode_utf16(&mut units) {
            if must(*unit) {
                whole.push_str(&format!("\\u{unit:04x}"));
            } else {
                whole.extend(char::from_u32(u32::from(*unit)));
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: Vec<u8>, secrets: &[(String, String)]) -> String {
        String::from_utf8_lossy(&Secrets::of(secrets).scrub(text)).into_owned()
    }

    #[test]
    fn a_secret_is_found_in_every_usual_form() {
        let value = "s3cr3t \"välue\"/+";
        let secrets = [("API_TOKEN".to_owned(), value.to_owned())];
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for before in 0..4 {
            let around = format!("{}{value}tail", "x".repeat(before));
            let wrapped: Vec<String> = STANDARD_NO_PAD
                .encode(&around)
                .as_bytes()
                .chunks(7)
                .map(|line| String::from_utf8_lossy(line).into())
                .collect();
            for form in [
                around.clone().into_bytes(),
                around.chars().rev().collect::<String>().into_bytes(),
                serde_json::Value::String(around.clone()).to_string().into_bytes(),
                STANDARD_NO_PAD.encode(&around).into_bytes(),
                URL_SAFE_NO_PAD.encode(&around).into_bytes(),
                wrapped.join("\r\n").into_bytes(),
                around.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
                b"a%20s3cr3t%20%22v%C3%A4lue%22%2F%2B".to_vec(),
                b"s3cr3t+%22v%C3%A4lue%22%2F%2B".to_vec(),
                b"s3cr3t%20%22v%c3%a4lue%22%2f%2b".to_vec(),
                br#"{"x":"s3cr3t \"v\u00e4lue\"/+"}"#.to_vec(),
                br#"\u0073\u0033\u0063\u0072\u0033\u0074\u0020\u0022\u0076\u00e4\u006c\u0075\u0065\u0022\u002f\u002b"#
                    .to_vec(),
                utf16(&around),
                "s3cr3t \"vä\nlue\"/+".to_owned().into_bytes(),
            ] {
                let clean = clean(form.clone(), &secrets);
                assert!(clean.contains("‹secret:API_TOKEN›"), "{} became {clean}", String::from_utf8_lossy(&form));
            }
        }
    }

    #[test]
    fn what_stands_around_a_secret_stays() {
        let secrets = [("A".to_owned(), "one-secret".to_owned()), ("B".to_owned(), "one-secret-more".to_owned())];
        let text = "\r\n1\none-secret\n2 one-secr\net-more\n\n3one-secretone-secret\n".to_owned().into_bytes();
        assert_eq!(clean(text, &secrets), "\r\n1\n‹secret:A›\n2 ‹secret:B›\n\n3‹secret:A›‹secret:A›\n");
    }

    #[test]
    fn what_is_no_secret_stays_byte_for_byte() {
        let secrets = [("A".to_owned(), "short".to_owned()), ("B".to_owned(), "long enough".to_owned())];
        assert_eq!(Secrets::of(&secrets).scrub(b"short \xff\r\n story".to_vec()), b"short \xff\r\n story");
        assert_eq!(Secrets::of(&[]).scrub(b"\r\n".to_vec()), b"\r\n");
    }
}

//! Secrets do not stay in what is kept of an output: each value that a tool was given, as it is or in
//! the usual encodings, becomes its name. This stops accidents; whoever hides a secret on purpose can.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;

/// Shorter values are left alone: they would be found everywhere.
const SHORTEST: usize = 8;

/// Puts `‹secret:name›` where a secret stands.
pub fn scrub(bytes: Vec<u8>, secrets: &[(String, String)]) -> Vec<u8> {
    let mut forms: Vec<(Vec<u8>, &str)> = secrets
        .iter()
        .filter(|(_, value)| value.len() >= SHORTEST)
        .flat_map(|(name, value)| forms(value).into_iter().map(move |form| (form, name.as_str())))
        .collect();
    // A longer form may hold a shorter one.
    forms.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
    forms.into_iter().fold(bytes, |bytes, (form, name)| replace(bytes, &form, name))
}

/// The value itself, and as it looks in JSON, base64 (whatever stands before it), hexadecimal and URLs.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let bytes = value.as_bytes();
    let quoted = serde_json::Value::String(value.to_owned()).to_string();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = bytes
        .iter()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let plain = [value.to_owned(), quoted.trim_matches('"').to_owned(), hex.to_uppercase(), hex, percent];
    let mut forms: Vec<Vec<u8>> = plain.into_iter().map(String::into_bytes).collect();
    for before in 0..3 {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = engine.encode([vec![0; before], bytes.to_vec()].concat());
            // The first and the last signs also hold bits of what stands beside the value.
            let first = (before * 8).div_ceil(6);
            let last = (before + bytes.len()) * 8 / 6;
            forms.extend(text.get(first..last).map(|inner| inner.as_bytes().to_vec()));
        }
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort();
    forms.dedup();
    forms
}

fn replace(bytes: Vec<u8>, form: &[u8], name: &str) -> Vec<u8> {
    let mut rest = bytes.as_slice();
    let mut clean = Vec::new();
    while let Some(at) = memmem::find(rest, form) {
        let (before, found) = rest.split_at(at);
        clean.extend_from_slice(before);
        clean.extend(format!("‹secret:{name}›").bytes());
        rest = found.get(form.len()..).unwrap_or_default();
    }
    if clean.is_empty() {
        return bytes;
    }
    clean.extend_from_slice(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_usual_form() {
        let value = "s3cr3t \"value\"/+";
        let secrets = [("API_TOKEN".to_owned(), value.to_owned())];
        for before in 0..4 {
            let around = format!("{}{value}tail", "x".repeat(before));
            for form in [
                around.clone(),
                serde_json::Value::String(around.clone()).to_string(),
                STANDARD_NO_PAD.encode(&around),
                URL_SAFE_NO_PAD.encode(&around),
                around.bytes().map(|byte| format!("{byte:02x}")).collect(),
                "a%20s3cr3t%20%22value%22%2F%2B".to_owned(),
            ] {
                let clean = scrub(form.clone().into_bytes(), &secrets);
                let clean = String::from_utf8(clean).expect("text");
                assert!(clean.contains("‹secret:API_TOKEN›"), "{form} became {clean}");
            }
        }
    }

    #[test]
    fn what_is_no_secret_stays_byte_for_byte() {
        let secrets = [("A".to_owned(), "short".to_owned()), ("B".to_owned(), "long enough".to_owned())];
        assert_eq!(scrub(b"short \xff story".to_vec(), &secrets), b"short \xff story");
    }
}

//! Text for people: times and spans are put into words, and what others wrote is made harmless. Pure.

use std::time::Duration;

use textwrap::{Options, WordSeparator, WordSplitter};

pub use crate::domain::text::{counted, escape_field, escape_json, escape_lines, escape_untrusted, foreign_letter};
use crate::domain::time::Timestamp;

/// A span in its two largest units: `2m 5s`, `29m`, `3h 10m`, `12d`.
pub fn span(span: Duration) -> String {
    let total = span.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let first = units.iter().position(|(size, _)| total >= *size).unwrap_or(3);
    let mut rest = total;
    let parts: Vec<String> = units
        .iter()
        .skip(first)
        .take(2)
        .filter_map(|(size, unit)| {
            let count = rest / size;
            rest %= size;
            (count > 0 || *size == 1 && first == 3).then(|| format!("{count}{unit}"))
        })
        .collect();
    parts.join(" ")
}

/// A span of milliseconds: as [`span`] says it, or in milliseconds where that would not be exact.
pub fn milliseconds(milliseconds: u64) -> String {
    if milliseconds.is_multiple_of(1_000) {
        span(Duration::from_secs(milliseconds / 1_000))
    } else {
        format!("{milliseconds}ms")
    }
}

/// A number of bytes in the largest unit that says it exactly: `64 MiB`, `1000 bytes`.
pub fn bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(size, _)| bytes >= *size && bytes.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{} {unit}", bytes / size),
        None => format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" }),
    }
}

/// A time seen from `now`: `2m ago`, `in 29m`, `now`. Text that is no time is shown escaped.
pub fn relative(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) if time > now => format!("in {}", coarse(time.since(now))),
        Ok(time) if now.since(time) < Duration::from_secs(1) => "now".to_owned(),
        Ok(time) => format!("{} ago", coarse(now.since(time))),
        Err(_) => escape_untrusted(time),
    }
}

/// A span in its largest unit.
fn coarse(duration: Duration) -> String {
    let text = span(duration);
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// The candidate nearest to `word`, if it is near enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| text.to_lowercase().replace('_', "-");
    let word = fold(word);
    candidates
        .into_iter()
        .map(|candidate| {
            let folded = fold(candidate);
            let mut score = strsim::jaro_winkler(&word, &folded);
            if !word.is_empty() && (folded.starts_with(&word) || folded.contains(&word)) {
                score = score.max(0.9);
            }
            (candidate, score)
        })
        .filter(|(_, score)| *score >= 0.75)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(candidate, _)| candidate)
}

/// Text in lines that fit a terminal, the second and later ones `indent` columns in. Words stay whole, and what is in
/// lines already keeps them.
pub fn wrapped(text: &str, width: Option<u16>, indent: usize) -> String {
    /// Less than this beside the indent is no room for sentences.
    const NARROWEST: usize = 30;
    let room = width.map_or(0, usize::from).saturating_sub(indent);
    if room < NARROWEST {
        return text.to_owned();
    }
    let options = Options::new(room).break_words(false).word_splitter(WordSplitter::NoHyphenation);
    textwrap::wrap(text, options.word_separator(WordSeparator::AsciiSpace)).join(&format!("\n{:indent$}", ""))
}

/// A word for a shell: quoted when it needs to be (POSIX).
pub fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@,+%#".contains(&byte);
    if !word.is_empty() && !word.starts_with('#') && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_times_are_put_into_words() {
        for (seconds, words) in [(0, "0s"), (59, "59s"), (125, "2m 5s"), (3600, "1h"), (90_061, "1d 1h")] {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
        for (number, words) in [(0, "0s"), (250, "250ms"), (90_000, "1m 30s"), (1_500, "1500ms")] {
            assert_eq!(milliseconds(number), words);
        }
        for (number, words) in
            [(1, "1 byte"), (1_000, "1000 bytes"), (1_024, "1 KiB"), (1 << 20, "1 MiB"), (3 << 30, "3 GiB")]
        {
            assert_eq!(bytes(number), words);
        }
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
        for (time, words) in [
            ("2026-11-23T11:58:00Z", "2m ago"),
            ("2026-11-23T12:29:30Z", "in 29m"),
            ("2026-11-23T12:00:00Z", "now"),
            ("\u{1b}x", "\\u{1b}x"),
        ] {
            assert_eq!(relative(time, now), words);
        }
    }

    #[test]
    fn the_nearest_word_is_offered_only_when_it_is_near() {
        let tools = ["create_ticket", "search_customer", "send_message"];
        assert_eq!(nearest("create_tiket", tools), Some("create_ticket"));
        assert_eq!(nearest("create-ticket", tools), Some("create_ticket"));
        assert_eq!(nearest("ticket", tools), Some("create_ticket"));
        assert_eq!(nearest("amount", ["amount-cents", "order"]), Some("amount-cents"));
        assert_eq!(nearest("xyzzy", tools), None);
    }

    #[test]
    fn sentences_fit_the_terminal_and_paths_stay_whole() {
        let text = "anybody can read /a/very/long/path/that/does/not/fit/into/the/line/at/all, so chmod it";
        let shown = wrapped(text, Some(46), 6);
        assert_eq!(
            shown,
            "anybody can read\n      /a/very/long/path/that/does/not/fit/into/the/line/at/all,\n      so chmod it"
        );
        for width in [None, Some(0), Some(20)] {
            assert_eq!(wrapped(text, width, 6), text, "{width:?}");
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, quoted) in [("a-b=c", "a-b=c"), ("", "''"), ("it's", "'it'\\''s'"), ("$x", "'$x'"), ("#17", "'#17'")]
        {
            assert_eq!(shell_word(word), quoted);
        }
    }
}

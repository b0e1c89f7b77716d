//! The difference between a file and what it is about to be, as people know it from version control. What changed
//! is told from the texts themselves; shown is what may be seen of them, as what is printed may end in a log.

use similar::{ChangeTag, TextDiff};

use crate::cli::text::escape_untrusted;
use crate::cli::ui::Tone;

/// Lines shown around a change.
const AROUND: usize = 3;
/// Characters of one line at most: some clients keep everything on one.
const WIDEST: usize = 200;
/// A text and how it is shown, line for line.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What it says.
    pub text: &'a str,
    /// The same, with as many lines.
    pub shown: &'a str,
}

/// The unified difference, coloured by `paint`; empty when there is none. Long lines are cut.
pub fn unified(name: &str, old: Side<'_>, new: Side<'_>, paint: impl Fn(Tone, &str) -> String) -> String {
    difference(name, old, new, AROUND, narrow, paint)
}

/// Everything that is new or old, whole: for what somebody is to agree to.
pub fn whole(name: &str, old: Side<'_>, new: Side<'_>, paint: impl Fn(Tone, &str) -> String) -> String {
    difference(name, old, new, usize::MAX / 4, |line| escape_untrusted(line.trim_end_matches(['\n', '\r'])), paint)
}

fn difference(
    name: &str,
    old: Side<'_>,
    new: Side<'_>,
    around: usize,
    fit: impl Fn(&str) -> String,
    paint: impl Fn(Tone, &str) -> String,
) -> String {
    let lines = |text| str::split_inclusive(text, '\n').collect::<Vec<&str>>();
    let (old_lines, new_lines) = (lines(old.text), lines(new.text));
    let (old_shown, new_shown) = (lines(old.shown), lines(new.shown));
    let diff = TextDiff::from_slices(&old_lines, &new_lines);
    let mut unified = diff.unified_diff();
    let unified = unified.context_radius(around);
    let mut out = String::new();
    for hunk in unified.iter_hunks() {
        if out.is_empty() {
            let name = escape_untrusted(name);
            out.push_str(&format!("{}\n", paint(Tone::Strong, &format!("--- {name}"))));
            out.push_str(&format!("{}\n", paint(Tone::Strong, &format!("+++ {name}"))));
        }
        out.push_str(&format!("{}\n", paint(Tone::Faint, &hunk.header().to_string())));
        for change in hunk.iter_changes() {
            let new = change.new_index().and_then(|number| new_shown.get(number));
            let line = new.or_else(|| change.old_index().and_then(|number| old_shown.get(number)));
            let text = fit(line.copied().unwrap_or_default());
            out.push_str(&match change.tag() {
                ChangeTag::Equal => format!(" {text}"),
                ChangeTag::Insert => paint(Tone::Good, &format!("+{text}")),
                ChangeTag::Delete => paint(Tone::Bad, &format!("-{text}")),
            });
            out.push('\n');
        }
    }
    out
}

/// One line as it fits: tabs stay, what lies beyond the width does not.
fn narrow(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    let length = line.chars().count();
    let text = match length.checked_sub(WIDEST) {
        Some(more @ 1..) => format!("{}… ({more} more characters)", line.chars().take(WIDEST).collect::<String>()),
        Some(0) | None => line.to_owned(),
    };
    text.split('\t').map(escape_untrusted).collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(old: &str, new: &str) -> String {
        unified("mcp.json", Side { text: old, shown: old }, Side { text: new, shown: new }, |_, text| text.to_owned())
    }

    #[test]
    fn a_difference_is_told_from_the_text_and_shown_as_it_may_be_seen() {
        let old = Side { text: "{\r\n\t\"a\": \"x\"\r\n}\r\n", shown: "{\n\t\"a\": \"…\"\n}\n" };
        let new = Side { text: "{\r\n\t\"a\": \"y\"\r\n}\r\n", shown: old.shown };
        assert_eq!(
            unified("mcp.json", old, new, |_, text| text.to_owned()),
            "--- mcp.json\n+++ mcp.json\n@@ -1,3 +1,3 @@\n {\n-\t\"a\": \"…\"\n+\t\"a\": \"…\"\n }\n"
        );
        assert_eq!(unified("mcp.json", old, old, |_, text| text.to_owned()), "");
    }

    #[test]
    fn what_others_wrote_cannot_draw_on_the_screen() {
        let shown = plain("", "\u{1b}[2J\n");
        assert!(shown.ends_with("+\\u{1b}[2J\n"), "{shown:?}");
        assert!(plain("", &"y".repeat(500)).ends_with("… (300 more characters)\n"));
    }
}

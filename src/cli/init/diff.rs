//! The difference between a file and what it is about to be, as people know it from version control. Values that
//! look like secrets of others are not shown: what is printed may end in a log.

use similar::{ChangeTag, TextDiff};

use crate::cli::text::escape_untrusted;
use crate::cli::ui::Tone;

/// Lines shown around a change.
const AROUND: usize = 3;
/// Characters of one line at most: some clients keep everything on one.
const WIDEST: usize = 200;
/// Words in the name of a value that is nobody's business.
const SECRETIVE: [&str; 9] =
    ["token", "secret", "passw", "apikey", "api_key", "api-key", "authorization", "bearer", "credential"];

/// The unified difference, coloured by `paint`; empty when there is none.
pub fn unified(name: &str, old: &str, new: &str, paint: impl Fn(Tone, &str) -> String) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut unified = diff.unified_diff();
    let unified = unified.context_radius(AROUND);
    let mut out = String::new();
    for hunk in unified.iter_hunks() {
        if out.is_empty() {
            let name = escape_untrusted(name);
            out.push_str(&format!("{}\n", paint(Tone::Strong, &format!("--- {name}"))));
            out.push_str(&format!("{}\n", paint(Tone::Strong, &format!("+++ {name}"))));
        }
        out.push_str(&format!("{}\n", paint(Tone::Faint, &hunk.header().to_string())));
        for change in hunk.iter_changes() {
            let text = shown(change.value());
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

/// One line as it may be seen: tabs stay, secrets and what lies beyond the width do not.
fn shown(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    let lower = line.to_ascii_lowercase();
    let secret = SECRETIVE.iter().filter_map(|word| lower.find(word)).min();
    let kept = secret.and_then(|at| {
        let value = lower.get(at..)?.find([':', '='])?;
        line.get(..=at + value)
    });
    let text = match kept {
        Some(kept) => format!("{kept} …"),
        None if line.chars().count() > WIDEST => {
            let more = line.chars().count() - WIDEST;
            format!("{}… ({more} more characters)", line.chars().take(WIDEST).collect::<String>())
        }
        None => line.to_owned(),
    };
    text.split('\t').map(escape_untrusted).collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_without_the_secrets_around_it() {
        let old = "{\r\n\t\"a\": {\r\n\t\t\"GITHUB_TOKEN\": \"ghp_x\"\r\n\t}\r\n}\r\n";
        let new = "{\r\n\t\"a\": {\r\n\t\t\"GITHUB_TOKEN\": \"ghp_x\"\r\n\t},\r\n\t\"b\": 1\r\n}\r\n";
        assert_eq!(
            unified("mcp.json", old, new, |_, text| text.to_owned()),
            "--- mcp.json\n+++ mcp.json\n@@ -1,5 +1,6 @@\n {\n \t\"a\": {\n \t\t\"GITHUB_TOKEN\": …\n-\t}\n+\t},\n+\t\"b\": 1\n }\n"
        );
        assert_eq!(unified("mcp.json", old, old, |_, text| text.to_owned()), "");
    }

    #[test]
    fn what_others_wrote_cannot_draw_on_the_screen() {
        let shown = unified("x", "", "\u{1b}[2J\n", |_, text| text.to_owned());
        assert!(shown.ends_with("+\\u{1b}[2J\n"), "{shown:?}");
        assert!(unified("x", "", &"y".repeat(500), |_, text| text.to_owned()).ends_with("… (300 more characters)\n"));
    }
}

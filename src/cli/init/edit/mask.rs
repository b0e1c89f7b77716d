//! A config as it may be shown: names and structure stay, and of the values only those that our own entry is made of.
//! Everything else (values, comments, what is not understood) becomes `…`, as anybody's may be a secret and what is
//! shown may end in a log. What is shown is listed, what is hidden is not, so a text that is misread shows less.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Members, Syntax, yaml};

/// What stands for a value.
const HIDDEN: &str = "…";

/// The text line for line, with nothing in it but names, structure and the values in `ours`.
pub fn mask(syntax: Syntax, text: &str, ours: &[Members]) -> String {
    let mut shown = BTreeSet::new();
    for (_, value) in ours.iter().flatten() {
        forms(value, &mut shown);
    }
    match syntax {
        Syntax::Json | Syntax::Toml => tokens(text, &shown),
        Syntax::Yaml => lines(text, &shown),
    }
}

/// The ways in which a value and those inside it may be written.
fn forms(value: &Value, shown: &mut BTreeSet<String>) {
    shown.extend([value.to_string(), yaml::flow(value)]);
    match value {
        Value::String(text) => drop(shown.insert(format!("'{text}'"))),
        Value::Array(items) => items.iter().for_each(|item| forms(item, shown)),
        Value::Object(members) => members.values().for_each(|member| forms(member, shown)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// JSON with comments, and TOML. Outside strings and comments no text of the one can be mistaken for the other.
fn tokens(text: &str, shown: &BTreeSet<String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    // How many brackets are open, and whether the line is a table's header, where all words are names.
    let (mut depth, mut header) = (0_usize, false);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' => string(rest, first),
            '#' => to_line_end(rest),
            '/' if rest.starts_with("//") => to_line_end(rest),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            _ if is_structure(first) || first == '/' => first.len_utf8(),
            // The colons of a time are part of it.
            _ => rest.find(|end| end != ':' && (is_structure(end) || "\"'#/".contains(end))).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = after;
        let next = after.trim_start().chars().next();
        match first {
            _ if is_structure(first) => {
                let line = out.rsplit('\n').next().unwrap_or_default();
                header = first != '\n' && (header || (first == '[' && depth == 0 && line.trim().is_empty()));
                match first {
                    '[' | '{' => depth += 1,
                    ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                out.push(first);
                continue;
            }
            '#' => out.push_str("# …"),
            '/' if token.starts_with("//") => out.push_str("// …"),
            '/' if token.starts_with("/*") => out.push_str("/* … */"),
            '"' if header || matches!(next, Some(':' | '=' | '.')) => out.push_str(token),
            '\'' if header || matches!(next, Some('=' | '.')) => out.push_str(token),
            '"' | '\'' if !shown.contains(token) => out.push_str("\"…\""),
            '"' | '\'' => out.push_str(token),
            _ if header || token.ends_with('.') || matches!(next, Some('=' | '.')) => out.push_str(token),
            _ => out.push_str(if shown.contains(token) { token } else { HIDDEN }),
        }
        if !out.ends_with(token) {
            out.extend(token.chars().filter(|symbol| *symbol == '\n'));
        }
    }
    out
}

fn is_structure(symbol: char) -> bool {
    symbol.is_whitespace() || "{}[],:=".contains(symbol)
}

fn to_line_end(rest: &str) -> usize {
    rest.find('\n').unwrap_or(rest.len())
}

/// The length of the string at the start: on one line, or between three quotes.
fn string(rest: &str, quote: char) -> usize {
    let three: String = [quote; 3].iter().collect();
    let long = rest.starts_with(&three);
    let open = if long { 3 } else { 1 };
    let mut escaped = false;
    for (at, symbol) in rest.char_indices().skip(open) {
        let tail = rest.get(at..).unwrap_or_default();
        match symbol {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            '\n' if !long => return at,
            // A long one may end in quotes of its own.
            _ if long && tail.starts_with(&three) => {
                return at + tail.chars().take_while(|symbol| *symbol == quote).take(5).count();
            }
            _ if !long && symbol == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// YAML by its lines: a name is one only if the parser found one that is called so.
fn lines(text: &str, shown: &BTreeSet<String>) -> String {
    let mut names = BTreeSet::new();
    gather(&yaml::parse(text).unwrap_or_default(), &mut names);
    let masked = text.split('\n').map(|line| {
        let mut content = line.trim_start_matches(' ');
        while let Some(item) = content.strip_prefix("- ") {
            content = item.trim_start_matches(' ');
        }
        let lead = line.strip_suffix(content).unwrap_or_default();
        let content = content.trim_end();
        if matches!(content, "" | "-" | "---") {
            return line.trim_end().to_owned();
        }
        if content.starts_with('#') {
            return format!("{lead}# {HIDDEN}");
        }
        match yaml::key(content).filter(|(name, _)| names.contains(name)) {
            Some((name, _)) => {
                let (name, value) = content.split_once(": ").unwrap_or((name.as_str(), ""));
                let value = value.trim();
                match value {
                    "" => format!("{lead}{name}:"),
                    "{}" | "[]" => format!("{lead}{name}: {value}"),
                    _ if shown.contains(value) => format!("{lead}{name}: {value}"),
                    _ => format!("{lead}{name}: {HIDDEN}"),
                }
            }
            None if shown.contains(content) => format!("{lead}{content}"),
            None => format!("{lead}{HIDDEN}"),
        }
    });
    masked.collect::<Vec<_>>().join("\n")
}

fn gather(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                names.insert(name.clone());
                gather(member, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn masked(syntax: Syntax, text: &str) -> String {
        let ours = vec![("command", json!("/bin/toolctl")), ("args", json!(["mcp", "--as", "x"]))];
        mask(syntax, text, &[ours])
    }

    #[test]
    fn json_shows_names_and_what_is_ours() {
        let text = concat!(
            "{ // CANARY \"CANARY\": 1\n /* CANARY\n \"CANARY\": 2 */\n",
            " \"a\": {\"url\" : \"postgres://u:CANARY@h/db\", \"args\": [\"--api-key\",\n  \"CANARY\\\": \", -1.5e3, true],\r\n",
            " \"n\":1// \"CANARY\": x\n },\n \"t\": {\"command\": \"/bin/toolctl\", \"args\": [\"mcp\", \"--as\", \"x\"]}}\n"
        );
        assert_eq!(
            masked(Syntax::Json, text),
            concat!(
                "{ // …\n /* … */\n\n",
                " \"a\": {\"url\" : \"…\", \"args\": [\"…\",\n  \"…\", …, …],\r\n",
                " \"n\":…// …\n },\n \"t\": {\"command\": \"/bin/toolctl\", \"args\": [\"mcp\", \"--as\", \"x\"]}}\n"
            )
        );
    }

    #[test]
    fn toml_shows_names_and_what_is_ours() {
        let text = concat!(
            "# CANARY = 1\na.\"b c\".d = 'CANARY' # CANARY\n[x.\"y z\"] # CANARY\nk = \"\"\"\nCANARY = 1\n[CANARY]\n\\\"\"\"\"\"\n",
            "when = 1979-05-27 07:32:00\nl = [\n  [\"CANARY\", 7],\n  { n = 'CANARY' },\n]\nm = '''\nCANARY'''\n",
            "[t]\ncommand = '/bin/toolctl'\nargs = [\"mcp\", \"--as\", \"x\"]\n"
        );
        assert_eq!(
            masked(Syntax::Toml, text),
            concat!(
                "# …\na.\"b c\".d = \"…\" # …\n[x.\"y z\"] # …\nk = \"…\"\n\n\n\n",
                "when = … …\nl = [\n  [\"…\", …],\n  { n = \"…\" },\n]\nm = \"…\"\n\n",
                "[t]\ncommand = '/bin/toolctl'\nargs = [\"mcp\", \"--as\", \"x\"]\n"
            )
        );
    }

    #[test]
    fn yaml_shows_names_and_what_is_ours() {
        let text = concat!(
            "---\n# CANARY: 1\na:\n  url: postgres://u:CANARY@h/db # CANARY\n  args:\n    - --api-key\n    - CANARY\n    - k: CANARY\n",
            "  pem: |\n    -----BEGIN CANARY\n    CANARY: x\n  long: \"CANARY\n    CANARY: more\"\n  flow: {\"b\": \"CANARY\"}\n  none: {}\n",
            "t:\n  cmd: /bin/toolctl\n  args: [\"mcp\", \"--as\", \"x\"]\n  more:\n    - mcp\n"
        );
        assert_eq!(
            masked(Syntax::Yaml, text),
            concat!(
                "---\n# …\na:\n  url: …\n  args:\n    - …\n    - …\n    - k: …\n",
                "  pem: …\n    …\n    …\n  long: …\n    …\n  flow: …\n  none: {}\n",
                "t:\n  cmd: /bin/toolctl\n  args: [\"mcp\", \"--as\", \"x\"]\n  more:\n    - mcp\n"
            )
        );
    }
}

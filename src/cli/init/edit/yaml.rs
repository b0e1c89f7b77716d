//! YAML by its lines. No editor that keeps comments has proved itself for YAML, so only what is simple is changed:
//! block mappings, found by their indentation. Everything else (flow mappings that are not empty, several documents,
//! tabs, anchors in the way) is left alone, and the proof in [`super::prove`] catches what lines cannot tell.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{CannotEdit, Change, Slot};

/// How far members are indented where nothing shows it.
const USUAL_INDENT: usize = 2;

/// What the text says.
pub fn parse(text: &str) -> Result<Value, CannotEdit> {
    let value: Option<Value> = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().and_then(|place| usize::try_from(place.line()).ok()).unwrap_or(1);
        let message = error.without_snippet().to_string();
        CannotEdit::Malformed { line, message: message.lines().next().unwrap_or_default().to_owned() }
    })?;
    Ok(value.unwrap_or_else(|| Value::Object(Map::new())))
}

/// Adds or changes an entry.
pub fn put(text: &str, change: &Change<'_>) -> Result<String, CannotEdit> {
    let mut page = Page::of(text);
    let root = page.block(0..page.lines.len())?;
    let whole = |indent: usize, step: usize| {
        let mut lines = vec![line(indent, &change.slot.name, "")];
        lines.extend(change.members.iter().map(|(name, value)| line(indent + step, name, &flow(value))));
        lines
    };
    let Some(servers) = root.find(change.slot.table) else {
        let mut lines = vec![line(root.indent, change.slot.table, "")];
        lines.extend(whole(root.indent + USUAL_INDENT, USUAL_INDENT));
        let end = page.lines.len();
        page.replace(end..end, lines);
        return Ok(page.text());
    };
    let children = page.inside(servers)?;
    let Some(entry) = children.find(&change.slot.name) else {
        let (indent, end) = match children.children.last() {
            Some(last) => (children.indent, last.lines.end),
            None => (root.indent + USUAL_INDENT, page.open(servers)?),
        };
        let step = children.children.first().and_then(|first| page.step(first)).unwrap_or(USUAL_INDENT);
        page.replace(end..end, whole(indent, step));
        return Ok(page.text());
    };
    if change.whole {
        let step = page.step(entry).unwrap_or(USUAL_INDENT);
        page.replace(entry.lines.clone(), whole(children.indent, step));
        return Ok(page.text());
    }
    for (name, value) in change.members {
        let entry = page.block(0..page.lines.len())?;
        let entry = page.inside(entry.find(change.slot.table).ok_or(CannotEdit::Layout)?)?;
        let entry = page.inside(entry.find(&change.slot.name).ok_or(CannotEdit::Layout)?)?;
        let last = entry.children.last().ok_or(CannotEdit::Layout)?.lines.end;
        let place = entry.find(name).map_or(last..last, |member| member.lines.clone());
        page.replace(place, vec![line(entry.indent, name, &flow(value))]);
    }
    Ok(page.text())
}

/// Takes an entry out.
pub fn remove(text: &str, slot: &Slot) -> Result<String, CannotEdit> {
    let mut page = Page::of(text);
    let root = page.block(0..page.lines.len())?;
    let servers = root.find(slot.table).ok_or(CannotEdit::Layout)?;
    let children = page.inside(servers)?;
    let entry = children.find(&slot.name).ok_or(CannotEdit::Layout)?;
    page.replace(entry.lines.clone(), Vec::new());
    if children.children.len() == 1 {
        // A name without a value would be null, which is not the same to every reader.
        if let Some(text) = page.lines.get_mut(servers.lines.start).filter(|_| servers.rest.is_empty()) {
            *text = text.replacen(':', ": {}", 1);
        }
    }
    Ok(page.text())
}

/// The lines of a text.
struct Page {
    lines: Vec<String>,
    /// Whether the last line ends.
    ends: bool,
}

/// A block mapping.
#[derive(Debug)]
struct Block {
    indent: usize,
    children: Vec<Child>,
}

/// A name with its value, from its line to the last line that belongs to it.
#[derive(Debug)]
struct Child {
    name: String,
    /// What stands behind the colon, without comments.
    rest: String,
    lines: Range<usize>,
}

impl Block {
    fn find(&self, name: &str) -> Option<&Child> {
        self.children.iter().find(|child| child.name == name)
    }
}

impl Page {
    fn of(text: &str) -> Self {
        let ends = text.is_empty() || text.ends_with('\n');
        let body = text.strip_suffix('\n').unwrap_or(text);
        let lines = if text.is_empty() { Vec::new() } else { body.split('\n').map(ToOwned::to_owned).collect() };
        Self { lines, ends }
    }

    fn text(&self) -> String {
        let end = if self.ends { "\n" } else { "" };
        self.lines.join("\n") + end
    }

    fn replace(&mut self, place: Range<usize>, lines: Vec<String>) {
        self.ends |= place.end == self.lines.len();
        self.lines.splice(place, lines);
    }

    /// The block mapping in these lines.
    fn block(&self, place: Range<usize>) -> Result<Block, CannotEdit> {
        let mut block = Block { indent: 0, children: Vec::new() };
        for (number, text) in self.lines.iter().enumerate().take(place.end).skip(place.start) {
            let content = text.trim_start_matches(' ');
            if content.trim().is_empty() || content.starts_with('#') || (text == "---" && block.children.is_empty()) {
                continue;
            }
            let indent = text.len() - content.len();
            if block.children.is_empty() {
                block.indent = indent;
            }
            let goes_on = indent > block.indent || (indent == block.indent && content.starts_with("- "));
            match block.children.last_mut() {
                Some(last) if goes_on => last.lines.end = number + 1,
                _ if indent == block.indent => {
                    let (name, rest) = key(content).ok_or(CannotEdit::Layout)?;
                    block.children.push(Child { name, rest, lines: number..number + 1 });
                }
                _ => return Err(CannotEdit::Layout),
            }
        }
        Ok(block)
    }

    /// The block mapping that is the value of a name; empty for `{}`, `null` and nothing.
    fn inside(&self, child: &Child) -> Result<Block, CannotEdit> {
        match child.rest.as_str() {
            "" | "{}" | "null" | "~" => self.block(child.lines.start + 1..child.lines.end),
            _ => Err(CannotEdit::Layout),
        }
    }

    /// Makes room for the first member of a name, and gives the line below it.
    fn open(&mut self, child: &Child) -> Result<usize, CannotEdit> {
        let start = child.lines.start;
        let text = self.lines.get_mut(start).ok_or(CannotEdit::Layout)?;
        if !child.rest.is_empty() {
            *text = text.replacen(&format!(": {}", child.rest), ":", 1);
        }
        Ok(start + 1)
    }

    /// How far the members of a name are indented below it.
    fn step(&self, child: &Child) -> Option<usize> {
        let text = self.lines.get(child.lines.start)?;
        let indent = text.len() - text.trim_start_matches(' ').len();
        let inside = self.inside(child).ok().filter(|block| !block.children.is_empty())?;
        inside.indent.checked_sub(indent)
    }
}

/// The name before the colon, and what stands behind it.
pub fn key(content: &str) -> Option<(String, String)> {
    let (name, rest) = match content.split_once(": ") {
        Some(parts) => parts,
        None => (content.trim_end().strip_suffix(':')?, ""),
    };
    let name = name.trim_end();
    let bare = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    let bare = bare.or_else(|| name.strip_prefix('\'').and_then(|name| name.strip_suffix('\'')));
    let rest = rest.trim();
    let rest = if rest.starts_with('#') { "" } else { rest.split(" #").next().unwrap_or_default().trim_end() };
    Some((bare.unwrap_or(name).to_owned(), rest.to_owned()))
}

fn line(indent: usize, name: &str, value: &str) -> String {
    let gap = if value.is_empty() { "" } else { " " };
    format!("{:indent$}{}:{gap}{value}", "", plain(name))
}

/// A value on one line. JSON is YAML; words that can be nothing else need no quotes.
pub fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{}: {value}", Value::from(name.as_str())));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn plain(text: &str) -> String {
    let word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let special = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if word && starts && !special.contains(&text.to_lowercase().as_str()) {
        text.to_owned()
    } else {
        Value::String(text.to_owned()).to_string()
    }
}

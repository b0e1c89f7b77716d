//! Tools as text: the files that operators read, change and keep, so they are laid out as a person would write them,
//! with the short form of arguments wherever it can say the same.

use serde_json::{Map, Value, json};
use toml_edit::{Array, InlineTable, Value as Toml};

use super::body::Body;
use super::draft::Draft;
use super::flat::Sink;
use super::parameter::Argument;
use super::security::Auth;
use crate::config::manifest::{MOST_BYTES, SHORT_FORM, SHORT_FORM_FORMATS};

/// Bytes of one file at most: some room is left for changes.
const MOST: usize = MOST_BYTES as usize - (64 << 10);
/// Letters of a line with a table in it; longer tables have a line for each member.
const LONGEST_LINE: usize = 120;
/// Bytes of a schema that is laid out for people.
const READABLE: usize = 4 << 10;

/// The text of all tools, in as many files as it takes, each beginning with `head`.
pub fn files<'a>(head: &str, tools: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut files = vec![head.to_owned()];
    for text in tools {
        match files.last_mut() {
            Some(last) if last.len() + text.len() <= MOST || *last == head => last.push_str(text),
            _ => files.push(format!("{head}{text}")),
        }
    }
    files
}

/// One tool. `allow` are the private addresses that it may reach.
pub fn tool(draft: &Draft, allow: &[String]) -> String {
    let mut out = String::from("\n[[tool]]\n");
    line(&mut out, "name", &draft.name.as_str().into());
    if !draft.title.is_empty() {
        line(&mut out, "title", &draft.title.as_str().into());
    }
    line(&mut out, "description", &draft.description.as_str().into());
    line(&mut out, "effect", &if draft.reads { "readonly" } else { "once" }.into());
    line(&mut out, "tags", &draft.tags.iter().map(String::as_str).collect::<Array>().into());
    arguments(&mut out, draft);
    if let Some(output) = &draft.output {
        line(&mut out, "output", &output.to_string().into());
    }
    request(&mut out, draft, allow);
    if !draft.json {
        out.push_str("\n[tool.http.response]\nform = \"text\"\n");
    }
    out
}

/// `[tool.arguments]` where its words are enough, else the schema as `input`.
fn arguments(out: &mut String, draft: &Draft) {
    if draft.arguments.is_empty() {
        return;
    }
    let short: Option<Vec<(&str, Toml)>> =
        draft.arguments.iter().map(|argument| Some((argument.name.as_str(), short(argument)?))).collect();
    // Tables come last, so `input` stands before them and `[tool.arguments]` behind what has no table.
    if let (Some(lines), true) = (short, draft.definitions.is_empty() && draft.output.is_none()) {
        out.push_str("\n[tool.arguments]\n");
        for (name, table) in lines {
            line(out, name, &table);
        }
        return;
    }
    let properties: Map<String, Value> =
        draft.arguments.iter().map(|argument| (argument.name.clone(), argument.schema.clone())).collect();
    let required: Vec<&str> =
        draft.arguments.iter().filter(|argument| argument.required).map(|argument| argument.name.as_str()).collect();
    let mut schema =
        json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false});
    if let (Value::Object(schema), false) = (&mut schema, draft.definitions.is_empty()) {
        schema.insert("$defs".to_owned(), Value::Object(draft.definitions.clone()));
    }
    let compact = schema.to_string();
    let text =
        if compact.len() > READABLE { compact } else { serde_json::to_string_pretty(&schema).unwrap_or(compact) };
    out.push_str("input = ");
    out.push_str(&quoted(&text));
    out.push('\n');
}

/// JSON as a literal of TOML, which needs no escapes, where it can be one.
fn quoted(text: &str) -> String {
    let literal =
        !text.contains("'''") && !text.ends_with('\'') && text.chars().all(|sign| sign == '\n' || !sign.is_control());
    if literal { format!("'''\n{text}'''") } else { Toml::from(text).to_string() }
}

/// An argument in the short form; none when it has no words for it.
fn short(argument: &Argument) -> Option<Toml> {
    let words = argument.schema.as_object()?;
    let typed = ["type", "enum", "const"].iter().any(|word| words.contains_key(*word));
    // A pattern of the short form must fit the whole value, one of JSON Schema any part of it.
    let known = words.keys().all(|word| SHORT_FORM.contains(&word.as_str()) && word != "pattern" && word != "required");
    // Nor has it a word for a format that nothing checks.
    let format =
        words.get("format").is_none_or(|word| word.as_str().is_some_and(|it| SHORT_FORM_FORMATS.contains(&it)));
    if !typed || !known || !format {
        return None;
    }
    let mut table = InlineTable::new();
    for word in ["type", "enum", "const"] {
        if let Some(value) = words.get(word) {
            table.insert(word, toml(value)?);
        }
    }
    if argument.required {
        table.insert("required", true.into());
    }
    for (word, value) in words {
        if !table.contains_key(word) && word != "description" {
            table.insert(word, toml(value)?);
        }
    }
    if let Some(description) = words.get("description") {
        table.insert("description", toml(description)?);
    }
    Some(table.into())
}

/// JSON as TOML, which has no `null` and no numbers above 64 bits.
fn toml(value: &Value) -> Option<Toml> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) => float.into(),
            (None, None) => return None,
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(toml).collect::<Option<Array>>()?.into(),
        Value::Object(members) => {
            let mut table = InlineTable::new();
            for (name, member) in members {
                table.insert(name, toml(member)?);
            }
            table.into()
        }
    })
}

/// `[tool.http]`
fn request(out: &mut String, draft: &Draft, allow: &[String]) {
    out.push_str("\n[tool.http]\n");
    if draft.method != "GET" {
        line(out, "method", &draft.method.into());
    }
    line(out, "url", &draft.url.as_str().into());
    if !draft.slashes.is_empty() {
        line(out, "slashes", &draft.slashes.iter().map(String::as_str).collect::<Array>().into());
    }
    if !draft.auth.is_empty() {
        let mut auths: Vec<Toml> = draft.auth.iter().map(|auth| self::auth(auth).into()).collect();
        let value = if auths.len() == 1 { auths.remove(0) } else { auths.into_iter().collect::<Array>().into() };
        line(out, "auth", &value);
    }
    if !allow.is_empty() {
        line(out, "allow", &allow.iter().map(String::as_str).collect::<Array>().into());
    }
    let fields = |list: &[(String, Sink)]| list.iter().map(|(name, sink)| (name.clone(), placed(sink))).collect();
    let mut all: Vec<(&str, Vec<(String, Toml)>)> =
        vec![("query", fields(&draft.query)), ("headers", fields(&draft.headers))];
    match &draft.body {
        Body::None => {}
        Body::Members(members) if members.is_empty() => out.push_str("json = {}\n"),
        Body::Members(members) => {
            all.push(("json", members.iter().map(|(name, argument)| (name.clone(), named(argument).into())).collect()));
        }
        Body::Json(argument) => line(out, "json", &named(argument).into()),
        Body::Text(argument) => line(out, "text", &named(argument).into()),
        Body::Form(form) => all.push(("form", fields(form))),
    }
    let mut behind = String::new();
    for (name, fields) in all {
        if fields.is_empty() {
            continue;
        }
        let whole: InlineTable = fields.iter().cloned().collect();
        let whole = format!("{name} = {}\n", Toml::from(whole));
        if whole.len() <= LONGEST_LINE {
            out.push_str(&whole);
        } else {
            behind.push_str(&format!("\n[tool.http.{name}]\n"));
            for (field, value) in fields {
                line(&mut behind, &field, &value);
            }
        }
    }
    out.push_str(&behind);
}

fn placed(sink: &Sink) -> Toml {
    match sink {
        Sink::Fixed(text) => text.replace('{', "{{").replace('}', "}}").into(),
        Sink::One(argument) => named(argument).into(),
        Sink::Each(argument) => format!("{{{argument}...}}").into(),
        Sink::Joined(argument, between) => {
            let each = format!("{{{argument}...}}");
            InlineTable::from_iter([("each", Toml::from(each)), ("join", Toml::from(*between))]).into()
        }
        Sink::Deep(argument) => InlineTable::from_iter([("deep", Toml::from(named(argument)))]).into(),
    }
}

fn auth(auth: &Auth) -> InlineTable {
    let keyed = |place: &str, name: &str, secret: &str| InlineTable::from_iter([(place, name), ("secret", secret)]);
    match auth {
        Auth::Bearer(secret) => InlineTable::from_iter([("bearer", secret.as_str())]),
        Auth::Basic(user, password) => {
            let user = InlineTable::from_iter([("secret", user.as_str())]);
            let basic = InlineTable::from_iter([("user", Toml::from(user)), ("password", password.as_str().into())]);
            InlineTable::from_iter([("basic", Toml::from(basic))])
        }
        Auth::Header(name, secret) => keyed("header", name, secret),
        Auth::Query(name, secret) => keyed("query", name, secret),
        Auth::Cookie(name, secret) => keyed("cookie", name, secret),
    }
}

fn named(argument: &str) -> String {
    format!("{{{argument}}}")
}

fn line(out: &mut String, name: &str, value: &Toml) {
    out.push_str(&format!("{} = {}\n", toml_edit::Key::new(name), value.to_string().trim()));
}

//! The part of a tool that says which program runs it, and with what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::Spanned;

use super::interpreter;
use super::tool::Desk;
use super::written::{CommandTable, ElementTable, LimitsTable, RetryTable, SandboxTable, SecretAs, VariableTable};
use crate::domain::tool::command::{
    CommandAction, Exits, Input, Limits, Pinned, Retry, Sandbox, SandboxLevel, Variable, is_forbidden,
};
use crate::domain::tool::path;
use crate::domain::tool::template::{Element, Piece, Text};
use crate::pipeline::rulebook::nearest;

/// The longest time between SIGTERM and SIGKILL, in milliseconds.
const LONGEST_GRACE: u64 = 300_000;
/// How often a command that fails for now may be started.
const MOST_ATTEMPTS: u32 = 10;

/// Reads `[tool.command]`; `input` is the schema of the arguments.
pub fn read(desk: &mut Desk<'_>, table: &Spanned<CommandTable>, input: &Value) -> Option<CommandAction> {
    let (place, table) = (table.span(), table.get_ref());
    let folder = desk.source.path.parent().unwrap_or(Path::new("/")).to_owned();
    let program = match desk.programs.find(table.program.get_ref(), &folder) {
        Ok(program) => Some(program),
        Err(why) => {
            desk.wrong(table.program.span(), why, Some("give the whole path of a program".to_owned()));
            None
        }
    };
    let mut used = BTreeSet::new();
    let mut arguments = elements(desk, &table.arguments, input, &mut Vec::new(), &mut used);
    let script = program.as_ref().and_then(|program| interprets(desk, table, program, &mut arguments, &folder));
    let environment = variables(desk, table, input, &mut used);
    if table.stdin == Input::None {
        not_used(desk, table, input, &used);
    }
    let exits = exits(desk, table, place.clone());
    let limits = limits(desk, &table.limits, place);
    let sandbox = sandbox(desk, table.sandbox.as_ref());
    let folder = absolute(desk, table.folder.as_ref());
    if let (SandboxLevel::Files, Some(folder), Some(written)) = (sandbox.level, &folder, &table.folder)
        && !sandbox.read.iter().chain(&sandbox.write).any(|listed| folder.starts_with(listed))
    {
        let hint = format!("list it, or what it needs of it: read = [\"{}\"]", folder.display());
        desk.warn(written.span(), "the command runs in a folder that its sandbox does not let it read", Some(hint));
    }
    Some(CommandAction {
        program: program?,
        script,
        arguments,
        stdin: table.stdin,
        output: table.output,
        exits,
        folder,
        environment,
        limits,
        paths: paths(desk, table, input, &sandbox),
        sandbox,
        allow_interpreter: table.allow_interpreter,
    })
}

/// Reads templates. `given` are arguments that are known to be there.
fn elements(
    desk: &mut Desk<'_>,
    written: &[Spanned<ElementTable>],
    input: &Value,
    given: &mut Vec<String>,
    used: &mut BTreeSet<String>,
) -> Vec<Element> {
    let mut all = Vec::new();
    for element in written {
        match element.get_ref() {
            ElementTable::Text(text) => match Text::parse(text) {
                Ok((text, list)) => {
                    check(desk, element.span(), &text, list.as_deref(), input, given);
                    used.extend(text.arguments().map(ToOwned::to_owned));
                    all.push(match list {
                        Some(list) => Element::Each { list, text },
                        None => Element::One(text),
                    });
                }
                Err(error) => desk.wrong(element.span(), error.to_string(), None),
            },
            ElementTable::When(when) => {
                let argument = when.r#if.get_ref().clone();
                if property(input, &argument).is_none() {
                    no_argument(desk, when.r#if.span(), &argument, input);
                }
                used.insert(argument.clone());
                given.push(argument.clone());
                let then = elements(desk, &when.then, input, given, used);
                given.pop();
                all.push(Element::When { argument, then });
            }
        }
    }
    all
}

/// Whether every argument that a template names is there when it is needed, and of a kind that has a place.
fn check(
    desk: &mut Desk<'_>,
    span: std::ops::Range<usize>,
    text: &Text,
    list: Option<&str>,
    input: &Value,
    given: &[String],
) {
    for name in text.arguments() {
        let Some(property) = property(input, name) else {
            no_argument(desk, span.clone(), name, input);
            continue;
        };
        let kinds = kinds(property);
        let is_list = kinds.iter().any(|kind| kind == "array");
        if list.is_some() && !is_list {
            desk.wrong(span.clone(), format!("the argument `{name}` is no list"), Some(format!("write {{{name}}}")));
        }
        if list.is_none() && is_list {
            desk.wrong(span.clone(), format!("the argument `{name}` is a list"), Some(format!("write {{{name}...}}")));
        }
        if kinds.iter().any(|kind| kind == "object") {
            let hint = "give the program its arguments as JSON: stdin = \"json\"".to_owned();
            desk.wrong(span.clone(), format!("the argument `{name}` is an object and has no place here"), Some(hint));
        }
        let required = input.get("required").and_then(Value::as_array);
        let is_required = required.is_some_and(|all| all.iter().any(|one| one == name));
        if !is_required && property.get("default").is_none() && !given.iter().any(|known| known == name) {
            let hint = format!(
                "make it required, give it a default, or write {{ if = \"{name}\", then = [\"…{{{name}}}…\"] }}"
            );
            desk.wrong(span.clone(), format!("the argument `{name}` may be missing"), Some(hint));
        }
    }
}

/// An argument that the tool does not have.
pub(super) fn no_argument(desk: &mut Desk<'_>, span: std::ops::Range<usize>, name: &str, input: &Value) {
    let known = input.get("properties").and_then(Value::as_object);
    let names = known.into_iter().flat_map(|known| known.keys().map(String::as_str));
    let hint = match nearest(name, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("declare it under [tool.arguments]: {name} = {{ type = \"string\", required = true }}"),
    };
    desk.wrong(span, format!("the tool has no argument `{name}`"), Some(hint));
}

fn not_used(desk: &mut Desk<'_>, table: &CommandTable, input: &Value, used: &BTreeSet<String>) {
    let known = input.get("properties").and_then(Value::as_object);
    let never: Vec<String> = known
        .into_iter()
        .flat_map(|known| known.keys())
        .filter(|name| !used.contains(*name))
        .map(|name| format!("`{name}`"))
        .collect();
    if !never.is_empty() {
        let message = format!("the command never uses the argument {}", never.join(", "));
        let hint = "name it in `arguments` as {name}, or give the program all of them: stdin = \"json\"".to_owned();
        desk.warn(table.program.span(), message, Some(hint));
    }
}

/// The schema of an argument.
pub(super) fn property<'a>(input: &'a Value, name: &str) -> Option<&'a Value> {
    input.get("properties")?.get(name)
}

/// The types that it names.
pub(super) fn kinds(property: &Value) -> Vec<String> {
    match property.get("type") {
        Some(Value::String(kind)) => vec![kind.clone()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// What an interpreter reads: a script is pinned, a caller's code refused.
fn interprets(
    desk: &mut Desk<'_>,
    table: &CommandTable,
    program: &Pinned,
    arguments: &mut [Element],
    folder: &Path,
) -> Option<Pinned> {
    let found = interpreter::look(&program.path, arguments);
    if let Some(place) = found.code
        && !table.allow_interpreter
    {
        let span = table.arguments.get(place).map_or_else(|| table.program.span(), Spanned::span);
        let hint = "put the code into a script and give it the argument, or say allow_interpreter = true, which makes \
                    the tool destructive";
        let message = format!("a caller's argument stands where `{}` reads code", program.path.display());
        desk.wrong(span, message, Some(hint.to_owned()));
    }
    let element = arguments.get_mut(found.script?)?;
    let Element::One(text) = element else { return None };
    let given = text.literal()?.to_owned();
    match desk.programs.file(&folder.join(&given)) {
        Ok(script) => {
            *text = Text(vec![Piece::Literal(script.path.display().to_string())]);
            Some(script)
        }
        Err(why) => {
            let span = found.script.and_then(|place| table.arguments.get(place)).map(Spanned::span);
            let hint = "the path begins at the folder of this file".to_owned();
            desk.wrong(
                span.unwrap_or_else(|| table.program.span()),
                format!("the script cannot be used: {why}"),
                Some(hint),
            );
            None
        }
    }
}

fn variables(
    desk: &mut Desk<'_>,
    table: &CommandTable,
    input: &Value,
    used: &mut BTreeSet<String>,
) -> BTreeMap<String, Variable> {
    let mut all = BTreeMap::new();
    for (name, written) in &table.environment {
        let word = name.get_ref();
        let fits = !word.starts_with(|sign: char| sign.is_ascii_digit())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !word.is_empty();
        if !fits {
            desk.wrong(name.span(), format!("`{word}` is no name of a variable"), None);
            continue;
        }
        if is_forbidden(word) {
            let message = format!("the variable `{word}` cannot be set, as it makes programs do other things");
            desk.wrong(name.span(), message, None);
            continue;
        }
        match written.get_ref() {
            VariableTable::Text(text) => match Text::parse(text) {
                Ok((text, list)) => {
                    if list.is_some() {
                        desk.wrong(written.span(), "a variable cannot hold a list", None);
                    }
                    check(desk, written.span(), &text, None, input, &[]);
                    used.extend(text.arguments().map(ToOwned::to_owned));
                    all.insert(word.clone(), Variable::Text(text));
                }
                Err(error) => desk.wrong(written.span(), error.to_string(), None),
            },
            VariableTable::Secret(secret) => match secret.secret.get_ref().parse() {
                Ok(reference) => {
                    let variable = match secret.r#as {
                        SecretAs::Value => Variable::Secret(reference),
                        SecretAs::File => Variable::SecretFile(reference),
                    };
                    all.insert(word.clone(), variable);
                }
                Err(error) => {
                    let error: crate::domain::tool::command::NotASecretRef = error;
                    desk.wrong(secret.secret.span(), error.to_string(), None);
                }
            },
        }
    }
    all
}

fn exits(desk: &mut Desk<'_>, table: &CommandTable, place: std::ops::Range<usize>) -> Exits {
    let exits = Exits {
        success: table.success_exit.clone().unwrap_or_else(|| Exits::default().success),
        no_effect: table.no_effect_exit.clone(),
        temporary: table.tempfail_exit.clone(),
        retry: table.retry.as_ref().map(|written| retry(desk, written)),
    };
    if let (Some(written), true) = (&table.retry, exits.temporary.is_empty()) {
        let hint = "name the statuses: tempfail_exit = [75]".to_owned();
        desk.wrong(written.span(), "no exit status says that it failed for now", Some(hint));
    }
    let lists = [&exits.success, &exits.no_effect, &exits.temporary];
    for (at, list) in lists.iter().enumerate() {
        for status in list.iter() {
            if lists.iter().skip(at + 1).any(|other| other.contains(status)) {
                desk.wrong(place.clone(), format!("the exit status {status} is given two meanings"), None);
            }
        }
    }
    exits
}

fn retry(desk: &mut Desk<'_>, written: &Spanned<RetryTable>) -> Retry {
    let (table, usual) = (written.get_ref(), Retry::default());
    let attempts = table.attempts.unwrap_or(usual.attempts);
    if !(1..=MOST_ATTEMPTS).contains(&attempts) {
        desk.wrong(written.span(), format!("there are 1 to {MOST_ATTEMPTS} attempts"), None);
    }
    let wait_ms = table.wait.map_or(usual.wait_ms, |span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX));
    Retry { attempts, wait_ms }
}

fn limits(desk: &mut Desk<'_>, table: &LimitsTable, place: std::ops::Range<usize>) -> Limits {
    let usual = Limits::default();
    let grace = table.grace.map_or(usual.grace_ms, |span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX));
    if grace > LONGEST_GRACE {
        desk.wrong(place.clone(), "the grace is 5 minutes at most", None);
    }
    let files = table.files.unwrap_or(usual.files);
    if files < 16 {
        desk.wrong(place.clone(), "a program needs at least 16 open files", None);
    }
    let memory = table.memory.map(|size| size.0);
    if memory.is_some_and(|memory| memory < 16 << 20) {
        desk.wrong(place, "a program needs at least 16 MiB of address space", None);
    }
    Limits {
        grace_ms: grace,
        memory,
        file_size: table.file_size.map(|size| size.0),
        files,
        processes: table.processes,
        cpu_seconds: table.cpu.map(|span| span.0.as_secs().max(1)),
    }
}

fn sandbox(desk: &mut Desk<'_>, table: Option<&SandboxTable>) -> Sandbox {
    let Some(table) = table else { return Sandbox::default() };
    let level = table.level.unwrap_or(SandboxLevel::Files);
    let mut paths =
        |written: &[Spanned<String>]| written.iter().filter_map(|path| absolute(desk, Some(path))).collect();
    let (read, write) = (paths(&table.read), paths(&table.write));
    Sandbox { level, read, write, network: table.network.clone(), best_effort: table.best_effort }
}

/// Arguments that are paths; the command must be able to read what they name.
fn paths(desk: &mut Desk<'_>, table: &CommandTable, input: &Value, sandbox: &Sandbox) -> BTreeMap<String, PathBuf> {
    let paths = path::declared(input);
    for (name, root) in &paths {
        let listed = sandbox.read.iter().chain(&sandbox.write).any(|listed| root.starts_with(listed));
        if sandbox.level == SandboxLevel::Files && !listed {
            let message = format!("the argument `{name}` is a path in a folder that the sandbox does not let it read");
            let hint = format!("list it: read = [\"{}\"], or under write", root.display());
            desk.warn(table.program.span(), message, Some(hint));
        }
    }
    paths
}

fn absolute(desk: &mut Desk<'_>, written: Option<&Spanned<String>>) -> Option<PathBuf> {
    let written = written?;
    let path = PathBuf::from(written.get_ref());
    if !path.is_absolute() {
        desk.wrong(written.span(), format!("`{}` is not an absolute path", written.get_ref()), None);
        return None;
    }
    Some(path)
}

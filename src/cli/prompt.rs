//! Asking a person. Ctrl-C at a prompt shows the cursor again and ends with exit 130, which the prompt library
//! leaves to the program.

use dialoguer::console::Term;
use dialoguer::theme::ColorfulTheme;
use dialoguer::{Confirm, Input, Password, Select};
use serde_json::{Map, Value};

use super::context::Context;
use super::dynamic::convert::{choice_text, convert};
use super::dynamic::schema::{Arguments, Property, Shape};
use super::error::CliError;
use super::text::escape_untrusted;

/// One of several; none when the person leaves with Escape.
///
/// # Errors
/// Exit 130 after Ctrl-C.
pub fn select(cx: &Context, prompt: &str, items: &[String], default: usize) -> Result<Option<usize>, CliError> {
    cx.arm_interrupt()?;
    let theme = ColorfulTheme::default();
    answer(
        Select::with_theme(&theme).with_prompt(prompt).items(items).default(default).interact_on_opt(&Term::stderr()),
    )
}

/// Yes or no, no being the default.
///
/// # Errors
/// Exit 130 after Ctrl-C.
pub fn confirm(cx: &Context, prompt: &str) -> Result<bool, CliError> {
    cx.arm_interrupt()?;
    let theme = ColorfulTheme::default();
    answer(Confirm::with_theme(&theme).with_prompt(prompt).default(false).interact_on(&Term::stderr()))
}

/// One line of text, checked by `check`.
///
/// # Errors
/// Exit 130 after Ctrl-C.
pub fn line(
    cx: &Context,
    prompt: &str,
    default: Option<String>,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<String, CliError> {
    cx.arm_interrupt()?;
    let theme = ColorfulTheme::default();
    let mut input = Input::<String>::with_theme(&theme)
        .with_prompt(prompt)
        .allow_empty(true)
        .validate_with(|text: &String| check(text));
    if let Some(default) = default {
        input = input.default(default);
    }
    answer(input.interact_text_on(&Term::stderr()))
}

/// Asks for what is missing, one property at a time.
///
/// # Errors
/// Exit 130 after Ctrl-C.
pub fn missing(cx: &Context, arguments: &Arguments, object: &mut Map<String, Value>) -> Result<(), CliError> {
    // Each answer may bring an object whose members are required in turn.
    while let Some(property) = arguments.missing(object).first().copied() {
        let value = property_value(cx, property)?;
        put(object, &property.path, value);
    }
    Ok(())
}

fn property_value(cx: &Context, property: &Property) -> Result<Value, CliError> {
    let mut prompt = escape_untrusted(&property.key());
    if !property.description.is_empty() {
        prompt = format!("{prompt} ({})", escape_untrusted(&property.description));
    }
    match &property.shape {
        Shape::Choice(choices) => loop {
            let items: Vec<String> = choices.iter().map(|choice| escape_untrusted(&choice_text(choice))).collect();
            if let Some(value) = select(cx, &prompt, &items, 0)?.and_then(|chosen| choices.get(chosen)) {
                return Ok(value.clone());
            }
        },
        Shape::Boolean => confirm(cx, &prompt).map(Value::Bool),
        _ if property.secret => {
            cx.arm_interrupt()?;
            let theme = ColorfulTheme::default();
            answer(Password::with_theme(&theme).with_prompt(prompt).interact_on(&Term::stderr())).map(Value::String)
        }
        shape => {
            let prompt = format!("{prompt} <{}>", shape.word());
            let text = line(cx, &prompt, None, |text| convert(property, text).map(drop))?;
            let value = convert(property, &text).map_err(CliError::usage)?;
            Ok(if matches!(shape, Shape::List(_)) { Value::Array(vec![value]) } else { value })
        }
    }
}

fn put(object: &mut Map<String, Value>, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        object.insert(first.clone(), value);
        return;
    }
    let parent = object.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(parent) = parent {
        put(parent, rest, value);
    }
}

fn answer<T>(result: dialoguer::Result<T>) -> Result<T, CliError> {
    result.map_err(|dialoguer::Error::IO(error)| {
        let _ = Term::stderr().show_cursor();
        match error.kind() {
            std::io::ErrorKind::Interrupted => CliError::interrupted(),
            _ => CliError::io("cannot ask", &error),
        }
    })
}

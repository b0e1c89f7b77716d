//! From a tool's properties to the command that parses its arguments.

use clap::builder::{PossibleValuesParser, Str};
use clap::{Arg, ArgAction, Command, ValueHint};

use serde_json::Value;

use super::convert::choice_text;
use super::schema::{Arguments, Property, Shape};
use crate::cli::text::escape_untrusted;

/// The id of the positional `key=value` pairs.
pub const PAIRS: &str = "pairs";

/// The id of the flag of the property at this place.
pub fn id(place: usize) -> String {
    format!("property-{place}")
}

/// The command for one tool. It has none of our own flags: those are [split](super::split) off before.
pub fn command(name: &str, arguments: &Arguments) -> Command {
    let pairs = Arg::new(PAIRS)
        .value_name("KEY=VALUE")
        .num_args(0..)
        .value_hint(ValueHint::Other)
        .help("key=TEXT, key:=JSON, key=@FILE; @- is stdin");
    let mut command = Command::new(Str::from(name.to_owned()))
        .no_binary_name(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args_override_self(false)
        .next_help_heading("Arguments")
        .arg(pairs);
    for (place, property) in arguments.properties.iter().enumerate() {
        if let Some(flag) = &property.flag {
            command = command.arg(argument(place, property, flag));
        }
    }
    command
}

fn argument(place: usize, property: &Property, flag: &str) -> Arg {
    let mut argument = Arg::new(Str::from(id(place)))
        .long(Str::from(flag.to_owned()))
        .value_name(property.shape.word())
        .allow_negative_numbers(true)
        .help(help(property));
    let exact = property.key();
    if exact != flag {
        argument = argument.alias(Str::from(exact));
    }
    match &property.shape {
        Shape::Boolean => {
            argument.num_args(0..=1).require_equals(true).default_missing_value("true").value_parser(["true", "false"])
        }
        Shape::Choice(choices) => argument.value_parser(possible(choices)),
        Shape::List(item) => {
            let argument = argument.action(ArgAction::Append);
            match item.as_ref() {
                Shape::Choice(choices) => argument.value_parser(possible(choices)),
                _ => argument,
            }
        }
        Shape::Text if property.secret => argument.value_name("env:NAME|@FILE|@-"),
        Shape::Text | Shape::Integer | Shape::Number | Shape::Object | Shape::Json => argument,
    }
}

fn possible(choices: &[Value]) -> PossibleValuesParser {
    PossibleValuesParser::new(choices.iter().map(|choice| Str::from(choice_text(choice))))
}

fn help(property: &Property) -> String {
    let mut notes = Vec::new();
    if property.required && property.default.is_none() {
        notes.push("required".to_owned());
    }
    if matches!(property.shape, Shape::List(_)) {
        notes.push("repeat for more".to_owned());
    }
    if !property.bounds.is_empty() {
        notes.push(property.bounds.clone());
    }
    if let Some(default) = property.default.as_ref().filter(|default| !default.is_null()) {
        notes.push(format!("default: {}", choice_text(default)));
    }
    if property.secret {
        notes.push("never typed here, as other users can read a command line".to_owned());
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" [{}]", notes.join(", ")) };
    escape_untrusted(format!("{}{notes}", property.description).trim())
}

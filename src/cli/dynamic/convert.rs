//! From what was typed to a JSON value. The schema decides, never the look of the text.

use serde_json::Value;

use super::schema::{Property, Shape};
use crate::cli::text::nearest;
use crate::domain::json::{self, Limits, Reason};

/// Converts text to what `property` takes.
///
/// # Errors
/// In words, with the text and what would do instead.
pub fn convert(property: &Property, text: &str) -> Result<Value, String> {
    if property.nullable && text == "null" && property.shape != Shape::Text {
        return Ok(Value::Null);
    }
    to_shape(&property.shape, text)
}

/// Reads JSON strictly, as the daemon will.
///
/// # Errors
/// In words.
pub fn strict_json(bytes: &[u8]) -> Result<Value, String> {
    json::parse(bytes, Limits::default()).map_err(|error| error.to_string())
}

fn to_shape(shape: &Shape, text: &str) -> Result<Value, String> {
    match shape {
        Shape::Text => Ok(Value::String(text.to_owned())),
        Shape::Integer => integer(text),
        Shape::Number => number(text),
        Shape::Boolean => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(format!("`{text}` is neither `true` nor `false`")),
        },
        Shape::Choice(choices) => choice(choices, text),
        Shape::List(item) => to_shape(item, text),
        Shape::Object | Shape::Json => {
            let value = strict_json(text.as_bytes())?;
            if *shape == Shape::Object && !value.is_object() {
                return Err(format!("`{text}` is not a JSON object"));
            }
            Ok(value)
        }
    }
}

/// The form of an enum's value on the command line.
pub fn choice_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn choice(choices: &[Value], text: &str) -> Result<Value, String> {
    if let Some(value) = choices.iter().find(|value| choice_text(value) == text) {
        return Ok(value.clone());
    }
    let words: Vec<String> = choices.iter().map(choice_text).collect();
    let near = nearest(text, words.iter().map(String::as_str));
    let advice = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Err(format!("`{text}` is none of {}{advice}", words.join(", ")))
}

fn integer(text: &str) -> Result<Value, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is not an integer"));
    }
    let plain = digits.trim_start_matches('0');
    if digits.len() > 1 && plain.len() < digits.len() {
        let sign = if text.starts_with('-') { "-" } else { "" };
        let plain = if plain.is_empty() { "0" } else { plain };
        return Err(format!("`{text}` is not an integer: it starts with 0; write {sign}{plain}"));
    }
    token(text, "an integer")
}

fn number(text: &str) -> Result<Value, String> {
    token(text, "a number")
}

fn token(text: &str, what: &str) -> Result<Value, String> {
    match json::parse(text.as_bytes(), Limits::default()) {
        Ok(value) if value.is_number() => Ok(value),
        Err(error) if matches!(error.reason, Reason::InexactNumber(_)) => {
            Err(format!("`{text}` cannot be held exactly: send it as a string, if the tool takes one"))
        }
        _ => Err(format!("`{text}` is not {what}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schema_decides_and_not_the_look() {
        let choices = Shape::Choice(vec![json!("low"), json!("high"), json!(3)]);
        let list = Shape::List(Box::new(Shape::Integer));
        for (shape, text, expected) in [
            (&Shape::Text, "01234", Ok(json!("01234"))),
            (&Shape::Text, "true", Ok(json!("true"))),
            (&Shape::Text, "null", Ok(json!("null"))),
            (&Shape::Text, "{\"a\":1}", Ok(json!("{\"a\":1}"))),
            (&Shape::Integer, "42", Ok(json!(42))),
            (&Shape::Integer, "-7", Ok(json!(-7))),
            (&Shape::Integer, "0", Ok(json!(0))),
            (&Shape::Integer, "07", Err("`07` is not an integer: it starts with 0; write 7")),
            (&Shape::Integer, "-00", Err("`-00` is not an integer: it starts with 0; write -0")),
            (&Shape::Integer, "1.0", Err("`1.0` is not an integer")),
            (&Shape::Integer, "1e3", Err("`1e3` is not an integer")),
            (&Shape::Integer, " 1", Err("` 1` is not an integer")),
            (&Shape::Integer, "", Err("`` is not an integer")),
            (&Shape::Integer, "9007199254740991", Ok(json!(9_007_199_254_740_991_i64))),
            (
                &Shape::Integer,
                "9007199254740993",
                Err("`9007199254740993` cannot be held exactly: send it as a string, if the tool takes one"),
            ),
            (&Shape::Number, "0.5", Ok(json!(0.5))),
            (&Shape::Number, "1e3", Ok(json!(1000))),
            (&Shape::Number, ".5", Err("`.5` is not a number")),
            (&Shape::Number, "NaN", Err("`NaN` is not a number")),
            (&Shape::Boolean, "false", Ok(json!(false))),
            (&Shape::Boolean, "yes", Err("`yes` is neither `true` nor `false`")),
            (&choices, "high", Ok(json!("high"))),
            (&choices, "3", Ok(json!(3))),
            (&choices, "hihg", Err("`hihg` is none of low, high, 3; did you mean `high`?")),
            (&list, "5", Ok(json!(5))),
            (&Shape::Object, "{\"a\":1}", Ok(json!({"a": 1}))),
            (&Shape::Object, "[1]", Err("`[1]` is not a JSON object")),
            (&Shape::Json, "[1,true]", Ok(json!([1, true]))),
            (&Shape::Json, "{\"a\":1,\"a\":2}", Err("the member `a` stands twice (at byte 11)")),
        ] {
            assert_eq!(to_shape(shape, text), expected.map_err(str::to_owned), "{shape:?} {text}");
        }
    }
}

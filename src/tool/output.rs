//! What a run gave back as bytes, and the output that it is: the same for programs and for servers.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::domain::json::{self, Limits};
use crate::domain::tool::command::Form;

/// How much is told of output that nobody declared, in characters.
const MOST_TOLD: usize = 8 << 10;

/// Bytes as what they were declared to be. JSON that is no object becomes the member `result` of one.
///
/// # Errors
/// Says why they are something else.
pub fn parse(form: Form, bytes: &[u8], most: usize) -> Result<Value, String> {
    match form {
        Form::Text => Ok(text(bytes)),
        Form::Lines => {
            let text = std::str::from_utf8(bytes).map_err(|error| format!("it is not UTF-8: {error}"))?;
            Ok(json!({"lines": text.lines().collect::<Vec<_>>()}))
        }
        Form::Json => strict(bytes, most).map(object),
    }
}

/// Strict JSON.
///
/// # Errors
/// Says what is wrong with it.
pub fn strict(bytes: &[u8], most: usize) -> Result<Value, String> {
    let limits = Limits { bytes: most, ..Limits::default() };
    json::parse(bytes, limits).map_err(|error| format!("it is not strict JSON: {error}"))
}

/// What is no object becomes the member `result` of one.
pub fn object(value: Value) -> Value {
    if value.is_object() { value } else { json!({"result": value}) }
}

/// What is told of output that nobody declared: the beginning.
pub fn told(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let cut: String = text.chars().take(MOST_TOLD).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// Text exactly as it is; where that is not UTF-8, also its bytes.
fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({"text": text}),
        Err(_) => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
            json!({"text": String::from_utf8_lossy(bytes), "base64": encoded})
        }
    }
}

//! How an answer to `tools/call` is read: a pure function of what the tool declared and what the server said. What a
//! server says of an effect is never taken for proof: that a call failed is not that nothing happened.

use serde_json::{Map, Value, json};

use super::message::Answer;
use crate::domain::json::Canonical;
use crate::domain::outcome::{Effect, Ending, FailureKind, Outcome};
use crate::domain::tool::{EffectClass, Tool};
use crate::guard::schema::OutputSchema;

/// The longest text of a failure that is passed on, in characters.
const LONGEST_TOLD: usize = 2_000;

/// How a call that was answered has ended. `schema` is that of the tool's output, when it declares one.
pub fn read(tool: &Tool, schema: Option<&OutputSchema>, answer: Answer) -> Ending {
    let name = &tool.name;
    match answer {
        Answer::Result(Value::Object(result)) => of_result(tool, schema, result),
        Answer::Result(_) => invalid(tool, "its result is no object".to_owned()),
        Answer::Fault { code, message } => {
            Ending::Known(failed(tool, format!("`{name}` failed: {message} ({code})"), None))
        }
        Answer::Unreadable(why) => {
            // It was answered, and whether that says yes or no nobody can know.
            let message = format!("`{name}` gave an answer that cannot be taken: {why}");
            Ending::cut_off(tool.effect, FailureKind::OutputInvalid, message)
        }
    }
}

fn of_result(tool: &Tool, schema: Option<&OutputSchema>, mut result: Map<String, Value>) -> Ending {
    let name = &tool.name;
    match result.get("resultType").and_then(Value::as_str) {
        None | Some("complete") => {}
        Some("input_required") => {
            let message = format!(
                "`{name}` asks its caller for more, which cannot be given through toolctl: it did not come to its end"
            );
            return Ending::Known(failed(tool, message, None));
        }
        Some(other) => {
            let other: String = other.chars().take(80).collect();
            let message = format!("`{name}` answered with a `{other}`, which nobody asked it for");
            return Ending::cut_off(tool.effect, FailureKind::OutputInvalid, message);
        }
    }
    let structured = result.remove("structuredContent").filter(|value| !value.is_null());
    let content = result.remove("content").unwrap_or_else(|| json!([]));
    if result.get("isError").and_then(Value::as_bool) == Some(true) {
        let said = words(&content);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let output = structured.unwrap_or_else(|| json!({"content": content}));
        let output = Some(Canonical::of(&output)).filter(|output| output.as_str().len() <= tool.output_limit);
        return Ending::Known(failed(tool, format!("`{name}` failed{said}"), output));
    }
    let output = match (structured, schema) {
        (Some(structured), Some(schema)) => match schema.check(&structured) {
            Ok(()) => structured,
            Err(why) => return invalid(tool, why),
        },
        (None, Some(_)) => {
            return invalid(tool, "it declares an output schema and gave no structured content".to_owned());
        }
        // Structured content that nobody declared stands beside the content that says the same.
        (Some(structured), None) if is_empty(&content) => json!({"content": [], "structuredContent": structured}),
        (Some(structured), None) => json!({"content": content, "structuredContent": structured}),
        (None, None) if content.is_array() => json!({"content": content}),
        (None, None) => return invalid(tool, "its content is no list".to_owned()),
    };
    let output = Canonical::of(&output);
    let (bytes, most) = (output.as_str().len(), tool.output_limit);
    if bytes > most {
        return invalid(tool, format!("it has {bytes} bytes, more than the {most} that are kept"));
    }
    Ending::Known(Outcome::Succeeded { output })
}

fn is_empty(content: &Value) -> bool {
    content.as_array().is_none_or(Vec::is_empty)
}

/// The texts of some content, cut.
fn words(content: &Value) -> String {
    let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = blocks.iter().filter_map(|block| block.get("text").and_then(Value::as_str));
    let all = texts.collect::<Vec<_>>().join(" ");
    let cut: String = all.trim().chars().take(LONGEST_TOLD).collect();
    if cut.len() < all.trim().len() { format!("{cut}…") } else { cut }
}

/// It ran, said so, and what it gave cannot be kept.
fn invalid(tool: &Tool, why: String) -> Ending {
    let effect = if tool.effect == EffectClass::ReadOnly { Effect::None } else { Effect::Done };
    let message = format!("`{}` answered, but its output is not what it declared: {why}", tool.name);
    Ending::Known(Outcome::Failed { kind: FailureKind::OutputInvalid, message, output: None, effect })
}

fn failed(tool: &Tool, message: String, output: Option<Canonical>) -> Outcome {
    let effect = if tool.effect == EffectClass::ReadOnly { Effect::None } else { Effect::Unknown };
    Outcome::Failed { kind: FailureKind::Failed, message, output, effect }
}

#[cfg(test)]
mod tests;

//! Asking in the caller's own client: the form that shows a call and wants its digest typed, and what came back.
//! The form is never empty: some clients answer an empty one without anybody looking.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::api::mcp::{Era, Version};
use crate::domain::call::{Call, CallState};
use crate::domain::digest::Digest;
use crate::domain::text::escape_untrusted;
use crate::server::mcp::exchange::Exchange;

/// The name of the question among the `inputRequests` of a result.
pub const QUESTION: &str = "consent";
/// The one field of the form.
const FIELD: &str = "digest";
/// Arguments with more characters are shown by their head, length and hash.
const LONGEST: usize = 400;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Somebody sent the form: this stood in it.
    Typed(String),
    /// Somebody does not want the call.
    Declined,
    /// Nobody was there, or the client could not ask.
    Nobody,
}

impl Said {
    /// Reads an answer of a client: `{action, content}`. Only a decline is a no; what is malformed is as if
    /// nobody were there.
    pub fn of(answer: Option<&Value>) -> Self {
        let Some(answer) = answer else { return Self::Nobody };
        match answer.get("action").and_then(Value::as_str) {
            Some("accept") => {
                let typed = answer.get("content").and_then(|content| content.get(FIELD)).and_then(Value::as_str);
                Self::Typed(typed.unwrap_or_default().to_owned())
            }
            Some("decline") => Self::Declined,
            Some(_) | None => Self::Nobody,
        }
    }

    /// Reads the answer to a request of ours; an error, or none, is nobody.
    pub fn answered(answer: Option<Result<Box<RawValue>, Box<RawValue>>>) -> Self {
        let Some(Ok(result)) = answer else { return Self::Nobody };
        Self::of(serde_json::from_str(result.get()).ok().as_ref())
    }
}

/// Whether this client can show a form and bring back what was typed: it says so, in a revision that has forms,
/// and there is a way back.
pub fn can_ask(exchange: &Exchange) -> bool {
    let has_forms = match exchange.capability("elicitation").and_then(Value::as_object) {
        // Without a mode it is forms.
        Some(modes) => modes.is_empty() || modes.contains_key("form"),
        None => false,
    };
    let way_back = exchange.era() == Era::Modern || exchange.asks.is_some();
    has_forms && way_back && exchange.version >= Version::V2025_06_18
}

/// Whether a rule of this call still takes its caller's consent.
pub fn is_wanted(call: &Call) -> bool {
    matches!(call.state, CallState::AwaitingApproval)
        && call.approval.as_ref().is_some_and(crate::domain::approval::Approval::awaits_consent)
}

/// The parameters of `elicitation/create`; `again` when something else was typed before.
pub fn question(call: &Call, version: Version, again: bool) -> Value {
    let digest = call.approval.as_ref().map(|approval| typable(&approval.binding)).unwrap_or_default();
    let again = if again { "That was not the digest; nothing has run. " } else { "" };
    let message = format!(
        "{again}toolctl asks for your consent to one call of `{}` with {}. If you want exactly this, type its digest: \
         {digest}",
        call.tool,
        shown(call.arguments.as_str()),
    );
    let mut params = Map::new();
    if version >= Version::V2025_11_25 {
        params.insert("mode".to_owned(), "form".into());
    }
    params.insert("message".to_owned(), message.into());
    let field = json!({
        "type": "string",
        "title": "Digest",
        "description": format!("Type {digest} to let this call run"),
        "minLength": 8,
    });
    let schema = json!({ "type": "object", "properties": { (FIELD): field }, "required": [FIELD] });
    params.insert("requestedSchema".to_owned(), schema);
    Value::Object(params)
}

/// The short digest as people type it: `3f2a-91cd`.
pub fn typable(binding: &Digest) -> String {
    let short = binding.short();
    match short.split_at_checked(4) {
        Some((head, tail)) => format!("{head}-{tail}"),
        None => short,
    }
}

/// Arguments in which nothing can deceive a reader: they were written by the one who asks.
fn shown(arguments: &str) -> String {
    if arguments.chars().count() <= LONGEST {
        return escape_untrusted(arguments);
    }
    let head: String = arguments.chars().take(LONGEST).collect();
    let hash = Digest::plain(arguments.as_bytes()).short();
    format!("{} … ({} characters, sha256 {hash})", escape_untrusted(&head), arguments.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_did_counts() {
        for (answer, said) in [
            (json!({"action": "accept", "content": {"digest": "3f2a-91cd"}}), Said::Typed("3f2a-91cd".into())),
            (json!({"action": "accept"}), Said::Typed(String::new())),
            (json!({"action": "accept", "content": {"digest": 7}}), Said::Typed(String::new())),
            (json!({"action": "decline"}), Said::Declined),
            (json!({"action": "cancel"}), Said::Nobody),
            (json!({"action": "ACCEPT", "content": {"digest": "3f2a-91cd"}}), Said::Nobody),
            (json!("accept"), Said::Nobody),
            (json!({}), Said::Nobody),
        ] {
            assert_eq!(Said::of(Some(&answer)), said, "{answer}");
        }
        assert_eq!(Said::of(None), Said::Nobody);
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert_eq!(Said::answered(Some(Err(raw("{\"action\":\"accept\"}")))), Said::Nobody, "an error");
    }

    #[test]
    fn arguments_cannot_deceive_whoever_reads_the_form() {
        assert_eq!(shown("{\"name\":\"Åsa 1\"}"), "{\"name\":\"Åsa 1\"}");
        assert_eq!(shown("a\u{202e}b\u{200b}\n"), "a\\u{202e}b\\u{200b}\\n");
        let long = shown(&"x".repeat(1000));
        assert!(long.starts_with(&"x".repeat(LONGEST)) && long.contains("… (1000 characters, sha256 "), "{long}");
    }
}

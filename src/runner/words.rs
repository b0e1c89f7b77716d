//! What a driver said last, for whoever asks why a run does not go on: at most a few lines of its stderr.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How much of the end is kept, in bytes.
const KEPT: usize = 8 << 10;
/// The most that is said of it, in characters.
const MOST_SAID: usize = 500;

/// Reads to the end; gives the message of the error if there is one, else the last line.
pub async fn last(mut from: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; 4 << 10]);
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        kept.drain(..kept.len().saturating_sub(KEPT));
    }
    let text = String::from_utf8_lossy(&kept);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    let said = lines().find_map(message).or_else(|| lines().next().map(str::to_owned)).unwrap_or_default();
    said.chars().take(MOST_SAID).collect()
}

/// The message in a line that is an error for programs.
fn message(line: &str) -> Option<String> {
    let error: Value = serde_json::from_str(line).ok()?;
    let error = error.get("error")?;
    let message = error.get("message")?.as_str()?;
    let places = error.get("errors").and_then(Value::as_array).into_iter().flatten();
    let text = |place: &Value, member: &str| place.get(member)?.as_str().map(str::to_owned);
    let places = places.filter_map(|place| Some(format!("; {}: {}", text(place, "path")?, text(place, "message")?)));
    Some(std::iter::once(message.to_owned()).chain(places).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(text: &str) -> String {
        last(text.as_bytes()).await
    }

    #[tokio::test]
    async fn the_error_comes_before_whatever_else_was_said() {
        assert_eq!(of("").await, "");
        assert_eq!(of("one\n two \n\n").await, "two");
        let error = "{\"error\":{\"code\":\"x\",\"message\":\"`a` is gone\"}}";
        assert_eq!(of(&format!("first\n{error}\nlast\n")).await, "`a` is gone");
        let places = "{\"error\":{\"message\":\"wrong\",\"errors\":[{\"path\":\"w:1\",\"message\":\"no `t`\"}]}}";
        assert_eq!(of(places).await, "wrong; w:1: no `t`");
        assert_eq!(of("{\"error\":1}").await, "{\"error\":1}");
    }

    #[tokio::test]
    async fn it_is_the_end_that_is_kept_and_not_more_than_can_be_read() {
        let said = of(&format!("{}\nthe end", "x".repeat(1 << 20))).await;
        assert_eq!(said, "the end");
        assert_eq!(of(&"é".repeat(1 << 20)).await.chars().count(), MOST_SAID);
    }
}

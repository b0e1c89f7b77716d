//! What a call would do, as the preview of its tool told it before people were asked. It is part of what they agree
//! to, so a call whose preview says something else when it starts is not the one that was approved.

use serde_json::{Value, json};

use super::audit::commitment;
use super::digest::Digest;
use super::id::ToolName;
use super::json::{Canonical, canonical};

/// The longest preview that people are shown, in bytes of canonical JSON.
pub const LONGEST: usize = 64 << 10;

/// What a preview said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The tool that was asked.
    pub tool: ToolName,
    /// What it answered, or why it did not. People agree to that as well.
    pub said: Result<Canonical, String>,
    /// It must say the same when the call starts. Not so when its operator declared that it varies, nor when an
    /// earlier start of the call may have changed what it looks at.
    pub binding: bool,
}

impl Preview {
    /// What stands for it in the binding of an approval.
    pub fn bound(&self) -> Value {
        let digest = self.digest().to_string();
        match self.said {
            Ok(_) => json!({"said": digest, "tool": self.tool.as_str()}),
            Err(_) => json!({"failed": digest, "tool": self.tool.as_str()}),
        }
    }

    /// The digest of what was said.
    pub fn digest(&self) -> Digest {
        Digest::of("toolctl/preview/v1", &[self.disclosed().as_bytes()])
    }

    /// What the log says of it: a commitment, so that it can be compared later and tells nothing by itself.
    pub fn fact(&self, salt: &[u8; 16]) -> (&'static str, String) {
        let name = match (&self.said, self.binding) {
            (Ok(_), true) => "preview",
            (Ok(_), false) => "preview_not_compared",
            (Err(_), _) => "preview_failed",
        };
        (name, commitment(salt, "/preview", &self.disclosed()).to_string())
    }

    fn disclosed(&self) -> String {
        match &self.said {
            Ok(output) => output.as_str().to_owned(),
            Err(why) => canonical(&Value::String(why.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_and_a_failure_of_the_same_words_are_not_the_same() {
        let preview = |said| Preview { tool: "p".parse().expect("a name"), said, binding: true };
        let answer = preview(Ok(Canonical::of(&json!("gone"))));
        let failure = preview(Err("gone".to_owned()));
        assert_ne!(answer.bound(), failure.bound());
        assert_eq!(answer.fact(&[1; 16]).0, "preview");
        assert_ne!(answer.fact(&[1; 16]).1, answer.fact(&[2; 16]).1, "it is salted");
        assert_eq!(Preview { binding: false, ..answer }.fact(&[1; 16]).0, "preview_not_compared");
    }
}

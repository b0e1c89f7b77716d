//! Files of policies, and what can be wrong with one: always with the place in the text, so that the
//! command line can show it.

use std::fmt;
use std::ops::Range;

use miette::Diagnostic;

use crate::domain::digest::Digest;

/// One file of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySource {
    /// Its name; `shipped` for the policy inside the program.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl PolicySource {
    /// The policy that toolctl ships with, in force when there is no other.
    pub fn shipped() -> Self {
        Self { name: "shipped".to_owned(), text: include_str!("shipped.cedar").to_owned() }
    }
}

/// Digest over names and texts, sorted by name.
pub(super) fn digest(files: &[PolicySource]) -> Digest {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by(|a, b| (&a.name, &a.text).cmp(&(&b.name, &b.text)));
    let parts: Vec<&[u8]> = files.iter().flat_map(|file| [file.name.as_bytes(), file.text.as_bytes()]).collect();
    Digest::of("toolctl/policy/v1", &parts)
}

/// One thing that keeps policies from being loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PolicyProblem {
    /// What is wrong.
    pub message: String,
    /// The file.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Bytes of the text at fault, when one place is.
    pub span: Option<Range<usize>>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl PolicyProblem {
    pub(super) fn new(file: &PolicySource, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let (file, text) = (file.name.clone(), file.text.clone());
        Self { message: message.into(), file, text, span, hint: None }
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Takes over what Cedar says, its first label and its help.
    pub(super) fn of(file: &PolicySource, found: &dyn Diagnostic) -> Self {
        let label = found.labels().and_then(|mut labels| labels.next());
        let span = label.map(|label| label.offset()..label.offset().saturating_add(label.len()));
        let message = found.to_string();
        let hint = effect_meant(&message).or_else(|| found.help().map(|help| help.to_string()));
        Self { hint, ..Self::new(file, span, message) }
    }

    /// Line and column of the place at fault, both from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        let before = self.text.get(..self.span.as_ref()?.start)?;
        let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        Some((before.matches('\n').count() + 1, line.chars().count() + 1))
    }

    /// File, line and column, as editors take them.
    pub fn place(&self) -> String {
        match self.position() {
            Some((line, column)) => format!("{}:{line}:{column}", self.file),
            None => self.file.clone(),
        }
    }
}

/// What a rule was to say, where it begins with a word that Cedar does not have for it.
fn effect_meant(message: &str) -> Option<String> {
    let meant = match message.strip_prefix("invalid policy effect: ")? {
        "deny" | "reject" | "refuse" | "block" | "disallow" => "forbid",
        "allow" | "approve" | "accept" | "grant" => "permit",
        _ => return None,
    };
    Some(format!("did you mean `{meant}`? a rule begins with `permit` or `forbid`"))
}

/// Everything that keeps policies from being loaded; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblems(pub Vec<PolicyProblem>);

impl std::error::Error for PolicyProblems {}

impl fmt::Display for PolicyProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}: {problem}", problem.place())?;
        }
        Ok(())
    }
}

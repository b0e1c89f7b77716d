//! What a workflow is, once its file has been read: inputs, steps that call tools, and what it gives. It can be
//! made only by [`super::decode`], so that whatever runs has been read whole.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::template::{Reference, Shape, Source};
use crate::cli::fault::Span;
use crate::domain::digest::Digest;
use crate::domain::json::Canonical;

/// Items of one `for_each` that are called at once when nothing is said.
pub const USUAL_PARALLEL: usize = 4;
/// The most items of one `for_each` that are called at once.
pub const MOST_PARALLEL: usize = 64;
/// The most items of one `for_each`.
pub const MOST_ITEMS: usize = 100_000;
/// The most steps of one file.
pub const MOST_STEPS: usize = 1_000;
/// The most attempts of one call.
pub const MOST_ATTEMPTS: u32 = 10;

/// A workflow.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// Its name, a part of the ids of its runs.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it is given, by name.
    pub inputs: Vec<Input>,
    /// Every step: those of `step` first, then those of `on_failure`, then those of `finally`, each in the order of
    /// the file.
    pub steps: Vec<Step>,
    /// What it gives.
    pub outputs: Shape,
    /// The file without its places: what it means, whatever it looks like.
    pub document: Value,
}

/// Something a workflow is given.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: InputKind,
    /// What it is for.
    pub description: Option<String>,
    /// What it is when it is not given; without one it must be given.
    pub default: Option<Value>,
    /// All it may be.
    pub choices: Option<Vec<Value>>,
}

/// The type of an input, as JSON Schema names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// Values by name.
    Object,
}

/// When a step is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// As soon as what it needs is done.
    Step,
    /// Once a step has failed and all others have come to rest.
    OnFailure,
    /// At the end, whatever happened.
    Finally,
}

/// A call of a tool, or one for each item of a list.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name, a part of the keys of its calls.
    pub id: String,
    /// Where the name stands.
    pub id_span: Span,
    /// When it is looked at.
    pub section: Section,
    /// The tool.
    pub tool: String,
    /// Where the tool's name stands.
    pub tool_span: Span,
    /// The arguments, a table.
    pub with: Shape,
    /// Where the arguments stand; the step when there are none.
    pub with_span: Span,
    /// It is skipped when this does not hold.
    pub when: Option<Source>,
    /// The list.
    pub for_each: Option<Shape>,
    /// Items called at once.
    pub max_parallel: usize,
    /// Steps that must be done first, those it looks at included.
    pub needs: BTreeSet<String>,
    /// What `needs` says in the file, with its places.
    pub said_needs: Vec<(String, Span)>,
    /// How often a call that failed is made again.
    pub retry: Option<Retry>,
    /// How long a call may run.
    pub timeout: Option<Duration>,
    /// What the call is about: with it, it is made once for all runs of this workflow.
    pub idempotency: Option<Shape>,
    /// People must agree, even where policy would not ask them.
    pub approval: bool,
    /// Why, for the people who decide.
    pub reason: Option<Shape>,
}

/// How often a call that failed is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The first one included.
    pub attempts: u32,
    /// How long to wait before the second; twice as long before each further one.
    pub backoff: Duration,
}

impl Workflow {
    /// Digest of what the file means: places, comments and the language do not count.
    pub fn digest(&self) -> Digest {
        Digest::of("toolctl/workflow/v1", &[Canonical::of(&self.document).as_str().as_bytes()])
    }

    /// Whether there are steps that are taken after a failure.
    pub fn follows_failures(&self) -> bool {
        self.steps.iter().any(|step| step.section != Section::Step)
    }

    /// The step of this name.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }
}

impl Step {
    /// Everything it looks at, and where.
    pub fn looks_at(&self) -> Vec<(Reference, Span)> {
        let shapes = [Some(&self.with), self.for_each.as_ref(), self.idempotency.as_ref(), self.reason.as_ref()];
        let in_shapes = shapes.into_iter().flatten().flat_map(Shape::looks_at);
        let mut found: Vec<_> = in_shapes.map(|(reference, (start, end))| (reference, start..end)).collect();
        if let Some(when) = &self.when {
            found.extend(when.looks_at().into_iter().map(|reference| (reference, when.span.clone())));
        }
        found
    }
}

impl InputKind {
    /// Every type, by its word.
    pub const ALL: [(&'static str, Self); 6] = [
        ("string", Self::String),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("array", Self::Array),
        ("object", Self::Object),
    ];

    /// The word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    /// Whether a value is of this type.
    pub fn takes(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
    }
}

impl Section {
    /// The word in the file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::OnFailure => "on_failure",
            Self::Finally => "finally",
        }
    }
}

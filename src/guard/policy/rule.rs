//! One rule: a Cedar policy with what its annotations ask for. The lint is strict, because Cedar itself
//! ignores annotations: a misspelt `@approval_quorum` would silently be none.

use std::ops::Range;
use std::str::FromStr;

use cedar_policy::{Effect, Policy};

use super::looks::{Looks, Names};
use super::source::{PolicyProblem, PolicySource};
use crate::domain::approval::{Assurance, Requirement};
use crate::domain::time::parse_span;

/// Annotations that mean something.
const ANNOTATIONS: [&str; 8] = [
    "approval_assurance",
    "approval_consent",
    "approval_group",
    "approval_quorum",
    "approval_ttl",
    "description",
    "id",
    "limit",
];

/// The largest quorum a rule may ask for.
const LARGEST_QUORUM: u32 = 100;

/// A rule that passed the lint.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its `@id`.
    pub id: String,
    /// The policy, under that id.
    pub policy: Policy,
    /// Who must agree, when it is a rule about people.
    pub asks: Option<Requirement>,
    /// What of the context it looks at.
    pub looks: Looks,
    /// What it names.
    pub names: Names,
}

impl Rule {
    /// Whether it is a `permit`.
    pub fn permits(&self) -> bool {
        self.policy.effect() == Effect::Permit
    }

    /// Checks one policy of a file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn lint(file: &PolicySource, policy: &Policy) -> Result<Self, Vec<PolicyProblem>> {
        let mut lint = Lint { file, policy, problems: Vec::new() };
        lint.annotations();
        let id = lint.id();
        let (looks, unless, names) = lint.taken_apart();
        let asks = lint.asks(id.as_deref().unwrap_or_default(), looks, unless);
        match id {
            Some(id) if lint.problems.is_empty() => {
                let policy = policy.new_id(cedar_policy::PolicyId::new(&id));
                Ok(Self { id, policy, asks, looks, names })
            }
            _ => Err(lint.problems),
        }
    }
}

/// The place of a policy in its file.
pub fn place(policy: &Policy) -> Option<Range<usize>> {
    policy.as_ref().loc().map(|loc| loc.start()..loc.end())
}

struct Lint<'a> {
    file: &'a PolicySource,
    policy: &'a Policy,
    problems: Vec<PolicyProblem>,
}

impl Lint<'_> {
    fn annotations(&mut self) {
        let names: Vec<String> = self.policy.annotations().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            if name == "limit" {
                self.problem(
                    "@limit",
                    "`@limit` is not supported yet, so the limit would not be kept",
                    "remove it; the `[quota]` of the configuration limits how fast each caller may go",
                );
            } else if !ANNOTATIONS.contains(&name.as_str()) {
                let near = ANNOTATIONS
                    .iter()
                    .map(|known| (strsim::jaro_winkler(&name, known), known))
                    .filter(|(likeness, _)| *likeness > 0.8)
                    .max_by(|(a, _), (b, _)| a.total_cmp(b));
                let hint = match near {
                    Some((_, near)) => format!("did you mean `@{near}`?"),
                    None => "use `@description` for remarks".to_owned(),
                };
                self.problem(&format!("@{name}"), format!("the annotation `@{name}` is not known"), hint);
            }
        }
    }

    fn id(&mut self) -> Option<String> {
        let Some(id) = self.policy.annotation("id") else {
            self.problem("", "a policy has no `@id`", "put `@id(\"a-name\")` before it: decisions name it");
            return None;
        };
        let id = id.to_owned();
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        if (1..=64).contains(&id.len()) && id.bytes().all(good) {
            return Some(id);
        }
        self.problem(
            "@id",
            format!("`{}` is not the id of a policy", id.chars().take(80).collect::<String>()),
            "use 1–64 letters, digits and `_-.:`",
        );
        None
    }

    /// What the whole policy looks at, what its `unless` does, and what it names.
    fn taken_apart(&mut self) -> (Looks, Looks, Names) {
        match self.policy.to_json() {
            Ok(json) => (Looks::of(&json, None), Looks::of(&json, Some("unless")), Names::of(&json)),
            Err(error) => {
                self.problem("", format!("the policy cannot be taken apart: {error}"), "simplify it");
                Default::default()
            }
        }
    }

    fn asks(&mut self, id: &str, looks: Looks, unless: Looks) -> Option<Requirement> {
        let forbids = self.policy.effect() == Effect::Forbid;
        let annotated = self
            .policy
            .annotations()
            .map(|(name, _)| name)
            .find(|name| name.starts_with("approval_") && ANNOTATIONS.contains(name));
        if let (Some(name), false) = (annotated, forbids && unless.attended) {
            let name = format!("@{name}");
            self.problem(
                &name,
                format!("`{name}` belongs on a `forbid … unless {{ context.session.attended }}` only"),
                "a rule of another kind asks nobody; remove the annotation or make it such a `forbid`",
            );
            return None;
        }
        if !forbids || !looks.attended {
            return None;
        }
        let Some(group) = self.policy.annotation("approval_group") else {
            self.problem(
                "context.session.attended",
                "a `forbid` that looks at `context.session.attended` must say who is asked",
                "add `@approval_group(\"approvers\")`",
            );
            return None;
        };
        let group = group.to_owned();
        let group =
            self.read("approval_group", Some(&group), str::parse, "name a group: 1–64 letters, digits, `_`, `-`");
        let quorum = self.value("approval_quorum");
        let quorum = self.read(
            "approval_quorum",
            Some(quorum.as_deref().unwrap_or("1")),
            |text| u32::from_str(text).ok().filter(|n| (1..=LARGEST_QUORUM).contains(n)).ok_or(()),
            "say how many people, from 1 to 100",
        );
        let assurance = self.value("approval_assurance");
        let assurance = self.read(
            "approval_assurance",
            Some(assurance.as_deref().unwrap_or("0")),
            |text| match text {
                "0" => Ok(Assurance::A0),
                "1" => Ok(Assurance::A1),
                _ => Err(()),
            },
            "\"0\" takes any credential, \"1\" asks for a signature",
        );
        let ttl = self.value("approval_ttl");
        let ttl = self.read(
            "approval_ttl",
            ttl.as_deref(),
            |text| parse_span(text).ok().filter(|span| !span.is_zero()).ok_or(()),
            "say how long, for example \"1h\" or \"PT1H\"",
        );
        let consent = self.consent(quorum, assurance);
        Some(Requirement { group: group?, quorum: quorum?, assurance: assurance?, rule: id.to_owned(), ttl, consent })
    }

    /// Whether the caller's own consent is enough. It stands for nobody else, so a rule that wants several
    /// people, or a signature, cannot mean it.
    fn consent(&mut self, quorum: Option<u32>, assurance: Option<Assurance>) -> bool {
        let consent = self.value("approval_consent");
        let consent = self.read(
            "approval_consent",
            consent.as_deref(),
            |text| (text == "caller").then_some(()).ok_or(()),
            "\"caller\" lets the caller's own consent, typed in its client, meet this rule",
        );
        let stricter = if quorum > Some(1) {
            "@approval_quorum"
        } else if assurance > Some(Assurance::A0) {
            "@approval_assurance"
        } else {
            return consent.is_some();
        };
        if consent.is_some() {
            self.problem(
                "@approval_consent",
                format!("`@approval_consent` goes round `{stricter}`: the caller's consent is one unsigned word"),
                format!("keep one of the two: `{stricter}` where people must decide, consent where the caller may"),
            );
        }
        false
    }

    fn value(&self, name: &str) -> Option<String> {
        self.policy.annotation(name).map(str::to_owned)
    }

    fn read<T, E>(
        &mut self,
        name: &str,
        text: Option<&str>,
        read: impl Fn(&str) -> Result<T, E>,
        hint: &str,
    ) -> Option<T> {
        let text = text?;
        match read(text) {
            Ok(value) => Some(value),
            Err(_) => {
                let shown: String = text.chars().take(80).collect();
                self.problem(&format!("@{name}"), format!("`@{name}` cannot be `{shown}`"), hint);
                None
            }
        }
    }

    /// Points at `word` inside the policy, or at its first line.
    fn problem(&mut self, word: &str, message: impl Into<String>, hint: impl Into<String>) {
        let whole = place(self.policy);
        let span = whole.and_then(|whole| {
            let text = self.file.text.get(whole.clone())?;
            let (start, length) = match text.find(word).filter(|_| !word.is_empty()) {
                Some(start) => (start, word.len()),
                None => (0, text.find('\n').unwrap_or(text.len())),
            };
            Some(whole.start + start..whole.start + start + length)
        });
        self.problems.push(PolicyProblem::new(self.file, span, message).hint(hint));
    }
}

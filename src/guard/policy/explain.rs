//! What policy would say, in a form for people: about one request, and about a tool before there are
//! arguments. Nothing here can be executed: there is no [`Permit`](super::Permit) in it.

use std::collections::BTreeSet;

use cedar_policy::{Context, RestrictedExpression};

use super::{PolicySet, Request};
use crate::domain::approval::Requirement;
use crate::domain::denial::Code;
use crate::domain::id::GroupName;
use crate::domain::principal::Principal;
use crate::domain::tool::Registered;

/// What policy would decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Runs at once.
    Allow,
    /// People must agree first.
    NeedsApproval,
    /// No.
    Deny,
}

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What policy would decide.
    pub answer: Answer,
    /// Ids of the policies that decided.
    pub rules: Vec<String>,
    /// Who must agree.
    pub requirements: Vec<Requirement>,
    /// All of it in a sentence.
    pub sentence: String,
    /// What went wrong inside rules, for operators.
    pub errors: Vec<String>,
}

/// What policy says to a principal about a tool, without arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The answer.
    pub answer: StandingAnswer,
    /// Groups that must agree, when people must.
    pub groups: BTreeSet<GroupName>,
}

/// The answer as far as it can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandingAnswer {
    /// Runs at once.
    Allowed,
    /// People must agree.
    NeedsApproval,
    /// Surely denied.
    Denied,
    /// A rule looks at the arguments, the time or the door.
    Depends,
}

impl Standing {
    /// Whether the tool is shown to this principal: unless it is surely denied.
    pub fn is_visible(&self) -> bool {
        self.answer != StandingAnswer::Denied
    }

    fn new(answer: StandingAnswer) -> Self {
        Self { answer, groups: BTreeSet::new() }
    }
}

impl PolicySet {
    /// Says what [`PolicySet::decide`] would, and why.
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let (who, tool) = (&request.principal.id, &request.tool.name);
        match self.judge(request) {
            Ok(verdict) if verdict.requirements.is_empty() => {
                let sentence = format!("`{who}` may call `{tool}`, as {} permits", super::named(&verdict.rules));
                let (rules, requirements) = (verdict.rules, verdict.requirements);
                Explanation { answer: Answer::Allow, rules, requirements, sentence, errors: Vec::new() }
            }
            Ok(verdict) => {
                let asked: Vec<String> = verdict.requirements.iter().map(in_words).collect();
                let sentence = format!("`{who}` may call `{tool}` once {}", asked.join(" and "));
                let (rules, requirements) = (verdict.rules, verdict.requirements);
                Explanation { answer: Answer::NeedsApproval, rules, requirements, sentence, errors: Vec::new() }
            }
            Err(denial) => Explanation {
                answer: Answer::Deny,
                rules: denial.rules,
                requirements: Vec::new(),
                errors: match denial.code {
                    Code::PolicyEvaluationError => vec![denial.log.unwrap_or_else(|| denial.detail.clone())],
                    _ => Vec::new(),
                },
                sentence: denial.detail,
            },
        }
    }

    /// Says how a tool stands for a principal before there are arguments, for listings.
    pub fn standing(&self, principal: &Principal, tool: &Registered) -> Standing {
        let Ok((pair, subject)) = self.pair(principal, tool) else { return Standing::new(StandingAnswer::Denied) };
        let slice = &pair.slice;
        if !slice.permits || slice.forbids_always {
            return Standing::new(StandingAnswer::Denied);
        }
        if slice.looks.varies() {
            return Standing::new(StandingAnswer::Depends);
        }
        let evaluate = |attended| {
            let session = [("attended".to_owned(), RestrictedExpression::new_bool(attended))];
            let session = RestrictedExpression::new_record(session).ok()?;
            let context = Context::from_pairs([("session".to_owned(), session)]).ok()?;
            self.ask(&pair, subject, context).ok()
        };
        let Some(alone) = evaluate(false) else { return Standing::new(StandingAnswer::Denied) };
        if alone.allows {
            return Standing::new(StandingAnswer::Allowed);
        }
        let Some(attended) = evaluate(true) else { return Standing::new(StandingAnswer::Denied) };
        match self.once_people_agree(principal, tool, alone, attended) {
            Ok(verdict) => Standing {
                answer: StandingAnswer::NeedsApproval,
                groups: verdict.requirements.into_iter().map(|need| need.group).collect(),
            },
            Err(_) => Standing::new(StandingAnswer::Denied),
        }
    }
}

fn in_words(need: &Requirement) -> String {
    let Requirement { group, quorum, rule, consent, .. } = need;
    let verb = if *quorum == 1 { "agrees" } else { "agree" };
    let or = if *consent { " or it consents itself" } else { "" };
    format!("{quorum} of `{group}` {verb}{or} (`{rule}`)")
}

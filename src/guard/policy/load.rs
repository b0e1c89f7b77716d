//! From files to rules: parse and lint, then strict validation against the schema made from the tools. All that is
//! wrong is told at once, and nothing is loaded unless nothing is.

use std::collections::BTreeMap;

use cedar_policy::{Schema, ValidationMode, Validator};

use super::rule::{Rule, place};
use super::source::{PolicyProblem, PolicyProblems, PolicySource};

/// The most rules of all files.
const MOST_RULES: usize = 10_000;

/// The most bytes of one file.
const MOST_BYTES: usize = 1 << 20;

/// How often validation tells of one place: enough to see that it is so of several tools.
const MOST_OF_A_PLACE: usize = 3;

/// Steps from principal, action or resource that a rule may take into the entities: one, as a decision is
/// given no other entities than these three and their groups.
const DEEPEST_LEVEL: u32 = 1;

/// Reads all files. The rules come back in the order of their ids, each with its file.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn read(files: &[PolicySource]) -> Result<(Vec<Rule>, Vec<&PolicySource>), PolicyProblems> {
    let mut problems = Vec::new();
    let mut rules: BTreeMap<String, (Rule, &PolicySource)> = BTreeMap::new();
    for file in files {
        for found in parse(file)
            .and_then(|policies| lint(file, &policies))
            .map_err(|all| problems.extend(all))
            .into_iter()
            .flatten()
        {
            if let Some((_, first)) = rules.get(&found.id) {
                let message = format!("two policies have the id `{}`", found.id);
                let hint = format!("rename this one; the other is in `{}`", first.name);
                problems.push(PolicyProblem::new(file, place(&found.policy), message).hint(hint));
            } else {
                rules.insert(found.id.clone(), (found, file));
            }
        }
    }
    if let (Some(file), true) = (files.last(), rules.len() > MOST_RULES) {
        problems.push(PolicyProblem::new(file, None, format!("there are more than {MOST_RULES} policies")));
    }
    if problems.is_empty() { Ok(rules.into_values().unzip()) } else { Err(PolicyProblems(problems)) }
}

fn parse(file: &PolicySource) -> Result<Vec<cedar_policy::Policy>, Vec<PolicyProblem>> {
    if file.text.len() > MOST_BYTES {
        return Err(vec![PolicyProblem::new(file, None, format!("the file has more than {MOST_BYTES} bytes"))]);
    }
    let set: cedar_policy::PolicySet = file.text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        errors.iter().map(|error| PolicyProblem::of(file, error)).collect::<Vec<_>>()
    })?;
    if set.num_of_templates() > 0 {
        let message = "templates (`?principal`, `?resource`) are not supported";
        return Err(vec![PolicyProblem::new(file, None, message).hint("write the entity itself, or a group")]);
    }
    let mut policies: Vec<_> = set.policies().cloned().collect();
    policies.sort_by_key(|policy| place(policy).map(|span| span.start));
    Ok(policies)
}

fn lint(file: &PolicySource, policies: &[cedar_policy::Policy]) -> Result<Vec<Rule>, Vec<PolicyProblem>> {
    let (good, bad): (Vec<_>, Vec<_>) = policies.iter().map(|policy| Rule::lint(file, policy)).partition(Result::is_ok);
    let problems: Vec<_> = bad.into_iter().filter_map(Result::err).flatten().collect();
    if problems.is_empty() { Ok(good.into_iter().flatten().collect()) } else { Err(problems) }
}

/// Everything that strict validation says against rules, which are as [`read`] gives them.
pub fn validate(rules: &[Rule], files: &[&PolicySource], schema: Schema) -> Vec<PolicyProblem> {
    let Ok(all) = cedar_policy::PolicySet::from_policies(rules.iter().map(|rule| rule.policy.clone())) else {
        return Vec::new();
    };
    let result = Validator::new(schema).validate_with_level(&all, ValidationMode::Strict, DEEPEST_LEVEL);
    let mut problems: Vec<PolicyProblem> = result
        .validation_errors()
        .filter_map(|error| {
            let id: &str = error.policy_id().as_ref();
            let place_of = rules.binary_search_by(|rule| rule.id.as_str().cmp(id)).ok()?;
            let (rule, file) = (rules.get(place_of)?, files.get(place_of)?);
            let mut problem = PolicyProblem::of(file, error);
            problem.span = problem.span.or_else(|| place(&rule.policy));
            Some(problem)
        })
        .collect();
    problems.sort_by(|a, b| {
        (&a.file, a.span.as_ref().map(|s| s.start), &a.message).cmp(&(
            &b.file,
            b.span.as_ref().map(|s| s.start),
            &b.message,
        ))
    });
    problems.dedup();
    // A rule about all tools is wrong about each of them, at the same place.
    let (mut place, mut told) = (None, 0);
    problems.retain(|problem| {
        let here = Some((problem.file.clone(), problem.span.clone()));
        told = if place == here { told + 1 } else { 1 };
        place = here;
        told <= MOST_OF_A_PLACE
    });
    problems
}

//! What a run would ask for: every call with the answer of policy and the people who would have to agree. Nothing is
//! called. Where arguments depend on what other steps will give, policy is asked as far as it can answer without them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::arguments::Tools;
use super::definition::{Step, Workflow};
use super::record::Plan;
use super::scope::Scope;
use super::template::Shape;
use super::work;
use crate::api::admin::{self, Check, PolicyAnswer};
use crate::api::tools::Standing;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::table::{Cell, Table};
use crate::client::ClientError;

/// Items of one list that policy is asked about, each for itself.
const MOST_SHOWN: usize = 1_000;

/// What policy says to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// It would run at once.
    Allow,
    /// People must agree.
    NeedsApproval,
    /// No.
    Deny,
    /// It depends on arguments that are not known yet.
    Depends,
}

impl Says {
    /// From best to worst.
    const ALL: [Self; 4] = [Self::Allow, Self::Depends, Self::NeedsApproval, Self::Deny];

    const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::NeedsApproval => "needs approval",
            Self::Deny => "deny",
            Self::Depends => "depends",
        }
    }
}

/// What policy says to all calls of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// To the worst of them.
    pub says: Says,
    /// To each, and who must agree.
    pub words: String,
}

/// The answers, by step; a step that would not be called has none.
pub type Answers = BTreeMap<String, Answer>;

/// One call of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The step.
    pub step: String,
    /// Its section.
    pub section: &'static str,
    /// The tool.
    pub tool: String,
    /// Steps that come before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Place of its item, where the list is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<usize>,
    /// It is called for each of these, which are not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_each: Option<Value>,
    /// The condition, where it is not known yet whether it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The arguments; expressions stand for what is not known yet.
    pub arguments: Value,
    /// What policy says.
    pub policy: Says,
    /// Who must agree.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// Ids of the policies that decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// In a sentence, where it is a no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// How many calls it stands for, where that is known.
    #[serde(skip)]
    pub count: Option<usize>,
}

/// Makes the plan of a run with these inputs.
///
/// # Errors
/// The daemon's own.
pub fn rows(
    cx: &Context,
    workflow: &Workflow,
    tools: &Tools,
    inputs: Map<String, Value>,
) -> Result<Vec<Row>, CliError> {
    let plan = Plan { workflow: Value::Null, inputs, done_by: std::collections::BTreeMap::new() };
    let scope = Scope::new("PLAN", &workflow.name, &plan);
    let mut rows = Vec::new();
    for step in &workflow.steps {
        let is_known = step
            .looks_at()
            .iter()
            .all(|(reference, _)| !matches!(reference.part(0), Some("steps" | "failure" | "run")));
        if !is_known {
            rows.push(unknown(step, tools));
            continue;
        }
        // What is known and wrong now would be wrong then.
        let wanted = work::of(step, &scope, false).map_err(|message| {
            CliError::new(Exit::Usage, "expression-failed", format!("step `{}`: {message}", step.id))
        })?;
        let wanted = wanted.unwrap_or_default();
        let more = wanted.len().saturating_sub(MOST_SHOWN);
        for (place, call) in wanted.into_iter().take(MOST_SHOWN).enumerate() {
            let item = step.for_each.is_some().then_some(place);
            rows.push(asked(cx, step, item, call.call.arguments)?);
        }
        if more > 0 {
            let rest = json!(format!("{more} more items"));
            rows.push(Row { for_each: Some(rest), count: Some(more), ..unknown(step, tools) });
        }
    }
    Ok(rows)
}

/// The plan as a document and as a table.
///
/// # Errors
/// When the reader went away.
pub fn show(cx: &Context, workflow: &Workflow, rows: &[Row]) -> Result<(), CliError> {
    let mut table = Table::new(["STEP", "TOOL", "POLICY", "PEOPLE", "ARGUMENTS"], "nothing would be called");
    for row in rows {
        let item = match (row.item, &row.for_each) {
            (Some(item), _) => format!("[{item}]"),
            (None, Some(_)) => "[…]".to_owned(),
            (None, None) => String::new(),
        };
        let arguments = row.arguments.to_string();
        let short: String = arguments.chars().take(60).collect();
        let short = if short.len() < arguments.len() { format!("{short}…") } else { short };
        table.row([
            format!("{}{item}", row.step).into(),
            row.tool.as_str().into(),
            row.policy.word().into(),
            row.approvers.join(", ").into(),
            Cell::two(short, arguments),
        ]);
    }
    cx.ui.list(&json!({"workflow": workflow.name, "calls": rows}), rows, &table)
}

/// The plan as answers, one a step.
pub fn answers(rows: &[Row]) -> Answers {
    let mut steps: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        steps.entry(&row.step).or_default().push(row);
    }
    steps.into_iter().filter_map(|(step, rows)| Some((step.to_owned(), answer(&rows)?))).collect()
}

fn answer(rows: &[&Row]) -> Option<Answer> {
    let mut kinds: Vec<(Says, String, Option<usize>)> = Vec::new();
    for row in rows {
        let people = row.approvers.join(" and ");
        let words =
            if people.is_empty() { row.policy.word().to_owned() } else { format!("{}: {people}", row.policy.word()) };
        match kinds.iter_mut().find(|(_, known, _)| *known == words) {
            Some((_, _, count)) => *count = count.zip(row.count).map(|(before, more)| before + more),
            None => kinds.push((row.policy, words, row.count)),
        }
    }
    let says = Says::ALL.into_iter().rev().find(|says| kinds.iter().any(|(found, ..)| found == says))?;
    let words: Vec<String> = match kinds.as_slice() {
        [(_, words, _)] => vec![words.clone()],
        kinds => kinds
            .iter()
            .map(|(_, words, count)| count.map_or_else(|| words.clone(), |count| format!("{count} × {words}")))
            .collect(),
    };
    Some(Answer { says, words: words.join(", ") })
}

/// The exit status of a plan as a gate: that of the worst call.
pub fn verdict(rows: &[Row]) -> Result<Exit, CliError> {
    if let Some(row) = rows.iter().find(|row| row.policy == Says::Deny) {
        let because = row.because.clone().unwrap_or_else(|| format!("policy does not let you call `{}`", row.tool));
        let error = CliError::new(Exit::Denied, "policy-denied", format!("step `{}`: {because}", row.step));
        return Err(CliError {
            details: Box::new(crate::cli::error::Details { rules: row.rules.clone(), ..*error.details.clone() }),
            ..error
        });
    }
    Ok(if rows.iter().any(|row| row.policy == Says::NeedsApproval) { Exit::Pending } else { Exit::Done })
}

fn asked(cx: &Context, step: &Step, item: Option<usize>, arguments: Value) -> Result<Row, CliError> {
    let check = Check { tool: step.tool.clone(), arguments: arguments.clone(), principal: None };
    let mut row = Row { item, arguments, count: Some(1), ..plain(step) };
    match cx.try_send::<admin::CheckPolicy>(&check, cx.deadline())? {
        Ok(checked) => {
            row.policy = match checked.answer {
                PolicyAnswer::Allow => Says::Allow,
                PolicyAnswer::NeedsApproval => Says::NeedsApproval,
                PolicyAnswer::Deny => Says::Deny,
            };
            row.approvers =
                checked.requirements.iter().map(|need| format!("{} of {}", need.quorum, need.group)).collect();
            row.rules = checked.rules;
            row.because = (row.policy == Says::Deny).then_some(checked.explanation);
        }
        Err(ClientError::Problem(problem)) if problem.status < 500 => {
            let error = CliError::of_problem(*problem);
            let message = format!("step `{}`: {}", step.id, error.message);
            return Err(CliError { message, ..error });
        }
        Err(error) => return Err(error.into()),
    }
    ask_people(&mut row, step);
    Ok(row)
}

fn unknown(step: &Step, tools: &Tools) -> Row {
    let mut row = Row {
        arguments: step.with.written(),
        for_each: step.for_each.as_ref().map(Shape::written),
        when: step.when.as_ref().map(|when| when.text().to_owned()),
        ..plain(step)
    };
    if let Some(tool) = tools.get(&step.tool) {
        row.policy = match tool.standing {
            Standing::Allowed => Says::Allow,
            Standing::NeedsApproval => Says::NeedsApproval,
            Standing::Denied => Says::Deny,
            Standing::Depends => Says::Depends,
        };
        row.approvers = tool.approvers.iter().map(|group| format!("1 of {group}")).collect();
    }
    ask_people(&mut row, step);
    row
}

/// The step itself may ask for people.
fn ask_people(row: &mut Row, step: &Step) {
    let asked = "1 of approvers".to_owned();
    if step.approval && row.policy != Says::Deny {
        row.policy = Says::NeedsApproval;
        if !row.approvers.contains(&asked) {
            row.approvers.push(asked);
        }
    }
}

fn plain(step: &Step) -> Row {
    Row {
        step: step.id.clone(),
        section: step.section.word(),
        tool: step.tool.clone(),
        needs: step.needs.iter().cloned().collect(),
        item: None,
        for_each: None,
        when: None,
        arguments: Value::Null,
        policy: Says::Depends,
        approvers: Vec::new(),
        rules: Vec::new(),
        because: None,
        count: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flow::load;

    #[test]
    fn a_step_has_the_answer_of_its_worst_call_and_says_them_all() {
        let (workflow, _) = load::check("w.toml", "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"t\"\n");
        let workflow = workflow.expect("a workflow");
        let row = |policy, people: &[&str], count| Row {
            policy,
            approvers: people.iter().map(|who| (*who).to_owned()).collect(),
            count,
            ..plain(&workflow.steps[0])
        };
        let said = |rows: &[Row]| answers(rows).remove("a").map(|answer| (answer.says, answer.words));
        assert_eq!(said(&[]), None);
        let asks = || row(Says::NeedsApproval, &["1 of ops", "2 of approvers"], Some(1));
        let words = "needs approval: 1 of ops and 2 of approvers";
        assert_eq!(said(&[asks(), asks()]), Some((Says::NeedsApproval, words.to_owned())));
        let rows =
            [row(Says::Allow, &[], Some(1)), asks(), row(Says::Allow, &[], Some(7)), row(Says::Deny, &[], Some(1))];
        assert_eq!(said(&rows), Some((Says::Deny, format!("8 × allow, 1 × {words}, 1 × deny"))));
        let rows = [row(Says::Depends, &[], None), row(Says::Allow, &[], Some(1))];
        assert_eq!(said(&rows), Some((Says::Depends, "depends, 1 × allow".to_owned())));
    }
}

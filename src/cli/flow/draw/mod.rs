//! The graph of a workflow as a picture: Mermaid for pages that draw it themselves, SVG for everything else. With the
//! answers of policy each step says in words what would be asked of whom; shape and colour say it again. Pure.

mod mermaid;
mod svg;

pub use mermaid::mermaid;
pub use svg::svg;

use super::definition::{Section, Step, Workflow};
use super::plan::{Answers, Says};
use crate::cli::text::escape_untrusted;

/// Every list of a file, in the order in which they are taken.
const SECTIONS: [Section; 3] = [Section::Step, Section::OnFailure, Section::Finally];

/// What a step looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Policy was not asked, and the step asks for nobody.
    Plain,
    /// The step itself asks for people; policy was not asked.
    Asks,
    /// Policy was asked, and says this.
    Answered(Says),
    /// It would not be called.
    NotCalled,
}

/// A step in a picture.
struct Drawn<'a> {
    step: &'a Step,
    look: Look,
    /// What stands in it, of which nothing can be trusted: its name, its tool, and what policy says.
    lines: Vec<String>,
}

fn drawn<'a>(workflow: &'a Workflow, answers: Option<&Answers>) -> Vec<Drawn<'a>> {
    let draw = |step: &'a Step| {
        let mut tool = step.tool.clone();
        if step.for_each.is_some() {
            tool.push_str(" ×n");
        }
        if step.when.is_some() {
            tool.push_str(" ?");
        }
        let mut lines = vec![step.id.clone(), tool];
        let look = match answers.map(|answers| answers.get(&step.id)) {
            None if step.approval => Look::Asks,
            None => Look::Plain,
            Some(None) => {
                lines.push("not called".to_owned());
                Look::NotCalled
            }
            Some(Some(answer)) => {
                lines.push(answer.words.clone());
                Look::Answered(answer.says)
            }
        };
        Drawn { step, look, lines: lines.iter().map(|line| escape_untrusted(line)).collect() }
    };
    workflow.steps.iter().map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::super::plan::Answer;
    use crate::cli::flow::load;

    use super::*;

    pub(super) fn sample() -> Workflow {
        let text = "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"t\"\n[[step]]\nid = \"b\"\ntool = \"x<y\"\nneeds = \"a\"\n\
                    for_each = [1]\n[[step]]\nid = \"c\"\ntool = \"t\"\nneeds = \"a\"\napproval = \"required\"\n\
                    [[finally]]\nid = \"d\"\ntool = \"t\"\nwhen = \"true\"\n";
        load::check("w.toml", text).0.expect("a workflow")
    }

    /// What policy says to the sample; the name of a group is as bad as it can be.
    pub(super) fn answers() -> Answers {
        let answer = |says, words: &str| Answer { says, words: words.to_owned() };
        Answers::from([
            ("a".to_owned(), answer(Says::Allow, "allow")),
            ("b".to_owned(), answer(Says::Deny, "deny")),
            ("c".to_owned(), answer(Says::NeedsApproval, "needs approval: 1 of \"]#lt;script>\u{202e}`")),
        ])
    }

    #[test]
    fn each_step_says_what_it_is_and_what_policy_says_to_it() {
        let workflow = sample();
        let lines = |answers: Option<&Answers>| {
            drawn(&workflow, answers).into_iter().map(|drawn| (drawn.look, drawn.lines.join("|"))).collect::<Vec<_>>()
        };
        assert_eq!(
            lines(None),
            [
                (Look::Plain, "a|t".to_owned()),
                (Look::Plain, "b|x<y ×n".to_owned()),
                (Look::Asks, "c|t".to_owned()),
                (Look::Plain, "d|t ?".to_owned()),
            ]
        );
        assert_eq!(
            lines(Some(&answers())),
            [
                (Look::Answered(Says::Allow), "a|t|allow".to_owned()),
                (Look::Answered(Says::Deny), "b|x<y ×n|deny".to_owned()),
                (Look::Answered(Says::NeedsApproval), "c|t|needs approval: 1 of \"]#lt;script>\\u{202e}`".to_owned()),
                (Look::NotCalled, "d|t ?|not called".to_owned()),
            ]
        );
    }
}

//! Whether a workflow makes sense by itself: names that exist, one meaning each, and an order in which its steps
//! can be taken. A step needs what it names in `needs` and what its expressions look at.

use std::collections::{BTreeMap, BTreeSet};

use super::definition::{Section, Step, Workflow};
use super::template::Reference;
use crate::cli::fault::{Fault, Faults, Span};

/// What expressions may start with.
const ROOTS: [&str; 6] = ["inputs", "steps", "item", "index", "run", "failure"];
/// What is known of a step.
pub const OF_A_STEP: [&str; 3] = ["output", "state", "error"];
/// What is known of the run.
pub const OF_THE_RUN: [&str; 2] = ["id", "workflow"];
/// What is known of the failure, after one.
pub const OF_THE_FAILURE: [&str; 3] = ["step", "code", "message"];

/// Checks names and order, and notes what each step needs.
pub fn workflow(workflow: &mut Workflow, faults: &mut Faults) {
    duplicates(workflow, faults);
    let sections: BTreeMap<String, Section> =
        workflow.steps.iter().map(|step| (step.id.clone(), step.section)).collect();
    let inputs: Vec<String> = workflow.inputs.iter().map(|input| input.name.clone()).collect();
    let names = Names { sections: &sections, inputs: &inputs };
    for step in &mut workflow.steps {
        let mut needs = BTreeSet::new();
        for (id, span) in &step.said_needs {
            match sections.get(id) {
                Some(section) if *section == step.section && *id != step.id => {
                    needs.insert(id.clone());
                }
                Some(_) if *id == step.id => faults.add(Fault::new(span, format!("`{id}` needs itself"))),
                Some(section) => {
                    let fault = Fault::new(span, format!("`{id}` is a step of `{}`", section.word()));
                    faults.add(fault.hint("`needs` names steps of the same list; others are done before or never"));
                }
                None => {
                    let fault = Fault::new(span, format!("there is no step `{id}`"));
                    faults.add(fault.meant(id, names.steps(step.section)));
                }
            }
        }
        for (reference, span) in step.looks_at() {
            if let Some(id) = names.check(&reference, &span, Some(step), faults)
                && sections.get(&id) == Some(&step.section)
            {
                needs.insert(id);
            }
        }
        item_only_where_it_is(step, faults);
        step.needs = needs;
    }
    for (reference, (start, end)) in workflow.outputs.looks_at() {
        names.check(&reference, &(start..end), None, faults);
    }
    cycles(workflow, faults);
}

fn duplicates(workflow: &Workflow, faults: &mut Faults) {
    let mut seen: BTreeMap<&str, &Span> = BTreeMap::new();
    for step in workflow.steps.iter().filter(|step| !step.id.is_empty()) {
        if let Some(first) = seen.insert(&step.id, &step.id_span) {
            let (line, _) = faults.position(first);
            let fault = Fault::new(&step.id_span, format!("there are two steps `{}`", step.id));
            faults.add(fault.hint(format!("the other is in line {line}")));
        }
    }
}

/// What may be named.
struct Names<'a> {
    sections: &'a BTreeMap<String, Section>,
    inputs: &'a [String],
}

impl Names<'_> {
    /// Steps that a step of this section may name.
    fn steps(&self, section: Section) -> impl Iterator<Item = &str> + Clone {
        self.sections.iter().filter(move |(_, of)| **of <= section).map(|(id, _)| id.as_str())
    }

    /// Checks one reference of a step, or of `outputs`; gives the step it looks at.
    fn check(&self, reference: &Reference, span: &Span, by: Option<&Step>, faults: &mut Faults) -> Option<String> {
        let section = by.map_or(Section::Step, |step| step.section);
        let mut fault = |fault: Fault| faults.add(fault);
        let root = reference.part(0).unwrap_or_default();
        match (root, reference.part(1)) {
            ("inputs", Some(name)) => {
                if !self.inputs.iter().any(|input| input == name) {
                    let names = self.inputs.iter().map(String::as_str);
                    fault(Fault::new(span, format!("there is no input `{name}`")).meant(name, names));
                }
            }
            ("steps", Some(id)) => return self.step(id, reference, span, by, &mut fault),
            ("steps", None) => {
                fault(Fault::new(span, "an expression must name the step it looks at").hint("write `steps.ID.output`"));
            }
            ("inputs", None) => {}
            ("run", part) => member("run", part, &OF_THE_RUN, span, &mut fault),
            ("failure", part) if section != Section::Step => {
                member("failure", part, &OF_THE_FAILURE, span, &mut fault);
            }
            ("failure", _) => {
                fault(Fault::new(span, "`failure` is known only to steps of `on_failure` and `finally`"));
            }
            ("item" | "index", _) => {
                if by.is_none_or(|step| step.for_each.is_none()) {
                    fault(Fault::new(span, format!("`{root}` is known only to a step with `for_each`")));
                }
            }
            _ => fault(Fault::new(span, format!("there is no `{root}`")).meant(root, ROOTS)),
        }
        None
    }

    fn step(
        &self,
        id: &str,
        reference: &Reference,
        span: &Span,
        by: Option<&Step>,
        fault: &mut impl FnMut(Fault),
    ) -> Option<String> {
        let section = by.map_or(Section::Step, |step| step.section);
        if by.is_some_and(|step| step.id == id) {
            fault(Fault::new(span, format!("`{id}` looks at itself")));
            return None;
        }
        match self.sections.get(id) {
            Some(of) if *of <= section => {}
            Some(of) => {
                fault(Fault::new(span, format!("`{id}` is a step of `{}`, which comes later", of.word())));
                return None;
            }
            None => {
                fault(Fault::new(span, format!("there is no step `{id}`")).meant(id, self.steps(section)));
                return None;
            }
        }
        member(&format!("steps.{id}"), reference.part(2), &OF_A_STEP, span, fault);
        Some(id.to_owned())
    }
}

fn member(of: &str, part: Option<&str>, known: &'static [&'static str], span: &Span, fault: &mut impl FnMut(Fault)) {
    if let Some(part) = part
        && !known.contains(&part)
    {
        fault(Fault::new(span, format!("`{of}` has no `{part}`")).meant(part, known.iter().copied()));
    }
}

/// The list and the condition are looked at once for the step, when there is no item yet.
fn item_only_where_it_is(step: &Step, faults: &mut Faults) {
    let of_list = step.for_each.iter().flat_map(super::template::Shape::looks_at);
    let mut early: Vec<(Reference, Span)> = of_list.map(|(reference, (start, end))| (reference, start..end)).collect();
    if let Some(when) = &step.when {
        early.extend(when.looks_at().into_iter().map(|reference| (reference, when.span.clone())));
    }
    for (reference, span) in early {
        if step.for_each.is_some() && matches!(reference.part(0), Some("item" | "index")) {
            let fault = Fault::new(&span, "`item` is not known here: this is looked at once for the whole step");
            faults
                .add(fault.hint("filter the list: {{ steps.ID.output.list | selectattr('status', 'eq', 'Active') }}"));
        }
    }
}

/// Steps that wait for one another would wait for ever.
fn cycles(workflow: &Workflow, faults: &mut Faults) {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut left: Vec<&Step> = workflow.steps.iter().collect();
    loop {
        settle(&mut left, &mut done);
        // Whatever is left is in a circle or behind one. A circle that was told is taken for settled, to find the next.
        let Some(circle) = circle(&left) else { return };
        let names: Vec<&str> = circle.iter().map(|step| step.id.as_str()).collect();
        if let (Some(first), words) = (circle.first(), names.join("` needs `")) {
            faults.add(Fault::new(&first.id_span, format!("steps need one another: `{words}` needs `{}`", first.id)));
        }
        done.extend(names);
        left.retain(|step| !done.contains(step.id.as_str()));
    }
}

/// Takes out every step that can be taken, in whatever order.
fn settle<'a>(left: &mut Vec<&'a Step>, done: &mut BTreeSet<&'a str>) {
    loop {
        let before = left.len();
        // What comes later in the file often needs what comes before, so one look is mostly enough.
        left.retain(|step| {
            let is_ready = step.needs.iter().all(|id| done.contains(id.as_str()));
            if is_ready {
                done.insert(&step.id);
            }
            !is_ready
        });
        if left.len() == before {
            return;
        }
    }
}

/// Steps that need one another, out of steps that each need another of them: followed until one comes twice.
fn circle<'a>(left: &[&'a Step]) -> Option<Vec<&'a Step>> {
    let mut step = *left.first()?;
    let mut path = vec![step];
    loop {
        step = step.needs.iter().find_map(|id| left.iter().find(|step| step.id == *id))?;
        match path.iter().position(|known| known.id == step.id) {
            Some(start) => return Some(path.split_off(start)),
            None => path.push(step),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::flow::load;

    /// Everything that is wrong with a file, as `LINE: what; hint`.
    fn wrong(text: &str) -> Vec<String> {
        let (_, faults) = load::check("w.toml", text);
        let mut found: Vec<_> = faults.violations().into_iter().collect();
        let line = |path: &str| path.split(':').nth(1).expect("a line").to_owned();
        found.sort_by_key(|found| (line(&found.path), found.message.clone()));
        found.into_iter().map(|found| format!("{}: {}", line(&found.path), found.message)).collect()
    }

    const HEAD: &str = "name = \"w\"\n[inputs.who]\n";

    #[test]
    fn a_sound_file_has_no_faults() {
        let text = format!(
            "{HEAD}[[step]]\nid = \"a\"\ntool = \"t\"\nwith = {{ q = \"{{{{ inputs.who }}}}\" }}\n[[step]]\nid = \"b\"\n\
             tool = \"t\"\nfor_each = \"{{{{ steps.a.output.list }}}}\"\nwith = {{ q = \"{{{{ item.id }}}} {{{{ index }}}}\" }}\n\
             [[finally]]\nid = \"c\"\ntool = \"t\"\nwith = {{ q = \"{{{{ steps.b.state }}}} {{{{ failure.step | default('') }}}}\" }}\n"
        );
        assert_eq!(wrong(&text), Vec::<String>::new());
    }

    #[test]
    fn every_unknown_name_is_told_with_the_nearest() {
        let text = format!(
            "{HEAD}[[step]]\nid = \"find\"\ntol = \"t\"\ntool = \"t\"\nneeds = \"fnd\"\n\
             with = {{ a = \"{{{{ inputs.whom }}}}\", b = \"{{{{ steps.fond.output }}}}\" }}\n\
             [[step]]\nid = \"b\"\ntool = \"t\"\nwhen = \"steps.find.outputs and input.who and item\"\n"
        );
        assert_eq!(
            wrong(&text),
            [
                "12: `item` is known only to a step with `for_each`",
                "12: `steps.find` has no `outputs`; did you mean `output`?",
                "12: there is no `input`; did you mean `inputs`?",
                "5: a step has no member `tol`; did you mean `tool`?",
                "7: there is no step `fnd`; did you mean `find`?",
                "8: there is no input `whom`; did you mean `who`?",
                "8: there is no step `fond`; did you mean `find`?",
            ]
        );
    }

    #[test]
    fn duplicates_and_circles_are_found() {
        let step = |id: &str, needs: &str| format!("[[step]]\nid = \"{id}\"\ntool = \"t\"\nneeds = [{needs}]\n");
        let text = format!("name = \"w\"\n{}{}{}", step("a", "\"c\""), step("b", "\"a\""), step("c", "\"b\""));
        assert_eq!(wrong(&text), ["3: steps need one another: `a` needs `c` needs `b` needs `a`"]);
        let text = format!(
            "name = \"w\"\n{}{}{}{}{}",
            step("a", "\"b\""),
            step("b", "\"a\""),
            step("c", "\"d\", \"a\""),
            step("d", "\"c\""),
            step("e", "\"d\"")
        );
        let circles = [
            "11: steps need one another: `c` needs `d` needs `c`",
            "3: steps need one another: `a` needs `b` needs `a`",
        ];
        assert_eq!(wrong(&text), circles, "each is told, and what is behind one is not");
        let text = format!("name = \"w\"\n{}{}", step("a", ""), step("a", ""));
        assert_eq!(wrong(&text), ["7: there are two steps `a`; the other is in line 3"]);
        let text = format!("name = \"w\"\n{}", step("a", "\"a\""));
        assert_eq!(wrong(&text), ["5: `a` needs itself"]);
    }

    #[test]
    fn a_malformed_expression_hides_nothing_else() {
        let text = "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"t\"\nwith = { x = \"{{ steps.b.output | }}\" }\n[[step]]\n\
                    id = \"b\"\ntool = \"t\"\nwhen = \"steps.a.state == \"\nwith = { y = \"{{ steps.d.output | nofilter }}\" }\n";
        let found = wrong(text);
        let starts = [
            "3: steps need one another: `a` needs `b` needs `a`",
            "5: the expression is malformed",
            "9: the expression is malformed",
        ];
        assert_eq!(found.len(), 5, "{found:#?}");
        assert!(starts.iter().all(|start| found.iter().any(|found| found.starts_with(start))), "{found:#?}");
        assert!(found.contains(&"10: there is no step `d`; there is `a`, `b`".to_owned()), "{found:#?}");
    }

    #[test]
    fn each_member_has_its_type() {
        let text = "name = 5\ninputs = 3\n[[step]]\nid = \"1x\"\ntool = []\nwith = 3\nmax_parallel = 0\nneeds = 4\n\
                    retry = { attemps = 3 }\ntimeout = \"soon\"\napproval = \"no\"\nwhen = 3.5\nfor_each = \"text\"\n";
        let found = wrong(text);
        for line in ["1: ", "2: ", "4: ", "5: ", "6: ", "7: ", "8: ", "9: ", "10: ", "11: ", "12: ", "13: "] {
            assert!(found.iter().any(|found| found.starts_with(line)), "line {line}: {found:#?}");
        }
    }

    #[test]
    fn a_section_looks_back_and_never_ahead() {
        let text = "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"t\"\nwhen = \"steps.undo.state == 'x' or failure\"\n\
                    [[on_failure]]\nid = \"undo\"\ntool = \"t\"\nneeds = \"a\"\nwhen = \"failure.cod\"\n";
        assert_eq!(
            wrong(text),
            [
                "10: `failure` has no `cod`; did you mean `code`?",
                "5: `failure` is known only to steps of `on_failure` and `finally`",
                "5: `undo` is a step of `on_failure`, which comes later",
                "9: `a` is a step of `step`; `needs` names steps of the same list; others are done before or never",
            ]
        );
    }
}

//! Tools that no rule can tell apart. Strict validation asks every rule about every action, and an `in` looks at every
//! action of a group: with each tool an action, it would be quadratic in their number, and a thousand imported tools
//! would take seconds. But a rule can tell one tool from another by what it names, by the groups they are in and by the
//! types of the arguments it looks at, and by nothing else. Of the tools that are equal in all of these, one is enough.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::rule::Rule;
use super::slice::Subject;
use super::vocabulary::Word;
use crate::domain::id::ToolName;

/// Every tool that a rule names, and of those that none does one of each sort.
pub fn sorts<'a>(rules: &[Rule], subjects: &'a BTreeMap<ToolName, Subject>) -> Vec<Word<'a>> {
    let named: BTreeSet<&str> = rules.iter().flat_map(|rule| &rule.names.actions).map(String::as_str).collect();
    let mut seen = HashSet::new();
    let one_of_each = subjects.values().filter(|subject| {
        let is_named = named.contains(subject.word().name);
        is_named || seen.insert((&subject.groups, &subject.judged))
    });
    one_of_each.map(|subject| Word { input: &subject.judged, ..subject.word() }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::load;
    use super::super::slice::Scopes;
    use super::super::source::PolicySource;
    use super::super::vocabulary;
    use super::*;
    use crate::domain::tool::{Action, EffectClass, Extras, Registered, Risk, Tool};

    fn tool(name: &str, effect: EffectClass, risk: Risk, properties: &Value) -> Registered {
        Registered::new(Tool {
            name: name.parse().unwrap(),
            title: String::new(),
            description: "d".to_owned(),
            action: Action::Desk,
            effect,
            destructive: effect == EffectClass::Once,
            open_world: false,
            risk,
            input_schema: json!({"type": "object", "properties": properties, "required": ["n"]}),
            output_schema: json!({}),
            confirm_argument: None,
            idempotency_ignore: Vec::new(),
            example: None,
            timeout: std::time::Duration::from_secs(1),
            output_limit: 1,
            extras: Extras::default(),
        })
    }

    fn read(texts: &[&str], tools: &[Registered]) -> (Vec<Rule>, BTreeMap<ToolName, Subject>) {
        let rule = |(at, text): (usize, &&str)| format!("@id(\"r{at}\") {text};\n");
        let text: String = texts.iter().enumerate().map(rule).collect();
        let file = PolicySource { name: "f".into(), text };
        let rules = load::read(std::slice::from_ref(&file)).unwrap_or_else(|problems| panic!("{problems}")).0;
        let scopes = Scopes::of(&rules);
        let subject = |tool: &Registered| (tool.name.clone(), Subject::new(tool, &rules, &scopes).unwrap());
        let subjects = tools.iter().map(subject).collect();
        (rules, subjects)
    }

    #[test]
    fn a_thousand_tools_that_no_rule_tells_apart_are_few() {
        let tools: Vec<Registered> = (0..1_000)
            .map(|at| {
                let effect = if at % 2 == 0 { EffectClass::ReadOnly } else { EffectClass::Once };
                let own = format!("own_{at}");
                tool(&format!("t{at}"), effect, Risk::Low, &json!({"n": {"type": "integer"}, own: {"type": "string"}}))
            })
            .collect();
        let shipped = PolicySource::shipped();
        let rules = load::read(std::slice::from_ref(&shipped)).unwrap().0;
        let scopes = Scopes::of(&rules);
        let subjects: BTreeMap<_, _> =
            tools.iter().map(|tool| (tool.name.clone(), Subject::new(tool, &rules, &scopes).unwrap())).collect();
        assert_eq!(sorts(&rules, &subjects).len(), 2, "one that reads and one that does not");

        let (rules, subjects) = read(
            &[
                "permit (principal, action, resource)",
                r#"forbid (principal, action == Toolctl::Action::"t7", resource) when { context.input.own_7 == "x" }"#,
                r#"forbid (principal, action in Toolctl::Action::"mutating", resource) when { context.input.n > 3 }"#,
            ],
            &tools,
        );
        let words: Vec<&str> = sorts(&rules, &subjects).iter().map(|word| word.name).collect();
        assert_eq!(words, ["t0", "t1", "t7"]);
    }

    /// A generator that needs no seed from outside: what fails once fails always.
    struct Dice(u64);

    impl Dice {
        fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            &of[usize::try_from(self.0 >> 33).unwrap() % of.len()]
        }
    }

    #[test]
    fn what_is_refused_of_all_tools_is_refused_of_one_of_each_sort() {
        const SCOPES: [&str; 6] = [
            "action",
            r#"action == Toolctl::Action::"b""#,
            r#"action in Toolctl::Action::"readonly""#,
            r#"action in [Toolctl::Action::"mutating", Toolctl::Action::"a"]"#,
            r#"action == Toolctl::Action::"nobody""#,
            r#"action in Toolctl::Action::"high_risk""#,
        ];
        const RESOURCES: [&str; 3] = ["resource", r#"resource == Toolctl::Tool::"c""#, "resource is Toolctl::Tool"];
        const WHENS: [&str; 12] = [
            "true",
            "context.input.n > 3",
            "context.input has n && context.input.n > 3",
            r#"context.input has word && context.input.word == "x""#,
            r#"context.input.word == "x""#,
            r#"action == Toolctl::Action::"a" && context.input.word == "x""#,
            r#"action in Toolctl::Action::"mutating" && context.input.n == 1"#,
            r#"action != Toolctl::Action::"d" || context.input.deep.x == 1"#,
            "context.input has deep && context.input.deep has x && context.input.deep.x > 1",
            "context.input == {n: 1}",
            r#"resource.risk == "low" && context.input_json like "*x*""#,
            "context.input.nothing == 1",
        ];
        let properties = [
            json!({"n": {"type": "integer"}}),
            json!({"n": {"type": "integer"}, "word": {"type": "string"}}),
            json!({"n": {"type": "integer"}, "word": {"type": "string", "default": "x"}}),
            json!({"n": {"type": "string"}, "deep": {"type": "object", "properties": {"x": {"type": "integer"}}}}),
        ];
        let mut dice = Dice(7);
        let (mut refused, mut taken) = (0, 0);
        for round in 0..250 {
            let tools: Vec<Registered> = ["a", "b", "c", "d", "e", "f"]
                .iter()
                .take(*dice.one(&[0, 1, 3, 6]))
                .map(|name| {
                    let effect = *dice.one(&[EffectClass::ReadOnly, EffectClass::Once]);
                    tool(name, effect, *dice.one(&[Risk::Low, Risk::High]), dice.one(&properties))
                })
                .collect();
            let texts: Vec<String> = (0..*dice.one(&[1, 1, 2]))
                .map(|_| {
                    let (scope, resource, when) = (dice.one(&SCOPES), dice.one(&RESOURCES), dice.one(&WHENS));
                    format!("permit (principal, {scope}, {resource}) when {{ {when} }}")
                })
                .collect();
            let (rules, subjects) = read(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &tools);
            let file = PolicySource { name: "f".into(), text: String::new() };
            let files = vec![&file; rules.len()];
            let few = vocabulary::schema(sorts(&rules, &subjects).into_iter()).unwrap();
            let all = vocabulary::schema(subjects.values().map(Subject::word)).unwrap();
            let (few, all) = (load::validate(&rules, &files, few), load::validate(&rules, &files, all));
            assert_eq!(few.is_empty(), all.is_empty(), "round {round}: {texts:#?}\nfew: {few:#?}\nall: {all:#?}");
            if all.is_empty() { taken += 1 } else { refused += 1 }
        }
        assert!(refused > 40 && taken > 40, "{refused} {taken}");
    }
}

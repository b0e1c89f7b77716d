//! What of the context a rule looks at, read from the rule itself. What no rule of a slice looks at need
//! not be built for a decision, and a rule that looks at nothing but who and what can be told before there
//! are arguments. What it names, of tools and of arguments, tells which tools it can tell apart.

use std::collections::BTreeSet;

use serde_json::Value;

use super::vocabulary::Kind;

/// Parts of the context.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// `context.session.attended`.
    pub attended: bool,
    /// `context.input`.
    pub input: bool,
    /// `context.input_json`.
    pub input_json: bool,
    /// `context.session.now`.
    pub now: bool,
    /// `context.session.dry_run`.
    pub dry_run: bool,
    /// `context.session.transport`.
    pub transport: bool,
}

impl Looks {
    const EVERYTHING: Self =
        Self { attended: true, input: true, input_json: true, now: true, dry_run: true, transport: true };

    /// Reads the conditions of a rule in Cedar's JSON form, of one kind (`when`, `unless`) or of both.
    pub fn of(rule: &Value, kind: Option<&str>) -> Self {
        let conditions = rule.get("conditions").and_then(Value::as_array).into_iter().flatten();
        let mut looks = Self::default();
        for condition in conditions {
            let of_kind = kind.is_none_or(|kind| condition.get("kind").and_then(Value::as_str) == Some(kind));
            if let (true, Some(body)) = (of_kind, condition.get("body")) {
                looks = looks.and(Self::at(body));
            }
        }
        looks
    }

    /// What either looks at.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            attended: self.attended | other.attended,
            input: self.input | other.input,
            input_json: self.input_json | other.input_json,
            now: self.now | other.now,
            dry_run: self.dry_run | other.dry_run,
            transport: self.transport | other.transport,
        }
    }

    /// Whether it looks at anything that differs from call to call.
    pub const fn varies(self) -> bool {
        self.input | self.input_json | self.now | self.dry_run | self.transport
    }

    fn at(expression: &Value) -> Self {
        if let Some(path) = context_path(expression) {
            return Self::named(&path);
        }
        let inside: Box<dyn Iterator<Item = &Value>> = match expression {
            Value::Object(members) => Box::new(members.values()),
            Value::Array(items) => Box::new(items.iter()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Self::default(),
        };
        inside.fold(Self::default(), |looks, part| looks.and(Self::at(part)))
    }

    fn named(path: &[&str]) -> Self {
        let none = Self::default();
        match path {
            ["input", ..] => Self { input: true, ..none },
            ["input_json", ..] => Self { input_json: true, ..none },
            ["session", "attended", ..] => Self { attended: true, ..none },
            ["session", "now", ..] => Self { now: true, ..none },
            ["session", "dry_run", ..] => Self { dry_run: true, ..none },
            ["session", "transport", ..] => Self { transport: true, ..none },
            _ => Self::EVERYTHING,
        }
    }
}

/// What a rule names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Actions: tools, or groups of them.
    pub actions: BTreeSet<String>,
    /// Arguments, by the first step of the way to them.
    pub arguments: BTreeSet<String>,
    /// The arguments as a whole are looked at.
    pub all_arguments: bool,
}

impl Names {
    /// Reads a rule in Cedar's JSON form: its scope and its conditions.
    pub fn of(rule: &Value) -> Self {
        let mut names = Self::default();
        names.read(rule);
        names
    }

    fn read(&mut self, part: &Value) {
        match context_path(part).as_deref() {
            Some([] | ["input"]) => self.all_arguments = true,
            Some(["input", name, ..]) => {
                self.arguments.insert((*name).to_owned());
            }
            Some(_) => {}
            None => self.read_inside(part),
        }
    }

    fn read_inside(&mut self, part: &Value) {
        match part {
            Value::Object(members) => {
                let text = |name: &str| members.get(name).and_then(Value::as_str);
                if let (Some(kind), Some(id)) = (text("type"), text("id"))
                    && kind == Kind::Action.name()
                {
                    self.actions.insert(id.to_owned());
                }
                members.values().for_each(|value| self.read(value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.read(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// The attributes from `context` on, outermost first, when the expression is such a chain.
fn context_path(expression: &Value) -> Option<Vec<&str>> {
    if expression.get("Var").and_then(Value::as_str) == Some("context") {
        return Some(Vec::new());
    }
    let access = expression.get(".").or_else(|| expression.get("has"))?;
    let mut path = context_path(access.get("left")?)?;
    match access.get("attr")? {
        Value::String(name) => path.push(name),
        Value::Array(names) => path.extend(names.iter().filter_map(Value::as_str)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(condition: &str) -> Looks {
        let rule: cedar_policy::Policy = format!("permit (principal, action, resource) {condition};").parse().unwrap();
        Looks::of(&rule.to_json().unwrap(), None)
    }

    #[test]
    fn every_way_to_look_is_seen() {
        let none = Looks::default();
        assert_eq!(looks(""), none);
        assert_eq!(looks("when { resource.risk == \"high\" }"), none);
        assert_eq!(looks("unless { context.session.attended }"), Looks { attended: true, ..none });
        assert_eq!(looks("when { context.input.a.b == 1 }"), Looks { input: true, ..none });
        assert_eq!(looks("when { context has input && 1 == 1 }"), Looks { input: true, ..none });
        assert_eq!(looks("when { context.input has a.b }"), Looks { input: true, ..none });
        assert_eq!(looks("when { context[\"input\"][\"a\"] == 1 }"), Looks { input: true, ..none });
        assert_eq!(looks("when { context.input_json like \"*x*\" }"), Looks { input_json: true, ..none });
        assert_eq!(
            looks("when { [context.session.now].contains(datetime(\"2026-01-01\")) || context.session.dry_run }"),
            Looks { now: true, dry_run: true, ..none }
        );
        assert_eq!(looks("when { context.session has transport }"), Looks { transport: true, ..none });
        assert_eq!(looks("when { context.session == {a: 1} }"), Looks::EVERYTHING);
        assert_eq!(looks("when { {a: context} == {a: {}} }"), Looks::EVERYTHING);
        assert_eq!(looks("when { context has session.now }"), Looks { now: true, ..none });
    }

    #[test]
    fn every_name_is_seen() {
        let names = |rule: &str| {
            let rule: cedar_policy::Policy = rule.parse().unwrap();
            let Names { actions, arguments, all_arguments } = Names::of(&rule.to_json().unwrap());
            (Vec::from_iter(actions).join(" "), Vec::from_iter(arguments).join(" "), all_arguments)
        };
        let told = |actions: &str, arguments: &str, all| (actions.to_owned(), arguments.to_owned(), all);
        assert_eq!(names("permit (principal, action, resource);"), told("", "", false));
        assert_eq!(names(r#"permit (principal, action == Toolctl::Action::"a", resource);"#), told("a", "", false));
        assert_eq!(
            names(
                r#"forbid (principal, action in [Toolctl::Action::"a", Toolctl::Action::"b"], resource)
                   when { [Toolctl::Action::"c"].contains(action) && resource != Toolctl::Tool::"d" }
                   unless { if action == Toolctl::Action::"e" then context.session.attended else false };"#
            ),
            told("a b c e", "", false)
        );
        let when = |condition: &str| names(&format!("permit (principal, action, resource) when {{ {condition} }};"));
        assert_eq!(when("context.input.a.b == 1 && context.input has c.d"), told("", "a c", false));
        assert_eq!(when("context has input.e && context[\"input\"][\"f g\"] == 1"), told("", "e f g", false));
        assert_eq!(when("context.input == {}"), told("", "", true));
        assert_eq!(when("{a: context} == {a: {}}"), told("", "", true));
        assert_eq!(when("context.input_json like \"*\" && context.session.dry_run"), told("", "", false));
    }
}

//! Values with `{{ … }}` in them. A text that is one expression and nothing else keeps the type of what it gives:
//! a list stays a list. Everything else gives text. Expressions are Jinja's, with a budget for time and memory, and
//! without anything that tells the time, the place or chance: the same run always gives the same.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Expression, Template, UndefinedBehavior, Value as Dynamic};
use serde_json::{Map, Value};

use super::tree::{Node, Tree};
use crate::cli::fault::{Fault, Span};

/// What one value may cost: an instruction is one, and so are 64 bytes that are made.
const FUEL: u64 = 1_000_000;

static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(|| environment(UndefinedBehavior::Strict));

/// For a first look: what is not known yet is no fault.
static LENIENT: LazyLock<Environment<'static>> = LazyLock::new(|| environment(UndefinedBehavior::Chainable));

fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_fuel(Some(FUEL));
    environment.remove_global("debug");
    environment.set_formatter(|out, _, value| {
        let written = match value.as_str() {
            Some(text) => out.write_str(text),
            None if value.is_undefined() => {
                return Err(Error::new(ErrorKind::UndefinedError, "a value in a text is not there"));
            }
            None => out.write_str(&serde_json::to_string(value).unwrap_or_default()),
        };
        written.map_err(Error::from)
    });
    environment
}

/// A value that may have expressions in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// It is what it is.
    Fixed(Value),
    /// One expression, whose value it is.
    Expression(Source),
    /// A text with expressions in it.
    Text(Source),
    /// Values in order.
    List(Vec<Shape>),
    /// Values by name.
    Table(Vec<(String, Span, Shape)>),
}

/// The text of an expression or template, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    text: Arc<str>,
    /// Its place in the file.
    pub span: Span,
}

/// What a template looks at: `steps.find.output` as its three names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference(pub Vec<String>);

impl Reference {
    /// The name at a place.
    pub fn part(&self, place: usize) -> Option<&str> {
        self.0.get(place).map(String::as_str)
    }
}

impl Source {
    /// Reads an expression, with or without its braces.
    ///
    /// # Errors
    /// Where it is malformed.
    pub fn expression(text: &str, span: &Span) -> Result<Self, Fault> {
        let inner = inner(text).unwrap_or(text).trim();
        EXPRESSIONS.compile_expression(inner).map_err(|error| malformed(&error, span))?;
        let source = Self { text: inner.into(), span: span.clone() };
        source.first_look(|| LENIENT.compile_expression(inner).and_then(|it| it.eval(())).map(drop))?;
        Ok(source)
    }

    /// One that cannot be read. Nothing with a fault is ever run; what it seems to look at lets other faults be found.
    pub fn malformed(text: &str, span: &Span) -> Self {
        Self { text: text.into(), span: span.clone() }
    }

    fn template(text: &str, span: &Span) -> Result<Self, Fault> {
        EXPRESSIONS.template_from_str(text).map_err(|error| malformed(&error, span))?;
        let source = Self { text: text.into(), span: span.clone() };
        source.first_look(|| LENIENT.render_str(text, ()).map(drop))?;
        Ok(source)
    }

    /// Names that do not exist show when they are first used; all else depends on values.
    fn first_look(&self, try_it: impl FnOnce() -> Result<(), Error>) -> Result<(), Fault> {
        match try_it() {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction
                ) =>
            {
                Err(malformed(&error, &self.span))
            }
            _ => Ok(()),
        }
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// In words.
    pub fn value(&self, scope: &Dynamic) -> Result<Dynamic, String> {
        self.given(EXPRESSIONS.compile_expression(&self.text).and_then(|expression| expression.eval(scope.clone())))
    }

    fn given(&self, value: Result<Dynamic, Error>) -> Result<Dynamic, String> {
        match value {
            Ok(value) if value.is_undefined() => Err(format!("`{}` is not there", self.text)),
            Ok(value) => Ok(value),
            Err(error) => Err(self.told(&error)),
        }
    }

    fn told(&self, error: &Error) -> String {
        format!("`{}`: {}", self.text, words(error))
    }

    /// Whether an expression holds. A text neither holds nor does not: it must be compared.
    ///
    /// # Errors
    /// In words.
    pub fn holds(&self, scope: &Dynamic) -> Result<bool, String> {
        let value = self.value(scope)?;
        if value.as_str().is_some() {
            return Err(format!("`{}` gives a text, which is neither true nor false; compare it", self.text));
        }
        Ok(value.is_true())
    }

    fn references(&self, is_expression: bool) -> BTreeSet<Reference> {
        let found = if is_expression {
            EXPRESSIONS.compile_expression(&self.text).map(|it| it.undeclared_variables(true))
        } else {
            EXPRESSIONS.template_from_str(&self.text).map(|it| it.undeclared_variables(true))
        };
        let known: BTreeSet<String> = EXPRESSIONS.globals().map(|(name, _)| name.to_owned()).collect();
        let Ok(found) = found else { return steps_in(&self.text) };
        let paths = found.into_iter().filter(|path| !known.contains(path));
        paths.map(|path| Reference(path.split('.').map(str::to_owned).collect())).collect()
    }

    /// What an expression looks at.
    pub fn looks_at(&self) -> BTreeSet<Reference> {
        self.references(true)
    }

    /// The text as it is written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Shape {
    /// Reads a value; what is malformed is told to `fault` and stays for what it seems to look at.
    pub fn of(node: &Node, fault: &mut impl FnMut(Fault)) -> Self {
        match &node.tree {
            Tree::Text(text) => Self::of_text(text, &node.span).unwrap_or_else(|wrong| {
                fault(wrong);
                Self::Expression(Source::malformed(text, &node.span))
            }),
            Tree::List(items) => {
                let items: Vec<_> = items.iter().map(|item| Self::of(item, fault)).collect();
                if items.iter().all(|item| matches!(item, Self::Fixed(_))) {
                    return Self::Fixed(node.value());
                }
                Self::List(items)
            }
            Tree::Table(members) => Self::Table(
                members
                    .iter()
                    .map(|(name, item)| (name.text.clone(), name.span.clone(), Self::of(item, fault)))
                    .collect(),
            ),
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => Self::Fixed(node.value()),
        }
    }

    fn of_text(text: &str, span: &Span) -> Result<Self, Fault> {
        if !["{{", "{%", "{#"].iter().any(|start| text.contains(start)) {
            return Ok(Self::Fixed(Value::String(text.to_owned())));
        }
        let whole = inner(text.trim()).filter(|inner| EXPRESSIONS.compile_expression(inner.trim()).is_ok());
        match whole {
            Some(_) => Source::expression(text.trim(), span).map(Self::Expression),
            None => Source::template(text, span).map(Self::Text),
        }
    }

    /// The value in this scope.
    ///
    /// # Errors
    /// In words, with the expression that has no value.
    pub fn value(&self, scope: &Dynamic) -> Result<Value, String> {
        self.ready()?.value(scope)
    }

    /// The same, made ready to be asked for its value many times.
    ///
    /// # Errors
    /// In words.
    pub fn ready(&self) -> Result<Ready<'_>, String> {
        Ok(match self {
            Self::Fixed(value) => Ready::Fixed(value),
            Self::Expression(source) => {
                let expression = EXPRESSIONS.compile_expression(&source.text).map_err(|error| source.told(&error))?;
                Ready::Expression(expression, source)
            }
            Self::Text(source) => {
                let template = EXPRESSIONS.template_from_str(&source.text).map_err(|error| source.told(&error))?;
                Ready::Text(Box::new(template), source)
            }
            Self::List(items) => Ready::List(items.iter().map(Self::ready).collect::<Result<_, _>>()?),
            Self::Table(members) => {
                let members = members.iter().map(|(name, _, item)| Ok((name.as_str(), item.ready()?)));
                Ready::Table(members.collect::<Result<_, String>>()?)
            }
        })
    }

    /// What it looks at, and where.
    pub fn looks_at(&self) -> BTreeSet<(Reference, (usize, usize))> {
        let placed = |references: BTreeSet<Reference>, span: &Span| {
            references.into_iter().map(|reference| (reference, (span.start, span.end))).collect()
        };
        match self {
            Self::Fixed(_) => BTreeSet::new(),
            Self::Expression(source) => placed(source.references(true), &source.span),
            Self::Text(source) => placed(source.references(false), &source.span),
            Self::List(items) => items.iter().flat_map(Self::looks_at).collect(),
            Self::Table(members) => members.iter().flat_map(|(_, _, item)| item.looks_at()).collect(),
        }
    }

    /// The value, when it depends on nothing.
    pub fn fixed(&self) -> Option<Value> {
        match self {
            Self::Fixed(value) => Some(value.clone()),
            Self::Expression(_) | Self::Text(_) => None,
            Self::List(items) => items.iter().map(Self::fixed).collect::<Option<Vec<_>>>().map(Value::Array),
            Self::Table(members) => {
                let members = members.iter().map(|(name, _, item)| Some((name.clone(), item.fixed()?)));
                members.collect::<Option<Map<_, _>>>().map(Value::Object)
            }
        }
    }

    /// The value as it is written, for a person who reads a plan.
    pub fn written(&self) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Expression(source) => Value::String(format!("{{{{ {} }}}}", source.text())),
            Self::Text(source) => Value::String(source.text().to_owned()),
            Self::List(items) => Value::Array(items.iter().map(Self::written).collect()),
            Self::Table(members) => {
                Value::Object(members.iter().map(|(name, _, item)| (name.clone(), item.written())).collect())
            }
        }
    }
}

/// A [`Shape`] whose expressions are compiled.
pub enum Ready<'a> {
    /// It is what it is.
    Fixed(&'a Value),
    /// One expression.
    Expression(Expression<'a, 'a>, &'a Source),
    /// A text with expressions in it.
    Text(Box<Template<'a, 'a>>, &'a Source),
    /// Values in order.
    List(Vec<Ready<'a>>),
    /// Values by name.
    Table(Vec<(&'a str, Ready<'a>)>),
}

impl Ready<'_> {
    /// The value in this scope.
    ///
    /// # Errors
    /// In words, with the expression that has no value.
    pub fn value(&self, scope: &Dynamic) -> Result<Value, String> {
        Ok(match self {
            Self::Fixed(value) => (*value).clone(),
            Self::Expression(expression, source) => as_json(&source.given(expression.eval(scope.clone()))?, source)?,
            Self::Text(template, source) => {
                Value::String(template.render(scope.clone()).map_err(|error| source.told(&error))?)
            }
            Self::List(items) => Value::Array(items.iter().map(|item| item.value(scope)).collect::<Result<_, _>>()?),
            Self::Table(members) => {
                let members = members.iter().map(|(name, item)| Ok(((*name).to_owned(), item.value(scope)?)));
                Value::Object(members.collect::<Result<Map<_, _>, String>>()?)
            }
        })
    }
}

/// A value for expressions.
pub fn dynamic(value: &Value) -> Dynamic {
    Dynamic::from(Serde(value))
}

/// What an expression gave, as JSON.
fn as_json(value: &Dynamic, source: &Source) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| format!("`{}` gives what JSON cannot hold: {error}", source.text))
}

/// The steps that a text seems to look at, although it cannot be read.
fn steps_in(text: &str) -> BTreeSet<Reference> {
    let is_of_name = |symbol: char| symbol.is_ascii_alphanumeric() || symbol == '_';
    let mut found = BTreeSet::new();
    for (at, root) in text.match_indices("steps.") {
        let is_whole = !text.get(..at).unwrap_or_default().ends_with(|symbol| is_of_name(symbol) || symbol == '.');
        let rest = text.get(at + root.len()..).unwrap_or_default();
        let id: String = rest.chars().take_while(|symbol| is_of_name(*symbol)).collect();
        if is_whole && !id.is_empty() {
            found.insert(Reference(vec!["steps".to_owned(), id]));
        }
    }
    found
}

/// What is between the braces of a text that starts and ends with them.
fn inner(text: &str) -> Option<&str> {
    text.trim().strip_prefix("{{")?.strip_suffix("}}")
}

fn malformed(error: &Error, span: &Span) -> Fault {
    Fault::new(span, format!("the expression is malformed: {}", words(error)))
}

/// What is wrong, without the engine's own names of places.
fn words(error: &Error) -> String {
    match error.kind() {
        ErrorKind::OutOfFuel => "it does too much work".to_owned(),
        ErrorKind::UndefinedError => {
            error.detail().map_or_else(|| "something in it is not there".to_owned(), str::to_owned)
        }
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(value: &str) -> Shape {
        let node = Node { span: 0..value.len(), tree: Tree::Text(value.to_owned()) };
        Shape::of(&node, &mut |fault| panic!("{fault}"))
    }

    fn given(text: &str) -> Result<Value, String> {
        let scope = json!({
            "inputs": {"n": 3, "text": "a\"b", "list": [1, 2.5, "x", null], "object": {"k": [true]}},
            "steps": {"find": {"output": {"results": [{"id": 7}, {"id": 9}]}}},
        });
        shape(text).value(&dynamic(&scope))
    }

    #[test]
    fn one_expression_keeps_its_type_and_a_text_is_a_text() {
        for (text, expected) in [
            ("{{ inputs.n }}", json!(3)),
            ("  {{ inputs.n }} ", json!(3)),
            ("{{ inputs.list }}", json!([1, 2.5, "x", null])),
            ("{{ inputs.object }}", json!({"k": [true]})),
            ("{{ steps.find.output.results | map(attribute='id') | list }}", json!([7, 9])),
            ("{{ inputs.n > 2 }}", json!(true)),
            ("{{ inputs.text }}", json!("a\"b")),
            ("n={{ inputs.n }}", json!("n=3")),
            ("{{ inputs.n }}{{ inputs.n }}", json!("33")),
            ("{{ inputs.text }}: {{ inputs.object }}", json!("a\"b: {\"k\":[true]}")),
            ("{{ '}}' }}", json!("}}")),
            ("{% if inputs.n > 2 %}many{% else %}few{% endif %}", json!("many")),
            ("{{ inputs.missing | default('none') }}", json!("none")),
            ("plain", json!("plain")),
        ] {
            assert_eq!(given(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_and_not_an_empty_text() {
        for text in ["{{ inputs.missing }}", "x {{ inputs.missing }}", "{{ inputs.missing.deeper }}", "{{ 1 / 0 }}"] {
            assert!(given(text).is_err(), "{text} gave {:?}", given(text));
        }
    }

    #[test]
    fn a_template_that_blows_up_or_loops_runs_out_of_fuel() {
        for text in [
            "{{ 'x' * 1000000000 }}",
            "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
            "{{ range(99999) | map('string') | join('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') | upper | upper | upper | upper | upper | upper | upper | upper | upper | upper | upper | upper | upper | upper | upper | upper | upper | upper | upper }}",
            "{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(90) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        ] {
            let error = given(text).expect_err("stopped");
            assert!(error.contains("too much work") || error.contains("too large"), "{error}");
        }
    }

    #[test]
    fn what_a_template_looks_at_is_known_before_it_is_used() {
        let paths = |text: &str| {
            shape(text).looks_at().into_iter().map(|(reference, _)| reference.0.join(".")).collect::<Vec<_>>()
        };
        assert_eq!(paths("{{ steps.a.output.x[0].y | length + inputs.n }}"), ["inputs.n", "steps.a.output.x"]);
        assert_eq!(paths("{% for x in steps.b.output %}{{ x }}{{ range(3) }}{% endfor %}"), ["steps.b.output"]);
        assert_eq!(paths("nothing"), Vec::<String>::new());
    }

    #[test]
    fn a_malformed_expression_is_found_at_once() {
        for text in ["{{ inputs. }}", "{{ a b }}", "{% if %}", "{{ inputs.n | nosuchfilter }}", "{{ nosuch(1) }}"] {
            let mut found = Vec::new();
            let node = Node { span: 3..9, tree: Tree::Text(text.to_owned()) };
            Shape::of(&node, &mut |fault| found.push(fault));
            assert_eq!(
                found.iter().map(|fault| (fault.span.start, fault.span.end)).collect::<Vec<_>>(),
                [(3, 9)],
                "{text}"
            );
        }
    }
}

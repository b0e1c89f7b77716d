//! What is wrong with a value, in our words. No message ever holds the value of a secret field
//! (`writeOnly`, or of format `password`), nor the name of a member inside one.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::reference::resolve;
use crate::domain::denial::Violation;

/// The most violations that are told of one document.
const MOST_TOLD: usize = 64;

/// The most words of an enumeration that are listed.
const MOST_LISTED: usize = 12;

/// Types of values (JSON Schema 2020-12 section 6.1.1).
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Schemas looked at to find out whether a place is secret, before it is taken for one.
const MOST_LOOKS: u32 = 10_000;

/// Tells all violations, in the order of their places.
pub fn violations<'a>(errors: impl Iterator<Item = ValidationError<'a>>, schema: &Value) -> Vec<Violation> {
    let mut told: Vec<Violation> = errors.flat_map(|error| tell(&error, schema)).collect();
    told.sort_by(|a, b| (&a.path, &a.message).cmp(&(&b.path, &b.message)));
    told.dedup();
    let more = told.len().saturating_sub(MOST_TOLD);
    told.truncate(MOST_TOLD);
    if more > 0 {
        told.push(Violation { path: String::new(), message: format!("and {more} more places are wrong") });
    }
    told
}

/// Tells why something is no schema, with the place in it.
pub fn no_schema(error: &ValidationError<'_>) -> String {
    let path = error.instance_path().as_str();
    let is_type = path.ends_with("/type");
    if let (true, Some(word)) = (is_type, error.instance().as_str()) {
        let near = nearest(word, TYPES.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
        return format!("`{path}`: there is no type `{word}`{}", near.unwrap_or_default());
    }
    match error.kind() {
        ValidationErrorKind::Referencing(why) => format!("a `$ref` leads nowhere: {why}"),
        _ => tell(error, &Value::Null).iter().map(super::in_a_line).collect::<Vec<_>>().join("; "),
    }
}

fn tell(error: &ValidationError<'_>, schema: &Value) -> Vec<Violation> {
    use ValidationErrorKind as Kind;
    let path = error.instance_path().as_str();
    let secret = is_secret(path, schema);
    let at = |message: String| vec![Violation { path: path.to_owned(), message }];
    match error.kind() {
        Kind::Required { property } => {
            vec![Violation { path: join(path, property.as_str().unwrap_or_default()), message: "is required".into() }]
        }
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } if secret => {
            at("has members that are not known".into())
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = siblings(error.schema_path().as_str(), schema);
            let unknown = |name: &String| Violation { path: join(path, name), message: unknown(name, &known) };
            unexpected.iter().map(unknown).collect()
        }
        Kind::Type { kind } => at(format!("must be {}, not {}", types(kind), kind_of(error.instance()))),
        Kind::Enum { options } => at(choice(options, error.instance(), secret)),
        Kind::Constant { expected_value } => at(format!("must be {}", shown(expected_value))),
        Kind::MinLength { limit } => at(format!("must have at least {}", count(*limit, "character"))),
        Kind::MaxLength { limit } => at(format!("must have at most {}", count(*limit, "character"))),
        Kind::MinItems { limit } => at(format!("must have at least {}", count(*limit, "item"))),
        Kind::MaxItems { limit } => at(format!("must have at most {}", count(*limit, "item"))),
        Kind::MinProperties { limit } => at(format!("must have at least {}", count(*limit, "member"))),
        Kind::MaxProperties { limit } => at(format!("must have at most {}", count(*limit, "member"))),
        Kind::AdditionalItems { limit } => at(format!("must have at most {}", count(*limit as u64, "item"))),
        Kind::UnevaluatedItems { .. } => at("has more items than it may".into()),
        Kind::Minimum { limit } => at(format!("must be at least {limit}")),
        Kind::Maximum { limit } => at(format!("must be at most {limit}")),
        Kind::ExclusiveMinimum { limit } => at(format!("must be greater than {limit}")),
        Kind::ExclusiveMaximum { limit } => at(format!("must be less than {limit}")),
        Kind::MultipleOf { multiple_of } => at(format!("must be a multiple of {multiple_of}")),
        Kind::Pattern { pattern } => at(format!("must match the pattern `{pattern}`")),
        Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
            at("cannot be checked against its pattern in reasonable time".into())
        }
        Kind::Format { format } => at(format!("must be of the format `{format}`")),
        Kind::UniqueItems => at("must not hold an item twice".into()),
        Kind::Contains => at("lacks an item that it must hold".into()),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            at(format!("fits none of the {} it may have", count(context.len() as u64, "form")))
        }
        Kind::OneOfMultipleValid { .. } => at("fits more than one of the forms of which it must have one".into()),
        Kind::Not { .. } => at("has a form that it must not have".into()),
        Kind::FalseSchema => at("must not be there".into()),
        Kind::PropertyNames { .. } => at("has a member whose name it may not have".into()),
        Kind::ContentEncoding { .. }
        | Kind::ContentMediaType { .. }
        | Kind::FromUtf8 { .. }
        | Kind::Custom { .. }
        | Kind::Referencing(_) => at(format!("fails `{}` of the schema", error.kind().keyword())),
    }
}

/// Appends a member to a JSON Pointer.
fn join(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The names beside the keyword at `keyword_path`.
fn siblings(keyword_path: &str, schema: &Value) -> Vec<String> {
    let parent = keyword_path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let properties = schema.pointer(parent).and_then(|node| node.get("properties")).and_then(Value::as_object);
    let mut names: Vec<String> = properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect();
    names.sort();
    names
}

fn unknown(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("is not known; did you mean `{near}`?"),
        None if known.is_empty() => "is not known; there are no members here".into(),
        None if known.len() <= MOST_LISTED => format!("is not known; known are `{}`", known.join("`, `")),
        None => "is not known".into(),
    }
}

/// The candidate most like `word`, if one is like enough.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

fn choice(options: &Value, given: &Value, secret: bool) -> String {
    let options = options.as_array().map_or(&[][..], Vec::as_slice);
    let listed: Vec<String> = options.iter().take(MOST_LISTED).map(shown).collect();
    let rest = if options.len() > MOST_LISTED { ", …" } else { "" };
    let mut message = format!("must be one of {}{rest}", listed.join(", "));
    let given = given.as_str().filter(|_| !secret);
    if let Some(near) = given.and_then(|given| nearest(given, options.iter().filter_map(Value::as_str))) {
        message.push_str(&format!("; did you mean `{near}`?"));
    }
    message
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| format!("`{value}`"), |text| format!("`{text}`"))
}

fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => article(*one).to_owned(),
        TypeKind::Multiple(set) => set.iter().map(article).collect::<Vec<_>>().join(" or "),
    }
}

fn kind_of(value: &Value) -> &'static str {
    article(JsonType::from(value))
}

const fn article(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "an integer",
        JsonType::Number => "a number",
        JsonType::String => "a string",
        JsonType::Array => "an array",
        JsonType::Object => "an object",
    }
}

/// Whether any schema that may apply on the way to `path` marks a secret. What cannot be found out
/// counts as secret.
fn is_secret(path: &str, schema: &Value) -> bool {
    let steps: Vec<String> = path.split('/').skip(1).map(|s| s.replace("~1", "/").replace("~0", "~")).collect();
    let mut looks = MOST_LOOKS;
    marks(schema, schema, &steps, &mut looks)
}

fn marks(node: &Value, root: &Value, steps: &[String], looks: &mut u32) -> bool {
    let Some(left) = looks.checked_sub(1) else { return true };
    *looks = left;
    let Some(keywords) = node.as_object() else { return false };
    if keywords.get("writeOnly") == Some(&Value::Bool(true)) || keywords.get("format") == Some(&"password".into()) {
        return true;
    }
    if keywords.contains_key("$ref") && resolve(node, root).is_none_or(|target| marks(target, root, steps, looks)) {
        return true;
    }
    for keyword in ["allOf", "anyOf", "oneOf", "if", "then", "else", "not", "dependentSchemas"] {
        if each(keywords.get(keyword)).any(|branch| marks(branch, root, steps, looks)) {
            return true;
        }
    }
    let Some((step, rest)) = steps.split_first() else { return false };
    let property = keywords.get("properties").and_then(|properties| properties.get(step));
    let others = ["patternProperties", "prefixItems"].into_iter().flat_map(|keyword| each(keywords.get(keyword)));
    let open = ["additionalProperties", "unevaluatedProperties", "items", "contains", "unevaluatedItems"];
    let open = open.into_iter().filter_map(|keyword| keywords.get(keyword));
    property.into_iter().chain(others).chain(open).any(|inside| marks(inside, root, rest, looks))
}

/// The schemas under a keyword: itself, or each of a list or map.
fn each(keyword: Option<&Value>) -> Box<dyn Iterator<Item = &Value> + '_> {
    match keyword {
        Some(Value::Array(branches)) => Box::new(branches.iter()),
        Some(node @ Value::Object(members)) => Box::new(std::iter::once(node).chain(members.values())),
        _ => Box::new(std::iter::empty()),
    }
}
